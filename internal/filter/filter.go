package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of a filter.
const (
	MaxBytes = 4096
	// MaxEstimate bounds what a text may cost for a record of the sizes that
	// estimate.go assumes, in CEL's units: about one for each step, and for each ten
	// bytes of text that are compared.
	MaxEstimate = 10_000_000
	// MaxCost bounds what a record may cost in fact.
	MaxCost = 1_000_000

	maxDepth = 50
	maxNodes = 5000
)

// ErrCost tells that a record cost more than MaxCost.
var ErrCost = errors.New("the filter's limit of cost is reached")

// Error says what is wrong with a text, and where.
type Error struct {
	At           int // the character at fault, counted from 1 over the whole text; 0: the text as a whole
	Line, Column int // the same, both counted from 1
	Message      string
}

// Error gives the place and what is wrong there.
func (e *Error) Error() string {
	switch {
	case e.At == 0:
		return e.Message
	case e.Line == 1:
		return fmt.Sprintf("column %d: %s", e.Column, e.Message)
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Character is At, for those who do not know this package.
func (e *Error) Character() int { return e.At }

// Filter is a compiled text.
type Filter struct {
	program cel.Program
	used    map[string]bool
}

// Compile reads a text. The error is Invalid; inside is an [Error].
func Compile(text string) (*Filter, error) {
	invalid := func(e *Error) (*Filter, error) { return nil, schema.Errorf(schema.Invalid, "%w", e) }
	switch {
	case strings.TrimSpace(text) == "":
		return invalid(&Error{Message: "no expression"})
	case len(text) > MaxBytes:
		return invalid(&Error{Message: fmt.Sprintf("%d bytes, at most %d", len(text), MaxBytes)})
	case !utf8.ValidString(text):
		return invalid(&Error{Message: "not UTF-8"})
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return invalid(firstOf(text, issues))
	}
	if kind := checked.OutputType(); !kind.IsExactType(cel.BoolType) && !kind.IsExactType(cel.DynType) {
		return invalid(&Error{Message: fmt.Sprintf("it gives %s, want true or false", kind)})
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return invalid(&Error{Message: "its cost cannot be estimated: " + err.Error()})
	}
	if estimate.Max > MaxEstimate {
		return invalid(&Error{Message: fmt.Sprintf("it may cost up to %s units a record, by estimate, at most %d: fewer loops inside one another cost less", units(estimate.Max), MaxEstimate)})
	}
	program, err := env.Program(checked, cel.CostLimit(MaxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return invalid(&Error{Message: err.Error()})
	}
	f := &Filter{program: program, used: map[string]bool{}}
	for _, reference := range checked.NativeRep().ReferenceMap() {
		// A dot stands before a variable that a loop's own of its name hides.
		f.used[strings.TrimPrefix(reference.Name, ".")] = true
	}
	return f, nil
}

func environment() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxDepth), cel.ExpressionNodeLimit(maxNodes), cel.ParserErrorRecoveryLimit(1),
	}
	for name, kind := range variables {
		options = append(options, cel.Variable(name, kind))
	}
	return cel.NewEnv(options...)
}

// firstOf is the first thing that is wrong, in the order of the text.
func firstOf(text string, issues *cel.Issues) *Error {
	var first *Error
	for _, issue := range issues.Errors() {
		line, column := issue.Location.Line(), issue.Location.Column()+1
		e := &Error{Message: issue.Message}
		if line > 0 && column > 0 {
			e.Line, e.Column, e.At = line, column, column
			for _, before := range strings.SplitAfterN(text, "\n", line)[:line-1] {
				e.At += utf8.RuneCountInString(before)
			}
		}
		if first == nil || e.At < first.At {
			first = e
		}
	}
	return first
}

// Uses tells whether the text names a variable: what it does not name need not be
// read.
func (f *Filter) Uses(variable string) bool { return f.used[variable] }

// Match tells whether a record is chosen. value gives its decoded payload, made of
// what package payload's documents are; it is called at most once, and only if the
// text asks. Errors say what could not be told of the record; ErrCost is in that of
// one that costs too much, and value's own error in one that it gave.
func (f *Filter) Match(row *segment.Row, value func() (any, error)) (bool, error) {
	vars := &record{row: row, decode: value}
	out, _, err := f.program.Eval(vars)
	if err != nil {
		var cancelled interpreter.EvalCancelledError
		switch {
		case errors.As(err, &cancelled):
			return false, fmt.Errorf("%w: %d units a record", ErrCost, MaxCost)
		case vars.err != nil: // without it, the other side of an "or" decided
			return false, vars.err
		}
		return false, err
	}
	if out, ok := out.(types.Bool); ok {
		return bool(out), nil
	}
	return false, fmt.Errorf("the filter gives %s, want true or false", out.Type().TypeName())
}
