# make demo, make test: both make .venv where it is missing. Python 3.11 or later, nothing else is assumed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types tests format clean

demo: .venv/installed
	$(BIN)/carousel demo

test: lint types tests

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: .venv/installed
	$(BIN)/mypy

tests: .venv/installed
	$(BIN)/python -m pytest -n auto

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Exact versions: constraints.txt also keeps PyTorch at its CPU build.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv
