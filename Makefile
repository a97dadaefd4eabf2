# Everything happens in .venv, which is made once and anew when the dependencies change.
#
#   make run     serve the page at http://127.0.0.1:7860
#   make test    all tests
#   make check   ruff and mypy
#   make bench   the measurements behind docs/benchmarks.md
#   make clean   remove what the above made (the state under ~/.guardui stays)

PYTHON ?= python3
VENV   ?= .venv
PYTEST_FLAGS ?=
# Tests with the demo base look for it here; `guardui fetch` puts it there.
GUARDUI_TEST_MODELS ?= $(or $(GUARDUI_HOME),$(HOME)/.guardui)/models
export GUARDUI_TEST_MODELS

BIN := $(VENV)/bin
# Python compiles a module when it is first imported; pip would compile all that it installs, of
# which most is never used: half of the time that it takes.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: run test check bench clean
.DELETE_ON_ERROR:

run: $(VENV)/.run
	@$(BIN)/guardui fetch || echo "The page starts all the same; a run fetches its base model first."
	$(BIN)/guardui serve

# Tiny models gain nothing from threads: the files of tests are shared out over the cores instead.
test: $(VENV)/.dev
	@command -v chromium >/dev/null || \
		echo "No chromium: the browser tests are skipped (Debian: apt-get install chromium)."
	@$(BIN)/guardui fetch || echo "No demo base model: the tests marked slow are skipped."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(PYTEST_FLAGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	@$(BIN)/guardui fetch
	@for script in tests/bench/*.py; do \
		[ -f "$$script" ] || continue; \
		echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find app.py guardui pipelines db spaces tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("GuardUI needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing GuardUI and its libraries into $(VENV); the first time takes minutes."
	$(INSTALL) -e .
	@touch $@

# All at once: each further run of pip's would resolve and build anew.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing GuardUI, its libraries and its tests' into $(VENV); the first time takes minutes."
	$(INSTALL) -e ".[test,dev]"
	@touch $(VENV)/.run $@
