# `make lab` and `make test` are the two commands; `make help` lists the others.
PYTHON ?= python3
NB ?=
ONLY ?=
FOLDER ?=
OUT ?=
SET ?=
PY := .venv/bin/python
COURSE := $(PY) -m vae_course.course
NBVAL := -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 300 -n 2 --dist loadscope
UNIT := -m pytest -n 2 --dist worksteal tests
export TORCH_INDEX

.PHONY: lab test quick lint unit lectures check grade notebooks run sheets data devices slides plateau prove browser bench oldest help
.DEFAULT_GOAL := help

define timed
	@began=$$(date +%s); $(1) && echo "--- make $@: $$(($$(date +%s) - began)) s"
endef

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*##/make \1\t/p' Makefile | expand -t 18

.venv/installed: pyproject.toml bootstrap.py
	$(PYTHON) bootstrap.py

lab: .venv/installed  ## open JupyterLab in notebooks/ (your copies of the sheets: my-sheets/)
	@$(COURSE) lab $(LAB_OPTIONS)

sheets: .venv/installed  ## copy each sheet once into notebooks/my-sheets
	@$(COURSE) sheets

test: lint unit lectures  ## linters, unit tests, every lecture and solution

quick: lint unit  ## linters, unit tests, the notebooks that changed or whose modules did
	$(call timed,$(COURSE) quick)

lint: .venv/installed  ## ruff and mypy
	$(call timed,$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy)

unit: .venv/installed  ## unit tests, and the tests of the notebooks' files
	$(call timed,OMP_NUM_THREADS=1 $(PY) $(UNIT))

lectures: .venv/installed  ## every lecture and every solution through nbval
	$(call timed,OMP_NUM_THREADS=1 $(PY) $(NBVAL) notebooks/[0-9]*.ipynb notebooks/solutions)

check: .venv/installed  ## check your copy of a sheet: make check NB=00, or NB=elbo
	@$(COURSE) check "$(NB)"

grade: .venv/installed  ## check every notebook of a folder: make grade FOLDER=hand-ins, with NB=elbo one sheet only
	@OMP_NUM_THREADS=1 $(COURSE) grade "$(FOLDER)" "$(NB)" --out "$(OUT)"

notebooks: .venv/installed  ## rebuild what changed in notebooks/source, and execute it if its code did
	$(COURSE) build

run: .venv/installed  ## execute one lecture and its sheet's solution: make run NB=elbo
	$(COURSE) run "$(NB)"

devices: .venv/installed  ## run all notebooks on pretended accelerators: like a GPU, like Apple's
	$(PY) -m tests.devices.pretend gpu && $(PY) -m tests.devices.pretend apple

slides: .venv/installed  ## write decks of slides into slides/, which need no network: make slides NB=elbo
	@$(PYTHON) bootstrap.py slides >/dev/null && $(COURSE) slides $(NB)

plateau: .venv/installed  ## train a lecture's models four times as long: which claims hold? make plateau NB=elbo
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(COURSE) plateau "$(NB)"

prove: .venv/installed  ## break the lines of a lecture one by one: which claims do not fall? make prove NB=elbo
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(COURSE) prove "$(NB)" "$(ONLY)"

browser: .venv/installed  ## move every slider in a browser (needs Chromium)
	$(PYTHON) bootstrap.py browser && $(PY) -m pytest tests/browser.py

data: .venv/installed  ## say which data sets are there, make the beams; download one: make data SET=mnist
	@$(COURSE) data $(SET)

bench: .venv/installed  ## time log p(x), training and convolutions, each beside the plain way
	@$(COURSE) bench

oldest: .venv/installed  ## unit tests and three lectures with the oldest Python and the lowest versions, in .oldest
	$(PYTHON) bootstrap.py --oldest
	$(call timed,OMP_NUM_THREADS=1 .oldest/bin/python $(UNIT) && OMP_NUM_THREADS=1 .oldest/bin/python $(NBVAL) notebooks/*_what_does_not_belong.ipynb notebooks/*_elbo.ipynb notebooks/*_variational_autoencoder.ipynb)
