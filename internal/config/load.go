package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Load reads the settings: defaults, then the YAML file at path (when that is
// empty, the one ANNALS_CONFIG names in environ, if any), then environ (entries "NAME=value", as [os.Environ] returns them),
// then overrides in their order, which is the place of command line flags; then
// the files that hold secrets; and checks the whole.
//
// All mistakes come back joined in one error of kind [schema.Invalid], each a
// [*Problem] that says where it stands. A file that cannot be read is an error too. Warnings are told even
// beside an error.
func Load(path string, environ []string, overrides ...func(*Config)) (Config, []Warning, error) {
	cfg := Default()
	root := tree()
	found := &problems{}
	origins := map[string]string{}
	if path == "" {
		path = lookup(environ, configEnv)
	}
	if path != "" {
		content, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return cfg, nil, schema.Errorf(schema.Invalid, "read configuration: there is no file %s: %w", path, fs.ErrNotExist)
		}
		if err != nil {
			return cfg, nil, schema.Errorf(schema.Invalid, "read configuration: %w", err)
		}
		b := &binder{cfg: &cfg, file: filepath.Base(path), origins: origins, found: found}
		b.applyYAML(root, content)
	}
	applyEnv(&cfg, root, environ, origins, found)
	cfg.given = make(map[string]bool, len(origins))
	for path := range origins {
		cfg.given[path] = true
	}
	for _, override := range overrides {
		before := cfg
		override(&cfg)
		noteChanged(root, &before, &cfg, origins)
	}
	warnings := readSecrets(&cfg, root, origins, found)
	more := validate(&cfg, root, origins, found)
	return cfg, append(warnings, more...), found.err()
}

// Validate checks settings that were not read by [Load]: every option by
// itself, and what must hold between options. It opens no file.
func (c *Config) Validate() ([]Warning, error) {
	found := &problems{}
	copied := *c
	warnings := validate(&copied, tree(), map[string]string{}, found)
	return warnings, found.err()
}

// readFile reads the configuration up to one byte above its limit, so that the
// limit can be told.
func readFile(path string) (content []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// noteChanged notes that an override has given the options that it changed, and
// drops their origin: a mistake in them is not the file's.
func noteChanged(root *node, before, after *Config, origins map[string]string) {
	for _, option := range root.options() {
		if fmt.Sprint(option.value(before)) != fmt.Sprint(option.value(after)) {
			after.given[option.path] = true
			delete(origins, option.path)
		}
	}
}

// optionAt finds an option by its path; the path must be one of ours.
func optionAt(root *node, path string) *node {
	at := root
	for key := range strings.SplitSeq(path, ".") {
		at = at.child(key)
		if at == nil {
			panic("config: no option " + path) // a wrong struct tag; every test would meet it
		}
	}
	return at
}
