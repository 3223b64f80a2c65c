package payload_test

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

// change is one that is made to a document.
type change payload.Change

// apply makes the child's document from the parent's payload and their
// comparison: canonical JSON, equal to payload.Canonical of the child's document. For
// payloads that were compared as bytes and are equal it gives those bytes.
//
// It fails with kind schema.Invalid on a comparison that does not hold the
// child (of bytes that differ, or truncated), and with kind schema.Conflict on
// a parent other than the one compared.
func apply(parent []byte, c payload.Comparison) ([]byte, error) {
	switch {
	case !c.Comparable && c.Equal:
		return parent, nil
	case !c.Comparable:
		return nil, schema.Errorf(schema.Invalid, "apply comparison: only bytes were compared, and they differ")
	case c.Truncated:
		return nil, schema.Errorf(schema.Invalid, "apply comparison: it lists only the first %d changes", payload.MaxChanges)
	}
	doc, format, err := payload.Decode(parent)
	if err != nil {
		return nil, err
	}
	if format != payload.JSON {
		return nil, schema.Errorf(schema.Conflict, "apply comparison: the parent is %s, not JSON", format)
	}
	for i := range c.Changes {
		if doc, err = (*change)(&c.Changes[i]).apply(doc); err != nil {
			return nil, err
		}
	}
	return payload.Canonical(doc), nil
}

func (c *change) apply(doc any) (any, error) {
	switch c.Op {
	case payload.Add:
		return c.put(doc, c.Path)
	case payload.Remove:
		return c.take(doc, c.Path)
	case payload.Move:
		doc, err := c.take(doc, c.MovedFrom)
		if err != nil {
			return nil, err
		}
		return c.put(doc, c.Path)
	case payload.Replace:
		value, err := c.value()
		if err != nil {
			return nil, err
		}
		if c.Path == "" {
			return value, c.expect(doc)
		}
		return edit(doc, c.Path, func(container any, token string) (any, error) {
			return c.replace(container, token, value)
		})
	}
	return nil, schema.Errorf(schema.Invalid, "apply comparison: unknown operation %q", c.Op)
}

func (c *change) value() (any, error) {
	value, format, err := payload.Decode(c.To)
	if err == nil && format != payload.JSON {
		err = schema.Errorf(schema.Invalid, "apply comparison: the value for %q is not JSON", c.Path)
	}
	return value, err
}

// expect tells that the parent holds what the comparison found there. From may
// have travelled and been escaped otherwise, so documents are compared.
func (c *change) expect(value any) error {
	text := payload.Canonical(value)
	if bytes.Equal(text, c.From) {
		return nil
	}
	from, format, err := payload.Decode(c.From)
	if err != nil || format != payload.JSON || !bytes.Equal(text, payload.Canonical(from)) {
		return c.misfit(c.Path)
	}
	return nil
}

func (c *change) misfit(path string) error {
	return schema.Errorf(schema.Conflict, "apply comparison: %s at %q does not fit this parent", c.Op, path)
}

func (c *change) replace(container any, token string, value any) (any, error) {
	switch container := container.(type) {
	case map[string]any:
		if before, ok := container[token]; ok {
			container[token] = value
			return container, c.expect(before)
		}
	case []any:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(container) {
			before := container[i]
			container[i] = value
			return container, c.expect(before)
		}
	}
	return nil, c.misfit(c.Path)
}

// put adds a member, or an element at the end of an array.
func (c *change) put(doc any, path string) (any, error) {
	value, err := c.value()
	if err != nil {
		return nil, err
	}
	return edit(doc, path, func(container any, token string) (any, error) {
		switch container := container.(type) {
		case map[string]any:
			if _, ok := container[token]; !ok {
				container[token] = value
				return container, nil
			}
		case []any:
			if token == strconv.Itoa(len(container)) {
				return append(container, value), nil
			}
		}
		return nil, c.misfit(path)
	})
}

// take removes a member, or the last element of an array.
func (c *change) take(doc any, path string) (any, error) {
	return edit(doc, path, func(container any, token string) (any, error) {
		switch container := container.(type) {
		case map[string]any:
			if before, ok := container[token]; ok {
				delete(container, token)
				return container, c.expect(before)
			}
		case []any:
			if last := len(container) - 1; last >= 0 && token == strconv.Itoa(last) {
				return container[:last], c.expect(container[last])
			}
		}
		return nil, c.misfit(path)
	})
}

// edit changes the container that a path's last step stands in and gives the
// document with it.
func edit(doc any, path string, change func(container any, token string) (any, error)) (any, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, schema.Errorf(schema.Invalid, "apply comparison: path %q names no member", path)
	}
	token, rest, deeper := strings.Cut(path[1:], "/")
	token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	if !deeper {
		return change(doc, token)
	}
	rest = "/" + rest
	switch container := doc.(type) {
	case map[string]any:
		if child, ok := container[token]; ok {
			edited, err := edit(child, rest, change)
			container[token] = edited
			return container, err
		}
	case []any:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(container) {
			edited, err := edit(container[i], rest, change)
			container[i] = edited
			return container, err
		}
	}
	return nil, schema.Errorf(schema.Conflict, "apply comparison: nothing at %q of this parent", path)
}
