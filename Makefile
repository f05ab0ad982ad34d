# Two commands do everything: `make run` and `make test`. Each makes .venv first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UV ?= uv
SHARED := ../shared
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test check bench deep lock sbom audit clean promtool

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Locked requirements, then the project itself, compiled at once: where Python may write no bytecode, each start would
# compile it anew, a third of a second. Debian may lack venv: then it is installed, where that is allowed.
define install
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv || { \
		apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear .venv; }
	$(BIN)/pip install -q --require-hashes -r $(1)
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q monitor streams seeds
	touch $@
endef

.venv/run: requirements/run.txt pyproject.toml
	$(call install,requirements/run.txt)

.venv/dev: requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
	touch .venv/run

run: .venv/run ## Set up, and replay the sample log; where it is given, real hospital data too
	$(BIN)/cmvigil replay seeds/logs/sample.ndjson.gz
	@if [ -d $(SHARED)/data/mimic-iv-demo-meds ]; then \
		echo "MIMIC-IV demo, with acyclovir as a kidney-watched drug:"; \
		$(BIN)/cmvigil replay $(SHARED)/data/mimic-iv-demo-meds/mimic_iv_demo_meds_events.parquet --codes seeds/codes/mimic-iv-demo.toml \
			--knowledge seeds/sites/acyclovir.toml; fi

check: .venv/dev ## Format, lint, types, import contract and the fast tests (2 minutes at most)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 -m "not slow and not live"

# Prometheus's own evaluator tests the alert rules, and a live test runs it with Alertmanager. Where they cannot be
# installed, those tests say that they skip.
promtool:
	@{ command -v promtool && command -v prometheus-alertmanager; } > /dev/null || [ "$$(id -u)" != 0 ] || { \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager \
		> /dev/null; } || echo "promtool: not installed"

test: .venv/dev promtool sbom ## Everything: what `check` runs, with every branch of monitor/, the slow and the live tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n 2 -m "not slow and not live"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=100
	$(BIN)/pytest -q -n 2 --dist worksteal -m "slow and not live"
	$(BIN)/pytest -q -m live

bench: .venv/dev ## Speed and memory, as ratios measured in one run
	$(BIN)/python -m tests.benchmarks

.venv/deep: .venv/dev requirements/deep.txt
	$(call install,requirements/deep.txt)

# CMVIGIL_HISTORIES, CMVIGIL_MUTANTS (a number, or `all`), CMVIGIL_FUZZ_SECONDS and CMVIGIL_KILLS are its budget
# (docs/deep.md).
deep: .venv/deep ## Long searches: random histories, mutants of the rules, fuzzed readers, killed workers (an hour)
	CMVIGIL_HISTORIES=$${CMVIGIL_HISTORIES:-2000} $(BIN)/pytest -q tests/differential tests/properties -n 2
	$(BIN)/pytest -q -n 2 -m "slow and not live" --ignore=tests/differential --ignore=tests/properties
	$(BIN)/python -m tests.deep.mutants
	for reader in native fhir log; do $(BIN)/python -m tests.deep.fuzz_readers $$reader; done
	CMVIGIL_KILLS=$${CMVIGIL_KILLS:-100} $(BIN)/pytest -q -m live tests/chaos

.supply/done: requirements/supply.txt
	$(PYTHON) -m venv --clear .supply
	.supply/bin/pip install -q --require-hashes -r requirements/supply.txt
	touch $@

sbom: .supply/done ## Write build/sbom.cdx.json: what the program is made of, as CycloneDX
	mkdir -p build
	.supply/bin/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible --of JSON \
		-o build/sbom.cdx.json

audit: .supply/done ## Ask for known weaknesses of everything that the program is made of (fails where it cannot ask)
	.supply/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/run.txt

lock: ## Pin every requirement anew, with hashes (needs uv)
	$(UV) pip compile -q --universal --generate-hashes --no-header --extra meds --extra zstd \
		-o requirements/run.txt pyproject.toml requirements/build.in
	$(UV) pip compile -q --universal --generate-hashes --no-header --all-extras \
		-o requirements/dev.txt pyproject.toml requirements/build.in
	$(UV) pip compile -q --universal --generate-hashes --no-header -c requirements/dev.txt \
		-o requirements/deep.txt requirements/deep.in
	$(UV) pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
		-o requirements/supply.txt requirements/supply.in
	$(UV) pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
		-o requirements/peers.txt requirements/peers.in

clean: ## Take away what was made
	rm -rf .venv .supply build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
