# Everything runs in .venv, an environment of its own: the project installs a top-level package `kernels`, which would shadow
# the package of that name on PyPI for whoever shared an environment with it. ARGS are passed on: make bench ARGS=--quick

PYTHON ?= python3
BIN := .venv/bin

# Runs and tests start many processes: without kept bytecode each would compile every module of the project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup bench test test-full check faults test-oldest soak gates verdicts lint peers cpu-peers gpu rehearsal
.NOTPARALLEL:
setup: .venv/.installed
peers: .venv/.installed-peers
cpu-peers: .venv/.installed-cpu-peers

# What a run needs. Tests, linters and the libraries that a run compares with are installed by the targets that use them.
.venv/.installed: pyproject.toml constraints.txt
	@$(call venv,.venv)
	@$(call install,.venv,constraints.txt,.)
	@touch $@

.venv/.installed-%: .venv/.installed
	@$(call install,.venv,constraints.txt,.[$*])
	@touch $@

# The oldest versions that pyproject.toml allows: as wheels, since a version without one for this Python takes a quarter of an hour to build.
.venv-oldest/.installed: pyproject.toml .ci/oldest.py
	@$(call venv,.venv-oldest)
	@.venv-oldest/bin/python .ci/oldest.py > .venv-oldest/constraints.txt
	@$(call install,.venv-oldest,.venv-oldest/constraints.txt,$(TESTED),--only-binary=:all:)
	@touch $@

TESTED := .[test,peers]

define venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is not: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }; \
	$(PYTHON) -m venv $(1)
endef

# Without bytecode: Python compiles and keeps that of what is imported, a small part of what is installed.
define install
echo "Installing $(3) into $(1): a few minutes the first time"; \
	$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-compile -c $(2) -e '$(3)' $(4)
endef

bench: setup
	@$(BIN)/python -m bench all $(ARGS)

# In up to four processes (tests/conftest.py); with -n 0 in ARGS, in one.
PYTEST := python -m pytest -n auto --dist worksteal

test: .venv/.installed-test .venv/.installed-peers
	@$(BIN)/$(PYTEST) $(ARGS)

# The same, of each test with many parameters all of them instead of a sample, and C++ as users compile it.
test-full: .venv/.installed-test .venv/.installed-peers
	@$(BIN)/$(PYTEST) -m "not soak and not gates and not rehearsal" $(ARGS)

# The inner loop, within a minute: lint, types, the shape of the tree, the derivation, and one cell in each schedule.
check: lint .venv/.installed-test
	@$(BIN)/$(PYTEST) -q tests/test_architecture.py tests/test_names.py tests/test_adjoint.py tests/test_printed_source.py tests/test_schedules.py \
		tests/test_scan.py tests/test_kernels_stencil.py -k "test_architecture or test_names or test_adjoint or test_printed_source or test_upstream and gru or test_chunks_of_time and qrnn or test_in_double" $(ARGS)

# Do the tests find what they are for? Plants each fault of tests/planted that changed, in two copies of the tree: half an hour for all.
faults: .venv/.installed-test .venv/.installed-peers
	@$(BIN)/python -m tests.planted.plant --jobs 2 $(ARGS)

# The same where everything is as old as it may be.
test-oldest: .venv-oldest/.installed
	@.venv-oldest/bin/$(PYTEST) $(ARGS)

soak: .venv/.installed-test
	@$(BIN)/python -m pytest -m soak $(ARGS)

# What every persistent kernel of the suites would use of an H100, with the newest Triton and with the oldest: a table of each, and a failure
# where a kernel spills, repeats the pointwise step or chains its loads.
gates: .venv/.installed-test .venv-oldest/.installed
	@$(BIN)/python -m pytest -m gates -s $(ARGS)
	@.venv-oldest/bin/python -m pytest -m gates -s $(ARGS)

# Read the machine code of the suites' and the usual kernels again, after a change to their text: with the newest Triton and with the oldest.
verdicts: .venv/.installed-test .venv-oldest/.installed
	@rm -f kernels/verdicts/*.json
	@for venv in .venv .venv-oldest; do $$venv/bin/python tests/offline_persistent.py verdicts > /dev/null || exit 1; done

lint: .venv/.installed-lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# On a machine with a GPU, which may be unable to install anything: without .venv, on the torch and triton that are there.
gpu:
	@$(PYTHON) -m bench campaign $(ARGS)

# That campaign on a CPU. With IMAGE=/path/to/python it runs under that of an environment like the machine's: what .venv-oldest has but for
# the bundle's wheels, and the bundle is made by .venv-oldest, whose Triton is that machine's.
rehearsal: $(if $(IMAGE),.venv-oldest/.installed,.venv/.installed-test)
	@REHEARSAL_PYTHON=$(IMAGE) $(if $(IMAGE),.venv-oldest/bin,$(BIN))/python -m pytest -n 0 -m rehearsal tests/test_rehearsal.py $(ARGS)
