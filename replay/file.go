package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A replay into files writes each lane as parts, one object each, one after another.
// Where a part ends follows from the plan and the records alone, its name says which
// records it has, and it is created or is there: so what was written before a worker
// died is known by listing, and two workers at once write the same records under the
// same names. There is nothing to fence, and no position beside the parts.

// maxPart is how many bytes of keys, values and headers a part has at most, unless its
// only record is larger; it has records of one branch. It never changes: workers of two versions would cut otherwise.
const maxPart = 16 << 20

// filesFormat names this version of the list of a job's files.
const filesFormat = "annals.replay-files/1"

// fileOptions refuses what is asked for and a file cannot have.
func fileOptions(r *answer.ReplayRequest) error {
	if r.TargetFile == "" {
		return nil
	}
	if r.TargetFile != answer.FileNDJSON && r.TargetFile != answer.FileParquet {
		return schema.InvalidField("target_file", "%.32q is none of %s, %s", r.TargetFile, answer.FileNDJSON, answer.FileParquet)
	}
	for _, one := range []struct {
		field, says string
		given       bool
	}{
		{"target_cluster", "a file is in no cluster: it is written to the archive's bucket", r.TargetCluster != ""},
		{"target_prefix", "files are named by the job and the source", r.TargetPrefix != ""},
		{"target_topics", "files are named by the job and the source", len(r.TargetTopics) > 0},
		{"allow_existing", "files of a replay are always its own", r.AllowExisting},
		{"allow_source", "files of a replay are always its own", r.AllowSource},
		{"provenance_headers", "every record in a file stands beside its topic, partition and offset", r.ProvenanceHeaders},
		{"partitioning", "a file keeps each record's partition", r.Partitioning == answer.PartitionByKey},
		{"target_partitions", "a file keeps each record's partition", r.TargetPartitions != 0},
		{"timestamps", "a file keeps each record's timestamp", r.Timestamps != "" && r.Timestamps != answer.TimestampsKeep || r.ShiftMillis != 0},
		{"oversized", "a file takes records of any size", r.Oversized != "" && r.Oversized != answer.OversizedFail},
	} {
		if one.given {
			return schema.WithHint(schema.InvalidField(one.field, "not with target_file: %s", one.says), "leave it out, or replay into topics")
		}
	}
	return nil
}

// filesOf gives a file target for each topic of a plan: the folder of its parts.
func (s *Service) filesOf(d *document, id string) ([]target, error) {
	var list []target
	for i := range d.Topics {
		t := &d.Topics[i]
		if err := s.mayLeave(t.Source); err != nil {
			return nil, err
		}
		list = append(list, target{Source: t.Source, Name: d.targetOf(id, t), Partitions: t.Partitions})
	}
	return list, nil
}

// folder is where the parts of a topic go. Of several of one name, as traces may have,
// all but the first have their ID in it.
func (d *document) folder(id string, t *topicPlan) string {
	at := schema.ReplayPrefix + id + "/files/" + t.Source + "/"
	for i := range d.Topics {
		if d.Topics[i].TopicID == t.TopicID {
			return at
		}
		if d.Topics[i].Source == t.Source {
			break
		}
	}
	return at + t.TopicID.String() + "/"
}

// filePart is one object of a lane: so many records, from offset First to before Next.
type filePart struct {
	key                  string
	size                 int64
	first, next, records int64
}

func (a *attempt) partKey(l *lane, first, next, records int64) string {
	return fmt.Sprintf("%s%d/%020d-%020d-%d.%s", l.target, l.stream.Partition, first, next, records, a.doc.File)
}

// parts lists what is there of a lane, by offset. Corrupt: an object is no part of it,
// or one is missing before another.
func (a *attempt) parts(ctx context.Context, l *lane) ([]filePart, error) {
	var list []filePart
	next := int64(0)
	for object, err := range a.store.List(ctx, fmt.Sprintf("%s%d/", l.target, l.stream.Partition), "") {
		if err != nil {
			return nil, err
		}
		p := filePart{key: object.Key, size: object.Size}
		name := object.Key[strings.LastIndexByte(object.Key, '/')+1:]
		_, err := fmt.Sscanf(name, "%d-%d-%d.", &p.first, &p.next, &p.records)
		if err != nil || object.Key != a.partKey(l, p.first, p.next, p.records) || p.records < 1 || p.next < p.first+p.records {
			return nil, schema.Errorf(schema.Corrupt, "object %s is no part of replay %s", object.Key, a.claim.id)
		}
		if p.first < next {
			return nil, schema.Errorf(schema.Corrupt, "object %s has offsets of the one before it", object.Key)
		}
		list, next = append(list, p), p.next
	}
	return list, nil
}

