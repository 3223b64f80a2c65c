package replay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

var fileKinds = []string{answer.FileNDJSON, answer.FileParquet}

// files reads the parts of a partition as somebody who only has the documentation.
func (r *rig) files(t *testing.T, plan *answer.ReplayPlan, partition int32, kind string) (records []schema.Record, parts int) {
	t.Helper()
	folder := fmt.Sprintf("jobs/replay/%s/files/orders/%d/", plan.ID, partition)
	for object, err := range r.store.List(t.Context(), folder, "") {
		must(t, err)
		body, _, err := r.store.Get(t.Context(), object.Key, 1<<30)
		must(t, err)
		parts++
		if kind == answer.FileParquet {
			reader, err := segment.Open(t.Context(), bytes.NewReader(body), int64(len(body)))
			must(t, err)
			for row, err := range reader.Rows(t.Context(), 0, 1<<62, segment.All) {
				must(t, err)
				own := row.Clone()
				records = append(records, own.Record)
			}
			continue
		}
		for line := range bytes.Lines(body) {
			records = append(records, lineRecord(t, line))
		}
	}
	return records, parts
}

func lineRecord(t *testing.T, line []byte) schema.Record {
	t.Helper()
	var fields struct {
		Topic     string
		Partition int32
		Offset    int64
		Timestamp int64
		Headers   []map[string]*string
	}
	var texts map[string]json.RawMessage
	must(t, json.Unmarshal(line, &fields))
	must(t, json.Unmarshal(line, &texts))
	text := func(name string) *string {
		var s *string
		if raw, ok := texts[name]; ok {
			must(t, json.Unmarshal(raw, &s))
		}
		return s
	}
	either := func(text, coded *string) []byte {
		switch {
		case text != nil:
			return []byte(*text)
		case coded != nil:
			raw, err := base64.StdEncoding.DecodeString(*coded)
			must(t, err)
			return raw
		}
		return nil
	}
	out := schema.Record{
		Topic: fields.Topic, Partition: fields.Partition, Offset: fields.Offset, Timestamp: fields.Timestamp,
		Key: either(text("key"), text("key_base64")), Value: either(text("value"), text("value_base64")),
	}
	for _, h := range fields.Headers {
		out.Headers = append(out.Headers, schema.Header{Name: string(either(h["name"], h["name_base64"])), Value: either(h["value"], h["value_base64"])})
	}
	return out
}

// holds compares files with what was archived, coordinates and all.
func (r *rig) holds(t *testing.T, plan *answer.ReplayPlan, kind string, archived map[int32][]schema.Record) (parts int) {
	t.Helper()
	for partition, records := range archived {
		got, n := r.files(t, plan, partition, kind)
		want := committed(records, -1<<62, 1<<62)
		same(t, kind, got, want)
		for i := range got {
			if got[i].Topic != "orders" || got[i].Partition != partition || got[i].Offset != want[i].Offset {
				t.Fatalf("%s: record %d is said to be %s/%d offset %d, want %d", kind, i, got[i].Topic, got[i].Partition, got[i].Offset, want[i].Offset)
			}
		}
		parts += n
	}
	return parts
}

// A replay into files: exactly the planned records, byte for byte, beside their
// coordinates, with a receipt, and nothing in Kafka.
func TestFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 3, 300, 100)
	// Text that JSON would swell, and more than one part's worth.
	odd := schema.Stream{Cluster: "source", Topic: "odd", TopicID: schema.TopicID{7}, Partition: 0}
	r.put(t, odd, []schema.Record{{
		Topic: "odd", TopicID: odd.TopicID, Timestamp: 1, ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed,
		Key: bytes.Repeat([]byte{1}, 3000), Value: []byte("<a>&\u2028 \" \\ \x7f"),
	}})
	s := r.service(t, func(o *replay.Options) { o.Part = 4 << 10 }, nil, nil)
	work(t, s)
	ids := map[string]bool{}
	for _, kind := range fileKinds {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders", "odd"}, TargetFile: kind})
		must(t, err)
		run, err := s.DryRun(t.Context(), everybody, plan.ID)
		if err != nil || !run.Matches {
			t.Errorf("%s: dry run %+v, %v", kind, run, err)
		}
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		job := until(t, s, plan.ID, answer.JobDone)
		if got := job.Receipt; !got.Matches || got.ReadBack != plan.Records || got.Produced != plan.Records || got.Files == nil || got.Partitions[0].PlannedHash != run.Partitions[0].Hash {
			t.Errorf("%s: receipt %+v", kind, got)
		}
		if parts := r.holds(t, plan, kind, archived); parts < 9 {
			t.Errorf("%s: %d parts", kind, parts)
		}
		ids[plan.ID] = true
		r.lists(t, s, plan, job, kind)
		for name, ask := range map[string]func() error{
			"map": func() error {
				_, err := s.MapOffset(t.Context(), everybody, plan.ID, answer.OffsetQuery{Topic: "orders", Source: new(int64)})
				return err
			},
			"groups": func() error {
				_, err := s.GroupOffsets(t.Context(), everybody, plan.ID, answer.GroupOffsetsRequest{Group: "g"})
				return err
			},
		} {
			if err := ask(); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "wrote files") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if there := topicsOf(t, r.cluster); there != "" || len(ids) != 2 {
		t.Errorf("topics %q, plans %v", there, ids)
	}
}

