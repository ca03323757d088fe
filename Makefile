# Commands: make demo, make test, make lint. Each sets up .venv if it is missing or out of date: demo with the packages
# of a user (requirements.lock), test and lint with their own packages too (requirements-dev.lock).
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

# packages of a user; a set-up with the packages of the tests counts too
setup: $(USER)

# also the packages of tests and linters
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
	# MLflow loads pyfunc_model.py as code; it is not a module to import
	$(BIN)/python -m pytest --doctest-modules hallmark tasks -q --ignore=hallmark/tracking/pyfunc_model.py

# pins every transitive dependency; torch has no build tag, so that each machine installs its own build.
# requirements-dev.lock adds the packages of the extras, at versions compatible with requirements.lock
lock: setup
	bash .ci/lock

campaign: setup-dev
	$(BIN)/python -m pytest tests -m campaign -q

# how many planted faults the unit tests notice (docs/mutation.md); options as ARGS="--sample 0"
mutants: setup-dev
	$(BIN)/python .ci/mutants $(ARGS)

clean:
	rm -rf .hallmark mlflow.db mlartifacts reports/run.json
