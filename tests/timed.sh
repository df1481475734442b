#!/bin/sh
# Runs a test program so that it reports how long each test took (see run.sh).
RUSTC_BOOTSTRAP=1 exec "$@" -Zunstable-options --report-time
