package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

var stream = schema.Stream{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}, Partition: 3}

func open(t testing.TB, dir string, limit int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// rows makes n records of about size bytes.
func rows(n, size int) ([]schema.Record, []schema.Status) {
	list := make([]schema.Record, n)
	statuses := make([]schema.Status, n)
	for i := range list {
		list[i] = schema.Record{
			Topic: stream.Topic, TopicID: stream.TopicID, Partition: stream.Partition, Offset: int64(i), Timestamp: int64(1000 + i),
			ProducerID: -1, ProducerEpoch: -1, Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i), byte(i * 7), byte(i >> 3)}, size/3),
			Status: schema.Committed,
		}
		statuses[i] = schema.Committed
	}
	return list, statuses
}

func drawBytes(t *rapid.T, name string) []byte {
	switch rapid.IntRange(0, 3).Draw(t, name+" kind") {
	case 0:
		return nil
	case 1:
		return []byte{}
	default:
		return rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, name)
	}
}

// What is read back is what was appended, in every field, whatever the records
// are and however they are divided.
func TestFramesHoldWhatWasAppended(t *testing.T) {
	s := open(t, t.TempDir(), 1<<30)
	var reader spool.Reader
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "rows")
		list := make([]schema.Record, n)
		statuses := make([]schema.Status, n)
		offset := rapid.Int64Range(0, 1<<40).Draw(t, "first")
		for i := range list {
			r := schema.Record{
				Topic: stream.Topic, TopicID: stream.TopicID, Partition: stream.Partition, Branch: 2, Offset: offset,
				LeaderEpoch: rapid.Int32Min(-1).Draw(t, "epoch"), Timestamp: rapid.Int64().Draw(t, "time"),
				TimestampType: rapid.SampledFrom([]schema.TimestampType{schema.NoTimestamp, schema.CreateTime, schema.LogAppendTime}).Draw(t, "type"),
				ProducerID:    rapid.Int64Min(-1).Draw(t, "producer"), ProducerEpoch: rapid.Int16Min(-1).Draw(t, "producer epoch"),
				Key: drawBytes(t, "key"), Value: drawBytes(t, "value"),
				Status: rapid.SampledFrom([]schema.Status{schema.Undecided, schema.Committed, schema.Aborted, schema.Control}).Draw(t, "status"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				r.Headers = append(r.Headers, schema.Header{Name: string(drawBytes(t, "name")), Value: drawBytes(t, "header")})
			}
			list[i], statuses[i] = r, r.Status
			offset += rapid.Int64Range(1, 1000).Draw(t, "step")
		}
		cuts := rapid.SliceOfNDistinct(rapid.IntRange(0, n), 0, 4, rapid.ID).Draw(t, "cuts")
		slices.Sort(cuts)
		frames, err := s.NewFile(stream).Append(list, statuses, cuts...)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, f := range frames {
			got, err := reader.Read(f)
			if err != nil || !reflect.DeepEqual(got, list[at:at+f.Rows]) {
				t.Fatalf("%v:\n%+v, not\n%+v", err, got, list[at:at+f.Rows])
			}
			at += f.Rows
			if i, found := slices.BinarySearch(cuts, at); !found && at < n && len(frames) > len(cuts)+1 {
				t.Fatalf("a frame ends at %d, cuts are %v (%d)", at, cuts, i)
			}
			f.Drop()
		}
		if at != n || s.Used() != 0 {
			t.Fatalf("%d of %d records, %d bytes are left", at, n, s.Used())
		}
	})
}

// Every byte of a file that flips is found.
func TestDamageIsFound(t *testing.T) {
	s := open(t, t.TempDir(), 1<<30)
	list, statuses := rows(20, 30)
	frames, err := s.NewFile(stream).Append(list, statuses, 10)
	if err != nil || len(frames) != 2 {
		t.Fatal(frames, err)
	}
	name := files(t, s)[0]
	sound, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, body []byte) {
		t.Helper()
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, f := range frames {
			var reader spool.Reader
			if _, err := reader.Read(f); errors.Is(err, spool.ErrUnreadable) {
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s: both frames can be read", what)
		}
	}
	for at := range sound {
		flipped := slices.Clone(sound)
		flipped[at] ^= 1 << (at % 8)
		check(fmt.Sprint("bit of byte ", at), flipped)
		check(fmt.Sprint("cut at ", at), sound[:at])
	}
	half := frames[0].Bytes()
	check("exchanged", append(slices.Clone(sound[half:]), sound[:half]...))
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	var reader spool.Reader
	if _, err := reader.Read(frames[0]); !errors.Is(err, spool.ErrUnreadable) {
		t.Errorf("a file that is gone: %v", err)
	}
}

func files(t testing.TB, s *spool.Spool) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Dir(), "*.frames"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFileGoesWithItsLastFrame(t *testing.T) {
	s := open(t, t.TempDir(), 1<<30)
	list, statuses := rows(20, 300)
	f := s.NewFile(stream)
	frames, err := f.Append(list, statuses, 10)
	if err != nil {
		t.Fatal(err)
	}
	frames[0].Hold()
	for _, frame := range frames {
		frame.Drop()
	}
	if err := s.Sweep(); err != nil || len(files(t, s)) != 1 || f.Over() {
		t.Fatalf("%v: a frame is held, and its file is gone", err)
	}
	var reader spool.Reader
	if _, err := reader.Read(frames[0]); err != nil {
		t.Error(err)
	}
	frames[0].Drop()
	if err := s.Sweep(); err != nil || len(files(t, s)) != 0 || s.Used() != 0 {
		t.Errorf("%v: files %v, %d bytes are used", err, files(t, s), s.Used())
	}
	frames, err = f.Append(list, statuses)
	if err != nil || len(files(t, s)) != 1 {
		t.Fatalf("%v: the next append begins another file; there is %v", err, files(t, s))
	}
	if got, err := reader.Read(frames[0]); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("in another file: %v", err)
	}
}

