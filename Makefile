# Works in make 3.81. PYTHON is any Python 3.11 to 3.14; TORCH=cpu takes PyTorch from its own index without CUDA.
PYTHON ?= python3
TORCH ?=
VENV = .venv
BIN = $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN = $(VENV)/Scripts
endif
PIP = $(BIN)/python -m pip --disable-pip-version-check
TORCH_PIN = $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.PHONY: demo install test check bench honesty docs catalogues clean

demo: $(VENV)/installed
	$(BIN)/medladder study --out runs/demo --rungs prior,logistic,svm,nn,dnn

install: $(VENV)/installed

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	@for script in benchmarks/*.py; do echo; echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Everything docs/HONESTY.md states, some twenty hours on two cores. Stopped, it goes on where it was. CURVES: a file of
# learning curves measured by others (cohort, range, label_index, n_train, repeat, auroc), for the table on others' curves.
HONESTY ?= runs/honesty
CURVES ?=
honesty: $(VENV)/installed-dev
	$(BIN)/python honesty/claims.py $(HONESTY) --processes 2
	$(BIN)/python honesty/selection.py $(HONESTY) --processes 2
	$(BIN)/python honesty/curve_bank.py $(HONESTY)/curves.csv --cohorts 44 --parity odd --processes 2
	$(BIN)/python honesty/forecasts.py $(HONESTY)/curves.csv
	@if [ -n "$(CURVES)" ]; then $(BIN)/python honesty/learning_curves.py "$(CURVES)"; fi
	$(BIN)/python honesty/intervals.py $(HONESTY) --processes 2
	$(BIN)/python honesty/images.py $(HONESTY) --processes 2

# The messages of the code into src/medladder/catalogues, to be translated there.
catalogues: $(VENV)/installed-dev
	$(BIN)/python scripts/catalogues.py

docs: $(VENV)/installed-dev
	$(BIN)/python -m typer medladder.cli utils docs --name medladder --title 'The command line' --output docs/cli.md

$(VENV)/made: scripts/check_python.py
	@$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
ifeq ($(TORCH),cpu)
	$(PIP) install --index-url https://download.pytorch.org/whl/cpu $(TORCH_PIN)
endif
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
