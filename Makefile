# Each target sets up what it needs, prints what it does, and may be run again.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down demo-env check test lint bench setup repository venv images format lock clean
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
export PYTHON
VENV := .venv/bin
# The engine, language host and plugin that `python -m toolchain` has found or made, for the rest of a recipe.
WITH_TOOLCHAIN = eval "$$($(VENV)/python -m toolchain env)"
TESTS ?=
# Tests run side by side: they wait for containers and the engine for more than half of their time.
WORKERS ?= 4

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: setup  ## Bring up a pad on this machine, push a change, see it live; the services keep running
	@$(WITH_TOOLCHAIN) && $(VENV)/python -m demo up

demo-down: venv  ## Remove what the demo made, and nothing else
	@$(VENV)/python -m toolchain ensure
	@$(WITH_TOOLCHAIN) && $(VENV)/python -m demo down

demo-env:  ## Print the shell environment of the demo: eval "$(make -s demo-env)"
	@$(VENV)/python -m toolchain env && $(VENV)/python -m demo env

check: lint  ## Check what can be checked in minutes, without engine and Docker: style, types, borders, units, fakes
	@$(VENV)/python -m pytest -m check tests/unit tests/contract --timeout 5 --timeout-method thread -n auto $(TESTS)

test: lint  ## Check everything: style, types, borders, then all tests on real parts (TESTS="path -k word")
	@$(VENV)/python -m toolchain ensure tests
	@$(WITH_TOOLCHAIN) && $(VENV)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

lint: venv  ## Check style, types and the import contracts
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports

bench: setup  ## Measure the claimed speed, as ratios in one run
	@$(WITH_TOOLCHAIN) && $(VENV)/python -m pytest tests/benchmarks --timeout 900 $(TESTS)

setup: venv  ## Make .venv, get the engine, the language host, the Docker plugin, and images if need be
	@$(VENV)/python -m toolchain ensure images

repository: venv  ## Make a repository for your collective (PLACE=~/infrastructure REMOTE=URL)
	@$(VENV)/python -m toolchain repository "$(PLACE)" --remote "$(REMOTE)"

venv:
	@sh toolchain/setup.sh

images: venv  ## Build the images of the local stack here, from Debian and npm packages
	@$(VENV)/python -m toolchain images

format: venv  ## Format the code
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

lock: venv  ## Pin the newest versions that pyproject.toml allows
	@sh toolchain/lock.sh

clean:  ## Remove what was made in the clone; the cache outside of it stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
