package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/web/api"
)

// GetStatus implements [api.StrictServerInterface].
func (o *operations) GetStatus(context.Context, api.GetStatusRequestObject) (api.GetStatusResponseObject, error) {
	out := api.GetStatus200JSONResponse{
		Version: o.options.Build, Now: time.Now().UTC(), Ready: true, Roles: some(o.options.Roles),
		Demo: optional(o.options.Demo), Dependencies: []api.Dependency{},
	}
	for _, d := range o.dependencies() {
		out.Ready = out.Ready && (d.trouble == "" || !needed(d.name))
		out.Dependencies = append(out.Dependencies, api.Dependency{
			Name: api.DependencyName(d.name), Ready: d.trouble == "", Detail: d.trouble,
		})
	}
	return out, nil
}

// dependency is a line of the health report; trouble is "" where it is well.
type dependency struct{ name, trouble string }

// needed tells whether work stops without a dependency. Without its spool an
// archiver goes on, with smaller segments.
func needed(name string) bool { return name != "spool" }

// dependencies are in the order of a record's way through them.
func (o *operations) dependencies() []dependency {
	var out []dependency
	for name, trouble := range o.services.Health() {
		out = append(out, dependency{name, trouble})
	}
	order := []string{"kafka", "store", "index", "spool"}
	slices.SortFunc(out, func(a, b dependency) int {
		if x, y := slices.Index(order, a.name), slices.Index(order, b.name); x != y {
			return x - y
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}
