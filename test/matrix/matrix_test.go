package matrix

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// cell is one fault at one point.
type cell struct{ point, column string }

// breakage is one case: a fault at a point, in one of its variants.
type breakage struct {
	point   *point
	column  string
	variant int
	run     func(*testing.T, *breakage, *place)
}

// variants of a cell: the first one runs by default. The fault befalls the
// first request, the second, or seven in a row, which is more than any client
// below the archiver repeats by itself.
const variants = 3

func (b *breakage) trigger() *trigger {
	switch {
	case b.column == conflicts: // they come in storms
		return &trigger{n: 1, count: 7 + b.variant}
	case b.variant == 1 && !b.point.rare():
		return &trigger{n: 2, count: 1}
	case b.variant == 2 && !b.damages():
		return &trigger{n: 1, count: 7}
	default:
		return &trigger{n: 1, count: 1}
	}
}

// damages tells whether the fault gives other bytes than are kept under a
// checksum. That happens once: whoever reads them twice takes them for what is
// in the store, and stops the partition, as it should.
func (b *breakage) damages() bool {
	return b.point.summed && (b.column == flippedBody || b.column == shortBody)
}

// rare tells whether a point may come by once only.
func (p *point) rare() bool {
	return p.once || p.engine == onKafka && p.key != fetchKey
}

func long() bool { return os.Getenv("ANNALS_TEST_LONG") == "1" }

// due tells which of the cells that make sense a run must hit, by row and number
// in the row: all of them in a long one, else every other, as on a chessboard,
// so that no point and no fault is left out.
func due(row, number int) bool { return long() || (row+number)%2 == 0 }

// breakages are the cases of a run, and how many of them each cell must have.
func breakages() (all []*breakage, want map[cell]int) {
	want = map[cell]int{}
	each := 1
	if long() {
		each = variants
	}
	for row, p := range points {
		number := 0
		for _, column := range columns {
			if p.whyNot(column) != "" {
				continue
			}
			if number++; !due(row, number) {
				continue
			}
			run := breakRequest
			if column == killed || column == stopped {
				run = breakProcess
			}
			for v := range each {
				all = append(all, &breakage{p, column, v, run})
			}
		}
	}
	for v := range max(fates+2, 4*each) { // one fate for all that was not synced, then each its own
		all = append(all, &breakage{syncPoint, powerLoss, v, cutPower})
	}
	for _, column := range columns {
		if spoolPoint.whyNot(column) == "" {
			for v := range spoolVariants(column) {
				all = append(all, &breakage{spoolPoint, column, v, breakSpool})
			}
		}
	}
	for v := range len(jumps) {
		all = append(all, &breakage{clockPoint, clockSkew, v, jumpClock})
	}
	for _, b := range all {
		want[cell{b.point.name, b.column}]++
	}
	return all, want
}

// Points that are no requests.
var (
	syncPoint  = &point{name: "s3 syncfs"}
	clockPoint = &point{name: "own clock"}
	spoolPoint = &point{name: "spool's disk"}
)

// TestFaultMatrix runs every case, and fails on a cell that was not hit as often
// as it has cases.
func TestFaultMatrix(t *testing.T) {
	shared := newPlace(t)
	all, want := breakages()
	var mu sync.Mutex
	hit, ran := map[cell]int{}, 0
	t.Run("cases", func(t *testing.T) {
		for _, b := range all {
			t.Run(fmt.Sprintf("%s/%s/%d", b.point.name, b.column, b.variant), func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				b.run(t, b, shared)
				mu.Lock()
				defer mu.Unlock()
				ran++
				if !t.Failed() {
					hit[cell{b.point.name, b.column}]++
				}
				t.Logf("took %s", time.Since(begin).Round(time.Millisecond))
			})
		}
	})
	if ran < len(all) {
		t.Logf("%d of %d cases ran: the matrix is not held to be complete", ran, len(all))
		return
	}
	show(t, hit, want)
	for c, n := range want {
		if hit[c] < n {
			t.Errorf("%s × %s was hit %d times of %d", c.point, c.column, hit[c], n)
		}
	}
	if least := 100; ran < least || long() && ran < 5*least {
		t.Errorf("%d cases ran", ran)
	}
	t.Logf("%d cases", ran)
}

