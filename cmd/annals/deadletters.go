package main

import (
	"strings"

	"github.com/fx-risk-ai/annals/web/api"
)

// deadLetterCommands are annals dead-letters.
type deadLetterCommands struct {
	Records deadRecordsCommand    `cmd:"" help:"Records that services gave up on and copied to a dead letter topic, newest first."`
	Groups  deadGroupsCommand     `cmd:"" help:"What such records failed of: alike failures counted, with first, last and samples."`
	Chain   deadChainCommand      `cmd:"" help:"Where a record failed, was retried, put back, and failed again."`
	Redrive deadRedriveCommand    `cmd:"" help:"Plan to put such records back to the topics that they come from; annals replay run does it."`
	List    deadLetterListCommand `cmd:"" help:"What Annals itself could not process, by topic, partition and offset."`
	Show    deadLetterShowCommand `cmd:"" help:"One of these with all that is known of it."`
}

// deadSelection is what services' dead letters are narrowed by.
type deadSelection struct {
	between
	Topic    string `placeholder:"TOPIC" help:"A dead letter topic, or a pattern with * and ?: all of its records count. Otherwise what is recognised: by a framework's headers, by the topic's name (dlq, dlt, dead-letter), or by its policy."`
	Original string `placeholder:"TOPIC" help:"Only those that come from this topic."`
	Error    string `placeholder:"TEXT" help:"Only those whose exception or message has this text, in any case."`
	Service  string `placeholder:"NAME" help:"Only what this consumer group or connector gave up, or this service had produced."`
}

// errorText is a failure in one line.
func errorText(f *api.Failure) string {
	var parts []string
	for _, part := range []*string{f.Stage, f.Class, f.Message} {
		if part != nil {
			parts = append(parts, *part)
		}
	}
	line, _, _ := strings.Cut(strings.Join(parts, ": "), "\n")
	if runes := []rune(line); len(runes) > 120 {
		line = string(runes[:119]) + "…"
	}
	if line == "" {
		line = textOr(f.Problem, "not told")
	}
	return line
}

func placeText(p *api.Place) string {
	if p == nil {
		return "not told"
	}
	return recordText(p.Topic, p.Partition, p.Offset)
}
