package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// contractCommands are annals contracts.
type contractCommands struct {
	Violations violationsCommand    `cmd:"" help:"How many sealed records break which rule, by topic, type, version and producer."`
	Check      contractCheckCommand `cmd:"" help:"Hold contracts to the archived events of their types. Exit codes: 0 compatible, 1 events would break, 2 no event breaks but the evolution is breaking, 3 no event could be looked at, 4 usage."`
}

// violationsCommand is annals contracts violations.
type violationsCommand struct {
	asking
	between
	Topic   string `placeholder:"TOPIC" help:"Only this topic."`
	Type    string `placeholder:"TYPE" help:"Only this event type."`
	Service string `placeholder:"NAME" help:"Only this producer."`
	Rule    string `placeholder:"RULE" help:"Only rules that begin so, such as contract:required."`
	Limit   int    `default:"100" help:"At most so many lines, up to 1000."`
}

// Run implements kong's command.
func (c *violationsCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.Violations(ctx, api.ListViolationsParams{
		Topic: pointer(c.Topic), EventType: pointer(c.Type), Service: pointer(c.Service), Rule: pointer(c.Rule), From: from, To: to, Limit: &c.Limit,
	})
	if err != nil {
		return err
	}
	return c.print(in.out, found, func(w io.Writer) { showViolations(w, found) })
}

func showViolations(w io.Writer, found *api.ViolationList) {
	if len(found.Violations) == 0 {
		fmt.Fprintln(w, "No sealed record breaks a rule.")
		return
	}
	table(w, "RECORDS|RULE|TOPIC|TYPE|VERSION|PRODUCER|TEAM|LAST|NEWEST", func(row func(...any)) {
		for _, v := range found.Violations {
			row(v.Records, v.Rule, v.Topic, v.EventType, v.EventVersion, v.SourceService, said(v.Team), moment(v.LastTimestamp),
				recordText(v.Newest.Topic, v.Newest.Partition, v.Newest.Offset))
		}
	})
	if found.More {
		fmt.Fprintln(w, "There are more: --limit, --topic, --type, --service and --rule narrow them.")
	}
	fmt.Fprintln(w, "The records of a rule: annals search --violation RULE")
}

// contractCheckCommand is annals contracts check.
type contractCheckCommand struct {
	asking
	Path  string `arg:"" help:"A contract's file, or a folder of them."`
	Days  int    `default:"30" help:"Events of the last so many days."`
	Limit int    `default:"1000" help:"Look at so many events of each type at most; if there are more, at so many of the whole time at random; up to 20000."`
}

// Run implements kong's command.
func (c *contractCheckCommand) Run(ctx context.Context, in *invocation) error {
	contracts, err := contract.Read(c.Path)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	var all []api.ContractCheck
	for _, one := range contracts {
		checked, err := c.check(ctx, server, one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.File, err)
		}
		all = append(all, *checked)
	}
	err = c.print(in.out, all, func(w io.Writer) {
		for i := range all {
			showCheck(w, &all[i])
		}
	})
	if code := checkCode(all); err == nil && code != 0 {
		return exitError(code)
	}
	return err
}

// check sends one contract, with its schema.
func (c *contractCheckCommand) check(ctx context.Context, server *client.Client, one *contract.Contract) (*api.ContractCheck, error) {
	root := c.Path
	if info, err := os.Stat(root); err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	} else if !info.IsDir() {
		root = filepath.Dir(root)
	}
	text, err := os.ReadFile(filepath.Join(root, one.File))
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	}
	request := api.ContractCheckRequest{Name: &one.File, Contract: string(text), Days: &c.Days, Limit: &c.Limit}
	if one.Schema != nil {
		request.Schemas = &map[string]string{one.SchemaFile: string(one.Schema)}
	}
	return server.CheckContract(ctx, request)
}

// The exit codes of a check.
const (
	checkBreaksEvents  = exitFailed
	checkBreaks        = exitIncomplete
	checkIndeterminate = exitUnverifiable
)

// checkCode is the gravest of all.
func checkCode(all []api.ContractCheck) int {
	found := map[int]bool{}
	for i := range all {
		switch c := &all[i]; {
		case c.Verdict == api.ContractCheckVerdict("incompatible"):
			found[checkBreaksEvents] = true
		case c.Evolution == api.ContractCheckEvolution("breaking"):
			found[checkBreaks] = true
		case c.Verdict == api.ContractCheckVerdict("indeterminate"):
			found[checkIndeterminate] = true
		}
	}
	for _, code := range []int{checkBreaksEvents, checkBreaks, checkIndeterminate} {
		if found[code] {
			return code
		}
	}
	return 0
}

func showCheck(w io.Writer, c *api.ContractCheck) {
	against := "no version of it is registered"
	if c.Against != nil {
		against = string(c.Evolution) + " against the registered version " + *c.Against
	}
	fmt.Fprintf(w, "%s version %s: %s; %s\n", c.EventType, c.EventVersion, c.Verdict, against)
	of := "an unknown number"
	if c.Matching != nil {
		of = fmt.Sprint(*c.Matching)
	}
	which := "of any version"
	if c.OwnVersion {
		which = "of this version"
	}
	how := map[api.ContractCheckSample]string{
		"random": ", taken at random over the whole time (--limit takes more)",
		"newest": ", the newest: they are too many for a sample of the whole time; --days with a smaller number narrows it",
	}[c.Sample]
	fmt.Fprintf(w, "  looked at %d of %s events %s since %s%s; %d would break", c.Looked, of, which, moment(&c.From), how, c.Broken)
	for _, left := range []struct {
		n   int64
		why string
	}{{c.Withheld, "of secret topics were not looked at"}, {c.Unread, "could not be read"}, {c.Masked, "were looked at without what is masked in them"}} {
		if left.n > 0 {
			fmt.Fprintf(w, "; %d %s", left.n, left.why)
		}
	}
	fmt.Fprintln(w)
	for _, d := range c.Differences {
		whom := "additive"
		switch {
		case d.BreaksEvents && d.BreaksConsumers:
			whom = "breaks events and consumers"
		case d.BreaksEvents:
			whom = "breaks events"
		case d.BreaksConsumers:
			whom = "breaks consumers"
		}
		fmt.Fprintf(w, "  %s: %s\n", whom, strings.TrimSpace(d.Path+" "+d.Change))
	}
	for _, r := range c.Rules {
		fmt.Fprintf(w, "  %d events break %s\n", r.Records, r.Rule)
	}
	if len(c.Events) == 0 {
		return
	}
	table(w, "  EVENT|TRACE|TIME|RULES", func(row func(...any)) {
		for _, e := range c.Events {
			at := e.Record.Coordinates
			row("  "+recordText(at.Topic, at.Partition, at.Offset), e.Record.TraceId, moment(&e.Record.Timestamp), strings.Join(e.Rules, " "))
		}
	})
	if more := c.Broken - int64(len(c.Events)); more > 0 {
		fmt.Fprintf(w, "  These are the newest of them; %d more would break.\n", more)
	}
}
