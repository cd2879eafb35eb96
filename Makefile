# Two commands to start with: `make demo` and `make test`. Each makes .venv with every extra first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: setup demo test lint bench docs clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@echo "Installing edgec with every extra into $(VENV): some minutes and 3 GB, the first time."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[all,dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

test: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy edgec
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/run_all.py

docs: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist out
