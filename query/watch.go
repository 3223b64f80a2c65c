package query

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// watchTimeout bounds one look of a Watch.
const watchTimeout = 2 * time.Minute

// Watch keeps metrics of what Anomalies finds. Its collectors have at most as many
// series as an answer has findings.
type Watch struct {
	engine        *Engine
	interval      time.Duration
	logger        *slog.Logger
	found         *prometheus.GaugeVec
	indeterminate *prometheus.GaugeVec
	looked        prometheus.Gauge
}

// NewWatch makes a watch; Run has it look.
func NewWatch(e *Engine, interval time.Duration, logger *slog.Logger) *Watch {
	w := &Watch{
		engine: e, interval: interval, logger: logger,
		found: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "annals_anomalies", Help: "What differs from how it was, by the last look; annals anomalies says more, with trace ids.",
		}, []string{"kind", "topic", "team", "component"}),
		indeterminate: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "annals_anomaly_check_indeterminate", Help: "1: the check had too little to go by at the last look.",
		}, []string{"kind"}),
		looked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "annals_anomalies_looked_timestamp_seconds", Help: "When anomalies were last looked for, with success; 0: not yet.",
		}),
	}
	for _, kind := range []string{answer.ThroughputDrop, answer.DeadLetterRise, answer.SchemaMismatch, answer.LagAnomaly, answer.UnexplainedGaps} {
		w.indeterminate.WithLabelValues(kind).Set(1)
	}
	return w
}

// Collectors are the metrics.
func (w *Watch) Collectors() []prometheus.Collector {
	return []prometheus.Collector{w.found, w.indeterminate, w.looked}
}

// Run looks until ctx ends. What cannot be looked up leaves the metrics as they
// were: their time says how old they are.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.logger.Warn("anomalies could not be looked for", "err", err)
		}
	}
}

// Look looks once.
func (w *Watch) Look(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(index.WithTurn(ctx, index.Bulk), watchTimeout)
	defer cancel()
	all, err := w.engine.Anomalies(bounded, policy.Everything(), time.Now())
	if err != nil {
		return err
	}
	w.found.Reset()
	for i := range all.Anomalies {
		f := &all.Anomalies[i]
		w.found.WithLabelValues(f.Kind, f.Topic, f.Team, f.Component).Inc()
	}
	for _, check := range all.Checks {
		value := 0.0
		if check.State == answer.CheckIndeterminate {
			value = 1
		}
		w.indeterminate.WithLabelValues(check.Kind).Set(value)
	}
	w.looked.SetToCurrentTime()
	return nil
}
