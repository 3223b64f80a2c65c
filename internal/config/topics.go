package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Policies gives the topics section as rules. The error is Invalid.
func (c *Config) Policies() (*policy.Rules, error) {
	var list []policy.Rule
	for _, t := range c.Topics {
		list = append(list, t.rule())
	}
	return policy.NewRules(list)
}

func (t TopicPolicy) rule() policy.Rule {
	return policy.Rule{
		Pattern: t.Pattern, Excluded: t.Excluded, Secret: t.Secret, Personal: t.PersonalData, IDs: policy.IDs(t.IndexIDs),
		Key: t.IndexKeys, Headers: t.IndexHeaders, Team: t.Team, Retention: t.Retention.Std(), DeadLetters: t.DeadLetters,
	}
}

// Archived tells which topics are archived: those that kafka.topics chooses and
// the topics section does not exclude.
func (c *Config) Archived() (func(topic string) bool, error) {
	chosen, err := c.Kafka.Topics.Filter()
	if err != nil {
		return nil, err
	}
	policies, err := c.Policies()
	if err != nil {
		return nil, err
	}
	return func(topic string) bool { return chosen(topic) && !policies.Of(topic).Excluded.Value }, nil
}

// topics holds each entry to what the rules take, and finds those that can
// have no effect.
func (c *checker) topics() {
	for i, t := range c.cfg.Topics {
		path := fmt.Sprintf("topics[%d]", i)
		_, err := policy.NewRules([]policy.Rule{t.rule()})
		var fault *schema.Error
		if errors.As(err, &fault) {
			if c.origins[path+"."+fault.Field] != "" {
				path += "." + fault.Field
			}
			c.fail(path, "%v", err)
			continue
		}
		if r := t.rule(); r.Excluded == nil && r.Secret == nil && r.Key == nil && r.DeadLetters == nil && len(r.Personal)+len(r.Headers) == 0 && r.IDs == "" && r.Team == "" && r.Retention == 0 {
			c.fail(path, "says nothing but a pattern: what holds for those topics?")
		}
		if t.Retention != 0 {
			c.warn(path+".retention", "it is stated and shown (annals topics), and not enforced: nothing of the archive is deleted by it")
		}
		for property, earlier := range t.decidedBefore(c.cfg.Topics[:i]) {
			c.fail(path+"."+property, "would be ignored: topics[%d] says it of the same topics or more, and the first counts", earlier)
		}
	}
}

// decidedBefore gives the properties that an earlier entry of the same pattern,
// or one for every topic, says something of.
func (t TopicPolicy) decidedBefore(before []TopicPolicy) map[string]int {
	said := map[string]int{}
	for i, earlier := range before {
		if earlier.Pattern != t.Pattern && earlier.Pattern != "*" {
			continue
		}
		for property, twice := range map[string]bool{
			"excluded": earlier.Excluded != nil && t.Excluded != nil, "secret": earlier.Secret != nil && t.Secret != nil,
			"personal_data": len(earlier.PersonalData) > 0 && len(t.PersonalData) > 0, "index_ids": earlier.IndexIDs != "" && t.IndexIDs != "",
			"index_keys": earlier.IndexKeys != nil && t.IndexKeys != nil, "index_headers": len(earlier.IndexHeaders) > 0 && len(t.IndexHeaders) > 0,
			"dead_letters": earlier.DeadLetters != nil && t.DeadLetters != nil,
			"team":         earlier.Team != "" && t.Team != "", "retention": earlier.Retention != 0 && t.Retention != 0,
		} {
			if _, there := said[property]; twice && !there {
				said[property] = i
			}
		}
	}
	return said
}

// Filter tells which topics the patterns choose: those whose whole name one of
// Include matches and none of Exclude.
func (t Topics) Filter() (func(topic string) bool, error) {
	include, err := whole(t.Include)
	if err != nil {
		return nil, err
	}
	exclude, err := whole(t.Exclude)
	if err != nil {
		return nil, err
	}
	return func(topic string) bool { return matches(include, topic) && !matches(exclude, topic) }, nil
}

// Named are the topics that are included outright, each by a pattern that is
// its name. (A dot that is not escaped stands for itself too.)
func (t Topics) Named() []string {
	var names []string
	for _, pattern := range t.Include {
		if name := strings.ReplaceAll(pattern, `\.`, "."); schema.IsTopicName(name) && name[0] != '.' {
			names = append(names, name)
		}
	}
	return names
}

// whole compiles patterns that have to match a whole name.
func whole(patterns []string) ([]*regexp.Regexp, error) {
	var list []*regexp.Regexp
	for _, pattern := range patterns {
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, schema.InvalidField("kafka.topics", "pattern %q: %w", pattern, err)
		}
		list = append(list, re)
	}
	return list, nil
}

func matches(list []*regexp.Regexp, topic string) bool {
	for _, re := range list {
		if re.MatchString(topic) {
			return true
		}
	}
	return false
}
