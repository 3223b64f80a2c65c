package forecast

import "time"

// Load is the steady traffic of one partition.
type Load struct {
	Topic            string  `json:"topic"`
	Partition        int32   `json:"partition"`
	RecordsPerSecond float64 `json:"records_per_second"`
	BytesPerRecord   float64 `json:"bytes_per_record"` // keys, values and headers
	// Overhead is what a record takes of a buffer beside its bytes: cuts are by
	// its bytes, budgets are of both.
	Overhead    float64 `json:"overhead_per_record"`
	Compression float64 `json:"compression"` // bytes in a segment for one of those, its fixed part apart
}

// Settings are everything else that the arithmetic needs.
type Settings struct {
	Cut       Cut
	Archivers int // processes that share the partitions; 1 if zero
	// Servers are the processes with the role serve; each looks for replays.
	Servers int
	// Snapshots is how often each archiver looks what consumer groups have committed;
	// 0: never.
	Snapshots time.Duration
	// IndexRows and IndexBytes are what the index takes for one record, over
	// all its tables.
	IndexRows, IndexBytes float64
	// Keep is how long segments are kept, for what storage will cost in the
	// end; IndexKeep the same of index rows. 0: for ever, counted as 10 years.
	Keep, IndexKeep time.Duration
	Prices          Prices
}

// What every segment and every commit costs beside its records, as measured on
// the demo: a segment of two records has 7,848 bytes, of fifteen 8,800 (the
// footer, its statistics and Bloom filters); a commit has 1,312.
const (
	SegmentBytes = 7_800
	CommitBytes  = 1_312
)

// What a buffered record takes beside its bytes, as the archiver counts it.
const (
	RowOverhead    = 256
	HeaderOverhead = 64
)

// What a process asks of the store with no traffic at all: each whether the
// bucket is there, every two seconds; a server which replays there are, every
// five.
const (
	headsPerDay = 86_400 / 2
	listsPerDay = 86_400 / 5
)

// A look at the consumer groups and the access rules lists the newest snapshot of each,
// and writes what groups have committed, which is taken to change each time. Access
// rules are taken not to change: they are written once an hour.
const (
	listsPerLook    = 2
	unchangedPerDay = 24
)

// A rollup repeats a thousand commits in one object, for which each is read
// once.
const perRollup = 1000

const (
	secondsPerDay = 86_400
	daysPerMonth  = 365.25 / 12
	forEver       = 3652.5 // days, where something is kept for ever
	gigabyte      = 1e9
)

// Line is what a class of partitions comes to; figures are a day's, but for
// the money.
type Line struct {
	Class       string  `json:"class"`
	Topics      int     `json:"topics"` // with at least one partition in the class
	Partitions  int     `json:"partitions"`
	Records     float64 `json:"records_day"`
	RawBytes    float64 `json:"raw_bytes_day"`
	Segments    float64 `json:"segments_day"`
	MeanSegment float64 `json:"mean_segment_raw_bytes"`
	Puts        float64 `json:"put_day"`
	Gets        float64 `json:"get_day"` // HEAD included
	Lists       float64 `json:"list_day"`
	Objects     float64 `json:"objects_day"`
	Stored      float64 `json:"stored_bytes_day"`
	IndexRows   float64 `json:"index_rows_day"`
	IndexBytes  float64 `json:"index_bytes_day"`

	RequestCost float64 `json:"requests_usd_month"`
	FirstMonth  float64 `json:"first_month_usd"` // requests, and the storage of half a month on average
	InTheEnd    float64 `json:"in_the_end_usd"`  // a month, once as much is dropped as comes, or after 10 years
}

// Forecast is what an archive comes to.
type Forecast struct {
	Lines []Line `json:"classes"` // those of Classes that have partitions, then "processes"
	Total Line   `json:"total"`
	// Active is how many partitions have any traffic.
	Active int `json:"active_partitions"`
	// Ceiling is the raw size at which the memory budget cuts a segment before
	// its time; 0: memory suffices.
	Ceiling float64 `json:"memory_cuts_at_bytes"`
	// Spool is how large the spool of each process must be for no segment to be
	// cut before its time; 0: memory suffices.
	Spool float64 `json:"spool_needed_bytes"`
}

// Processes is the class of what is asked of the store without any traffic.
const Processes = "processes"

