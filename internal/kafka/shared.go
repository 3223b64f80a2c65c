package kafka

import (
	"context"
	"sync"
	"time"
)

// sharedTimeout bounds one request of a shared; each who asks has its own
// patience besides.
const sharedTimeout = 30 * time.Second

// shared answers many who ask the same by few requests. Every answer comes from
// a request that was sent after it was asked for, so it is as good as one of
// one's own: who comes while a request is under way waits for the next one,
// together with all others who do. A thousand partitions that open at once ask
// each for all of their topic; that was a million answers.
type shared[T any] struct {
	mu     sync.Mutex
	unsent map[string]*sharedAnswer[T] // may be joined
	newest map[string]*sharedAnswer[T] // sent or unsent
}

type sharedAnswer[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// ask returns what do answers for a key, or ctx's error. do gets a context of
// its own: whoever asked first may have gone.
func (s *shared[T]) ask(ctx context.Context, key string, do func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	answer := s.unsent[key]
	if answer == nil {
		answer = &sharedAnswer[T]{done: make(chan struct{})}
		before := s.newest[key]
		if s.unsent == nil {
			s.unsent, s.newest = map[string]*sharedAnswer[T]{}, map[string]*sharedAnswer[T]{}
		}
		s.unsent[key], s.newest[key] = answer, answer
		go s.send(context.WithoutCancel(ctx), key, before, answer, do)
	}
	s.mu.Unlock()
	select {
	case <-answer.done:
		return answer.value, answer.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (s *shared[T]) send(ctx context.Context, key string, before, answer *sharedAnswer[T], do func(context.Context) (T, error)) {
	if before != nil {
		<-before.done
	}
	s.mu.Lock()
	delete(s.unsent, key)
	s.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, sharedTimeout)
	answer.value, answer.err = do(bounded)
	cancel()
	s.mu.Lock()
	if s.newest[key] == answer {
		delete(s.newest, key)
	}
	s.mu.Unlock()
	close(answer.done)
}
