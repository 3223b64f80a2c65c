package failure_test

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/schema"
)

func be32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
func be64(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func headersOf(pairs ...string) []schema.Header {
	var list []schema.Header
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, schema.Header{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return list
}

func at(topic string, partition int32, offset int64) *schema.Coordinates {
	return &schema.Coordinates{Topic: topic, Partition: partition, Offset: offset}
}

// What each framework writes is read, and taken off again. x and y are the
// record's own headers.
func TestDialects(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		want    failure.Failure
	}{
		"spring": {
			[]string{
				"x", "1", "kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException",
				"kafka_dlt-exception-cause-fqcn", "java.lang.IllegalStateException", "kafka_dlt-exception-message", "no rate for order 17",
				"kafka_dlt-exception-stacktrace", "at …", "kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", be32(3),
				"kafka_dlt-original-offset", be64(1<<40 + 5), "kafka_dlt-original-timestamp", be64(1), "kafka_dlt-original-timestamp-type", "CreateTime",
				"kafka_dlt-original-consumer-group", "billing", "y", "2",
			},
			failure.Failure{Dialect: failure.Spring, Original: at("orders", 3, 1<<40+5), Class: "java.lang.IllegalStateException", Message: "no rate for order 17", By: "billing"},
		},
		"spring, the key": {
			[]string{"x", "1", "y", "2", "kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", be32(0), "kafka_dlt-original-offset", be64(9), "kafka_dlt-key-exception-fqcn", "E", "kafka_dlt-key-exception-message", "m"},
			failure.Failure{Dialect: failure.Spring, Original: at("orders", 0, 9), Class: "E", Message: "m", Stage: "key deserialization"},
		},
		"spring, retry topics": {
			[]string{"x", "1", "retry_topic-attempts", be32(4), "kafka_original-topic", "orders", "kafka_original-partition", be32(1), "kafka_original-offset", be64(2), "kafka_exception-fqcn", "E", "kafka_exception-message", "m", "y", "2"},
			failure.Failure{Dialect: failure.SpringRetry, Original: at("orders", 1, 2), Class: "E", Message: "m"},
		},
		"spring cloud stream": {
			[]string{"x-original-topic", "orders", "x-original-partition", be32(1), "x-original-offset", be64(2), "x-exception-fqcn", "E", "x-exception-message", "m", "x", "1", "y", "2"},
			failure.Failure{Dialect: failure.Binder, Original: at("orders", 1, 2), Class: "E", Message: "m"},
		},
		"connect": {
			[]string{
				"x", "1", "y", "2", "__connect.errors.topic", "orders", "__connect.errors.partition", "7", "__connect.errors.offset", "12345678901",
				"__connect.errors.connector.name", "sink-pg", "__connect.errors.task.id", "0", "__connect.errors.stage", "VALUE_CONVERTER",
				"__connect.errors.class.name", "org.apache.kafka.connect.json.JsonConverter", "__connect.errors.exception.class.name", "org.apache.kafka.connect.errors.DataException",
				"__connect.errors.exception.message", "Converting byte[] failed", "__connect.errors.exception.stacktrace", "at …",
			},
			failure.Failure{Dialect: failure.Connect, Original: at("orders", 7, 12345678901), Class: "org.apache.kafka.connect.errors.DataException", Message: "Converting byte[] failed", Stage: "VALUE_CONVERTER", By: "sink-pg"},
		},
		"streams, another case": {
			[]string{"x", "1", "y", "2", "__Streams.Errors.Topic", "orders", "__streams.errors.partition", "0", "__streams.errors.offset", "0", "__streams.errors.exception", "E", "__streams.errors.message", "m", "__streams.errors.of.later.versions", "?"},
			failure.Failure{Dialect: failure.Streams, Original: at("orders", 0, 0), Class: "E", Message: "m"},
		},
		"annals": {
			[]string{"x", "1", "y", "2", "annals-dead-letter", "0123456789abcdef", "annals-component", "index", "annals-topic", "orders", "annals-partition", "1", "annals-offset", "5", "annals-error", "refused"},
			failure.Failure{Dialect: failure.Own, Original: at("orders", 1, 5), Message: "refused", Stage: "index"},
		},
		"none": {[]string{"x", "1", "y", "2"}, failure.Failure{}},
		"no coordinates": {
			[]string{"x", "1", "y", "2", "__streams.errors.exception", "E"},
			failure.Failure{Dialect: failure.Streams, Class: "E", Problem: "no header names the original topic"},
		},
		"half coordinates": {
			[]string{"x", "1", "y", "2", "__connect.errors.topic", "orders"},
			failure.Failure{Dialect: failure.Connect, Problem: "there are 1 topics, 0 partitions and 0 offsets: which belong together cannot be told"},
		},
		"bad coordinates": {
			[]string{"x", "1", "y", "2", "__connect.errors.topic", "a/b", "__connect.errors.partition", "1", "__connect.errors.offset", "1"},
			failure.Failure{Dialect: failure.Connect, Problem: "the original's topic, partition or offset cannot be read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &schema.Record{Headers: headersOf(c.headers...)}
			if c.want.Last == nil {
				c.want.Last = c.want.Original
			}
			if got := failure.Of(r); !reflect.DeepEqual(got, c.want) {
				t.Errorf("read\n%+v\nwant\n%+v", got, c.want)
			}
			if got := failure.Restore(r.Headers, false); !reflect.DeepEqual(got, headersOf("x", "1", "y", "2")) {
				t.Errorf("restored %v", got)
			}
			if got := failure.Restore(r.Headers, true); len(got) != len(r.Headers) {
				t.Errorf("kept %v", got)
			}
		})
	}
}

// Of a record that failed twice in one framework the first coordinates are the
// original's and the last error counts; put back in between and failed in another
// framework, that one's.
func TestFailedAgain(t *testing.T) {
	spring := headersOf("kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", be32(1), "kafka_dlt-original-offset", be64(10), "kafka_dlt-exception-fqcn", "First", "kafka_dlt-exception-cause-fqcn", "Inner")
	again := headersOf("kafka_dlt-original-topic", "orders-dlt", "kafka_dlt-original-partition", be32(0), "kafka_dlt-original-offset", be64(3), "kafka_dlt-exception-fqcn", "Second", failure.HeaderRedriven, "2")
	f := failure.Of(&schema.Record{Headers: append(spring, again...)})
	if *f.Original != *at("orders", 1, 10) || *f.Last != *at("orders-dlt", 0, 3) || f.Class != "Second" || f.Redriven != 2 || !f.Back {
		t.Errorf("%+v", f)
	}
	f = failure.Of(&schema.Record{Headers: append(slices.Clone(again), spring...)})
	if f.Back || f.Redriven != 2 {
		t.Errorf("%+v", f)
	}
	f = failure.Of(&schema.Record{Headers: append(spring, headersOf("__connect.errors.topic", "enriched", "__connect.errors.partition", "0", "__connect.errors.offset", "1")...)})
	if f.Dialect != failure.Connect || f.Original.Topic != "enriched" {
		t.Errorf("%+v", f)
	}
	f = failure.Of(&schema.Record{Headers: headersOf(failure.HeaderRedriven, "often", failure.HeaderRedriven, "1")})
	if f.Redriven != 1<<31-1 {
		t.Errorf("a damaged counter counts as %d", f.Redriven)
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"no rate for order 17 at 2024-06-01T10:00:00.5Z":                "no rate for order <n> at <time>",
		"no rate for order 4711 at 2025-01-31":                          "no rate for order <n> at <time>",
		"order 3fa85f64-5717-4562-b3fc-2c963f66afa6 is not there":       "order <id> is not there",
		"com.acme.Order@1b6d3586 is locked":                             "com.acme.Order@<id> is locked",
		`Unexpected token 'abc' in "x 1"`:                               "Unexpected token <text> in <text>",
		"v2 of utf8 in orders.v3 keeps its name":                        "v2 of utf8 in orders.v3 keeps its name",
		"deadbeef is a word, and dead1beef2 is none":                    "deadbeef is a word, and <id> is none",
		"timeout after 1,500.25 ms (host 10.0.0.7:5432)\n\tat com.acme": "timeout after <n> ms (host <n>)",
		"orders-1@5   failed":                                           "orders-<n>@<n> failed",
		"":                                                              "",
	} {
		if got := failure.Normalise(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	one, two := failure.Failure{Class: "E", Message: "order 1 failed"}, failure.Failure{Class: "E", Message: "order 22 failed"}
	if one.Signature() != two.Signature() || len(one.Signature().ID) != 16 {
		t.Errorf("%+v and %+v", one.Signature(), two.Signature())
	}
	for _, other := range []failure.Failure{{Class: "F", Message: "order 1 failed"}, {Class: "E", Message: "order 1 was lost"}, {Class: "E", Message: "order 1 failed", Stage: "KEY_CONVERTER"}} {
		if other.Signature().ID == one.Signature().ID {
			t.Errorf("%+v has the signature of %+v", other, one)
		}
	}
	// Groups that were noted down outlive this version.
	if id := one.Signature().ID; id != "5abc0f3641f6553a" {
		t.Errorf("the signature is %s", id)
	}
}

// Whatever the numbers and the quoted text are, the message is the same; and
// normalising is done once.
func TestNormaliseProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := func(label string) string {
			return "key " + rapid.StringMatching(`[1-9][0-9]{0,17}`).Draw(t, label+"n") + " of '" + rapid.StringMatching(`[a-z 0-9]{0,20}`).Draw(t, label+"q") + "' failed"
		}
		a, b := failure.Normalise(message("a")), failure.Normalise(message("b"))
		if a != b {
			t.Fatalf("%q and %q", a, b)
		}
		if failure.Normalise(a) != a {
			t.Fatalf("%q becomes %q", a, failure.Normalise(a))
		}
	})
}

