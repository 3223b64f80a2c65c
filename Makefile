# Annals. "make help" lists what can be made.
#
# Needs Go 1.26 or later and Node 20 or later; nothing is installed outside this
# folder and the users' usual caches, and nothing needs root. Mirrors are taken
# from the tools' own settings (GOPROXY, npm's registry).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO_LEAST   := 1.26
NODE_LEAST := 20

# No cgo anywhere: cmd/annals is static, and cmd/annals-chdb loads its library
# at run time.
export CGO_ENABLED := 0

PROGRAMS := $(notdir $(patsubst %/,%,$(dir $(wildcard cmd/*/main.go))))
MODULE   := github.com/fx-risk-ai/annals
BUILD    := $(MODULE)/internal/telemetry
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT   := $(shell git rev-parse HEAD 2>/dev/null)
DATE     := $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
LDFLAGS  := -s -w -X $(BUILD).version=$(VERSION) -X $(BUILD).commit=$(COMMIT) -X $(BUILD).date=$(DATE)

# What may be set from outside: packages and flags of test runs, the demo's
# folder and flags, the time fuzzing takes for each target.
PKG        ?= ./...
TESTFLAGS  ?=
DEMO_DATA  ?= annals-data
DEMO_FLAGS ?=
FUZZTIME   ?= 30s
BENCH_FLAGS ?=

UI         := web/ui
UI_SOURCES := $(shell find $(UI) \( -name node_modules -o -name dist -o -name '.*' \) -prune -o -type f -print 2>/dev/null)
TOOLS      := .tools
STAMPS     := .stamps

##@ Start here

.PHONY: help
help: ## List what can be made
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo

.PHONY: demo
demo: need-node engines build ## Everything on this machine, with 27 years of exchange rates
	bin/annals up --data-dir $(DEMO_DATA) --demo $(DEMO_FLAGS)

.PHONY: build
build: need-go explorer ## Build the programs into bin/
	@mkdir -p bin
	@$(say-first)
	@for program in $(PROGRAMS); do \
		echo "build bin/$$program"; \
		go build -trimpath -ldflags '$(LDFLAGS)' -o bin/$$program ./cmd/$$program || exit 1; \
	done
	@mkdir -p $(STAMPS) && touch $(STAMPS)/compiled

# The compiler says nothing for minutes when its cache has none of this.
say-first = [ -f $(STAMPS)/compiled ] || { mkdir -p $(STAMPS); \
	echo "The first time Go compiles all libraries: the clients of Kafka, S3 and ClickHouse, Parquet, the embedded Kafka and S3. Some minutes, in silence."; }

.PHONY: engines
engines: ## Fetch the embedded ClickHouse into the cache folder, once
	@sh scripts/fetch-chdb.sh >/dev/null || { status=$$?; \
		[ $$status = 3 ] && exit 0; exit $$status; } # 3: none for this platform; annals up runs without search

##@ Check

# The longest first, so that none of them is still running when all others are
# done.
LONGEST := $(addprefix ./,test/e2e archiver test/faults test/broker test/simulation test/matrix)

# -vet=off: lint has just vetted everything. -p: most packages wait, for engines
# and for moments at which to kill them, more than they compute.
.PHONY: test
test: need-go lint gen-check test-ui explorer engines $(TOOLS)/gotestsum ## All checks and tests; ends with what was skipped, and why
	@$(TOOLS)/gotestsum --format standard-quiet -- \
		-count=1 -vet=off -p $$((2 * $$(getconf _NPROCESSORS_ONLN))) -timeout 20m $(TESTFLAGS) \
		$(if $(filter ./...,$(PKG)),$(LONGEST)) $(PKG)
	@$(said-ui)

.PHONY: test-race
test-race: need-go engines ## The Go tests under the race detector (needs a C compiler)
	@command -v cc >/dev/null || { echo "The race detector needs a C compiler (cc), which is not here." >&2; exit 1; }
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m $(TESTFLAGS) $(PKG)

.PHONY: test-long
test-long: need-go engines $(TOOLS)/gotestsum ## The Go tests with the long cases too
	@ANNALS_TEST_LONG=1 $(TOOLS)/gotestsum --format standard-quiet -- \
		-count=1 -timeout 60m $(TESTFLAGS) $(PKG)

.PHONY: fuzz
fuzz: need-go ## Every fuzz target in turn, FUZZTIME (30s) each
	@grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$$file"); do \
			echo "fuzz $$target in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$(dirname "$$file")" || exit 1; \
		done || exit 1; \
	done

.PHONY: lint
lint: need-go $(TOOLS)/staticcheck $(TOOLS)/gofumpt ## go vet, staticcheck, gofumpt
	@$(say-first)
	@echo "go vet";      go vet $(PKG) && go -C clients/go vet ./...
	@echo "staticcheck"; $(TOOLS)/staticcheck $(PKG) && cd clients/go && ../../$(TOOLS)/staticcheck ./...
	@echo "gofumpt"; unformatted=$$(find . \( -name node_modules -o -name '.[!.]*' \) -prune -o -name '*.go' ! -name '*.gen.go' -print | xargs $(TOOLS)/gofumpt -l); \
		if [ -n "$$unformatted" ]; then echo "not formatted; run make format:" >&2; echo "$$unformatted" >&2; exit 1; fi
	@mkdir -p $(STAMPS) && touch $(STAMPS)/compiled

.PHONY: bench-skeleton
bench-skeleton: need-go engines build ## Speed and memory beside their limits
	go run ./bench/skeleton

.PHONY: bench-replay
bench-replay: need-go engines build ## Replays beside the bare client and their limits
	@mkdir -p .stamps && go build -o .stamps/bench-replay ./bench/replay && .stamps/bench-replay $(BENCH_FLAGS)

.PHONY: bench-archive
bench-archive: need-go engines build ## The archiver beside its parts, others and its limits
	@mkdir -p .stamps && go build -o .stamps/bench-archive ./bench/archive && .stamps/bench-archive $(BENCH_FLAGS)

.PHONY: bench-query
bench-query: need-go engines build ## Look-ups and searches beside a bare read and their limits
	@mkdir -p .stamps && go build -o .stamps/bench-query ./bench/query && .stamps/bench-query $(BENCH_FLAGS)

##@ Change

.PHONY: format
format: need-go $(TOOLS)/gofumpt ## Format the Go files
	@find . \( -name node_modules -o -name '.[!.]*' \) -prune -o -name '*.go' ! -name '*.gen.go' -print | xargs $(TOOLS)/gofumpt -w

# A folder with an oapi-codegen.yaml has its Go types generated from
# schema/openapi.yaml; paths in that file are relative to its folder.
.PHONY: gen
gen: need-go $(TOOLS)/oapi-codegen ## Generate API types and the configuration reference
	@for config in $$(find . -name node_modules -prune -o -name oapi-codegen.yaml -print); do \
		(cd "$$(dirname "$$config")" && "$(CURDIR)/$(TOOLS)/oapi-codegen" -config oapi-codegen.yaml "$(CURDIR)/schema/openapi.yaml") || exit 1; \
	done
	@go test ./internal/config -run '^TestReferenceIsCurrent$$' -update >/dev/null

# Generates into a copy and compares, so that a check never changes the tree.
.PHONY: gen-check
gen-check: need-go $(TOOLS)/oapi-codegen ## Fail when something generated is stale
	@sh scripts/gen-check.sh $(TOOLS)/oapi-codegen

.PHONY: ui
ui: need-node $(UI)/dist/index.html ## Build the explorer into web/ui/dist

.PHONY: clean
clean: ## Remove what was built (not the caches, not the demo's data)
	rm -rf bin $(TOOLS) $(STAMPS) $(UI)/node_modules
	@find $(UI)/dist -mindepth 1 ! -name placeholder.html -delete 2>/dev/null || true

# ---- the explorer -------------------------------------------------------------

# With Node the explorer is built when its sources changed; without it, the
# placeholder page is embedded, and that is said.
.PHONY: explorer
explorer:
	@if [ ! -f $(UI)/package.json ]; then :; \
	elif $(node-is-good); then $(MAKE) --no-print-directory $(UI)/dist/index.html; \
	else echo "build without the explorer: $(node-wanted)" >&2; fi

$(STAMPS)/node_modules: $(wildcard $(UI)/package.json $(UI)/package-lock.json)
	cd $(UI) && npm ci --no-audit --no-fund
	@mkdir -p $(STAMPS) && touch $@

# Built beside the folder that is served and moved at the end: a failed build
# leaves the last good one.
$(UI)/dist/index.html: $(STAMPS)/node_modules $(UI_SOURCES)
	cd $(UI) && npx --no-install vite build --outDir .dist --emptyOutDir
	@find $(UI)/dist -mindepth 1 ! -name placeholder.html -delete
	@cp -R $(UI)/.dist/. $(UI)/dist/ && rm -rf $(UI)/.dist && touch $@

.PHONY: test-ui
test-ui:
	@if [ ! -f $(UI)/package.json ]; then :; \
	elif $(node-is-good); then $(MAKE) --no-print-directory $(STAMPS)/node_modules && cd $(UI) && \
		npx --no-install vitest run --reporter=default --reporter=json --outputFile.json=../../$(STAMPS)/explorer-tests.json; fi

# What of the explorer's tests was not run, as gotestsum says it of Go's.
said-ui = if [ ! -f $(UI)/package.json ]; then :; \
	elif $(node-is-good); then node scripts/skipped-ui.mjs $(STAMPS)/explorer-tests.json; \
	else echo "=== SKIP: the explorer's own tests: $(node-wanted)"; fi

# ---- tools --------------------------------------------------------------------

# Built from tools/go.mod, which pins them apart from what the programs use.
$(TOOLS)/%: tools/go.mod tools/go.sum | need-go
	@echo "build tools: $$(go -C tools tool | grep -c '[.].*/') of tools/go.mod"
	@mkdir -p $(TOOLS) && go build -C tools -o ../$(TOOLS)/ tool && touch $(TOOLS)/*

node-wanted  = Node $(NODE_LEAST) or later with npm is needed, and $$(node --version 2>/dev/null || echo none) is here.
node-is-good = { command -v npm >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) >= $(NODE_LEAST) ? 0 : 1)' 2>/dev/null; }

.PHONY: need-go
need-go:
	@command -v go >/dev/null 2>&1 || { echo "Go is not installed, or not on PATH. Go $(GO_LEAST) or later is needed: https://go.dev/dl" >&2; exit 1; }
	@found=$$(go version 2>&1) || { echo "$$found" >&2; echo "Go $(GO_LEAST) or later is needed: https://go.dev/dl" >&2; exit 1; }; \
	echo "$$found" | awk -v least=$(GO_LEAST) '{ sub(/^go/, "", $$3); split($$3, have, "."); split(least, want, "."); \
		if ($$3 ~ /^devel/ || have[1] > want[1] || have[1] == want[1] && have[2] + 0 >= want[2] + 0) exit 0; \
		print "Go " least " or later is needed, and go" $$3 " is here: https://go.dev/dl" > "/dev/stderr"; exit 1 }'

.PHONY: need-node
need-node:
	@$(node-is-good) || { echo "$(node-wanted) https://nodejs.org/en/download" >&2; exit 1; }
