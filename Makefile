# Three commands for a person: make demo, make test, make lint. Each sets up .venv when it is missing or out of date.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PYTHONDONTWRITEBYTECODE =
export DO_NOT_TRACK := 1
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: setup demo test lint lock campaign clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Hallmark needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --compile-bytecode -r requirements.lock
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $(STAMP)

demo: setup
	"$(BIN)/hallmark" run

test: setup
	bash .ci/test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tasks dvcfile --check
	$(BIN)/codespell
	$(BIN)/mypy
	# pyfunc_model.py is code that MLflow loads by itself, not a module to import
	$(BIN)/python -m pytest --doctest-modules hallmark tasks -q --ignore=hallmark/tracking/pyfunc_model.py

# every transitive dependency; torch without a build tag, so that each machine takes its own build
lock: setup
	rm -f requirements.lock  # pins of the old file would choose torch's CUDA build over the one offered here
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --extra pretrained --extra wandb --python-version 3.11 --no-header --no-annotate \
		--output-file requirements.lock
	sed -i 's/^torch==\([0-9.]*\)+.*/torch==\1/' requirements.lock

campaign: setup
	$(BIN)/python -m pytest tests -m campaign -q

clean:
	rm -rf .hallmark mlflow.db mlartifacts reports/run.json
