package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// EnginesCommand makes this program the engines alone.
const EnginesCommand = "engines"

// RunEngines holds Kafka, the object store and ClickHouse on a data folder
// until ctx ends, and says where in an up file, as annals up does.
func RunEngines(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet(EnginesCommand, flag.ContinueOnError)
	dir := flags.String("data-dir", "", "folder of the data")
	bin := flags.String("bin", "bin", "folder of annals-chdb")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	lock, err := embedded.LockDataDir(*dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	secrets, err := embedded.LoadOrCreateCredentials(*dir)
	if err != nil {
		return err
	}
	kafka, err := embedded.StartKafka(ctx, embedded.KafkaOptions{
		Listen: "127.0.0.1:0", DataDir: filepath.Join(*dir, "kafka"), User: secrets.Kafka.User, Password: secrets.Kafka.Password, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kafka.Close()) }()
	store, err := embedded.StartS3(ctx, embedded.S3Options{
		Listen: "127.0.0.1:0", DataDir: filepath.Join(*dir, "s3"), Bucket: "annals",
		AccessKey: secrets.S3.AccessKey, SecretKey: secrets.S3.SecretKey, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	clickhouse, err := embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{
		Binary: filepath.Join(*bin, "annals-chdb"), DataDir: filepath.Join(*dir, "clickhouse"), Listen: "127.0.0.1:0",
		User: secrets.ClickHouse.User, Password: secrets.ClickHouse.Password, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clickhouse.Close()) }()
	err = embedded.WriteUpFile(*dir, embedded.UpFile{
		PID: os.Getpid(), StartedAt: time.Now().UTC(),
		Kafka: embedded.UpKafka{
			Embedded: true, Brokers: []string{kafka.Addr()}, ClusterID: kafka.ClusterID(), Mechanism: "SCRAM-SHA-256",
			User: secrets.Kafka.User, Password: secrets.Kafka.Password,
		},
		S3: embedded.UpS3{
			Embedded: true, Endpoint: "http://" + store.Endpoint(), Region: store.Region(), Bucket: "annals",
			AccessKey: secrets.S3.AccessKey, SecretKey: secrets.S3.SecretKey,
		},
		ClickHouse: &embedded.UpClickHouse{
			Embedded: true, URL: "http://" + clickhouse.Addr(), Database: "annals",
			User: secrets.ClickHouse.User, Password: secrets.ClickHouse.Password,
		},
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return embedded.RemoveUpFile(*dir)
}

// Engines starts them in a process of their own: this program again, which must
// hand EnginesCommand to RunEngines. bin is the folder of annals-chdb.
func Engines(ctx context.Context, dir, bin string) (*Program, embedded.UpFile, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, embedded.UpFile{}, fmt.Errorf("find this program: %w", err)
	}
	p, err := Start(exec.Command(self, EnginesCommand, "-data-dir", dir, "-bin", bin), nil)
	if err != nil {
		return nil, embedded.UpFile{}, err
	}
	var up embedded.UpFile
	err = Await(ctx, time.Minute, 20*time.Millisecond, func() (bool, error) {
		if err := p.Alive(); err != nil {
			return false, err
		}
		var err error
		if up, err = embedded.ReadUpFile(dir); errors.Is(err, embedded.ErrNotUp) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, up, errors.Join(fmt.Errorf("start the engines: %w", err), p.Stop())
	}
	return p, up, nil
}
