package forecast_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/forecast"
)

// settings are the defaults, with one archiver and one server.
func settings() forecast.Settings {
	return forecast.Settings{
		Cut:       forecast.Cut{Bytes: 64 << 20, MinBytes: 4 << 20, Age: time.Minute, MaxAge: 15 * time.Minute, Memory: 80 << 20},
		Archivers: 1, Servers: 1, IndexRows: 10, IndexBytes: 300, Keep: 365 * 24 * time.Hour, IndexKeep: 400 * 24 * time.Hour,
		Prices: forecast.ListPrices,
	}
}

func loads(n int, recordsPerSecond float64) []forecast.Load {
	list := make([]forecast.Load, n)
	for i := range list {
		list[i] = forecast.Load{Topic: fmt.Sprint("t", i/4), Partition: int32(i % 4), RecordsPerSecond: recordsPerSecond, BytesPerRecord: 300, Compression: 0.25}
	}
	return list
}

func near(got, want, within float64) bool { return math.Abs(got-want) <= within*math.Abs(want) }

// TestByHand works three clusters out on paper.
func TestByHand(t *testing.T) {
	roomy := settings()
	roomy.Cut.Memory = 1 << 40
	spooled := settings()
	spooled.Cut.Spool = 100 << 20
	for name, c := range map[string]struct {
		loads    []forecast.Load
		settings forecast.Settings
		class    string
		segments float64 // a day, of all partitions
		ceiling  float64
	}{
		// 300 kB/s: 64 MiB in 223.7 s, but 4 MiB in 14 s, so at the age of a minute.
		"steady": {loads(10, 1000), roomy, forecast.Steady, 10 * 86400 / (60 + 0.001), 0},
		// 3 MB/s: 64 MiB in 22.4 s.
		"busy": {loads(1, 10_000), roomy, forecast.Busy, 86400 / (float64(64<<20)/3e6 + 0.0001), 0},
		// 3 kB/s: 2.7 MB in 15 minutes.
		"quiet": {loads(100, 10), roomy, forecast.Quiet, 100 * 86400 / (900 + 0.1), 0},
		// A record an hour: age begins with it.
		"sparse": {loads(4, 1.0/3600), roomy, forecast.Quiet, 4 * 86400 / (900.0 + 3600), 0},
		// 70 % of 80 MiB over 100 buffers of 18 MB, each half full on average.
		"memory": {loads(100, 1000), settings(), forecast.Steady, 100 * 86400 / (0.7*80*1048576*2/100/3e5 + 0.001), 0.7 * 80 * 1048576 * 2 / 100},
		// 200 MiB more in a spool of 100.
		"spool": {loads(100, 1000), spooled, forecast.Steady, 100 * 86400 / (0.7*280*1048576*2/100/3e5 + 0.001), 0.7 * 280 * 1048576 * 2 / 100},
		"idle":  {loads(8, 0), settings(), forecast.Idle, 0, 0},
	} {
		f := forecast.Estimate(c.loads, c.settings)
		l := f.Lines[0]
		if l.Class != c.class || !near(l.Segments, c.segments, 1e-6) || !near(f.Ceiling, c.ceiling, 1e-6) || l.Partitions != len(c.loads) {
			t.Errorf("%s: %+v, ceiling %f, want %s with %f segments and %f", name, l, f.Ceiling, c.class, c.segments, c.ceiling)
		}
		if !near(f.Total.Puts, 2.001*c.segments, 1e-6) || f.Total.Topics != (len(c.loads)+3)/4 {
			t.Errorf("%s: %+v", name, f.Total)
		}
	}
}

// TestSpoolThatWouldDo: with the spool that it names, nothing is cut before its
// time, and with a little less something is.
func TestSpoolThatWouldDo(t *testing.T) {
	for _, list := range [][]forecast.Load{loads(100, 1000), loads(10_000, 10), loads(3, 1)} {
		s := settings()
		needed := forecast.Estimate(list, s).Spool
		s.Cut.Spool = int64(needed) + 1
		if f := forecast.Estimate(list, s); f.Ceiling != 0 || f.Spool != needed {
			t.Errorf("with %.0f bytes of spool buffers are cut at %.0f", needed, f.Ceiling)
		}
		s.Cut.Spool = int64(needed * 0.9)
		if f := forecast.Estimate(list, s); (f.Ceiling == 0) != (needed == 0) {
			t.Errorf("with a tenth less than %.0f bytes of spool: cut at %f", needed, f.Ceiling)
		}
	}
}

