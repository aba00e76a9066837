# Two commands matter: make demo, make test. The rest is for those who change the code.
SHELL := /bin/bash
GO    ?= go

.DEFAULT_GOAL := help
.PHONY: help build demo demo-stream test tutorial lint soak bench fuzz toolchain clients clients-ready

help: ## Print what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

toolchain:
	@command -v $(GO) >/dev/null || { echo "Install Go 1.26 or newer: https://go.dev/doc/install"; exit 1; }
	@command -v $${CC:-gcc} >/dev/null || { echo "Install a C compiler, for example: apt-get install gcc g++"; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "Install a C++ compiler, for example: apt-get install g++"; exit 1; }

build: toolchain ## Build bin/tilehouse. The first build compiles PostgreSQL's parser: about two minutes.
	@mkdir -p bin
	$(GO) build -o bin/tilehouse ./cmd/tilehouse

demo: build ## Run the main job on real flights, statement by statement. ARGS=--exit stops at the end.
	./bin/tilehouse demo $(ARGS)

demo-stream: build ## Start a Kafka, and see how soon a message of it changes a lookup. ARGS=--exit stops at the end.
	$(GO) run ./tests/kafka/run ./bin/tilehouse demo --brokers {} $(ARGS)

test: toolchain ## Run the fast tests: minutes.
	$(GO) test ./...

tutorial: build bin/venv/ready ## Run the tutorial notebook against a server of its own. Needs Python 3.11 or newer with venv.
	bin/venv/bin/python docs/tutorial/run.py bin/tilehouse

bin/venv/ready: docs/tutorial/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "Install Python's venv, for example: apt-get install python3-venv"; exit 1; }
	python3 -m venv bin/venv
	bin/venv/bin/pip install --quiet --disable-pip-version-check -r docs/tutorial/requirements.txt
	@touch $@

clients: clients-ready ## Run the programs of tests/clients and pgx's own tests in full, against PostgreSQL 15 and Tilehouse.
	CLIENTS_FULL=1 $(GO) test -count=1 -timeout 60m -v -run 'TestPrograms|TestPgxSuite' ./tests/clients

clients-ready: toolchain ## Install what the programs of tests/clients need, below bin/clients.
	tests/clients/ready.sh

lint: toolchain ## Run go vet, gofmt and staticcheck.
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt -w the files above"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

soak: toolchain ## Run the slow tests in full: crashes, peers, large data, and an hour of fuzzing. About two hours.
	$(MAKE) fuzz FUZZTIME=30m
	@set -o pipefail; TILEHOUSE_SOAK=1 $(GO) test -p 1 -timeout 120m -count=1 -v ./tests/... ./storage/... 2>&1 | tee soak.log | \
		grep -E '^(ok|FAIL|panic|--- (FAIL|SKIP))'; status=$$?; \
		echo "What was shown (all output: soak.log):"; grep -oE 'soak: .*' soak.log; exit $$status

# Inputs that reach something new are made smaller for a second, not for a minute: what a server does differs a little each time.
FUZZTIME ?= 1m
fuzz: toolchain ## Fuzz the protocol's messages before and after login, FUZZTIME=1m each.
	$(GO) test ./server -run '^$$' -fuzz '^FuzzMessages$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1s
	$(GO) test ./server -run '^$$' -fuzz '^FuzzStartup$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1s

bench: build ## Measure against PostgreSQL and DuckDB, side by side.
	$(GO) run ./tests/bench
