# One command for everything: make demo, make test, make check.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: help demo test test-all lint types contracts check chaos sabotage bench docs docs-images lock clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.run ## install, then run the main job on two tables
	$(BIN)/plumbline demo

test: check ## install, then run every check and every test
	$(BIN)/python -m pytest -n $${PYTEST_WORKERS:-2} --dist loadgroup --durations=30

test-all: check ## also the exhaustive tests, which take minutes each
	$(BIN)/python -m pytest -n $${PYTEST_WORKERS:-2} --dist loadgroup --durations=30 -m ""

check: lint types contracts ## lint, types and import contracts

lint: $(VENV)/.test ## style of code and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m scripts.check_prose

types: $(VENV)/.test ## static types
	$(BIN)/mypy

contracts: $(VENV)/.test ## who may import whom
	$(BIN)/lint-imports --no-cache

chaos: $(VENV)/.test ## kill processes and databases hundreds of times; takes hours
	$(BIN)/python -m tests.chaos --database sqlite --kills 200 --seed 7
	$(BIN)/python -m tests.chaos --database postgresql --kills 200 --seed 7
	for store in sqlite postgresql mariadb; do $(BIN)/python -m tests.chaos --database $$store --wide --kills 40 --seed 7 || exit; done
	$(BIN)/python -m tests.chaos --database sqlite --source postgresql --wide --kills 40 --seed 7
	$(BIN)/python -m tests.chaos --database postgresql --source mariadb --wide --kills 40 --seed 7

sabotage: $(VENV)/.test ## break thirteen guarantees in a copy, one by one, and print which tests notice
	$(BIN)/python -m scripts.sabotage

bench: $(VENV)/.test ## measure; PLUMBLINE_DATA names the folder of labelled data sets
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.scale --online --rows 100000
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.tabular --data "$${PLUMBLINE_DATA:?name the folder of labelled data sets}/adbench"
	$(BIN)/python -m benchmarks.calibration --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.contamination --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.labels --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.attribution --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.neighbours --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.sizes --data "$${PLUMBLINE_DATA}/adbench"
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.operations
	$(BIN)/python -m benchmarks.histories
	$(BIN)/python -m benchmarks.retention
	$(BIN)/python -m benchmarks.store_queries
	$(BIN)/python -m benchmarks.page_times
	$(BIN)/python -m benchmarks.sensors --data "$${PLUMBLINE_DATA}/sensors" --seeds 0,1,2

docs-images: $(VENV)/.test ## pictures of the pages in the documents, from the demo in Chromium
	@test -f demo/plumbline.db || $(BIN)/plumbline demo
	$(BIN)/python -m scripts.docs_images

docs: $(VENV)/.test ## the documentation as a site in docs/_build
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo "Open docs/_build/index.html"

lock: ## update the pinned dependencies, with hashes (needs uv)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header -o requirements/run.txt
	uv pip compile pyproject.toml --group build --group test --universal --python-version 3.11 --generate-hashes --no-header \
		-c requirements/run.txt -o requirements/test.txt
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header \
		--overrides requirements/worker_overrides.txt -c requirements/run.txt -o requirements/worker.txt

clean: ## remove what the other commands made
	rm -rf $(VENV) demo build dist docs/_build docs/reference .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Each stamp stands for an environment that holds what its lock file names; a second call installs nothing.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@$(MAKE) --no-print-directory environment LOCK=requirements/run.txt
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml
	@$(MAKE) --no-print-directory environment LOCK=requirements/test.txt
	@touch $@ $(VENV)/.run

.PHONY: environment
environment:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
		"Plumbline needs Python 3.11, 3.12 or 3.13; this is %d.%d. Name another: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
