package config

import (
	"fmt"
	"regexp"
	"slices"
)

var clusterName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,59}$`)

// Kafka is how to reach the cluster: as the archived one, but for what it says itself.
func (r ReplayCluster) Kafka(archived Kafka) Kafka {
	archived.Brokers, archived.TLS, archived.SASL = r.Brokers, r.TLS, r.SASL
	return archived
}

// replayClusters holds each target cluster to what the archived one is held to. Two
// names of one cluster are refused as far as their brokers tell.
func (c *checker) replayClusters() {
	list := c.cfg.Replay.Clusters
	for i := range list {
		r, path := &list[i], fmt.Sprintf("replay.clusters[%d].", i)
		if !clusterName.MatchString(r.Name) {
			c.fail(path+"name", "%s is not a name of 1 to 60 lower-case letters, digits and hyphens", quote(r.Name))
		}
		if len(r.Brokers) == 0 {
			c.fail(path+"brokers", "must name a broker")
		}
		for _, broker := range r.Brokers {
			c.address(path+"brokers", broker, false)
			if slices.Contains(c.cfg.Kafka.Brokers, broker) {
				c.fail(path+"brokers", "%s is among kafka.brokers too: the archived cluster is the target where a plan names none", quote(broker))
			}
		}
		for k := range list[:i] {
			if list[k].Name == r.Name {
				c.fail(path+"name", "%s is the name of replay.clusters[%d] too", quote(r.Name), k)
			}
			for _, broker := range r.Brokers {
				if slices.Contains(list[k].Brokers, broker) {
					c.fail(path+"brokers", "%s is a broker of replay.clusters[%d] too: a cluster has one name", quote(broker), k)
				}
			}
		}
		c.tlsFiles(path+"tls", r.TLS.TLSFiles, r.TLS.Enabled, path+"tls.enabled is false")
		c.sasl(path, r.SASL, r.TLS.Enabled, r.Brokers)
	}
}
