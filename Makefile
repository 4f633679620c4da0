# Each target does all of its own set-up. PYTHON is any Python >= 3.11; nothing outside this folder changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One file at a time on each core, of four at most; each process is then given one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-fast test-matrix lint bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/equime demo demo

test: $(VENV)/dev.stamp
	$(PYTEST)

test-fast: $(VENV)/dev.stamp
	$(PYTEST) -m "not slow"

# The loader against the oldest and the newest `datasets`, on every Python >= 3.11 at hand.
test-matrix:
	PYTHON=$(PYTHON) ./tests/matrix.sh

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev.stamp
	$(BIN)/python bench/all.py

clean:
	rm -rf $(VENV) .venv-* build demo *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "EquiME needs Python 3.11 or newer: run make with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/demo.stamp
