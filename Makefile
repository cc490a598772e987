# Every chore of the project by its name; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BEGUN := $(VENV)/.begun

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench docs constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile | \
		while IFS=: read -r name text; do printf '  make %-12s%s\n' "$$name" "$$text"; done

setup: $(READY) ## install everything into .venv (PYTHON=python3.12 to choose)
	@sh scripts/system_libraries.sh

# A set-up that died half-way leaves .begun behind, and the next one starts afresh.
$(READY): pyproject.toml constraints.txt
	@if [ -e $(BEGUN) ]; then rm -rf $(VENV); fi
	@mkdir -p $(VENV) && touch $(BEGUN)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "pip>=25.1"
	$(BIN)/python -m pip install -c constraints.txt -e ".[gui,encoders]" --group dev
	@mv $(BEGUN) $@

demo: setup ## train, predict and score in about three minutes (DATA=folder for your own)
	$(BIN)/python -m napari_unet demo --out demo $(if $(DATA),--data "$(DATA)")

test: setup ## run the tests (ARGS="-k masks" for some of them)
	$(BIN)/python -m pytest $(ARGS)

lint: setup ## check style, types and the arrows between the modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure speed and memory
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/batch.py
	xvfb-run -a -s "-screen 0 1280x800x24" $(BIN)/python benchmarks/stalls.py

docs: setup ## draw the pictures of the README and the tutorials
	xvfb-run -a -s "-screen 0 1920x1200x24" $(BIN)/python docs/pictures.py

constraints: setup ## move to the newest versions and write them down
	$(BIN)/python -m pip install --upgrade --upgrade-strategy eager -e ".[gui,encoders]" --group dev
	@sed -n '/^#/p' constraints.txt > $(VENV)/frozen
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' >> $(VENV)/frozen
	@mv $(VENV)/frozen constraints.txt

clean: ## remove .venv and the caches (demo/ stays: it holds your model)
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