// lists checks that the list of a job's files has each of them, with its hash, and that
// they are handed out so.
func (r *rig) lists(t *testing.T, s *replay.Service, plan *answer.ReplayPlan, job *answer.ReplayJob, kind string) {
	t.Helper()
	raw, _, err := r.store.Get(t.Context(), schema.ReplayPrefix+plan.ID+"/files.json", 1<<20)
	must(t, err)
	var list struct {
		Job   string
		Files []struct{ Key, SHA256, Records string }
	}
	must(t, json.Unmarshal(raw, &list))
	total := int64(0)
	for _, file := range list.Files {
		body, _, err := r.store.Get(t.Context(), file.Key, 1<<20)
		must(t, err)
		n, err := strconv.ParseInt(file.Records, 10, 64)
		must(t, err)
		if total += n; sum(body) != file.SHA256 {
			t.Errorf("%s hashes to %s", file.Key, sum(body))
		}
	}
	if total != plan.Records || list.Job != plan.ID || sum(raw) != job.Receipt.Files.String() {
		t.Errorf("%s: the list has %d records of %d", kind, total, plan.Records)
	}
	files, err := s.Files(t.Context(), everybody, plan.ID[:8])
	must(t, err)
	if files.Format != kind || len(files.Files) != len(list.Files) || files.Files[1].Key != list.Files[1].Key {
		t.Errorf("%s: files %+v", kind, files)
	}
	file, body, err := s.File(t.Context(), everybody, plan.ID, 1)
	if err != nil || file.Key != list.Files[1].Key || sum(body) != list.Files[1].SHA256 {
		t.Errorf("%s: file %+v, %v", kind, file, err)
	}
	if _, _, err := s.File(t.Context(), everybody, plan.ID, len(list.Files)); schema.KindOf(err) != schema.NotFound {
		t.Errorf("%s: a file behind the last: %v", kind, err)
	}
	secret := r.service(t, func(o *replay.Options) { o.Policy = withheld(t) }, nil, nil)
	if _, err := secret.Files(t.Context(), everybody, plan.ID); schema.KindOf(err) != schema.Permission {
		t.Errorf("%s: files of a topic that became secret: %v", kind, err)
	}
}

// withheld are rules by which the topic is secret.
func withheld(t *testing.T) *policy.Rules {
	t.Helper()
	yes := true
	rules, err := policy.NewRules([]policy.Rule{{Pattern: "orders", Secret: &yes}})
	must(t, err)
	return rules
}

func sum(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// Power cuts while files are written.
func TestPowerCutsInFiles(t *testing.T) {
	t.Parallel()
	for _, kind := range fileKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			archived := r.topic(t, "orders", 2, 120, 50)
			(&replaytest.Cuts{
				Brokers: r.cluster, Store: r.store, Ledger: r.book, Topic: "orders",
				Request: answer.ReplayRequest{TargetFile: kind},
				Options: replay.Options{
					PositionTopic: positions, Worker: "cut", Lease: 80 * time.Millisecond, Poll: 10 * time.Millisecond, Part: 600,
				},
				Check: func(t *testing.T, plan *answer.ReplayPlan) { t.Helper(); r.holds(t, plan, kind, archived) },
			}).Run(t, 10)
		})
	}
}

// Two workers that do not see each other's lease write the same parts.
func TestTwoWorkersWriteFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	fight := time.Now().Add(2 * time.Second)
	var services []*replay.Service
	for _, name := range []string{"one", "two"} {
		s, err := replay.New(replay.Options{
			PositionTopic: positions, Worker: name, Lease: 2 * time.Second, Poll: 40 * time.Millisecond, Part: 500, Logger: r.log,
		}, r.cluster, blind{r.store, fight}, r.book, nil)
		must(t, err)
		services = append(services, s)
	}
	plan, err := services[0].Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetFile: answer.FileParquet})
	must(t, err)
	_, err = services[0].Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	for _, s := range services {
		work(t, s)
	}
	job := until(t, services[0], plan.ID, answer.JobDone)
	if r.holds(t, plan, answer.FileParquet, archived); !job.Receipt.Matches || job.Receipt.Produced != plan.Records {
		t.Errorf("receipt %+v", job.Receipt)
	}
}

