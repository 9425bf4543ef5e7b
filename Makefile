# Every target works from a fresh clone on Debian 12 with Python 3.11, git and make.

PYTHON_ENV := .venv/bin
INSTALLED := .venv/.installed
PYTEST_OPTIONS ?= -q
SECONDS_PER_TARGET ?= 60
BENCH_OPTIONS ?=

.PHONY: help install run test lint check format bench fuzz clean

help: ## what can be made (this list)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with everything that development needs

$(INSTALLED): pyproject.toml requirements/constraints.txt requirements/make_venv.sh
	@requirements/make_venv.sh
	@touch $@

run: $(INSTALLED) ## the demo: a signing relay on 127.0.0.1:2525 and a proof; ONCE=1 stops after the proof
	@$(PYTHON_ENV)/python -m smime_lab $(if $(filter-out 0,$(ONCE)),--once)

test: $(INSTALLED) ## all tests; installs the peers that they talk to (tests/peers.txt) where it may
	@tests/install_peers.sh
	@$(PYTHON_ENV)/python -m pytest $(PYTEST_OPTIONS)

lint: $(INSTALLED) ## style, format, types and the direction of imports
	@$(PYTHON_ENV)/ruff check --quiet
	@$(PYTHON_ENV)/ruff format --check --quiet || { echo "not formatted: make format"; exit 1; }
	@$(PYTHON_ENV)/mypy
	@$(PYTHON_ENV)/lint-imports --no-cache

check: lint test ## what must be clean before a commit: lint, then test

format: $(INSTALLED) ## format the code and mend what ruff can mend
	@$(PYTHON_ENV)/ruff check --fix --quiet; $(PYTHON_ENV)/ruff format --quiet

bench: $(INSTALLED) ## measure against the primitives and other implementations (bench/README.md)
	@$(PYTHON_ENV)/python -m bench $(BENCH_OPTIONS)

fuzz: $(INSTALLED) ## every fuzz target for SECONDS_PER_TARGET (60) seconds
	@$(PYTHON_ENV)/python -m fuzz --seconds $(SECONDS_PER_TARGET)

clean: ## remove caches, builds and the demo's data (var/); .venv stays
	@rm -rf build dist var .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
