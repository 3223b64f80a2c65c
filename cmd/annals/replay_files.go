package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayFilesCommand is annals replay files.
type replayFilesCommand struct {
	asking
	ID  string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
	Out string `type:"path" placeholder:"DIR" help:"Fetch them into this folder; those that are there whole already are not fetched again."`
}

// Run implements kong's command.
func (c *replayFilesCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	list, err := server.ReplayFiles(ctx, id)
	if err != nil {
		return err
	}
	if c.Out != "" {
		for n := range list.Files {
			if err := c.fetch(ctx, server, list, n); err != nil {
				return err
			}
		}
	}
	return c.print(in.out, list, func(w io.Writer) {
		table(w, "FILE|RECORDS|BYTES|SHA-256", func(row func(...any)) {
			for _, f := range list.Files {
				row(f.Key, f.Records, size(f.Bytes), cutHash(f.Sha256))
			}
		})
		if c.Out != "" {
			fmt.Fprintf(w, "%d files in %s, each held against its hash\n", len(list.Files), c.Out)
		}
	})
}

// fetch gets one file, below the folder as it stands below the job's. It has its name
// when it is whole.
func (c *replayFilesCommand) fetch(ctx context.Context, server *client.Client, list *api.ReplayFiles, n int) error {
	file := &list.Files[n]
	below, ok := strings.CutPrefix(file.Key, schema.ReplayPrefix+list.Id+"/files/")
	if !ok || !filepath.IsLocal(below) {
		return schema.Errorf(schema.Corrupt, "the server names the file %q, which is none of the job", file.Key)
	}
	at := filepath.Join(c.Out, below)
	if there, err := hashOf(at); err == nil && there == file.Sha256 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return schema.Errorf(schema.Invalid, "make folder: %w", err)
	}
	part, err := os.OpenFile(at+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return schema.Errorf(schema.Invalid, "write file: %w", err)
	}
	err = errors.Join(server.ReplayFile(ctx, list.Id, int32(n), part), part.Close())
	if err != nil {
		return errors.Join(err, os.Remove(at+".part"))
	}
	if got, err := hashOf(at + ".part"); err != nil || got != file.Sha256 {
		return errors.Join(schema.Errorf(schema.Corrupt, "%s came with the hash %s, the receipt names %s", file.Key, got, file.Sha256), err, os.Remove(at+".part"))
	}
	return os.Rename(at+".part", at)
}

// hashOf is a file's SHA-256, in hex.
func hashOf(path string) (text string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
