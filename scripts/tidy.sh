#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy with the checks of .clang-tidy over every C file that the build compiles; any finding fails.
set -eu
build=$1
command -v clang-tidy >/dev/null || { echo "tidy: please install clang-tidy" >&2; exit 2; }
git ls-files '*.c' | grep -E '^(src|cli|tests)/' | xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet --warnings-as-errors='*'
