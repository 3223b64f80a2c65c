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
// seen are neither given nor counted. One that cannot be read does not keep the
// others from being given: the page says which, and why. Counting lists the names of all letters,
// a thousand a request.
func (e *Engine) DeadLetters(ctx context.Context, who policy.Principal, request answer.DeadLetterRequest) (*answer.DeadLetterPage, error) {
	if err := bound(&request.Limit, DefaultDeadLetters, MaxDeadLetters); err != nil {
		return nil, err
	}
	if request.Component != "" && !request.Component.Known() {
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
	if page.Letters, page.Unreadable, err = e.readLetters(ctx, keys); err != nil {
		return nil, err
	}
	return page, nil
}

// readLetters reads letters by their keys, in their order. One that is damaged,
// gone, of a later version, or another than its key says is given back by itself;
// an error is a store that gives no answer.
func (e *Engine) readLetters(ctx context.Context, keys []string) ([]schema.DeadLetter, []answer.UnreadableLetter, error) {
	read, failed := make([]*schema.DeadLetter, len(keys)), make([]error, len(keys))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(lettersRead)
	for i, key := range keys {
		group.Go(func() error {
			raw, _, err := e.options.Store.Get(reading, key, schema.MaxDeadLetterBytes)
			if err == nil {
				read[i], err = schema.ParseDeadLetter(raw)
			}
			// Who may see a letter was told by its key.
			if err == nil && read[i].Key() != key {
				err = schema.Errorf(schema.Corrupt, "dead letter: it is not the one that its name says")
			}
			switch schema.KindOf(err) {
			case schema.Corrupt, schema.NotFound, schema.Exhausted:
				failed[i], err = err, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	letters, unreadable := make([]schema.DeadLetter, 0, len(keys)), []answer.UnreadableLetter(nil)
	for i, key := range keys {
		if failed[i] == nil {
			letters = append(letters, *read[i])
			continue
		}
		topic, component, _ := schema.ParseDeadLetterKey(key)
		unreadable = append(unreadable, answer.UnreadableLetter{Key: key, Topic: topic, Component: component, Err: failed[i].Error()})
	}
	return letters, unreadable, nil
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
		return "", badCursor(text)
	}
	return string(raw), nil
}
