package archiver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// readAgain runs a reindex by other rules, which finds no damage, and waits until
// what it replaced is gone.
func (r *rig) readAgain(t *testing.T, options archiver.ReindexOptions, topics ...extract.TopicRule) archiver.ReindexProgress {
	t.Helper()
	done, damaged := r.readPastDamage(t, options, topics...)
	if len(damaged) > 0 || done.Offsets != done.Total {
		t.Fatalf("read again: %+v, damaged %+v", done, damaged)
	}
	return done
}

func (r *rig) readPastDamage(t *testing.T, options archiver.ReindexOptions, topics ...extract.TopicRule) (archiver.ReindexProgress, []archiver.Damage) {
	t.Helper()
	rules, err := extract.New(extract.Options{Topics: topics})
	must(t, err)
	done, damaged, err := archiver.Reindex(t.Context(), r.store, r.book, r.index, rules, r.log, options)
	must(t, err)
	r.deleted(t)
	return done, damaged
}

func (r *rig) deleted(t *testing.T) {
	t.Helper()
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if left, err := r.index.Deleting(t.Context()); err != nil || left > 0 {
			return fmt.Errorf("%d deletions are left: %w", left, err)
		}
		return nil
	})
}

// indexed writes what the three tables and the rollups hold of a topic: rows,
// each offset once; the trace of offset 0; records counted by the rollups.
func (r *rig) indexed(t *testing.T, topic string) string {
	t.Helper()
	var parts []string
	for _, sql := range []string{
		"SELECT count(), uniqExact(offset) FROM DB.records FINAL WHERE topic = 'TOPIC'",
		"SELECT count(), anyIf(trace_id, offset = 0) FROM DB.records_by_trace FINAL WHERE topic = 'TOPIC'",
		"SELECT count() FROM DB.id_index FINAL WHERE kind = 1 AND topic_id IN (SELECT topic_id FROM DB.segments WHERE topic = 'TOPIC')",
		"SELECT sum(records), sum(without_trace) FROM DB.rollups FINAL WHERE topic = 'TOPIC'",
	} {
		parts = append(parts, strings.ReplaceAll(r.sql(t, strings.ReplaceAll(sql, "TOPIC", topic)), "\t", " "))
	}
	return strings.Join(parts, "; ")
}

// A changed rule is brought to what is archived: each record is in the index
// once, as the new rule reads it, and counted once; other topics and older
// segments stay as they are.
func TestReindexAppliesAChangedRule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.topic(t, "payments", 1)
	payments := r.produce(t, "payments", 0, 7)
	r.produce(t, "orders", 0, 20)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 20)
	r.produce(t, "orders", 0, 10)
	r.sealed(t, a, s, 30)
	must(t, a.Indexed(t.Context()))
	stop()
	const trace0 = "00000000000000000000000000000001"
	if got, want := r.indexed(t, "orders"), "30 30; 30 "+trace0+"; 30; 30 9"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	before := r.indexed(t, "payments")

	only := func(name string) bool { return name == "orders" }
	byN := extract.TopicRule{Topic: "orders", TraceID: "/eventId"}
	for range 2 { // the second replaces what the first has put there
		done := r.readAgain(t, archiver.ReindexOptions{Topics: only}, byN)
		if done.Streams != 1 || done.Records != 30 {
			t.Errorf("read again: %+v", done)
		}
		if got, want := r.indexed(t, "orders"), "30 30; 30 e-0; 30; 30 9"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if after := r.indexed(t, "payments"); after != before || len(payments) != 7 {
		t.Errorf("another topic was %s, is %s", before, after)
	}

	// Of segments that end before it, none is read.
	done := r.readAgain(t, archiver.ReindexOptions{Topics: only, From: time.UnixMilli(1_600_000_000_000 + 15)})
	if done.Records != 20 {
		t.Errorf("from the first segment's end: %+v", done)
	}
	if got, want := r.indexed(t, "orders"), "30 30; 30 "+trace0+"; 30; 30 9"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	// What a run left that was stopped before its segment was named goes.
	stopped, err := r.index.Claim(t.Context(), s, "stopped")
	must(t, err)
	named, err := r.index.Named(t.Context(), s, 0)
	must(t, err)
	for _, was := range named {
		stray := &schema.Record{Topic: "orders", TopicID: s.TopicID, Offset: was.Base, Status: schema.Committed, Timestamp: 1_600_000_000_000}
		must(t, r.index.InsertRecords(t.Context(), []index.Row{{Record: stray, Extraction: &schema.Extraction{EventType: "stray"}, Version: stopped}}, time.Now()))
	}
	r.readAgain(t, archiver.ReindexOptions{})
	if got := r.sql(t, "SELECT count() FROM DB.records FINAL WHERE event_type = 'stray'"); got != "0" {
		t.Errorf("%s rows of a run that was stopped are left", got)
	}
}

