package config

import (
	"regexp"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

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
		if name := strings.ReplaceAll(pattern, `\.`, "."); topicName.MatchString(name) && name[0] != '.' {
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