// readyFiles has the job run: there is nothing to make before the first part.
func (a *attempt) readyFiles(ctx context.Context) error {
	if st := a.claim.state(); st.isBegun() {
		return nil
	}
	return a.claim.update(ctx, func(st *state) {
		st.State, st.Error, st.Started = answer.JobRunning, "", time.Now().UTC()
	})
}

// writeRest writes the parts that are not there yet.
func (a *attempt) writeRest(ctx context.Context) error {
	if a.claim.state().Cancel {
		return errCancelled
	}
	next, produced := make([]int64, len(a.lanes)), int64(0)
	for i := range a.lanes {
		there, err := a.parts(ctx, &a.lanes[i])
		if err != nil {
			return err
		}
		for _, p := range there {
			next[i], produced = p.next, produced+p.records
		}
	}
	if produced > 0 {
		a.log.Info("replay goes on", "replay", a.claim.id, "written", produced)
	}
	a.claim.produced.Store(produced)
	a.claim.measure()
	if st := a.claim.state(); st.State != answer.JobRunning || st.Error != "" {
		if err := a.claim.update(ctx, func(st *state) { st.State, st.Error = answer.JobRunning, "" }); err != nil {
			return err
		}
	}
	allowed := &allowance{claim: a.claim}
	for i := range a.lanes {
		if err := a.writeLane(ctx, &a.lanes[i], next[i], allowed); err != nil {
			return err
		}
	}
	return nil
}

// writeLane writes a lane's parts from an offset on.
func (a *attempt) writeLane(ctx context.Context, l *lane, from int64, allowed *allowance) error {
	part, branch := filePart{}, int32(0)
	var size int64
	var out partWriter
	end := func() error {
		if part.records == 0 {
			return nil
		}
		if err := allowed.wait(ctx, int(part.records), size); err != nil {
			return err
		}
		body, err := out.close()
		if err != nil {
			return err
		}
		if err := a.keepPart(ctx, a.partKey(l, part.first, part.next, part.records), body); err != nil {
			return err
		}
		a.claim.produced.Add(part.records)
		a.metrics.records.Add(float64(part.records))
		a.metrics.bytes.Add(float64(size))
		part, size, out = filePart{}, 0, nil
		return ctx.Err()
	}
	err := a.each(ctx, l, from, &memory{}, func(row *segment.Row) (err error) {
		if part.records > 0 && (size+row.Bytes() > a.options.Part || row.Branch != branch) {
			if err := end(); err != nil {
				return err
			}
		}
		if out == nil {
			if out, err = newPart(a.doc.File, l, row); err != nil {
				return err
			}
			part.first, branch = row.Offset, row.Branch
		}
		part.next, part.records, size = row.Offset+1, part.records+1, size+row.Bytes()
		return out.add(&row.Record)
	})
	if err != nil {
		return err
	}
	return end()
}

// keepPart creates a part. One that is there has the same records: another worker
// wrote it, or this one and its answer was lost.
func (a *attempt) keepPart(ctx context.Context, key string, body []byte) error {
	writing, stop := lingering(ctx)
	defer stop()
	for pauses, tries := retry.Between(200*time.Millisecond, 2*time.Second), 1; ; tries++ {
		_, err := a.store.PutIfAbsent(writing, key, body)
		if err == nil || errors.Is(err, objstore.ErrExists) {
			return nil
		}
		if tries == 5 || !errors.Is(err, objstore.ErrBusy) && !errors.Is(err, objstore.ErrUncertain) {
			return fmt.Errorf("write %s: %w", key, err)
		}
		if err := pauses.Wait(writing); err != nil {
			return err
		}
	}
}

// partWriter makes the bytes of a part, in memory.
type partWriter interface {
	add(r *schema.Record) error
	close() ([]byte, error)
}

// newPart begins a part whose first record is row.
func newPart(kind string, l *lane, row *segment.Row) (partWriter, error) {
	if kind == answer.FileNDJSON {
		p := &lineFile{}
		p.encoder = json.NewEncoder(&p.out)
		p.encoder.SetEscapeHTML(false)
		return p, nil
	}
	p := &segmentFile{}
	var err error
	p.writer, err = segment.NewWriter(&p.out, segment.Options{Stream: l.source(), Branch: row.Branch})
	return p, err
}

