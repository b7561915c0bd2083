# make setup, then make demo and make test. Nothing else is needed: Python 3.11 or newer, make and a way to PyPI.

# The first interpreter that is new enough; 3.11 first, since the oracle of the kernel tests has a wheel for it only.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out/demo
# Address of a wheel index that holds a CPU-only build of torch (README, "A smaller install"); empty: pip's own choice.
TORCH_INDEX ?=
PROTOS := $(sort $(wildcard protos/tinyfarm/v1/*.proto))

.PHONY: setup demo test lint proto docs bench fuzz clean
.DEFAULT_GOAL := setup

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: set PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet --constraint constraints.txt --index-url $(TORCH_INDEX) torch)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/tinyfarm demo --output $(OUT)

# A process a core and one more, since some tests wait (for a lease to end, a server to start); the tests of a file stay
# in one process, which starts what they share (a stack, a server) once.
TESTERS ?= $(shell $(BIN)/python -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
test: setup
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos

# Generated code is committed; tinyfarm/v1/__init__.py is written by hand and kept.
proto: setup
	rm -f tinyfarm/v1/*_pb2*.py tinyfarm/v1/*_pb2*.pyi
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc --proto_path=protos \
		--python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. $(PROTOS)

# Pages and pictures that are made from the code; committed, and a test tells when one is out of date.
docs: setup
	$(BIN)/python -m docs.generate

bench: setup
	$(BIN)/python -m benchmarks

# The tests that draw random cases, FUZZ times as many of them (make test runs a seeded slice), then GRAPHS random
# graphs on simulated cores and NETWORKS random networks under random schedules: an hour and more on two cores.
FUZZ ?= 50
GRAPHS ?= 2000
NETWORKS ?= 1000
fuzz: setup
	TINYFARM_FUZZ_EXAMPLES=$(FUZZ) $(BIN)/python -m pytest $$(grep -rl TINYFARM_FUZZ_EXAMPLES tests --include='test_*.py')
	$(BIN)/python -m benchmarks.fuzz --graphs $(GRAPHS)
	$(BIN)/python -m benchmarks.fuzz_schedules --networks $(NETWORKS)

clean:
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
