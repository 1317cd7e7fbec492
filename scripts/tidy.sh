#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy with the checks of .clang-tidy over every C file that the build compiles; any finding fails. Not the tools of the
# measurements (tests/tool_*.c): they read their own words with atoi, and nobody else calls them.
set -eu
build=$1
command -v clang-tidy >/dev/null || { echo "tidy: please install clang-tidy" >&2; exit 2; }
git ls-files '*.c' | grep -E '^(src|cli|dashboard|tests)/' | grep -v '^tests/tool_' |
    xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet --warnings-as-errors='*'
