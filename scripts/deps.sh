#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that are missing; without root it says which and how.
#   scripts/deps.sh          those that the program needs
#   scripts/deps.sh tests    and those of the tests
set -eu
packages="gcc pkg-config meson ninja-build libc6-dev libzstd-dev libblosc-dev libdeflate-dev zlib1g-dev liblz4-dev
libjson-c-dev libexpat1-dev libtiff-dev libpng-dev libjxr-dev libcurl4-openssl-dev python3"
# Compilers, readers, schedulers and the cluster engine's library that only the tests need.
test_packages="g++ python3-venv coop-computing-tools coop-computing-tools-dev slurm-wlm munge"
[ "${1:-}" != tests ] || packages="$packages $test_packages"

if ! command -v dpkg-query >/dev/null; then
    echo "deps: no Debian here: install what provides $packages" | tr '\n' ' ' && echo
    exit 0
fi
missing=
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "deps: missing packages; please run: sudo apt-get install$missing" >&2
    exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
touch "$(dirname "$0")/../meson.build" # a build folder that is there looks for the libraries again
