package kafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// patient is a broker with ACLs, a client that may do all, and the options of
// an archiver that may do what the test says.
type patient struct {
	root     *kgo.Client
	options  kafka.Options
	patience time.Duration
}

// grant is one ACL of the archiver's.
func grant(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

// archivers are the rights that the guide asks for.
func archivers() []kfake.ACL {
	return []kfake.ACL{
		grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationDescribe),
		grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationRead),
		grant(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationDescribeConfigs),
		grant(kmsg.ACLResourceTypeGroup, "annals-archiver", kmsg.ACLOperationRead),
		grant(kmsg.ACLResourceTypeTransactionalId, "*", kmsg.ACLOperationDescribe),
	}
}

func newPatient(t *testing.T, acls []kfake.ACL, extra ...kfake.Opt) *patient {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(2), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "annals", "secret", acls...),
	}, extra...)...)
	must(t, err)
	t.Cleanup(cluster.Close)
	root, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism()))
	must(t, err)
	t.Cleanup(root.Close)
	return &patient{root, kafka.Options{
		Brokers: cluster.ListenAddrs(), ClientID: "test",
		SASL: kafka.SASL{Mechanism: "PLAIN", Username: "annals", Password: "secret"},
	}, 30 * time.Second}
}

func (p *patient) topic(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := kadm.NewClient(p.root).CreateTopic(t.Context(), 2, 1, nil, name)
		must(t, err)
	}
}

func (p *patient) produce(t *testing.T, topic string, at time.Time) {
	t.Helper()
	must(t, p.root.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: at}).FirstErr())
}

func (p *patient) examine(t *testing.T, change ...func(*kafka.Examination)) map[string]doctor.Check {
	t.Helper()
	admin, err := kafka.NewAdmin(p.options)
	must(t, err)
	defer admin.Close()
	options := kafka.Examination{Group: "annals-archiver", Topics: func(name string) bool { return !strings.HasPrefix(name, "__") }}
	for _, c := range change {
		c(&options)
	}
	ctx, cancel := context.WithTimeout(t.Context(), p.patience)
	defer cancel()
	found := map[string]doctor.Check{}
	for _, c := range admin.Examine(ctx, options) {
		if _, twice := found[c.Name]; twice {
			t.Errorf("%s twice", c.Name)
		}
		if c.Verdict != doctor.OK && c.Todo == "" {
			t.Errorf("nothing to do about %+v", c)
		}
		found[c.Name] = c
	}
	return found
}

func expect(t *testing.T, found map[string]doctor.Check, name string, verdict doctor.Verdict, says string) {
	t.Helper()
	if c := found[name]; c.Verdict != verdict || !strings.Contains(c.Seen, says) {
		t.Errorf("%s: %+v, want %s with %q", name, c, verdict, says)
	}
}

func TestExamineASoundCluster(t *testing.T) {
	p := newPatient(t, archivers())
	p.topic(t, "orders", "payments", "__hidden")
	p.produce(t, "orders", time.Now())
	found := p.examine(t)
	for name, c := range found {
		t.Logf("%s %s: %s", c.Verdict, name, c.Seen)
		if c.Verdict != doctor.OK {
			t.Errorf("%+v", c)
		}
	}
	if len(found) != 9 {
		t.Errorf("%d checks", len(found))
	}
	expect(t, found, doctor.KafkaTopics, doctor.OK, "2 topics with 4 partitions are to be archived; 1 left out by kafka.topics (__hidden), 0 internal")
}

func TestExamineWithoutRights(t *testing.T) {
	without := func(resource kmsg.ACLResourceType, op kmsg.ACLOperation) []kfake.ACL {
		var left []kfake.ACL
		for _, a := range archivers() {
			if a.Resource != resource || a.Operation != op {
				left = append(left, a)
			}
		}
		return left
	}
	for name, c := range map[string]struct {
		acls        []kfake.ACL
		check, says string
		verdict     doctor.Verdict
	}{
		"read one topic alone": {
			append(without(kmsg.ACLResourceTypeTopic, kmsg.ACLOperationRead), grant(kmsg.ACLResourceTypeTopic, "orders", kmsg.ACLOperationRead)),
			doctor.KafkaRead, "1 of 2 topics may be read; not payments", doctor.Failed,
		},
		"no DescribeConfigs": {without(kmsg.ACLResourceTypeTopic, kmsg.ACLOperationDescribeConfigs), doctor.KafkaConfigs, "of 0 of 2 topics; not of orders, payments", doctor.Warning},
		"no rights at all":   {nil, doctor.KafkaTopics, "0 topics with 0 partitions", doctor.Indeterminate},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, c.acls)
			p.topic(t, "orders", "payments")
			p.produce(t, "orders", time.Now())
			expect(t, p.examine(t), c.check, c.verdict, c.says)
		})
	}
}

