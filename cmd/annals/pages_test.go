package main

import (
	"errors"
	"slices"
	"strconv"
	"testing"
)

// A list of 2,500 entries, as the API would give it.
func TestTurnPages(t *testing.T) {
	const all = 2500
	for _, c := range []struct {
		limit int
		sizes []int // asked for, page by page
		got   int
	}{
		{limit: 0, sizes: []int{1000, 1000, 1000}, got: all},
		{limit: 10, sizes: []int{10}, got: 10},
		{limit: 1000, sizes: []int{1000}, got: 1000},
		{limit: 1200, sizes: []int{1000, 200}, got: 1200},
		{limit: 5000, sizes: []int{1000, 1000, 1000}, got: all},
	} {
		var sizes []int
		at := 0
		err := turnPages(c.limit, func(size int, cursor *string) (int, *string, error) {
			sizes = append(sizes, size)
			if begins := 0; cursor != nil {
				if begins, _ = strconv.Atoi(*cursor); begins != at {
					t.Errorf("limit %d: a page from %d on was asked for, want %d", c.limit, begins, at)
				}
			}
			got := min(size, all-at)
			if at += got; at == all {
				return got, nil, nil
			}
			next := strconv.Itoa(at)
			return got, &next, nil
		})
		if err != nil || at != c.got || !slices.Equal(sizes, c.sizes) {
			t.Errorf("limit %d: %d entries by pages of %v, %v; want %d by %v", c.limit, at, sizes, err, c.got, c.sizes)
		}
	}
	broken := errors.New("broken")
	if err := turnPages(0, func(int, *string) (int, *string, error) { return 0, nil, broken }); !errors.Is(err, broken) {
		t.Errorf("an error of a page is lost: %v", err)
	}
}
