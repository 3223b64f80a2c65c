// Package policy says who may see what, and what holds for a topic.
//
// # What it promises
//
// Everything is denied unless a grant allows it: the zero [Principal] and the
// zero [TopicSet] see nothing. Entry points of query, replay and custody take
// a Principal and ask its topics before they read. A topic that a principal may
// not see does not exist for it: not in lists, not in counts, not in errors.
//
// What holds for a topic (secret, personal data, what may be indexed, its team)
// is said by the configuration's topics section alone: [Rules]. For each
// property the first entry that matches and says something of it decides, and
// the answer names it. Masking takes what is withheld out of a record before
// anybody else sees it; what cannot be masked is withheld whole.
//
// # What it does not
//
// It does not know who somebody is: authentication makes Principals, and until
// there is one a name is what somebody says of themselves. Roles are not here yet.
// A retention is stated and not enforced.
//
// # Concurrency
//
// Values do not change once they are made, and are safe for concurrent use.
//
// # Files
//
//	policy.go  Principal, TopicSet
//	rules.go   Rules, and what they say of a topic
//	mask.go    Paths, MaskJSON, Topic.Mask
package policy
