package demo

import (
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Regions of currencies, as the risk team groups them.
const (
	europe       = "Europe"
	northAmerica = "North America"
	latinAmerica = "Latin America"
	asiaPacific  = "Asia-Pacific"
	middleEast   = "Middle East"
	africa       = "Africa"
)

// currency is what the market-data team knows about a currency.
type currency struct {
	code   string // ISO 4217
	name   string
	region string
	// reference is the rate at which portfolio positions were once set up, in
	// units for one euro: the order of magnitude of the first quote.
	reference float64
	// major marks the most traded currencies.
	major bool
	// lane is the partition, of four.
	lane int
}

// currencies by ISO 4217 code. TRL and TRY, ROL and RON are two each: a
// position in a redenominated currency ends with it.
var currencies = map[string]currency{
	"USD": {"USD", "US dollar", northAmerica, 1.18, true, 0},
	"JPY": {"JPY", "Japanese yen", asiaPacific, 134, true, 1},
	"BGN": {"BGN", "Bulgarian lev", europe, 1.9558, false, 3},
	"CYP": {"CYP", "Cyprus pound", europe, 0.582, false, 2},
	"CZK": {"CZK", "Czech koruna", europe, 35, false, 3},
	"DKK": {"DKK", "Danish krone", europe, 7.45, true, 0},
	"EEK": {"EEK", "Estonian kroon", europe, 15.6466, false, 1},
	"GBP": {"GBP", "Pound sterling", europe, 0.711, true, 2},
	"HUF": {"HUF", "Hungarian forint", europe, 251, false, 3},
	"LTL": {"LTL", "Lithuanian litas", europe, 4.72, false, 0},
	"LVL": {"LVL", "Latvian lats", europe, 0.667, false, 1},
	"MTL": {"MTL", "Maltese lira", europe, 0.443, false, 2},
	"PLN": {"PLN", "Polish zloty", europe, 4.07, false, 3},
	"ROL": {"ROL", "Romanian leu (before 2005)", europe, 13100, false, 0},
	"RON": {"RON", "Romanian leu", europe, 3.6, false, 0},
	"SEK": {"SEK", "Swedish krona", europe, 9.47, true, 1},
	"SIT": {"SIT", "Slovenian tolar", europe, 189, false, 2},
	"SKK": {"SKK", "Slovak koruna", europe, 43, false, 3},
	"CHF": {"CHF", "Swiss franc", europe, 1.62, true, 0},
	"ISK": {"ISK", "Icelandic króna", europe, 81.5, false, 1},
	"NOK": {"NOK", "Norwegian krone", europe, 8.86, true, 2},
	"HRK": {"HRK", "Croatian kuna", europe, 7.42, false, 0},
	"RUB": {"RUB", "Russian rouble", europe, 36, false, 1},
	"TRL": {"TRL", "Turkish lira (before 2005)", middleEast, 372000, false, 3},
	"TRY": {"TRY", "Turkish lira", middleEast, 1.82, false, 3},
	"AUD": {"AUD", "Australian dollar", asiaPacific, 1.91, true, 0},
	"BRL": {"BRL", "Brazilian real", latinAmerica, 2.6, false, 2},
	"CAD": {"CAD", "Canadian dollar", northAmerica, 1.8, true, 1},
	"CNY": {"CNY", "Chinese yuan renminbi", asiaPacific, 10.7, false, 2},
	"HKD": {"HKD", "Hong Kong dollar", asiaPacific, 9.13, false, 2},
	"IDR": {"IDR", "Indonesian rupiah", asiaPacific, 12300, false, 3},
	"ILS": {"ILS", "Israeli shekel", middleEast, 4.73, false, 1},
	"INR": {"INR", "Indian rupee", asiaPacific, 67, false, 3},
	"KRW": {"KRW", "South Korean won", asiaPacific, 1400, false, 3},
	"MXN": {"MXN", "Mexican peso", latinAmerica, 16, false, 2},
	"MYR": {"MYR", "Malaysian ringgit", asiaPacific, 4.92, false, 0},
	"NZD": {"NZD", "New Zealand dollar", asiaPacific, 2.22, true, 0},
	"PHP": {"PHP", "Philippine peso", asiaPacific, 71, false, 1},
	"SGD": {"SGD", "Singapore dollar", asiaPacific, 1.96, false, 1},
	"THB": {"THB", "Thai baht", asiaPacific, 50.7, false, 2},
	"ZAR": {"ZAR", "South African rand", africa, 6.94, false, 2},
}

// partitioner keeps the records of a currency, or of a portfolio, in one
// partition, and gives every partition about as many of each day's rates. A
// hash of the keys would give one partition twice another's: reading a backlog
// by bytes, a join of all a day's rates would then find one partition nine
// years ahead of the other, and had to keep what came of those.
func partitioner() kgo.Partitioner {
	lanes := make(map[string]int, len(currencies)+len(portfolios))
	for code, c := range currencies {
		lanes[code] = c.lane
	}
	for i, p := range portfolios {
		lanes[p.name] = i
	}
	return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int {
			lane, known := lanes[string(r.Key)]
			if !known {
				lane = int(crc32.ChecksumIEEE(r.Key) >> 1)
			}
			return lane % n
		}
	})
}

// portfolio is a fixed set of positions: an amount in every currency.
type portfolio struct {
	name string
	// notional is what a position was worth in EUR at the reference rate.
	notional func(currency) float64
}

// portfolios that the engine values, in the order of their events.
var portfolios = []portfolio{
	{"treasury-majors", func(c currency) float64 {
		if c.major {
			return 10e6
		}
		return 0.5e6
	}},
	{"emerging-markets", func(c currency) float64 {
		switch {
		case c.major:
			return 0.25e6
		case c.region == europe:
			return 1e6
		default:
			return 5e6
		}
	}},
	{"global-balanced", func(currency) float64 { return 2e6 }},
}