// lineFile is a part in NDJSON: a fileLine for each record.
type lineFile struct {
	out     bytes.Buffer
	encoder *json.Encoder
}

func (p *lineFile) add(r *schema.Record) error { return p.encoder.Encode(lineOf(r)) }

func (p *lineFile) close() ([]byte, error) { return p.out.Bytes(), nil }

// segmentFile is a part in Parquet, with the columns of the archive's segments. What
// a broker said of the record besides its time, and what was extracted, is not in it.
type segmentFile struct {
	out    bytes.Buffer
	writer *segment.Writer
}

func (p *segmentFile) add(r *schema.Record) error {
	bare := *r
	bare.LeaderEpoch, bare.ProducerID, bare.ProducerEpoch, bare.Status = -1, -1, -1, schema.Committed
	return p.writer.Append(&bare, &schema.Extraction{})
}

func (p *segmentFile) close() ([]byte, error) {
	_, err := p.writer.Close()
	return p.out.Bytes(), err
}

// fileLine is a record in NDJSON. Bytes that are UTF-8 stand as text, others in base64
// under the second name; null is null, and the second name is left out then.
type fileLine struct {
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	Offset    int64          `json:"offset"`
	Timestamp int64          `json:"timestamp"` // milliseconds since the Unix epoch
	Key       *string        `json:"key"`
	KeyBytes  []byte         `json:"key_base64,omitempty"`
	Value     *string        `json:"value"`
	Bytes     []byte         `json:"value_base64,omitempty"`
	Headers   []fileHeader   `json:"headers"`
}

type fileHeader struct {
	Name      *string `json:"name"`
	NameBytes []byte  `json:"name_base64,omitempty"`
	Value     *string `json:"value"`
	Bytes     []byte  `json:"value_base64,omitempty"`
}

func lineOf(r *schema.Record) *fileLine {
	l := &fileLine{Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Headers: make([]fileHeader, len(r.Headers))}
	l.Key, l.KeyBytes = textOrBytes(r.Key)
	l.Value, l.Bytes = textOrBytes(r.Value)
	for i := range r.Headers {
		h := &l.Headers[i]
		h.Name, h.NameBytes = textOrBytes([]byte(r.Headers[i].Name))
		h.Value, h.Bytes = textOrBytes(r.Headers[i].Value)
	}
	return l
}

// textOrBytes gives one of both, neither for null. Text that JSON would escape to more
// than base64 takes is given as bytes.
func textOrBytes(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	escaped := 0
	for _, c := range b {
		if c < ' ' {
			escaped++
		}
	}
	if !utf8.Valid(b) || 15*escaped > len(b) {
		return nil, b
	}
	text := string(b)
	return &text, nil
}

func bytesOf(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return raw
}

func (l *fileLine) record() *schema.Record {
	r := &schema.Record{
		Topic: l.Topic, TopicID: l.TopicID, Partition: l.Partition, Offset: l.Offset, Timestamp: l.Timestamp,
		Key: bytesOf(l.Key, l.KeyBytes), Value: bytesOf(l.Value, l.Bytes),
	}
	for i := range l.Headers {
		h := &l.Headers[i]
		r.Headers = append(r.Headers, schema.Header{Name: string(bytesOf(h.Name, h.NameBytes)), Value: bytesOf(h.Value, h.Bytes)})
	}
	return r
}

// recordsOf yields what a part has, in order.
func recordsOf(ctx context.Context, kind string, body []byte) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		if kind == answer.FileNDJSON {
			decoder := json.NewDecoder(bytes.NewReader(body))
			decoder.DisallowUnknownFields()
			for {
				var l fileLine
				err := decoder.Decode(&l)
				if err == io.EOF {
					return
				}
				if err != nil {
					yield(nil, schema.Errorf(schema.Corrupt, "read a line: %w", err))
					return
				}
				if !yield(l.record(), nil) {
					return
				}
			}
		}
		reader, err := segment.Open(ctx, segment.Held(body), int64(len(body)))
		if err != nil {
			yield(nil, err)
			return
		}
		footer := reader.Footer()
		for row, err := range reader.Rows(ctx, footer.FirstOffset, footer.LastOffset+1, segment.Times|segment.Payload) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&row.Record, nil) {
				return
			}
		}
	}
}
