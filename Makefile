# Every target makes the environment it needs, in .venv, from Python alone.

PYTHON ?= python3
FUZZ_SECONDS ?= 30
CALLS ?= 100000
SEED ?= 0
VENV := .venv
RUN := $(VENV)/bin/python -m
LOG := $(VENV)/install.log

# Else pyright asks a registry for newer versions of itself at each run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test lint types bench accuracy simulate mutants fuzz format clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make demo      a whole call on this machine: phone, bridge and model; no account, no key'
	@echo 'make test      everything that must hold: lint, types, all tests, full coverage of the core'
	@echo 'make lint      ruff: rules and format'
	@echo 'make types     mypy and pyright, both strict'
	@echo 'make bench     how fast the core and the service are (about a minute and a half)'
	@echo 'make accuracy  how exactly interruptions tell what was heard (about a minute and a half)'
	@echo 'make simulate  random calls with impairments: CALLS ($(CALLS)) from SEED ($(SEED)) on'
	@echo 'make mutants   whether random calls find the bugs that are planted (a few minutes)'
	@echo 'make fuzz      each fuzzer for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make format    rewrite the code as ruff wants it'
	@echo 'make clean     remove all that was made, the environment too'
	@echo 'PYTHON=... picks the Python, 3.11 or newer; needed only where python3 is older.'

demo: $(VENV)/.dev
	@$(VENV)/bin/twilio-realtime demo

# Tests run in two processes; in each, coverage starts before anything is imported.
test: lint types
	@rm -f .coverage .coverage.*
	@COVERAGE_PROCESS_START='$(CURDIR)/pyproject.toml' COVERAGE_PARALLEL=true \
		$(RUN) pytest --no-header -n 2 --dist worksteal
	@$(RUN) coverage combine -q
	@$(RUN) coverage report

lint: $(VENV)/.dev
	@printf 'lint      ' && $(RUN) ruff check -q --output-format concise . && echo 'ok'
	@printf 'format    ' && $(RUN) ruff format --check .

types: $(VENV)/.dev
	@printf 'mypy      ' && $(RUN) mypy
	@printf 'pyright   ' && $(RUN) pyright

bench: $(VENV)/.dev
	@$(VENV)/bin/python tests/bench/run.py
	@$(VENV)/bin/python tests/bench/serving.py
	@$(VENV)/bin/python tests/bench/latency.py
	@$(VENV)/bin/python tests/bench/interruption.py
	@$(VENV)/bin/python tests/bench/simulation.py

accuracy: $(VENV)/.dev
	@PYTHONPATH=tests/harness $(RUN) accuracy

# Half an hour for a hundred thousand, on two cores.
simulate: $(VENV)/.dev
	@$(VENV)/bin/twilio-realtime simulate --calls $(CALLS) --seed $(SEED)

# What is found is written into docs/mutants.md; BUGS='--bug mute' hunts only bugs of that name.
mutants: $(VENV)/.dev
	@PYTHONPATH=tests/harness $(RUN) mutants $(BUGS)

# What a fuzzer finds goes below build; the corpora that are kept are only read.
fuzz: $(VENV)/.fuzz
	@set -e; for target in fuzz/fuzz_*.py; do \
		name=$$(basename $$target .py); name=$${name#fuzz_}; found=build/fuzz/$$name; \
		mkdir -p $$found; \
		printf '%-10s' $$name; \
		if $(VENV)/bin/python $$target -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=$$found/ $$found fuzz/corpus/$$name >$$found.log 2>&1; \
		then tail -n 1 $$found.log; \
		else echo "failed; the input is below $$found"; tail -n 40 $$found.log; exit 1; fi; \
	done

format: $(VENV)/.dev
	@$(RUN) ruff check -q --fix . || true
	@$(RUN) ruff format .

clean:
	@rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v '$(PYTHON)' >/dev/null || { \
		echo '$(PYTHON) is not here; install Python 3.11 or newer, or name it: make PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv'; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	@printf 'install   '
	@$(RUN) pip install -e '.[dev]' >$(LOG) 2>&1 || { $(no-index) }
	@touch $@ && $(VENV)/bin/python -V

$(VENV)/.fuzz: $(VENV)/.dev
	@$(RUN) pip install -e '.[fuzz]' >$(LOG) 2>&1 || { $(no-index) }
	@touch $@

define no-index
echo 'failed'; grep ERROR $(LOG) | head -n 3; \
echo 'pip could not install what the project needs (all of it: $(LOG)).'; \
echo 'Without a way to pypi.org, name an index that is in reach: PIP_INDEX_URL=... make ...'; exit 1;
endef
