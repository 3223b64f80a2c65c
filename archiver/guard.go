package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// The guard answers one question before anything more is committed: is what is
// archived a prefix of the log that is to be read on? (Step 3 of the commit
// protocol, docs/formats/commit.md section 9.) A partition goes through these
// transitions; a model of the protocol names them the same:
//
//	open     the group gives the partition; head or genesis is found; with rows
//	         in the chain it is doubted
//	doubt    nothing is taken in, fed or cut: at open, when a record's leader
//	         epoch differs from that of the record before it (the record is left
//	         unread), when a listing names another leader epoch, when the client
//	         says that the log was truncated, when the log ends below what was
//	         taken in, and when another writer won
//	guard    asked of one leader, by its epoch: topic ID, where the leader epoch
//	         of our newest record ends, the bytes at its offset, and whether the
//	         record that came is in the same log
//	pass     they are the same, or nothing that is served says otherwise
//	         (unknown, which is recorded): reading goes on behind the buffer
//	forget   the buffer is of another history, the archive is not: it is dropped
//	         and read again. If the index was given some of it: diverge at next
//	diverge  the archive is of another history from a branch point on: a
//	         divergence commit, the buffer is dropped, next is the branch point
//	lost     another writer took the seq of the divergence: from its head, guard
//	         again
//	take, cut, put, commit   as in seal.go: only of a partition that is passed
//
// Old bytes stay where they are; nothing is ever written below next without a
// divergence in between. Rivals are harmless: a divergence takes a seq as any
// commit does, and after it the guard passes, so that whoever crashed before
// or after it, or lost it, does not repeat it.
type guardState uint8

const (
	passed  guardState = iota // zero: nothing stands in the way
	doubted                   // to be asked
	asked                     // a guard runs
)

// doubts are a partition's, guarded by the Archiver's mutex.
type doubts struct {
	guard       guardState
	why         string
	doubtedAt   time.Time     // the first time
	askAt       time.Time     // not before
	wait        time.Duration // doubled with each failure
	reload      bool          // the head may have moved
	epoch       int32         // the leader epoch whose log was passed; -1: not known
	atLeast     int32         // the leader epoch that was seen in a record, or in a listing
	hand        *entry        // the record that came and was left unread; nil: none
	skimmed     *endings      // what a skim over several leader epochs found; nil: nothing
	approved    *entry        // the one that was found in the log that was passed; nil: none
	shown       int64         // up to here, exclusive, the index was given rows of a branch
	shownBranch int32         // that branch
	shownLast   *witness      // the last of them, of when the partition was dropped; nil: see rows
	unknown     string        // why the last guard could not compare; empty: it could
}

// leftover is what a dropped partition had given to the index above its head.
type leftover struct {
	branch int32
	shown  int64
	last   *witness // the last row of its buffer; nil: too large to be kept
}

// mostLeftover bounds what is kept of a record of a dropped partition.
const mostLeftover = 64 << 10

// leave remembers, of a partition that is dropped, what it had given to the
// index and not sealed: if it comes back, that is held against the log too.
func (a *Archiver) leave(p *partition) {
	last := p.last()
	if last == nil {
		last = p.shownLast
	}
	if last != nil && p.shown > p.head.Next {
		left := leftover{branch: p.branch(), shown: p.shown}
		if last.Bytes() <= mostLeftover {
			left.last = last
		}
		a.left[p.stream.Key()] = left
	}
}

// takeUp puts what was left to a partition that came back on the same branch.
func (a *Archiver) takeUp(p *partition) {
	left, ok := a.left[p.stream.Key()]
	delete(a.left, p.stream.Key())
	if !ok || p.stopped != "" || left.branch != p.branch() || left.shown <= p.head.Next {
		return
	}
	p.shown, p.shownBranch, p.shownLast = left.shown, left.branch, left.last
	a.doubt(p, "it comes back, and had given records to the index that are not sealed")
}

