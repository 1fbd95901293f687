# demo: one improvement round on the embedded model; demo MODEL=smollm2: two on a real chat model, behind vLLM
# test: everything    lint: style and types    bench: speed, beside peers    docs: the site, in site/
# pages: what scripts make of the code for the site    package: wheel and sdist    lock: the tested versions
PYTHON ?= python3
MODEL ?= nano
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
TESTED ?= -c requirements/tested.txt
PROCESSES ?= 2
COVERED := core search traces training verification
TIRAGE_DATA ?= $(if $(wildcard ../shared/data),$(abspath ../shared/data))
export TIRAGE_DATA
export TOKENIZERS_PARALLELISM := false

.PHONY: demo demo-nano demo-smollm2 test lint bench docs pages package lock install vllm clean

demo: demo-$(MODEL)

demo-nano: $(VENV)/.train
	$(BIN)/tirage improve examples/nano.yaml --run runs/demo

demo-smollm2: $(VENV)/.train vllm
	bash scripts/smollm2.sh
	$(BIN)/python benchmarks/real_round.py; test $$? -le 1

test: $(VENV)/.dev lint $(if $(TIRAGE_WITH_VLLM),vllm)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup --durations=25 --cov --cov-report=
	@for room in $(COVERED); do \
	  echo "branch coverage of $$room: $$($(BIN)/coverage report --include="tirage/$$room/*" --format=total) %"; \
	  $(BIN)/coverage report --include="tirage/$$room/*" --fail-under=90 > /dev/null || exit 1; done

lint: $(VENV)/.dev
	$(BIN)/ruff check tirage tests examples benchmarks scripts
	$(BIN)/ruff format --check tirage tests examples benchmarks scripts
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python benchmarks/all.py

# The site needs no more than mkdocs: the reference is read from the sources, and what depends on the code lies in docs/ as `make pages` made it.
docs: .venv-docs/.ok
	.venv-docs/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

.venv-docs/.ok: pyproject.toml requirements/tested.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install -q $(TESTED) mkdocs mkdocs-material mkdocstrings-python
	@touch $@

pages: $(VENV)/.dev
	$(BIN)/python -m scripts.pages

package: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

lock: $(VENV)/.dev
	$(BIN)/python scripts/lock.py

install: $(VENV)/.train

vllm: .venv-vllm/.ok

.venv-vllm/.ok: scripts/vllm_env.sh
	PYTHON=$(PYTHON) bash scripts/vllm_env.sh
	@touch $@

# torch goes first and alone, so that no other package's range picks another build of it.
$(VENV)/.train: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -e '.[train,scipy]' $(TESTED)
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(BIN)/pip install -q -e '.[train,scipy,retrieval,lance,dev]' $(TESTED)
	@touch $@

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
