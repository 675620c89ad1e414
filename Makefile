# `make help` lists what there is. Everything stays inside of the checkout: .venv and .laurel.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Of several Python 3.11 the fastest, unless one is named.
PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
UV_VERSION := 0.13.9
ARGS ?=

# Caches stay inside of .venv, too.
export UV_CACHE_DIR := $(CURDIR)/.venv/.cache
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# A .venv that was set up from this very lock is used as it is: the second time needs no network.
SYNCED := .venv/.synced
$(SYNCED): requirements.lock
	@test -x $(BIN)/python || { python="$(or $(PYTHON),$$(tools/dev/python.sh))"; \
		command -v "$$python" >/dev/null || { echo "$$python is not to be found; name one with make PYTHON=..."; exit 1; }; \
		"$$python" -m venv .venv; }
	@$(BIN)/python -m uv --version 2>/dev/null | grep -qF "uv $(UV_VERSION)" || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/python -m uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

$(READY): $(SYNCED) pyproject.toml
	@$(BIN)/python -m uv pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

.PHONY: setup
setup: $(READY) ## Set up .venv from the lock

.PHONY: demo
demo: $(READY) ## Replay 69,659 real orders and tell their story
	@$(BIN)/laurel demo

.PHONY: test
test: $(READY) ## Run all tests against real servers (ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(READY) ## Check style, types, import rules, dependencies, migrations, files
	@tools/dev/lint.sh

.PHONY: contract
contract: $(READY) ## Check the contract: generated code, lint, compatibility
	@tools/dev/contract.sh

.PHONY: scenarios
scenarios: $(READY) ## Play fraud and honest members against the sample rules (ARGS="--seed 7")
	@PYTHONPATH=tests $(BIN)/python -m scenarios $(ARGS)

.PHONY: bench
bench: export GRPC_ENABLE_FORK_SUPPORT = 0
bench: $(READY) ## Measure against the yardstick; writes .laurel/bench.json
	@$(BIN)/python -m tests.bench

.PHONY: bench-growth
bench-growth: export GRPC_ENABLE_FORK_SUPPORT = 0
bench-growth: $(READY) ## Compare 100 thousand with 10 million lots (ARGS="--lots 100000,1000000")
	@$(BIN)/python -m tests.bench.growth $(ARGS)

.PHONY: bench-report
bench-report: $(READY) ## Write docs/speed.md and docs/speed.svg from what was measured
	@$(BIN)/python -m tests.bench.report

.PHONY: proto
proto: $(READY) ## Regenerate the code from the protos
	@tools/dev/generate.sh

.PHONY: format
format: $(READY) ## Format code and protos
	@$(BIN)/ruff format && $(BIN)/ruff check --fix && $(BIN)/buf format --write

.PHONY: lock
lock: $(READY) ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/python -m uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --group dev --extra native --output-file requirements.lock
