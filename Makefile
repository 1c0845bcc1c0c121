# `make help` lists what there is. Everything is installed into .venv, nothing outside this folder is touched.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NATIVE := $(VENV)/.native
# What the codecs in C are made of.
NATIVE_SOURCES := runtime/idlrt/serialization/_native.pyx $(wildcard runtime/idlrt/serialization/native/*)
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# Packages that carry real IDL files (Hive, Impala, HBase, Baseplate), unpacked for tests/real_idl and never imported.
IDL_SAMPLES := impyla==0.24.0 happybase==1.3.0 baseplate==2.7.1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup native demo test test-all test-fast bench bench-compare simulate check lint mypy pyright format fuzz sanitize soak mutants clean

help: ## show this list
	@echo "idlc: IDL compiler and service runtime for Python"; echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(READY) $(NATIVE) ## create .venv and install everything needed to develop

$(READY): pyproject.toml Makefile
	@echo "==> creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> installing (a minute or so)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --progress-bar on --editable . --group dev
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/idl-samples $(IDL_SAMPLES)
	@touch $(READY) $(NATIVE)
	@echo "==> ready"

native: $(READY) ## build the codecs in C again, into the sources (IDLC_NATIVE=require: fail if that cannot be)
	@$(BIN)/python hatch_build.py && touch $(NATIVE)

# Without a C compiler this only says so: everything works with the pure codecs. Setting up has built it already.
$(NATIVE): $(NATIVE_SOURCES) hatch_build.py | $(READY)
	@echo "==> building the native codec" && $(BIN)/python hatch_build.py
	@touch $(NATIVE)

demo: $(READY) $(NATIVE) ## compile an IDL, serve it, call it, and kill one of two instances (KEEP=1: keep it with its pages)
	@$(BIN)/python samples/shop/demo.py

test: $(READY) $(NATIVE) ## run the tests, about 10 minutes on two cores; real servers only where they are installed
	@$(PYTEST) -m 'not long'

test-all: $(READY) $(NATIVE) ## run all tests, also long ones, and install real servers where possible (REAL_SERVERS=no: do not)
	@sh tests/real_servers.sh $(BIN)/python
	@$(PYTEST)

test-fast: $(READY) $(NATIVE) ## run the fast tests, about a minute
	@$(PYTEST) -m 'not slow and not long'

bench: $(READY) $(NATIVE) ## run the benchmarks, side by side with peers (PARTS="codec servers"); install those where possible (REAL_SERVERS=no: do not)
	@$(BIN)/python -m pip install --quiet --group bench
	@sh benchmarks/install_peers.sh
	@$(BIN)/python -m benchmarks $(PARTS)

bench-compare: $(READY) $(NATIVE) ## compare the speed with that of a commit: REF=main [PARTS="codec servers header calls"] [PAIRS=20] [JSON=FILE] [FAIL_ABOVE=1.03]
	@test -n "$(REF)" || { echo "REF is missing: make bench-compare REF=main" >&2; exit 2; }
	@$(BIN)/python -m benchmarks.compare $(REF) $(PARTS) --pairs $(or $(PAIRS),20) $(if $(JSON),--json $(JSON)) $(if $(FAIL_ABOVE),--fail-above $(FAIL_ABOVE))

simulate: $(READY) $(NATIVE) ## simulate 1,000 instances at 100,000 calls per second, and check balancers and fault modes at scale
	@$(BIN)/python -m benchmarks.simulate $(SCENARIOS)

check: lint mypy pyright ## run ruff, mypy (strict for the package), pyright strict, and the tests of architecture and wording
	@echo "==> architecture and wording" && $(BIN)/python -m pytest tests/architecture tests/wording

lint: $(READY)
	@echo "==> ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .

mypy: $(READY) $(NATIVE)
	@echo "==> mypy --strict" && $(BIN)/mypy
	@echo "==> mypy, tests and benchmarks" && $(BIN)/mypy --config-file tests/mypy.ini

pyright: $(READY) $(NATIVE)
	@echo "==> pyright strict" && $(BIN)/pyright

format: $(READY) ## format the sources
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

FUZZ_TARGETS := decode_binary decode_compact decode_json server_framed server_unframed server_header server_jsonrpc server_http client client_http detection propagation
fuzz: $(READY) $(NATIVE) ## fuzz everything that reads from the network, SECONDS=600 for each target (needs clang; TARGETS="...")
	@$(BIN)/python -m pip install --quiet --group fuzz
	@preload=$$(PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/fuzz/build_native.py fuzzer) || exit 1; \
	for target in $${TARGETS:-$(FUZZ_TARGETS)}; do echo "==> $$target"; \
		PYTHONPATH=build/fuzzer ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$preload" $(BIN)/python tests/fuzz/$$target.py \
			-max_total_time=$${SECONDS:-600} -rss_limit_mb=2048 -timeout=20 -max_len=1500 || exit 1; done

sanitize: $(READY) ## run the tests of the codecs with address and undefined-behaviour sanitizers
	@preload=$$($(BIN)/python tests/fuzz/build_native.py sanitizer) || exit 1; \
	PYTHONPATH=build/sanitizer ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc LD_PRELOAD="$$preload" \
		$(BIN)/python -m pytest tests/idlrt/serialization tests/idlrt/protocol -m 'not slow and not long' -p no:cacheprovider

soak: $(READY) $(NATIVE) ## load servers for SECONDS=600 under all kinds of faults, and check that no call is lost
	@$(BIN)/python tests/faults/soak.py $${SECONDS:-600}

mutants: $(READY) $(NATIVE) ## insert deliberate bugs one by one, and check that a test fails on each (NAMES="pool server")
	@$(BIN)/python tests/mutation $(NAMES)

clean: ## remove .venv and everything that was built
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build samples/shop/gen runtime/idlrt/serialization/*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
