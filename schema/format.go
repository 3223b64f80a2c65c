package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrNewer marks, for errors.Is, what a newer version of Annals has written and
// this one cannot read. It is not damaged: whoever finds it can neither use it
// nor vouch for it. Its kind is Corrupt, so that everything stops at it that
// stops at damage.
var ErrNewer = errors.New("written by a newer version of Annals")

// CheckFormat holds the name and version that bytes give themselves against
// those that this version reads, such as annals.commit/1. A higher version of
// one of them is ErrNewer; anything else is Corrupt without it.
func CheckFormat(got string, known ...string) error {
	if slices.Contains(known, got) {
		return nil
	}
	name, version, ok := splitFormat(got)
	for _, k := range known {
		knownName, knownVersion, _ := splitFormat(k)
		if ok && name == knownName && version > knownVersion {
			return &Error{
				Kind: Corrupt, Hint: "read it with the version of Annals that wrote it, or a later one",
				Err: fmt.Errorf("format is %q, this version reads %s: %w", got, quoted(known), ErrNewer),
			}
		}
	}
	return Errorf(Corrupt, "format is %q, this version reads %s", got, quoted(known))
}

// Newer says whether bytes that could not be read are JSON of a newer version
// of a format: why is given back unless they are. A newer version may have other
// fields, so that reading it fails before its format is looked at.
func Newer(raw []byte, why error, known ...string) error {
	var named struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(raw, &named) != nil {
		return why
	}
	if err := CheckFormat(named.Format, known...); errors.Is(err, ErrNewer) {
		return err
	}
	return why
}

func splitFormat(format string) (name string, version int, ok bool) {
	name, digits, found := strings.Cut(format, "/")
	version, err := strconv.Atoi(digits)
	return name, version, found && err == nil && version > 0 && strconv.Itoa(version) == digits && strings.HasPrefix(name, "annals.")
}

func quoted(list []string) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = strconv.Quote(s)
	}
	return strings.Join(text, " and ")
}
