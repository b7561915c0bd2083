# make setup, then make demo and make test. Nothing else is needed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(sort $(wildcard protos/tinyfarm/v1/*.proto))
SERVICES := $(sort $(shell grep --files-with-matches '^service ' $(PROTOS)))

.PHONY: setup demo test lint proto bench fuzz clean
.DEFAULT_GOAL := setup

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/tinyfarm demo --output out/demo

test: setup
	$(BIN)/python -m pytest

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
		--python_out=. --mypy_out=quiet:. $(PROTOS)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc --proto_path=protos \
		--grpc_python_out=. --mypy_grpc_out=quiet:. $(SERVICES)

bench: setup
	$(BIN)/python -m benchmarks

fuzz: setup
	TINYFARM_FUZZ_EXAMPLES=50 $(BIN)/python -m pytest -m "slow or not slow"

clean:
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
