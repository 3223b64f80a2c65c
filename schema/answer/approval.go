package answer

import "time"

// What a second person may say of a replay.
const (
	Approved = "approved"
	Rejected = "rejected"
)

// ReplayApproval is a replay's need of a second person. The last decision counts.
type ReplayApproval struct {
	AskedBy   string             `json:"asked_by"`
	Asked     time.Time          `json:"asked"`
	Decisions []ApprovalDecision `json:"decisions"`
}

// ApprovalDecision is what somebody said of a plan. It holds for the plan of that
// ID, which is the hash of all that would be produced, and an approval until
// Expires.
type ApprovalDecision struct {
	Verdict string    `json:"verdict"` // Approved or Rejected
	Plan    string    `json:"plan"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment"`
	Expires time.Time `json:"expires"` // zero for a rejection
}
