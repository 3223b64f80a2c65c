package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of a contract.
const (
	MaxFileBytes = 1 << 20 // of a contract and of a schema
	MaxFields    = 1000    // required or sensitive ones, topics, producers
	maxNameBytes = 512
)

// Contract is one version of one event type.
type Contract struct {
	Type        string
	Version     string
	Team        string
	Description string
	Topics      []string // where such events may be; empty: anywhere
	Producers   []string // who may produce them; empty: anybody
	SLA         SLA
	Required    []string // JSON Pointers
	Sensitive   []string // JSON Pointers, in which the step * stands for any
	// Schema is the JSON Schema's text, nil if there is none.
	Schema json.RawMessage
	// SchemaFile is its name, as the contract gives it.
	SchemaFile string
	// File is where it was read, for people.
	File string

	required  []policy.Path
	sensitive policy.Paths
	compiled  *jsonschema.Schema
	document  any // of Schema
	names     map[string]bool
}

// SLA is what is promised of the events' timeliness.
type SLA struct {
	// MaxDelay is the most between the event's time and the record's; 0: nothing
	// is promised.
	MaxDelay    time.Duration
	Description string
}

// file is a contract as it is written.
type file struct {
	Type        string   `yaml:"type"`
	Version     string   `yaml:"version"`
	Team        string   `yaml:"team"`
	Description string   `yaml:"description"`
	Topics      []string `yaml:"topics"`
	Producers   []string `yaml:"producers"`
	SLA         struct {
		MaxDelay    string `yaml:"max_delay"`
		Description string `yaml:"description"`
	} `yaml:"sla"`
	Required  []string `yaml:"required"`
	Sensitive []string `yaml:"sensitive"`
	Schema    string   `yaml:"schema"`
}

// Parse reads a contract. read gives the file that its schema names, which is a
// plain path beside or below it. The error is Invalid and names what is wrong.
func Parse(name string, text []byte, read func(schema string) ([]byte, error)) (*Contract, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, schema.Errorf(schema.Invalid, "read contract %s: it is empty: want a type and a version", name)
	}
	if len(text) > MaxFileBytes {
		return nil, schema.Errorf(schema.Invalid, "read contract %s: %d bytes, at most %d", name, len(text), MaxFileBytes)
	}
	var f file
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&f); err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contract %s: %s", name, oneLine(err))
	}
	c := &Contract{
		Type: f.Type, Version: f.Version, Team: f.Team, Description: f.Description, Topics: f.Topics, Producers: f.Producers,
		SLA: SLA{Description: f.SLA.Description}, Required: f.Required, Sensitive: f.Sensitive, File: name,
	}
	if err := c.fields(&f); err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contract %s: %w", name, err)
	}
	if f.Schema != "" {
		if err := c.schema(f.Schema, read); err != nil {
			return nil, schema.Errorf(schema.Invalid, "read contract %s: schema %s: %w", name, f.Schema, err)
		}
	}
	if err := c.requirable(); err != nil {
		return nil, schema.Errorf(schema.Invalid, "read contract %s: %w", name, err)
	}
	return c, nil
}

// oneLine is a YAML error without the excerpt of the file.
func oneLine(err error) string {
	var positioned yaml.Error
	if errors.As(err, &positioned) {
		return fmt.Sprintf("line %d: %s", positioned.GetToken().Position.Line, positioned.GetMessage())
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func (c *Contract) fields(f *file) (err error) {
	for what, value := range map[string]string{"type": c.Type, "version": c.Version, "team": c.Team} {
		if value == "" && what != "team" {
			return fmt.Errorf("it has no %s", what)
		}
		if len(value) > maxNameBytes || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
			return fmt.Errorf("%s: want up to %d bytes without control characters", what, maxNameBytes)
		}
	}
	if len(c.Topics)+len(c.Producers)+len(c.Required)+len(c.Sensitive) > MaxFields {
		return fmt.Errorf("it names more than %d topics, producers and fields", MaxFields)
	}
	if f.SLA.MaxDelay != "" {
		if c.SLA.MaxDelay, err = time.ParseDuration(f.SLA.MaxDelay); err != nil || c.SLA.MaxDelay <= 0 {
			return fmt.Errorf("sla.max_delay %q: want a length of time above 0, such as 5s", f.SLA.MaxDelay)
		}
	}
	for _, text := range c.Required {
		p, err := policy.ParsePath(text)
		if err != nil {
			return fmt.Errorf("required: %w", err)
		}
		c.required = append(c.required, p)
	}
	for _, text := range c.Sensitive {
		p, err := policy.ParsePath(text)
		if err != nil {
			return fmt.Errorf("sensitive: %w", err)
		}
		c.sensitive = append(c.sensitive, p)
	}
	return nil
}

// schema reads and compiles the JSON Schema.
func (c *Contract) schema(name string, read func(string) ([]byte, error)) error {
	if clean := path.Clean(name); clean != name || path.IsAbs(name) || strings.HasPrefix(name, "..") || strings.Contains(name, "\\") {
		return fmt.Errorf("want a plain path beside or below the contract")
	}
	text, err := read(name)
	if err != nil {
		return err
	}
	if len(text) > MaxFileBytes {
		return fmt.Errorf("%d bytes, at most %d", len(text), MaxFileBytes)
	}
	if c.document, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nothingElse{})
	const address = "annals:contract"
	if err := compiler.AddResource(address, c.document); err != nil {
		return err
	}
	if c.compiled, err = compiler.Compile(address); err != nil {
		return fmt.Errorf("not a JSON Schema that can be used: %w", err)
	}
	c.Schema, c.SchemaFile = text, name
	c.names = map[string]bool{}
	namesIn(c.document, c.names)
	return nil
}

// nothingElse refuses to load what a schema refers to outside itself.
type nothingElse struct{}

// Load implements jsonschema.URLLoader.
func (nothingElse) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s: only references inside the file are followed", url)
}

// namesIn collects the names of members that a schema names anywhere.
func namesIn(document any, into map[string]bool) {
	switch d := document.(type) {
	case []any:
		for _, element := range d {
			namesIn(element, into)
		}
	case map[string]any:
		for keyword, value := range d {
			if members, ok := value.(map[string]any); ok && keyword == "properties" {
				for name := range members {
					into[name] = true
				}
			}
			if required, ok := value.([]any); ok && keyword == "required" {
				for _, name := range required {
					if text, ok := name.(string); ok {
						into[text] = true
					}
				}
			}
			namesIn(value, into)
		}
	}
}

// requirable finds required fields that cannot be asked for.
func (c *Contract) requirable() error {
	for i, p := range c.required {
		for _, step := range p {
			if step == "*" {
				return fmt.Errorf("required %s: a * names no one field", c.Required[i])
			}
		}
	}
	return nil
}
