package web

import (
	"net/http"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// UserHeader is where a client says who asks. Nothing checks it in this version:
// a proxy that authenticates people must set it, over what they send.
const UserHeader = "Annals-User"

// Claimed gives the principal that a request names in UserHeader, who sees every
// topic; without one it is [policy.Everything]. The error is Invalid.
func Claimed(r *http.Request) (policy.Principal, error) {
	names := r.Header.Values(UserHeader)
	if len(names) > 1 {
		return policy.Principal{}, schema.Errorf(schema.Invalid, "the header %s is given %d times", UserHeader, len(names))
	}
	return policy.Named(r.Header.Get(UserHeader))
}
