// Package policy says who may see what.
//
// # What it promises
//
// Everything is denied unless a grant allows it: the zero [Principal] and the
// zero [TopicSet] see nothing. Entry points of query, replay and custody take
// a Principal and ask its topics before they read. A topic that a principal may
// not see does not exist for it: not in lists, not in counts, not in errors.
//
// # What it does not
//
// It does not know who somebody is: authentication makes Principals. Roles,
// approvals and masking are not here yet.
//
// # Concurrency
//
// Values do not change once they are made, and are safe for concurrent use.
package policy
