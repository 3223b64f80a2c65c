package snapshot

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what a process's recorder did.
type Metrics struct {
	looked  prometheus.Gauge
	failed  prometheus.Counter
	written *prometheus.CounterVec
	missing prometheus.Gauge
}

// NewMetrics registers them; nil: nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		looked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "annals_snapshots_looked_timestamp_seconds", Help: "When consumer groups and access rules were last looked at without an error; 0: not yet, or no snapshots are taken.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_snapshots_failed_total", Help: "Looks at consumer groups and access rules that failed, and may have left something unarchived.",
		}),
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_snapshots_written_total", Help: "Snapshots written, by what they are of; what has not changed is written once an hour.",
		}, []string{"of"}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "annals_snapshots_missing_groups", Help: "Consumer groups that are not in the last look: they may not be described, or there are too many.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.looked, m.failed, m.written, m.missing)
	}
	return m
}