// show prints how often each cell was hit, and why some make no sense.
func show(t *testing.T, hit, want map[cell]int) {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "%-22s", "")
	for _, column := range columns {
		fmt.Fprintf(&out, " %*s", len(column), column)
	}
	reasons := map[string][]string{}
	for _, p := range append(slices.Clone(points), syncPoint, spoolPoint, clockPoint) {
		fmt.Fprintf(&out, "\n%-22s", p.name)
		for _, column := range columns {
			c := cell{p.name, column}
			shown := fmt.Sprint(hit[c])
			if why := p.whyNot(column); why != "" {
				shown = "–"
				reasons[why] = append(reasons[why], p.name+" × "+column)
			} else if want[c] == 0 {
				shown = "."
			}
			fmt.Fprintf(&out, " %*s", len(column), shown)
		}
	}
	out.WriteString("\n.: with ANNALS_TEST_LONG=1 only; –: not applicable:")
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&out, "\n  %s: %d cells, as %s", why, len(reasons[why]), reasons[why][0])
	}
	t.Log("\n" + out.String())
}

// whyNot is senseless for all points.
func (p *point) whyNot(column string) string {
	switch {
	case p == syncPoint && column != powerLoss:
		return "what fails above the disk has points of its own"
	case p == clockPoint && column != clockSkew:
		return "a clock only jumps"
	case p == spoolPoint && spoolVariants(column) == 0:
		return "the spool is a folder of files"
	case p == syncPoint || p == clockPoint || p == spoolPoint:
		return ""
	}
	return p.senseless(column)
}

// arm lays the fault, and returns its trigger's count.
func (b *breakage) arm(t *testing.T, r *rig) (hits func() int) {
	t.Helper()
	g := b.trigger()
	switch {
	case b.point.engine == onStore:
		r.s3.arm(&ambush{trigger: g, match: b.point.http, fault: b.point.httpFault(b.column)})
	case b.point.engine == onIndex:
		r.search.arm(&ambush{trigger: g, match: b.point.http, fault: b.point.httpFault(b.column)})
	case b.column == errorAnswer:
		h := r.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{b.point.key}, Err: b.kafkaError(), Count: g.count})
		return h.Hits
	default:
		r.wire.arm(g, b.point.key, b.column)
	}
	return g.hits
}

func (b *breakage) kafkaError() *kerr.Error { return b.point.errors[b.variant%len(b.point.errors)] }

// breakRequest is a case whose archiver lives on.
func breakRequest(t *testing.T, b *breakage, p *place) {
	r := newRig(t, p)
	r.some(t)
	if b.point.again {
		r.search.cut(b.point.catchUp)
		a, stop := r.archive(t, setting{})
		r.settle(t, a, !b.point.catchUp)
		stop()
		r.search.cut(false)
	}
	hits := b.arm(t, r)
	a, stop := r.archive(t, setting{probes: b.point.probes})
	r.some(t)
	r.settle(t, a, true)
	embeddedtest.Eventually(t, recovery, func() error {
		if hits() == 0 {
			return fmt.Errorf("%s × %s did not fire", b.point.name, b.column)
		}
		return nil
	})
	r.s3.deliver(t)
	r.search.deliver(t)
	r.settle(t, a, true)
	embeddedtest.Eventually(t, recovery, func() error {
		if trouble := a.Health(); len(trouble) > 0 {
			return fmt.Errorf("all is archived, and yet: %v", trouble)
		}
		return nil
	})
	stop()
	must(t, r.verify(t))
}
