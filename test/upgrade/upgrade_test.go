package upgrade_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/verify"
)

// makeName names what this version makes, to be kept for the next: an archive,
// the index tables of it, and the data folder that both are from.
// go test ./test/upgrade -args -make v2.
var makeName = flag.String("make", "", "make an archive, index tables and a data folder of this name with this version")

func TestMain(m *testing.M) {
	embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...)
}

const (
	keptTopic = "kept.orders"
	keptTrace = "5eed5eed5eed5eed5eed5eed5eed5eed"
)

// kept is what an archive must give, as it was when it was made.
type kept struct {
	Chains  int64         `json:"chains"`
	Commits int64         `json:"commits"`
	Records schema.Counts `json:"records"`
	Values  []string      `json:"values"` // of the trace's records, by time, partition and offset
}

// TestArchivesOfEarlierVersionsAreRead reads every archive that is kept, whole:
// chains, segments and rows, the index made of it, and the records through it.
func TestArchivesOfEarlierVersionsAreRead(t *testing.T) {
	if *makeName != "" {
		makeArchive(t, filepath.Join("testdata", *makeName))
	}
	archives, err := filepath.Glob("testdata/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives are kept: %v", err)
	}
	for _, path := range archives {
		t.Run(filepath.Base(path), func(t *testing.T) {
			store := objstoretest.Embedded(t)
			objects := unpack(t, path, store)
			raw, err := os.ReadFile(path[:len(path)-len(".tar.gz")] + ".json")
			must(t, err)
			var want kept
			must(t, json.Unmarshal(raw, &want))
			book := ledger.New(store, nil)
			if report, whole := want.asIn(t, store, book); !whole {
				t.Errorf("%d objects verify as %+v, want %+v", objects, report, want)
			}
			streams := map[schema.Stream]int64{}
			for s, err := range book.Streams(t.Context()) {
				must(t, err)
				held, err := verify.Read(t.Context(), t, store, s)
				must(t, err)
				streams[s] = int64(len(held.Commits))
			}
			instance.NeedsClickHouse(t)
			t.Run("index made of it", func(t *testing.T) { found(t, store, book, want) })
			tables := path[:len(path)-len(".tar.gz")] + ".index.gz"
			if _, err := os.Stat(tables); err != nil {
				t.Logf("no index tables of it are kept: %v", err)
				return
			}
			t.Run("index as it was", func(t *testing.T) { foundAsItWas(t, tables, streams, store, book, want) })
		})
	}
}

// asIn verifies an archive, and tells whether it is whole and as it was.
func (k kept) asIn(t *testing.T, store *objstore.Store, book *ledger.Ledger) (report *custody.ArchiveReport, whole bool) {
	t.Helper()
	report, err := custody.VerifyArchive(t.Context(), store, book, custody.ArchiveOptions{})
	must(t, err)
	return report, report.Result == custody.OK && report.Chains == k.Chains && report.Commits == k.Commits && report.Records == k.Records
}

// TestDamagedArchivesOfEarlierVersionsAreCaught flips a bit of each object that
// is kept, and takes each away: the check of the others would see it.
func TestDamagedArchivesOfEarlierVersionsAreCaught(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.tar.gz")
	must(t, err)
	tried := 0
	for _, path := range archives {
		store := objstoretest.Embedded(t)
		unpack(t, path, store)
		raw, err := os.ReadFile(path[:len(path)-len(".tar.gz")] + ".json")
		must(t, err)
		var want kept
		must(t, json.Unmarshal(raw, &want))
		var keys []string
		for o, err := range store.List(t.Context(), "", "") {
			must(t, err)
			if strings.HasPrefix(o.Key, "data/") || strings.HasPrefix(o.Key, "ledger/") { // the others are settings, of which no hash says anything
				keys = append(keys, o.Key)
			}
		}
		for _, key := range keys {
			body, _, err := store.Get(t.Context(), key, 64<<20)
			must(t, err)
			flipped := bytes.Clone(body)
			flipped[len(flipped)/2] ^= 1
			_, err = store.Put(t.Context(), key, flipped)
			must(t, err)
			if report, whole := want.asIn(t, store, ledger.New(store, nil)); whole {
				t.Errorf("%s, a bit of %s flipped: %+v", path, key, report)
			}
			must(t, store.Delete(t.Context(), key))
			if report, whole := want.asIn(t, store, ledger.New(store, nil)); whole {
				t.Errorf("%s without %s: %+v", path, key, report)
			}
			_, err = store.Put(t.Context(), key, body)
			must(t, err)
			tried++
		}
		if report, whole := want.asIn(t, store, ledger.New(store, nil)); !whole {
			t.Errorf("%s, mended, verifies as %+v", path, report)
		}
	}
	if tried < 20 {
		t.Errorf("%d objects were damaged", tried)
	}
}

// found makes an index of the archive, and asks it for the trace.
func found(t *testing.T, store *objstore.Store, book *ledger.Ledger, want kept) {
	t.Helper()
	var options index.Options
	options.Addr, options.User, options.Password = embeddedtest.ClickHouse(t)
	options.Database = embeddedtest.Database(t)
	x, err := index.Open(options)
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	rules := plain(t)
	done, damaged, err := archiver.Reindex(t.Context(), store, book, x, rules, slog.New(slog.DiscardHandler), archiver.ReindexOptions{})
	if err != nil || len(damaged) > 0 || done.Records != want.Records.Rows() || done.Offsets != done.Total {
		t.Fatalf("reindexed %+v, damaged %+v, %v", done, damaged, err)
	}
	answers(t, x, store, book, want)
}

func plain(t *testing.T) *extract.Rules {
	rules, err := extract.New(extract.Options{})
	must(t, err)
	return rules
}

