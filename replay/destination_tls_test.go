package replay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A replay into a cluster that speaks TLS and wants a password: to the producer, the reader
// and whoever asks for topics alike; and into none whose certificate nobody vouches for, or
// whose password is another.
func TestAnotherClusterOverTLS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil) // for 127.0.0.1
	defer certified.Close()
	vouched := x509.NewCertPool()
	vouched.AddCert(certified.Certificate())
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: certified.TLS.Certificates}),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "annals", "secret"))
	must(t, err)
	t.Cleanup(cluster.Close)
	reach := func(roots *x509.CertPool, password string) *replay.Connection {
		other, err := replay.Connect(kafka.Options{
			Brokers: cluster.ListenAddrs(), ClientID: "test", TLS: &tls.Config{RootCAs: roots},
			SASL: kafka.SASL{Mechanism: "PLAIN", Username: "annals", Password: password},
		})
		must(t, err)
		t.Cleanup(other.Close)
		return other
	}
	r, other := newRig(t), reach(vouched, "secret")
	archived := r.topic(t, "orders", 2, 120, 50)
	request := answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: "staging"}
	s := r.service(t, clusters(map[string]replay.Brokers{"staging": other}), nil, nil)
	plan, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches || job.Receipt.ReadBack != plan.Records {
		t.Errorf("%+v", job.Receipt)
	}
	for partition, records := range archived {
		same(t, "staging", readTarget(t, other, plan.Topics[0].Target, partition), committed(records, -1<<62, 1<<62))
	}
	for name, stranger := range map[string]*replay.Connection{
		"a certificate that nobody vouches for": reach(x509.NewCertPool(), "secret"), "another password": reach(vouched, "guess"),
	} {
		bounded, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := r.service(t, clusters(map[string]replay.Brokers{"staging": stranger}), nil, nil).Plan(bounded, everybody, request); err == nil {
			t.Errorf("%s is taken", name)
		}
		cancel()
	}
}
