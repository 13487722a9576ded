# make run       build, and serve http://127.0.0.1:8787 with libvirt's test host
# make build     bin/occid, the server, and bin/occi, its command-line client
# make test      the tests, under the race detector: both databases, the test host; and real guests, but for what takes long
# make check     vet, staticcheck, gofmt, and the tests under the race detector
# make lab       a real host in its own namespaces, and occid on it with an image and a network
# make lab-test  only the tests with real guests, and the figures they give
# make bench     the figures, as ratios measured in one run
# make update    rewrite the golden files
#
# Each installs what it needs and is missing, as root or through sudo.

GO = $(if $(wildcard bin/.go/bin/.go),$(CURDIR)/bin/.go/bin/.go,go)
VERSION = $(shell git describe --always --dirty 2>/dev/null || echo dev)
DATA = data
LISTEN = 127.0.0.1:8787
LAB = ./internal/lab/...
OTHERS = $$($(GO) list ./... | grep -v /internal/lab)

.PHONY: run build test check race lab lab-test bench update setup setup-test

run: build
	@mkdir -p $(DATA)
	@./bin/occid --dev --listen $(LISTEN) --db sqlite:$(DATA)/occid.db --libvirt test:///default --data $(DATA)

build: setup
	$(GO) build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/occid ./cmd/occi

# The guests come last: they need all processors, and time enough. They run in processes
# of their own, which the race detector cannot see. What takes long is left to make lab-test.
test: race
	$(GO) test -short -vet=off -parallel 3 -timeout 15m $(LAB)

# After make test, the tests of check are in the cache.
check: race
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@test -z "$$(gofmt -l cmd hypervisor internal occi render spec store)" || { gofmt -d cmd hypervisor internal occi render spec store; false; }

# SQLite is C made Go, and argon2 fills memory of its own: the detector finds nothing in
# them, and makes them many times slower. What vet has to say, make check asks it. What
# ends need not wait a second for what its threads may still find. What is tested, and the
# program that several tests build, which would each compile it, is compiled while what the
# tests need beside is installed.
RACE = -race -ldflags='-s -w' -gcflags=modernc.org/...=-race=false -gcflags=golang.org/x/crypto/argon2=-race=false
race: setup
	@{ $(GO) list -export -deps ./cmd/occid && $(GO) list -export -test -deps $(RACE) $(OTHERS); } >/dev/null & .ci/setup test && wait $$!
	GORACE=atexit_sleep_ms=0 $(GO) test -short $(RACE) -vet=off -timeout 15m $(OTHERS)

lab: setup-test build
	$(GO) build -o bin/labctl ./internal/lab/labctl
	@./bin/labctl -occid bin/occid

lab-test: setup-test
	$(GO) test -count 1 -v -timeout 15m $(LAB)
	$(GO) test -count 1 -v -timeout 15m -run '^TestKilledServer(Moves|Imports)' ./cmd/occid
	$(GO) test -count 1 -v -timeout 15m -run TestChaos ./cmd/occid -chaos 5m -chaos-guests

bench: setup-test build
	$(GO) run ./internal/bench

update: setup-test
	$(GO) test ./render/... ./internal/sign ./internal/server/... ./internal/guest ./cmd/occi -update

setup:
	@.ci/setup run

setup-test:
	@.ci/setup test
