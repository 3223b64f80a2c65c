package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the receipt's template
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

//go:embed receipt.gohtml
var receiptText string

// What the page shows; it says what it leaves out. The job's receipt has everything.
const (
	mostPagePartitions = 5000
	mostPageNotes      = 500
	maxPageBytes       = 16 << 20
)

// receiptPage is what the template shows of a job.
type receiptPage struct {
	*answer.ReplayJob
	Created                  time.Time
	Partitions               []answer.ReceiptPartition
	Notes                    []string
	PartitionsLeft, NotesCut int
	Later                    bool // made when it was asked for, not when the job ended
}

func receiptKey(id string, sum schema.Digest) string {
	return schema.ReplayPrefix + id + "/receipts/" + sum.String() + ".html"
}

// receiptOf renders the page of a job that has a receipt. The same state always
// gives the same bytes.
func receiptOf(st *state, later bool) ([]byte, error) {
	page := receiptPage{ReplayJob: st.job(), Created: st.Created, Later: later}
	page.Partitions, page.Notes = st.Receipt.Partitions, st.Receipt.Notes
	page.Partitions, page.PartitionsLeft = first(page.Partitions, mostPagePartitions)
	page.Notes, page.NotesCut = first(page.Notes, mostPageNotes)
	t, err := template.New("receipt").Funcs(template.FuncMap{
		"clock": func(t time.Time) string {
			if t.IsZero() {
				return "–"
			}
			return text(t)
		},
		"took":  func(from, to time.Time) string { return to.Sub(from).Round(time.Millisecond).String() },
		"join":  func(list []string) string { return strings.Join(list, ", ") },
		"keys":  func(list [][]byte) string { return fmt.Sprintf("%q", list) },
		"paced": paceInWords,
		"shift": func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
	}).Parse(receiptText)
	if err != nil {
		return nil, fmt.Errorf("read the receipt's template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, page); err != nil {
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	return out.Bytes(), nil
}

func first[T any](all []T, limit int) (some []T, left int) {
	return all[:min(len(all), limit)], max(0, len(all)-limit)
}

func paceInWords(p answer.ReplayPace) string {
	switch p.Mode {
	case answer.PaceRate:
		var parts []string
		if p.RecordsPerSecond > 0 {
			parts = append(parts, fmt.Sprintf("%g records/s", p.RecordsPerSecond))
		}
		if p.BytesPerSecond > 0 {
			parts = append(parts, fmt.Sprintf("%g bytes/s", p.BytesPerSecond))
		}
		return "by one clock, " + strings.Join(parts, ", ")
	case answer.PaceOriginal:
		return fmt.Sprintf("by one clock, at the original pace × %g", p.Speed)
	}
	return "as fast as possible"
}

// keepReceipt writes the page of a job that is about to end so, and gives its name.
func (s *Service) keepReceipt(ctx context.Context, st *state) (*schema.Digest, error) {
	page, err := receiptOf(st, false)
	if err != nil {
		return nil, err
	}
	sum := schema.Digest(sha256.Sum256(page))
	return &sum, s.keepByContent(ctx, receiptKey(st.ID, sum), page)
}

// Receipt gives a job's receipt as a page of HTML that needs nothing but itself, as
// it was kept when the job ended. Of a job that a version before delivered it is made
// now, and says so. NotFound as for Get; Conflict while there is no receipt; Corrupt
// if the page is not what was kept.
func (s *Service) Receipt(ctx context.Context, who policy.Principal, id string) ([]byte, error) {
	st, err := s.job(ctx, who, id)
	if err != nil {
		return nil, err
	}
	switch {
	case st.Receipt == nil:
		return nil, schema.Errorf(schema.Conflict, "replay %s is %s: it has no receipt", st.ID, st.State)
	case st.Report == nil:
		return receiptOf(st, true)
	}
	page, _, err := s.store.Get(ctx, receiptKey(st.ID, *st.Report), maxPageBytes)
	if err != nil {
		return nil, fmt.Errorf("read the receipt of replay %s: %w", st.ID, err)
	}
	if schema.Digest(sha256.Sum256(page)) != *st.Report {
		return nil, schema.Errorf(schema.Corrupt, "the receipt of replay %s is not what was kept", st.ID)
	}
	return page, nil
}
