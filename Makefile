# What a checkout needs. PYTHON (3.10 to 3.12) makes the virtual environment: make install PYTHON=python3.11
PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install demo demo-detection demo-segmentation demo-fusion test test-all lint clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

install: $(STAMP) ## install everything into .venv (5 GB, a few minutes; needs no compiler)

# Both builds of OpenCV get pulled and share their files. The headless one goes last: its files need no libGL.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check -e '.[openmmlab,digits,timm,dev]' -c constraints.txt
	$(PY) -m pip install --disable-pip-version-check --force-reinstall --no-deps \
		opencv-python-headless==$$($(PY) -c "from importlib.metadata import version; print(version('opencv-python-headless'))")
	$(PY) -m pip check
	@touch $@

demo: $(STAMP) ## train a student of three teachers on handwritten digits, five ways, and compare
	$(PY) tools/demo.py

demo-detection: $(STAMP) ## the same in scenes of digits: find and name each
	$(PY) tools/demo.py detection

demo-segmentation: $(STAMP) ## the same in scenes of digits: name each pixel
	$(PY) tools/demo.py segmentation

demo-fusion: $(STAMP) ## the same with infrared and visible pictures of such scenes: fuse them
	$(PY) tools/demo.py fusion

test: $(STAMP) ## run the fast tests
	$(PY) -m pytest -q

test-all: $(STAMP) ## run all tests, also the slow ones
	$(PY) -m pytest -q -m ''

lint: $(STAMP) ## format, lint and check the types
	$(PY) -m ruff format
	$(PY) -m ruff check --fix
	$(PY) -m mypy

clean: ## remove what builds and tests leave; .venv, data and work_dirs stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
