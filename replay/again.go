package replay

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// madeTopics are the topics that replays made: all that is in them is copies, whether
// the records say so, in headers that name the original, or not.
type madeTopics map[schema.TopicID]bool

// madeBy is what is known of one job's topics, as of a state object.
type madeBy struct {
	etag   string
	topics []schema.TopicID
}

// madeTopics reads the states of all jobs that changed since they were read last. One
// that cannot be read tells nothing.
func (s *Service) madeTopics(ctx context.Context) (madeTopics, error) {
	objects, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	s.making.Lock()
	defer s.making.Unlock()
	var mu sync.Mutex
	known := make(map[string]madeBy, len(objects))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for _, object := range objects {
		id := idOf(object)
		if was := s.made[id]; was.etag != "" && was.etag == object.ETag {
			mu.Lock()
			known[id] = was
			mu.Unlock()
			continue
		}
		group.Go(func() error {
			st, err := s.loadState(reading, id)
			if kind := schema.KindOf(err); err != nil && (reading.Err() != nil || kind == schema.Unavailable || kind == schema.Permission) {
				return err
			}
			if err != nil {
				s.log.Warn("the state of a replay cannot be read: topics that it made are not known", "replay", id, "err", err)
				return nil
			}
			now := madeBy{etag: st.etag}
			for i := range st.Targets {
				if t := &st.Targets[i]; !t.Existed && t.ID != nil {
					now.topics = append(now.topics, *t.ID)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			known[id] = now
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	s.made = known
	out := madeTopics{}
	for _, one := range known {
		for _, id := range one.topics {
			out[id] = true
		}
	}
	return out, nil
}
