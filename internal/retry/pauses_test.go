package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
)

func TestPausesGrowToTheirBoundAndDiffer(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		p := retry.Between(100*time.Millisecond, time.Second)
		for i, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			most *= time.Millisecond
			got := p.Next()
			if got < most/2 || got > most+1 {
				t.Fatalf("pause %d is %s, want %s to %s", i+1, got, most/2, most)
			}
			seen[got] = true
		}
		p.Reset()
		if got := p.Next(); got > 100*time.Millisecond+1 {
			t.Fatalf("the first pause after a success is %s", got)
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d different pauses of 600", len(seen))
	}
}

func TestSpreadDrawsFromTheUpperHalf(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		got := retry.Spread(time.Second)
		if got < time.Second/2 || got > time.Second {
			t.Fatalf("%s of a second", got)
		}
		seen[got] = true
	}
	if len(seen) < 90 || retry.Spread(0) != 0 {
		t.Errorf("%d different pauses of 100, %s of nothing", len(seen), retry.Spread(0))
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := retry.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		p := retry.Between(time.Second, time.Minute)
		began = time.Now()
		if err := p.Wait(t.Context()); err != nil || time.Since(began) < time.Second/2 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
