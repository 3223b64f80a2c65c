package answer

import "time"

// ReplayStop tells whether all replays are stopped, and who stopped them or let them
// go on, the newest last; only the last hundred are kept.
type ReplayStop struct {
	Stopped bool
	History []ReplaySwitch
}

// ReplaySwitch is one change of a ReplayStop.
type ReplaySwitch struct {
	Stopped bool      `json:"stopped"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}
