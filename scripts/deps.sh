#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that are missing; without root it says which and how.
#   scripts/deps.sh          those that the program needs
#   scripts/deps.sh tests    and those of the tests
#   scripts/deps.sh fuzz     and those of the fuzz targets
set -eu
packages="gcc pkg-config meson ninja-build libc6-dev libzstd-dev libblosc-dev libdeflate-dev zlib1g-dev liblz4-dev libbz2-dev liblzma-dev libxxhash-dev
libjson-c-dev libexpat1-dev libtiff-dev libpng-dev libjxr-dev libcurl4-openssl-dev libssl-dev libyaml-dev python3"
# Compilers, readers, schedulers and the cluster engine's library that only the tests need.
test_packages="g++ python3-venv openssl iproute2 coop-computing-tools coop-computing-tools-dev slurm-wlm munge strace libhwloc15 libtirpc3 libdb5.3"
# Schedulers that cannot be installed beside each other, or would bring daemons and a mail server along, are unpacked into
# build/aside, with the libraries that they alone need; whoever lacks them there skips their tests.
gridengine="gridengine-master gridengine-exec gridengine-client gridengine-common libjemalloc2"
torque="slurm-wlm-torque libslurm-perl libslurmdb-perl libslurm38 libswitch-perl"
# The kernel of arm64, cross-compiled and run under emulation.
[ "$(uname -m)" != x86_64 ] || test_packages="$test_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
# libFuzzer and the sanitizers that report to it.
fuzz_packages="clang libclang-rt-14-dev llvm-14"
[ "${1:-}" != tests ] || packages="$packages $test_packages"
[ "${1:-}" != fuzz ] || packages="$packages $fuzz_packages"

if ! command -v dpkg-query >/dev/null; then
    echo "deps: no Debian here: install what provides $packages" | tr '\n' ' ' && echo
    exit 0
fi
# unpack FOLDER PACKAGES: all of them, or the folder is not there.
unpack() {
    aside=$(dirname "$0")/../build/aside
    into=$aside/$1
    [ ! -d "$into" ] || return 0
    shift
    rm -rf "$into.new" && mkdir -p "$into.new/deb"
    echo "deps: unpacking $* into build/aside"
    if (cd "$into.new/deb" && apt-get -qq download "$@" >/dev/null 2>&1); then
        for deb in "$into.new"/deb/*.deb; do dpkg -x "$deb" "$into.new"; done
        rm -r "$into.new/deb"
        mv "$into.new" "$into"
    else
        echo "deps: they cannot be had here: their tests are skipped"
        rm -rf "$into.new"
    fi
}
unpack_all() {
    # shellcheck disable=SC2086
    [ "$1" != tests ] || { unpack gridengine $gridengine && unpack torque $torque; }
}

missing=
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -z "$missing" ]; then
    unpack_all "${1:-}"
    exit 0
fi
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
unpack_all "${1:-}"