// TestMoney prices 100 quiet partitions on paper: 9,599 segments a day.
func TestMoney(t *testing.T) {
	roomy := settings()
	roomy.Cut.Memory = 1 << 40
	f := forecast.Estimate(loads(100, 10), roomy)
	segments := 100 * 86400 / 900.1
	puts, gets := 2.001*segments+17280, 1.001*segments+2*43200
	requests := 365.25 / 12 * (puts*0.005 + gets*0.0004) / 1000
	stored := 100*10*86400*300*0.25 + segments*(forecast.SegmentBytes+2*forecast.CommitBytes)
	indexed := 100.0 * 10 * 86400 * 300
	end := requests + stored*365/1e9*0.023 + indexed*400/1e9*0.08
	if !near(f.Total.RequestCost, requests, 1e-6) || !near(f.Total.InTheEnd, end, 1e-6) {
		t.Errorf("%f and %f, want %f and %f", f.Total.RequestCost, f.Total.InTheEnd, requests, end)
	}
	if first := requests + stored*365.25/24/1e9*0.023 + indexed*365.25/24/1e9*0.08; !near(f.Total.FirstMonth, first, 1e-6) {
		t.Errorf("first month %f, want %f", f.Total.FirstMonth, first)
	}
}

func drawLoads(t *rapid.T) []forecast.Load {
	list := loads(rapid.IntRange(1, 40).Draw(t, "partitions"), 0)
	for i := range list {
		// From one record in twelve days to 100,000 a second.
		list[i].RecordsPerSecond = math.Pow(10, rapid.Float64Range(-6, 5).Draw(t, "rate"))
		list[i].BytesPerRecord = rapid.Float64Range(1, 1e6).Draw(t, "bytes")
		if rapid.IntRange(0, 4).Draw(t, "idle") == 0 {
			list[i].RecordsPerSecond = 0
		}
	}
	return list
}

// TestMoreTrafficNeverCostsLess raises one partition's rate.
func TestMoreTrafficNeverCostsLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawLoads(t)
		before := forecast.Estimate(list, settings()).Total
		one := rapid.IntRange(0, len(list)-1).Draw(t, "which")
		list[one].RecordsPerSecond = list[one].RecordsPerSecond*rapid.Float64Range(1, 50).Draw(t, "factor") + 1e-6
		after := forecast.Estimate(list, settings()).Total
		for name, pair := range map[string][2]float64{
			"money": {before.InTheEnd, after.InTheEnd}, "first month": {before.FirstMonth, after.FirstMonth},
			"requests": {before.Puts, after.Puts}, "objects": {before.Objects, after.Objects}, "bytes": {before.Stored, after.Stored},
		} {
			if pair[1] < pair[0]*(1-1e-9) {
				t.Fatalf("%s fell from %v to %v", name, pair[0], pair[1])
			}
		}
	})
}

// TestRequestsADay holds the design's formula: 2 × active partitions × 86,400
// ÷ age, where age alone cuts and records are not further apart than that.
func TestRequestsADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings()
		s.Cut.Memory = 1 << 50
		s.Cut.MaxAge = time.Duration(rapid.IntRange(60, 86400).Draw(t, "age")) * time.Second
		list := drawLoads(t)
		slowest := math.Inf(1)
		for i := range list {
			if list[i].RecordsPerSecond > 0 {
				list[i].RecordsPerSecond = max(list[i].RecordsPerSecond, 0.1)
				list[i].BytesPerRecord = rapid.Float64Range(0.01, 1).Draw(t, "share") * float64(s.Cut.MinBytes-1) / s.Cut.MaxAge.Seconds() / list[i].RecordsPerSecond
				slowest = min(slowest, list[i].RecordsPerSecond)
			}
		}
		f := forecast.Estimate(list, s)
		age := s.Cut.MaxAge.Seconds()
		formula := 2 * float64(f.Active) * 86400 / age
		puts := f.Total.Puts - f.Total.Segments/1000 // a rollup each thousand
		if puts > formula*(1+1e-9) || puts < formula*age/(age+1/slowest)*(1-1e-9) {
			t.Fatalf("%v writes a day, the formula says %v", puts, formula)
		}
	})
}

