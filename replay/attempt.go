package replay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// How long a worker waits for Kafka before it begins again.
const (
	initWait   = 2 * time.Minute  // other transactions with its ID must end first
	commitWait = 2 * time.Minute  // of one transaction
	stopWait   = 10 * time.Second // the transaction that is open when it is told to stop
)

// attempt is one go at a job, from whatever state it is in.
type attempt struct {
	*destination
	claim    *claim
	doc      *document
	lanes    []lane
	producer Producer
}

// step is one of those from planned to delivered, as it is traced.
type step struct {
	name string
	do   func(context.Context) error
}

// attempt takes a job from where it stands to its end. After nil the state
// says Done, or Failed with a receipt.
func (s *Service) attempt(ctx context.Context, c *claim) (err error) {
	ctx, span := s.options.Tracer.Start(ctx, "replay", slog.String("replay", c.id), slog.Int64("planned", c.planned))
	defer func() {
		span.Set(slog.Int64("produced", c.produced.Load()))
		span.End(err)
	}()
	_, d, err := s.loadPlan(ctx, c.id)
	if err != nil {
		return err
	}
	to, err := s.destinationOf(d)
	if err != nil {
		return err
	}
	a := &attempt{destination: to, claim: c, doc: d, lanes: d.lanes(c.id)}
	steps := []step{{"check sources", a.checkSources}, {"prepare targets", a.ready}, {"check targets", a.checkTargets}, {"deliver", a.deliverRest}}
	compare := a.reconcile
	if d.File != "" {
		steps, compare = []step{{"check sources", a.checkSources}, {"prepare targets", a.readyFiles}, {"deliver", a.writeRest}}, a.reconcileFiles
	}
	for _, step := range steps {
		if err := s.options.Tracer.Do(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	if err := c.update(ctx, func(st *state) {
		c.progressed(st)
		st.State, st.Error = answer.JobReconciling, ""
		if st.Delivered.IsZero() {
			st.Delivered = time.Now().UTC()
		}
	}); err != nil {
		return err
	}
	var receipt *answer.Receipt
	err = s.options.Tracer.Do(ctx, "reconcile", func(ctx context.Context) (err error) {
		receipt, err = compare(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	return c.end(ctx, receipt)
}

// end keeps what came of a job that was delivered.
func (c *claim) end(ctx context.Context, receipt *answer.Receipt) error {
	at := time.Now().UTC()
	ended := func(st *state) {
		c.progressed(st)
		st.Receipt, st.ReadBack, st.State, st.Error = receipt, receipt.ReadBack, answer.JobDone, ""
		if !receipt.Matches {
			st.State, st.Error = answer.JobFailed, "the target differs from the plan; the receipt says where"
		}
		st.Finished, st.Lease = at, nil
	}
	last := c.state()
	ended(last)
	report, err := c.service.keepReceipt(ctx, last)
	if err != nil {
		return err
	}
	return c.update(ctx, func(st *state) {
		ended(st)
		st.Report = report
	})
}

// ready makes the targets and the position topic and keeps what they are. Only
// then is anything produced.
func (a *attempt) ready(ctx context.Context) error {
	st := a.claim.state()
	if st.Position != nil {
		return nil
	}
	if _, err := a.live(ctx); err != nil { // before anything is made in another cluster than was planned
		return err
	}
	place, err := a.positionReady(ctx, a.claim.id)
	if err != nil {
		return err
	}
	known, err := a.config(ctx, place.Topic)
	if err != nil {
		return err
	}
	targets := slices.Clone(st.Targets)
	if err := a.measure(ctx, targets); err != nil {
		return err
	}
	targets, err = a.targetsReady(ctx, a.doc, targets, known)
	if err != nil {
		return err
	}
	return a.claim.update(ctx, func(st *state) {
		st.Targets, st.Position, st.State, st.Error = targets, place, answer.JobRunning, ""
		if st.Started.IsZero() {
			st.Started = time.Now().UTC()
		}
	})
}

// checkTargets refuses to go on into other topics than those that were made
// ready, or from other positions.
func (a *attempt) checkTargets(ctx context.Context) error {
	live, err := a.live(ctx)
	if err != nil {
		return err
	}
	st := a.claim.state()
	check := func(name string, id schema.TopicID, what string) error {
		there := find(live, name)
		if there != nil && there.ID == id {
			return nil
		}
		if there == nil && !slices.ContainsFunc(live.Topics, func(t kafka.Topic) bool { return t.ID == id && t.Err != nil }) {
			return schema.Errorf(schema.NotFound, "%s %s (%s) was deleted while the replay was under way", what, name, id)
		}
		if there == nil {
			return schema.Errorf(schema.Unavailable, "%s %s does not answer", what, name)
		}
		return schema.Errorf(schema.Conflict, "%s %s was deleted and made again while the replay was under way: it was %s and is %s", what, name, id, there.ID)
	}
	for i := range st.Targets {
		if err := check(st.Targets[i].Name, *st.Targets[i].ID, "target topic"); err != nil {
			return err
		}
	}
	return check(st.Position.Topic, st.Position.TopicID, "position topic")
}

// deliverRest fences earlier workers, finds where the job stands, and delivers
// what is left.
func (a *attempt) deliverRest(ctx context.Context) error {
	limits := map[string]int32{}
	st := a.claim.state()
	for i := range st.Targets {
		limits[st.Targets[i].Name] = a.batchLimit(ctx, &st.Targets[i])
	}
	producer, err := a.cluster.Producer(kafka.ProducerOptions{
		TransactionalID: transactionalID(a.claim.id), TransactionTimeout: a.options.Transaction,
		BatchBytes: func(topic string) int32 {
			if limit, ok := limits[topic]; ok {
				return limit
			}
			return 1_000_012
		},
	})
	if err != nil {
		return err
	}
	defer producer.Close()
	a.producer = producer
	beginning, cancel := context.WithTimeout(ctx, initWait)
	defer cancel()
	if _, err := producer.Init(beginning); err != nil {
		return withRights(err)
	}
	at, err := a.resume(ctx, a.claim.id, st.Position, producer)
	if err != nil {
		return err
	}
	a.claim.produced.Store(at.Produced)
	if err := a.registerProducer(ctx, answer.JobRunning); err != nil {
		return err
	}
	if a.claim.state().Cancel {
		return errCancelled
	}
	if at.Produced > 0 {
		a.log.Info("replay goes on", "replay", a.claim.id, "produced", at.Produced, "lane", at.Lane, "next", at.Next)
	}
	if err := a.claim.beginStep(ctx, at.Produced); err != nil {
		return err
	}
	a.claim.measure()
	return a.deliver(ctx, at)
}

// registerProducer keeps the producer's ID before records carry it, so that
// the receipt can tell them from others'.
func (a *attempt) registerProducer(ctx context.Context, now string) error {
	id := offset(a.producer.ID())
	st := a.claim.state()
	if slices.Contains(st.Producers, id) && st.State == now && st.Error == "" {
		return nil
	}
	return a.claim.update(ctx, func(st *state) {
		st.State, st.Error = now, ""
		if !slices.Contains(st.Producers, id) {
			st.Producers = append(slices.Clone(st.Producers), id)
		}
	})
}

// batchLimit is how large a batch may be before compression: the topic's own
// limit, and never less than its largest planned record.
func (a *attempt) batchLimit(ctx context.Context, t *target) int32 {
	limit := int64(1_000_012)
	config, err := a.config(ctx, t.Name)
	if n, ok := number(config[messageBytes]); ok && err == nil {
		limit = n
	} else {
		a.log.Info("the limits of a replay's target are unknown", "topic", t.Name, "err", err)
	}
	return int32(min(max(limit, int64(t.Largest), smallestBatch), maxRecordBytes))
}
