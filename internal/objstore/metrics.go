package objstore

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "annals_objstore_request_seconds",
		Help:    "Time of one attempt at the object store, by operation and outcome (ok or kind of error).",
		Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
	}, []string{"op", "outcome"})}
}

func (m *metrics) observe(op string, err error, took time.Duration) {
	outcome := "ok"
	if err != nil {
		outcome = kindOf(err).String()
	}
	m.seconds.WithLabelValues(op, outcome).Observe(took.Seconds())
}

// Collectors returns the Store's metrics, to be registered by the process.
func (s *Store) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.seconds}
}
