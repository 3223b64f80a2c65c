package replay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The versions of the state object. The second has pauses, paces, lateness and
// offset maps, the third who asked for the job and who approved it; a state of an
// earlier one becomes one of the third when it is written again. The fourth has what
// plans have from their fifth version on, and is written only for those.
const (
	stateFormatFirst = "annals.replay-job/1"
	stateFormatPaced = "annals.replay-job/2"
	stateFormat      = "annals.replay-job/3"
	stateFormatAway  = "annals.replay-job/4"
)

// maxStateBytes bounds a state object; its receipt has a line a partition.
const maxStateBytes = 16 << 20

// state is a job's state object. It changes only by conditional writes: each
// names itself with a fresh Write, so that a lost answer can be told from
// somebody else's change.
type state struct {
	Format    string                 `json:"format"`
	ID        string                 `json:"id"`
	Write     string                 `json:"write"`
	State     string                 `json:"state"`
	Plan      answer.ReplayPlan      `json:"plan"` // for people; the plan object is what is worked from
	Targets   []target               `json:"targets"`
	Position  *positionPlace         `json:"position"`
	Producers []offset               `json:"producers"` // IDs that the job's records carry
	Produced  int64                  `json:"produced,string"`
	ReadBack  int64                  `json:"read_back,string"`
	Cancel    bool                   `json:"cancel"` // asked for, not done yet
	Pause     bool                   `json:"pause"`  // the same
	Pace      answer.ReplayPace      `json:"pace"`
	Lateness  *answer.ReplayLateness `json:"lateness"`
	Lease     *lease                 `json:"lease"`
	Created   time.Time              `json:"created"`
	Started   time.Time              `json:"started"`
	Delivered time.Time              `json:"delivered"` // everything, the last transaction included
	Updated   time.Time              `json:"updated"`
	Finished  time.Time              `json:"finished"`
	ETA       float64                `json:"eta_seconds"`
	Error     string                 `json:"error"`
	Receipt   *answer.Receipt        `json:"receipt"`

	RequestedBy string         `json:"requested_by"`   // who ran the plan first
	Queued      time.Time      `json:"queued"`         // since when it waits for a worker, or waited
	Approval    *approval      `json:"approval"`       // null: none is needed
	Step        int64          `json:"step,string"`    // records to produce before it pauses again, from where it goes on
	StepTo      int64          `json:"step_to,string"` // pauses when so many are produced; 0: does not
	Report      *schema.Digest `json:"report"`         // the page of the receipt; null: none was kept

	etag string
}

// isBegun tells whether a worker has made everything ready: from then on records may
// be in the target.
func (st *state) isBegun() bool { return !st.Started.IsZero() }

// format is the lowest version that has what the state says.
func (st *state) format() string {
	if r := &st.Plan.Request; r.TargetCluster != "" || r.TargetFile != "" || r.IncludeReplays {
		return stateFormatAway
	}
	return stateFormat
}

// lease says who works on a job, and until when nobody else takes it.
type lease struct {
	Holder  string    `json:"holder"`
	Expires time.Time `json:"expires"`
}

func (st *state) isEnded() bool {
	return st.State == answer.JobDone || st.State == answer.JobFailed || st.State == answer.JobCancelled || st.State == answer.JobRejected
}

// isHeld tells whether the job waits for a person: no worker may have it.
func (st *state) isHeld() bool {
	return st.isEnded() || st.State == answer.JobPaused || st.State == answer.JobAwaiting
}

// isLeased tells whether a worker has the job, by its lease.
func (st *state) isLeased(now time.Time) bool { return st.Lease != nil && !now.After(st.Lease.Expires) }

// job is the state as callers see it.
func (st *state) job() *answer.ReplayJob {
	j := &answer.ReplayJob{
		ID: st.ID, State: st.State, Plan: st.Plan, Planned: st.Plan.Records, Produced: st.Produced, ReadBack: st.ReadBack,
		Started: st.Started, Updated: st.Updated, Finished: st.Finished, Error: st.Error, Receipt: st.Receipt,
		Pace: st.Pace, Lateness: st.Lateness, Delivered: st.Delivered, RequestedBy: st.RequestedBy,
	}
	if st.Approval != nil {
		j.Approval = &st.Approval.ReplayApproval
	}
	if j.Pace.Mode == "" {
		j.Pace.Mode = answer.PaceFast // of a state that was written before there were paces
	}
	if !st.isHeld() {
		j.ETASeconds = st.ETA
	}
	return j
}

func stateKey(id string) string { return schema.ReplayPrefix + id + "/state.json" }

// loadState reads a job's state; NotFound if the plan was never run.
func (s *Service) loadState(ctx context.Context, id string) (*state, error) {
	if !isID(id) {
		return nil, schema.InvalidField("id", "%.80q is no replay's ID: want 64 lower-case hex digits", id)
	}
	raw, object, err := s.store.Get(ctx, stateKey(id), maxStateBytes)
	if schema.KindOf(err) == schema.NotFound {
		return nil, schema.Errorf(schema.NotFound, "no replay %s", id)
	}
	if err != nil {
		return nil, err
	}
	st := &state{etag: object.ETag}
	if err := schema.DecodeStrictly(raw, st); err != nil {
		return nil, schema.Newer(raw, schema.Errorf(schema.Corrupt, "read state of replay %s: %w", id, err), stateFormatFirst, stateFormatPaced, stateFormat, stateFormatAway)
	}
	if err := schema.CheckFormat(st.Format, stateFormatFirst, stateFormatPaced, stateFormat, stateFormatAway); err != nil {
		return nil, fmt.Errorf("read state of replay %s: %w", id, err)
	}
	if st.ID != id {
		return nil, schema.Errorf(schema.Corrupt, "read state of replay %s: it says %s", id, st.ID)
	}
	return st, nil
}

// save writes st over the state it was read from, or as the first one. Conflict
// tells that it was changed, or is there already. st is as written after nil.
func (s *Service) save(ctx context.Context, st *state) error {
	st.Format, st.Write, st.Updated = st.format(), rand.Text(), time.Now().UTC()
	body, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode state of replay %s: %w", st.ID, err)
	}
	pauses := retry.Between(100*time.Millisecond, time.Second)
	for attempt := 1; ; attempt++ {
		var object objstore.Object
		if st.etag == "" {
			object, err = s.store.PutIfAbsent(ctx, stateKey(st.ID), body)
		} else {
			object, err = s.store.PutIfMatch(ctx, stateKey(st.ID), st.etag, body)
		}
		if err == nil {
			st.etag = object.ETag
			return nil
		}
		unclear := errors.Is(err, objstore.ErrUncertain) || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrChanged)
		if unclear {
			if mine, readErr := s.isWritten(ctx, st); readErr != nil || mine {
				return readErr
			}
		}
		if schema.KindOf(err) == schema.Conflict {
			return schema.Errorf(schema.Conflict, "replay %s was changed meanwhile: %w", st.ID, err)
		}
		if attempt == 5 || !unclear && !errors.Is(err, objstore.ErrBusy) {
			return err
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// isWritten tells whether st is what stands there, and if so takes its ETag.
func (s *Service) isWritten(ctx context.Context, st *state) (bool, error) {
	there, err := s.loadState(ctx, st.ID)
	if schema.KindOf(err) == schema.NotFound {
		return false, nil
	}
	if err != nil || there.Write != st.Write {
		return false, err
	}
	st.etag = there.etag
	return true, nil
}
