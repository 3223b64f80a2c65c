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
	profile := flags.String("profile", "", "folder for a CPU profile, named by the worker")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		file, err := os.Create(filepath.Join(*profile, *name+".pprof"))
		if err != nil {
			return fmt.Errorf("create profile: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return fmt.Errorf("start profile: %w", err)
		}
		defer pprof.StopCPUProfile()
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

func service(cluster *replay.Connection, store *objstore.Store, name string) (*replay.Service, error) {
	return replay.New(replay.Options{PositionTopic: positions, Worker: name}, cluster, store, ledger.New(store, nil), nil)
}
