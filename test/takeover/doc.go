// Package takeover is how workers of replays claim a job, fence one another and take
// jobs over, as a state machine, and a search through all of its states. It holds
// tests alone, and nothing imports it.
//
// # What it promises
//
// Every order of steps of two workers, who may crash or be held up between any two of
// them as often as they like, every lost, late or unanswered commit, and everything
// that people may ask of the job meanwhile, is searched to the end. In every state:
//
//   - what readers of committed records find in the target is the plan's records,
//     each once and in order, as far as they are delivered;
//   - the position is where the target ends;
//   - a job that is done is in the target as a whole, and an ended one stays so;
//   - nothing of a job is sent before somebody has approved it;
//   - a cancellation that was asked for is not forgotten;
//   - who looked while all replays were stopped takes no job.
//
// And from every state there is a way, without further faults, to a job that has
// ended with no worker on it, if people let it go on. That these checks can fail is
// shown by bugs_test.go: protocols with one rule broken, each of which must be found,
// for its own reason.
//
// # What is modelled
//
// One job of two records, each a transaction; a state object that changes by
// compare-and-swap alone; a transactional producer whose owner is who began last. A
// lease is no obstacle in the model: any worker may find it expired at any time, as
// one with another clock may. So nothing here rests on it.
//
// # What is not
//
// Several lanes and the clock over them; the target's own making; failures that end
// a job; an approval's expiry. The conditional write of one state is one step: what
// becomes of a lost answer of it is tested with the store. The bound of 30 seconds is
// of time, and a test with processes has it.
//
// # Transitions, and what does them
//
// A test holds the functions against the code.
//
//	look       replay/work.go Service.look, replay/work.go Service.unfinished, replay/stop.go Service.loadStop
//	claim      replay/work.go Service.claim, replay/approval.go Service.awaits
//	fence      replay/attempt.go attempt.deliverRest
//	position   replay/position.go destination.resume
//	produce    replay/deliver.go attempt.transact
//	commit     replay/deliver.go attempt.commit
//	answered   replay/deliver.go attempt.transactions
//	refused    replay/work.go Service.persist
//	giveUp     replay/work.go Service.persist
//	reconcile  replay/attempt.go Service.attempt, replay/reconcile.go attempt.reconcile
//	end        replay/attempt.go claim.end, replay/work.go claim.update
//	letGo      replay/work.go claim.keep, replay/work.go Service.finish, replay/work.go state.let
//	lose       replay/work.go claim.update
//	approve    replay/approval.go Service.decide
//	cancel     replay/control.go Service.Cancel
//	pause      replay/control.go Service.Pause
//	resume     replay/control.go Service.Resume, replay/approval.go state.release
//	stopAll    replay/stop.go Service.turn
//	startAll   replay/stop.go Service.turn
//	arrive     outside: the coordinator takes a commit
//	crash      outside: a worker's process ends
package takeover
