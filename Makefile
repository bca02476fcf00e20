# Two commands do everything: `make demo` and `make test`. Both create the environment first.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow env lint types lock docs bench clean

demo: env  ## train and compare methods on built-in data, print the table
	$(BIN)/evenhand demo --out demo-run

test: env  ## the suite that every change must pass
	$(BIN)/pytest -n 2 -m "not slow and not gpu"

slow: env  ## the tests left out of `make test`
	$(BIN)/pytest -m slow

env: $(STAMP)  ## create .venv with every dependency pinned by hash

$(STAMP): pyproject.toml requirements.lock scripts/bootstrap.sh
	PYTHON="$(PYTHON)" sh scripts/bootstrap.sh $(VENV)
	touch $(STAMP)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

lock:  ## refresh requirements.lock: every platform, every hash, no index address
	uv pip compile pyproject.toml --group dev --all-extras --universal --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file requirements.lock

docs: env  ## the documentation site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: env
	for script in bench/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache demo-run site