// No header makes reading fail, and what is read stays within its bounds.
func FuzzOf(f *testing.F) {
	f.Add("kafka_dlt-original-topic", []byte("t"), "kafka_dlt-exception-message", []byte(strings.Repeat("ä", 3000)))
	f.Add("annals-redriven", []byte("-1"), "__connect.errors.offset", []byte{0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, name1 string, value1 []byte, name2 string, value2 []byte) {
		r := &schema.Record{Headers: []schema.Header{{Name: name1, Value: value1}, {Name: name2, Value: value2}}}
		got := failure.Of(r)
		if len(got.Class) > failure.MaxClass || len(got.Message) > failure.MaxMessage || !utf8.ValidString(got.Message+got.Class+got.Stage+got.By) {
			t.Errorf("out of bounds: %+v", got)
		}
		if got.Redriven < 0 || got.Original != nil && (got.Original.Offset < 0 || got.Original.Partition < 0) {
			t.Errorf("%+v", got)
		}
		if s := got.Signature(); len(s.Message) > 300 || len(s.ID) != 16 {
			t.Errorf("%+v", s)
		}
		if left := failure.Restore(r.Headers, false); len(left) > 2 || failure.Of(&schema.Record{Headers: left}).Dialect != "" {
			t.Errorf("restored %v", left)
		}
	})
}