// A policy that changed is applied to what is archived: what it withholds is
// in no table any more, and the archive itself is what it was.
func TestReindexAppliesAChangedPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 20)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 20)
	must(t, a.Indexed(t.Context()))
	stop()
	const what = "SELECT count(), countIf(event_id != ''), countIf(trace_id != '') FROM DB.records FINAL WHERE topic = 'orders'"
	if got := r.sql(t, what); got != "20\t14\t14" {
		t.Fatalf("before: %s", got)
	}
	secret := true
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "ord*", Secret: &secret}})
	must(t, err)
	rules, err := extract.New(extract.Options{Policy: policies})
	must(t, err)
	only := func(name string) bool { return name == "orders" }
	done, damaged, err := archiver.Reindex(t.Context(), r.store, r.book, r.index, rules, r.log, archiver.ReindexOptions{Topics: only})
	must(t, err)
	r.deleted(t)
	if got := r.sql(t, what); got != "20\t0\t0" || done.Records != 20 || len(damaged) > 0 {
		t.Errorf("after: %s, %+v", got, done)
	}
	if got := r.sql(t, "SELECT count() FROM DB.id_index FINAL WHERE kind != 1"); got != "0" {
		t.Errorf("%s ids are left", got)
	}
	r.readAgain(t, archiver.ReindexOptions{Topics: only})
	if got := r.sql(t, what); got != "20\t14\t14" {
		t.Errorf("after the policy was taken back: %s", got)
	}
}

// A segment that is not read again between two that are, since it is damaged or
// older than was asked for, stays as the index has it.
func TestReindexLeavesWhatItDoesNotReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	a, stop := r.archive(t, nil)
	next := int64(0)
	for _, n := range []int{20, 10, 20} { // the one between has older records only
		r.produce(t, "orders", 0, n)
		next += int64(n)
		r.sealed(t, a, s, next)
	}
	must(t, a.Indexed(t.Context()))
	stop()
	var between *schema.Commit
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		if entry.Commit.Segment != nil && entry.Commit.Base == 20 {
			between = entry.Commit
		}
	}
	const trace0 = "00000000000000000000000000000001"
	holds := func(want string) {
		t.Helper()
		got := r.sql(t, "SELECT count(), uniqExact(offset) FROM DB.records FINAL") + "\t" +
			r.sql(t, "SELECT arrayStringConcat(groupArray(trace_id), ' ') FROM (SELECT trace_id FROM DB.records_by_trace FINAL WHERE offset IN (0, 20, 30) ORDER BY offset)")
		if got = strings.ReplaceAll(got, "\t", " "); got != "50 50 "+want {
			t.Errorf("got  %s\nwant 50 50 %s", got, want)
		}
	}
	holds(trace0 + " " + trace0 + " " + trace0)

	body, _, err := r.store.Get(t.Context(), between.Segment.Key, 1<<20)
	must(t, err)
	damage := func() {
		t.Helper()
		body[len(body)-1] ^= 1
		_, err := r.store.Put(t.Context(), between.Segment.Key, body)
		must(t, err)
	}
	damage()
	byN := extract.TopicRule{Topic: "orders", TraceID: "/eventId"}
	done, damaged := r.readPastDamage(t, archiver.ReindexOptions{}, byN)
	if done.Records != 40 || done.Offsets != 40 || done.Total != 50 || len(damaged) != 1 || damaged[0].Seq != between.Seq || damaged[0].Stream != s {
		t.Errorf("%+v, damaged %+v", done, damaged)
	}
	holds("e-0 " + trace0 + " e-0")

	damage() // undone
	done = r.readAgain(t, archiver.ReindexOptions{From: time.UnixMilli(1_600_000_000_000 + 15)})
	if done.Records != 40 || done.Total != 40 {
		t.Errorf("without the older segment: %+v", done)
	}
	holds(trace0 + " " + trace0 + " " + trace0)
	r.readAgain(t, archiver.ReindexOptions{}, byN)
	holds("e-0 e-0 e-0")
}

