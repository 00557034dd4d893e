# `make lab` and `make test` are the two commands; `make help` lists the others.
PYTHON ?= python3
NB ?=
PY := .venv/bin/python
NBVAL := $(PY) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 300 -n 2 --dist loadscope
export TORCH_INDEX

.PHONY: lab test lint unit lectures check notebooks run sheets browser bench help
.DEFAULT_GOAL := help

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*##/make \1\t/p' Makefile | expand -t 18

.venv/installed: pyproject.toml bootstrap.py
	$(PYTHON) bootstrap.py

sheets: .venv/installed
	@$(PY) -m vae_course.notebooks sheets

lab: sheets  ## open JupyterLab in notebooks/ (your copies of the sheets: my-sheets/)
	$(PY) -m jupyterlab --notebook-dir=notebooks $(LAB_OPTIONS)

test: lint unit lectures  ## linters, unit tests, every lecture and solution

lint: .venv/installed  ## ruff and mypy
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

unit: .venv/installed  ## unit tests, and the tests of the notebooks' files
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadscope tests

lectures: .venv/installed  ## every lecture and every solution through nbval
	OMP_NUM_THREADS=1 $(NBVAL) notebooks/[0-9]*.ipynb notebooks/solutions

check: sheets  ## check your copy of a sheet: make check NB=07
	@$(PY) -m vae_course.notebooks check "$(NB)" || true  # the lines say it; no error of make beside them

notebooks: .venv/installed  ## rebuild and execute what changed in notebooks/source
	$(PY) -m vae_course.notebooks build

run: .venv/installed  ## execute one lecture and its sheet's solution: make run NB=07
	$(PY) -m vae_course.notebooks run "$(NB)"

browser: .venv/installed  ## move every slider in a browser (needs Chromium)
	$(PYTHON) bootstrap.py browser && $(PY) -m pytest tests/browser.py

bench: .venv/installed  ## time log p(x), training and convolutions, each beside the plain way
	$(PY) tests/bench.py
