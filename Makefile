# Everything a person or CI runs. Each target sets up what it needs by itself.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where no node is installed, the one that pip brought into the virtual environment serves.
export PATH := $(CURDIR)/$(BIN):$(PATH)
FRONTEND := dashboard/frontend
# Tests start many processes, each of which would compile every module anew.
export PYTHONDONTWRITEBYTECODE :=
# More than there are processors: many tests wait for a server or a browser.
WORKERS ?= 4
BROWSER_WORKERS ?= 2
# A module's tests go to one process, so that what they share is started once; the longest modules come first.
PYTEST := $(BIN)/pytest --dist loadscope --no-loadscope-reorder

# What tests write is in memory where 8 GB of it may be had as a file system (they take 3), and is removed at the end: by
# the disk they would take a tenth longer.
IN_MEMORY := if [ "$$(df -k /dev/shm 2>/dev/null | awk 'END { print int($$4) }')" -gt 8000000 ]; then \
	TMPDIR="$$(mktemp -d /dev/shm/tyst.XXXXXX)"; export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT INT TERM; fi;

.PHONY: run test ready check lint types unit browser build dist docs bench screenshots catalogues lock audit clean

run: $(VENV)/.run
	$(BIN)/tyst demo $(ARGS)

# What they need is made first, one after the other; then linters, types, unit and browser tests run side by side, and
# what each prints comes as a whole when it is through.
test: ready
	@$(IN_MEMORY) $(MAKE) --no-print-directory --jobs=4 --keep-going --output-sync=target lint types browser unit

ready:
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target $(VENV)/.compiled $(VENV)/.frontend-test $(VENV)/.browser

lint: $(VENV)/.dev $(VENV)/.frontend-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(FRONTEND)/node_modules/.bin/biome lint --error-on-warnings

# The inner loop: what needs neither a server, nor a browser, nor a database.
FAST := tests/collector/core tests/collector/enrichment tests/collector/ingest tests/collector/privacy \
	tests/dashboard/i18n tests/project/test_class_names.py
SLOW := tests/collector/core/test_environment.py tests/collector/privacy/test_salts_clickhouse.py \
	tests/collector/privacy/test_salts_in_memory.py
check: lint types
	$(BIN)/pytest -q -n 2 --dist loadfile $(FAST) $(addprefix --ignore=,$(SLOW)) $(ARGS)

types: $(VENV)/.dev $(VENV)/.frontend-test
	$(BIN)/mypy
	$(FRONTEND)/node_modules/.bin/tsc -p $(FRONTEND)/tsconfig.json

unit: $(VENV)/.dev $(VENV)/.frontend-test $(VENV)/.load
	$(PYTEST) -n $(WORKERS) --ignore tests/browser $(ARGS)

# In processes of their own: the browser's driver keeps an event loop running in each.
browser: $(VENV)/.dev $(VENV)/.browser $(VENV)/.frontend-test
	$(PYTEST) -n $(BROWSER_WORKERS) tests/browser $(ARGS)

bench: $(VENV)/.dev $(VENV)/.load
	$(BIN)/python -m bench $(ARGS)

screenshots: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python -m bench.screenshots $(ARGS)

# The front end: vendored scripts and the minified snippet, from npm, pinned by the lock file.
build: $(VENV)/.frontend

# Wheel and source distribution in dist/: `pipx install dist/*.whl`.
dist: $(VENV)/.locked $(VENV)/.frontend
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

# The documentation as a website in site/.
docs: $(VENV)/.dev
	$(BIN)/python docs/build.py

$(VENV)/.frontend: $(FRONTEND)/package-lock.json $(FRONTEND)/build.mjs $(FRONTEND)/icons.mjs $(FRONTEND)/snippet.mjs $(FRONTEND)/world.mjs dashboard/data/icons.json snippet/tyst.js | $(VENV)/.locked
	.ci/system-packages node $(BIN)
	cd $(FRONTEND) && npm ci --omit=dev --no-audit --no-fund --loglevel=error && npm run --silent build
	touch $@

# Banners, other trackers and the accessibility checker, which only the tests need. Installing the project reads the
# directory that npm writes here, so it comes first.
$(VENV)/.frontend-test: $(VENV)/.frontend | $(VENV)/.run
	cd $(FRONTEND) && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build:test
	touch $@

$(VENV)/bin/python:
	.ci/system-packages venv $(PYTHON)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.locked: requirements.lock requirements-build.lock | $(VENV)/bin/python
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock -r requirements-build.lock
	touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.locked $(VENV)/.frontend
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

# Debian's packages are installed by one command at a time.
$(VENV)/.browser: .ci/system-packages | $(VENV)/.load
	.ci/system-packages chromium
	.ci/system-packages firefox
	touch $@

# The load generator of the measurements, and the proxies whose configurations are in deploy/.
$(VENV)/.load: | $(VENV)/bin/python
	.ci/system-packages wrk
	.ci/system-packages nginx
	.ci/system-packages haproxy
	.ci/system-packages caddy
	touch $@

# Tests' modules are compiled once, not by each of the processes that collect them.
$(VENV)/.compiled: $(VENV)/.dev
	$(BIN)/pytest --collect-only -qq >/dev/null
	touch $@

# Puts every text that is new into the catalogues of translations, and takes out what is gone.
catalogues: $(VENV)/.dev
	$(BIN)/python -m dashboard.i18n.catalogues

# Needs uv. The lock files carry hashes and name no registry.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	printf "hatchling==1.33.0\neditables\n" | $(LOCK) - -c requirements-dev.lock -o requirements-build.lock

# Known weaknesses of what is pinned. Needs a network and is no part of `make test`; pip-audit has an environment of its own.
AUDIT := $(VENV)/audit
audit:
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install --quiet pip-audit; }
	for lock in requirements.lock requirements-dev.lock requirements-build.lock; do \
		$(AUDIT)/bin/pip-audit --disable-pip --require-hashes -r $$lock || exit 1; done
	cd $(FRONTEND) && npm audit --audit-level=moderate

clean:
	rm -rf $(VENV) $(FRONTEND)/node_modules $(FRONTEND)/test-dist dashboard/static/vendor snippet/dist dist site site.build
