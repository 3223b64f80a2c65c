package forecast

// Prices are in US dollars.
type Prices struct {
	Put1000      float64 `json:"put_1000"`       // 1,000 PUT or LIST requests
	Get1000      float64 `json:"get_1000"`       // 1,000 GET or HEAD requests
	StoreGBMonth float64 `json:"store_gb_month"` // 10^9 bytes kept in the store for a month
	IndexGBMonth float64 `json:"index_gb_month"` // 10^9 bytes kept on the index's disks for a month
}

// ListPrices are Amazon's list prices, without any discount, of S3 Standard
// (first 50 TB) and of gp3 volumes in us-east-1, as of PricesAsOf.
var ListPrices = Prices{Put1000: 0.005, Get1000: 0.0004, StoreGBMonth: 0.023, IndexGBMonth: 0.08}

// PricesAsOf is when ListPrices were written down.
const PricesAsOf = "2026-11"
