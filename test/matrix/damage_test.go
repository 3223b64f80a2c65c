package matrix

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// The verification that every case ends with can fail: of each damage, done to
// a sound archive and undone, it names what is wrong.
func TestVerificationFindsDamage(t *testing.T) {
	r := newRig(t, newPlace(t))
	r.some(t)
	a, stop := r.archive(t, setting{direct: true})
	r.settle(t, a, true)
	stop()
	must(t, r.verify(t))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	victim := random.IntN(partitions)
	row := r.produced[victim].Records[random.IntN(len(r.produced[victim].Records))]
	of := fmt.Sprintf("topic_id = unhex('%x') AND partition = %d", row.TopicID[:], row.Partition)
	value := r.produced[victim].Records[0].Value
	commit, away := r.disk(t, schema.CommitKey(r.streams[victim], r.newest(t, victim).Seq)), filepath.Join(t.TempDir(), "commit")
	segment := r.disk(t, r.newest(t, victim).Segment.Key)
	at := fmt.Sprintf("%s AND offset = %d", of, row.Offset)
	for _, d := range []struct {
		name, finding string
		do, undo      func()
	}{
		{
			"a byte of a segment is flipped", "hash",
			func() { flip(t, segment) }, func() { flip(t, segment) },
		},
		{"the newest commit is gone", "the log ends at", func() { move(t, commit, away) }, func() { move(t, away, commit) }},
		{
			"a record was acknowledged and is not archived", "the log ends at",
			func() { r.produced[victim].End++ }, func() { r.produced[victim].End-- },
		},
		{
			"a record has another value", "has value",
			func() { r.produced[victim].Records[0].Value = []byte("other") }, func() { r.produced[victim].Records[0].Value = value },
		},
		{
			"a row of the index is there twice", "there twice",
			func() {
				r.sql(t, "INSERT INTO DB.records SELECT * REPLACE (timestamp + 1 AS timestamp) FROM DB.records FINAL WHERE "+at)
			},
			func() { r.sql(t, "DELETE FROM DB.records WHERE timestamp = "+fmt.Sprint(row.Timestamp+1)+" AND "+at) },
		},
		{
			"a row of the index is gone", "missing",
			func() {
				r.sql(t, "CREATE TABLE DB.kept AS DB.records_by_trace")
				r.sql(t, "INSERT INTO DB.kept SELECT * FROM DB.records_by_trace FINAL WHERE "+at)
				r.sql(t, "DELETE FROM DB.records_by_trace WHERE "+at)
			},
			func() { r.sql(t, "INSERT INTO DB.records_by_trace SELECT * FROM DB.kept") },
		},
		{"the index does not know a commit", "segments", func() { r.sql(t, "DELETE FROM DB.segments WHERE seq = 1 AND "+of) }, nil},
	} {
		d.do()
		err := r.verify(t)
		if err == nil || !strings.Contains(err.Error(), d.finding) {
			t.Errorf("%s: found is %v", d.name, err)
		}
		if d.undo == nil {
			continue
		}
		d.undo()
		if err := r.verify(t); err != nil {
			t.Fatalf("undone: %s: %v", d.name, err)
		}
	}
}

// newest is the head of a partition's chain.
func (r *rig) newest(t *testing.T, partition int) *schema.Commit {
	t.Helper()
	head, err := ledger.New(r.store, nil).Head(t.Context(), r.streams[partition])
	must(t, err)
	return head.Commit
}

// disk is where an object's file is.
func (r *rig) disk(t *testing.T, key string) string {
	t.Helper()
	return filepath.Join(embeddedtest.S3(t).Dir, r.at.Prefix, key)
}

func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	one := make([]byte, 1)
	_, err = f.ReadAt(one, info.Size()/2)
	must(t, err)
	one[0] ^= 1
	_, err = f.WriteAt(one, info.Size()/2)
	must(t, errors.Join(err, f.Close()))
}

// move takes a file, with its attributes, to another place.
func move(t *testing.T, from, to string) {
	t.Helper()
	f, ok := file{}, false
	all, err := readFolder(filepath.Dir(from))
	must(t, err)
	if f, ok = all[filepath.Base(from)]; !ok {
		t.Fatalf("%s is not there", from)
	}
	must(t, f.write(to))
	must(t, os.Remove(from))
}