// answers asks an index for the trace, and the archive for its records.
func answers(t *testing.T, x *index.Index, store *objstore.Store, book *ledger.Ledger, want kept) {
	t.Helper()
	engine, err := query.New(query.Options{Index: x, Store: store, Ledger: book, Extract: plain(t)})
	must(t, err)
	page, err := engine.Search(t.Context(), policy.Everything(), answer.SearchRequest{ID: keptTrace, Limit: 1000, Statuses: []schema.Status{schema.Committed}})
	must(t, err)
	if len(page.Records) != len(want.Values) {
		t.Fatalf("%d records of the trace, want %d", len(page.Records), len(want.Values))
	}
	values := map[string]int{}
	for _, h := range page.Records {
		at := schema.Coordinates{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset}
		record, err := engine.Record(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: at})
		must(t, err)
		values[string(record.Record.Value)]++
	}
	for _, value := range want.Values {
		if values[value]--; values[value] < 0 {
			t.Errorf("the value %q is not found", value)
		}
	}
}

// TestNewerVersionsAreNamed: what a later version wrote is told from damage.
func TestNewerVersionsAreNamed(t *testing.T) {
	for format, newer := range map[string]bool{
		"annals.commit/2": true, "annals.commit/11": true, "annals.commit/0": false, "annals.commit/01": false,
		"annals.commit": false, "annals.other/9": false, "": false,
	} {
		err := schema.CheckFormat(format, schema.CommitFormat)
		if err == nil || errors.Is(err, schema.ErrNewer) != newer || schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%q: %v", format, err)
		}
		_, err = schema.ParseCommit(fmt.Appendf(nil, `{"format":%q,"more":1}`, format))
		if err == nil || errors.Is(err, schema.ErrNewer) != newer {
			t.Errorf("a commit of %q: %v", format, err)
		}
	}
}

func unpack(t *testing.T, path string, store *objstore.Store) (objects int) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	must(t, err)
	for files := tar.NewReader(zipped); ; objects++ {
		header, err := files.Next()
		if err == io.EOF {
			return objects
		}
		must(t, err)
		raw, err := io.ReadAll(files)
		must(t, err)
		_, err = store.Put(t.Context(), header.Name, raw)
		must(t, err)
	}
}

// makeArchive has this version archive transactions, an aborted one among them,
// odd records and a gap-free rest, in two segments a partition.
func makeArchive(t *testing.T, name string) {
	programs := instance.Built(t)
	i := programs.Start(t, instance.Options{})
	var values []string
	for round := range 2 {
		values = append(values, produce(t, i, round)...)
		embeddedtest.Eventually(t, time.Minute, func() error {
			i.Seal(t)
			var list struct {
				Partitions []struct {
					ArchivedTo int64 `json:"archived_to"`
				}
			}
			i.JSON(t, &list, "coverage")
			var sealed, ends int64
			for _, p := range list.Partitions {
				sealed += p.ArchivedTo
			}
			for _, end := range i.Ends(t) {
				ends += end
			}
			if sealed != ends {
				return fmt.Errorf("%d of %d offsets are sealed", sealed, ends)
			}
			return nil
		})
	}
	i.Settled(t)
	up := i.Up.S3
	store, err := objstore.Open(objstore.Options{
		Endpoint: up.Endpoint[len("http://"):], Region: up.Region, Bucket: up.Bucket, Prefix: up.Prefix, PathStyle: true, AccessKey: up.AccessKey, SecretKey: up.SecretKey,
	})
	must(t, err)
	defer store.Close()
	report, err := custody.VerifyArchive(t.Context(), store, ledger.New(store, nil), custody.ArchiveOptions{})
	must(t, err)
	pack(t, store, name+".tar.gz")
	packTables(t, i, name+".index.gz")
	raw, err := json.MarshalIndent(kept{report.Chains, report.Commits, report.Records, values}, "", "  ")
	must(t, err)
	must(t, os.WriteFile(name+".json", append(raw, '\n'), 0o644))
	must(t, i.Shut())
	packFolder(t, i.DataDir, name+".folder.tgz")
}

func produce(t *testing.T, i *instance.Instance, round int) (values []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("kept"))
	if round == 0 {
		_, err := kadm.NewClient(client).CreateTopic(ctx, 2, 1, nil, keptTopic)
		must(t, err)
	}
	for _, commit := range []bool{true, false} {
		must(t, client.BeginTransaction())
		for n := range 12 {
			value := fmt.Sprintf(`{"round":%d,"n":%d,"committed":%t}`, round, n, commit)
			r := &kgo.Record{Topic: keptTopic, Partition: int32(n % 2), Key: fmt.Append(nil, n), Value: []byte(value), Headers: []kgo.RecordHeader{
				{Key: "traceId", Value: []byte(keptTrace)}, {Key: "null", Value: nil}, {Key: "same", Value: []byte{}}, {Key: "same", Value: []byte{0xff}},
			}}
			must(t, client.ProduceSync(ctx, r).FirstErr())
			if commit {
				values = append(values, value)
			}
		}
		must(t, client.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
	}
	return values
}

// pack writes every object of an archive into a tar file.
func pack(t *testing.T, store *objstore.Store, path string) {
	var file bytes.Buffer
	zipped := gzip.NewWriter(&file)
	files := tar.NewWriter(zipped)
	for o, err := range store.List(t.Context(), "", "") {
		must(t, err)
		raw, _, err := store.Get(t.Context(), o.Key, 64<<20)
		must(t, err)
		must(t, files.WriteHeader(&tar.Header{Name: o.Key, Mode: 0o644, Size: int64(len(raw))}))
		_, err = files.Write(raw)
		must(t, err)
	}
	must(t, files.Close())
	must(t, zipped.Close())
	must(t, os.WriteFile(path, file.Bytes(), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
