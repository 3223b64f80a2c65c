package config

import (
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/nearest"
)

// suggestion is the end of a message about an unknown name.
func suggestion(name string, known []string) string {
	if n := nearest.Name(name, known); n != "" {
		return "; did you mean " + n + "?"
	}
	const listable = 12
	if len(known) > 0 && len(known) <= listable {
		sorted := slices.Sorted(slices.Values(known))
		return "; known here: " + strings.Join(sorted, ", ")
	}
	return ""
}
