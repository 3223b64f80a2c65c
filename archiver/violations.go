package archiver

import (
	"strings"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/schema"
)

// breach is a rule that a record breaks, as metrics count it: without the place
// in the event. kind is the event type where a contract of it is registered, so
// that records cannot make series at will.
type breach struct{ kind, rule string }

// breaches counts what a record breaks.
func (j *job) breaches(x *schema.Extraction) {
	if len(x.Errors) == 0 {
		return
	}
	j.contractErrors++
	if j.broken == nil {
		j.broken = map[breach]int64{}
	}
	for _, code := range x.Errors {
		j.broken[breachOf(x, code)]++
	}
}

func breachOf(x *schema.Extraction, code string) breach {
	rule, ok := strings.CutPrefix(code, contract.Prefix)
	if !ok {
		return breach{rule: code}
	}
	rule, _, _ = strings.Cut(rule, ":")
	b := breach{rule: contract.Prefix + rule}
	if code != contract.UnknownType {
		b.kind = strings.Clone(x.EventType)
	}
	return b
}
