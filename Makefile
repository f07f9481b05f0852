# Every target sets itself up in .venv, which is reused while pyproject.toml and
# constraints.txt stay as they are. `make demo` installs the core with the extras cli and
# report alone; `make test` and `make check` add the rest to the same .venv.

PYTHON ?= python3
OUT ?= isonomy-report

VENV := .venv
BIN := $(VENV)/bin
CORE := .venv-core
# errors alone: each step is announced by its own line
PIP := -m pip --disable-pip-version-check --quiet --quiet install --constraint constraints.txt
SPEC := pyproject.toml constraints.txt

export PYTHONUTF8 = 1
export MPLBACKEND = Agg

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean docs format \
        check-format check-lint check-types check-imports check-docs check-core

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## run the demonstration and write isonomy-report/index.html
	@$(BIN)/isonomy demo --output $(OUT)

# two pytest workers share two cores: more threads would only wait for each other
test check-docs: export OMP_NUM_THREADS = 1

test: $(VENV)/.dev ## run all tests and doctests
	@echo "== tests"
	@$(BIN)/python -m pytest --numprocesses 2 --quiet

check: check-format check-lint check-types check-imports check-docs check-core test ## what CI runs
	@echo "== all checks passed"

check-format: $(VENV)/.dev
	@echo "== format"
	@$(BIN)/ruff format --check .

check-lint: $(VENV)/.dev
	@echo "== lint"
	@$(BIN)/ruff check .

check-types: $(VENV)/.dev
	@echo "== types"
	@$(BIN)/mypy

check-imports: $(VENV)/.dev
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo

check-docs: $(VENV)/.dev ## run the examples of README and docs, and check that all names are there
	@echo "== docs"
	@$(BIN)/python -m pytest --quiet README.md docs tests/test_docs.py tests/test_docstrings.py

# Installed as a wheel, not editable: what is missing from the package is missing here.
check-core: $(CORE)/.core ## prove that the core works without any extra
	@echo "== core only"
	@rm -rf build
	@$(CORE)/bin/python $(PIP) --no-deps --force-reinstall .
	@rm -rf build
	@$(CORE)/bin/python -I -W error .ci/core_only.py

bench: $(VENV)/.dev ## run the benchmarks
	@for file in $(filter-out benchmarks/pretrain.py,$(wildcard benchmarks/*.py)); do \
	  [ -e "$$file" ] || { echo "no benchmarks yet"; break; }; \
	  echo "== $$file"; $(BIN)/python "$$file" || exit 1; \
	done

docs: $(VENV)/.dev ## write docs/api.md and docs/cli.md anew
	@$(BIN)/python docs/make_pages.py

format: $(VENV)/.dev ## format the code and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

clean: ## remove the environments, caches and the demonstration's report
	rm -rf $(VENV) $(CORE) build dist isonomy-report src/isonomy.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Only where an environment is made: afterwards its own Python counts.
define check-python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "isonomy needs Python 3.11 or newer, but '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>/dev/null | grep . || echo 'not there')." \
	    "Try: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)" >&2; exit 2; }
endef

# A stamp is written last: an interrupted set-up is started again.
$(VENV)/.made:
	$(check-python)
	@echo "== set-up: $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(SPEC) | $(VENV)/.made
	@echo "== set-up: isonomy with cli and report"
	@$(BIN)/python $(PIP) --editable '.[cli,report]'
	@touch $@

$(VENV)/.dev: $(SPEC) | $(VENV)/.made
	@echo "== set-up: isonomy with everything for tests (a few minutes the first time)"
	@$(BIN)/python $(PIP) --editable '.[dev]'
	@touch $@

$(CORE)/.core: pyproject.toml
	$(check-python)
	@echo "== set-up: $(CORE), the core alone"
	@$(PYTHON) -m venv --clear $(CORE)
	@$(CORE)/bin/python $(PIP) .
	@rm -rf build
	@touch $@
