# Each target first makes the environment that it needs, with nothing but Python and pip.

PYTHON ?= python3
FUZZ_SECONDS ?= 30
CALLS ?= 100000
SEED ?= 0

# A Python named on the command line gets an environment beside .venv, which editors use.
VENV := .venv$(if $(filter file,$(origin PYTHON)),,-$(subst /,-,$(PYTHON)))
LOWEST := $(VENV)-lowest
RUN := $(VENV)/bin/python -m

# pyright asks a registry for newer versions of itself at each run otherwise.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test check test-integration test-browser test-lowest lint types bench bench-compare accuracy simulate mutants fuzz docs changelog format clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make demo         run a whole call on this machine: phone, bridge and model; no account, no key'
	@echo 'make test         run every check: lint, types, all tests, full coverage of the core'
	@echo 'make check        run ruff, mypy and the quick tests of the core, in less than a minute'
	@echo 'make test-integration  run our phone against servers and proxies of others (two minutes)'
	@echo 'make test-browser  run the tests in a real browser, a headless Chromium'
	@echo 'make test-lowest  run the tests with the lowest versions that pyproject.toml allows'
	@echo 'make lint         check rules, format, layers, workflows and fragments of the changelog'
	@echo 'make types        check types (mypy and pyright, both strict)'
	@echo 'make bench        measure the speed of core and service, and write it into the docs (15 minutes)'
	@echo 'make bench-compare  measure again, and compare with what the docs have'
	@echo 'make accuracy     measure how exactly interruptions report what was heard (the same)'
	@echo 'make simulate     simulate CALLS ($(CALLS)) random calls with impairments, from SEED ($(SEED)) on'
	@echo 'make mutants      check that random calls find planted bugs (a few minutes)'
	@echo 'make fuzz         run each fuzzer for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make docs         build the documentation as a site, in build/site'
	@echo 'make changelog    move the fragments of changelog.d into CHANGELOG.md, for a release'
	@echo 'make format       format the code with ruff'
	@echo 'make clean        remove everything that make made, environments included'
	@echo 'PYTHON=... picks the Python, 3.11 or newer, and an environment of its own.'

demo: $(VENV)/.dev
	@$(VENV)/bin/twilio-realtime demo

# Tests run in two processes. Those of the core cover all of it by themselves; coverage starts in each
# process before anything is imported. The others run without it, since it makes calls three times slower.
test: lint types
	@rm -f .coverage .coverage.*
	@COVERAGE_PROCESS_START='$(CURDIR)/pyproject.toml' COVERAGE_PARALLEL=true \
		$(RUN) pytest --no-header -q -n 2 --dist worksteal tests/core
	@$(RUN) coverage combine -q
	@$(RUN) coverage report
	@$(RUN) pytest --no-header -q -n 2 --dist worksteal --ignore tests/integration \
		--ignore tests/browser --ignore tests/core

check: $(VENV)/.dev lint
	@printf 'mypy      ' && $(RUN) mypy
	@$(RUN) pytest --no-header -q -n 2 --dist worksteal tests/core

# With servers and proxies of others: those that can be installed, and those that are.
test-integration: $(VENV)/.dev
	@$(VENV)/bin/python tests/integration/environments.py
	@$(RUN) pytest --no-header -q -n 2 --dist worksteal -rs tests/integration

# In Debian's Chromium, which is installed if it is missing and can be.
test-browser: $(VENV)/.dev
	@$(VENV)/bin/python tests/browser/chromium.py
	@$(RUN) pytest --no-header -q -rs tests/browser

# The lowest versions of what the package needs, with the newest of what only its tests need.
test-lowest: $(LOWEST)/.dev
	@$(LOWEST)/bin/python -m pytest --no-header -q -n 2 --dist worksteal \
		tests/core tests/properties tests/adapters tests/scenarios

