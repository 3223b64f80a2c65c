package deploy_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one line of a Dockerfile, continuations joined.
type instruction struct {
	line  int
	name  string // upper case
	words []string
}

// parseDockerfile knows comments and continuations; here-documents, which we do
// not use, are refused.
func parseDockerfile(text string) ([]instruction, error) {
	var out []instruction
	var joined string
	start := 0
	for number, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if joined == "" {
			start = number + 1
		}
		if part, more := strings.CutSuffix(trimmed, `\`); more {
			joined += part + " "
			continue
		}
		words := strings.Fields(joined + trimmed)
		joined = ""
		if strings.Contains(strings.Join(words, " "), "<<") {
			return nil, fmt.Errorf("line %d: here-documents are not understood", start)
		}
		out = append(out, instruction{start, strings.ToUpper(words[0]), words[1:]})
	}
	if joined != "" {
		return nil, fmt.Errorf("line %d: the last line is continued", start)
	}
	return out, nil
}

var (
	// pinned is an image with a digest, or a tag that names a version.
	pinned = regexp.MustCompile(`(@sha256:[0-9a-f]{64}|:v?[0-9]+(\.[0-9]+)+[a-z0-9.-]*)$`)
	// distroless names the Debian release it follows; it has no version tags.
	distroless = regexp.MustCompile(`^gcr\.io/distroless/static-debian[0-9]+:nonroot$`)
	sensitive  = regexp.MustCompile(`(?i)password|secret|token|credential|_key\b`)
	numericID  = regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`)
)

// lintDockerfile returns what is wrong with a Dockerfile for our purpose.
func lintDockerfile(text string) []string {
	instructions, err := parseDockerfile(text)
	if err != nil {
		return []string{err.Error()}
	}
	var findings []string
	say := func(i instruction, format string, args ...any) {
		findings = append(findings, fmt.Sprintf("line %d: %s: ", i.line, i.name)+fmt.Sprintf(format, args...))
	}
	var stages []string
	var final []instruction
	for _, i := range instructions {
		switch i.name {
		case "FROM":
			image := i.words[0]
			if !pinned.MatchString(image) && !distroless.MatchString(image) && !slices.Contains(stages, image) {
				say(i, "%s is not pinned to a version or digest", image)
			}
			if len(i.words) == 3 {
				stages = append(stages, i.words[2])
			}
			final = nil
		case "ADD":
			say(i, "use COPY, which fetches and unpacks nothing")
		case "ENV", "ARG":
			if sensitive.MatchString(strings.Join(i.words, " ")) {
				say(i, "a secret in an image is readable by whoever has the image")
			}
		case "ENTRYPOINT", "CMD":
			if !strings.HasPrefix(i.words[0], "[") {
				say(i, "write it as a list: the image has no shell")
			}
		}
		final = append(final, i)
	}
	return append(findings, lintFinalStage(final)...)
}

// lintFinalStage judges what is shipped.
func lintFinalStage(stage []instruction) []string {
	var findings []string
	user := ""
	for _, i := range stage {
		switch i.name {
		case "FROM":
			if !distroless.MatchString(i.words[0]) {
				findings = append(findings, "the shipped image is not distroless: "+i.words[0])
			}
		case "RUN":
			findings = append(findings, "the shipped image runs commands while it is built")
		case "COPY":
			if !strings.HasPrefix(i.words[0], "--from=") {
				findings = append(findings, "the shipped image takes files from the source tree")
			}
			if strings.Contains(strings.Join(i.words, " "), "annals-chdb") {
				findings = append(findings, "annals-chdb needs glibc, which this image has not")
			}
		case "USER":
			user = i.words[0]
		}
	}
	if !numericID.MatchString(user) {
		findings = append(findings, "the shipped image does not set USER to numbers other than 0, which is what Kubernetes can check")
	}
	return findings
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range lintDockerfile(string(text)) {
		t.Error(finding)
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "telemetry.version"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %s", want)
		}
	}
}

func TestDockerfileRulesCanFail(t *testing.T) {
	const end = "\nFROM gcr.io/distroless/static-debian12:nonroot\nCOPY --from=a /x /x\nUSER 65532:65532\n"
	if findings := lintDockerfile("FROM golang:1.26.8 AS a\nRUN make" + end); len(findings) > 0 {
		t.Fatalf("a good one: %v", findings)
	}
	for text, want := range map[string]string{
		"FROM golang AS a" + end:                                         "not pinned",
		"FROM golang:latest AS a" + end:                                  "not pinned",
		"FROM golang:1.26.8 AS a\nENV S3_SECRET_KEY=x" + end:             "secret",
		"FROM golang:1.26.8 AS a\nADD http://x /x" + end:                 "use COPY",
		"FROM golang:1.26.8 AS a" + end + "ENTRYPOINT x":                 "as a list",
		"FROM golang:1.26.8 AS a" + end + "RUN id":                       "runs commands",
		"FROM golang:1.26.8 AS a" + end + "USER root":                    "USER",
		"FROM golang:1.26.8 AS a" + end + "USER 0:0":                     "USER",
		"FROM golang:1.26.8 AS a" + end + "COPY . /":                     "source tree",
		"FROM golang:1.26.8 AS a" + end + "COPY --from=a /annals-chdb /": "glibc",
		"FROM golang:1.26.8 AS a\nUSER 1:1":                              "not distroless",
		"FROM golang:1.26.8 AS a\nRUN x \\":                              "continued",
		"FROM golang:1.26.8 AS a\nRUN <<EOF\nEOF" + end:                  "here-documents",
	} {
		if findings := strings.Join(lintDockerfile(text), "\n"); !strings.Contains(findings, want) {
			t.Errorf("%q: want %q, got %q", text, want, findings)
		}
	}
}
