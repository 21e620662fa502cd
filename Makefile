# Every target makes .venv where it is missing. Python 3.11 or later, nothing else is assumed.
PYTHON ?= python3
BIN := .venv/bin

# PyTorch of `make test-oldest`. pyproject.toml allows 2.9.0: take it where pip finds a CPU build of it.
OLDEST_TORCH ?= 2.13.0

.PHONY: demo test test-oldest lint types docs tests notebook format clean

demo: .venv/installed
	$(BIN)/carousel demo

# The tests build the site, too.
test: lint types tests

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: .venv/installed
	$(BIN)/mypy

# Strict: a broken link, a page outside the navigation or a name that is not there ends it. Nothing is loaded from elsewhere.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Runs the notebook and stores what it shows.
notebook: .venv/installed
	$(BIN)/python tests/helpers/notebook.py docs/tutorial/*.ipynb

# Bytecode is kept, since the tests start many processes.
tests: .venv/installed
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal -rs

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The suite with the oldest packages that pyproject.toml allows, in an environment of its own.
test-oldest: .venv-oldest/installed-$(OLDEST_TORCH)
	.venv-oldest/bin/python -m pytest -n auto --dist worksteal -rs

.venv-oldest/installed-$(OLDEST_TORCH): pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear .venv-oldest
	echo torch==$(OLDEST_TORCH) > .venv-oldest/torch.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -c .venv-oldest/torch.txt -e '.[dev]'
	touch $@

# Exact versions: constraints.txt also keeps PyTorch at its CPU build.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-oldest build
