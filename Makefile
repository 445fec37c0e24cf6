# Every target sets up what it needs; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

# Tests start thousands of processes: what one has compiled, the next is not to compile again.
export PYTHONDONTWRITEBYTECODE :=

CACHE := $(or $(AGENTID_CACHE),$(HOME)/.cache/agentid)
UV_VERSION := 0.13.9
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
PYTHON ?= python3
RUN := .venv/bin/
PY_PATHS := operator devcluster demo tests
NODE ?= 0
FAULTS := $(patsubst %,cluster/test_%.py,faults_of_writes rights_removed restart_faults restart_list robust_stale_view sweep \
  refused_writes robust_clock restart_kill \
  ledger_faults ledger_two_writers sinks) faults
PYTEST_ARGS ?=
BENCH_ARGS ?=

##@ Everyday
.PHONY: help
help: ## List what can be made
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	echo
	echo "Variables"
	echo "  AGENTID_KUBECONFIG=file    cluster-up: use this cluster instead of starting one; takes kubectl and helm from PATH"
	echo "  AGENTID_IMAGE=name:tag     cluster-up, e2e: the operator's image on the nodes of that cluster"
	echo "  KUBEBUILDER_ASSETS=folder  take etcd, kube-apiserver and kubectl from there; the rest is still built, with Go"
	echo "  AGENTID_CACHE=folder       where what is built is kept (~/.cache/agentid)"
	echo "  AGENTID_DEMO_NODE=0        demo: without a node, as on a machine that can have none"
	echo "  PYTEST_ARGS='-k suspend'   test, e2e, faults: some of them only"
	echo "  BENCH_ARGS=--quick         bench: little of everything, figures not kept"
	echo "  PYTHON=program             the Python to begin with (python3)"

.PHONY: install
install: .venv/synced ## Set up the virtual environment from the lock file

$(UV):
	@echo "uv $(UV_VERSION) → $(CACHE)"
	mkdir -p $(CACHE)
	if ! $(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	  if [ "$(PYTHON)" = python3 ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo "installing Debian's python3-venv"
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
	  fi
	  if ! $(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    echo "agentid needs Python 3.11 or newer with venv; install it, or name one with PYTHON=…" >&2; exit 1
	  fi
	fi
	$(PYTHON) -m venv $(CACHE)/uv-$(UV_VERSION)
	$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/synced: pyproject.toml uv.lock | $(UV)
	@echo "virtual environment → .venv"
	$(UV) sync --frozen --all-extras
	touch $@

.PHONY: generate
generate: install ## Write the CRDs, the policy schema, the chart's rules and policy, and messages from their source
	@$(RUN)python -m agentid.api.generate
	$(RUN)python -m agentid.policy.generate
	$(RUN)python -m agentid.gate.generate

.PHONY: format
format: install ## Format the code
	@$(RUN)ruff format $(PY_PATHS)
	$(RUN)ruff check --fix $(PY_PATHS)

.PHONY: lint
lint: install ## Style, types and layers
	@$(RUN)ruff format --check $(PY_PATHS)
	$(RUN)ruff check $(PY_PATHS)
	$(RUN)mypy
	$(RUN)lint-imports

.PHONY: check
check: lint ## What has to hold before tests: lint, generated files, coverage map, lock file
	@$(RUN)python -m agentid.api.generate --check
	$(RUN)python -m agentid.policy.generate --check
	$(RUN)python -m agentid.gate.generate --check
	$(UV) lock --check
	$(RUN)python -m tests.coverage_map

##@ Tests
.PHONY: test
test: install ## Unit, component and cluster tests (a real API server; the first run builds it, about seven minutes)
	@$(RUN)python -m devcluster build controlplane helm opa
	$(RUN)python -m tests.stages unit component cluster -- $(PYTEST_ARGS)

.PHONY: explore
explore: install ## Property tests and state machines, with examples that nobody has tried yet
	@AGENTID_EXPLORE=1 $(RUN)python -m tests.stages unit component -- -m hypothesis $(PYTEST_ARGS)

.PHONY: e2e
e2e: install ## The same on a real node, with real pods, the operator in one of them (root)
	@$(if $(AGENTID_KUBECONFIG),,$(RUN)python -m devcluster build controlplane node helm && $(RUN)python -m devcluster image)
	$(RUN)python -m tests.stages e2e -- $(PYTEST_ARGS)

.PHONY: bench
bench: install ## Measure agentid against a bare client; the table goes to docs/performance.md
	@$(RUN)python -m tests.bench $(BENCH_ARGS)

.PHONY: faults
faults: install ## What goes wrong around the operator, for minutes each, and the table of it (before a release)
	@$(RUN)python -m devcluster build controlplane helm
	mkdir -p .run
	: > .run/faults.jsonl
	code=0
	AGENTID_FAULTS_TABLE=$(CURDIR)/.run/faults.jsonl \
	  $(RUN)python -m tests.stages $(FAULTS) -- $(PYTEST_ARGS) || code=$$?
	$(RUN)python -m tests.fault_table .run/faults.jsonl
	exit $$code

##@ A real Kubernetes
.PHONY: demo
demo: install ## See a task's identity from apply to gone, and who has to say yes
	@$(RUN)python -m demo

.PHONY: cluster-up
cluster-up: install ## Leave a cluster running with agentid in it (NODE=1: with a node for real pods)
	@$(RUN)python -m devcluster up $(if $(filter 1,$(NODE)),--node)

.PHONY: cluster-down
cluster-down: install ## End it and remove everything it made
	@$(RUN)python -m devcluster down

.PHONY: kind-up
kind-up: install ## With Docker: a cluster of kind with the operator's image, for make e2e and cluster-up
	@$(RUN)python -m devcluster kind-up

.PHONY: kind-down
kind-down: install ## End it
	@$(RUN)python -m devcluster kind-down

.PHONY: image
image: install ## Build the operator's image without a registry (root), and say where it is
	@$(RUN)python -m devcluster image
