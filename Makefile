# Two virtual environments: .venv is what a user installs (no torch; the demo runs in it),
# .venv-dev adds training, export, linters and tests (about 3 GB, most of it torch).

MIN_PYTHON := 3.11
# The first interpreter that really runs and is new enough; choose another with: make PYTHON=/path/to/python ...
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && break; done)

RUN := .venv/bin
DEV := .venv-dev/bin
PIP_INSTALL := install --quiet --disable-pip-version-check --constraint constraints.txt
TEXTS := runs/texts
STUDENT := runs/student
SOURCES := runs/sources
CROSS_ENCODER := runs/cross-encoder
TRANSLATIONS := runs/translations
MULTILINGUAL := runs/en-it-de
LEAST_COVERAGE := 82

.DEFAULT_GOAL := help

.PHONY: help demo browser test lint types contracts docs unit tests coverage helm wheel student reranker multilingual constraints audit sbom clean python

help: ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1|\2/' | \
		awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: .venv/.stamp ## Everything in one command: servers, workers, reindex, hybrid search
	@$(RUN)/ce2de demo $(DEMO_FLAGS)

test: lint types contracts tests ## Lint, types, import contracts, then every test (docs too) on real servers

lint: .venv-dev/.stamp ## ruff: rules and format
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .

types: .venv-dev/.stamp ## mypy, strict
	$(DEV)/mypy

contracts: .venv-dev/.stamp ## Which package may import which
	$(DEV)/lint-imports

docs: .venv-dev/.stamp ## The documentation, into build/docs; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(DEV)/mkdocs build --strict --quiet --site-dir build/docs

wheel: .venv-tools/.stamp ## The package as one file, into dist/
	@.venv-tools/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

unit: .venv-dev/.stamp ## The tests that need no server (seconds)
	$(DEV)/python -m pytest tests/unit

tests: .venv-dev/.stamp browser ## All tests: unit, integration, acceptance
	$(DEV)/python -m pytest tests --numprocesses 3 --durations=10

browser: ## The browser that tests the page: Debian's chromium (needs root, or sudo)
	@scripts/install_browser.sh

coverage: .venv-dev/.stamp ## Branch coverage by the tests that need no server; fails below the least share (4 minutes)
	CE2DE_SIMULATION_SEEDS=260 $(DEV)/python -m pytest tests/unit tests/simulation --ignore=tests/unit/distill --ignore=tests/unit/export \
		--numprocesses 3 --cov --cov-report=term:skip-covered --cov-fail-under=$(LEAST_COVERAGE)

helm: .tools/helm .tools/kubeconform ## Build Helm and kubeconform with Go into .tools/, for the tests of the chart (5 minutes)

