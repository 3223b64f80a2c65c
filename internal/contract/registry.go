package contract

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// MaxContracts bounds a registry.
const MaxContracts = 2000

// Registry is a set of contracts, one a version of a type. The nil Registry has
// none.
type Registry struct {
	list    []*Contract // by type and version
	byType  map[string][]*Contract
	byTopic map[string]bool // topics that contracts name

	sensitive bool // some contract has sensitive fields
}

// Load reads every .yaml and .yml file of a folder and of those below it. The
// error is Invalid, and names every file that is wrong.
func Load(dir string) (*Registry, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	return load(root.FS(), dir)
}

// Read gives the contracts of a folder, as Load does, or the one of a file. The
// error is Invalid.
func Read(name string) ([]*Contract, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	}
	if info.IsDir() {
		r, err := Load(name)
		if err == nil && len(r.list) == 0 {
			err = schema.Errorf(schema.Invalid, "there is no contract in %s: want .yaml files", name)
		}
		return r.All(), err
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	text, err := readFile(root.FS(), filepath.Base(name))
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts: %w", err)
	}
	c, err := Parse(filepath.Base(name), text, func(beside string) ([]byte, error) { return readFile(root.FS(), beside) })
	return []*Contract{c}, err
}

func load(tree fs.FS, dir string) (*Registry, error) {
	var list []*Contract
	var wrong []error
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden := name != "." && strings.HasPrefix(entry.Name(), "."); hidden && entry.IsDir() {
			return fs.SkipDir // .git
		} else if hidden || entry.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml" {
			return nil
		}
		if len(list) >= MaxContracts {
			return schema.Errorf(schema.Invalid, "more than %d contracts", MaxContracts)
		}
		text, err := readFile(tree, name)
		if err != nil {
			return err
		}
		c, err := Parse(name, text, func(beside string) ([]byte, error) { return readFile(tree, path.Join(path.Dir(name), beside)) })
		if err != nil {
			wrong = append(wrong, err)
			return nil
		}
		list = append(list, c)
		return nil
	})
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts in %s: %w", dir, err)
	}
	registry, err := New(list)
	if wrong = append(wrong, err); errors.Join(wrong...) != nil {
		return nil, schema.Errorf(schema.Invalid, "read contracts in %s: %w", dir, errors.Join(wrong...))
	}
	return registry, nil
}

// readFile reads one byte above the bound, so that it can be told.
func readFile(tree fs.FS, name string) (text []byte, err error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
}

// New makes a registry. The error is Invalid where two are of one version.
func New(list []*Contract) (*Registry, error) {
	r := &Registry{list: slices.Clone(list), byType: map[string][]*Contract{}, byTopic: map[string]bool{}}
	slices.SortFunc(r.list, func(a, b *Contract) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), CompareVersions(a.Version, b.Version))
	})
	for i, c := range r.list {
		if i > 0 && r.list[i-1].Type == c.Type && r.list[i-1].Version == c.Version {
			return nil, schema.Errorf(schema.Invalid, "%s and %s are both version %q of %s", r.list[i-1].File, c.File, c.Version, c.Type)
		}
		r.byType[c.Type] = append(r.byType[c.Type], c)
		r.sensitive = r.sensitive || len(c.sensitive) > 0
		for _, topic := range c.Topics {
			r.byTopic[topic] = true
		}
	}
	return r, nil
}

// CompareVersions orders versions: 9 before 10, and 1.9 before 1.10.
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		var left, right string
		left, a, _ = strings.Cut(a, ".")
		right, b, _ = strings.Cut(b, ".")
		if len(left) != len(right) && isNumber(left) && isNumber(right) {
			return cmp.Compare(len(left), len(right))
		}
		if order := strings.Compare(left, right); order != 0 {
			return order
		}
	}
	return 0
}

func isNumber(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// All gives the contracts, by type and version.
func (r *Registry) All() []*Contract {
	if r == nil {
		return nil
	}
	return r.list
}

// Of gives the versions of a type, the oldest first.
func (r *Registry) Of(eventType string) []*Contract {
	if r == nil {
		return nil
	}
	return r.byType[eventType]
}

// Find gives a version of a type; nil if there is none.
func (r *Registry) Find(eventType, version string) *Contract {
	for _, c := range r.Of(eventType) {
		if c.Version == version {
			return c
		}
	}
	return nil
}

// Sensitive are the places in events of a type that are not to be shown nor
// indexed: those of its version, or of every one where that is not registered.
func (r *Registry) Sensitive(eventType, version string) policy.Paths {
	if c := r.Find(eventType, version); c != nil {
		return c.sensitive
	}
	var all policy.Paths
	for _, c := range r.Of(eventType) {
		all = append(all, c.sensitive...)
	}
	return all
}

// SensitiveIn are the places in events that may be in a topic: of every type, for
// one whose type cannot be known.
func (r *Registry) SensitiveIn(topic string) policy.Paths {
	var all policy.Paths
	for _, c := range r.All() {
		if len(c.Topics) == 0 || slices.Contains(c.Topics, topic) {
			all = append(all, c.sensitive...)
		}
	}
	return all
}

// HasSensitive tells whether any contract has sensitive fields.
func (r *Registry) HasSensitive() bool { return r != nil && r.sensitive }

// SensitiveTopic gives a contract with sensitive fields whose events may be in a
// topic; nil if there is none. One that names no topics is of any.
func (r *Registry) SensitiveTopic(topic string) *Contract {
	for _, c := range r.All() {
		if len(c.sensitive) > 0 && (len(c.Topics) == 0 || slices.Contains(c.Topics, topic)) {
			return c
		}
	}
	return nil
}
