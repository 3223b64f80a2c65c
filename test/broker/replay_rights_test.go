package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/broker"
)

// barred is a replay service whose user has the rights that it is given, and a topic
// that is archived.
type barred struct {
	*rig
	service *replay.Service
	topic   string
	rows    []segment.Row
}

func bar(t *testing.T) *barred {
	t.Helper()
	r := newRig(t, broker.Start(t, broker.Options{Users: map[string]string{"replayer": "secret"}}))
	s := r.topic(t, "source", 1, map[string]string{"retention.ms": "-1"})
	r.produce(t, s, 20)
	a, stop := r.archive(t, as("admin", "test-only"))
	source := r.archived(t, a, s)
	stop()
	options := r.kafka()
	options.SASL = kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: "replayer", Password: "secret"}
	brokers, err := replay.Connect(options)
	must(t, err)
	t.Cleanup(brokers.Close)
	service := r.held(t, brokers, "replayer")
	work(t, service)
	return &barred{r, service, s.Topic, source.Rows}
}

// allow gives rights on the names that begin so, of topics or of transactional ids.
func (b *barred) allow(t *testing.T, operations []kadm.ACLOperation, topics, transactions string) {
	t.Helper()
	acls := kadm.NewACLs().Allow("User:replayer").AllowHosts("*").Operations(operations...).ResourcePatternType(kadm.ACLPatternPrefixed)
	if topics != "" {
		acls = acls.Topics(topics)
	}
	if transactions != "" {
		acls = acls.TransactionalIDs(transactions)
	}
	created, err := b.admin.CreateACLs(t.Context(), acls)
	must(t, err)
	for _, one := range created {
		must(t, one.Err)
	}
}

func (b *barred) plan(t *testing.T, target string, existing bool) (*answer.ReplayPlan, error) {
	t.Helper()
	return b.service.Plan(t.Context(), policy.Everything(), answer.ReplayRequest{
		Topics: []string{b.topic}, TargetTopics: map[string]string{b.topic: target}, AllowExisting: existing,
	})
}

// run replays into a topic that is not there, until that is done or has failed.
func (b *barred) run(t *testing.T, target string) *answer.ReplayJob {
	t.Helper()
	p, err := b.plan(t, target, false)
	must(t, err)
	_, err = b.service.Run(t.Context(), policy.Everything(), p.ID, nil)
	must(t, err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		job, err := b.service.Get(t.Context(), policy.Everything(), p.ID)
		must(t, err)
		if job.State == answer.JobDone || job.State == answer.JobFailed {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("into %s: %s, %d of %d: %s", target, job.State, job.Produced, job.Planned, job.Error)
		}
	}
}

// fails replays, and wants it to end before a record is sent, and to say what to grant.
func (b *barred) fails(t *testing.T, target string, says ...string) {
	t.Helper()
	if job := b.run(t, target); job.State != answer.JobFailed || job.Produced != 0 || !contains(job.Error, says...) {
		t.Errorf("into %s: %s, %d produced: %s; want %q", target, job.State, job.Produced, job.Error, says)
	}
}

func (b *barred) isEmpty(t *testing.T, topic string) {
	t.Helper()
	if n := len(b.consumed(t, topic, 0)); n != 0 {
		t.Errorf("%s has %d records", topic, n)
	}
}

// isRefused wants a plan refused for what the error says, and the hint to name what to
// grant.
func (b *barred) isRefused(t *testing.T, target string, existing bool, says string, grant ...string) {
	t.Helper()
	_, err := b.plan(t, target, existing)
	hint := ""
	var e *schema.Error
	for at := err; errors.As(at, &e); at = e.Err {
		hint += e.Hint
	}
	if schema.KindOf(err) != schema.Permission || !contains(err.Error(), says) || !contains(hint, grant...) {
		t.Errorf("into %s: %v, hint %q; want %q, %q", target, err, hint, says, grant)
	}
}

func contains(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// needed are the rights on targets and on the position topic that the configuration's
// reference names.
var needed = []kadm.ACLOperation{kadm.OpCreate, kadm.OpWrite, kadm.OpRead, kadm.OpDescribe}

// but leaves a right out, and those that bring it along: Kafka takes Describe for granted
// where Read or Write is.
func but(left kadm.ACLOperation) []kadm.ACLOperation {
	return slices.DeleteFunc(slices.Clone(needed), func(o kadm.ACLOperation) bool {
		return o == left || left == kadm.OpDescribe && o != kadm.OpCreate
	})
}

// TestReplayRights: with the least rights a replay goes through, and without those on its
// own topics and transactional ids it is refused before a record is sent.
func TestReplayRights(t *testing.T) {
	t.Parallel()
	b := bar(t)
	b.allow(t, needed, positionTopic, "")
	b.allow(t, needed, "given.", "")
	b.isRefused(t, "given.ids", false, "annals-replay-", "Write and Describe", "transactional ids")
	b.allow(t, []kadm.ACLOperation{kadm.OpDescribe}, "", "annals-replay-")
	b.fails(t, "given.configs", "grant DescribeConfigs on "+positionTopic)
	b.allow(t, []kadm.ACLOperation{kadm.OpDescribeConfigs}, positionTopic, "")
	b.fails(t, "given.writes", "grant Write and Describe on the transactional ids that begin with annals-replay-")
	b.isEmpty(t, "given.writes")
	b.allow(t, []kadm.ACLOperation{kadm.OpWrite}, "", "annals-replay-")
	if job := b.run(t, "given.all"); job.State != answer.JobDone || !job.Receipt.Matches {
		t.Errorf("with all of them: %s: %s", job.State, job.Error)
	}
	b.isReplayed(t, "given.all", 0, b.rows)
}

// TestTargetRights: without one of the rights on a target a replay is refused before a
// record is sent, and what to grant is said.
func TestTargetRights(t *testing.T) {
	t.Parallel()
	b := bar(t)
	b.allow(t, append(slices.Clone(needed), kadm.OpDescribeConfigs), positionTopic, "")
	b.allow(t, []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}, "", "annals-replay-")
	b.isRefused(t, "elsewhere.new", false, "elsewhere.new", "Create", "Write", "Read", "Describe")
	b.allow(t, but(kadm.OpCreate), "nocreate.", "")
	b.isRefused(t, "nocreate.new", false, "nocreate.new", "Create")
	for _, c := range []struct {
		lacks              kadm.ACLOperation
		prefix, says, name string
	}{
		{kadm.OpDescribe, "nodescribe.", "lacks Describe", "Describe"},
		{kadm.OpWrite, "nowrite.", "lacks Write", "Write"},
		{kadm.OpRead, "noread.", "lacks Read", "Read"},
	} {
		b.allow(t, but(c.lacks), c.prefix, "")
		there, made := c.prefix+"there", c.prefix+"made"
		_, err := b.admin.CreateTopic(t.Context(), 1, 1, nil, there)
		must(t, err)
		b.isRefused(t, there, true, c.says, c.name)
		b.isEmpty(t, there)
		if c.lacks == kadm.OpDescribe {
			b.isRefused(t, made, false, c.says, c.name)
			continue
		}
		b.fails(t, made, made, c.says, "grant") // what it may do with a topic is told when that is there
		b.isEmpty(t, made)
	}
}
