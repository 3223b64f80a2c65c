package answer

import (
	"encoding/json"
	"time"
)

// ViolationRequest asks for violations. Zero values are no filter; Rule is how
// the rule begins.
type ViolationRequest struct {
	Topic, EventType, Service, Rule string
	From, To                        time.Time // record times; To is exclusive
	Limit                           int
}

// Violations are what sealed records break, those of most records first.
type Violations struct {
	Groups []Violation
	More   bool // than the limit
}

// Violation sums up the records of a topic, type, version and producer that break
// one rule.
type Violation struct {
	Topic                            string
	EventType, EventVersion, Service string
	Rule                             string
	Team                             string // of the contract, else of the topic; "" if neither says
	Records                          int64
	First, Last                      time.Time
	Newest                           Place
}

// EventTypes is the event catalog.
type EventTypes struct {
	Types []EventType
	More  bool     // than can be shown
	Notes []string // what cannot be known here, and why
}

// EventType is what is known of an event type. The counts are of sealed,
// committed records.
type EventType struct {
	Type           string
	Team, TeamBy   string // TeamBy is who says so: a contract's file, or an entry of topics
	Description    string
	Versions       []EventVersion
	Producers      []EventProducer
	Consumers      []EventConsumer
	ConsumersKnown bool
	Topics         []EventTopic
	Records, Bytes int64
	Errors         int64 // records that break a rule
	First, Last    time.Time
	MaxDelay       time.Duration // what the SLA promises; 0: nothing
	SLA            string

	// Of one type alone, if it was asked for.
	Schema json.RawMessage // of the newest registered version; nil: none
	Sample *Hit            // the newest record
}

// EventVersion is a version of a type, seen or registered.
type EventVersion struct {
	Version     string
	Records     int64
	First, Last time.Time // zero: not seen
	Contract    string    // the file of its contract; "": not registered
}

// EventProducer is a service that has produced a type, or may by contract.
type EventProducer struct {
	Service  string
	Records  int64
	Declared bool
}

// EventConsumer is a consumer group that has committed offsets of topics that the
// type is in. That it reads this type of them is not known.
type EventConsumer struct {
	Group  string
	Topics []string
}

// EventTopic is a topic that a type is in, or may be by contract.
type EventTopic struct {
	Topic    string
	Records  int64
	Declared bool
}

// ContractCheckRequest holds a contract to archived events of its type of the last
// Days: to all, or, if they are more than Limit, to so many at random.
type ContractCheckRequest struct {
	Name    string            // of the contract's file, for messages
	Text    string            // YAML
	Schemas map[string]string // by the name that the contract gives
	Days    int
	Limit   int
}

// The verdicts of a ContractCheck.
const (
	ContractCompatible    = "compatible"    // every event that was looked at fits
	ContractIncompatible  = "incompatible"  // some would break it
	ContractIndeterminate = "indeterminate" // none could be looked at
)

// Which events a ContractCheck looked at.
const (
	SampleAll    = "all"
	SampleRandom = "random" // of the whole time, by a hash of their positions: the same ones again
	SampleNewest = "newest" // they were too many to take a sample in time
)

// ContractCheck says whether a contract holds for archived events, and how it
// differs from the registered one.
type ContractCheck struct {
	Type, Version string
	Verdict       string
	// Against is the registered version that it was compared with, "" if none is;
	// Evolution is then "new", else "identical", "additive" or "breaking".
	Against     string
	Evolution   string
	Differences []ContractDifference
	From        time.Time // the time from which events were looked for
	OwnVersion  bool      // only events of the contract's version were asked for: it is registered
	Looked      int64     // events that were looked at
	Matching    int64     // that there are; -1: they could not be counted
	Sample      string    // which of them were looked at
	Withheld    int64     // of topics whose policy keeps them secret: not looked at
	Unread      int64     // whose payload could not be read or decoded: not looked at
	Masked      int64     // looked at without what policy masks in them
	Broken      int64     // events that would break the contract
	Rules       []RuleCount
	Events      []BrokenEvent // the newest that would break, at most MaxBrokenEvents
}

// MaxBrokenEvents bounds ContractCheck.Events.
const MaxBrokenEvents = 100

// ContractDifference is one way in which a contract differs from another.
type ContractDifference struct {
	Path, Change      string
	Events, Consumers bool // whom it breaks
}

// RuleCount is how many events break a rule.
type RuleCount struct {
	Rule    string
	Records int64
}

// BrokenEvent is an event that would break a contract.
type BrokenEvent struct {
	Hit   Hit
	Rules []string
}
