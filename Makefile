# make demo    reboot 6,000 simulated nodes, three of which refuse, with a worker killed half-way
# make test    what a submission must pass: check, then every test
# make check   format, lints, queries, floors, licences
# make bench   measure against the bars
# make queries describe the queries anew (.sqlx), after a change of SQL
#
# Each installs what it needs on a bare Debian or Ubuntu that has Rust.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench queries tools postgres format
MAKEFLAGS += --no-print-directory

# Ordinary builds read .sqlx, whatever database the environment names.
export SQLX_OFFLINE := true

help:
	@sed -n 's/^# make/make/p' Makefile

demo: postgres
	cargo build --locked --bin bosun
	@./target/debug/bosun demo $(DEMO); status=$$?; \
	  [ $$status -ne 3 ] || echo "exit code 3: partial, as it should be with nodes that refuse"; exit $$status

test: check
	@.ci/test

check: tools postgres
	cargo fmt --check
	cargo deny --locked --log-level error check bans licenses sources
	.ci/check-queries
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo test --locked --quiet --test it floors::

bench: postgres
	cargo bench --locked --bench bench -- $(BENCH)

queries: tools postgres
	.ci/with-postgres cargo sqlx prepare --no-dotenv -- --locked --quiet --all-targets

tools:
	@.ci/tools

postgres:
	@.ci/postgres --install >/dev/null
