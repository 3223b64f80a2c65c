package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a field's history.
const (
	maxPointer    = 1024     // bytes
	maxFieldBytes = 16 << 10 // of one value
)

// Field follows one place in the payloads through a trace: what it held at every
// hop, and whether that hop brought, changed, kept or dropped it, against the
// parent that the hop is compared with.
func (e *Engine) Field(ctx context.Context, who policy.Principal, request answer.FieldRequest) (*answer.FieldHistory, error) {
	p := request.Pointer
	if p != "" && p[0] != '/' || len(p) > maxPointer || strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(p), "~") {
		return nil, schema.InvalidField("pointer", "pointer %.80q: want a JSON Pointer of at most %d bytes, such as /order/total, in which ~0 is a ~ and ~1 is a /", p, maxPointer)
	}
	g, err := e.graphOf(ctx, who, answer.TraceRequest{TraceID: request.TraceID, Diffs: true, Limit: request.Limit})
	if err != nil {
		return nil, err
	}
	t := g.trace()
	h := &answer.FieldHistory{TraceID: t.TraceID, Pointer: p, Truncated: t.Truncated, Searched: t.Searched}
	parents := make([]int, len(t.Hops))
	for i := range parents {
		parents[i] = -1
	}
	for i := range t.Edges {
		if edge := &t.Edges[i]; edge.Primary && edge.Parent >= 0 {
			parents[edge.Child] = edge.Parent
		}
	}
	found := make([]fieldValue, len(t.Hops))
	for i := range t.Hops {
		found[i] = valueAt(g.bytes[t.Hops[i].Position()], p)
	}
	for i := range t.Hops {
		step := answer.FieldStep{Hop: i, Hit: t.Hops[i].Hit, Parent: parents[i], Value: found[i].value, Note: found[i].note}
		var before *fieldValue
		if parents[i] >= 0 {
			before = &found[parents[i]]
		}
		step.Change = found[i].since(before)
		if d := t.Hops[i].Diff; d != nil {
			for _, c := range d.Changes {
				if c.Op == "move" && c.Path == p {
					step.MovedFrom = c.MovedFrom
				}
			}
		}
		if len(step.Value) > maxFieldBytes {
			step.Note = fmt.Sprintf("the value has %d bytes and is not shown: read the record", len(step.Value))
			step.Value = nil
		}
		h.Steps = append(h.Steps, step)
	}
	return h, nil
}

// fieldValue is what a place in one payload holds.
type fieldValue struct {
	read  bool
	value []byte // canonical JSON; nil: not there
	note  string // why it was not read
}

func valueAt(c *content, pointer string) fieldValue {
	switch {
	case c == nil:
		return fieldValue{note: "the payload was not read"}
	case c.err != nil:
		return fieldValue{note: fmt.Sprintf("the payload could not be read: %v", c.err)}
	case c.hidesValue() || slices.ContainsFunc(c.hidden, func(what string) bool { return within(pointer, what) }):
		return fieldValue{note: "it is withheld, by the topic's policy or the type's contract"}
	}
	doc, format, err := payload.Decode(c.document)
	switch {
	case err != nil:
		return fieldValue{note: err.Error()}
	case format == payload.Null:
		return fieldValue{read: true}
	case format != payload.JSON && c.undecoded != "":
		return fieldValue{note: "the payload is no JSON, and was not decoded: " + c.undecoded}
	case format != payload.JSON:
		return fieldValue{note: "the payload is no JSON"}
	}
	at, ok := locate(doc, pointer)
	if !ok {
		return fieldValue{read: true}
	}
	return fieldValue{read: true, value: payload.Canonical(at)}
}

// since compares with what the parent holds; nil: there is none.
func (f *fieldValue) since(before *fieldValue) string {
	switch {
	case !f.read || before != nil && !before.read:
		return answer.FieldUnread
	case before == nil && f.value == nil:
		return answer.FieldAbsent
	case before == nil:
		return answer.FieldFirst
	case f.value == nil && before.value == nil:
		return answer.FieldAbsent
	case f.value == nil:
		return answer.FieldRemoved
	case before.value == nil:
		return answer.FieldAdded
	case string(f.value) != string(before.value):
		return answer.FieldChanged
	default:
		return answer.FieldKept
	}
}