// A file that is damaged or replaced after it was written is not taken for what was
// planned.
func TestFilesThatAreNotWhatWasWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge func(key string, body []byte) (string, []byte)
		says  string
	}{
		"another record": {func(key string, body []byte) (string, []byte) {
			return key, bytes.Replace(body, []byte(`"key":"k0"`), []byte(`"key":"kX"`), 1)
		}, "the target differs"},
		"another offset": {func(key string, body []byte) (string, []byte) {
			return key, bytes.Replace(body, []byte(`"offset":0,`), []byte(`"offset":1,`), 1)
		}, "the target differs"},
		"a line less": {func(key string, body []byte) (string, []byte) { return key, body[bytes.IndexByte(body, '\n')+1:] }, "records"},
		"no JSON":     {func(key string, body []byte) (string, []byte) { return key, append([]byte("{"), body...) }, "read a line"},
		"no part":     {func(key string, body []byte) (string, []byte) { return key + "x", body }, "is no part of replay"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.topic(t, "orders", 1, 30, 100)
			s := r.service(t, nil, nil, nil)
			plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetFile: answer.FileNDJSON})
			must(t, err)
			// What somebody else puts there before the worker is kept, and found out.
			twin := newRig(t)
			twin.topic(t, "orders", 1, 30, 100)
			other := twin.service(t, nil, nil, nil)
			again, err := other.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetFile: answer.FileNDJSON})
			must(t, err)
			work(t, other)
			_, err = other.Run(t.Context(), everybody, again.ID, nil)
			must(t, err)
			until(t, other, again.ID, answer.JobDone)
			for object, err := range twin.store.List(t.Context(), "jobs/replay/"+again.ID+"/files/", "") {
				must(t, err)
				body, _, err := twin.store.Get(t.Context(), object.Key, 1<<20)
				must(t, err)
				key, forged := c.forge(strings.Replace(object.Key, again.ID, plan.ID, 1), body)
				_, err = r.store.PutIfAbsent(t.Context(), key, forged)
				must(t, err)
			}
			work(t, s)
			_, err = s.Run(t.Context(), everybody, plan.ID, nil)
			must(t, err)
			if job := untilFailed(t, s, plan.ID); !strings.Contains(job.Error, c.says) {
				t.Errorf("%s", job.Error)
			}
		})
	}
}

func TestFilesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 30, 100)
	s := r.service(t, nil, nil, nil)
	for field, request := range map[string]answer.ReplayRequest{
		"target_file":        {TargetFile: "csv"},
		"target_cluster":     {TargetCluster: "staging"},
		"target_prefix":      {TargetPrefix: "x."},
		"target_topics":      {TargetTopics: map[string]string{"orders": "x"}},
		"allow_existing":     {AllowExisting: true},
		"provenance_headers": {ProvenanceHeaders: true},
		"partitioning":       {Partitioning: answer.PartitionByKey},
		"target_partitions":  {TargetPartitions: 2},
		"timestamps":         {Timestamps: answer.TimestampsNow},
		"oversized":          {Oversized: answer.OversizedSkip},
	} {
		request.Topics = []string{"orders"}
		if request.TargetFile == "" {
			request.TargetFile = answer.FileNDJSON
		}
		_, err := s.Plan(t.Context(), everybody, request)
		var fault *schema.Error
		for at := err; errors.As(at, &fault) && fault.Field == ""; at = fault.Err {
		}
		if schema.KindOf(err) != schema.Invalid || fault.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetFile: answer.FileParquet})
	must(t, err)
	slow := answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1}
	if _, err := s.Run(t.Context(), everybody, plan.ID, &slow); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "no pace") {
		t.Errorf("paced: %v", err)
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if _, err := s.SetPace(t.Context(), everybody, plan.ID, slow); schema.KindOf(err) != schema.Invalid {
		t.Errorf("paced later: %v", err)
	}
	secret := r.service(t, func(o *replay.Options) { o.Policy = withheld(t) }, nil, nil)
	if _, err := secret.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetFile: answer.FileNDJSON}); schema.KindOf(err) != schema.Permission || !strings.Contains(err.Error(), "is secret") {
		t.Errorf("a secret topic: %v", err)
	}
	if _, err := s.Files(t.Context(), everybody, plan.ID); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "when its receipt matches") {
		t.Errorf("files before they are written: %v", err)
	}
	if !slices.Contains(fileKinds, plan.Request.TargetFile) || plan.Topics[0].Target != "jobs/replay/"+plan.ID+"/files/orders/" {
		t.Errorf("%+v", plan)
	}
}