func TestLimit(t *testing.T) {
	s := open(t, t.TempDir(), 2000)
	list, statuses := rows(100, 3000)
	f := s.NewFile(stream)
	cuts := make([]int, 100)
	for i := range cuts {
		cuts[i] = i
	}
	frames, err := f.Append(list, statuses, cuts...)
	if !errors.Is(err, spool.ErrFull) || len(frames) == 0 || s.Used() > 2000 {
		t.Fatalf("%v with %d frames, %d bytes are used", err, len(frames), s.Used())
	}
	for i, frame := range frames {
		var reader spool.Reader
		if got, err := reader.Read(frame); err != nil || !reflect.DeepEqual(got, list[i:i+1]) {
			t.Errorf("frame %d of those that fitted: %v", i, err)
		}
		frame.Drop()
	}
	if again, err := s.NewFile(stream).Append(list[:1], statuses[:1]); err != nil || len(again) != 1 {
		t.Errorf("with room again: %v", err)
	}
	small := open(t, t.TempDir(), 20)
	if frames, err := small.NewFile(stream).Append(list[:1], statuses[:1]); !errors.Is(err, spool.ErrTooLarge) || errors.Is(err, spool.ErrFull) || len(frames) > 0 || small.Used() > 0 {
		t.Errorf("into a spool of 20 bytes: %v with %d frames, %d bytes are used", err, len(frames), small.Used())
	}
}

// One folder, one process; it is nobody else's to read; and what a dead process
// left is gone.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s, err := spool.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	list, statuses := rows(3, 30)
	if _, err := s.NewFile(stream).Append(list, statuses); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{s.Dir(): 0o700 | os.ModeDir, files(t, s)[0]: 0o600, filepath.Join(s.Dir(), "spool.lock"): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s is %v, not %v (%v)", name, info.Mode(), want, err)
		}
	}
	if _, err := spool.Open(dir, 1<<20); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	left := files(t, s)[0] + ".kept" // as after a kill
	if err := os.Link(files(t, s)[0], left); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(left, filepath.Join(s.Dir(), "1.frames")); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir, 1<<20)
	if got := next.Leftover(); got.Files != 1 || got.Bytes == 0 || len(files(t, next)) != 0 {
		t.Errorf("of the one before %+v was deleted, %v is left", got, files(t, next))
	}
	wide := t.TempDir()
	if err := os.Mkdir(filepath.Join(wide, "annals-spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(wide, "annals-spool"), 0o755); err != nil { //nolint:gosec // the test's point
		t.Fatal(err)
	}
	if _, err := spool.Open(wide, 1<<20); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a folder that others can read: %v", err)
	}
}

const killedEnv = "ANNALS_TEST_SPOOL_KILLED"

// A process that is killed lets go of its folder, and what it left is deleted by
// the next one.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killedEnv); dir != "" {
		s := open(t, dir, 1<<20)
		list, statuses := rows(100, 300)
		if _, err := s.NewFile(stream).Append(list, statuses); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), killedEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%v\n%s", err, out)
	}
	s := open(t, dir, 1<<20)
	if left := s.Leftover(); left.Files != 1 || left.Bytes == 0 || len(files(t, s)) != 0 || s.Used() != 0 {
		t.Errorf("of the killed one %+v was deleted, %v is left", left, files(t, s))
	}
}

// childEnv has this test binary be a process whose files may not grow: the
// kernel refuses the write that is too long, through the real path.
const childEnv = "ANNALS_TEST_SPOOL_SMALL_FILES"

func TestDiskRefuses(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		refused(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskRefuses$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func refused(t *testing.T, dir string) {
	signal.Ignore(unix.SIGXFSZ)
	if err := syscall.Setrlimit(unix.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, 1<<30)
	list, statuses := rows(4000, 300)
	for i := range list { // so that it does not compress to nothing
		for j := range list[i].Value {
			list[i].Value[j] = byte(i*j + j*j>>3 ^ i>>2)
		}
	}
	cuts := make([]int, 0, 200)
	for i := range 200 {
		cuts = append(cuts, i*20)
	}
	f := s.NewFile(stream)
	frames, err := f.Append(list, statuses, cuts...)
	if !errors.Is(err, syscall.EFBIG) || len(frames) == 0 || s.Used() > 64<<10 {
		t.Fatalf("%v with %d frames and %d bytes", err, len(frames), s.Used())
	}
	var reader spool.Reader
	at := 0
	for _, frame := range frames {
		got, err := reader.Read(frame)
		if err != nil || !reflect.DeepEqual(got, list[at:at+frame.Rows]) {
			t.Fatalf("what was written before cannot be read: %v", err)
		}
		at += frame.Rows
	}
	if more, err := s.NewFile(stream).Append(list[:20], statuses[:20]); err != nil || len(more) != 1 {
		t.Errorf("another file: %v", err)
	}
}
