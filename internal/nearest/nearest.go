package nearest

import "strings"

// Name returns the candidate most like name by edit distance without regard
// to case, or "" when none is near enough to be worth suggesting: at most a
// third of the longer name may differ.
func Name(name string, candidates []string) string {
	best, bestDistance := "", -1
	lower := strings.ToLower(name)
	for _, c := range candidates {
		limit := max(len(name), len(c)) / 3
		d := editDistance(lower, strings.ToLower(c), limit)
		if d <= limit && (bestDistance < 0 || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment). When the lengths
// alone differ by more than limit it returns limit+1 without counting, which
// also bounds the work for absurdly long names.
func editDistance(a, b string, limit int) int {
	if diff := len(a) - len(b); diff > limit || -diff > limit {
		return limit + 1
	}
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
