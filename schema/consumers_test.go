package schema_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// One content has one spelling, and no other is read.
func TestSnapshotsAreCanonical(t *testing.T) {
	id := schema.TopicID{1}
	offsets := &schema.ConsumerOffsets{Format: schema.ConsumerOffsetsFormat, Cluster: "c", Taken: 1717228800123, Groups: []schema.GroupOffsets{
		{Group: "b", Topics: []schema.TopicCommit{{Topic: "y", Offsets: [][2]int64{{3, 1 << 60}, {0, 7}}}, {Topic: "x", TopicID: &id, Offsets: [][2]int64{{0, 0}}}}},
		{Group: "a<&>", Topics: []schema.TopicCommit{}},
	}, Hidden: 1}
	raw, err := offsets.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":"annals.consumer-offsets/1","cluster":"c","taken":"1717228800123","groups":[{"group":"a<&>","topics":[]},{"group":"b","topics":[{"topic":"x","topic_id":"` +
		id.String() + `","offsets":[[0,0]]},{"topic":"y","topic_id":null,"offsets":[[0,7],[3,1152921504606846976]]}]}],"hidden":1,"left_out":0}`
	if string(raw) != want {
		t.Errorf("%s", raw)
	}
	back, err := schema.ParseConsumerOffsets(raw)
	if err != nil || !reflect.DeepEqual(back, offsets) {
		t.Errorf("%+v, %v", back, err)
	}
	acls := &schema.TopicACLs{Format: schema.TopicACLsFormat, Cluster: "c", Taken: 1717228800123, ACLs: []schema.TopicACL{{Resource: "y"}, {Resource: "x", Operation: "READ"}}}
	rawACLs, err := acls.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := schema.ParseTopicACLs(rawACLs); err != nil || back.ACLs[0].Resource != "x" {
		t.Errorf("%+v, %v", back, err)
	}
	for name, bad := range map[string][]byte{
		"spaces":   append([]byte(" "), raw...),
		"an end":   append(bytes.Clone(raw), '{'),
		"unsorted": bytes.Replace(raw, []byte("[0,7],[3,1152921504606846976]"), []byte("[3,1152921504606846976],[0,7]"), 1),
		"a field":  bytes.Replace(raw, []byte(`"hidden"`), []byte(`"hidden_too":1,"hidden"`), 1),
		"ACLs":     rawACLs,
	} {
		if _, err := schema.ParseConsumerOffsets(bad); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSnapshotKeys(t *testing.T) {
	at := time.Date(2024, 6, 1, 23, 59, 59, 999e6, time.UTC)
	key := schema.SnapshotKey("c", schema.SnapshotOffsets, at.UnixMilli())
	if key != "snapshots/c/consumer-offsets/2024-06-01/1717286399999.json" {
		t.Error(key)
	}
	folder := schema.SnapshotFolder("c", schema.SnapshotOffsets, at)
	if taken, ok := schema.ParseSnapshotKey(folder, key); !ok || taken != at.UnixMilli() {
		t.Error(taken, ok)
	}
	for _, bad := range []string{folder, folder + "1.json", folder + "1717286399999", key + "x", "other/" + key} {
		if _, ok := schema.ParseSnapshotKey(folder, bad); ok {
			t.Errorf("%q is taken for one", bad)
		}
	}
}

// FuzzParseSnapshot: whatever the bytes, both parsers return, with an error that
// says that they are damaged, or of a newer version, or with what is written as the
// same bytes again.
func FuzzParseSnapshot(f *testing.F) {
	id := schema.TopicID{1}
	offsets := schema.ConsumerOffsets{Format: schema.ConsumerOffsetsFormat, Cluster: "c", Taken: 1, Groups: []schema.GroupOffsets{
		{Group: "b", Topics: []schema.TopicCommit{{Topic: "y", TopicID: &id, Offsets: [][2]int64{{0, 7}}}}},
	}}
	acls := schema.TopicACLs{Format: schema.TopicACLsFormat, Cluster: "c", Taken: 1, ACLs: []schema.TopicACL{{Resource: "x", Operation: "READ"}}}
	for _, encode := range []func() ([]byte, error){offsets.Encode, acls.Encode} {
		raw, err := encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
		f.Add(bytes.Replace(raw, []byte("/1"), []byte("/2"), 1))
	}
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := func(err error, encode func() ([]byte, error)) {
			if err != nil {
				if kind := schema.KindOf(err); kind != schema.Corrupt {
					t.Fatalf("of kind %s: %v", kind, err)
				}
				return
			}
			if again, err := encode(); err != nil || !bytes.Equal(raw, again) {
				t.Fatalf("accepted, and written again as other bytes (%v):\n%q\n%q", err, raw, again)
			}
		}
		c, err := schema.ParseConsumerOffsets(raw)
		check(err, func() ([]byte, error) { return c.Encode() })
		a, err := schema.ParseTopicACLs(raw)
		check(err, func() ([]byte, error) { return a.Encode() })
	})
}
