package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
)

// Bars of what is stored of a record.
const mostOverLog = 1.7 // aim: 1.4; times Kafka's own zstd log of the same records

// weight is what a run's segments hold, byte by byte.
type weight struct {
	columns map[string]int64 // pages, compressed, by column
	bloom   int64
	rest    int64 // page index, footer, magic
	total   int64
}

// weigh adds up the segments in a folder.
func weigh(folder string) (w weight, err error) {
	w.columns = map[string]int64{}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return w.add(body)
	})
	if err != nil {
		return w, fmt.Errorf("weigh the columns in %s: %w", folder, err)
	}
	return w, nil
}

func (w *weight) add(body []byte) (err error) {
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	known := int64(0)
	for g := range r.NumRowGroups() {
		group := r.MetaData().RowGroup(g)
		for i := range group.NumColumns() {
			c, err := group.ColumnChunk(i)
			if err != nil {
				return err
			}
			bloom := int64(c.BloomFilterLength())
			w.columns[c.PathInSchema().String()] += c.TotalCompressedSize()
			w.bloom += bloom
			known += c.TotalCompressedSize() + bloom
		}
	}
	w.total += int64(len(body))
	w.rest += int64(len(body)) - known
	return nil
}

// reportWeight says what a record costs in the store, by column, the dearest
// first.
func (b *bench) reportWeight(u *unit, w weight, a archived) {
	each := func(n int64) float64 { return float64(n) / float64(u.records) }
	f, name := b.figures, func(what string) string { return u.name + "_" + what }
	paths := make([]string, 0, len(w.columns))
	for path := range w.columns {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(x, y string) int { return int(w.columns[y] - w.columns[x]) })
	for _, path := range paths {
		f.Add(name("column_"+path), each(w.columns[path]), "B/record")
	}
	f.Add(name("column_bloom_filters"), each(w.bloom), "B/record")
	f.Add(name("column_indexes_and_footer"), each(w.rest), "B/record")
	f.Add(name("ledger"), each(a.ledger), "B/record")
	f.Add(name("stored"), each(a.bytes+a.ledger), "B/record")
	f.Add(name("kafka_log"), each(u.log), "B/record")
	over := each(a.bytes+a.ledger) / each(u.log)
	if u.log == 0 {
		f.NotRun(name("stored_over_kafka_log"), "×", "the broker does not say how large its log is")
		return
	}
	if strings.HasPrefix(u.name, "demo-") {
		f.AtMost(name("stored_over_kafka_log"), over, "×", mostOverLog)
	} else {
		f.Add(name("stored_over_kafka_log"), over, "×")
	}
}
