# make install     the pinned environment in .venv; EXTRAS says which parts (data,report,dev)
# make quickstart  that, and a small Codex trained, sampled, judged and plotted in runs/quickstart
# make test        that, make lint, and every test, with the coverage of each room
# make lint        rules, format and types of the Python code, and the shell scripts
# make docs        the pages of docs/ as a site in site/
# make pythons     the tests under each Python from 3.11 on that is installed here

PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS ?= data,report,dev
WORKERS ?= 2

BIN := .venv/bin
# By content, not by time: a tree that was copied or checked out has new times on old files.
STAMP := .venv/installed-$(EXTRAS)-$(shell cat pyproject.toml constraints.txt .ci/venv | cksum | cut -d" " -f1)
SHELL_SCRIPTS = .ci/run .ci/venv .ci/bazel \
    $(shell find benchmarks codex_jax tests tpu_scripts -name "*.sh")

.PHONY: install quickstart test lint docs pythons clean
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP):
	@sh .ci/venv "$(PYTHON)" .venv
	@rm -f .venv/installed-*
	@echo "installing $(EXTRAS), pinned, into .venv: one to three minutes"
	@$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	@$(BIN)/python -m compileall -qq -j 0 codex_jax .venv/lib || true # starts may not write it
	@touch $@

quickstart: install
	$(BIN)/codex-jax quickstart

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --cov --cov-report=
	$(BIN)/python tests/coverage_by_room.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck $(SHELL_SCRIPTS)

docs: install
	$(BIN)/mkdocs build --strict

pythons:
	sh benchmarks/python_versions.sh

clean:
	rm -rf .venv
