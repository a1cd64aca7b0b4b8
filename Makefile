# Everything a person types. Each target does its own set-up and is safe to run again.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Tests in three processes, for each waits half of its time; those that need a node keep to one of them (tests/conftest.py).
SIDE_BY_SIDE := -n 3 --dist loadscope

.PHONY: help setup lint format built test quick try demo bench cluster cluster-down cluster-shell crd lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## make .venv with the pinned packages and this project in it

$(STAMP): requirements/dev.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "warmup: Python 3.11 or later is needed, this is " + sys.version)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "setup: Python's venv module is missing; installing Debian's package python3-venv"; \
	  apt-get update -qq && apt-get install -qq -y python3-venv; }
	@echo "setup: installing the pinned packages into $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt -r requirements/build.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

lint: setup  ## ruff, mypy --strict, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

built: setup  ## what the tests build once and keep: Kubernetes, Prometheus, the images (a quarter of an hour the first time)
	$(BIN)/python -m tests.cluster.programs
	$(BIN)/python -m tests.cluster.images

test: setup  ## every test: unit, integration, end to end, in three processes
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

quick: setup  ## the tests that need neither root nor a node, the longest of them in part
	WARMUP_QUICK=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not node and not root"

try: setup  ## no Kubernetes: Postgres, an SMTP server and two workers on this machine, 60 mails
	@$(BIN)/python -m demo.local

demo: setup  ## a real cluster, the operator by Helm, 200 mailboxes, 600 mails (CLUSTER=current: your own)
	@$(BIN)/python -m demo.cluster $(if $(CLUSTER),--cluster $(CLUSTER))

bench: setup  ## the cost of a mail beside others, the rate one process holds, 100,000 mailboxes (ten minutes)
	@$(BIN)/python -m bench

cluster: setup  ## a real one-node Kubernetes on this machine
	@$(BIN)/python -m tests.cluster up

cluster-down: setup  ## end it
	@$(BIN)/python -m tests.cluster down

cluster-shell: setup  ## a shell with kubectl and helm pointed at it
	@$(BIN)/python -m tests.cluster shell

crd: setup  ## write the generated files: the CRD and its copy in the chart, docs/reference.md, the chart's README and dashboard
	$(BIN)/python -m warmup_core.crd > crds/warmupfleets.yaml
	cp crds/warmupfleets.yaml helm/warmup-fleet/files/warmupfleets.yaml
	$(BIN)/python -m docs.reference > docs/reference.md
	$(BIN)/python -m docs.chart > helm/warmup-fleet/README.md
	$(BIN)/python -m docs.dashboard > helm/warmup-fleet/files/dashboard.json

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:  ## compile requirements/*.txt anew from pyproject.toml
	$(LOCK) pyproject.toml --extra operator -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra worker -o requirements/worker.txt
	$(LOCK) pyproject.toml --group demo -o requirements/demo.txt
	$(LOCK) pyproject.toml --all-extras --group demo --group dev -o requirements/dev.txt
	printf 'hatchling>=1.27\neditables>=0.5\n' | $(LOCK) - -o requirements/build.txt

clean:  ## remove the venv and what the tools left in the tree
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
