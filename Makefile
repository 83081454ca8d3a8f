# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need.
.DEFAULT_GOAL := help
.PHONY: help demo test attack test-all check board site docs gpu release-check clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
# uv refuses an empty one, which an image has that takes torch from the index of all packages.
ifeq ($(UV_TORCH_BACKEND),)
unexport UV_TORCH_BACKEND
endif

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# uv installs in seconds what pip takes minutes for; it is fetched into the environment where it is missing.
$(SETUP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dxbench needs Python 3.11 or newer; try: make PYTHON=python3.11"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $(SETUP)

# 3,500 of the recipe's 6,000 iterations: under a minute on two idle cores, and the picture is as good.
demo: $(SETUP)  ## set up, run DxMI on 8 Gaussians for a minute, print the result and the path of its report
	$(BIN)/dxbench run --task gaussians8 --method dxmi --set iterations=3500

test: $(SETUP)  ## set up and run everything but the slow tests and the attacks
	$(BIN)/python -m pytest -n 2 -m "not slow and not attack"

attack: $(SETUP)  ## set up and attack every reader with hostile input, kill runs, fill disks
	$(BIN)/python -m pytest -n 2 -m attack

test-all: $(SETUP)  ## set up and run all tests
	$(BIN)/python -m pytest -n 2

check: $(SETUP)  ## formatting, lint, types and the arrows between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

board: $(SETUP)  ## regenerate what is committed and generated: tables from the records, lists for assistants, equations
	$(BIN)/dxbench leaderboard export leaderboards --page README.md --results results
	$(BIN)/python tools/assistants.py
	$(BIN)/python tools/equations.py

site: $(SETUP)  ## build the leaderboard of the committed records into build/site
	$(BIN)/dxbench leaderboard build --results results --out build/site --pictures

# What only the documentation needs is installed when it is first built.
$(VENV)/.docs: $(SETUP)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs  ## build the documentation into build/docs; a warning is an error
	$(BIN)/python tools/make_docs.py build/docs-source
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file build/docs-source/mkdocs.yml

BUDGET ?= 480
OUT ?= build/gpu
WORK ?= $(OUT)/work
gpu: $(SETUP)  ## checks, timings and training on a GPU within BUDGET seconds, in small without one; OUT is what comes back
	$(BIN)/python tools/gpu --budget $(BUDGET) --out $(OUT) --work $(WORK)

release-check: $(SETUP)  ## build sdist and wheel, install and run them outside the checkout, check all that is released
	$(BIN)/python tools/release_check.py

clean:  ## remove the environment and the runs
	rm -rf $(VENV) runs build
