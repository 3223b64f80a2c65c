package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// destination is the service with the cluster in which a plan's targets are, in
// place of the one that is archived. Positions stand there too: a transaction is of
// one cluster.
type destination struct {
	*Service
	cluster Brokers
	name    string // in Options.Clusters; "" is the archived one
	id      string // that the plan has; "" is not looked at
}

// home is the cluster that is archived.
func (s *Service) home() *destination { return &destination{Service: s, cluster: s.cluster} }

// destinationOf gives a plan's.
func (s *Service) destinationOf(d *document) (*destination, error) {
	return s.destinationNamed(d.Cluster, d.ClusterID)
}

func (s *Service) destinationNamed(name, id string) (*destination, error) {
	if name == "" {
		return s.home(), nil
	}
	brokers := s.options.Clusters[name]
	if brokers == nil {
		known := "none is configured"
		if len(s.options.Clusters) > 0 {
			known = "known are " + strings.Join(slices.Sorted(maps.Keys(s.options.Clusters)), ", ")
		}
		return nil, schema.WithHint(schema.InvalidField("target_cluster", "no target cluster %q: %s", name, known), "name it in replay.clusters of the configuration, and restart")
	}
	return &destination{Service: s, cluster: brokers, name: name, id: id}, nil
}

// knows tells whether this process has the cluster in which a job's targets are.
func (s *Service) knows(st *state) bool {
	name := st.Plan.Request.TargetCluster
	return name == "" || s.options.Clusters[name] != nil
}

// live asks the cluster for its topics, and refuses another one than was planned:
// names are the configuration's, and what was approved is a cluster.
func (d *destination) live(ctx context.Context) (kafka.Cluster, error) {
	live, err := d.cluster.Cluster(ctx)
	switch {
	case err != nil && d.name != "":
		return live, fmt.Errorf("target cluster %s: %w", d.name, err)
	case err != nil || d.id == "" || live.ID == d.id:
		return live, err
	}
	return live, schema.WithHint(schema.Errorf(schema.Conflict, "target cluster %s is the cluster %s now, the plan is for %s", d.name, live.ID, d.id),
		"plan anew, or let replay.clusters name the cluster that was planned")
}

// elsewhere makes the cluster that a request names, and its ID, part of the plan.
func (r *resolver) elsewhere(ctx context.Context) (err error) {
	r.doc.Cluster = r.request.TargetCluster
	if r.to, err = r.service.destinationOf(&r.doc); err != nil || r.doc.Cluster == "" {
		return err
	}
	live, err := r.to.live(ctx)
	if err != nil {
		return err
	}
	archived, err := r.service.cluster.Cluster(ctx)
	switch {
	case err != nil:
		return err
	case live.ID == "":
		return schema.Errorf(schema.Conflict, "target cluster %s does not say its ID: a plan could not be held to it", r.doc.Cluster)
	case live.ID == archived.ID:
		return schema.WithHint(schema.InvalidField("target_cluster", "%s is the cluster that is archived, %s, by another name", r.doc.Cluster, live.ID), "leave target_cluster out")
	}
	r.doc.ClusterID, r.to.id = live.ID, live.ID
	return r.onlyName(ctx)
}

// otherNames bounds how long a plan waits for the clusters that it is not for.
const otherNames = 3 * time.Second

// onlyName refuses a cluster that the configuration names twice: under each name it would
// get a plan of its own, and the same records once for each.
func (r *resolver) onlyName(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, otherNames)
	defer cancel()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(r.service.options.Clusters)), func(name string) bool { return name == r.doc.Cluster })
	ids, silent := make([]string, len(names)), make([]error, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			live, err := r.service.options.Clusters[name].Cluster(ctx)
			ids[i], silent[i] = live.ID, err
		})
	}
	asking.Wait()
	for i, name := range names {
		switch {
		case silent[i] != nil:
			r.silent = append(r.silent, fmt.Sprintf("whether target cluster %s is %s by another name is not known: it does not answer: %v", name, r.doc.Cluster, silent[i]))
		case ids[i] == r.doc.ClusterID:
			return schema.WithHint(schema.InvalidField("target_cluster", "%s and %s are one cluster, %s", r.doc.Cluster, name, ids[i]), "leave one name of it in replay.clusters")
		}
	}
	return nil
}
