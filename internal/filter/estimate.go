package filter

import (
	"math"
	"strconv"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// What an estimate assumes of a record that it does not know: texts of a kilobyte,
// lists and maps of a hundred elements. A record may be larger; MaxCost holds then.
const (
	assumedText     = 1 << 10
	assumedElements = 100
)

// sizes implements cost.Estimator.
type sizes struct{}

// EstimateSize says how large what stands in a record is taken to be.
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if len(element.Path()) == 0 {
		return nil // of a part of the text itself
	}
	switch element.Type().Kind() {
	case types.ListKind, types.MapKind, types.DynKind:
		return &cost.SizeEstimate{Max: assumedElements}
	}
	return &cost.SizeEstimate{Max: assumedText}
}

// EstimateCallCost leaves functions to CEL's own table.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// units names a cost.
func units(n uint64) string {
	if n == math.MaxUint64 {
		return "infinitely many"
	}
	return strconv.FormatUint(n, 10)
}