// doubt stops a partition until its guard has passed. Needs mu. Verdicts that
// were skimmed may be of another history: they are used on only if the guard
// finds all that was skimmed in the log. Without that, a large transaction over
// several leader epochs would be skimmed again at each of them, for ever.
func (a *Archiver) doubt(p *partition, why string) {
	p.pause, p.resume = true, false
	known := p.known
	if p.guard != passed {
		known = nil
	}
	a.counted(p, func() { p.skim, p.known, p.skimmed = nil, nil, known })
	p.suspect = nil // what was taken for unreadable may be, too
	if p.guard != passed {
		return
	}
	p.guard, p.why, p.doubtedAt, p.askAt, p.wait = doubted, why, time.Now(), time.Time{}, 0
	a.log.Debug("is the archive a prefix of the log", "topic", p.stream.Topic, "partition", p.stream.Partition, "offset", p.expected, "why", why)
}

// guard is one run of the checks.
type guard struct {
	a        *Archiver
	admin    *kafka.Admin
	log      *slog.Logger
	p        *partition // only to be found again
	stream   schema.Stream
	head     ledger.Head
	reload   bool
	buffered *witness        // the last one taken in and not archived; nil: none
	hand     *entry          // the record that came behind it; nil: none
	expected int64           // the offset that should come next
	decider  *schema.Decider // the marker behind that which decided what is held; nil: none
	skimmed  *endings
	shown    bool // the index has rows above the head that are not archived
	atLeast  int32
	since    time.Time

	leader   kafka.Leader
	archived archived
}

// The outcomes, as the metric names them.
const (
	outcomeSame     = "same"     // byte for byte
	outcomeEpoch    = "epoch"    // the record is gone; its leader epoch vouches
	outcomeNothing  = "nothing"  // nothing is archived
	outcomeUnknown  = "unknown"  // the broker's answers prove nothing
	outcomeDiverged = "diverged" // a divergence was committed
	outcomeFailed   = "failed"   // no answer; it is asked again
)

// finding is what a guard found out.
type finding struct {
	outcome string
	note    string
	lose    bool           // the buffer is of another history
	commit  *schema.Commit // the divergence
	// approved: the record that came is in the log that was passed.
	approved bool
	skim     bool // what was skimmed is in the log that was passed
	// archived: the archive was looked at, and its newest row is of this epoch.
	archived bool
	epoch    int32
}

// guardTimeout bounds one run: the few requests of a check, or the walk to a
// branch point.
const guardTimeout = 2 * time.Minute

// askGuards starts the guards that are due. Needs mu, and does not wait.
func (a *Archiver) askGuards(ctx context.Context, now time.Time) {
	for _, p := range a.partitions {
		if p.guard != doubted || p.sealing || p.stopped != "" || now.Before(p.askAt) || a.asking >= openers {
			continue
		}
		p.guard = asked
		g := &guard{
			a: a, admin: a.admin, p: p, stream: p.stream, head: p.head, reload: p.reload,
			shown: p.shown > p.head.Next, atLeast: p.atLeast, since: p.doubtedAt,
			hand: p.hand, expected: p.expected, decider: decidedBy(p.verdicts, p.expected), skimmed: p.skimmed,
			archived: archived{store: a.store},
			log:      a.log.With("topic", p.stream.Topic, "partition", p.stream.Partition),
		}
		if g.buffered = p.last(); g.buffered == nil {
			g.buffered = p.shownLast
		}
		a.asking++
		a.guards.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, guardTimeout)
			defer cancel()
			found, err := g.run(bounded)
			if ctx.Err() == nil {
				a.guarded(g, found, err)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.asking--
		})
	}
}

