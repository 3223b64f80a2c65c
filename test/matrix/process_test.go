package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	ot "github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// processPoints are where a process dies or stands still.
var processPoints = map[string]bool{
	"kafka fetch": true, "s3 list ledger": true, "s3 put genesis": true, "s3 put segment": true, "s3 put commit": true,
	"index insert records": true, "index insert segment": true,
}

// engines say where a process finds what the test runs.
type engines struct {
	Kafka, KafkaUser, KafkaPassword        string
	S3, Region, Bucket, Prefix             string
	Access, Secret                         string
	Search, Database, SearchUser, SearchPW string

	Spool     string // its folder; empty: none
	FileLimit uint64 // no file may become larger; 0: as large as it likes
	Hold      bool   // nothing is asked to be sealed before SIGUSR1 comes
}

// archiverProcess archives until everything that Kafka holds is sealed and
// indexed. It returns the exit code.
func archiverProcess(input string) int {
	if err := runArchiver(input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runArchiver(input string) error {
	var e engines
	if err := json.Unmarshal([]byte(input), &e); err != nil {
		return err
	}
	store, err := objstore.Open(objstore.Options{
		Endpoint: e.S3, Region: e.Region, Bucket: e.Bucket, Prefix: e.Prefix, PathStyle: true, AccessKey: e.Access, SecretKey: e.Secret,
	})
	if err != nil {
		return err
	}
	x, err := index.Open(index.Options{Addr: e.Search, Database: e.Database, User: e.SearchUser, Password: e.SearchPW, Partition: "years"})
	if err != nil {
		return err
	}
	rules, err := extract.New(extract.Options{})
	if err != nil {
		return err
	}
	o := options(kafka.Options{
		Brokers: []string{e.Kafka}, ClientID: "matrix", MetadataMaxAge: time.Second, Logger: slog.New(slog.DiscardHandler),
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: e.KafkaUser, Password: e.KafkaPassword},
	}, "annals-archiver", "process", slog.New(slog.DiscardHandler))
	s := e.spooling()
	if s != nil {
		s.use(&o)
	}
	if err := e.limit(); err != nil {
		return err
	}
	a, err := archiver.New(o, untried{store}, ledger.New(store, nil), x, rules)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*recovery)
	defer stop()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if e.Hold {
		select {
		case err := <-done:
			return err
		case <-asked:
		}
	}
	if err := archiveAll(ctx, a, done); err != nil {
		return err
	}
	stop()
	return errors.Join(<-done, e.wasLimited(s))
}

func archiveAll(ctx context.Context, a *archiver.Archiver, done <-chan error) error {
	for ctx.Err() == nil {
		select {
		case err := <-done:
			return errors.Join(errors.New("the archiver ended by itself"), err)
		case <-time.After(50 * time.Millisecond):
		}
		if a.CatchUp(ctx) != nil {
			continue
		}
		if _, err := a.Seal(ctx, true); err != nil || len(a.Topics().Topics) == 0 {
			continue // the partitions may have gone to another, and come back
		}
		if err := a.Indexed(ctx); err == nil {
			return nil
		}
	}
	return ctx.Err()
}

// signalled is a process that gets a signal at a point, and whoever waits for
// that.
type signalled struct {
	*trigger
	signal syscall.Signal
	before bool
	pid    chan int      // gets the process
	struck chan struct{} // closed when the signal was sent
	thaw   chan struct{} // the request that was held goes on when it is closed
	once   sync.Once
}

func (s *signalled) strike() {
	s.once.Do(func() {
		_ = syscall.Kill(<-s.pid, s.signal) // it may be gone
		close(s.struck)
	})
}

// arm lays the signal at a point.
func (s *signalled) arm(p *point, r *rig) {
	if p.engine == onKafka {
		r.broker.Cluster().ControlKey(int16(p.key), func(kmsg.Request) (kmsg.Response, error, bool) {
			if s.pull() {
				s.strike()
			}
			return nil, nil, false
		})
		return
	}
	hold := func() { s.strike(); <-s.thaw }
	a := &ambush{trigger: s.trigger, match: p.http, fault: ot.None}
	if s.before {
		a.before = hold
	} else {
		a.after = hold
	}
	at := r.s3
	if p.engine == onIndex {
		at = r.search
	}
	at.arm(a)
}

// breakProcess is a case whose archiver, a process of its own, is killed at a
// point, or stands still there until another has done its work.
func breakProcess(t *testing.T, b *breakage, p *place) {
	r := newRig(t, p)
	r.some(t)
	r.some(t)
	s := &signalled{
		trigger: &trigger{n: 1 + b.variant/2, count: 1}, signal: syscall.SIGKILL, before: (b.variant%2 == 0) == (b.column == stopped),
		pid: make(chan int, 1), struck: make(chan struct{}), thaw: make(chan struct{}),
	}
	if b.column == stopped {
		s.signal = syscall.SIGSTOP
	}
	goOn := sync.OnceFunc(func() { close(s.thaw) })
	t.Cleanup(goOn) // before the proxy ends, which waits for what it holds
	s.arm(b.point, r)
	cmd, ended, said := r.spawn(t)
	s.pid <- cmd.Process.Pid
	var end error
	second := setting{direct: true}
	if b.column == stopped {
		second.group = "rival"
		select {
		case <-s.struck:
		case end = <-ended:
		case <-time.After(recovery):
		}
	} else {
		goOn()
		end = <-ended
	}
	if s.hits() == 0 {
		t.Fatalf("%s × %s did not fire; the process ended: %v: %s", b.point.name, b.column, end, said)
	}
	a, stop := r.archive(t, second)
	r.settle(t, a, true)
	stop()
	if b.column == stopped {
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatalf("the process that should stand still: %v; its end: %v: %s", err, end, said)
		}
		goOn()
		if err := <-ended; err != nil {
			t.Fatalf("the process that stood still ended: %v: %s", err, said)
		}
	}
	must(t, r.verify(t))
}

// spawn starts an archiver's process. ended gets what its end was.
func (r *rig) spawn(t *testing.T, changes ...func(*engines)) (cmd *exec.Cmd, ended <-chan error, said *bytes.Buffer) {
	t.Helper()
	e := engines{
		Kafka: r.broker.Addr(), KafkaUser: r.broker.User(), KafkaPassword: r.broker.Password(),
		S3: r.s3.addr, Region: r.at.Region, Bucket: r.at.Bucket, Prefix: r.at.Prefix, Access: r.at.AccessKey, Secret: r.at.SecretKey,
		Search: r.search.addr, Database: r.place.database, SearchUser: r.place.user, SearchPW: r.place.password,
	}
	for _, change := range changes {
		change(&e)
	}
	input, err := json.Marshal(e)
	must(t, err)
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+string(input))
	said = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = io.Discard, said
	must(t, cmd.Start())
	done := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		done <- cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it is gone, unless the test failed
		<-gone
	})
	return cmd, done, said
}
