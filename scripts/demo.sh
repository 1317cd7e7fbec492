#!/bin/sh
# SPDX-License-Identifier: MIT
# The whole story on a made image: phantom CZI as a mosaic, info, plan, denoise under a memory limit that is smaller than
# the image, killed and resumed once, verify, PSNR before and after, a picture.
#   scripts/demo.sh PROGRAM FOLDER
# DEMO_SIZE, DEMO_MEMORY and DEMO_DENOISE (more options of denoise) change it.
set -eu
pellucid=$(realpath "$1")
folder=$2
size=${DEMO_SIZE:-c=2,z=24,y=1800,x=2000}
memory=${DEMO_MEMORY:-300M}
mkdir -p "$folder"
cd "$folder"
rm -rf embryo.czi embryo.ome.zarr embryo.ome.zarr.run before-after-truth.png

headline() { printf '\n\033[1m%s\033[0m\n' "$*"; }
typed() { printf '$ pellucid'; printf ' %s' "$@"; printf '\n'; "$pellucid" "$@"; }
number() { "$pellucid" status embryo.ome.zarr --json 2>/dev/null | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }
psnr() { sed -n 's/.*PSNR *\([0-9.]*\) dB.*/\1/p'; }

headline "1. A made image whose truth is known, as a CZI mosaic"
typed phantom embryo.czi --size "$size" --tiles y=512,x=512 --overlap 32 --compression zstd1
ls -l embryo.czi
typed info embryo.czi

headline "2. The plan: what would happen"
# shellcheck disable=SC2086
typed plan denoise embryo.czi embryo.ome.zarr --memory "$memory" ${DEMO_DENOISE:-}

headline "3. Denoise in less memory than the image has pixels, and kill -9 on the way"
echo "\$ pellucid denoise embryo.czi embryo.ome.zarr --memory $memory &"
# shellcheck disable=SC2086
"$pellucid" denoise embryo.czi embryo.ome.zarr --memory "$memory" ${DEMO_DENOISE:-} --quiet &
worker=$!
while kill -0 $worker 2>/dev/null; do
    finished=$(number blocks_done)
    total=$(number blocks_total)
    [ -n "$finished" ] && [ "$finished" -gt 0 ] && [ $((3 * finished)) -ge "$total" ] && break
    sleep 0.2
done
if kill -9 $worker 2>/dev/null; then
    echo "\$ kill -9 $worker"
fi
wait $worker 2>/dev/null || true
typed status embryo.ome.zarr || true
before=$(number blocks_done)

headline "4. The same command again goes on where it was"
# shellcheck disable=SC2086
typed denoise embryo.czi embryo.ome.zarr --memory "$memory" ${DEMO_DENOISE:-}
typed status embryo.ome.zarr
echo "$before blocks were finished before the kill and were not computed again."

headline "5. Verify: every file against the ledger, windows across block faces recomputed"
typed verify embryo.ome.zarr

headline "6. Against the truth: PSNR before and after"
noisy=$("$pellucid" phantom --computed --size "$size")
truth=phantom-truth:${noisy#phantom:}
a=$("$pellucid" compare "$truth" embryo.czi --quiet || test $? = 1)
b=$("$pellucid" compare "$truth" embryo.ome.zarr --quiet || test $? = 1)
a=$(echo "$a" | psnr)
b=$(echo "$b" | psnr)
echo "before  $a dB"
echo "after   $b dB"

headline "7. A picture: before, after, truth"
typed picture embryo.czi embryo.ome.zarr "$truth" before-after-truth.png --crop y=0:400,x=0:400
echo
echo "Everything is in $(pwd): embryo.czi, embryo.ome.zarr (open it in napari), before-after-truth.png"
[ "${b%.*}" -ge "$((${a%.*} + 6))" ] || { echo "demo: denoising gained less than 6 dB: something is wrong" >&2; exit 1; }