// TestExamineTheGroup: the broker in tests judges rights on groups that exist.
func TestExamineTheGroup(t *testing.T) {
	p := newPatient(t, nil)
	p.topic(t, "orders")
	member, err := kgo.NewClient(append(p.root.Opts(), kgo.ConsumerGroup("annals-archiver"), kgo.ConsumeTopics("orders"))...)
	must(t, err)
	defer member.Close()
	p.produce(t, "orders", time.Now())
	for member.PollFetches(t.Context()).Empty() {
	}
	expect(t, p.examine(t), doctor.KafkaGroup, doctor.Failed, "GROUP_AUTHORIZATION_FAILED")
	expect(t, p.examine(t, func(e *kafka.Examination) { e.Group = "" }), doctor.KafkaGroup, doctor.Indeterminate, "no group")
}

func TestExamineOutOfReach(t *testing.T) {
	p := newPatient(t, archivers())
	p.options.SASL.Password, p.patience = "wrong", 2*time.Second
	found := p.examine(t)
	expect(t, found, doctor.KafkaReach, doctor.Failed, "list topics")
	if len(found) != 1 || !strings.Contains(found[doctor.KafkaReach].Todo, "SASL") {
		t.Errorf("%+v", found)
	}
}

func TestExamineOldBrokers(t *testing.T) {
	for name, c := range map[string]struct {
		versions *kversion.Versions
		says     string
		verdict  doctor.Verdict
		topics   doctor.Verdict
	}{
		"2.7": {kversion.V2_7_0(), "Metadata 9 and Fetch 12", doctor.Failed, doctor.Failed},
		"3.0": {kversion.V3_0_0(), "Metadata 11 and Fetch 12", doctor.Warning, doctor.OK},
		"3.1": {kversion.V3_1_0(), "Metadata 12 and Fetch 13", doctor.OK, doctor.OK},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, archivers(), kfake.MaxVersions(c.versions))
			p.topic(t, "orders")
			found := p.examine(t)
			expect(t, found, doctor.KafkaVersion, c.verdict, c.says)
			expect(t, found, doctor.KafkaTopics, c.topics, "1 topics")
			expect(t, found, doctor.KafkaRead, doctor.OK, "1 topics may be read")
		})
	}
}

func TestExamineTransactions(t *testing.T) {
	for name, c := range map[string]struct {
		hanging time.Duration
		blind   bool // no Describe on transactional IDs
		verdict doctor.Verdict
		says    string
	}{
		"open":          {0, false, doctor.OK, "1 of 2 partitions wait for the end of a transaction; the oldest has been open for"},
		"hanging":       {time.Millisecond, false, doctor.Warning, "(job) on orders/"},
		"age not known": {0, true, doctor.Indeterminate, "since when is not known of producer"},
	} {
		t.Run(name, func(t *testing.T) {
			acls := archivers()
			if c.blind {
				acls = acls[:4]
			}
			p := newPatient(t, acls)
			p.topic(t, "orders")
			producer, err := kgo.NewClient(append(p.root.Opts(), kgo.TransactionalID("job"))...)
			must(t, err)
			defer producer.Close()
			must(t, producer.BeginTransaction())
			must(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Timestamp: time.UnixMilli(1e12)}).FirstErr())
			time.Sleep(5 * time.Millisecond)
			expect(t, p.examine(t, func(e *kafka.Examination) { e.Hanging = c.hanging }), doctor.KafkaTransactions, c.verdict, c.says)
			must(t, producer.EndTransaction(t.Context(), kgo.TryAbort))
			expect(t, p.examine(t), doctor.KafkaTransactions, doctor.OK, "none")
		})
	}
}

func TestExamineClock(t *testing.T) {
	p := newPatient(t, archivers())
	p.topic(t, "orders")
	expect(t, p.examine(t), doctor.ClockKafka, doctor.Indeterminate, "no topic has a record")
	p.produce(t, "orders", time.Now().Add(-time.Hour))
	expect(t, p.examine(t), doctor.ClockKafka, doctor.OK, "the newest record, of orders/")
	p.produce(t, "orders", time.Now().Add(time.Minute))
	expect(t, p.examine(t), doctor.ClockKafka, doctor.Warning, "from now")
}
