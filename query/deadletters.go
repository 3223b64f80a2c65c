package query

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a page of dead letters.
const (
	DefaultDeadLetters = 100
	MaxDeadLetters     = 1000

	lettersRead = 8 // at once
)

// DeadLetters lists what could not be processed, by topic, partition and
// offset; a limit of 0 is DefaultDeadLetters. Letters of topics that may not be
// seen are neither given nor counted. Counting lists the names of all letters,
// a thousand a request.
func (e *Engine) DeadLetters(ctx context.Context, who policy.Principal, request answer.DeadLetterRequest) (*answer.DeadLetterPage, error) {
	if request.Limit == 0 {
		request.Limit = DefaultDeadLetters
	}
	switch {
	case request.Limit < 0 || request.Limit > MaxDeadLetters:
		return nil, schema.InvalidField("limit", "limit %d: at most %d", request.Limit, MaxDeadLetters)
	case request.Component != "" && !request.Component.Known():
		return nil, schema.InvalidField("component", "component %q is not one of reading, extraction and index", request.Component)
	}
	after, err := decodeKeyCursor(request.Cursor)
	if err != nil {
		return nil, err
	}
	page := &answer.DeadLetterPage{}
	counts := map[answer.DeadLetterCount]int{}
	var keys []string
	for o, err := range e.options.Store.List(ctx, schema.DeadLettersPrefix, "") {
		if err != nil {
			return nil, err
		}
		topic, component, ok := schema.ParseDeadLetterKey(o.Key)
		if !ok || !who.Topics.Allows(topic) {
			continue
		}
		counts[answer.DeadLetterCount{Topic: topic, Component: component}]++
		switch {
		case request.Topic != "" && topic != request.Topic, request.Component != "" && component != request.Component:
			continue
		case request.ID != "" && !strings.HasSuffix(o.Key, "-"+request.ID+".json"):
			continue
		}
		page.Total++
		switch {
		case o.Key <= after:
		case len(keys) < request.Limit:
			keys = append(keys, o.Key)
		case page.NextCursor == "":
			page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(keys[len(keys)-1]))
		}
	}
	page.Counts, page.LeftOut = largest(counts)
	page.Letters = make([]schema.DeadLetter, len(keys))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(lettersRead)
	for i, key := range keys {
		group.Go(func() error {
			raw, _, err := e.options.Store.Get(reading, key, schema.MaxDeadLetterBytes)
			if err != nil {
				return err
			}
			l, err := schema.ParseDeadLetter(raw)
			if err == nil {
				page.Letters[i] = *l
			}
			return err
		})
	}
	return page, group.Wait()
}

// largest orders counts, and tells how many are beyond their bound.
func largest(counts map[answer.DeadLetterCount]int) (list []answer.DeadLetterCount, leftOut int) {
	list = make([]answer.DeadLetterCount, 0, len(counts))
	for c, n := range counts {
		c.Letters = n
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y answer.DeadLetterCount) int {
		return cmp.Or(cmp.Compare(y.Letters, x.Letters), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Component, y.Component))
	})
	kept := min(len(list), answer.MaxDeadLetterCounts)
	return list[:kept], len(list) - kept
}

func decodeKeyCursor(text string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || text != "" && !strings.HasPrefix(string(raw), schema.DeadLettersPrefix) {
		return "", schema.InvalidField("cursor", "cursor %.80q: not one that this version gave; begin again without it", text)
	}
	return string(raw), nil
}
