#!/bin/sh
# Runs every test of the workspace, then prints the slowest and the sums. Fails if any test failed.
set -eu
cd "$(dirname "$0")/.."
log=${CARGO_TARGET_DIR:-target}/test.log
mkdir -p "$(dirname "$log")"

# A stable test harness reports times only under this variable. Set for all of cargo, it would rebuild dependencies, so
# a runner sets it for the test programs alone.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sh $PWD/tests/timed.sh"

# A pipe has the status of its last command: cargo's own goes through a file.
{ ${CARGO:-cargo} test --workspace --no-fail-fast 2>&1 && echo 0 >"$log.status" || echo $? >"$log.status"; } | tee "$log"

echo
echo "slowest tests:"
sed -n 's/^test \(.*\) \.\.\. .*<\([0-9.]*\)s>$/\2 \1/p' "$log" | sort -rn | head -n 15 | awk '{ printf "%9.1f s  %s\n", $1, $2 }'
awk '/^test result: / { for (i = 1; i < NF; i++) { if ($(i + 1) == "passed;") ok += $i; if ($(i + 1) == "failed;") bad += $i; if ($(i + 1) == "ignored;") not += $i } }
	END { printf "\ntest result: %s. %d passed; %d failed; %d ignored; in all test programs\n", bad ? "FAILED" : "ok", ok, bad, not }' "$log"
exit "$(cat "$log.status")"
