package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Reference writes the Markdown reference of all options, read from the struct
// tags and from [Default].
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Environment variables that are no options\n\n")
	for _, name := range slices.Sorted(maps.Keys(foreignEnv)) {
		fmt.Fprintf(&b, "- `%s`: %s.\n", name, foreignEnv[name])
	}
	defaults := Default()
	for _, section := range tree().children {
		writeSection(&b, &defaults, section, 2)
	}
	return b.String()
}

const referenceHead = `<!-- Generated from internal/config by "make gen". Do not edit. -->

# Configuration

Annals reads one YAML file (` + "`annals --config FILE …`" + `), then the environment, then command line flags; later ones win. Every option has a default, so the file holds only what you change.

- An unknown key or variable, a duplicate key and a value out of range are errors that say where they stand; nothing is ignored.
- Sizes are written ` + "`64MiB`" + ` (B, KiB, MiB, GiB, TiB; or kB, MB, GB, TB for powers of 1,000), lengths of time ` + "`500ms`, `15m`, `1h30m`, `400d`" + `.
- In the environment lists are separated by commas, and an empty value counts as not set.
- Secrets never stand in the file: set the variable, or name a file that holds the secret. They are shown as ` + "`[redacted]`" + ` wherever settings are printed.
`

// writeSection writes a section's heading, its options, then its sections.
func writeSection(b *strings.Builder, defaults *Config, section *node, level int) {
	fmt.Fprintf(b, "\n%s `%s`\n\n%s\n", strings.Repeat("#", level), section.path, section.tag.Get("doc"))
	for _, child := range section.children {
		if child.children == nil {
			writeOption(b, defaults, child)
		}
	}
	for _, child := range section.children {
		if child.children != nil {
			writeSection(b, defaults, child, level+1)
		}
	}
}

// writeOption writes one option as a list entry: name, facts, meaning, advice.
func writeOption(b *strings.Builder, defaults *Config, option *node) {
	fmt.Fprintf(b, "\n- **`%s`** (%s", option.path, kindOf(option))
	if d := defaultOf(defaults, option); d != "" {
		fmt.Fprintf(b, "; default `%s`", d)
	}
	if low, high := option.tag.Get("min"), option.tag.Get("max"); low != "" {
		fmt.Fprintf(b, "; `%s` to `%s`", low, high)
	}
	if option.row != nil {
		b.WriteString(")<br>\n  In the configuration file only")
	} else {
		fmt.Fprintf(b, ")<br>\n  `%s`", option.env())
	}
	if option.secret() {
		fmt.Fprintf(b, " or the file named in `%s`; not in the configuration file", option.file())
	}
	fmt.Fprintf(b, "<br>\n  %s\n", option.tag.Get("doc"))
	if change := option.tag.Get("change"); change != "" {
		fmt.Fprintf(b, "  *When to change it:* %s\n", change)
	}
	if option.row != nil {
		for _, below := range option.row.options() {
			if !below.secret() { // which stands in the file that another option names
				fmt.Fprintf(b, "  - `%s` (%s): %s\n", below.path, kindOf(below), below.tag.Get("doc"))
			}
		}
	}
}

// kindOf says what is to be written as the value.
func kindOf(option *node) string {
	if words := option.tag.Get("enum"); words != "" {
		return "one of `" + strings.ReplaceAll(strings.TrimPrefix(words, ","), ",", "`, `") + "`"
	}
	unit := option.tag.Get("unit")
	switch {
	case option.secret():
		return "secret"
	case option.typ == reflect.TypeFor[Bytes]():
		return "size"
	case option.typ == reflect.TypeFor[Duration]():
		return "length of time"
	case option.row != nil:
		return "list of sections"
	case option.list():
		return "list of " + cmp.Or(unit, "text")
	case option.typ.Kind() == reflect.Bool, option.typ == reflect.TypeFor[*bool]():
		return "`true` or `false`"
	default:
		return cmp.Or(unit, "text")
	}
}

// defaultOf writes the default as it would stand in the file; "" for none.
func defaultOf(defaults *Config, option *node) string {
	value := option.value(defaults)
	if option.row != nil {
		return ""
	}
	if option.list() {
		items := value.Interface().([]string)
		if len(items) == 0 {
			return ""
		}
		quoted := make([]string, 0, len(items))
		for _, item := range items {
			quoted = append(quoted, fmt.Sprintf("%q", item))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(value.Interface())
}
