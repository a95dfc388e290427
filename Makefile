# make demo    a picture from an example sound, from nothing but Python 3.11 or newer
# make test    everything that must hold
# make bench   how fast it is, beside what the machine can do
# make bench-training   how fast it learns, likewise

PYTHON ?= python3
BIN := .venv/bin

.DELETE_ON_ERROR:
.PHONY: demo test bench bench-training clean

demo: .venv/installed
	@$(BIN)/s2s generate examples/sounds/rain.wav --out demo.png --size 512 --show --force > /dev/null
	@echo "Your picture is $(CURDIR)/demo.png. Now with a sound of your own: $(BIN)/s2s generate SOUND"

# One thread for each of the two workers: on two cores four would wait for each other.
test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

bench: .venv/installed-dev
	$(BIN)/python tests/benchmarks/speed.py

bench-training: .venv/installed-dev
	$(BIN)/python tests/benchmarks/training.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("s2s needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv dist demo.png
