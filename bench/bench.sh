#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints the tables of docs/performance.md and docs/denoising.md, pellucid side by side with the tools that it replaces, one table after the
# other; without names all of them, which takes some hours.
#   bench/bench.sh [speed|denoisers|io|noise|shared|quality|tune|dog|zarr|convert …]
set -eu
cd "$(dirname "$0")/.."
all="speed denoisers io noise shared quality tune dog zarr convert"

run() {
    echo "== bench/$*"
    script=$1
    shift
    "${PYTHON:-python3}" "bench/$script" "$@"
}

table() {
    case $1 in
    speed) run speed.py ;;         # ND-SAFIR beside the package, threads, where the time goes
    denoisers)                     # quality against speed, beside other denoisers
        run compare_denoisers.py quality
        run compare_denoisers.py speed
        run compare_denoisers.py table ;;
    io) run io_share.py ;;         # a run beside its filter's own time
    noise) run noise.py --peaks 20,100 ;;
    shared) run shared_noise.py ;; # noise that neighbours share, beside the true model given
    quality) run quality.py ;;     # PSNR beside the package
    tune) run tune.py --seed 31 ;; # what is chosen beside the best of the grid
    dog) run dog.py ;;
    zarr) run zarr_speed.py ;;
    convert) run convert_speed.py ;;
    *) echo "bench: no table '$1'; there are: $all" >&2 && exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- $all
for name in "$@"; do table "$name"; done