// Estimate does the arithmetic. It is pure.
func Estimate(loads []Load, s Settings) Forecast {
	type share struct {
		load    Load
		rate    float64 // bytes of a buffer a second
		seconds float64 // until a cut
		class   string
	}
	shares := make([]share, len(loads))
	sizes := make([]float64, 0, len(loads)) // of buffers when they are cut
	raw, held := 0.0, 0.0                   // bytes of all of them: the records' alone, and with their overhead
	for i, l := range loads {
		shares[i] = share{load: l, class: Idle, rate: max(0, l.RecordsPerSecond*(l.BytesPerRecord+l.Overhead))}
		if shares[i].rate > 0 {
			shares[i].seconds, shares[i].class = s.Cut.fill(l.RecordsPerSecond * l.BytesPerRecord)
			size := shares[i].rate * shares[i].seconds
			sizes = append(sizes, size)
			raw, held = raw+size*l.BytesPerRecord/(l.BytesPerRecord+l.Overhead), held+size
		}
	}
	bare := raw / max(held, 1e-9)
	ceiling := s.Cut.ceiling(sizes, s.Archivers, bare)
	needed := s.Cut.spool(sizes, s.Archivers, bare)
	lines := map[string]*Line{}
	topics := map[string]map[string]bool{}
	f := Forecast{Active: len(sizes), Spool: needed}
	for _, p := range shares {
		l := lines[p.class]
		if l == nil {
			l = &Line{Class: p.class}
			lines[p.class], topics[p.class] = l, map[string]bool{}
		}
		l.Partitions++
		topics[p.class][p.load.Topic] = true
		if p.rate == 0 {
			continue
		}
		seconds := p.seconds
		if p.rate*seconds > ceiling {
			seconds, f.Ceiling = ceiling/p.rate, ceiling*bare
		}
		// A buffer's age begins with its first record, which lets itself be
		// waited for where records are few.
		l.add(p.load, secondsPerDay/(seconds+1/p.load.RecordsPerSecond), s)
	}
	all := map[string]bool{}
	for _, class := range Classes {
		if l := lines[class]; l != nil {
			l.Topics = len(topics[class])
			for topic := range topics[class] {
				all[topic] = true
			}
			f.take(*l, s)
		}
	}
	processes := float64(max(1, s.Archivers) + s.Servers)
	idle := Line{Class: Processes, Gets: processes * headsPerDay, Lists: float64(s.Servers) * listsPerDay}
	if s.Snapshots > 0 {
		looks := secondsPerDay / s.Snapshots.Seconds()
		idle.Lists += float64(max(1, s.Archivers)) * looks * listsPerLook
		idle.Puts = looks + unchangedPerDay // of all archivers: one that is new enough is left at that
		idle.Objects = idle.Puts
	}
	f.take(idle, s)
	f.Total.Class, f.Total.Topics = "total", len(all)
	return f
}

// add counts a partition that is cut so often a day.
func (l *Line) add(p Load, segments float64, s Settings) {
	records := p.RecordsPerSecond * secondsPerDay
	l.Records += records
	l.RawBytes += records * p.BytesPerRecord
	l.Segments += segments
	l.Puts += 2*segments + segments/perRollup
	l.Gets += segments + segments/perRollup
	l.Objects += 2*segments + segments/perRollup
	l.Stored += records*p.BytesPerRecord*p.Compression + segments*(SegmentBytes+2*CommitBytes)
	l.IndexRows += records * s.IndexRows
	l.IndexBytes += records * s.IndexBytes
}

// take prices a line and adds it to the total.
func (f *Forecast) take(l Line, s Settings) {
	if l.Segments > 0 {
		l.MeanSegment = l.RawBytes / l.Segments
	}
	l.RequestCost = daysPerMonth * ((l.Puts+l.Lists)*s.Prices.Put1000 + l.Gets*s.Prices.Get1000) / 1000
	storage := func(days, indexDays float64) float64 {
		return l.Stored*days/gigabyte*s.Prices.StoreGBMonth + l.IndexBytes*indexDays/gigabyte*s.Prices.IndexGBMonth
	}
	l.FirstMonth = l.RequestCost + storage(daysPerMonth/2, daysPerMonth/2)
	l.InTheEnd = l.RequestCost + storage(days(s.Keep), days(s.IndexKeep))
	f.Lines = append(f.Lines, l)
	t := &f.Total
	t.Partitions += l.Partitions
	t.Records += l.Records
	t.RawBytes += l.RawBytes
	t.Segments += l.Segments
	t.Puts += l.Puts
	t.Gets += l.Gets
	t.Lists += l.Lists
	t.Objects += l.Objects
	t.Stored += l.Stored
	t.IndexRows += l.IndexRows
	t.IndexBytes += l.IndexBytes
	t.RequestCost += l.RequestCost
	t.FirstMonth += l.FirstMonth
	t.InTheEnd += l.InTheEnd
	if t.Segments > 0 {
		t.MeanSegment = t.RawBytes / t.Segments
	}
}

func days(d time.Duration) float64 {
	if d == 0 {
		return forEver
	}
	return d.Hours() / 24
}

// Scale makes the loads add up to a rate: in proportion, or evenly where there
// is no traffic to be in proportion to.
func Scale(loads []Load, recordsPerSecond float64) {
	sum := 0.0
	for _, l := range loads {
		sum += l.RecordsPerSecond
	}
	for i := range loads {
		if sum > 0 {
			loads[i].RecordsPerSecond *= recordsPerSecond / sum
		} else {
			loads[i].RecordsPerSecond = recordsPerSecond / float64(len(loads))
		}
	}
}
