package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Those who ask while a request is under way get the next one's answer, all the
// same one; never the one that was sent before they asked.
func TestSharedAnswersAreYoungerThanTheirQuestions(t *testing.T) {
	synctest.Test(t, sharedAnswers)
}

func sharedAnswers(t *testing.T) {
	var (
		s       shared[int32]
		sent    atomic.Int32
		started = make(chan struct{})
		answer  = make(chan struct{})
	)
	do := func(context.Context) (int32, error) {
		n := sent.Add(1)
		if n == 1 {
			close(started)
		}
		<-answer
		return n, nil
	}
	var asked sync.WaitGroup
	ask := func(least int32) {
		asked.Go(func() {
			if got, err := s.ask(t.Context(), "topic", do); got < least || err != nil {
				t.Errorf("answer %d (%v), at least %d was asked for", got, err, least)
			}
		})
	}
	ask(1)
	<-started
	for range 100 {
		ask(2)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ask(gone, "topic", do); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait gets %v", err)
	}
	if got, err := s.ask(t.Context(), "other", func(context.Context) (int32, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("another key's answer is %d (%v)", got, err)
	}
	synctest.Wait() // all have asked
	close(answer)
	asked.Wait()
	if n := sent.Load(); n > 20 {
		t.Errorf("%d requests for 102 questions", n)
	}
	if len(s.unsent) != 0 || len(s.newest) != 0 {
		t.Error("something is kept of what was answered")
	}
}
