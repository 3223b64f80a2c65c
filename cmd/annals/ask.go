package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/client"
)

// asking are the flags of every command that asks a running Annals.
type asking struct {
	Server  string `placeholder:"URL" help:"Address of Annals; otherwise that of the annals up on the data folder, otherwise http://127.0.0.1:8080."`
	DataDir string `placeholder:"DIR" help:"Data folder of the annals up to ask (annals-data)."`
	As      string `placeholder:"NAME" env:"ANNALS_AS" help:"Who asks, for what is recorded with a name; otherwise the user of this machine's system. Nothing checks it."`
	JSON    bool   `help:"Print JSON."`
}

// defaultDataDir is where annals up keeps its data unless told otherwise.
const defaultDataDir = "annals-data"

// dial finds the server and makes a client. A folder that was named must have
// an annals up: what answers at the usual address may be another archive.
func (a asking) dial() (*client.Client, error) {
	server := a.Server
	if server == "" {
		server = "http://127.0.0.1:8080"
		up, err := embedded.ReadUpFile(cmp.Or(a.DataDir, defaultDataDir))
		switch away := errors.Is(err, embedded.ErrNotUp) || errors.Is(err, embedded.ErrStaleUpFile); {
		case err == nil:
			server = up.Web
		case away && a.DataDir != "":
			return nil, schema.WithHint(err, fmt.Sprintf("start it with annals up --data-dir %s, or say what to ask with --server", a.DataDir))
		case !away:
			return nil, err
		}
	}
	dialled, err := client.Dial(server)
	if err != nil {
		return nil, err
	}
	name := a.As
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	return dialled, dialled.As(name)
}

// print writes an answer as JSON, or as text by human.
func (a asking) print(w io.Writer, answer any, human func(w io.Writer)) error {
	if a.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	}
	human(terminal.Plain(w)) // what it shows of records is anybody's text
	return nil
}

// pointer is what a request says of a flag that was not given: nothing.
func pointer[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// between are the flags of a time range.
type between struct {
	From string `placeholder:"TIME" help:"Record timestamps from here on (RFC 3339, or a day such as 2020-03-09)."`
	To   string `placeholder:"TIME" help:"Record timestamps before this."`
}

// times parses the range; an absent end is nil.
func (b between) times() (from, to *time.Time, err error) {
	if from, err = parseTime("--from", b.From); err != nil {
		return nil, nil, err
	}
	if to, err = parseTime("--to", b.To); err != nil {
		return nil, nil, err
	}
	if from != nil && to != nil && !from.Before(*to) {
		return nil, nil, schema.InvalidField("--to", "--to %s is not after --from %s", b.To, b.From)
	}
	return from, to, nil
}

// selected holds what an export or a replay selects against what can mean
// something, in the words of the command line.
func (b between) selected(trace string, topics []string) error {
	switch timed := b.From != "" || b.To != ""; {
	case trace == "" && len(topics) == 0:
		return schema.WithHint(schema.InvalidField("--trace", "nothing is selected"), "name a trace with --trace, or topics with --topic and, if not all of them is meant, --from and --to")
	case trace != "" && len(topics) > 0:
		return schema.InvalidField("--trace", "--trace and --topic exclude each other")
	case trace != "" && timed:
		return schema.InvalidField("--trace", "a trace is taken whole: --from and --to go with --topic")
	}
	return nil
}

// parseTime reads a flag's time: RFC 3339, or a day in UTC.
func parseTime(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			t = t.UTC()
			return &t, nil
		}
	}
	return nil, schema.InvalidField(flag, "%s %q is no time: write 2020-03-09 or 2020-03-09T14:15:00Z", flag, text)
}
