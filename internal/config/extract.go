package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// Options gives the rules of the topics, in their order.
func (e Extract) Options() extract.Options {
	var options extract.Options
	for _, t := range e.Topics {
		options.Topics = append(options.Topics, t.rule())
	}
	return options
}

func (t ExtractTopic) rule() extract.TopicRule {
	rule := extract.TopicRule{
		Topic: t.Topic, Contract: t.Contract,
		EventID: extract.Location(t.EventID), EventType: extract.Location(t.EventType), EventVersion: extract.Location(t.EventVersion),
		SourceService: extract.Location(t.SourceService), TraceID: extract.Location(t.TraceID), SpanID: extract.Location(t.SpanID),
		ParentSpanID: extract.Location(t.ParentSpanID), CausationID: extract.Location(t.CausationID),
		Timestamp: extract.Location(t.Timestamp), Stage: extract.Location(t.Stage),
	}
	for _, at := range t.BusinessIDs {
		rule.BusinessIDs = append(rule.BusinessIDs, extract.Location(at))
	}
	return rule
}

// extract holds each topic's rules to what the rules themselves take.
func (c *checker) extract() {
	first := map[string]int{}
	for i, t := range c.cfg.Extract.Topics {
		path := fmt.Sprintf("extract.topics[%d]", i)
		if earlier, ok := first[t.Topic]; ok {
			c.fail(path, "would be ignored: extract.topics[%d] is for %s, too, and the first counts", earlier, quote(t.Topic))
		} else {
			first[t.Topic] = i
		}
		_, err := extract.New(extract.Options{Topics: []extract.TopicRule{t.rule()}})
		var fault *schema.Error
		if errors.As(err, &fault) {
			if fault.Field != "" && c.origins[path+"."+fault.Field] != "" {
				path += "." + fault.Field
			}
			c.fail(path, "%v", err)
		}
	}
}

var registryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func (c *checker) schemas() {
	s := c.cfg.Schemas
	if !registryName.MatchString(s.Name) {
		c.fail("schemas.name", "%s: want 1 to 100 letters, digits, dots, hyphens and underscores", quote(s.Name))
	}
	given := map[string]bool{"username": s.Username != "", "password": s.Password.IsSet()}
	switch {
	case s.URL == "":
		c.refuse("schemas.", given, "it needs schemas.url", "username", "password")
	default:
		c.url("schemas.url", s.URL)
		if s.Archived {
			c.fail("schemas.archived", "is set but would be ignored: what is archived is looked for first, and schemas.url is asked for the rest")
		}
		if s.Username != "" {
			c.need("schemas.", given, "for basic authentication", "password")
		}
	}
	c.tlsFiles("schemas.tls", s.TLS, strings.HasPrefix(s.URL, "https:"), "schemas.url is not an https address")
}
