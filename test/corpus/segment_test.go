package corpus_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/corpus"
)

// damaged makes a case's file. Numbers are bytes; of flip, an index, from the
// end if negative, of which the lowest bit is changed.
func damaged(t *testing.T, c *corpus.Case) (raw []byte) {
	t.Helper()
	for _, l := range c.Lines {
		n, _ := strconv.Atoi(l.Rest)
		var given []byte
		switch l.Word {
		case "raw", "last", "front", "behind":
			var err error
			given, err = corpus.Bytes(l.Rest)
			must(t, err)
		}
		switch l.Word {
		case "from":
			var err error
			raw, err = os.ReadFile(filepath.Join("..", "..", "internal", "segment", "testdata", l.Rest+".parquet"))
			must(t, err)
		case "raw":
			raw = given
		case "foreign":
			raw = foreign(t)
		case "last":
			raw = append(raw[:len(raw)-len(given)], given...)
		case "front":
			raw = append(given, raw...)
		case "behind":
			raw = append(raw, given...)
		case "double":
			raw = append(raw, raw...)
		case "cut":
			raw = raw[:len(raw)-n]
		case "keep":
			raw = raw[:n]
		case "skip":
			raw = raw[n:]
		case "flip":
			raw[(n+len(raw))%len(raw)] ^= 1
		case "put":
			first, second, err := corpus.Two(l.Rest)
			must(t, err)
			from, err := corpus.Bytes(first)
			must(t, err)
			to, err := corpus.Bytes(second)
			must(t, err)
			if !bytes.Contains(raw, from) {
				t.Fatalf("%s: %q is not in it", c.Name, from)
			}
			raw = bytes.Replace(raw, from, to, 1)
		default:
			t.Fatalf("%s: unknown word %q", c.Name, l.Word)
		}
	}
	return raw
}

// foreign is somebody else's Parquet file.
func foreign(t *testing.T) []byte {
	t.Helper()
	type row struct {
		Offset int64  `parquet:"offset"`
		Value  string `parquet:"value"`
	}
	var out bytes.Buffer
	must(t, parquet.Write(&out, []row{{1, "a"}, {2, "b"}}))
	return out.Bytes()
}

// TestSegmentsAreRefused reads each with everything that reads segments. None
// but the sound one may pass; all errors say Corrupt.
func TestSegmentsAreRefused(t *testing.T) {
	for _, c := range family(t, "segments").Cases {
		t.Run(c.Name, func(t *testing.T) {
			raw := damaged(t, c)
			errs := []error{segment.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw)))}
			reader, err := segment.Open(t.Context(), bytes.NewReader(raw), int64(len(raw)))
			if err != nil {
				errs = append(errs, err)
			} else {
				for _, err := range reader.Rows(t.Context(), 0, math.MaxInt64, segment.All) {
					if err != nil {
						errs = append(errs, err)
					}
				}
			}
			sound := c.Holding() == "sound\n"
			for _, err := range errs {
				if err != nil && schema.KindOf(err) != schema.Corrupt {
					t.Errorf("kind %s: %v", schema.KindOf(err), err)
				}
				if sound && err != nil {
					t.Error(err)
				}
			}
			if !sound && errs[0] == nil {
				t.Error("verified, and is not what was written")
			}
		})
	}
}
