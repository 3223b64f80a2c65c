package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/replay"
)

// workerCommand makes this program a replay worker.
const workerCommand = "worker"

const positions = "__annals_replay_positions"

// runWorker works on what is planned on the engines of a data folder, with the
// defaults of annals serve, until ctx ends.
func runWorker(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet(workerCommand, flag.ContinueOnError)
	dir := flags.String("data-dir", "", "folder of the engines' data")
	name := flags.String("name", "bench", "of the worker")
	profile := flags.String("profile", "", "folder for profiles, named by the worker")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		stop, err := profiled(filepath.Join(*profile, *name))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	up, err := embedded.ReadUpFile(*dir)
	if err != nil {
		return err
	}
	store, err := storeOf(up)
	if err != nil {
		return err
	}
	defer store.Close()
	cluster, err := replay.Connect(kafkaOf(up))
	if err != nil {
		return err
	}
	defer cluster.Close()
	s, err := service(cluster, store, *name)
	if err != nil {
		return err
	}
	return s.Work(ctx)
}

// profiled writes what takes CPU from now on to name.cpu.pprof, and at its end
// what memory was allocated to name.heap.pprof.
func profiled(name string) (stop func() error, err error) {
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("create profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(fmt.Errorf("start profile: %w", err), cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap.pprof")
		if err != nil {
			return errors.Join(fmt.Errorf("create profile: %w", err), cpu.Close())
		}
		return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close())
	}, nil
}

func service(cluster *replay.Connection, store *objstore.Store, name string) (*replay.Service, error) {
	return replay.New(replay.Options{PositionTopic: positions, Worker: name}, cluster, store, ledger.New(store, nil), nil)
}
