package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// Store is what a ledger needs of an object store; *objstore.Store is one. Its
// promises are those of package objstore: PutIfAbsent is atomic and is not
// repeated inside, a write that was answered is read and listed at once.
type Store interface {
	Put(ctx context.Context, key string, body []byte) (objstore.Object, error)
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	Stat(ctx context.Context, key string) (objstore.Object, error)
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
	Folders(ctx context.Context, prefix, after string) iter.Seq2[string, error]
}

// Ledger reads and appends to chains.
type Ledger struct {
	store  Store
	logger *slog.Logger
}

// New makes a Ledger over a store.
func New(store Store, logger *slog.Logger) *Ledger {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Ledger{store: store, logger: logger}
}

// Head is a chain's newest commit as somebody saw it. It may be stale at once:
// an Append to a stale head is lost, never wrong. The zero Head stands before
// a genesis.
type Head struct {
	Commit *schema.Commit
	Digest schema.Digest
	// Next is the stream's next offset to archive, from the newest commit that
	// moves it, as are DecidedBy and Seen.
	Next      int64
	DecidedBy *schema.Decider
	Seen      Seen
	// Ended tells that the topic was deleted, and the chain ended with an end: nothing
	// more is archived, unless a divergence begins a branch for a topic that is there
	// again.
	Ended bool
}

// Seen is what was last known of a partition in Kafka; nil: nothing was.
type Seen struct{ HighWatermark, LastStable, LogStart *int64 }

// moved is the head whose newest commit is c, for the newest that moves next.
func (h Head) moved(c *schema.Commit) Head {
	h.Next, h.DecidedBy = c.Next, c.DecidedBy
	h.Seen = Seen{c.HighWatermark, c.LastStableOffset, c.LogStart}
	return h
}

// IsZero tells the head of a chain that does not exist yet.
func (h Head) IsZero() bool { return h.Commit == nil }

// seq is the seq that the next commit takes.
func (h Head) seq() int64 {
	if h.IsZero() {
		return 0
	}
	return h.Commit.Seq + 1
}

// follow checks that a commit may stand directly behind h.
func (h Head) follow(c *schema.Commit) error {
	if !h.IsZero() {
		return c.CheckFollows(h.Commit, h.Digest, h.Next, h.Ended)
	}
	if c.Kind != schema.KindGenesis {
		return schema.Errorf(schema.Corrupt, "commit %d of %s: a chain begins with its genesis", c.Seq, c.Stream())
	}
	return nil
}

// behind is the head that c, which follows h, makes.
func (h Head) behind(c *schema.Commit, digest schema.Digest) Head {
	h.Commit, h.Digest = c, digest
	h.Ended = c.Kind == schema.KindEnd || h.Ended && c.Kind != schema.KindDivergence
	if c.Kind.MovesNext() {
		return h.moved(c)
	}
	return h
}

// Entry is one commit of a chain with the bytes it was read from.
type Entry struct {
	Commit *schema.Commit
	Digest schema.Digest
	Raw    []byte
}

// ErrUncertain: an Append was sent and it could not be found out whether it
// took effect. It may still take effect later. Append again with the same
// commit, or read the head and look for the commit's attempt.
var ErrUncertain = errors.New("the commit's outcome is unknown")

// LostError says that another writer's commit holds the seq. It is of kind
// Conflict. Winner is the head that the winner's commit makes; newer ones may
// stand behind it.
type LostError struct{ Winner Head }

// Error names the winner.
func (e *LostError) Error() string {
	c := e.Winner.Commit
	return fmt.Sprintf("commit %d of %s was placed by writer %q with attempt %s", c.Seq, c.Stream(), c.Writer, c.Attempt)
}

// entry parses the bytes found under the key of s's commit seq, and holds them
// against that key.
func entry(s schema.Stream, seq int64, raw []byte) (Entry, error) {
	c, err := schema.ParseCommit(raw)
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", schema.CommitKey(s, seq), err)
	}
	if c.Cluster != s.Cluster || c.TopicID != s.TopicID || c.Partition != s.Partition || c.Seq != seq {
		return Entry{}, schema.Errorf(schema.Corrupt, "read %s: holds commit %d of %s in cluster %s",
			schema.CommitKey(s, seq), c.Seq, c.Stream(), c.Cluster)
	}
	return Entry{Commit: c, Digest: schema.CommitDigest(raw), Raw: raw}, nil
}

// commit reads the commit seq of s from its own object.
func (l *Ledger) commit(ctx context.Context, s schema.Stream, seq int64) (Entry, error) {
	raw, _, err := l.store.Get(ctx, schema.CommitKey(s, seq), schema.MaxCommitBytes)
	if schema.KindOf(err) == schema.Exhausted {
		return Entry{}, schema.Errorf(schema.Corrupt, "larger than any commit: %w", err)
	}
	if err != nil {
		return Entry{}, err
	}
	return entry(s, seq, raw)
}

// checkStream refuses a stream that no key may name.
func checkStream(s schema.Stream) error {
	switch {
	case s.TopicID.IsZero():
		return schema.InvalidField("topic_id", "stream %s: the topic ID is zero; brokers before Kafka 2.8 give none, and topics are kept by ID", s)
	case s.Cluster == "" || s.Cluster != schema.EscapeTopic(s.Cluster):
		return schema.InvalidField("cluster", "stream %s: cluster ID %q cannot be part of a key", s, s.Cluster)
	case s.Partition < 0:
		return schema.InvalidField("partition", "stream %s: a negative partition", s)
	}
	return nil
}
