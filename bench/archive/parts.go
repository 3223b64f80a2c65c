package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// partsCommand makes this program the unavoidable parts alone.
const partsCommand = "parts"

// parts are the CPU times of what no archiver of this format can do without,
// each done alone, on the records and objects that a run has archived: of the
// process that does it, and of ClickHouse for the index's rows.
type parts struct {
	Consume    time.Duration
	Extract    time.Duration
	Leaf       time.Duration
	Tree       time.Duration
	Encode     time.Duration
	Hash       time.Duration // SHA-256 of the segments' bytes
	Put        time.Duration // segments and commits
	Insert     time.Duration
	ClickHouse time.Duration
	Records    int64
	Segments   int64
	Bytes      int64 // of the segments
	Encoded    int64 // what Encode made of the same columns
	Rows       int64 // of all index tables
}

// without is the sum of the parts of an archive without an index.
func (p *parts) without() time.Duration {
	return p.Consume + p.Extract + p.Leaf + p.Tree + p.Encode + p.Hash + p.Put
}

// with adds the index's.
func (p *parts) with() time.Duration { return p.without() + p.Insert + p.ClickHouse }

// alone measures the parts of a run with an index that has just ended.
func (b *bench) alone(ctx context.Context, u *unit, r run) (got parts, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, partsCommand, "-data-dir", b.dir, "-prefix", r.name, "-database", r.database(),
		"-topics", strings.Join(u.topics, ","), "-records", strconv.FormatInt(u.records, 10), "-clickhouse-pid", strconv.Itoa(b.clickhousePID),
		"-clickhouse-idle", fmt.Sprint(b.idle))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return got, fmt.Errorf("measure the parts of %s: %w", u.name, err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return got, fmt.Errorf("read the parts of %s: %w", u.name, err)
	}
	if got.Records != u.records {
		return got, fmt.Errorf("the segments of %s hold %d records of %d", u.name, got.Records, u.records)
	}
	return got, nil
}

// apart is one run of the parts.
type apart struct {
	parts
	up       embedded.UpFile
	prefix   string
	database string
	store    *minio.Client
	rules    *extract.Rules
	hasher   *proof.Hasher
	encoder  encoder
}

// runParts is the parts' process. It prints parts as JSON.
func runParts(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(partsCommand, flag.ContinueOnError)
	dir := flags.String("data-dir", "", "folder of the engines")
	prefix := flags.String("prefix", "", "S3 prefix of the run")
	database := flags.String("database", "", "the run's index")
	topics := flags.String("topics", "", "the run's topics")
	records := flags.Int64("records", 0, "how many records they hold")
	clickhouse := flags.Int("clickhouse-pid", 0, "ClickHouse's process")
	idle := flags.Float64("clickhouse-idle", 0, "CPU seconds that it takes a second when it is not asked")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := &apart{prefix: *prefix, database: *database, hasher: proof.NewHasher()}
	var err error
	if p.up, err = embedded.ReadUpFile(*dir); err != nil {
		return err
	}
	p.up.ClickHouse.Database = "default"
	if p.rules, err = extract.New(extract.Options{}); err != nil {
		return err
	}
	if p.store, err = bareStore(p.up.S3); err != nil {
		return err
	}
	err = timed(&p.Consume, func() error {
		_, err := measure.Consume(ctx, p.up.Kafka, strings.Split(*topics, ","), *records)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.objects(ctx); err != nil {
		return err
	}
	if err := p.index(ctx, *clickhouse, *idle); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(&p.parts)
}

// timed adds the CPU time of this process that do takes. The garbage of what
// went before is none of it.
func timed(sum *time.Duration, do func() error) error {
	runtime.GC()
	before, err := ownTime()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := ownTime()
	*sum += after - before
	return err
}

func ownTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("ask for the CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func bareStore(s embedded.UpS3) (*minio.Client, error) {
	client, err := minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: s.Region, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	return client, nil
}

// objects takes one stored object after the other: what is in memory at a time
// is what an archiver has of one.
func (p *apart) objects(ctx context.Context) error {
	for object := range p.store.ListObjects(ctx, p.up.S3.Bucket, minio.ListObjectsOptions{Prefix: p.prefix + "/", Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list the run's objects: %w", object.Err)
		}
		isSegment, isCommit := strings.HasSuffix(object.Key, ".parquet"), strings.Contains(object.Key, "/ledger/")
		if !isSegment && !isCommit {
			continue
		}
		body, err := p.fetch(ctx, object.Key)
		if err != nil {
			return err
		}
		if isSegment {
			if err := p.segment(ctx, body); err != nil {
				return fmt.Errorf("%s: %w", object.Key, err)
			}
		}
		if err := p.put(ctx, "bare/"+object.Key, body, isCommit); err != nil {
			return err
		}
	}
	if p.Segments == 0 {
		return errors.New("the run has stored no segments")
	}
	return nil
}

func (p *apart) fetch(ctx context.Context, key string) ([]byte, error) {
	object, err := p.store.GetObject(ctx, p.up.S3.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	body, err := io.ReadAll(object)
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return body, nil
}

// put sends an object as the archiver does: with its hash, which is known by
// then, and a commit only if nothing is there.
func (p *apart) put(ctx context.Context, key string, body []byte, ifAbsent bool) error {
	sum := sha256.Sum256(body)
	options := minio.PutObjectOptions{
		UserMetadata:         map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:])},
		DisableContentSha256: true,
	}
	if ifAbsent {
		options.SetMatchETagExcept("*")
	}
	err := timed(&p.Put, func() error {
		core := minio.Core{Client: p.store}
		_, err := core.PutObject(ctx, p.up.S3.Bucket, key, bytes.NewReader(body), int64(len(body)), "", hex.EncodeToString(sum[:]), options)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// segment does to a segment's records what an archiver has to.
func (p *apart) segment(ctx context.Context, body []byte) error {
	reader, err := segment.Open(ctx, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	var records []schema.Record
	for row, err := range reader.Rows(ctx, 0, 1<<62, segment.Times|segment.Broker|segment.Payload) {
		if err != nil {
			return err
		}
		records = append(records, row.Clone().Record)
	}
	p.Records += int64(len(records))
	p.Segments++
	p.Bytes += int64(len(body))

	var extraction schema.Extraction
	leaves := make([]schema.Digest, len(records))
	seed := proof.NewSeed()
	var tree proof.Tree
	steps := []struct {
		sum *time.Duration
		do  func()
	}{
		{&p.Extract, func() {
			for i := range records {
				p.rules.Extract(&records[i], &extraction)
			}
		}},
		{&p.Leaf, func() {
			for i := range records {
				leaves[i] = p.hasher.Leaf(seed, &records[i])
			}
		}},
		{&p.Tree, func() {
			for i := range leaves {
				tree.Append(leaves[i])
			}
			tree.Root()
		}},
		{&p.Hash, func() { sha256.Sum256(body) }},
	}
	for _, step := range steps {
		if err := timed(step.sum, func() error { step.do(); return nil }); err != nil {
			return err
		}
	}
	columns, err := decode(body)
	if err != nil {
		return err
	}
	return timed(&p.Encode, func() error {
		n, err := p.encoder.encode(columns)
		p.Encoded += n
		return err
	})
}
