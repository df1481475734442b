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
# The release profile without what takes long to build or hides where a panic comes from.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
cd "$root"
cargo fuzz build --fuzz-dir tests/fuzz --features libfuzzer --target-dir "$work"

# An input that takes more than 5 s, a process of more than 1 GiB and a single allocation of more than 256 MiB are findings.
limits="-timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256"

# fuzz TARGET: until its time is over, or something is found, whose file is then $found.
fuzz() {
	program=$work/x86_64-unknown-linux-gnu/release/$1
	corpus=$work/corpus/$1
	log=$work/$1.log
	dictionary=tests/fuzz/dictionaries/$1.dict
	[ -e "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=
	# A file system takes more bytes than a command line.
	[ "$1" = image ] || [ "$1" = qcow2 ] && longest=65536 || longest=8192
	mkdir -p "$corpus"
	end=$(($(date +%s) + seconds))
	while left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
		# shellcheck disable=SC2086 # lists of words
		"$program" $limits $dictionary -max_total_time="$left" -max_len="$longest" -print_final_stats=1 -artifact_prefix="$findings/$1-" \
			"$corpus" "tests/fuzz/seeds/$1" >"$log" 2>&1 && break
		found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
		case $found in
		*-timeout-*)
			# The clock on the wall goes on while other programs run: it counts if it takes as long by itself.
			# shellcheck disable=SC2086
			"$program" $limits "$found" >>"$log" 2>&1 || return 1
			rm -f "$found"
			;;
		*) return 1 ;;
		esac
	done
	sed -n 's/^stat::number_of_executed_units: */fuzz: runs: /p' "$log" >&2
}

[ $# -gt 0 ] || for file in tests/fuzz/targets/*.rs; do set -- "$@" "$(basename "$file" .rs)"; done
mkdir -p "$findings"
for target; do
	echo "fuzz: $target for $seconds s" >&2
	fuzz "$target" || {
		grep -A 3 -e 'panicked at' -e 'ERROR: ' "$log" >&2 || tail -n 40 "$log" >&2
		echo "fuzz: $target has found something. Once more, with the whole log in $log:" >&2
		echo "  $program $found" >&2
		echo "fuzz: smaller: $program -minimize_crash=1 -max_total_time=60 $found" >&2
		exit 1
	}
done
