// Command annals is the audit and replay archive for Kafka: archiver, web API,
// explorer and replay workers in one program. See "annals --help".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fx-risk-ai/annals/internal/forecast"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// commands are the program's subcommands, each in a file of its own.
type commands struct {
	Up      upCommand      `cmd:"" group:"run" help:"Run everything on this machine; whatever is not configured is embedded."`
	Archive archiveCommand `cmd:"" group:"run" help:"Run the archiver alone, on your own Kafka, S3 and ClickHouse."`
	Serve   serveCommand   `cmd:"" group:"run" help:"Run the web API, the explorer and the replay workers, on your own engines."`

	Trace     traceCommand     `cmd:"" group:"ask" help:"Every hop of a trace, in causal order, with what each step changed."`
	Anomalies anomaliesCommand `cmd:"" group:"ask" help:"What differs from how it was: throughput, dead letters, broken contracts, lag, offsets that nothing explains."`
	Verdict   verdictCommand   `cmd:"" group:"ask" help:"Whether everything is there of a trace, or of topics and a range of time: gaps, ghosts, what is not sealed."`
	Search    searchCommand    `cmd:"" group:"ask" help:"Records by time, topic, type, service or any id."`
	Get       getCommand       `cmd:"" group:"ask" help:"One record, by topic/partition/offset."`
	Coverage  coverageCommand  `cmd:"" group:"ask" help:"What is archived of each topic-partition, and how far behind it is."`
	Topics    topicsCommand    `cmd:"" group:"ask" help:"What holds for each topic by its policy (secret, personal data, team), and why."`
	Catalog   catalogCommand   `cmd:"" group:"ask" help:"Event types: versions, producers, consumers, team, topics, volumes, schema."`
	Contracts contractCommands `cmd:"" group:"ask" help:"What producers promised: which records break it, and whether a new version would hold."`
	Files     filesCommand     `cmd:"" group:"ask" help:"The current segments of a topic, for SQL users."`

	DeadLetters deadLetterCommands `cmd:"" group:"ask" help:"Records that services gave up on, in their dead letter topics; and what Annals itself could not process."`

	Replay replayCommands `cmd:"" group:"act" help:"Produce a slice of history into new topics."`
	Export exportCommand  `cmd:"" group:"act" help:"Write a bag of records that can be verified offline."`
	Verify verifyCommand  `cmd:"" group:"act" help:"Check a bag, or with --archive a whole archive, offline."`
	Seal   sealCommand    `cmd:"" group:"act" help:"Ask a running archiver to seal what it holds now."`

	Doctor  doctorCommand  `cmd:"" group:"care" help:"Check S3, Kafka, the index and the clocks, and say what to do."`
	Plan    planCommand    `cmd:"" group:"care" help:"Requests, objects and bytes a day, and what they cost, for the cluster at hand."`
	Reindex reindexCommand `cmd:"" group:"care" help:"Rebuild the index from S3 alone."`
	Collect collectCommand `cmd:"" group:"care" help:"Say which objects of the bucket nothing needs any more, and with --delete delete them."`
	Config  configCommands `cmd:"" group:"care" help:"Check a configuration, or print the reference of all settings."`
	Version versionCommand `cmd:"" group:"care" help:"Which build this is."`
}

// invocation is what a subcommand may use of the process.
type invocation struct {
	out, err io.Writer
	environ  []string
}

// isTerminal tells whether a person watches.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// defaults are those of flags that the packages behind the commands decide.
var defaults = kong.Vars{
	"rounds":       strconv.Itoa(objstore.DefaultRounds),
	"price_put":    fmt.Sprint(forecast.ListPrices.Put1000),
	"price_get":    fmt.Sprint(forecast.ListPrices.Get1000),
	"price_store":  fmt.Sprint(forecast.ListPrices.StoreGBMonth),
	"price_index":  fmt.Sprint(forecast.ListPrices.IndexGBMonth),
	"prices_as_of": forecast.PricesAsOf,
}

// run is the program with its exit code: 0 done, 1 failed, tampered
// or damaged, 2 incomplete, 3 unverifiable or indeterminate, 4 usage.
func run(args []string, out, errs io.Writer) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("annals"),
		kong.Description("The audit and replay archive for Kafka."),
		kong.Writers(out, errs),
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run:"},
			{Key: "ask", Title: "Ask a running Annals:"},
			{Key: "act", Title: "Act:"},
			{Key: "care", Title: "Look after it:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		defaults,
	)
	if err != nil {
		fmt.Fprintln(errs, "annals: "+err.Error())
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(errs, "annals: "+err.Error())
		fmt.Fprintln(errs, "Try: annals --help")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // a second signal ends the process the hard way
		<-ctx.Done()
		stop()
	}()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&invocation{out: out, err: errs, environ: os.Environ()})
	return report(errs, err)
}

// The exit codes.
const (
	exitFailed       = 1
	exitIncomplete   = 2
	exitUnverifiable = 3
	exitUsage        = 4
)

// exitError ends the program with a code after everything was said.
type exitError int

// Error implements error.
func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report says what went wrong, once, and gives the exit code.
func report(w io.Writer, err error) int {
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(w, "annals: "+err.Error())
	var known *schema.Error
	if errors.As(err, &known) && known.Hint != "" {
		fmt.Fprintln(w, "Try: "+known.Hint)
	}
	var open unsure
	switch {
	case errors.As(err, &open):
		return exitUnverifiable
	case schema.KindOf(err) == schema.Invalid:
		return exitUsage
	}
	return exitFailed
}
