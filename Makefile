# One command each, on a machine with only Python and make. `make` alone lists them.
# Written for GNU make 3.81 (macOS) and for folders with spaces: all paths are relative.

PYTHON ?= python3
ARGS ?=
# Files of tests side by side, more than there are cores: many of them wait for deadlines, leases and
# restarts. In the order of their folders, so that the long ones come first and units fill the end.
# In random order: make test ARGS="-p randomly"
TESTS_AT_ONCE ?= 3

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What is downloaded has a hash in locks/; what is built here is built with what is installed.
INSTALL_LOCKED := $(PIP_INSTALL) --require-hashes -r
INSTALL_PROJECT := $(PIP_INSTALL) --no-build-isolation -e

# setuptools too: the project itself is built with it.
LOCK := echo setuptools | uv pip compile pyproject.toml - -c constraints.txt --quiet --universal \
	--upgrade --generate-hashes --no-annotate --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check fix lock bench chaos clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile
	@echo '  run and test pass ARGS on:  make run ARGS="--steps 5"'

run: .venv/.run-stamp ## Learn on the bundled examples: no key, no server needed
	@$(BIN)/orchestrator run $(ARGS)

test: .venv/.dev-stamp ## All tests
	$(BIN)/python -m pytest -n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/.dev-stamp ## Lint, format, types, who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: .venv/.dev-stamp ## Apply what lint and format can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Write the hashes of what constraints.txt pins into locks/ (needs uv)
	$(LOCK) --extra embedded -o locks/run.txt
	$(LOCK) --extra otel --extra tensorboard -o locks/image.txt
	$(LOCK) --extra dev -o locks/dev.txt

bench: .venv/.bench-stamp ## Every command in tests/benchmarks, beside their peers (an hour)
	@set -e; for file in tests/benchmarks/*.py tests/benchmarks/*/__main__.py; do \
		name=$$(basename "$${file%/__main__.py}" .py); \
		case $$name in _*|'*') continue;; esac; \
		echo "== $$name"; $(BIN)/python -m "tests.benchmarks.$$name" $(ARGS); \
	done

chaos: .venv/.dev-stamp ## Fifty runs, each killed five times, must end as if undisturbed (half an hour)
	$(BIN)/python -m tests.faults.chaos $(ARGS)

clean: ## Remove the environment and caches; runs/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find orchestrator worker shared tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Three stamps, so that the first run waits neither for the tools of development nor for peers.
.venv/.run-stamp: pyproject.toml locks/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; '$(PYTHON)' is older or missing." >&2; \
		echo "Name another one:  make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "installing into .venv (once; about half a minute)" >&2
	@$(PYTHON) -m venv .venv
	@$(INSTALL_LOCKED) locks/run.txt
	@$(INSTALL_PROJECT) . --no-deps
	@touch $@

.venv/.dev-stamp: .venv/.run-stamp locks/dev.txt
	@echo "installing the tools of development into .venv (once)" >&2
	@$(INSTALL_LOCKED) locks/dev.txt
	@touch $@

.venv/.bench-stamp: .venv/.dev-stamp constraints.txt tests/benchmarks/constraints.txt
	@echo "installing the peers of the benchmarks into .venv (once)" >&2
	@$(INSTALL_PROJECT) '.[bench]' -c constraints.txt -c tests/benchmarks/constraints.txt
	@touch $@
