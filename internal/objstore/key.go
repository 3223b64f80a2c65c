package objstore

import (
	"strings"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/schema"
)

// maxKeyBytes is S3's limit for a key, the prefix included.
const maxKeyBytes = 1024

// cleanPrefix brings an archive prefix to the form "" or "a/b/".
func cleanPrefix(prefix string) (string, error) {
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return "", nil
	}
	if err := checkKey(prefix); err != nil {
		return "", schema.InvalidField("prefix", "open object store: %w", err)
	}
	return prefix + "/", nil
}

// full puts the archive's prefix before a key that is fit for a store.
func (s *Store) full(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if len(s.prefix)+len(key) > maxKeyBytes {
		return "", schema.Errorf(schema.Invalid, "key %.64q…: %d bytes with the prefix, at most %d", key, len(s.prefix)+len(key), maxKeyBytes)
	}
	return s.prefix + key, nil
}

// checkKey refuses keys that stores treat differently, or that leave their
// folder in a store that keeps objects as files.
func checkKey(key string) error {
	if key == "" || !utf8.ValidString(key) || strings.ContainsAny(key, "\x00\r\n\\") {
		return schema.Errorf(schema.Invalid, "key %q: empty, not UTF-8, or with characters that stores refuse", key)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return schema.Errorf(schema.Invalid, "key %q: an empty, . or .. folder", key)
		}
	}
	return nil
}

// checkFolder is checkKey for what a listing is narrowed to: "", a folder with
// a final "/", or the beginning of a name.
func checkFolder(prefix string) error {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return nil
	}
	return checkKey(prefix)
}
