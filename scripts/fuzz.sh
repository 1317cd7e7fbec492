#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzz targets, so many seconds each, one after the other; what they find is kept in BUILD/finds.
#   scripts/fuzz.sh BUILD SECONDS [TARGET...]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- $(cd "$here/fuzz/corpus" && ls)
# A target whose library is not here is not built.
have=$(ninja -C "$build" -t targets all | sed -n 's|^fuzz/fuzz_\([a-z_0-9]*\):.*|\1|p' | sort -u)
names=
for t in "$@"; do
    if echo "$have" | grep -qx "$t"; then names="$names $t"; else echo "fuzz: $t: not built here"; fi
done
# shellcheck disable=SC2086,SC2046
ninja -C "$build" $(for t in $names; do echo "fuzz/fuzz_$t"; done)
mkdir -p "$build/finds" "$build/grown"
bad=0
for t in $names; do
    mkdir -p "$build/grown/$t"
    log="$build/finds/$t.log"
    if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$build/fuzz/fuzz_$t" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 -close_fd_mask=2 \
        -artifact_prefix="$build/finds/$t-" "$build/grown/$t" "$here/fuzz/corpus/$t" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        [ -n "$runs" ] || bad=1
        echo "ok   $t: ${runs:-NOT COUNTED} runs in $seconds s, no finds"
    else
        bad=1
        echo "FIND $t: $(grep -m1 -E 'ERROR|runtime error|SUMMARY' "$log" || tail -1 "$log")"
        grep -o "Test unit written to .*" "$log" || true
    fi
done
exit $bad
