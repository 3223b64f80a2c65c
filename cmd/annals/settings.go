package main

import (
	"log/slog"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// settings are the flags that every running role shares.
type settings struct {
	Config   string `short:"c" type:"path" placeholder:"FILE" help:"Configuration file (YAML); settings may also stand in ANNALS_… variables."`
	LogLevel string `placeholder:"LEVEL" help:"debug, info, warn or error; over log.level."`
}

// load reads the configuration and makes the logger. Warnings are logged.
func (s settings) load(in *invocation, overrides ...func(*config.Config)) (config.Config, *slog.Logger, error) {
	overrides = append(overrides, func(c *config.Config) {
		if s.LogLevel != "" {
			c.Log.Level = s.LogLevel
		}
	})
	cfg, warnings, err := config.Load(s.Config, in.environ, overrides...)
	if err != nil {
		return cfg, nil, err
	}
	logger, err := telemetry.NewLogger(in.err, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return cfg, nil, err
	}
	for _, w := range warnings {
		logger.Warn("configuration", "option", w.Path, "warning", w.Message)
	}
	return cfg, logger, nil
}