// guarded applies what a guard found out.
func (a *Archiver) guarded(g *guard, found finding, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.changed.Broadcast()
	key := kafkaKey(g.stream)
	if err == nil && found.commit != nil {
		a.feedDivergence(g, found)
	}
	p := g.p
	if a.partitions[key] != p || p.stopped != "" {
		return
	}
	if err != nil {
		a.guardFailed(p, key, err)
		return
	}
	a.clear(causeOfGuard(key))
	a.metrics.guards.WithLabelValues(found.outcome).Inc()
	moved := g.head.Next != p.head.Next || g.head.Commit.Branch != p.head.Commit.Branch
	if moved || found.lose {
		a.log.Warn("buffered records are dropped and read again", "topic", key.Topic, "partition", key.Partition,
			"offset", g.head.Next, "records", p.count(), "why", p.why)
		a.feed.restart(p.stream, g.head.Next)
		a.held -= p.discard(g.head)
	}
	if moved && found.commit == nil {
		a.catchup.compare(p.stream) // the winner may have died before it told the index
	}
	if p.unknown = ""; found.outcome == outcomeUnknown {
		p.unknown = found.note
		a.log.Warn("it is not known whether the archive is a prefix of the log; it is read on",
			"topic", key.Topic, "partition", key.Partition, "offset", p.expected, "why", found.note)
	}
	if found.archived {
		p.archivedEpoch = found.epoch
	}
	p.approved, p.hand = nil, nil
	a.counted(p, func() {
		if found.skim && !moved && !found.lose && p.skimmed == g.skimmed {
			p.known = g.skimmed
		}
		p.skimmed = nil
	})
	if found.approved && p.expected == g.expected { // makeRoom may have dropped what it follows
		p.approved = g.hand
	}
	if p.shownLast = nil; g.head.Commit.Branch != p.shownBranch {
		p.shown, p.shownBranch = 0, g.head.Commit.Branch
	}
	p.head = g.head
	p.guard, p.reload, p.atLeast, p.epoch = passed, false, -1, g.leader.Epoch
	p.seek, p.resume, p.pause = true, !p.aside, p.aside
}

// guardFailed asks again later, unless the chain itself does not hold.
func (a *Archiver) guardFailed(p *partition, key kafka.TopicPartition, err error) {
	a.metrics.guards.WithLabelValues(outcomeFailed).Inc()
	if schema.KindOf(err) == schema.Corrupt {
		a.giveUp(p, onStore, err)
		return
	}
	if errors.Is(err, kafka.ErrTopicGone) {
		a.topics.look() // recreated: discovery will purge and add it
	}
	var lost *ledger.LostError
	p.guard, p.reload = doubted, true
	p.wait = min(max(2*p.wait, 250*time.Millisecond), 10*time.Second)
	p.askAt = time.Now().Add(retry.Spread(p.wait))
	if errors.As(err, &lost) {
		p.askAt, p.wait = time.Time{}, 0
		return
	}
	if p.wait > 250*time.Millisecond { // a moving leadership is no trouble
		a.trouble(causeOfGuard(key), err)
	}
}

// run asks, and commits a divergence if that is the answer. It may change
// g.head.
func (g *guard) run(ctx context.Context) (finding, error) {
	moved := false
	if g.reload {
		head, err := g.a.ledger.Head(ctx, g.stream)
		if err != nil {
			return finding{}, err
		}
		moved = head.Next != g.head.Next || head.Commit.Branch != g.head.Commit.Branch
		g.head = head
	}
	if err := g.findLeader(ctx); err != nil {
		return finding{}, err
	}
	found, err := g.check(ctx, moved)
	if err == nil {
		err = g.approve(ctx, &found)
	}
	if err == nil && found.commit == nil {
		found.skim, err = g.skimHolds(ctx)
	}
	return found, err
}

// check holds what is buffered against the log, and the archive, unless the
// buffer stands on it and is the same, and so are the markers behind it that
// decided any of it: then the archive below it is.
func (g *guard) check(ctx context.Context, moved bool) (finding, error) {
	outcome, lost, err := g.checkBuffer(ctx)
	if err != nil {
		return finding{}, err
	}
	short := false
	if !lost {
		if short, err = g.endsInGap(ctx); err != nil {
			return finding{}, err
		}
	}
	if outcome != "" && !lost && !short && !moved && !g.head.Ended {
		return finding{outcome: outcome}, nil
	}
	found, err := g.checkArchive(ctx)
	if err != nil {
		return found, err
	}
	found.lose = lost || short
	why := ""
	switch {
	case found.commit != nil:
	case g.head.Ended:
		why = endedWrongly
	case lost && g.shown:
		why = shownInVain
	}
	if why != "" {
		epoch, known := found.epoch, found.archived
		found, err = g.raise(ctx, why, known && epoch == nothingHeld)
		found.epoch, found.archived = epoch, known
	}
	return found, err
}

