package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Problem is one mistake in the settings.
type Problem struct {
	// Origin is where the value came from: "annals.yaml:12:3", the name of an
	// environment variable, or empty for a default or a flag.
	Origin string
	// Path is the option, such as "archive.cut.bytes"; empty when the mistake
	// is not about one.
	Path string
	// Message says what is wrong and what to do.
	Message string
}

// Error joins what is known.
func (p *Problem) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{p.Origin, p.Path, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Warning is something that works and is probably not meant.
type Warning struct {
	// Path is the option the warning is about.
	Path string
	// Message says what may go wrong and what to do.
	Message string
}

// String joins both.
func (w Warning) String() string { return w.Path + ": " + w.Message }

// maxProblems bounds how many mistakes of one file are told: a file that is not
// a configuration at all would fill the screen.
const maxProblems = 20

// problems collects mistakes and tells them at once.
type problems struct {
	list []*Problem
}

func (p *problems) add(origin, path, format string, args ...any) {
	p.list = append(p.list, &Problem{Origin: origin, Path: path, Message: fmt.Sprintf(format, args...)})
}

// err returns nil, or all problems joined, as an error of kind
// [schema.Invalid]; [errors.As] finds the first [*Problem].
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	errs := make([]error, 0, len(p.list))
	for i, problem := range p.list {
		if i == maxProblems {
			errs = append(errs, fmt.Errorf("and %d more problems", len(p.list)-maxProblems))
			break
		}
		errs = append(errs, problem)
	}
	return &schema.Error{Kind: schema.Invalid, Err: errors.Join(errs...)}
}
