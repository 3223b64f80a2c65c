package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// node is one key of the file: a section with children, or an option.
type node struct {
	key      string
	path     string // "archive.cut.bytes"
	index    []int  // for reflect.Value.FieldByIndex on a Config
	tag      reflect.StructTag
	typ      reflect.Type
	children []*node // of a section, in the struct's order; nil for an option
	row      *node   // of a list of sections: one of them; its paths and indexes begin anew
}

var secretType = reflect.TypeFor[Secret]()

// tree reads the struct: the root's children are the sections.
func tree() *node {
	root := &node{typ: reflect.TypeFor[Config]()}
	root.children = childrenOf(root)
	return root
}

// childrenOf lists the keys of a section; inlined structs add theirs.
func childrenOf(section *node) []*node {
	var out []*node
	for i := range section.typ.NumField() {
		field := section.typ.Field(i)
		if !field.IsExported() {
			continue
		}
		child := &node{
			key:   field.Tag.Get("yaml"),
			index: append(append([]int(nil), section.index...), i),
			tag:   field.Tag,
			typ:   field.Type,
		}
		if child.key == ",inline" {
			child.path = section.path
			out = append(out, childrenOf(child)...)
			continue
		}
		child.path = strings.TrimPrefix(section.path+"."+child.key, ".")
		if child.typ.Kind() == reflect.Struct && child.typ != secretType {
			child.children = childrenOf(child)
		}
		if child.typ.Kind() == reflect.Slice && child.typ.Elem().Kind() == reflect.Struct {
			child.row = &node{typ: child.typ.Elem()}
			child.row.children = childrenOf(child.row)
		}
		out = append(out, child)
	}
	return out
}

// options lists the leaves in the struct's order.
func (n *node) options() []*node {
	if n.children == nil {
		return []*node{n}
	}
	var out []*node
	for _, child := range n.children {
		out = append(out, child.options()...)
	}
	return out
}

// child finds a key of a section.
func (n *node) child(key string) *node {
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

// keys lists what may stand in the file under a section.
func (n *node) keys() []string {
	var out []string
	for _, c := range n.children {
		if !c.secret() {
			out = append(out, c.key)
		}
	}
	return out
}

// secret reports whether the option must not stand in the file.
func (n *node) secret() bool { return n.typ == secretType }

// file is the path of the option that names a file with this secret.
func (n *node) file() string {
	return strings.TrimSuffix(n.path, n.key) + n.tag.Get("file")
}

// env is the environment variable that sets the option.
func (n *node) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(n.path, ".", "_"))
}

// value is the option's field in cfg.
func (n *node) value(cfg *Config) reflect.Value {
	return n.in(reflect.ValueOf(cfg).Elem())
}

// in is the option's field in its struct: the Config, or one of a list of
// sections.
func (n *node) in(section reflect.Value) reflect.Value { return section.FieldByIndex(n.index) }

// list reports whether the option holds several texts.
func (n *node) list() bool { return n.typ.Kind() == reflect.Slice && n.row == nil }

// parse reads one text as a value of type typ.
func parse(typ reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(typ)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		return v.Elem(), u.UnmarshalText([]byte(text))
	}
	switch typ.Kind() {
	case reflect.Pointer: // what may be left unsaid
		said, err := parse(typ.Elem(), text)
		pointer := reflect.New(typ.Elem())
		pointer.Elem().Set(said)
		return pointer, err
	case reflect.String:
		v.Elem().SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return v.Elem(), fmt.Errorf("%s is not true or false", quote(text))
		}
		v.Elem().SetBool(text == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return v.Elem(), fmt.Errorf("%s is not a whole number", quote(text))
		}
		v.Elem().SetInt(i)
	default:
		return v.Elem(), fmt.Errorf("options of type %s cannot be read from text", typ)
	}
	return v.Elem(), nil
}

// setText sets a single-valued option of a section.
func (n *node) setText(section reflect.Value, text string) error {
	if n.secret() {
		n.in(section).Set(reflect.ValueOf(NewSecret(text)))
		return nil
	}
	v, err := parse(n.typ, text)
	if err != nil {
		return err
	}
	n.in(section).Set(v)
	return nil
}

// setList sets an option that holds several texts.
func (n *node) setList(section reflect.Value, texts []string) {
	n.in(section).Set(reflect.ValueOf(texts))
}
