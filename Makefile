# `make demo` shows the product at work; `make test` is everything CI runs. `make help` lists the rest.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test chaos checker check deny setup build

# A server that setup put into .redis/bin comes before the system's.
export PATH := $(CURDIR)/.redis/bin:$(PATH)
target := $(or $(CARGO_TARGET_DIR),target)

# Incremental artefacts are of use only where somebody builds again.
ifdef CI
export CARGO_INCREMENTAL := 0
endif

help: ## Say what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name what; do printf '  make %-7s %s\n' "$$name" "$$what"; done

demo: setup ## Sync a local helpdesk API to a local webhook, kill a worker on the way, and show that nothing is lost
	cargo build --workspace --locked
	$(target)/debug/rapidbridge demo $(DEMO_ARGS)

# The tests start the worker and the scheduler as processes, so all programs are built before.
test: setup ## Format, lints, documentation and all tests: what CI runs
	@scripts/kinto >/dev/null
	cargo fmt --all --check
	cargo build --workspace --all-targets --locked
	$(MAKE) --no-print-directory lint
	scripts/test.sh

# SEED, SECONDS and RUNS are settings: `make chaos SECONDS=900 SEED=7`.
chaos: setup ## Break a cluster in every way for SECONDS (60), by SEED, and check that nothing is lost
	cargo build --workspace --locked
	$(target)/debug/rapidbridge-chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

# Each fault is planted in the workers; what its checker finds is known before.
checker: setup ## Show that the checker of `make chaos` finds faults that are planted in the product
	cargo build --workspace --locked
	cargo build -p rapidbridge-chaos --features planted --locked
	$(planted) --set CHAOS_PLANTED=acknowledge_unsent --expect 2:
	$(planted) --set CHAOS_PLANTED=silent_end --expect 6:
	$(planted) --set CHAOS_PLANTED=forgetful_spool --expect "2: no record of a graph"

planted := $(target)/debug/rapidbridge-chaos --seed 3 --seconds 15 --worker rapidbridge-planted-worker

check: ## Format, lints and documentation alone
	cargo fmt --all --check
	$(MAKE) --no-print-directory lint

.PHONY: lint
lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --no-deps --workspace --document-private-items --locked

deny: ## Licences, sources and duplicates of dependencies (wants cargo-deny)
	cargo deny --offline check bans licenses sources

build: ## All programs, optimised, into target/release
	cargo build --workspace --bins --release --locked

setup: ## Get a Redis or Valkey server program if there is none
	@scripts/setup.sh