// checkBuffer holds what is buffered against the log; outcome is empty if there
// is nothing to hold.
func (g *guard) checkBuffer(ctx context.Context) (outcome string, lost bool, err error) {
	if g.buffered == nil {
		return "", false, nil
	}
	h, err := g.holds(ctx, &g.buffered.Record, g.buffered.difference)
	if err != nil {
		return "", false, err
	}
	if h.outcome != outcomeSame && h.outcome != outcomeEpoch {
		g.log.Warn("the log does not hold what was read from it last", "offset", g.buffered.Offset, "found", h.evidence)
		return h.outcome, true, nil
	}
	lost, err = g.lostMarker(ctx, g.decider)
	return h.outcome, lost, err
}

// endsInGap tells whether the log ends below what was passed over last as not
// served: its last record is there, and offsets behind it are to come again.
func (g *guard) endsInGap(ctx context.Context) (bool, error) {
	top := g.head.Next
	if g.buffered != nil {
		top = max(top, g.buffered.Offset+1)
	}
	if g.expected <= top {
		return false, nil
	}
	bounds, err := g.bounds(ctx)
	if err != nil || bounds.HighWatermark >= g.expected {
		return false, err
	}
	g.log.Warn("the log ends below what was passed over as not served", "offset", g.expected, "log_end", bounds.HighWatermark)
	return true, nil
}

// findLeader makes sure that the topic is the stream's, and that whoever says
// to lead is not known to have been deposed.
func (g *guard) findLeader(ctx context.Context) error {
	leader, err := g.admin.Leader(ctx, g.stream.Topic, g.stream.Partition)
	switch {
	case err != nil:
		return err
	case leader.TopicID != g.stream.TopicID:
		return schema.Errorf(schema.NotFound, "guard %s: %w: the ID is %s now", g.stream, kafka.ErrTopicGone, leader.TopicID)
	case leader.Node < 0:
		return schema.Errorf(schema.Unavailable, "guard %s: it has no leader now", g.stream)
	case leader.Epoch < g.atLeast:
		return g.behind(leader, g.atLeast)
	}
	g.leader = leader
	return nil
}

// behind refuses a leader whose epoch is below one that was seen, until it has
// stayed so for a while: it may be a deposed one that does not know it yet, or
// a cluster that was restored from a copy.
func (g *guard) behind(leader kafka.Leader, seen int32) error {
	if time.Since(g.since) > g.a.options.StaleLeader {
		g.leader = leader
		return nil
	}
	return schema.Errorf(schema.Unavailable, "guard %s: its leader has epoch %d, a record of epoch %d was seen; it is asked again for %s before it is believed",
		g.stream, leader.Epoch, seen, g.a.options.StaleLeader)
}

// checkArchive holds the newest archived record against the log.
func (g *guard) checkArchive(ctx context.Context) (finding, error) {
	segments, err := g.a.ledger.Tail(ctx, g.stream, g.head)
	if err != nil {
		return finding{}, err
	}
	g.archived.segments = segments
	ours, err := g.archived.newest(ctx, g.head.Next)
	if kind := schema.KindOf(err); kind == schema.Corrupt || kind == schema.NotFound {
		g.log.Error("the archive is damaged; its newest record cannot be held against Kafka", "offset", g.head.Next, "err", err)
		return finding{outcome: outcomeUnknown, note: err.Error(), archived: true, epoch: epochUnknown}, nil
	}
	if err != nil {
		return finding{}, err
	}
	if ours == nil {
		return g.withoutRows(ctx)
	}
	if g.leader.Epoch < ours.LeaderEpoch {
		if err := g.behind(g.leader, ours.LeaderEpoch); err != nil {
			return finding{}, err
		}
	}
	h, err := g.holds(ctx, ours, difference)
	if err != nil {
		return finding{}, err
	}
	if (h.outcome == "" || h.outcome == outcomeEpoch) && h.logStart <= ours.Offset {
		if err := g.lookBack(ctx, ours, &h); err != nil {
			return finding{}, err
		}
	}
	if h.outcome != outcomeDiverged {
		lost, err := g.lostMarker(ctx, g.head.DecidedBy)
		if err != nil {
			return finding{}, err
		}
		if lost {
			h.upper = g.head.Next
			h.add("verdicts from offset %d on were given by the %s marker at %d, of leader epoch %d, which is not in the log",
				g.head.DecidedBy.From, g.head.DecidedBy.Verdict, g.head.DecidedBy.Offset, g.head.DecidedBy.LeaderEpoch)
			return g.diverge(ctx, ours, &h)
		}
		other, err := g.otherBehind(ctx, ours.Offset+1, &h)
		if err != nil {
			return finding{}, err
		}
		if other {
			return g.diverge(ctx, ours, &h)
		}
	}
	switch h.outcome {
	case "": // what Kafka deleted cannot contradict what is archived
		return finding{outcome: outcomeUnknown, note: h.evidence, archived: true, epoch: ours.LeaderEpoch}, nil
	case outcomeDiverged:
		return g.diverge(ctx, ours, &h)
	default:
		return finding{outcome: h.outcome, note: h.evidence, archived: true, epoch: ours.LeaderEpoch}, nil
	}
}

