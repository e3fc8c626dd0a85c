# Needs make and a Python from 3.10 to 3.13 with its venv module; `make PYTHON=python3.12` names another one.

PYTHON ?= python3
DBMIGRATE_IMAGE ?= postgres:18
KILL_AT ?= all
PYTEST_ARGS ?=

TESTS = not docker and not real and not matrix
IN_PARALLEL = -n auto --maxprocesses=4 --dist=worksteal
READY = .venv/ready
python = "$(CURDIR)/.venv/bin/python"

unexport PYTHONDONTWRITEBYTECODE # the tests start thousands of processes, which would all compile what they import

.DELETE_ON_ERROR:
.PHONY: help example test test-all coverage test-matrix test-kills test-docker test-real lint types wheel-check bench docs docs-options clean

help:
	@echo "make example       run the examples against a Postgres of their own"
	@echo "make test          run every test that needs no Docker and no real project, but no matrix"
	@echo "make test-all      the same, with the matrices, and each kill"
	@echo "make coverage      make test, with the lines of the package that were run"
	@echo "make test-matrix   run the matrices alone"
	@echo "make test-kills    kill something at each of 30 revisions, in every way, and resume"
	@echo "make test-docker   run the tests that need it (DBMIGRATE_IMAGE=$(DBMIGRATE_IMAGE))"
	@echo "make test-real     migrate released projects, which it installs, by ini lines alone"
	@echo "make lint          check style and format"
	@echo "make types         check types"
	@echo "make wheel-check   build the wheel and try it with the lowest versions allowed"
	@echo "make bench         measure what the documentation promises"
	@echo "make docs          build the site into build/docs; a warning is an error"
	@echo "make docs-options  write docs/reference/options.md anew"
	@echo "make clean         remove what the others have made"

example: $(READY)
	@# pytest-asyncio, which is there for the other example, would warn that this one does not configure it.
	cd examples/issuers && $(python) -m pytest -p dbmigrate -p no:asyncio --db-server=embedded
	cd examples/async_orders && $(python) -m pytest -p dbmigrate --db-server=embedded

test: $(READY)
	$(python) -m pytest -m "$(TESTS)" $(IN_PARALLEL) $(PYTEST_ARGS)

test-all: test test-matrix test-kills

coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage
	COVERAGE_FILE="$(CURDIR)/build/coverage/data" $(python) -m coverage run -m pytest -m "$(TESTS)" $(IN_PARALLEL) $(PYTEST_ARGS)
	cd build/coverage && COVERAGE_FILE=data $(python) -m coverage combine --rcfile=../../pyproject.toml -q
	COVERAGE_FILE=build/coverage/data $(python) -m coverage report

test-matrix: $(READY)
	$(python) -m pytest -m "matrix and not docker and not real" --deselect tests/plugin/test_resume_kills.py \
		$(IN_PARALLEL) $(PYTEST_ARGS)

test-kills: $(READY)
	rm -f build/killed.txt
	KILL_AT=$(KILL_AT) $(python) -m pytest tests/plugin/test_resume_kills.py $(IN_PARALLEL) $(PYTEST_ARGS)
	@echo "$$(wc -l < build/killed.txt) outcomes are in build/killed.txt"

test-docker: $(READY)
	DBMIGRATE_IMAGE=$(DBMIGRATE_IMAGE) $(python) -m pytest -m docker $(PYTEST_ARGS)

test-real: $(READY)
	rm -f build/real.txt
	$(python) -m pytest tests/real -m real -p no:randomly $(PYTEST_ARGS)

lint: $(READY)
	$(python) -m ruff check
	$(python) -m ruff format --check

types: $(READY)
	$(python) -m mypy
	cd examples/issuers && $(python) -m mypy .
	cd examples/async_orders && $(python) -m mypy .

wheel-check: $(READY)
	$(python) .ci/wheel_check.py "$$(.ci/pythons | sed -n 1p)"

bench: $(READY)
	$(python) -m benchmarks.apply
	$(python) -m benchmarks.unit_only
	$(python) -m benchmarks.lease
	$(python) -m benchmarks.resume
	$(python) -m benchmarks.suites

docs: $(READY)
	$(python) -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "the site is in build/docs/index.html"

docs-options: $(READY)
	$(python) docs/reference/options.py

clean:
	rm -rf .venv .tox build dist .hypothesis .coverage
	find . -type d \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$(PYTHON) is not a Python of 3.10 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@rm -rf .venv
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment: install Debian's or Ubuntu's package python3-venv,"; \
		echo "or name another Python: make PYTHON=python3.12"; exit 1; }
	$(python) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $(READY)
