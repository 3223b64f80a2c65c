package config

import (
	"reflect"
	"slices"
	"strings"
)

// envPrefix begins every environment variable of ours.
const envPrefix = "ANNALS_"

// configEnv names the configuration file where the caller does not.
const configEnv = envPrefix + "CONFIG"

// foreignEnv lists variables with our prefix that are no options: they concern
// the program that is started, or the tests.
var foreignEnv = map[string]string{
	configEnv:              "path of the configuration file, when --config is not given",
	"ANNALS_CHDB":          "path of libchdb.so, the embedded ClickHouse, where it cannot be fetched",
	"ANNALS_CHDB_PASSWORD": "handed by annals up to its ClickHouse process; never set it yourself",
}

// testEnvPrefix begins variables that steer the tests; a process that a test
// starts inherits them.
const testEnvPrefix = "ANNALS_TEST_"

// maxListItems bounds a list in the file or the environment.
const maxListItems = 1000

// applyEnv sets the options that environ ("NAME=value" entries) names. An empty
// value counts as not set, because container files cannot express the
// difference. It notes in origins where each option came from.
func applyEnv(cfg *Config, root *node, environ []string, origins map[string]string, found *problems) {
	byName := map[string]*node{}
	for _, option := range root.options() {
		if option.row == nil { // a list of sections stands in the file
			byName[option.env()] = option
		}
	}
	known := make([]string, 0, len(byName)+len(foreignEnv))
	for name := range byName {
		known = append(known, name)
	}
	for name := range foreignEnv {
		known = append(known, name)
	}
	slices.Sort(known)

	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, testEnvPrefix) || foreignEnv[name] != "" {
			continue
		}
		option := byName[name]
		switch {
		case option == nil:
			found.add("", "", "unknown environment variable %s%s", quote(name), suggestion(name, known))
		case value == "":
		default:
			origins[option.path] = name
			setFromEnv(cfg, option, name, value, found)
		}
	}
}

// setFromEnv sets one option; lists are separated by commas.
func setFromEnv(cfg *Config, option *node, name, value string, found *problems) {
	if !option.list() {
		if err := option.setText(reflect.ValueOf(cfg).Elem(), value); err != nil {
			found.add(name, option.path, "%v", err)
		}
		return
	}
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	if len(items) > maxListItems {
		found.add(name, option.path, "has %d entries; at most %d are allowed", len(items), maxListItems)
		return
	}
	option.setList(reflect.ValueOf(cfg).Elem(), items)
}

// lookup finds a variable; the last entry of a name wins, as in a process.
func lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