func TestScale(t *testing.T) {
	for name, list := range map[string][]forecast.Load{"idle": loads(8, 0), "not idle": append(loads(7, 1), loads(1, 5)...)} {
		forecast.Scale(list, 1200)
		sum := 0.0
		for _, l := range list {
			sum += l.RecordsPerSecond
		}
		if !near(sum, 1200, 1e-9) || name == "not idle" && !near(list[7].RecordsPerSecond, 500, 1e-9) {
			t.Errorf("%s: %f, %+v", name, sum, list)
		}
	}
	forecast.Scale(nil, 5)
}

// TestOverheadTakesMemory: a record of 300 bytes that takes 700 more in a buffer
// is cut, and fills the budget, as one of 1,000 does; its bytes stay 300.
func TestOverheadTakesMemory(t *testing.T) {
	spooled := settings()
	spooled.Cut.Spool = 100 << 20
	for _, s := range []forecast.Settings{settings(), spooled} {
		list, plain := loads(100, 1000), loads(100, 1000)
		for i := range list {
			list[i].Overhead = 700
			plain[i].BytesPerRecord = 1000
		}
		if s.Cut.Spool > 0 {
			for i := range plain {
				plain[i].BytesPerRecord = 300
			}
		}
		got, like := forecast.Estimate(list, s), forecast.Estimate(plain, s)
		switch {
		case !near(got.Total.RawBytes, 100*1000*86400*300, 1e-9):
			t.Errorf("%v raw bytes a day", got.Total.RawBytes)
		case s.Cut.Spool == 0 && (!near(got.Total.Segments, like.Total.Segments, 1e-9) || !near(got.Ceiling, like.Ceiling*0.3, 1e-9)):
			t.Errorf("%v segments cut at %v, want %v at %v", got.Total.Segments, got.Ceiling, like.Total.Segments, like.Ceiling*0.3)
		case s.Cut.Spool > 0 && (got.Total.Segments <= like.Total.Segments || got.Ceiling >= like.Ceiling):
			t.Errorf("with a spool: %v segments cut at %v, without overhead %v at %v", got.Total.Segments, got.Ceiling, like.Total.Segments, like.Ceiling)
		}
	}
}

// What memory takes beside a record's bytes fills budgets, and cuts nothing
// while these suffice.
func TestOverheadFillsBudgetsAlone(t *testing.T) {
	estimate := func(overhead float64, memory int64) forecast.Forecast {
		s := settings()
		s.Cut.Memory = memory
		return forecast.Estimate([]forecast.Load{{
			Topic: "t", RecordsPerSecond: 1000, BytesPerRecord: 100, Overhead: overhead, Compression: 0.25,
		}}, s)
	}
	small, large := estimate(0, 4<<30), estimate(900, 4<<30)
	if small.Total.Puts != large.Total.Puts || large.Ceiling != 0 {
		t.Errorf("%.0f PUT a day without overhead, %.0f with it, cut at %.0f by memory", small.Total.Puts, large.Total.Puts, large.Ceiling)
	}
	small, large = estimate(0, 16<<20), estimate(900, 16<<20)
	if small.Ceiling != 0 || large.Ceiling == 0 || large.Total.Puts <= small.Total.Puts {
		t.Errorf("with little memory %.0f and %.0f PUT a day, cut at %.0f and %.0f", small.Total.Puts, large.Total.Puts, small.Ceiling, large.Ceiling)
	}
}

// Snapshots cost a cluster so much whatever comes, and each archiver its looks.
func TestSnapshotsADay(t *testing.T) {
	bare := forecast.Estimate(nil, forecast.Settings{Archivers: 3})
	with := forecast.Estimate(nil, forecast.Settings{Archivers: 3, Snapshots: 5 * time.Minute})
	if puts, lists := with.Total.Puts-bare.Total.Puts, with.Total.Lists-bare.Total.Lists; puts != 288+24 || lists != 3*2*288 || with.Total.Objects != puts || with.Total.Gets != bare.Total.Gets {
		t.Errorf("%g PUT, %g LIST, %g objects a day", puts, lists, with.Total.Objects)
	}
}
