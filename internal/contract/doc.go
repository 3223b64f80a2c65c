// Package contract holds events to what their producers promised.
//
// A contract is one version of one event type: a YAML file, usually in git, with
// a JSON Schema beside it (docs/guides/contracts.md). A [Registry] is a folder of
// them.
//
// # What it promises
//
// [Contract.Check] names each promise that an event breaks by a rule, such as
// "contract:type:/amount": it is a pure function of the event and the contract,
// and never fails. A rule names only what the contract itself names, never
// anything of the event, so that rules are few and hold no personal data: the
// place of an array's element, or of a member that the schema does not name, is
// "*". At most MaxViolations are named of one event.
//
// [Compare] tells how a version differs from another, and whom it breaks. What
// it cannot compare counts as breaking, and is said.
//
// # What it does not
//
// It looks at no registry over the network, and a schema refers to nothing
// outside its own file. Formats ("format": "date") are not asserted, as the
// JSON Schema specification has it.
//
// # Concurrency
//
// Contracts and registries do not change and are safe for concurrent use.
//
// # Files
//
//	contract.go  Contract, Parse
//	registry.go  Registry, Load, Find
//	check.go     Contract.Check and the rules
//	compare.go   Compare
package contract
