package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

// Examination says what of a cluster matters to an archive.
type Examination struct {
	// Topics tells which topics are archived; nil: all but internal ones.
	Topics func(name string) bool
	// Group is the archivers' consumer group.
	Group string
	// Snapshots tells whether snapshots of groups and access rules are taken.
	Snapshots bool
	// Hanging is from what age on an open transaction is a warning;
	// DefaultHanging if zero.
	Hanging time.Duration
}

// DefaultHanging is the brokers' own limit for a transaction
// (transaction.max.timeout.ms): what is older will not end by itself.
const DefaultHanging = 15 * time.Minute

// reachPatience bounds the first question.
const reachPatience = 10 * time.Second

// examination is one under way.
type examination struct {
	Examination
	admin   *Admin
	brokers []int32
	topics  []Topic          // to be archived
	leaders map[string]int32 // of one partition of each topic
	probes  map[string]int32 // which partition
}

// Examine looks at the cluster with the rights of an archiver, Describe and
// Read, and changes nothing: no group is joined, no record produced. It sends a
// dozen requests, and one a broker.
func (a *Admin) Examine(ctx context.Context, options Examination) []doctor.Check {
	e := &examination{Examination: options, admin: a, leaders: map[string]int32{}, probes: map[string]int32{}}
	if e.Hanging == 0 {
		e.Hanging = DefaultHanging
	}
	reach, listed := e.reach(ctx)
	if listed == nil {
		return []doctor.Check{reach}
	}
	checks := []doctor.Check{reach, e.version(ctx), e.group(ctx), e.snapshots(ctx), e.choose(listed)}
	if len(e.topics) == 0 {
		return append(checks, e.nothing(doctor.KafkaRead), e.nothing(doctor.KafkaConfigs), e.nothing(doctor.KafkaTransactions), e.nothing(doctor.ClockKafka))
	}
	return append(checks, e.read(ctx), e.configs(ctx), e.transactions(ctx), e.clock(ctx))
}

// nothing is a check without a topic to look at.
func (e *examination) nothing(name string) doctor.Check {
	return doctor.Ill(name, doctor.Indeterminate, "run annals doctor again when there is a topic to archive", "no topic is to be archived")
}

// reach asks for everything there is.
func (e *examination) reach(ctx context.Context) (doctor.Check, *kmsg.MetadataResponse) {
	begin := time.Now()
	// The client goes on asking brokers that hang up for as long as it may.
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil
	response, err := request.RequestWith(ctx, e.admin.client)
	if err != nil {
		return doctor.Ill(doctor.KafkaReach, doctor.Failed, todoReach(err), "%v", unavailable("list topics", err)), nil
	}
	for _, b := range response.Brokers {
		e.brokers = append(e.brokers, b.NodeID)
	}
	id := ""
	if response.ClusterID != nil {
		id = *response.ClusterID
	}
	if id == "" || id != schema.EscapeTopic(id) {
		return doctor.Ill(doctor.KafkaReach, doctor.Failed, "the archive is keyed by the cluster's ID, which must be of letters, digits, - or _",
			"%d brokers answer; the cluster's ID is %q", len(e.brokers), id), response
	}
	return doctor.Well(doctor.KafkaReach, "%d brokers of cluster %s answer, in %s", len(e.brokers), id, time.Since(begin).Round(time.Millisecond)), response
}

func todoReach(err error) string {
	switch {
	case isAny(err, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState):
		return "check kafka.sasl: mechanism, user and password"
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return "check kafka.tls: ca_file must hold the authority that signed the brokers' certificates, and their names must fit"
	default:
		return "check kafka.brokers, and that the addresses which the brokers advertise can be reached from here; a broker that wants TLS or SASL hangs up on who speaks neither"
	}
}

// The versions that topic IDs came with (KIP-516): of metadata in Kafka 2.8, of
// fetches in 3.1.
const (
	metadataWithIDs = 10
	fetchWithIDs    = 13
)

