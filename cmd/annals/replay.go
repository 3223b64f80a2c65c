package main

import (
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// replayCommands are annals replay ….
type replayCommands struct {
	Plan     replayPlanCommand    `cmd:"" help:"Resolve a selection into exact records, with counts and bytes; nothing is produced."`
	DryRun   replayDryRunCommand  `cmd:"" help:"Read everything that a plan names, hold it against its hashes and its targets, and produce nothing."`
	Run      replayRunCommand     `cmd:"" help:"Run a plan and follow it to its receipt."`
	Status   replayStatusCommand  `cmd:"" help:"The jobs, or one job with its receipt."`
	Pause    replayPauseCommand   `cmd:"" help:"Stop a job until it is resumed."`
	Resume   replayResumeCommand  `cmd:"" help:"Let a paused job go on where it stopped."`
	Pace     replayPaceCommand    `cmd:"" help:"Change how fast a job produces, while it runs; without a flag: as fast as possible."`
	Step     replayStepCommand    `cmd:"" help:"Have a paused job produce some records more, by its clock, and pause again."`
	Seek     replaySeekCommand    `cmd:"" help:"Go on from a time of the clock: what is before it is produced without waiting, nothing is left out."`
	Cancel   replayCancelCommand  `cmd:"" help:"Stop a job for good."`
	Approve  replayApproveCommand `cmd:"" help:"Let a replay that somebody else asked for be begun."`
	Reject   replayRejectCommand  `cmd:"" help:"Refuse a replay that somebody else asked for, for good."`
	StopAll  replayStopCommand    `cmd:"" name:"stop-all" help:"Stop every replay in every process, and let none begin, until start-all; survives restarts."`
	StartAll replayStartCommand   `cmd:"" name:"start-all" help:"Let replays go on after stop-all."`
	Receipt  replayReceiptCommand `cmd:"" help:"A job's receipt: as text, as JSON, or as a page to print."`
	Files    replayFilesCommand   `cmd:"" help:"The files that a replay into files wrote; --out fetches them."`
	Offset   replayOffsetCommand  `cmd:"" help:"Where a source record stands in its target, or the other way round."`
	Offsets  replayOffsetsCommand `cmd:"" help:"Where a consumer group of the source stands in the target; --apply commits that."`
}

// The hex digits of a plan's id, which is its job's too, and how many of the
// first are enough if no other id begins so.
const (
	idDigits     = 64
	fewestDigits = 8
)

// planID reads an id as a person writes it.
func planID(text string) (string, error) {
	id := strings.ToLower(strings.TrimSpace(text))
	if len(id) < fewestDigits || len(id) > idDigits || strings.Trim(id, "0123456789abcdef") != "" {
		return "", schema.WithHint(
			schema.InvalidField("id", "%.80q is no plan's id: it has %d hex digits, of which the first %d or more are enough", text, idDigits, fewestDigits),
			"annals replay plan prints it, and annals replay status lists what was run")
	}
	return id, nil
}