lint: $(VENV)/.dev
	@printf 'lint      ' && $(RUN) ruff check -q --output-format concise . && echo 'ok'
	@printf 'format    ' && $(RUN) ruff format --check .
	@printf 'layers    ' && { report=$$($(VENV)/bin/lint-imports --no-cache --no-logo) \
		&& echo 'ok' || { echo; echo "$$report"; exit 1; }; }

	@printf 'workflows ' && $(VENV)/bin/check-jsonschema -q \
		--builtin-schema vendor.github-workflows .github/workflows/*.yml && echo 'ok'
	@printf 'changelog ' && $(RUN) towncrier build --draft >/dev/null 2>&1 && echo 'ok'

types: $(VENV)/.dev
	@printf 'mypy      ' && $(RUN) mypy
	@printf 'pyright   ' && $(RUN) pyright --pythonpath $(VENV)/bin/python

# What is measured is kept in docs/project/benchmarks.json. NAMES='message serving' restricts it.
bench: $(VENV)/.dev
	@$(VENV)/bin/python tests/bench/track.py $(NAMES)

bench-compare: $(VENV)/.dev
	@$(VENV)/bin/python tests/bench/track.py --compare $(NAMES)

accuracy: $(VENV)/.dev
	@PYTHONPATH=tests/harness $(RUN) accuracy
	@PYTHONPATH=tests/harness $(RUN) accuracy --words

# A hundred thousand calls take half an hour on two cores.
simulate: $(VENV)/.dev
	@$(VENV)/bin/twilio-realtime simulate --calls $(CALLS) --seed $(SEED)

# Results are written to docs/project/mutants.md. BUGS='--bug mute' restricts the run to bugs of that name.
mutants: $(VENV)/.dev
	@PYTHONPATH=tests/harness $(RUN) mutants $(BUGS)

# Fuzzers write what they find below build; the corpora in fuzz are only read.
fuzz: $(VENV)/.fuzz
	@set -e; for target in fuzz/fuzz_*.py; do \
		name=$$(basename $$target .py); name=$${name#fuzz_}; found=build/fuzz/$$name; \
		mkdir -p $$found; \
		printf '%-10s' $$name; \
		if $(VENV)/bin/python $$target -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=$$found/ $$found fuzz/corpus/$$name >$$found.log 2>&1; \
		then tail -n 1 $$found.log; \
		else echo "failed; the input is in $$found"; tail -n 40 $$found.log; exit 1; fi; \
	done

# The site is in build/site; a warning is an error, and so is a link that leads nowhere.
docs: $(VENV)/.dev
	@printf 'docs      ' && $(VENV)/bin/python docs/tools/build_site.py

# Moves the fragments of changelog.d into CHANGELOG.md, under the version of the package.
changelog: $(VENV)/.dev
	@$(RUN) towncrier build --yes

format: $(VENV)/.dev
	@$(RUN) ruff check -q --fix . || true
	@$(RUN) ruff format .

clean:
	@rm -rf .venv .venv-* build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

%/bin/python:
	@command -v '$(PYTHON)' >/dev/null || { \
		echo '$(PYTHON) was not found; install Python 3.11 or newer, or name it: make PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv'; exit 1; }
	@$(PYTHON) -m venv --clear $*

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(call install,$(VENV),-e '.[dev]')
	@touch $@ && $(VENV)/bin/python -V

$(VENV)/.fuzz: $(VENV)/.dev
	$(call install,$(VENV),-e '.[fuzz]')
	@touch $@

$(LOWEST)/.dev: $(LOWEST)/bin/python pyproject.toml
	@$(LOWEST)/bin/python tests/harness/lowest_versions.py >$(LOWEST)/constraints.txt
	$(call install,$(LOWEST),-c $(LOWEST)/constraints.txt -e '.[test]')
	@touch $@ && cat $(LOWEST)/constraints.txt

# Install into an environment. (Its folder, and what to install.)
define install
@printf 'install   '
@$1/bin/python -m pip install $2 >$1/install.log 2>&1 || { \
	echo 'failed'; grep ERROR $1/install.log | head -n 3; \
	echo 'pip could not install what the project needs (everything it said: $1/install.log).'; \
	echo 'If pypi.org is out of reach, name another index: PIP_INDEX_URL=... make ...'; exit 1; }
endef
