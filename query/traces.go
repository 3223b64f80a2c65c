package query

import (
	"context"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// spelledAtOnce bounds the bytes of the ids of one look-up, which travel in a URL:
// those of a hundred trace ids and more.
const spelledAtOnce = 24 << 10

// Traced gives the committed records of traces that the principal may see, as the
// traces are asked for, in few look-ups of the index whatever their number; it looks
// for no edges. An *answer.NotFoundError is of the first trace of which nothing is
// known.
func (e *Engine) Traced(ctx context.Context, who policy.Principal, traceIDs []string) ([]answer.Traced, error) {
	known, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]answer.Traced, len(traceIDs))
	for i, id := range traceIDs {
		found[i].TraceID = id
	}
	scope := known.scope(who)
	for rest := found; len(rest) > 0; {
		some, spellings, err := spelled(rest)
		if err != nil {
			return nil, err
		}
		if err := e.traced(ctx, known, scope, some, spellings); err != nil {
			return nil, err
		}
		rest = rest[len(some):]
	}
	for i := range found {
		if len(found[i].Records) == 0 {
			return nil, known.noTrace(who, found[i].TraceID)
		}
	}
	return found, nil
}

// spelled gives as many of the traces as one look-up takes, one at least, and how
// each may be written.
func spelled(traces []answer.Traced) (some []answer.Traced, spellings [][]string, err error) {
	size := 0
	for i := range traces {
		of := extract.NormalizeID(traces[i].TraceID)
		if len(of) == 0 {
			return nil, nil, badTraceID(traces[i].TraceID)
		}
		for _, spelling := range of {
			size += len(spelling)
		}
		if i > 0 && size > spelledAtOnce {
			return traces[:i], spellings, nil
		}
		spellings = append(spellings, of)
	}
	return traces, spellings, nil
}

// traced fills in the records of traces: in one look-up, unless they are so many that
// each half is asked for by itself.
func (e *Engine) traced(ctx context.Context, known *catalog, scope index.Scope, traces []answer.Traced, spellings [][]string) error {
	places := map[string][]int{} // an id may be asked for twice, in two spellings
	var ids []string
	for i, of := range spellings {
		for _, spelling := range of {
			if places[spelling] == nil {
				ids = append(ids, spelling)
			}
			places[spelling] = append(places[spelling], i)
		}
	}
	most := index.MaxTrace
	if len(traces) == 1 {
		most = answer.MaxTraceHops
	}
	hits, more, err := e.options.Index.Trace(ctx, ids, scope, most)
	if err != nil {
		return err
	}
	if half := len(traces) / 2; more && half > 0 {
		if err := e.traced(ctx, known, scope, traces[:half], spellings[:half]); err != nil {
			return err
		}
		return e.traced(ctx, known, scope, traces[half:], spellings[half:])
	}
	if hits, err = e.counting(ctx, known, hits); err != nil {
		return err
	}
	for i := range hits {
		for _, at := range places[hits[i].TraceID] {
			traces[at].Records = append(traces[at].Records, known.hit(&hits[i]))
		}
	}
	for i := range traces {
		one := &traces[i]
		if one.Truncated = more || len(one.Records) > answer.MaxTraceHops; len(one.Records) > answer.MaxTraceHops {
			one.Records = one.Records[:answer.MaxTraceHops]
		}
	}
	return nil
}

func badTraceID(id string) error {
	return schema.InvalidField("trace_id", "trace id %.64q: want printable text of 1 to %d bytes", id, extract.MaxIDBytes)
}

// noTrace is the error of a trace of which nothing is known.
func (c *catalog) noTrace(who policy.Principal, id string) error {
	searched := c.searched(who)
	return &answer.NotFoundError{Searched: searched, Err: schema.Errorf(schema.NotFound,
		"no record of trace %q in %d topics with %d records, searched up to what was read at %s",
		id, searched.Topics, searched.Records, clock(searched.FreshTo))}
}
