package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// slowLeaf is the specification written down a second time, without regard to
// speed: docs/formats/proof.md, section by section.
func slowLeaf(seed proof.Seed, r *schema.Record) schema.Digest {
	sha := func(parts ...any) []byte {
		var b bytes.Buffer
		for _, part := range parts {
			switch p := part.(type) {
			case string:
				b.WriteString(p)
			default:
				if err := binary.Write(&b, binary.BigEndian, p); err != nil {
					panic(err)
				}
			}
		}
		sum := sha256.Sum256(b.Bytes())
		return sum[:]
	}
	recordSeed := sha("annals.seed.1", seed[:], r.Offset)
	salt := func(field uint8) []byte { return sha("annals.salt.1", recordSeed, field) }
	optional := func(x []byte) []byte {
		if x == nil {
			return []byte{0}
		}
		return append([]byte{1}, x...)
	}
	var headers bytes.Buffer
	_ = binary.Write(&headers, binary.BigEndian, uint32(len(r.Headers)))
	for _, h := range r.Headers {
		_ = binary.Write(&headers, binary.BigEndian, uint32(len(h.Name)))
		headers.WriteString(h.Name)
		if h.Value == nil {
			headers.WriteByte(0)
			continue
		}
		headers.WriteByte(1)
		_ = binary.Write(&headers, binary.BigEndian, uint32(len(h.Value)))
		headers.Write(h.Value)
	}
	return schema.Digest(sha("\x00annals.leaf.1", r.TopicID, r.Partition, r.Branch, r.Offset, r.LeaderEpoch,
		int8(r.TimestampType), r.Timestamp, r.ProducerID, r.ProducerEpoch, uint8(r.Status),
		sha("annals.comm.1", salt(1), optional(r.Key)),
		sha("annals.comm.1", salt(2), optional(r.Value)),
		sha("annals.comm.1", salt(3), headers.Bytes())))
}

func optionalBytes() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.Just([]byte{}),
		rapid.SliceOfN(rapid.Byte(), 0, 64),
		rapid.Map(rapid.IntRange(4000, 4200), func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }),
	)
}

func records() *rapid.Generator[schema.Record] {
	return rapid.Custom(func(t *rapid.T) schema.Record {
		r := schema.Record{
			Partition: rapid.Int32Min(0).Draw(t, "partition"), Branch: rapid.Int32Min(0).Draw(t, "branch"),
			Offset: rapid.Int64Min(0).Draw(t, "offset"), LeaderEpoch: rapid.Int32().Draw(t, "epoch"),
			Timestamp: rapid.Int64().Draw(t, "timestamp"), ProducerID: rapid.Int64().Draw(t, "producer"),
			TimestampType: schema.TimestampType(rapid.Int8Range(-1, 1).Draw(t, "type")),
			ProducerEpoch: rapid.Int16().Draw(t, "producer epoch"),
			Status:        schema.Status(rapid.Uint8Range(1, 3).Draw(t, "status")),
			Key:           optionalBytes().Draw(t, "key"), Value: optionalBytes().Draw(t, "value"),
		}
		copy(r.TopicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic id"))
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			r.Headers = append(r.Headers, schema.Header{
				Name:  string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "name")),
				Value: optionalBytes().Draw(t, "header value"),
			})
		}
		return r
	})
}

func seeds() *rapid.Generator[proof.Seed] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 32, 32), func(b []byte) proof.Seed { return proof.Seed(b) })
}

// One Hasher is used for all records, as the writer does: what it keeps from
// one record must not show in the next.
func TestLeafAgreesWithTheSlowSpecification(t *testing.T) {
	hasher := proof.NewHasher()
	rapid.Check(t, func(t *rapid.T) {
		seed, r := seeds().Draw(t, "seed"), records().Draw(t, "record")
		if got, want := hasher.Leaf(seed, &r), slowLeaf(seed, &r); got != want {
			t.Fatalf("leaf is %s, the specification says %s", got, want)
		}
	})
}

// Every single change to what the broker gave must change the leaf.
func TestLeafFixesEveryField(t *testing.T) {
	changes := map[string]func(*schema.Record){
		"topic id":       func(r *schema.Record) { r.TopicID[15] ^= 1 },
		"partition":      func(r *schema.Record) { r.Partition ^= 1 },
		"branch":         func(r *schema.Record) { r.Branch ^= 1 },
		"offset":         func(r *schema.Record) { r.Offset ^= 1 },
		"leader epoch":   func(r *schema.Record) { r.LeaderEpoch ^= 1 },
		"timestamp":      func(r *schema.Record) { r.Timestamp ^= 1 },
		"timestamp type": func(r *schema.Record) { r.TimestampType ^= 1 },
		"producer id":    func(r *schema.Record) { r.ProducerID ^= 1 },
		"producer epoch": func(r *schema.Record) { r.ProducerEpoch ^= 1 },
		"status":         func(r *schema.Record) { r.Status ^= 1 },
		"key to null or empty": func(r *schema.Record) {
			if r.Key == nil {
				r.Key = []byte{}
			} else {
				r.Key = nil
			}
		},
		"value grows":  func(r *schema.Record) { r.Value = append(bytes.Clone(r.Value), 0) },
		"a new header": func(r *schema.Record) { r.Headers = append(r.Headers, schema.Header{}) },
		"key and value swap": func(r *schema.Record) {
			if bytes.Equal(r.Key, r.Value) && (r.Key == nil) == (r.Value == nil) {
				r.Key = []byte("other")
			}
			r.Key, r.Value = r.Value, r.Key
		},
		"a byte moves from a header's name to its value": func(r *schema.Record) {
			r.Headers = append([]schema.Header{{Name: "ab", Value: []byte("c")}}, r.Headers...)
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		seed, r := seeds().Draw(t, "seed"), records().Draw(t, "record")
		seen := map[schema.Digest]string{proof.Leaf(seed, &r): "the record itself"}
		for name, change := range changes {
			changed := r
			change(&changed)
			leaf := proof.Leaf(seed, &changed)
			if other, taken := seen[leaf]; taken {
				t.Fatalf("%q and %q have one leaf", name, other)
			}
			seen[leaf] = name
		}
		moved := r
		moved.Headers = append([]schema.Header{{Name: "a", Value: []byte("bc")}}, r.Headers...)
		if _, taken := seen[proof.Leaf(seed, &moved)]; taken {
			t.Fatal("where a header's name ends is not fixed")
		}
	})
}

