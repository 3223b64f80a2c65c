package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

// Targets are the clusters that replays may produce into besides the archived one.
type Targets struct {
	Archived Options
	Clusters []TargetCluster
	// Positions is where replays keep their positions, and Sandbox how the names of
	// their targets begin, in each of the clusters.
	Positions, Sandbox string
}

// TargetCluster is one of them.
type TargetCluster struct {
	Name    string
	Options Options
}

// Examine looks whether each cluster answers, is another one than the archived and the
// others, and lets topics be made as replays make them. It makes none.
func (t *Targets) Examine(ctx context.Context) []doctor.Check {
	const todo = "mend replay.clusters: a cluster has one name, the archived one none; the user needs Create, Write, Read and Describe there, and DescribeConfigs on replay.position_topic"
	if len(t.Clusters) == 0 {
		return []doctor.Check{doctor.Well(doctor.ReplayClusters, "replay.clusters names none: replays produce into the archived cluster")}
	}
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	archived, err := clusterOf(ctx, t.Archived, nil)
	if err != nil {
		return []doctor.Check{doctor.Ill(doctor.ReplayClusters, doctor.Indeterminate, "mend kafka/reach, and run annals doctor again", "the archived cluster does not answer, so whether a name is its own is not known")}
	}
	ids, wrong := make([]string, len(t.Clusters)), make([]string, len(t.Clusters))
	var asking errgroup.Group
	for i := range t.Clusters {
		asking.Go(func() error {
			live, err := clusterOf(ctx, t.Clusters[i].Options, t.mayMake)
			if ids[i] = live.ID; err != nil {
				wrong[i] = fmt.Sprintf("%s: %v", t.Clusters[i].Name, err)
			}
			return nil
		})
	}
	_ = asking.Wait()
	names := map[string]string{archived.ID: "the archived cluster"}
	var well []string
	for i := range t.Clusters {
		name := t.Clusters[i].Name
		switch other, taken := names[ids[i]]; {
		case ids[i] != "" && taken:
			wrong[i] = fmt.Sprintf("%s is %s, %s", name, other, ids[i])
		case wrong[i] == "" && ids[i] == "":
			wrong[i] = name + " does not say its ID, which plans are bound to"
		case wrong[i] == "":
			well = append(well, fmt.Sprintf("%s (%s)", name, ids[i]))
		}
		if ids[i] != "" && names[ids[i]] == "" {
			names[ids[i]] = name
		}
	}
	if wrong = slices.DeleteFunc(wrong, func(text string) bool { return text == "" }); len(wrong) > 0 {
		return []doctor.Check{doctor.Ill(doctor.ReplayClusters, doctor.Failed, todo, "%d of %d clusters: %s", len(wrong), len(t.Clusters), strings.Join(wrong, "; "))}
	}
	return []doctor.Check{doctor.Well(doctor.ReplayClusters, "%s answer, and topics may be made there; the right on transactional ids shows with the first replay", strings.Join(well, ", "))}
}

// clusterOf reaches a cluster, and asks it what else is to be known.
func clusterOf(ctx context.Context, options Options, more func(context.Context, *Admin, Cluster) error) (Cluster, error) {
	admin, err := NewAdmin(options)
	if err != nil {
		return Cluster{}, err
	}
	defer admin.Close()
	live, err := admin.Cluster(ctx)
	if err != nil || more == nil {
		return live, err
	}
	return live, more(ctx, admin, live)
}

// mayMake asks for topics as replays need them; the brokers check and make none. A topic
// of positions that is there must be writable.
func (t *Targets) mayMake(ctx context.Context, admin *Admin, live Cluster) error {
	wanted := []string{t.Sandbox + "annals-doctor"}
	at := slices.IndexFunc(live.Topics, func(one Topic) bool { return one.Name == t.Positions })
	switch {
	case at < 0:
		wanted = append(wanted, t.Positions)
	case live.Topics[at].NoWrite || live.Topics[at].Access != MayRead:
		return schema.Errorf(schema.Permission, "topic %s may not be written and read", t.Positions)
	default:
		if _, err := admin.Config(ctx, t.Positions); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		if err := admin.MayCreate(ctx, name, 1, -1); err != nil {
			return err
		}
	}
	return nil
}
