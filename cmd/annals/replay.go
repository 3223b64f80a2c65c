package main

// replayCommands are annals replay ….
type replayCommands struct {
	Plan   replayPlanCommand   `cmd:"" help:"Resolve a selection into exact records, with counts and bytes; nothing is produced."`
	Run    replayRunCommand    `cmd:"" help:"Run a plan and follow it to its receipt."`
	Status replayStatusCommand `cmd:"" help:"The jobs, or one job with its receipt."`
	Cancel replayCancelCommand `cmd:"" help:"Stop a job for good."`
}
