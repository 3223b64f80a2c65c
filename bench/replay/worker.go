package main

import (
	"context"
	"flag"

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
func runWorker(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(workerCommand, flag.ContinueOnError)
	dir := flags.String("data-dir", "", "folder of the engines' data")
	name := flags.String("name", "bench", "of the worker")
	if err := flags.Parse(args); err != nil {
		return err
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
