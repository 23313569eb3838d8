# `make help` lists what there is. Tools that tests need are built or installed once, pinned, into
# ${AIDP_CACHE:-~/.cache/aidp}, outside the work tree.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-stop build check generate test unit e2e test-versions test-node measure deny advisories tools tools-fakecloud tools-versitygw clean-cache

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## The whole story on this machine, from nothing (KEEP=1 leaves it running)
	KEEP=$(KEEP) e2e/demo.sh

demo-stop: ## Ends a demo that was kept
	e2e/demo.sh stop

build: ## Release build of the operator and CLI: target/release/aidp
	cargo build --release --bin aidp

check: ## What to run before a commit: format, clippy, unit tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features aidp-e2e/e2e,aidp-e2e/node -- -D warnings
	cargo test --workspace --quiet

generate: ## Rewrites the generated files (crds/, the chart's CRD, charts/install.yaml, docs/api.md, docs/controls.md)
	e2e/generate.sh

test: ## Everything CI runs, with a table of seconds per stage (some: make test STAGES="clippy deny")
	e2e/test.sh $(STAGES)

unit: ## Unit, property, golden and adapter tests
	cargo test --workspace

e2e: ## The journey on a real API server and an AWS emulator (pick tests: make e2e TESTS=crd)
	e2e/journey.sh $(TESTS)

test-versions: ## The journey on each supported Kubernetes version, emulated by the API server (some: VERSIONS="1.33" TESTS=crd)
	@failed=; for v in $(or $(VERSIONS),1.33 1.34 1.35 1.36); do \
	  AIDP_EMULATED_VERSION=$$v e2e/journey.sh $(TESTS) || failed="$$failed $$v"; \
	done; [ -z "$$failed" ] || { echo "failed on Kubernetes:$$failed" >&2; exit 1; }

test-node: ## The chart, the operator and training pods on a real node (root; Debian packages of containerd are installed)
	e2e/node/test.sh

measure: ## What the operator costs, in a release build: processor time and memory (docs/operations.md; ~10 min to build)
	CARGO_TARGET_DIR=$(or $(CARGO_TARGET_DIR),target)/measure cargo run --release --locked --manifest-path tests/measure/Cargo.toml
	cargo build --release --locked --workspace
	AIDP_RELEASE=1 AIDP_BIN=$(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release/aidp e2e/journey.sh memory::

deny: ## Licences, bans and sources of the dependencies
	"$$(e2e/tools.sh cargo-deny)" --offline check licenses bans sources

advisories: ## Known vulnerabilities of the dependencies (fetches the RustSec database)
	"$$(e2e/tools.sh cargo-deny)" check advisories

tools: ## Builds or installs everything `make test` needs, ahead of time
	e2e/controlplane/build.sh
	e2e/tools.sh moto cargo-deny fakecloud versitygw helm promtool monitoring-crds

tools-fakecloud: ## Builds fakecloud, the emulator that enforces policies (~10 min)
	e2e/tools.sh fakecloud

tools-versitygw: ## Builds versitygw, an S3 server that lacks half of the S3 API
	e2e/tools.sh versitygw

clean-cache: ## Removes the cached tools
	rm -rf "$${AIDP_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/aidp}"
