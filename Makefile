# make demo    reboot 6,000 simulated nodes, three of which refuse, with a worker killed half-way
# make test    what a submission must pass: check, then every test
# make check   format, lints, queries, floors, licences
# make soak    drive many sessions of chance through the flow: make soak SOAK=20000 SEED=7; without SEED a new one is drawn
# make test-kube  the tests against a real Kubernetes: a cluster is started and taken away again; needs root
# make image   write an OCI archive with the static binary (target/image/bosun.tar)
# make test-ui test the pages in a browser, and measure them with 50,000 nodes
# make test-observe  test the alert rules, and let a real Prometheus scrape a run
# make fuzz-api ask a running server whatever its OpenAPI document allows, and what it does not
# make bench   measure against the bars
# make queries describe the queries anew (.sqlx), after a change of SQL
#
# Each installs what it needs on a bare Debian or Ubuntu that has Rust.

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz-api test-ui test-observe test-kube image check soak bench queries tools postgres slurm format
MAKEFLAGS += --no-print-directory

# Ordinary builds read .sqlx, whatever database the environment names.
export SQLX_OFFLINE := true

help:
	@sed -n 's/^# make/make/p' Makefile

demo: postgres
	cargo build --locked --bin bosun
	@./target/debug/bosun demo $(DEMO); status=$$?; \
	  [ $$status -ne 3 ] || echo "exit code 3: partial, as it should be with nodes that refuse"; exit $$status

test: check slurm
	@.ci/test

test-ui: postgres
	cargo build --locked --bin bosun
	@.ci/test-ui

test-observe: postgres
	cargo build --locked --bin bosun
	@.ci/observe

check: tools postgres
	cargo fmt --check
	cargo deny --locked --log-level error check bans licenses sources
	.ci/check-queries
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo test --locked --quiet --test it floors::
	.ci/chart

test-kube: postgres
	tests/kube/run $(CASES)

image:
	.ci/image

SOAK ?= 20000
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

# Ours alone is optimised: what it needs is built already.
soak: export PROPTEST_CASES = $(SOAK)
soak: export PROPTEST_RNG_SEED := $(SEED)
soak:
	@echo "$(SOAK) sessions from seed $$PROPTEST_RNG_SEED"
	@RUST_BACKTRACE=0 cargo test --locked --quiet --config 'profile.dev.package.bosun.opt-level=1' \
	  --lib plan::flow::tests::properties

fuzz-api: postgres
	@.ci/fuzz-api

bench: postgres
	cargo bench --locked --bench bench -- $(BENCH)

queries: tools postgres
	.ci/with-postgres cargo sqlx prepare --no-dotenv -- --locked --quiet --all-targets

tools:
	@.ci/tools

postgres:
	@.ci/postgres --install >/dev/null

slurm:
	@.ci/slurm --install
