#!/bin/sh
# Runs a test program so that it reports how long each test took (see run.sh). Examples in documentation run as they are.
case $1 in
*/deps/*) RUSTC_BOOTSTRAP=1 exec "$@" -Zunstable-options --report-time ;;
*) exec "$@" ;;
esac
