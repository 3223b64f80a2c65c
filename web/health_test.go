package web_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fx-risk-ai/annals/web"
)

func TestHealthFollowsItsDependencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		h := web.NewHealth(map[string]func(context.Context) error{
			"kafka": func(context.Context) error { return nil },
			"store": func(context.Context) error {
				if away.Load() {
					return errors.New("connection refused")
				}
				return nil
			},
		})
		h.Also = func() map[string]string {
			return map[string]string{"kafka": "", "store": "a partition is stopped", "index": "behind"}
		}
		is := func(want map[string]string) {
			t.Helper()
			if got := h.Now(); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		is(map[string]string{"kafka": "not asked yet", "store": "not asked yet"})
		go h.Watch(t.Context())
		synctest.Wait()
		is(map[string]string{"kafka": "", "store": "a partition is stopped", "index": "behind"})
		away.Store(true)
		time.Sleep(3 * time.Second)
		is(map[string]string{"kafka": "", "store": "connection refused", "index": "behind"})
		away.Store(false)
		time.Sleep(3 * time.Second)
		is(map[string]string{"kafka": "", "store": "a partition is stopped", "index": "behind"})
	})
}
