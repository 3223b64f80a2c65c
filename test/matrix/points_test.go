package matrix

import (
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// engine is whose requests a point is about.
type engine uint8

const (
	onKafka engine = iota
	onStore
	onIndex
)

// point is one kind of request on the archiver's path.
type point struct {
	name   string
	engine engine
	http   func(*http.Request) bool // of the store and the index
	key    kmsg.Key                 // of Kafka
	errors []*kerr.Error            // what Kafka may answer

	again       bool // only an archiver that finds an archive sends it
	catchUp     bool // … and only if the index missed something
	probes      bool // it is part of the store's trial at the start
	writes      bool // it carries bytes to be kept
	conditional bool // it may create an object only
	summed      bool // the bytes that are read have a checksum
	once        bool // it may come by once only
}

func path(method, part string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && !r.URL.Query().Has("list-type") && strings.Contains(r.URL.Path, part)
	}
}

func isGenesis(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/00000000000000000000.json")
}

func inserts(tables ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		query := r.URL.Query().Get("query")
		for _, table := range tables {
			if strings.HasPrefix(query, "INSERT INTO "+table+" ") {
				return true
			}
		}
		return false
	}
}

var points = []*point{
	{name: "kafka metadata", key: kmsg.Metadata, errors: []*kerr.Error{kerr.LeaderNotAvailable, kerr.UnknownServerError}},
	{name: "kafka configs", key: kmsg.DescribeConfigs, errors: []*kerr.Error{kerr.UnknownServerError, kerr.RequestTimedOut}},
	{name: "kafka find group", key: kmsg.FindCoordinator, errors: []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress}},
	{name: "kafka join group", key: kmsg.JoinGroup, errors: []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
	{name: "kafka sync group", key: kmsg.SyncGroup, errors: []*kerr.Error{kerr.RebalanceInProgress, kerr.UnknownMemberID}},
	{name: "kafka heartbeat", key: kmsg.Heartbeat, errors: []*kerr.Error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress}},
	{name: "kafka group offsets", key: kmsg.OffsetFetch, errors: []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
	{name: "kafka log bounds", key: kmsg.ListOffsets, errors: []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError}},
	{name: "kafka fetch", key: kmsg.Fetch, errors: []*kerr.Error{kerr.KafkaStorageError, kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.CorruptMessage}},
	{name: "kafka leader epoch", key: kmsg.OffsetForLeaderEpoch, again: true, errors: []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch}},
	{name: "kafka commit offsets", key: kmsg.OffsetCommit, errors: []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.RequestTimedOut, kerr.UnknownMemberID}},

	{name: "s3 probe", engine: onStore, probes: true, writes: true, conditional: true, http: path(http.MethodPut, "/doctor/")},
	{name: "s3 list ledger", engine: onStore, once: true, http: func(r *http.Request) bool {
		return strings.Contains(r.URL.Query().Get("prefix"), "/ledger/")
	}},
	{name: "s3 get commit", engine: onStore, again: true, summed: true, http: path(http.MethodGet, "/ledger/")},
	{name: "s3 get segment", engine: onStore, again: true, catchUp: true, summed: true, http: path(http.MethodGet, "/data/")},
	{name: "s3 put topic config", engine: onStore, once: true, writes: true, conditional: true, http: path(http.MethodPut, "/topics/")},
	{name: "s3 put genesis", engine: onStore, writes: true, conditional: true, http: func(r *http.Request) bool {
		return path(http.MethodPut, "/ledger/")(r) && isGenesis(r)
	}},
	{name: "s3 put segment", engine: onStore, writes: true, http: path(http.MethodPut, "/data/")},
	{name: "s3 put commit", engine: onStore, writes: true, conditional: true, http: func(r *http.Request) bool {
		return path(http.MethodPut, "/ledger/")(r) && !isGenesis(r)
	}},

	{name: "index ask", engine: onIndex, again: true, http: func(r *http.Request) bool { return r.URL.Query().Get("query") == "" }},
	{name: "index insert records", engine: onIndex, writes: true, http: inserts("records", "records_by_trace", "id_index", "positions")},
	{name: "index insert segment", engine: onIndex, writes: true, http: inserts("segments", "rollups")},
}
