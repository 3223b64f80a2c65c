package web

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ListDeadLetters implements [api.StrictServerInterface].
func (o *operations) ListDeadLetters(ctx context.Context, r api.ListDeadLettersRequestObject) (api.ListDeadLettersResponseObject, error) {
	page, err := o.services.Queries.DeadLetters(ctx, callOf(ctx).who, answer.DeadLetterRequest{
		Topic: value(r.Params.Topic), Component: schema.DeadLetterComponent(value(r.Params.Component)), ID: value(r.Params.Id),
		Limit: value(r.Params.Limit), Cursor: value(r.Params.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListDeadLetters200JSONResponse{
		DeadLetters: each(page.Letters, deadLetterOf), Total: page.Total, NextCursor: optional(page.NextCursor),
		Counts: each(page.Counts, func(c *answer.DeadLetterCount) api.DeadLetterCount {
			return api.DeadLetterCount{Topic: c.Topic, Component: string(c.Component), DeadLetters: c.Letters}
		}),
		CountsLeftOut: page.LeftOut,
		Unreadable: each(page.Unreadable, func(l *answer.UnreadableLetter) api.UnreadableDeadLetter {
			return api.UnreadableDeadLetter{Key: l.Key, Topic: l.Topic, Component: string(l.Component), Error: l.Err}
		}),
	}, nil
}

func deadLetterOf(l *schema.DeadLetter) api.DeadLetter {
	out := api.DeadLetter{
		Id: l.ID(), Key: l.Key(), Component: string(l.Component), Topic: l.Topic, TopicId: topicIDOf(l.TopicID), Partition: l.Partition,
		Branch: l.Branch, From: l.From, To: l.To, Error: l.Error, Attempts: l.Attempts, First: clock(l.First), Last: clock(l.Last),
		TraceId: l.TraceID, EventId: l.EventID, Writer: l.Writer, Build: l.Build,
	}
	if l.Raw != nil {
		sha := l.Raw.SHA256.String()
		out.RawKey, out.RawSha256, out.RawBytes = &l.Raw.Key, &sha, &l.Raw.Bytes
	}
	return out
}

// clock reads a writer's clock; the zero time where it is none.
func clock(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return writable(at)
}