// withoutRows is the check of a chain that has no row: there is nothing that a
// log could contradict, unless it was cut off, or ends, below where the chain goes
// on, or has what was deleted.
func (g *guard) withoutRows(ctx context.Context) (finding, error) {
	h := holding{end: kafka.EpochEnd{Epoch: -1, End: -1}}
	other, err := g.cutBelowNext(ctx, &h)
	if !other && err == nil {
		other, err = g.otherBehind(ctx, 0, &h)
	}
	if !other || err != nil {
		return finding{outcome: outcomeNothing, archived: true, epoch: nothingHeld}, err
	}
	return g.diverge(ctx, &schema.Record{Offset: -1, LeaderEpoch: -1}, &h)
}

// otherBehind tells whether the log is another one behind the rows, the last of
// which is before top, though it holds them.
func (g *guard) otherBehind(ctx context.Context, top int64, h *holding) (bool, error) {
	other, err := g.endsBelowNext(ctx, top, h)
	if !other && err == nil {
		other, err = g.servesDeleted(ctx, top, h)
	}
	return other, err
}

// servesDeleted tells whether the log has offsets of the gap that the newest
// commit ends in, though they were deleted: a log does not get back what was. It
// was set back, and is longer again; or its new leader has yet to delete them, and
// then they may be archived as well. Gaps of other classes say nothing: replicas
// are cleaned one by one, and have sound bytes where another's are not.
func (g *guard) servesDeleted(ctx context.Context, top int64, h *holding) (bool, error) {
	gaps := g.head.Commit.Gaps
	if top >= g.head.Next || len(gaps) == 0 {
		return false, nil
	}
	gap := gaps[len(gaps)-1]
	if gap.Class != schema.GapBeforeLogStart || gap.To != g.head.Next {
		return false, nil
	}
	bounds, err := g.bounds(ctx)
	if err != nil || bounds.LogStart >= g.head.Next {
		return false, err
	}
	page, err := g.admin.Page(ctx, g.stream, g.leader, max(gap.From, bounds.LogStart), pageBytes)
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange): // it was deleted just now
		return false, nil
	case err != nil:
		return false, err
	case len(page.Records) == 0 || page.Records[0].Offset >= g.head.Next:
		return false, nil
	}
	h.reread = true
	h.add("offset %d is served, and was deleted when the archive went on at %d", page.Records[0].Offset, g.head.Next)
	return true, nil
}

// endsBelowNext tells whether the log ends below next though it holds the rows,
// the last of which is before top: next stands behind a gap, or on a genesis
// without rows. What comes at those offsets is new, and must be archived.
func (g *guard) endsBelowNext(ctx context.Context, top int64, h *holding) (bool, error) {
	if top >= g.head.Next {
		return false, nil
	}
	bounds, err := g.bounds(ctx)
	if err != nil || bounds.HighWatermark >= g.head.Next {
		return false, err
	}
	h.add("the log has offsets %d to %d, and the chain goes on at %d, with no row from %d on", bounds.LogStart, bounds.HighWatermark, g.head.Next, top)
	return true, nil
}

func causeOfGuard(key kafka.TopicPartition) cause {
	return cause{onKafka, fmt.Sprintf("holding %s against its archive", key), key}
}
