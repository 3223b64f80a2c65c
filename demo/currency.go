package demo

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
}

// currencies by ISO 4217 code. TRL and TRY, ROL and RON are two each: a
// position in a redenominated currency ends with it.
var currencies = map[string]currency{
	"USD": {"USD", "US dollar", northAmerica, 1.18, true},
	"JPY": {"JPY", "Japanese yen", asiaPacific, 134, true},
	"BGN": {"BGN", "Bulgarian lev", europe, 1.9558, false},
	"CYP": {"CYP", "Cyprus pound", europe, 0.582, false},
	"CZK": {"CZK", "Czech koruna", europe, 35, false},
	"DKK": {"DKK", "Danish krone", europe, 7.45, true},
	"EEK": {"EEK", "Estonian kroon", europe, 15.6466, false},
	"GBP": {"GBP", "Pound sterling", europe, 0.711, true},
	"HUF": {"HUF", "Hungarian forint", europe, 251, false},
	"LTL": {"LTL", "Lithuanian litas", europe, 4.72, false},
	"LVL": {"LVL", "Latvian lats", europe, 0.667, false},
	"MTL": {"MTL", "Maltese lira", europe, 0.443, false},
	"PLN": {"PLN", "Polish zloty", europe, 4.07, false},
	"ROL": {"ROL", "Romanian leu (before 2005)", europe, 13100, false},
	"RON": {"RON", "Romanian leu", europe, 3.6, false},
	"SEK": {"SEK", "Swedish krona", europe, 9.47, true},
	"SIT": {"SIT", "Slovenian tolar", europe, 189, false},
	"SKK": {"SKK", "Slovak koruna", europe, 43, false},
	"CHF": {"CHF", "Swiss franc", europe, 1.62, true},
	"ISK": {"ISK", "Icelandic króna", europe, 81.5, false},
	"NOK": {"NOK", "Norwegian krone", europe, 8.86, true},
	"HRK": {"HRK", "Croatian kuna", europe, 7.42, false},
	"RUB": {"RUB", "Russian rouble", europe, 36, false},
	"TRL": {"TRL", "Turkish lira (before 2005)", middleEast, 372000, false},
	"TRY": {"TRY", "Turkish lira", middleEast, 1.82, false},
	"AUD": {"AUD", "Australian dollar", asiaPacific, 1.91, true},
	"BRL": {"BRL", "Brazilian real", latinAmerica, 2.6, false},
	"CAD": {"CAD", "Canadian dollar", northAmerica, 1.8, true},
	"CNY": {"CNY", "Chinese yuan renminbi", asiaPacific, 10.7, false},
	"HKD": {"HKD", "Hong Kong dollar", asiaPacific, 9.13, false},
	"IDR": {"IDR", "Indonesian rupiah", asiaPacific, 12300, false},
	"ILS": {"ILS", "Israeli shekel", middleEast, 4.73, false},
	"INR": {"INR", "Indian rupee", asiaPacific, 67, false},
	"KRW": {"KRW", "South Korean won", asiaPacific, 1400, false},
	"MXN": {"MXN", "Mexican peso", latinAmerica, 16, false},
	"MYR": {"MYR", "Malaysian ringgit", asiaPacific, 4.92, false},
	"NZD": {"NZD", "New Zealand dollar", asiaPacific, 2.22, true},
	"PHP": {"PHP", "Philippine peso", asiaPacific, 71, false},
	"SGD": {"SGD", "Singapore dollar", asiaPacific, 1.96, false},
	"THB": {"THB", "Thai baht", asiaPacific, 50.7, false},
	"ZAR": {"ZAR", "South African rand", africa, 6.94, false},
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
