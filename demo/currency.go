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
	"USD": {"US dollar", northAmerica, 1.18, true},
	"JPY": {"Japanese yen", asiaPacific, 134, true},
	"BGN": {"Bulgarian lev", europe, 1.9558, false},
	"CYP": {"Cyprus pound", europe, 0.582, false},
	"CZK": {"Czech koruna", europe, 35, false},
	"DKK": {"Danish krone", europe, 7.45, true},
	"EEK": {"Estonian kroon", europe, 15.6466, false},
	"GBP": {"Pound sterling", europe, 0.711, true},
	"HUF": {"Hungarian forint", europe, 251, false},
	"LTL": {"Lithuanian litas", europe, 4.72, false},
	"LVL": {"Latvian lats", europe, 0.667, false},
	"MTL": {"Maltese lira", europe, 0.443, false},
	"PLN": {"Polish zloty", europe, 4.07, false},
	"ROL": {"Romanian leu (before 2005)", europe, 13100, false},
	"RON": {"Romanian leu", europe, 3.6, false},
	"SEK": {"Swedish krona", europe, 9.47, true},
	"SIT": {"Slovenian tolar", europe, 189, false},
	"SKK": {"Slovak koruna", europe, 43, false},
	"CHF": {"Swiss franc", europe, 1.62, true},
	"ISK": {"Icelandic króna", europe, 81.5, false},
	"NOK": {"Norwegian krone", europe, 8.86, true},
	"HRK": {"Croatian kuna", europe, 7.42, false},
	"RUB": {"Russian rouble", europe, 36, false},
	"TRL": {"Turkish lira (before 2005)", middleEast, 372000, false},
	"TRY": {"Turkish lira", middleEast, 1.82, false},
	"AUD": {"Australian dollar", asiaPacific, 1.91, true},
	"BRL": {"Brazilian real", latinAmerica, 2.6, false},
	"CAD": {"Canadian dollar", northAmerica, 1.8, true},
	"CNY": {"Chinese yuan renminbi", asiaPacific, 10.7, false},
	"HKD": {"Hong Kong dollar", asiaPacific, 9.13, false},
	"IDR": {"Indonesian rupiah", asiaPacific, 12300, false},
	"ILS": {"Israeli shekel", middleEast, 4.73, false},
	"INR": {"Indian rupee", asiaPacific, 67, false},
	"KRW": {"South Korean won", asiaPacific, 1400, false},
	"MXN": {"Mexican peso", latinAmerica, 16, false},
	"MYR": {"Malaysian ringgit", asiaPacific, 4.92, false},
	"NZD": {"New Zealand dollar", asiaPacific, 2.22, true},
	"PHP": {"Philippine peso", asiaPacific, 71, false},
	"SGD": {"Singapore dollar", asiaPacific, 1.96, false},
	"THB": {"Thai baht", asiaPacific, 50.7, false},
	"ZAR": {"South African rand", africa, 6.94, false},
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
