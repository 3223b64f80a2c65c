package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/fx-risk-ai/annals/internal/nearest"
)

// maxFileBytes bounds the configuration file, and maxFileDepth how deeply its
// brackets may nest: the parser recurses, and the settings need four levels.
const (
	maxFileBytes = 1 << 20
	maxFileDepth = 100
)

// binder writes the values of one YAML file into a Config.
type binder struct {
	cfg     *Config
	file    string // as it is named in messages
	origins map[string]string
	found   *problems
}

// applyYAML sets what the file says.
func (b *binder) applyYAML(root *node, content []byte) {
	if msg := unreadable(content); msg != "" {
		b.found.add(b.file, "", "%s", msg)
		return
	}
	parsed, err := parser.ParseBytes(content, 0)
	if err != nil {
		b.syntax(err)
		return
	}
	documents := 0
	for _, doc := range parsed.Docs {
		if doc.Body == nil {
			continue
		}
		documents++
		if documents > 1 {
			b.found.add(b.at(doc.Body.GetToken()), "", "a second YAML document begins here; write all settings in one")
			return
		}
		b.section(root, reflect.ValueOf(b.cfg).Elem(), root.path, doc.Body)
	}
}

// unreadable says why content is not handed to the parser, or "".
func unreadable(content []byte) string {
	if len(content) > maxFileBytes {
		return fmt.Sprintf("is larger than %s; is it a configuration?", Bytes(maxFileBytes))
	}
	if !utf8.Valid(content) {
		return "is not UTF-8 text; is it a configuration?"
	}
	if strings.ContainsRune(string(content), 0) {
		return "contains zero bytes; is it a configuration?"
	}
	depth := 0
	for _, c := range content {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if depth > maxFileDepth {
			return fmt.Sprintf("nests brackets more than %d deep; is it a configuration?", maxFileDepth)
		}
	}
	return ""
}

// syntax reports a parse error without the excerpt the parser would show: it
// may hold a secret that somebody wrote where it does not belong.
func (b *binder) syntax(err error) {
	var positioned yaml.Error
	if errors.As(err, &positioned) {
		b.found.add(b.at(positioned.GetToken()), "", "not valid YAML: %s", positioned.GetMessage())
		return
	}
	b.found.add(b.file, "", "not valid YAML: %v", err)
}

// at is the position of a token, for people: file:line:column.
func (b *binder) at(t *token.Token) string {
	if t == nil || t.Position == nil {
		return b.file
	}
	return fmt.Sprintf("%s:%d:%d", b.file, t.Position.Line, t.Position.Column)
}

// section binds a mapping to a section: into is its struct (the whole Config
// but for one of a list of sections), path its name in messages.
func (b *binder) section(section *node, into reflect.Value, path string, body ast.Node) {
	if _, empty := body.(*ast.NullNode); empty {
		return // a section whose options are all commented out
	}
	mapping, ok := body.(*ast.MappingNode)
	if !ok {
		b.found.add(b.at(body.GetToken()), path, "is a section: options stand below it, indented, as key: value")
		return
	}
	for _, entry := range mapping.Values {
		b.entry(section, into, path, entry)
	}
}

// entry binds one key of a section.
func (b *binder) entry(section *node, into reflect.Value, path string, entry *ast.MappingValueNode) {
	keyToken := entry.Key.GetToken()
	where := b.at(keyToken)
	if entry.Key.IsMergeKey() {
		b.found.add(where, path, "merge keys (<<) are not supported: write the values out")
		return
	}
	key := keyToken.Value
	child := section.child(key)
	at := strings.TrimPrefix(path+"."+key, ".")
	switch {
	case child == nil:
		b.found.add(where, "", "unknown key %s%s%s", quote(key), in(path), b.hint(section, key))
	case child.secret():
		way := "set the environment variable " + child.env() + ", or name a file in " + child.file()
		if into.Type() != reflect.TypeFor[Config]() {
			way = "name a file in " + path + "." + child.tag.Get("file")
		}
		b.found.add(where, "", "unknown key %s%s: secrets do not stand in the configuration; %s", quote(key), in(path), way)
	case child.row != nil:
		b.rows(child, into, at, entry.Value)
	case child.children != nil:
		b.section(child, into, at, entry.Value)
	default:
		b.option(child, into, at, entry.Value)
	}
}

// presetter is one of a list of sections whose options have defaults.
type presetter interface{ preset() }

// rows binds a list of sections.
func (b *binder) rows(list *node, into reflect.Value, path string, value ast.Node) {
	sequence, ok := value.(*ast.SequenceNode)
	if !ok {
		b.found.add(b.at(value.GetToken()), path, "is a list of sections: write each after a dash, its options below each other")
		return
	}
	if len(sequence.Values) > maxListItems {
		b.found.add(b.at(value.GetToken()), path, "has %d entries; at most %d are allowed", len(sequence.Values), maxListItems)
		return
	}
	rows := reflect.MakeSlice(list.typ, len(sequence.Values), len(sequence.Values))
	for i, item := range sequence.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		b.origins[at] = b.at(item.GetToken())
		if row, ok := rows.Index(i).Addr().Interface().(presetter); ok {
			row.preset()
		}
		b.section(list.row, rows.Index(i), at, item)
	}
	list.in(into).Set(rows)
}

// in says which section a key was found in.
func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// hint suggests the nearest key of the section, or the section in which a key
// of just this name stands.
func (b *binder) hint(section *node, key string) string {
	if near := nearest.Name(key, section.keys()); near != "" {
		return "; did you mean " + near + "?"
	}
	for _, option := range tree().options() {
		if option.key == key && !option.secret() {
			return "; there is " + option.path
		}
	}
	return suggestion(key, section.keys())
}

// option binds a value to an option.
func (b *binder) option(option *node, into reflect.Value, path string, value ast.Node) {
	where := b.at(value.GetToken())
	b.origins[path] = where
	if !option.list() {
		text, msg := scalar(value)
		if msg != "" {
			b.found.add(where, path, "%s", msg)
			return
		}
		if err := option.setText(into, text); err != nil {
			b.found.add(where, path, "%v", err)
		}
		return
	}
	sequence, ok := value.(*ast.SequenceNode)
	if !ok {
		b.found.add(where, path, "is a list: write [first, second], or one entry a line after a dash")
		return
	}
	if len(sequence.Values) > maxListItems {
		b.found.add(where, path, "has %d entries; at most %d are allowed", len(sequence.Values), maxListItems)
		return
	}
	items := make([]string, 0, len(sequence.Values))
	for _, item := range sequence.Values {
		text, msg := scalar(item)
		if msg != "" {
			b.found.add(b.at(item.GetToken()), path, "entry: %s", msg)
			continue
		}
		items = append(items, text)
	}
	option.setList(into, items)
}

// scalar returns the text of a plain value exactly as it was written, so that
// 0x10, 1e3 or 12:30 are judged by the option's type and never by YAML's rules;
// or a message that says why it is no plain value.
func scalar(value ast.Node) (text, msg string) {
	switch v := value.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return strings.TrimSpace(v.GetToken().Value), ""
	case *ast.LiteralNode:
		return strings.TrimSpace(v.Value.Value), ""
	case *ast.NullNode:
		return "", "has no value; remove the line to keep the default"
	case *ast.AnchorNode, *ast.AliasNode:
		return "", "anchors (&) and aliases (*) are not supported: write the value out"
	case *ast.TagNode:
		return "", "tags (!) are not supported: write the value alone"
	default:
		return "", "takes a single value, not a list or section"
	}
}
