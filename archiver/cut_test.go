package archiver

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// unspooled is a crowd that has nothing but memory.
func unspooled(t *testing.T, partitions int, memory int64) *crowd {
	c := newCrowd(t, partitions, memory, 0)
	c.closeSpool()
	return c
}

// hold has records of so many bytes, cost included, come to a partition, of
// which the index was given a share; nothing is cut.
func (c *crowd) hold(key kafka.TopicPartition, bytes int64, fed float64) {
	p := c.partitions[key]
	batch := kafka.Batch{TopicPartition: key}
	for offset := p.expected; bytes > 0; offset++ {
		r := schema.Record{
			Topic: key.Topic, TopicID: p.stream.TopicID, Partition: key.Partition, Offset: offset,
			Status: schema.Committed, Value: make([]byte, 1000),
		}
		batch.Records = append(batch.Records, r)
		bytes -= cost(&r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeIn(&batch, time.Now())
	p.fed = int(fed * float64(p.decided))
}

// cutNow is which partitions are cut now, in order; the sealers take them.
func (c *crowd) cutNow() (cut []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutDue(time.Now())
	for _, j := range c.backlog {
		cut = append(cut, j.p.stream.Partition)
	}
	c.backlog = nil
	return cut
}

// Before a full budget stops the reading, whatever can be made into a segment
// at once is cut; while all encoders are busy, buffers grow.
func TestAnIdleEncoderIsGivenTheLargestBuffer(t *testing.T) {
	for name, c := range map[string]struct {
		idle int // encoders
		want int // cuts, once the budget is full
	}{"one is idle": {1, 1}, "none is": {0, 0}} {
		crowd := unspooled(t, 3, 4<<20)
		crowd.encoders = make(chan *encoder, encoders)
		crowd.hold(crowd.keys[0], 2<<20, 1)
		crowd.hold(crowd.keys[1], 1<<20, 1)
		if got := crowd.cutNow(); len(got) != 1 || got[0] != 0 {
			t.Errorf("%s: at three quarters %v are cut, want the largest", name, got)
		}
		for range c.idle {
			crowd.encoders <- new(encoder)
		}
		crowd.hold(crowd.keys[2], 3<<18, 1)
		if got := crowd.cutNow(); len(got) != 0 {
			t.Errorf("%s: %v are cut while there is room to read on", name, got)
		}
		crowd.hold(crowd.keys[2], 1<<19, 1)
		if got := crowd.cutNow(); len(got) != c.want || c.want > 0 && got[0] != 2 {
			t.Errorf("%s: %v are cut when the budget is full, want %d", name, got, c.want)
		}
	}
}

// A buffer of which the index was given little makes a small segment: it is left
// until the index was given more, unless there is no room.
func TestWhatTheIndexWasGivenDecidesWhatIsCut(t *testing.T) {
	crowd := unspooled(t, 2, 4<<20)
	crowd.hold(crowd.keys[0], 2<<20, 0.1)
	crowd.hold(crowd.keys[1], 1<<20, 1)
	if got := crowd.cutNow(); len(got) != 1 || got[0] != 1 {
		t.Errorf("%v are cut, want the one that the index was given", got)
	}
	crowd = unspooled(t, 2, 4<<20)
	crowd.hold(crowd.keys[0], 3<<20, 0.1)
	if got := crowd.cutNow(); len(got) != 0 {
		t.Errorf("%v are cut, of which the index was given little", got)
	}
	crowd.hold(crowd.keys[1], 1<<20, 0)
	crowd.partitions[crowd.keys[0]].fed = 10
	if got := crowd.cutNow(); len(got) != 1 || got[0] != 0 {
		t.Errorf("%v are cut when there is no room, want what can be", got)
	}
}
