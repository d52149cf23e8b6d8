# Everything runs in .venv, which is made on demand from Python, pip and make alone.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# For a CPU-only torch on a machine that would otherwise fetch the CUDA build:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
INDEX  := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(INDEX) -c constraints.txt
INPUTS := pyproject.toml constraints.txt Makefile

.PHONY: help demo setup test quick lint bench clean
help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, not " \
	    + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	$(PIP) -e '.[all]'
	@touch $@

$(VENV)/.setup: $(INPUTS) | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.setup  ## make .venv with everything that development needs

demo: $(VENV)/.demo  ## train two LSTMs, written as equations, on real text (about a minute)
	$(BIN)/python examples/demo.py

test: $(VENV)/.setup  ## the whole test suite
	$(BIN)/python -m pytest -n auto

quick: $(VENV)/.setup  ## the part of the tests that takes under a minute
	$(BIN)/python -m pytest -n auto -m 'not slow'

lint: $(VENV)/.setup  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/.setup  ## timings against torch, all sides alternating in one process; also in runs/bench.json
	$(BIN)/python -m benchmarks --json runs/bench.json

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
