package archiver

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/schema"
)

// Whatever is archived, compacted away or differs, the branch point is never
// above the first record that differs and never below what is provably the
// same, and few pages are read for it.
func TestBranchPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floor := rapid.Int64Range(0, 50).Draw(t, "floor")
		end := floor + rapid.Int64Range(1, 3000).Draw(t, "archived")
		differs := rapid.Int64Range(floor, end).Draw(t, "differs from")
		density := rapid.IntRange(1, 20).Draw(t, "one in so many is left")
		page := rapid.IntRange(1, 40).Draw(t, "records of a page")
		var ours, log []schema.Record
		lastSame, firstDiffers := int64(-1), end
		for offset := floor; offset < end; offset++ {
			ours = append(ours, schema.Record{Offset: offset})
			if rapid.IntRange(1, density).Draw(t, "left") > 1 {
				continue
			}
			r := schema.Record{Offset: offset}
			if offset >= differs {
				r.ProducerID, firstDiffers = 1, min(firstDiffers, offset)
			} else {
				lastSame = offset
			}
			log = append(log, r)
		}
		probes := 0
		w := walk{floor: floor, top: firstDiffers, vouched: -1, probe: func(from, below int64) (overlap, error) {
			if probes++; from < floor || from >= below {
				t.Fatalf("probe [%d, %d)", from, below)
			}
			var served []schema.Record
			for i := range log {
				if log[i].Offset >= from && len(served) < page {
					served = append(served, log[i])
				}
			}
			var rows []schema.Record
			for i := range ours {
				if ours[i].Offset >= from && ours[i].Offset < below {
					rows = append(rows, ours[i])
				}
			}
			return compare(rows, served), nil
		}}
		if rapid.Bool().Draw(t, "epochs known") {
			w.vouched = differs
			w.top = min(w.top, differs)
		}
		got, err := w.point()
		if err != nil {
			t.Fatal(err)
		}
		want := max(lastSame+1, floor)
		if w.vouched >= 0 {
			want = differs // a record that is gone is vouched for too
		}
		if got != want {
			t.Fatalf("branch point %d, want %d (first difference %d)", got, want, firstDiffers)
		}
		if probes > 40 {
			t.Fatalf("%d probes", probes)
		}
	})
}

// What the epochs vouch for does not count where the bytes deny it.
func TestBytesDenyTheEpochs(t *testing.T) {
	w := walk{floor: 0, top: 100, vouched: 100, probe: func(from, below int64) (overlap, error) {
		o := overlap{same: -1, differ: -1}
		if from < 40 {
			o.same = min(below, 40) - 1
		}
		if below > 40 {
			o.differ = max(from, 40)
		}
		return o, nil
	}}
	if got, err := w.point(); got != 40 || err != nil {
		t.Errorf("branch point %d, %v", got, err)
	}
}

// Each field that the broker gives makes a difference; a verdict, which it
// does not give, makes none.
func TestDifference(t *testing.T) {
	ours := schema.Record{Offset: 1, Status: schema.Aborted, Key: []byte{}, Headers: []schema.Header{{Name: "a", Value: nil}, {Name: "a", Value: []byte{}}}}
	theirs := ours
	theirs.Status = schema.Undecided
	if field := difference(&ours, &theirs); field != "" {
		t.Errorf("the same differ in %s", field)
	}
	for field, change := range map[string]func(*schema.Record){
		"leader epoch": func(r *schema.Record) { r.LeaderEpoch++ }, "timestamp": func(r *schema.Record) { r.Timestamp++ },
		"timestamp type": func(r *schema.Record) { r.TimestampType++ }, "producer ID": func(r *schema.Record) { r.ProducerID++ },
		"producer epoch": func(r *schema.Record) { r.ProducerEpoch++ }, "status": func(r *schema.Record) { r.Status = schema.Control },
		"key": func(r *schema.Record) { r.Key = nil }, "value": func(r *schema.Record) { r.Value = []byte{} },
		"headers": func(r *schema.Record) {
			r.Headers = []schema.Header{{Name: "a", Value: []byte{}}, {Name: "a", Value: nil}}
		},
	} {
		theirs := ours
		if change(&theirs); difference(&ours, &theirs) != field {
			t.Errorf("%s: %q", field, difference(&ours, &theirs))
		}
	}
}
