#!/bin/sh
# Runs each fuzz target for FUZZ_SECONDS (60), one after the other, and fails on the first finding.
#
#   sh tests/fuzz/run.sh [TARGET…]
#
# What the fuzzer learns is kept in target/fuzz/corpus: the next run goes on from there. The seeds stay as they are.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${FUZZ_SECONDS:-60}
work=$root/target/fuzz
findings=$work/findings

# The sanitizer and the fuzzer's counters are options that a stable compiler has, but does not take without this word.
export RUSTC_BOOTSTRAP=1
cd "$root"
cargo fuzz build --fuzz-dir tests/fuzz --features libfuzzer --target-dir "$work"

[ $# -gt 0 ] || set -- device loader_script kernel cmdline
mkdir -p "$findings"
for target; do
	program=$work/x86_64-unknown-linux-gnu/release/$target
	corpus=$work/corpus/$target
	log=$work/$target.log
	mkdir -p "$corpus"
	dictionary=tests/fuzz/dictionaries/$target.dict
	[ -e "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=
	echo "fuzz: $target for $seconds s" >&2
	# One run of more than 5 s, a process of more than 1 GiB and a single allocation of more than 256 MiB are findings.
	# shellcheck disable=SC2086 # no dictionary is no word
	if "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=8192 -print_final_stats=1 \
		$dictionary -artifact_prefix="$findings/$target-" "$corpus" "tests/fuzz/seeds/$target" >"$log" 2>&1; then
		sed -n 's/^stat::number_of_executed_units: */fuzz: runs: /p' "$log" >&2
	else
		grep -A 3 -e 'panicked at' -e 'ERROR: ' "$log" >&2 || tail -n 40 "$log" >&2
		found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
		echo "fuzz: $target has found something. Once more, with the whole log in $log:" >&2
		echo "  $program $found" >&2
		echo "fuzz: smaller: $program -minimize_crash=1 -max_total_time=60 $found" >&2
		exit 1
	fi
done
