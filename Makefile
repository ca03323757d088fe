# Three commands for a person: make demo, make test, make lint. Each sets up .venv when it is missing or out of date:
# demo with what a user needs (requirements.lock), test and lint with their own packages too (requirements-dev.lock).
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USER := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PYTHONDONTWRITEBYTECODE =
export DO_NOT_TRACK := 1
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: setup setup-dev demo test lint lock campaign mutants clean
.DEFAULT_GOAL := setup

# what a user needs; the stamp of a set-up with the tests' packages counts as well
setup: $(USER)

# and what the tests and the linters need besides
setup-dev: $(DEV)

$(USER): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" bash .ci/setup requirements.lock
	@touch $@

$(DEV): requirements.lock requirements-dev.lock pyproject.toml
	@PYTHON="$(PYTHON)" bash .ci/setup requirements-dev.lock
	@touch $(USER) $@

demo: setup
	"$(BIN)/hallmark" run

test: setup-dev
	bash .ci/test

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tasks dvcfile --check
	$(BIN)/codespell
	$(BIN)/mypy
	# pyfunc_model.py is code that MLflow loads by itself, not a module to import
	$(BIN)/python -m pytest --doctest-modules hallmark tasks -q --ignore=hallmark/tracking/pyfunc_model.py

# every transitive dependency; torch without a build tag, so that each machine takes its own build.
# requirements-dev.lock adds what the extras bring, at the versions that suit requirements.lock
lock: setup
	bash .ci/lock

campaign: setup-dev
	$(BIN)/python -m pytest tests -m campaign -q

# how many small faults, planted one at a time, the unit tests notice (docs/mutation.md); `make mutants ARGS="--sample 0"`
mutants: setup-dev
	$(BIN)/python .ci/mutants $(ARGS)

clean:
	rm -rf .hallmark mlflow.db mlartifacts reports/run.json
