package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// admin may do everything on a cluster with users.
const (
	admin         = "admin"
	adminPassword = "test-only"
)

// properties is a node's server.properties. Every node is broker and controller
// (KRaft, combined, static voters). Options.Properties win.
func (n *Node) properties() string {
	o := n.cluster.options
	replicas, insync, session, heartbeat := min(o.Nodes, 3), 1, 2000, 200
	if o.Nodes > 1 {
		insync, session, heartbeat = 2, 3000, 500
	}
	listener := "PLAINTEXT"
	if len(o.Users) > 0 {
		listener = "SASL_PLAINTEXT"
	}
	var voters []string
	for _, other := range n.cluster.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", other.id, other.controller))
	}
	all := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(n.id),
		"listeners":                      fmt.Sprintf("%s://%s,CONTROLLER://%s", listener, n.addr, n.controller),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     listener,
		"listener.security.protocol.map": fmt.Sprintf("CONTROLLER:PLAINTEXT,%s:%s", listener, listener),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"log.dirs":                       n.data(),
		"num.io.threads":                 "4",
		"auto.create.topics.enable":      "false",

		"offsets.topic.replication.factor":                 fmt.Sprint(replicas),
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         fmt.Sprint(replicas),
		"transaction.state.log.min.isr":                    fmt.Sprint(insync),
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": fmt.Sprint(replicas),
		"share.coordinator.state.topic.min.isr":            fmt.Sprint(insync),

		// After kill -9 the controller refuses a node until its old session has
		// ended: nine seconds by default.
		"broker.session.timeout.ms":                                   fmt.Sprint(session),
		"broker.heartbeat.interval.ms":                                fmt.Sprint(heartbeat),
		"group.initial.rebalance.delay.ms":                            "0",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
		"log.cleaner.backoff.ms":                                      "200",
		"log.initial.task.delay.ms":                                   "500",
		"log.retention.check.interval.ms":                             "500",
		"log.segment.delete.delay.ms":                                 "100",
		"log.index.size.max.bytes":                                    "1048576",
		// The default of 128 MB does not fit into a small heap.
		"log.cleaner.dedupe.buffer.size": "8388608",
	}
	if len(o.Users) > 0 {
		all["sasl.enabled.mechanisms"] = "SCRAM-SHA-256"
		all["sasl.mechanism.inter.broker.protocol"] = "SCRAM-SHA-256"
		all["listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config"] = fmt.Sprintf(
			"org.apache.kafka.common.security.scram.ScramLoginModule required username=%q password=%q;", admin, adminPassword)
		all["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		all["super.users"] = "User:" + admin + ";User:ANONYMOUS" // the controllers' own listener has no login
	}
	maps.Copy(all, o.Properties)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s=%s\n", key, all[key])
	}
	return text.String()
}