func TestLeafDependsOnTheSeed(t *testing.T) {
	r := schema.Record{Status: schema.Committed}
	one, other := proof.NewSeed(), proof.NewSeed()
	if proof.Leaf(one, &r) == proof.Leaf(other, &r) {
		t.Fatal("two seeds, one leaf: a withheld field could be guessed")
	}
}

// The vectors were made by testdata/leaves.py, which shares no code with us.
func TestGoldenLeaves(t *testing.T) {
	raw, err := os.ReadFile("testdata/leaves.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 10 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			r := v.record(t)
			if got := proof.Leaf(v.Seed, &r); got != v.Leaf {
				t.Errorf("leaf is %s, the vector says %s", got, v.Leaf)
			}
		})
	}
}

type vector struct {
	Name   string        `json:"name"`
	Seed   proof.Seed    `json:"seed"`
	Leaf   schema.Digest `json:"leaf"`
	Record struct {
		TopicID       string      `json:"topic_id"`
		Partition     string      `json:"partition"`
		Branch        string      `json:"branch"`
		Offset        string      `json:"offset"`
		LeaderEpoch   string      `json:"leader_epoch"`
		TimestampType string      `json:"timestamp_type"`
		Timestamp     string      `json:"timestamp"`
		ProducerID    string      `json:"producer_id"`
		ProducerEpoch string      `json:"producer_epoch"`
		Status        string      `json:"status"`
		Key           *string     `json:"key"`
		Value         *string     `json:"value"`
		Headers       [][]*string `json:"headers"`
	} `json:"record"`
}

func (v *vector) record(t *testing.T) schema.Record {
	t.Helper()
	number := func(text string, bits int) int64 {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	unhex := func(text *string) []byte {
		if text == nil {
			return nil
		}
		raw, err := hex.DecodeString(*text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	in := &v.Record
	r := schema.Record{
		TopicID:       schema.TopicID(unhex(&in.TopicID)),
		Partition:     int32(number(in.Partition, 32)),
		Branch:        int32(number(in.Branch, 32)),
		Offset:        number(in.Offset, 64),
		LeaderEpoch:   int32(number(in.LeaderEpoch, 32)),
		TimestampType: schema.TimestampType(number(in.TimestampType, 8)),
		Timestamp:     number(in.Timestamp, 64),
		ProducerID:    number(in.ProducerID, 64),
		ProducerEpoch: int16(number(in.ProducerEpoch, 16)),
		Status:        schema.Status(number(in.Status, 8)),
		Key:           unhex(in.Key),
		Value:         unhex(in.Value),
	}
	for _, h := range in.Headers {
		r.Headers = append(r.Headers, schema.Header{Name: string(unhex(h[0])), Value: unhex(h[1])})
	}
	return r
}

func TestSeedText(t *testing.T) {
	seed := proof.NewSeed()
	text, err := seed.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var again proof.Seed
	if err := again.UnmarshalText(text); err != nil || again != seed {
		t.Fatalf("%s read back as %v, %v", text, again, err)
	}
	for _, bad := range [][]byte{nil, text[:62], bytes.ToUpper([]byte("ab" + string(text[2:]))), append(text, '0')} {
		if err := again.UnmarshalText(bad); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%q accepted: %v", bad, err)
		}
	}
}

func TestHasherAllocatesNothing(t *testing.T) {
	hasher := proof.NewHasher()
	seed := proof.NewSeed()
	for name, r := range map[string]*schema.Record{
		"small": benchmarkRecord(300),
		"large": benchmarkRecord(100_000),
	} {
		if n := testing.AllocsPerRun(100, func() { hasher.Leaf(seed, r) }); n != 0 {
			t.Errorf("%s record: %v allocations", name, n)
		}
	}
}

func benchmarkRecord(size int) *schema.Record {
	return &schema.Record{
		Offset: 12, Timestamp: 1_700_000_000_000, ProducerID: 4000, Status: schema.Committed,
		Key: []byte("EUR"), Value: bytes.Repeat([]byte{'v'}, size),
		Headers: []schema.Header{
			{Name: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
			{Name: "ce_type", Value: []byte("FxRateReceived")},
			{Name: "ce_source", Value: []byte("ecb-gateway")},
		},
	}
}

func BenchmarkLeaf(b *testing.B) {
	for _, size := range []int{300, 20_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			hasher, seed, r := proof.NewHasher(), proof.NewSeed(), benchmarkRecord(size)
			b.ReportAllocs()
			for b.Loop() {
				hasher.Leaf(seed, r)
			}
		})
	}
}
