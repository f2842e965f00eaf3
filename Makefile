# Two commands do all set-up: `make quickstart` and `make test`.
# PYTHON picks the interpreter (3.11 or newer) the environment is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One MLflow or Hugging Face call home less per process, and nothing is fetched from a hub.
export HF_HUB_OFFLINE ?= 1

.PHONY: setup quickstart test test-slow lint bench clean

setup: $(STAMP)

# uv resolves to the tested versions in half a minute; --compile-bytecode matters because the
# imports that training needs cost 30 s a process without bytecode and 12 s with it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]'
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/semihvision quickstart

test: lint
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# towers.py and train_step.py want a GPU and options: see their first lines.
CPU_BENCHMARKS = retrieval vqa_rad_baselines preprocessing sva generation packing from_cambrian volumes

bench: $(STAMP)
	for name in $(CPU_BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info src/*.egg-info