// version asks each broker what it speaks. The oldest one counts.
func (e *examination) version(ctx context.Context) doctor.Check {
	versions, err := e.admin.admin.ApiVersions(ctx)
	if err != nil || len(versions) == 0 {
		return doctor.Ill(doctor.KafkaVersion, doctor.Indeterminate, "run annals doctor again", "no broker said what it speaks: %v", err)
	}
	var spoken, silent, old, halfway []string
	for _, v := range versions.Sorted() {
		broker := fmt.Sprintf("broker %d", v.NodeID)
		if v.Err != nil {
			silent = append(silent, fmt.Sprintf("%s (%v)", broker, v.Err))
			continue
		}
		metadata, _ := v.KeyMaxVersion(kmsg.Metadata.Int16())
		fetch, _ := v.KeyMaxVersion(kmsg.Fetch.Int16())
		if speaks := speaks(v, metadata, fetch); !slices.Contains(spoken, speaks) {
			spoken = append(spoken, speaks)
		}
		switch {
		case metadata < metadataWithIDs:
			old = append(old, broker)
		case fetch < fetchWithIDs:
			halfway = append(halfway, broker)
		}
	}
	seen := fmt.Sprintf("%d brokers speak %s", len(versions)-len(silent), strings.Join(spoken, " and "))
	switch {
	case len(old) > 0:
		return doctor.Ill(doctor.KafkaVersion, doctor.Failed, "update the brokers to Kafka 2.8 or later, better 3.1: the archive is keyed by topic ID (KIP-516)", "%s; no topic IDs from %s", seen, some(old))
	case len(silent) > 0:
		return doctor.Ill(doctor.KafkaVersion, doctor.Indeterminate, "see why these brokers do not answer", "%s; no answer from %s", seen, some(silent))
	case len(halfway) > 0:
		return doctor.Ill(doctor.KafkaVersion, doctor.Warning, "update to Kafka 3.1 or later: fetches by name cannot tell a topic from one created anew under its name; Annals asks the partitions' leaders after each fetch that brought records, which costs requests", "%s; no topic IDs in fetches of %s", seen, some(halfway))
	}
	return doctor.Well(doctor.KafkaVersion, "%s", seen)
}

// speaks names what matters, and the version of Kafka that it fits, where it
// fits one.
func speaks(v kadm.BrokerApiVersions, metadata, fetch int16) string {
	spoken := fmt.Sprintf("Metadata %d and Fetch %d", metadata, fetch)
	if guess := v.VersionGuess(); guess != "" && !strings.Contains(guess, " ") {
		spoken += ", as Kafka " + guess + " does"
	}
	return spoken
}

// group sends a heartbeat of a member that does not exist: it needs the same
// right as joining does (Read on the group), and disturbs nobody.
func (e *examination) group(ctx context.Context) doctor.Check {
	if e.Group == "" {
		return doctor.Ill(doctor.KafkaGroup, doctor.Indeterminate, "set archive.group", "no group is configured")
	}
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID = e.Group, 1, "annals-doctor"
	response, err := request.RequestWith(ctx, e.admin.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return doctor.Ill(doctor.KafkaGroup, doctor.Failed, "grant Read on the group "+e.Group+", or set archive.group to one that may be joined", "group %s: %v", e.Group, err)
	case isAny(err, kerr.UnknownMemberID, kerr.GroupIDNotFound, kerr.IllegalGeneration, kerr.RebalanceInProgress) || err == nil:
		return doctor.Well(doctor.KafkaGroup, "group %s may be joined", e.Group)
	default:
		return doctor.Ill(doctor.KafkaGroup, doctor.Indeterminate, "run annals doctor again; a group needs its coordinator, and that the topic __consumer_offsets", "group %s: %v", e.Group, err)
	}
}

// some joins the first few of a list.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// answered makes an error of what a sharded request came to, unless a part of
// it is there to be used.
func answered(listed kadm.ListedOffsets, err error) error {
	if len(listed) > 0 {
		return nil
	}
	if err == nil {
		err = errors.New("the answer was empty")
	}
	return err
}
