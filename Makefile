# `make quickstart` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export RAY_USAGE_STATS_ENABLED := 0
unexport PYTHONDONTWRITEBYTECODE  # whatever starts a process would compile the package anew

WHEEL := tests/laws/test_wheel.py
COMBINATIONS := \
	tests/laws/test_combinations.py \
	tests/laws/test_sweep_files.py \
	tests/fits/test_sparse_loading.py \
	tests/gpu \
	tests/analysis/test_print.py \
	tests/analysis/page/test_every_control.py::test_pages_of_the_quickstarts \
	tests/analysis/page/test_every_control.py::test_the_page_of_many_trajectories \
	tests/analysis/parts/frontier/test_frontier_browser.py::test_every_choice_is_drawn_as_in_python
FAULTS := tests/ray --ignore tests/ray/test_soak.py

.PHONY: quickstart pins test test-combinations test-clusters test-faults test-fuzz test-landing test-soak test-slow test-wheel site lint format check clean

quickstart: $(VENV)/installed ## Run the shipped study and write its page.
	$(BIN)/lip run sweeps/quickstart.yaml
	$(BIN)/lip report results/quickstart -o results/quickstart/report.html

test: $(VENV)/installed-dev ## Everything but the slow tests.
	$(BIN)/python -m pytest -n logical

test-slow: $(VENV)/installed-dev ## The tests that take minutes.
	$(BIN)/python -m pytest -m slow

test-combinations: $(VENV)/installed-dev ## All tasks with all priors and criteria; the study in short; all choices of a page.
	$(BIN)/python -m pytest -m slow -n logical $(COMBINATIONS)

lint: $(VENV)/installed-dev ## Lint, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy lip_ray analysis sweeps benchmarks

test-faults: $(VENV)/installed-dev ## What a terminal, a machine or a cluster can do to a run.
	$(BIN)/python -m pytest -m slow -n logical $(FAULTS)

test-soak: $(VENV)/installed-dev ## A hundred faults over one sweep: half an hour.
	$(BIN)/python -m pytest -s -m slow tests/ray/test_soak.py

test-wheel: $(VENV)/installed-dev ## The wheel in an environment of its own, without the repository.
	$(BIN)/python -m pytest -m slow $(WHEEL)

test-landing: $(VENV)/installed-dev ## Wheel, combinations and faults side by side: faults mostly wait.
	PYTEST_XDIST_AUTO_NUM_WORKERS=3 $(BIN)/python -m pytest -m slow -n logical $(FAULTS) $(WHEEL) $(COMBINATIONS)

test-clusters: $(VENV)/installed-clusters ## Hosts, SLURM, firewalls and a bucket of their own on this machine, as root.
	$(BIN)/python -m pytest -m clusters -n 0 tests/clusters

test-fuzz: $(VENV)/installed-dev ## Thousands of mutated inputs, and what came of them.
	$(BIN)/python -m pytest -raP -m fuzz -n logical

site: $(VENV)/installed-dev ## The documentation as a site, in build/site; a broken link is an error.
	$(BIN)/sphinx-build -q -W --keep-going -n -c docs . build/site

pins: $(VENV)/installed-dev ## Pin new defaults, and write schema and page of sweep files.
	$(BIN)/python -m tests.laws.pins

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test ## What CI runs.

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("lip-ray needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/installed-clusters: $(VENV)/installed-dev
	$(PIP) --editable '.[dev,cluster]'
	@touch $@
