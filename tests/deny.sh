#!/bin/sh
# Licences, sources and duplicates of dependencies, offline. Advisories need the network and are checked by the workflow.
set -eu
cd "$(dirname "$0")/.."
[ -e deny.toml ] || exit 0
if ! ${CARGO:-cargo} deny --version >/dev/null 2>&1; then
	[ -z "${CHUKKA_NO_SKIP:-}" ] || { echo "check: cargo-deny is missing (hint: cargo install cargo-deny --locked)" >&2; exit 1; }
	echo "SKIPPED: cargo-deny is not installed (hint: cargo install cargo-deny --locked)" >&2
	exit 0
fi
# Every package of Cargo.lock has to be here, those of features that are off included.
${CARGO:-cargo} fetch --locked --quiet
${CARGO:-cargo} deny --offline --log-level warn check bans licenses sources
