# `make demo` and `make test` need nothing but Python 3.11+ and make: each sets up .venv on its own.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench

# torch is installed first and by itself, so that pip takes the version of the constraints file and nothing newer.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/negreplay run digits

test: .venv/installed
	$(BIN)/pytest

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(MAKE) test

bench: .venv/installed
	$(BIN)/negreplay run cifar50-nc
	$(BIN)/negreplay run cifar50-nic
