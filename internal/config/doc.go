// Package config reads the settings of Annals: a strict YAML file, overridden
// by ANNALS_… environment variables, overridden by the caller (command line
// flags).
//
// # What it promises
//
//   - Nothing is ignored. An unknown key or an unknown ANNALS_ variable is an
//     error that names the line and the nearest known name; so are a duplicate
//     key, a value of the wrong type, a value out of its range, a second YAML
//     document, and YAML aliases.
//   - All problems of a file are reported at once, each with its position.
//   - Secrets never stand in the file. They come from the environment or from a
//     file the configuration names, and [Secret] redacts itself in fmt, slog,
//     JSON and YAML, even when it hides in an unexported field.
//   - What is odd but workable is a [Warning]; what cannot work is an error.
//   - docs/guides/configuration.md is written from the struct tags in config.go,
//     and a test fails when it is stale.
//
// # What it does not
//
// It opens no connection and does not watch the file: settings are read once,
// at start. Only cmd imports Config; the other packages have Options structs of
// their own, so that none of them depends on how a setting is spelled.
//
// # Concurrency
//
// Functions may be called from several goroutines; they share nothing that
// changes. A Config is a plain value: do not modify it while others read it.
//
// # Files
//
//	config.go                  the settings, their defaults and their documentation
//	types.go, secret.go        Bytes, Duration, Secret
//	options.go                 the list of all options, read from the struct by reflection
//	load.go, yaml.go,
//	env.go, files.go           where values come from
//	problem.go, suggestion.go  how a mistake is told
//	validate.go                what must hold between options
//	clusters.go                clusters that replays may produce into
//	engines.go                 which engines are named, and which must be
//	tls.go, topics.go,
//	extract.go                 what PEM files, topic patterns and rules of extraction mean
//	reference.go               the Markdown reference
package config
