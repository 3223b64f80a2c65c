package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// doctorCommand is annals doctor.
type doctorCommand struct {
	attaching
	Rounds int `default:"${rounds}" placeholder:"N" help:"Rounds of each race for a conditional write; more for a store that is doubted (${rounds})."`
}

// doctorPatience bounds an examination: a far store takes about 20 s.
const doctorPatience = 3 * time.Minute

// Run implements kong's command. Its exit codes: 0 nothing failed, warnings
// included; 1 something failed; 2 something could not be seen.
func (c *doctorCommand) Run(ctx context.Context, in *invocation) (err error) {
	p, noIndex, err := c.attach(in)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	topics, err := p.cfg.Archived()
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(p.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	targets := kafka.Targets{Archived: p.kafka, Positions: p.cfg.Replay.PositionTopic, Sandbox: p.cfg.Replay.SandboxPrefix}
	for i, other := range p.cfg.Replay.Clusters {
		options, err := kafkaOptions(fmt.Sprintf("replay.clusters[%d]", i), other.Kafka(p.cfg.Kafka), p.log)
		if err != nil {
			return err
		}
		targets.Clusters = append(targets.Clusters, kafka.TargetCluster{Name: other.Name, Options: options})
	}
	examineIndex := p.index.Examine
	if noIndex != nil {
		examineIndex = func(context.Context) []doctor.Check {
			return []doctor.Check{doctor.Ill(doctor.IndexReach, doctor.Failed, "install the embedded ClickHouse or set clickhouse.url: archiving goes on without, search does not", "%v", noIndex)}
		}
	}
	report := doctor.Run(ctx, doctorPatience,
		func(ctx context.Context) []doctor.Check { return p.store.Examine(ctx, c.Rounds) },
		func(ctx context.Context) []doctor.Check {
			return admin.Examine(ctx, kafka.Examination{Topics: topics, Group: p.cfg.Archive.Group, Snapshots: p.cfg.Archive.Snapshots.Interval > 0})
		},
		targets.Examine,
		examineIndex)
	if c.JSON {
		encoder := json.NewEncoder(in.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Print(in.out)
	}
	if err == nil && report.ExitCode() != 0 {
		return exitError(report.ExitCode())
	}
	return err
}
