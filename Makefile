# `make demo` and `make test` need nothing but Python 3.11+ and make: each sets up .venv on its own.
PYTHON ?= python3
BIN := .venv/bin

# Each of the many processes of the tests would otherwise compile torch anew, where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test style check check-long bench

# torch is installed first and by itself, so that pip takes the version of the constraints file and nothing newer. Only
# what is imported gets compiled, when it is imported.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/negreplay run digits

test: .venv/installed
	$(BIN)/pytest --numprocesses auto --dist worksteal

style: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# The documentation site, in site/index.html; a warning or a link that leads nowhere is an error.
docs: .venv/installed
	$(BIN)/python docs/build.py

check: style docs test

# What takes too long for every change: fifty kills, fuzzing, a cluster, a million latents.
check-long: .venv/installed
	$(BIN)/pytest -m long --numprocesses 0

# Hours: the studies of benchmarks/, with images from $$NEGREPLAY_DATA and weights from $$NEGREPLAY_WEIGHTS.
bench: .venv/installed
	$(BIN)/negreplay run cifar50-nc-pooled
	$(BIN)/negreplay run cifar50-nic-pooled
	$(BIN)/negreplay run cifar50-nc --seeds 0 --precision bfloat16
	$(BIN)/negreplay run cifar50-nic --seeds 0 --precision bfloat16
	$(BIN)/negreplay run cifar50-nc-printed --seeds 0 --precision bfloat16
	$(BIN)/negreplay run cifar50-nic-printed --seeds 0 --precision bfloat16
	$(BIN)/negreplay run cifar50-nc-naive --precision bfloat16
	$(BIN)/negreplay run cifar50-nc-share --precision bfloat16
	$(BIN)/negreplay run cifar50-25x2 --seeds 0 --precision bfloat16
	$(BIN)/negreplay run cifar50-systems-pooled
	$(BIN)/negreplay run cifar50-systems
	$(BIN)/negreplay run split-mnist
	$(BIN)/negreplay run cifar50-winners
	$(BIN)/negreplay run cifar50-degraded
