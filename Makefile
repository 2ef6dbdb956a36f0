# Two commands do everything: `make demo` and `make test`. Nothing outside this checkout is touched.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
ROOMS := edge_vl edge_runtime export calibration jetson demo tests

.PHONY: setup demo test check format slow bench wheel lock clean

setup: $(STAMP)

$(STAMP): pyproject.toml requirements/workbench.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "what: the workbench needs Python 3.11 or newer\nwhy:  $(PYTHON) is " + sys.version.split()[0] + "\ndo:   make PYTHON=python3.11 " + "$(MAKECMDGOALS)")'
	@echo "setting up .venv (about a minute, 1.3 GB) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/workbench.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/edge-vl demo

# Two processes share the files of tests; one thread each, so that they do not fight for the cores.
test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

slow: setup
	@$(BIN)/python -m pytest -m slow

# make bench BUNDLE=path/to/bundle FLAGS="--runs 5 --out docs/bench/name.json"; a tiny random model without BUNDLE.
bench: setup
	@if [ -n "$(BUNDLE)" ]; then exec $(BIN)/edge-vl bench "$(BUNDLE)" $(FLAGS); fi; \
	work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m demo.random_checkpoint tiny "$$work/checkpoint" --layout original && \
	$(BIN)/edge-vl export "$$work/checkpoint" "$$work/tiny-random" && \
	$(BIN)/edge-vl bench "$$work/tiny-random" $(FLAGS)

# What an earlier build left in build/lib would slip in.
wheel: setup
	@rm -rf build/lib
	@$(BIN)/python -m build --wheel --no-isolation

check: setup
	@$(BIN)/ruff format --check $(ROOMS)
	@$(BIN)/ruff check $(ROOMS)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format $(ROOMS)
	@$(BIN)/ruff check --fix $(ROOMS)

# Writes the lock files anew from pyproject.toml; torch stays out (see docs/decisions.md).
lock:
	@sh requirements/lock.sh $(PYTHON)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
