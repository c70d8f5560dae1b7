# kubenet-lab: the usual tasks. `make` lists them. Needs Python 3.11 to 3.14 and make, nothing else:
# the virtual environment .venv is made when a task first needs it.
PY   ?= python3
VENV ?= .venv
JOBS ?= 2
BIN  := $(VENV)/bin
RUN  := $(BIN)/python

# a run of the tests or of the notebooks must never read or leave a learner's progress
export KUBENET_PROGRESS := none

.DEFAULT_GOAL := help
.PHONY: help lab test unit nbval notebooks bench proof gallery lint clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(VENV)/.learner ## open JupyterLab on your own copy of the first notebook
	env -u KUBENET_PROGRESS $(BIN)/kubenet-lab lab $(if $(LAB_ARGS),-- $(LAB_ARGS))

test: unit nbval ## run everything: unit, conformance and browser tests, then all notebooks under strict nbval

unit: $(VENV)/.tests
	$(RUN) -m pytest -n $(JOBS) --dist loadscope $(UNIT_ARGS) tests

nbval: $(VENV)/.tests
	$(RUN) -m pytest --nbval --nbval-cell-timeout 60 -n $(JOBS) --dist loadscope $(NBVAL_ARGS) notebooks

notebooks: $(VENV)/.tests ## run all notebooks anew and store their outputs (README's too); look at the diff
	$(RUN) tools/run_notebooks.py
	$(RUN) tools/readme.py

bench: $(VENV)/.tests ## measure the benchmark cases and print a table
	$(RUN) tools/bench.py

proof: $(VENV)/.tests ## run the long comparisons with the real systems and write PROOF.md
	$(RUN) tools/proof.py

gallery: $(VENV)/.tests ## render every figure, widget and notebook into build/gallery
	$(RUN) tools/gallery.py

lint: $(VENV)/.tests ## ruff over everything, mypy strict over the package
	$(RUN) -m ruff check .
	$(RUN) -m mypy

clean: ## remove what the tasks made, except .venv and your course/
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage coverage.xml
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(RUN):
	@$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' \
	  || { echo "kubenet-lab needs Python 3.11 to 3.14, and $(PY) is `$(PY) -V`. Name another one: make PY=python3.12 ..."; exit 1; }
	$(PY) -m venv $(VENV)

$(VENV)/.learner: binder/requirements.txt pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r binder/requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.tests: tests/requirements.txt $(VENV)/.learner
	$(RUN) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