student: reranker ## Train, export and report on the packaged student again (after the reranker about two hours)
	$(DEV)/python scripts/collect_texts.py --out $(TEXTS)
	$(DEV)/ce2de distill --recipe examples/recipes/packaged-student.toml --until student --out $(STUDENT)-of-texts
	$(DEV)/python scripts/pairs_corpus.py $(SOURCES)/all-pairs.jsonl.gz --out runs/pairs.corpus.jsonl.gz
	$(DEV)/python scripts/pack_texts.py --texts $(TEXTS)/*.txt.gz $$(ls $(SOURCES)/*.txt.gz | grep -v /short) \
		--queries $(SOURCES)/short.*.gz $(SOURCES)/pairs.*.gz --weight britannica-early=0.3 --words 15000000 \
		--out runs/all.passages.jsonl.gz
	$(DEV)/ce2de distill --recipe examples/recipes/packaged-pairs.toml --start $(STUDENT)-of-texts \
		--cross-encoder $(CROSS_ENCODER) --out $(STUDENT)

reranker: .venv-dev/.stamp ## Train and export a small cross-encoder of many fields (fetches its texts; about 90 minutes)
	$(DEV)/python scripts/collect_texts.py --sources all --out $(SOURCES)
	cat $(SOURCES)/pairs.*.jsonl.gz > $(SOURCES)/all-pairs.jsonl.gz
	test -f $(CROSS_ENCODER)/teacher.json || $(DEV)/ce2de train teacher --pairs $(SOURCES)/all-pairs.jsonl.gz --max-pairs 130000 \
		--dense-negatives --layers 0,1,2 --negatives 1 --max-length 96 --batch-queries 32 --lr 2e-4 --dropout 0 --steps 3130 --out $(CROSS_ENCODER)
	test -f $(CROSS_ENCODER)-int8/manifest.json || $(DEV)/ce2de export $(CROSS_ENCODER) --out $(CROSS_ENCODER)-int8

multilingual: .venv-dev/.stamp ## Train a student that finds Italian and German documents (about an hour)
	$(DEV)/python scripts/collect_texts.py --out $(TEXTS)
	$(DEV)/python scripts/collect_translations.py --out $(TRANSLATIONS) --languages it de
	$(DEV)/ce2de distill --recipe examples/recipes/multilingual.toml --out $(MULTILINGUAL)

audit: .venv-tools/.stamp ## Look the pinned versions up in the database of known vulnerabilities (needs the network)
	@found=$$(.venv-tools/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip \
		--progress-spinner off 2>&1); code=$$?; echo "$$found"; case "$$found" in *ERROR:pip_audit*) echo "make audit:" \
		"the database of known vulnerabilities did not answer for every package, so nothing is known of the rest;" \
		"run it again where its network can be reached" >&2;; esac; exit $$code

sbom: .venv-tools/.stamp ## The pinned versions as a CycloneDX bill of materials, into dist/sbom.json
	@mkdir -p dist
	.venv-tools/bin/cyclonedx-py requirements constraints.txt --output-reproducible --output-file dist/sbom.json

constraints: .venv-tools/.stamp ## Resolve every version anew into constraints.txt
	@echo "# The versions that the tests run with (Linux x86-64, Python $(MIN_PYTHON)). Rebuild: make constraints" > $@.new
	@.venv-tools/bin/pip-compile --quiet --all-extras --strip-extras --allow-unsafe --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file=- pyproject.toml > $@.pins
	@grep '^[a-z]' $@.pins | grep -v '^ce2de-os' >> $@.new
	@rm $@.pins; mv $@.new $@.txt

clean: ## Remove the virtual environments and caches (not the downloaded servers)
	rm -rf .venv .venv-dev .venv-tools build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.tools/helm:
	GOBIN=$(CURDIR)/.tools go install helm.sh/helm/v3/cmd/helm@v3.22.0

.tools/kubeconform:
	GOBIN=$(CURDIR)/.tools go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0

python:
	@test -n "$(PYTHON)" || { echo "make: no Python >= $(MIN_PYTHON) found; install python$(MIN_PYTHON)" \
		"(Debian: apt-get install python$(MIN_PYTHON)-venv) or run: make PYTHON=/path/to/python" >&2; exit 1; }

# A stamp is newer than what it was installed from, so that pip runs only when something changed.
.venv/.stamp: pyproject.toml constraints.txt | python
	@echo "Setting up .venv with $(PYTHON): search, workers, local servers (about 70 MB to download) ..." >&2
	@$(PYTHON) -m venv .venv
	@$(RUN)/python -m pip $(PIP_INSTALL) --editable '.[worker,local]'
	@touch $@

.venv-dev/.stamp: pyproject.toml constraints.txt | python
	@echo "Setting up .venv-dev with $(PYTHON): the same, training and tests (about 3 GB to download) ..." >&2
	@$(PYTHON) -m venv .venv-dev
	@$(DEV)/python -m pip $(PIP_INSTALL) --editable '.[dev]'
	@touch $@

.venv-tools/.stamp: | python
	@$(PYTHON) -m venv .venv-tools
	@.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check pip-tools pip-audit cyclonedx-bom
	@touch $@
