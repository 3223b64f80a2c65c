package replay

import "github.com/prometheus/client_golang/prometheus"

// metrics count what this process did.
type metrics struct {
	records      prometheus.Counter
	bytes        prometheus.Counter
	transactions *prometheus.CounterVec
	ended        *prometheus.CounterVec
	working      prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_replay_records_total", Help: "Records in committed replay transactions.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_replay_bytes_total", Help: "Bytes of keys, values and headers in committed replay transactions.",
		}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_replay_transactions_total", Help: "Replay transactions by outcome; unknown ones are looked up before going on.",
		}, []string{"outcome"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_replay_jobs_ended_total", Help: "Replay jobs that this process ended, by state.",
		}, []string{"state"}),
		working: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "annals_replay_jobs_working", Help: "Replay jobs that this process works on.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.records, m.bytes, m.transactions, m.ended, m.working)
	}
	return m
}
