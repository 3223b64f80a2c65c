package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/schema"
)

// verifyCommand is annals verify.
type verifyCommand struct {
	Bag  string `arg:"" optional:"" help:"Folder of the bag, or the tar file that the explorer gave." type:"path"`
	JSON bool   `help:"Print JSON."`
	archiveFlags
	Index bool     `help:"Hold the index against the archive instead: whether each table has every sealed record, once, and nothing else."`
	Topic []string `placeholder:"NAME" help:"With --index: only this topic; in a pattern, * stands for any characters and ? for one. Repeatable."`
}

// Run implements kong's command. Exit codes: 0 ok, 1 tampered, damaged or different,
// 2 incomplete, 3 unverifiable or indeterminate, 4 usage.
func (c *verifyCommand) Run(ctx context.Context, in *invocation) error {
	switch flag := c.used(); {
	case c.Index && (c.Archive || c.Bag != ""):
		return schema.InvalidField("--index", "one thing at a time: a bag, --archive or --index?")
	case c.Index && c.Sample != 0:
		return schema.InvalidField("--sample", "--sample goes with --archive: an index is compared whole")
	case c.Index:
		return c.verifyIndex(ctx, in)
	case len(c.Topic) > 0:
		return schema.InvalidField("--topic", "--topic goes with --index")
	case c.Archive && c.Bag != "":
		return schema.InvalidField("--archive", "either a bag or --archive: which of them is to be verified?")
	case c.Archive:
		return c.verifyArchive(ctx, in)
	case c.Bag == "":
		return schema.InvalidField("bag", "name a bag, or --archive, or --index")
	case flag != "":
		return schema.InvalidField(flag, "%s goes with --archive or --index: a bag is verified by itself", flag)
	}
	return c.verifyBag(ctx, in)
}

func (c *verifyCommand) verifyBag(ctx context.Context, in *invocation) (err error) {
	var progress func(custody.Progress)
	if isTerminal(in.err) {
		progress = func(p custody.Progress) {
			fmt.Fprintf(in.err, "\r\x1b[K%s of %s hashed, %d records compared", size(p.Bytes), size(p.Total), p.Records)
		}
	}
	if _, err := os.Stat(c.Bag); errors.Is(err, os.ErrNotExist) {
		return schema.InvalidField("bag", "there is no bag at %s", c.Bag) // not exit code 1, which says tampered
	}
	dir, remove, err := unpacked(ctx, c.Bag)
	if err != nil {
		return err
	}
	defer both(&err, remove)
	report, err := custody.Verify(ctx, dir, progress)
	if progress != nil {
		fmt.Fprint(in.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if err := write(in.out); err != nil {
		return err
	}
	if code := report.Result.ExitCode(); code != 0 {
		return exitError(code)
	}
	return nil
}

// unpacked gives the bag's folder: a tar file is unpacked beside the system's
// other temporary files, and removed at the end.
func unpacked(ctx context.Context, bag string) (dir string, remove func() error, err error) {
	info, err := os.Stat(bag)
	if err != nil || info.IsDir() {
		return bag, func() error { return nil }, nil // Verify says what is wrong with it
	}
	f, err := os.Open(bag)
	if err != nil {
		return "", nil, fmt.Errorf("open bag: %w", err)
	}
	defer f.Close()
	temporary, err := os.MkdirTemp("", "annals-verify-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder to unpack into: %w", err)
	}
	dir = filepath.Join(temporary, "bag")
	if err := custody.Unpack(ctx, f, dir); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(temporary))
	}
	return dir, func() error { return os.RemoveAll(temporary) }, nil
}
