package telemetry

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker (-X); see the Makefile. A build without it, such as
// go install, falls back to what the Go toolchain stamped.
var (
	version string
	commit  string
	date    string
)

// Build says which build a program is.
type Build struct {
	Version string `json:"version"` // such as "v0.3.0" or "dev"
	Commit  string `json:"commit"`  // of the source; "unknown" where not stamped
	Date    string `json:"date"`    // of the commit, RFC 3339; "unknown" where not stamped
	Go      string `json:"go"`      // of the toolchain
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Version returns the running program's build.
func Version() Build {
	b := Build{Version: version, Commit: commit, Date: date, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.complete(info)
	}
	for _, field := range []*string{&b.Commit, &b.Date} {
		if *field == "" {
			*field = "unknown"
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
}

// complete fills what the linker did not set from the toolchain's stamp.
func (b *Build) complete(info *debug.BuildInfo) {
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision" && b.Commit == "":
			b.Commit = setting.Value
		case setting.Key == "vcs.time" && b.Date == "":
			b.Date = setting.Value
		}
	}
}

// String writes the build for people.
func (b Build) String() string {
	return fmt.Sprintf("annals %s (commit %s, %s, %s, %s/%s)", b.Version, b.Commit, b.Date, b.Go, b.OS, b.Arch)
}
