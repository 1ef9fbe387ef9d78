# The commands of the project; `make help` lists them. Nothing but Python 3.11 or newer (with venv) and make is
# needed. The environment is made in .venv from the locked, hashed requirements, once for each state of the lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 0
PYTEST_WORKERS ?= 2

# A stamp names the content it was made from, so a warm run does nothing and a changed lock installs again.
key = $(shell cat $(1) pyproject.toml 2>/dev/null | cksum | tr -d ' ')
RUN_STAMP := $(VENV)/.installed-run-$(call key,requirements.lock)
DEV_STAMP := $(VENV)/.installed-dev-$(call key,requirements-dev.lock)

.PHONY: help report test lab proof lint lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

DEMO := data/demo/truth.parquet

# The simulated programme is made from its seed where it is not there; it is not kept in the repository.
$(DEMO): | $(RUN_STAMP)
	$(BIN)/clinops simulate data/demo --replace

# And one in which clinics begin at different times.
ROLLOUT := data/rollout/truth.json

$(ROLLOUT): | $(RUN_STAMP)
	$(BIN)/clinops simulate data/rollout --replace --waves 4 --holdout-clinics 6 --ramp 180 --effect 0.2 --seed 20260102

report: $(RUN_STAMP) $(DEMO) $(ROLLOUT) ## run the notebooks of notebooks/report.yaml and write reports/index.html
	$(BIN)/clinops report $(if $(filter-out 0,$(JOBS)),--jobs $(JOBS))

# A file stays on one worker: its fixtures are often reports, which take seconds to make. (Groups by mark are lost between
# pytest 9.2 and pytest-xdist 3.8.)
test: $(DEV_STAMP) ## run the tests (the slow proofs apart)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

# Kernels work in the project folder, as under `clinops run`, and their traffic is encrypted.
lab: $(RUN_STAMP) ## open JupyterLab on the notebooks
	CLINOPS_PROJECT="$(CURDIR)" PYTHONSTARTUP="$(CURDIR)/clinops/runner/lab.py" \
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks \
	--KernelManager.transport_encryption=auto $(LAB_ARGS)

proof: $(DEV_STAMP) ## run the slow proofs: many seeds, large data (minutes)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m slow $(PYTEST_ARGS)

lint: $(DEV_STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## print how to compile the locked requirements again (needs uv)
	@echo 'uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \'
	@echo '  pyproject.toml requirements-build.in --extra lab --extra postgres --extra documents -o requirements.lock'
	@echo 'uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \'
	@echo '  pyproject.toml requirements-build.in --extra dev -c requirements.lock -o requirements-dev.lock'

clean: ## remove the environment, caches and unfinished runs; reports stay
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache build dist
	rm -rf reports/.running-* reports/.replaced-*
	find clinops tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@sh .ci/make-venv $(VENV)

$(RUN_STAMP): | $(VENV)/bin/python
	@sh .ci/install $(VENV) requirements.lock
	@rm -f $(VENV)/.installed-run-*
	@touch $@

$(DEV_STAMP): | $(VENV)/bin/python
	@sh .ci/install $(VENV) requirements-dev.lock
	@rm -f $(VENV)/.installed-dev-*
	@touch $@
