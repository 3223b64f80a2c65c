package embeddedtest

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// Kafka starts an embedded broker of the test's own on a free port, with its
// data in a temporary directory, and stops it when the test ends.
func Kafka(t testing.TB) *embedded.Kafka {
	t.Helper()
	return startKafka(t, t.TempDir())
}

// MemoryKafka is [Kafka] without files: quicker, for tests that write much
// and restart nothing.
func MemoryKafka(t testing.TB) *embedded.Kafka {
	t.Helper()
	return startKafka(t, "")
}

func startKafka(t testing.TB, dir string) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka(t.Context(), embedded.KafkaOptions{
		Listen:   "127.0.0.1:0",
		DataDir:  dir,
		User:     "annals",
		Password: "test-" + randomName(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// KafkaOptions are those of Annals' own clients of k.
func KafkaOptions(k *embedded.Kafka) kafka.Options {
	return kafka.Options{
		Brokers: []string{k.Addr()}, ClientID: "annals-test", MetadataMaxAge: time.Second,
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: k.User(), Password: k.Password()},
	}
}

// KafkaClient returns a client that is logged in to k, with opts added, and
// closes it when the test ends.
func KafkaClient(t testing.TB, k *embedded.Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.Addr()),
		kgo.SASL(scram.Auth{User: k.User(), Pass: k.Password()}.AsSha256Mechanism()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
