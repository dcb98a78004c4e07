# Everything runs in .venv, an environment of its own: the project installs a top-level package `kernels`, which would shadow
# the package of that name on PyPI for whoever shared an environment with it. ARGS are passed on: make bench ARGS=--quick

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup bench test soak gates lint gpu
setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is not: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into .venv: a few minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test,lint,peers]'
	@touch $@

bench: setup
	@$(BIN)/python -m bench all $(ARGS)

# In up to four processes, a file in one: with -n 0 in ARGS, in one.
test: setup
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

soak: setup
	@$(BIN)/python -m pytest -m soak $(ARGS)

# What every resident kernel of the suites would use of an H100: a table, and a failure where one spills.
gates: setup
	@$(BIN)/python -m pytest -m gates -s $(ARGS)

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# On a machine with a GPU, which may be unable to install anything: without .venv, on the torch and triton that are there.
gpu:
	@$(PYTHON) -m bench campaign $(ARGS)
