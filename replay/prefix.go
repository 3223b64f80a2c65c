package replay

import (
	"context"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// MinID is how many hex digits of an ID name a plan or job at least: as many
// as are shown where there is little room.
const MinID = 8

// isPrefix tells what may be the beginning of an ID, or a whole one.
func isPrefix(id string) bool {
	return len(id) >= MinID && len(id) <= 2*len(schema.Digest{}) && strings.Trim(id, "0123456789abcdef") == ""
}

// whole gives the ID that begins so. What is no beginning of any is given back,
// for whoever looks it up to refuse. Invalid if several begin so.
func (s *Service) whole(ctx context.Context, id string) (string, error) {
	if isID(id) || !isPrefix(id) {
		return id, nil
	}
	found := ""
	for object, err := range s.store.List(ctx, schema.ReplayPrefix+id, "") {
		if err != nil {
			return "", err
		}
		one, _, _ := strings.Cut(strings.TrimPrefix(object.Key, schema.ReplayPrefix), "/")
		switch {
		case !isID(one) || one == found:
		case found != "":
			return "", schema.InvalidField("id", "several plans begin with %s: give more digits", id)
		default:
			found = one
		}
	}
	if found == "" {
		return "", schema.WithHint(schema.Errorf(schema.NotFound, "no plan or replay begins with %s", id), "make one with annals replay plan")
	}
	return found, nil
}