// asByRulesOne makes the index what rules of version 1 would have left, with
// other types.
func (r *rig) asByRulesOne(t *testing.T) {
	t.Helper()
	r.sql(t, "INSERT INTO DB.records SELECT * REPLACE (1 AS extract_version, 'old' AS event_type) FROM DB.records")
	r.sql(t, "INSERT INTO DB.records_by_trace SELECT * REPLACE (1 AS extract_version, 'old' AS trace_id) FROM DB.records_by_trace")
	r.sql(t, "INSERT INTO DB.rollups SELECT * REPLACE ('old' AS event_type) FROM DB.rollups")
	r.sql(t, fmt.Sprintf("DELETE FROM DB.records WHERE extract_version = %d", index.Fresh))
	r.sql(t, fmt.Sprintf("DELETE FROM DB.records_by_trace WHERE extract_version = %d", index.Fresh))
	r.sql(t, "CREATE TABLE DB.named AS DB.segments")
	r.sql(t, "INSERT INTO DB.named SELECT * REPLACE (1 AS extract_version) FROM DB.segments")
	r.sql(t, "TRUNCATE TABLE DB.segments")
	r.sql(t, "INSERT INTO DB.segments SELECT * FROM DB.named")
}

// rigByRulesOne has twenty records of a partition archived, and an index that is
// what rules of version 1 would have left of them; now is what those of today do.
func rigByRulesOne(t *testing.T) (r *rig, s schema.Stream, now string) {
	t.Helper()
	r = newRig(t)
	s = r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 20)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 20)
	must(t, a.Indexed(t.Context()))
	stop()
	now = r.indexed(t, "orders")
	r.asByRulesOne(t)
	return r, s, now
}

// An index that another version of the rules filled is read anew when its
// partition is opened, and nothing of what those rules read is left.
func TestRowsOfEarlierRulesGo(t *testing.T) {
	t.Parallel()
	r, s, now := rigByRulesOne(t)
	a, _ := r.archive(t, nil)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || missing < 2 {
			return fmt.Errorf("commit %d is not read again: %w", missing, err)
		}
		return nil
	})
	must(t, a.Indexed(t.Context()))
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if got := r.indexed(t, "orders"); got != now {
			return fmt.Errorf("got  %s\nwant %s", got, now)
		}
		return nil
	})
}

// What an attempt of earlier rules left that ended before it named the commit is in
// no count, however the commit is read then: the tables of summaries have no
// version, so they are emptied of it first.
func TestUnfinishedAttemptsCountNowhere(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(t *testing.T, r *rig, s schema.Stream){
		"by a catch-up": func(t *testing.T, r *rig, s schema.Stream) {
			a, _ := r.archive(t, nil) // it deletes the rows of earlier rules in its own time
			embeddedtest.Eventually(t, 20*time.Second, func() error {
				if missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || missing < 2 {
					return fmt.Errorf("commit %d is not read: %w", missing, err)
				}
				return nil
			})
			must(t, a.Indexed(t.Context()))
		},
		"by a reindex": func(t *testing.T, r *rig, _ schema.Stream) { r.readAgain(t, archiver.ReindexOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s, now := rigByRulesOne(t)
			r.sql(t, "TRUNCATE TABLE DB.segments")
			r.sql(t, "INSERT INTO DB.topology SELECT 'elsewhere', 'old', topic, 'old', topic_id, partition, branch, seq, 1, timestamp FROM DB.rollups LIMIT 1")
			r.sql(t, "INSERT INTO DB.violations (topic, topic_id, partition, branch, seq, rule, records, timestamp) SELECT topic, topic_id, partition, branch, seq, 'old', 1, timestamp FROM DB.rollups LIMIT 1")
			read(t, r, s)
			embeddedtest.Eventually(t, 20*time.Second, func() error {
				if got := r.indexed(t, "orders"); got != now {
					return fmt.Errorf("got  %s\nwant %s", got, now)
				}
				if got := r.sql(t, "SELECT (SELECT count() FROM DB.topology), (SELECT count() FROM DB.violations)"); got != "0\t0" {
					return fmt.Errorf("topology and violations of the attempt: %s", got)
				}
				return nil
			})
		})
	}
}
