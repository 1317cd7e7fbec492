# SPDX-License-Identifier: MIT
"""Does reading and writing show? A made CZI mosaic (zstd tiles) is denoised into OME-Zarr under a memory limit, start, audit
and pyramid included; beside it the filter's own time over one channel and time of the same image, in memory, in the same
blocks, times their number: with as many threads, one block after the other, and with one thread, divided by their number, which
no run can do better than. By the clock, in turns, least of several; the aim is 1.05.

    python bench/io_share.py [--size c=2,z=24,y=1800,x=2000] [--memory 300M] [--threads N] [--repeat N] [--dir FOLDER]"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("PELLUCID", ROOT / "build" / "pellucid")).resolve()
TOOL = PROGRAM.parent / "tests" / "tool_ndsafir"
NOISE = (2.0, 10.0) # gain, offset: nearly that of the phantom; the filter's work hardly depends on it


def pellucid(*words):
    return subprocess.run([str(PROGRAM), *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout


def one_volume(folder, czi):
    """Channel 0, time 0 as float32, and its shape."""
    import numpy as np
    import zarr
    pellucid("convert", czi, folder / "one.ome.zarr", "--channel", "0", "--time", "0", "--levels", "1", "--codec", "none", "--quiet")
    a = zarr.open(folder / "one.ome.zarr")["0"]
    (folder / "one.f32").write_bytes(np.ascontiguousarray(a[:]).astype("<f4").tobytes())
    shape = a.shape
    shutil.rmtree(folder / "one.ome.zarr")
    shutil.rmtree(folder / "one.ome.zarr.run")
    return shape


def whole_run(folder, czi, words):
    for name in ("out.ome.zarr", "out.ome.zarr.run"):
        shutil.rmtree(folder / name, ignore_errors=True)
    start = time.perf_counter()
    pellucid("denoise", czi, folder / "out.ome.zarr", *words, "--quiet")
    return time.perf_counter() - start


def filter_alone(folder, shape, block, threads):
    words = [str(TOOL), ",".join(map(str, shape)), f"{NOISE[0]},{NOISE[1]}", f"threads={threads}", "repeat=2",
             "block=" + ",".join(map(str, block))]
    with open(folder / "one.f32", "rb") as f:
        done = subprocess.run(words, check=True, stdin=f, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}) # pages as large as the program's
    return float(done.stderr.split()[4])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="c=2,z=24,y=1800,x=2000")
    parser.add_argument("--memory", default="300M")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--dir", default=None)
    o = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=o.dir))
    try:
        czi = folder / "image.czi"
        pellucid("phantom", czi, "--size", o.size, "--tiles", "y=512,x=512", "--overlap", "32", "--compression", "zstd1", "--quiet")
        shape = one_volume(folder, czi)
        words = ["--memory", o.memory, "--threads", o.threads, "--tune", "off", "--noise", f"{NOISE[0]},{NOISE[1]}"]
        plan = json.loads(pellucid("plan", "denoise", czi, folder / "out.ome.zarr", *words, "--json", "--no-timing"))
        block = [min(n, size) for n, size in zip(plan["block"].values(), shape)]
        volumes = plan["voxels"] // (shape[2] * shape[3] * shape[4])
        total, alone, ideal = [], [], []
        for _ in range(o.repeat):
            total.append(whole_run(folder, czi, words))
            alone.append(filter_alone(folder, shape, block, o.threads) * volumes)
            ideal.append(filter_alone(folder, shape, block, 1) * volumes / o.threads)
        print(f"{o.size}: {plan['voxels']} voxels in blocks of {block}, {o.threads} threads, {o.memory}: run {min(total):.2f} s, "
              f"filter alone {min(alone):.2f} s, ratio {min(total) / min(alone):.3f} (aim: 1.05); one thread alone, divided by "
              f"{o.threads}: {min(ideal):.2f} s, ratio {min(total) / min(ideal):.3f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
