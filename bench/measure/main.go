package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main is the main function of a bench: run with the arguments until it is done
// or interrupted, or the engines alone if the first argument is EnginesCommand.
// An error is said under the bench's name, and the exit code is 1, or 3 of a
// NotRunError.
func Main(name string, run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	args := os.Args[1:]
	if len(args) > 0 && args[0] == EnginesCommand {
		run, args = RunEngines, args[1:]
	}
	err := run(ctx, args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+": "+err.Error())
		if notRun := (*NotRunError)(nil); errors.As(err, &notRun) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}
