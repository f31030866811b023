PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell grep '^torch==' requirements.lock)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test ui install lint types format check slow clean

demo: $(STAMP)  ## Run the testbed study and print where its report is
	$(BIN)/seam run -e testbed --at-once 2

test: $(STAMP)  ## Run the test suite
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not gpu"

slow: $(STAMP)  ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow

ui: $(STAMP)  ## Open the study in Dagster on 127.0.0.1:3000
	$(BIN)/seam ui

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "seam_pipeline needs Python 3.11 to 3.13; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint types test

clean:  ## Remove the study's artifacts and Dagster's records, not the environment
	rm -rf data/artifacts history storage schedules logs
