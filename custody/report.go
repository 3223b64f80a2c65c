package custody

import (
	"bytes"
	"context"
	_ "embed" // the report's template
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// What the report shows; it says what it leaves out. The files hold everything.
const (
	maxListedRecords = 1000
	maxListedValue   = 2 << 10 // characters of one value
	maxListedSteps   = 1000
	maxListedChanges = 50  // of one step
	maxListedField   = 256 // characters of a field's value in a change
	maxListedStreams = 2000
	maxListedFiles   = 2000
)

//go:embed report.gohtml
var reportText string

// listed is a record in the report's table.
type listed struct {
	Record                         string
	Time                           string
	Event, Service, Trace, Key     string
	Value                          string
	Cut                            bool // Value is not whole
	ValueBytes, HeaderCount, Bytes int64
}

func listedOf(row *segment.Row) listed {
	l := listed{
		Record: schema.Coordinates{Topic: row.Topic, Partition: row.Partition, Offset: row.Offset}.String(),
		Event:  strings.TrimSpace(row.X.EventType + " " + row.X.EventVersion), Service: row.X.SourceService, Trace: row.X.TraceID,
		ValueBytes: int64(len(row.Value)), HeaderCount: int64(len(row.Headers)), Bytes: row.Bytes(),
	}
	if at := moment(time.UnixMilli(row.Timestamp)); at != nil {
		l.Time = *at
	}
	key, cut := shown(row.Key, maxListedField)
	if cut {
		key += "…"
	}
	l.Key = key
	l.Value, l.Cut = shown(row.Value, maxListedValue)
	return l
}

// shown is bytes for people, at most limit characters of them.
func shown(b []byte, limit int) (text string, cut bool) {
	switch {
	case b == nil:
		return "null", false
	case len(b) == 0:
		return "(empty)", false
	}
	// Four bytes make a character at most; more need not be looked at.
	head := b[:min(len(b), 4*limit)]
	for len(head) < len(b) && len(head) > 0 && !utf8.RuneStart(b[len(head)]) {
		head = head[:len(head)-1]
	}
	if !utf8.Valid(head) || bytes.ContainsFunc(head, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return fmt.Sprintf("(%d bytes that are not text)", len(b)), false
	}
	runes := []rune(string(head))
	if len(runes) > limit {
		runes, cut = runes[:limit], true
	}
	return string(runes), cut || len(head) < len(b)
}

// page is what the template shows.
type page struct {
	*scope
	Clock          string // of the newest commit
	Streams        []streamScope
	StreamsOmitted int
	Tied           int64 // records whose whole segment is in the bag
	Listed         []listed
	Omitted        int64
	Steps          []step
	StepsOmitted   int
	StepsOutside   int  // steps whose record is not in the bag
	StepsCut       bool // the lineage itself is not whole
	HasLineage     bool
	Files          []entry
	FilesOmitted   int
	Base           string
}

// report writes data/report/report.html.
func (j *export) report(ctx context.Context, who policy.Principal) error {
	p := page{
		scope: &j.scope, Listed: j.listed, Omitted: j.scope.Records - int64(len(j.listed)), Base: j.bag.base,
	}
	p.Streams, p.StreamsOmitted = first(j.scope.Streams, maxListedStreams)
	p.Files, p.FilesOmitted = first(j.bag.manifest, maxListedFiles)
	for i := range j.scope.Streams {
		s := &j.scope.Streams[i]
		p.Clock = max(p.Clock, s.Head.Clock)
		for _, f := range s.Files {
			for _, source := range f.Sources {
				if source.Seed != nil {
					p.Tied += source.Records
				}
			}
		}
	}
	if j.held != nil {
		trace, err := j.options.Traces.Trace(ctx, who, answer.TraceRequest{TraceID: j.plan.traceID, Diffs: true, Limit: answer.MaxTraceHops})
		if err != nil {
			return fmt.Errorf("read lineage: %w", err)
		}
		p.HasLineage, p.StepsCut = true, trace.Truncated
		j.steps(&p, stepsOf(trace))
	}
	text, err := p.render()
	if err != nil {
		return err
	}
	return j.bag.text(ctx, reportFile, text)
}

// steps keeps to the records that are in the bag: nothing unsealed is shown,
// also not as what a step was compared with.
func (j *export) steps(p *page, steps []step) {
	for _, step := range steps {
		if _, in := j.held[step.Record]; !in {
			p.StepsOutside++
			continue
		}
		if len(p.Steps) == maxListedSteps {
			p.StepsOmitted++
			continue
		}
		if step.Compared != nil {
			if _, in := j.held[*step.Compared]; !in {
				step.Note = "the record it was compared with is not in this bag"
				step.Compared, step.Changes, step.Truncated = nil, nil, false
			}
		}
		if len(step.Changes) > maxListedChanges {
			step.Note = strings.TrimSpace(fmt.Sprintf("%d more changes. %s", len(step.Changes)-maxListedChanges, step.Note))
			step.Changes = step.Changes[:maxListedChanges]
		}
		p.Steps = append(p.Steps, step)
	}
}

func first[T any](all []T, limit int) ([]T, int) {
	return all[:min(len(all), limit)], max(0, len(all)-limit)
}

func (p *page) render() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"clock": clock,
		"json": func(raw json.RawMessage) string {
			text, cut := shown(raw, maxListedField)
			if cut {
				text += "…"
			}
			return text
		},
		"op": func(c answer.Change) string {
			return map[string]string{payload.Add: "added", payload.Remove: "removed", payload.Replace: "changed", payload.Move: "moved"}[c.Op]
		},
		"path": func(path string) string {
			if path == "" {
				return "(the whole payload)"
			}
			return path
		},
	}).Parse(reportText)
	if err != nil {
		return nil, fmt.Errorf("read the report's template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return out.Bytes(), nil
}
