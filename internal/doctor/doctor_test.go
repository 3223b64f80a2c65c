package doctor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/doctor"
)

func TestReportsAreComplete(t *testing.T) {
	all := func(verdict doctor.Verdict) doctor.Examine {
		return func(context.Context) (checks []doctor.Check) {
			for _, e := range doctor.Catalog() {
				checks = append(checks, doctor.Ill(e.Name, verdict, "", "seen"))
			}
			return checks
		}
	}
	one := func(name string, verdict doctor.Verdict) doctor.Examine {
		return func(context.Context) []doctor.Check { return []doctor.Check{doctor.Ill(name, verdict, "", "seen")} }
	}
	for name, c := range map[string]struct {
		engines []doctor.Examine
		code    int
		says    string
	}{
		"all well":           {[]doctor.Examine{all(doctor.OK)}, 0, "26 ok, 0 warnings"},
		"nobody looked":      {nil, 2, "26 indeterminate"},
		"a warning":          {[]doctor.Examine{one(doctor.S3Lock, doctor.Warning), all(doctor.OK)}, 0, "1 warnings"},
		"one not looked at":  {[]doctor.Examine{one(doctor.S3Reach, doctor.OK)}, 2, "s3/create-once        not looked at"},
		"failed beats it":    {[]doctor.Examine{one(doctor.IndexReach, doctor.Failed)}, 1, "1 failed"},
		"not in the catalog": {[]doctor.Examine{all(doctor.OK), one("s3/colour", doctor.OK)}, 1, "catalogue does not have"},
	} {
		report := doctor.Run(t.Context(), time.Minute, c.engines...)
		var said strings.Builder
		if err := report.Print(&said); err != nil {
			t.Fatal(err)
		}
		if report.ExitCode() != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d, with %q in\n%s", name, report.ExitCode(), c.code, c.says, said.String())
		}
		for i, e := range doctor.Catalog() {
			if report.Checks[i].Name != e.Name {
				t.Errorf("%s: check %d is %s, want %s", name, i, report.Checks[i].Name, e.Name)
			}
		}
	}
}

func TestClocks(t *testing.T) {
	here := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		off, unit, trip time.Duration
		answers         int
		want            doctor.Verdict
	}{
		"no answer":                 {answers: 0, want: doctor.Indeterminate},
		"together":                  {unit: time.Second, trip: 20 * time.Millisecond, answers: 3, want: doctor.OK},
		"behind by two seconds":     {off: -2 * time.Second, unit: time.Millisecond, trip: 20 * time.Millisecond, answers: 1, want: doctor.Warning},
		"ahead by three seconds":    {off: 3 * time.Second, unit: time.Second, trip: 20 * time.Millisecond, answers: 1, want: doctor.Warning},
		"ahead, the answer is late": {off: 3 * time.Second, unit: time.Second, trip: 5 * time.Second, answers: 1, want: doctor.OK},
		// One answer in whole seconds cannot tell 1.4 s; ten over a second can.
		"1.4 s, one answer":  {off: 1400 * time.Millisecond, unit: time.Second, trip: time.Millisecond, answers: 1, want: doctor.OK},
		"1.4 s, ten answers": {off: 1400 * time.Millisecond, unit: time.Second, trip: time.Millisecond, answers: 10, want: doctor.Warning},
	} {
		var offset doctor.Offset
		for i := range c.answers {
			asked := here.Add(time.Duration(i) * 100 * time.Millisecond)
			shown := asked.Add(c.trip / 2).Add(c.off).Truncate(c.unit)
			offset.Answer(shown, c.unit, asked, asked.Add(c.trip))
		}
		if got := offset.Check(doctor.ClockS3, "its Date"); got.Verdict != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}
