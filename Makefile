# Everything a newcomer needs: `make serve`, `make test`, `make check`. Python 3.11 or newer and make suffice.
PYTHON ?= python3
BIN := .venv/bin
# Outside the lock: its builds differ by machine. What it needs beside CUDA is in the lock.
TORCH := torch==2.13.0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: serve test test-ray check format lint types contracts bench lock clean

serve: .venv/runtime  ## start the gateway with the zero-key demo on http://127.0.0.1:4000
	@$(BIN)/fairlead serve --demo

test: .venv/dev  ## run every test
	@$(BIN)/python -m pytest -n 3 --dist loadfile

test-ray: .venv/ray  ## the tests of the worker on Ray, which starts a cluster
	@$(BIN)/python -m pytest tests/providers/local/ray_cluster.py

check: format lint types contracts test  ## everything a change must pass

format: .venv/dev
	@$(BIN)/ruff format --check gateway providers tests benchmarks training

lint: .venv/dev
	@$(BIN)/ruff check gateway providers tests benchmarks training

types: .venv/dev
	@$(BIN)/mypy

contracts: .venv/dev
	@$(BIN)/lint-imports

bench: .venv/dev  ## measure; see benchmarks/README.md
	@$(BIN)/python -m benchmarks.run $(ARGS)

lock:  ## resolve requirements/*.txt anew; needs uv
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q \
		--group build pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q \
		--group build --group dev --extra worker --no-emit-package torch pyproject.toml -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q \
		--extra ray --constraint requirements/dev.txt pyproject.toml -o requirements/ray.txt

clean:
	rm -rf .venv .fairlead

# The stamp files say what is installed. pip checks every file against the lock's hashes; the project itself
# goes in without network, by the build tools of the same lock.
.venv/runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Fairlead needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing (hash-locked) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt .venv/runtime
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet $(TORCH)
	@touch $@

.venv/ray: requirements/ray.txt .venv/dev
	@echo "Installing Ray ..."
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/ray.txt
	@touch $@
