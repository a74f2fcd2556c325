# make run    both proxies in the foreground, with a demo origin and what to try
# make test   everything that must hold: lint, layers, types, tests
# make test-compiled  that what is compiled does the same
# make venv   only the virtual environment, .venv
# make lint   what takes no running program: ruff, import-linter, mypy
# make wheel  dist/: a wheel for this machine, what each request passes compiled by mypyc
# make bench  what a request costs, here and in other proxies; PEERS='nginx*' ROWS='hit*' for less
# make clean  away with what can be made again

PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
TESTS ?= tests
COMPILED_TESTS ?= tests/cache tests/http tests/policy tests/services tests/upstream tests/wire \
  tests/test_exchange.py tests/test_hot_path.py tests/live/rfc9111 tests/live/test_disk.py \
  tests/live/test_isolation.py tests/live/test_stores.py
PEERS ?= *
ROWS ?= *
BIN = $(VENV)/bin
SITE = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.PHONY: run venv test test-compiled lint programs peers wheel compiled bench clean

venv: $(VENV)/installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: apt-get install python3, or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# pip's default editable install hides twisted/plugins, and our own plugins from twisted.plugin:
# a path file shows both. New files are seen without another install.
$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install $(PIP_INSTALL) --editable '.[test]' || { \
	  command -v cc >/dev/null || \
	    echo "If a package had to be compiled: apt-get install build-essential python3-dev" >&2; \
	  exit 1; }
	@printf '%s\n' '$(CURDIR)/src' '$(CURDIR)' > $(SITE)/twistproxy-checkout.pth
	@touch $@

run: venv
	@$(BIN)/python etc/demo.py

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

test: venv programs lint
	$(BIN)/python -m pytest $(TESTS)

# The compiled wheel is made of the same source; that it does the same is to be seen, too.
test-compiled: compiled programs
	PYTHONPATH=$(CURDIR)/var/compiled $(BIN)/python -m pytest $(COMPILED_TESTS)

wheel: venv
	TWISTPROXY_COMPILE=1 $(BIN)/python -m pip --disable-pip-version-check --quiet wheel \
	  --no-deps --no-build-isolation --wheel-dir dist .

# The wheel's content, for PYTHONPATH: what it imports is in the environment already.
compiled: var/compiled/installed

var/compiled/installed: setup.py $(shell find src -name '*.py' 2>/dev/null)
	@rm -rf build dist var/compiled
	@$(MAKE) --no-print-directory wheel
	@$(PIP) install --no-deps --target var/compiled dist/*.whl
	@touch $@

# With other proxies twistproxy is always measured, too: a ratio needs both.
bench: venv peers compiled
	$(BIN)/python -m bench --rows '$(ROWS)' --peers 'twistproxy*,$(PEERS)' \
	  --json var/benchmark.json --svg var/benchmark.svg

# Those that come from PyPI, in an environment of their own: their dependencies are not ours.
peers: .venv-bench/installed

.venv-bench/installed: bench/requirements.txt
	@echo "Installing into .venv-bench ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install $(PIP_INSTALL) -r $< && \
	  touch $@ || echo "So mitmproxy and proxy.py will not be measured." >&2

# The programs that the live tests start, and those that the benchmark does; policy-rc.d keeps
# what is a service from starting now.
programs: PACKAGES = tests/packages.txt
peers: PACKAGES = bench/packages.txt
programs peers:
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=$$(for name in $$(grep -v '^#' $(PACKAGES)); do \
	  dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || echo $$name; done); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
	  [ -e /usr/sbin/policy-rc.d ] || { \
	    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; \
	    trap 'rm /usr/sbin/policy-rc.d' EXIT; }; \
	  echo "Installing" $$missing "..."; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && \
	    apt-get -qq install --yes --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "Missing, so some of it will be skipped: sudo apt-get install" $$missing >&2; \
	fi

clean:
	rm -rf $(VENV) .venv-bench build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
