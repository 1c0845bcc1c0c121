# `make help` lists what there is. Everything is installed into .venv, nothing outside this folder is touched.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
# Packages that carry real IDL files (Hive, Impala, HBase, Baseplate), unpacked for tests/real_idl and never imported.
IDL_SAMPLES := impyla==0.24.0 happybase==1.3.0 baseplate==2.7.1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast bench check format fuzz clean

help: ## show this list
	@echo "idlc: IDL compiler and service runtime for Python"; echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(READY) ## create .venv and install everything needed to develop

$(READY): pyproject.toml Makefile
	@echo "==> creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> installing (a minute or so)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --progress-bar on --editable . --group dev
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/idl-samples $(IDL_SAMPLES)
	@touch $(READY)
	@echo "==> ready"

demo: $(READY) ## watch an IDL file become stubs, a server, and calls to it
	@$(BIN)/python samples/shop/demo.py

test: $(READY) ## run all tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-fast: $(READY) ## run the tests that take no more than moments
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not slow'

bench: $(READY) ## measure, side by side with peers
	@$(BIN)/python -m benchmarks

check: $(READY) ## ruff, mypy strict, pyright strict, architecture
	@echo "==> ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@echo "==> mypy --strict" && $(BIN)/mypy
	@echo "==> pyright strict" && $(BIN)/pyright
	@echo "==> architecture" && $(BIN)/python -m pytest tests/architecture

format: $(READY) ## format the sources
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

fuzz: $(READY) ## throw mutated bytes at whatever reads from the network (SECONDS=60 each)
	@for target in tests/fuzz/[a-z]*.py; do $(BIN)/python $$target $${SECONDS:-60} || exit 1; done

clean: ## remove .venv and everything that was made
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build samples/shop/gen
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
