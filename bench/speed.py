# SPDX-License-Identifier: MIT
"""Voxels a second of ND-SAFIR beside the `ndsafir` package: one thread each, the same image, equal windows, least
processor time of several runs. Prints a table; the ratio is what counts, absolute figures are of this machine.

    python bench/speed.py [--isa scalar|avx2|avx512] [--no-package] [--json]"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from images import BUILD  # noqa: E402


def plane(n=512):
    """Edges, ramps and texture with noise of standard deviation 20, grey values 0 to 255."""
    y, x = np.mgrid[:n, :n]
    clean = 120 + 60 * np.sign(np.sin(x / 17.0) * np.cos(y / 23.0)) + 25 * np.sin((x + 2 * y) / 4.0) * (x > n // 2)
    return (clean + np.random.default_rng(0).normal(0, 20, (n, n))).astype(np.float32)


def stack(t, z, n):
    """Moving blobs, gain 2, background 100, readout 3."""
    rng = np.random.default_rng(1)
    clean = np.full((t, z, n, n), 3.0)
    zz, yy, xx = np.mgrid[:z, :n, :n]
    for _ in range(60):
        c, v, s, a = rng.uniform(0, (z, n, n)), rng.normal(0, 1, 3), rng.uniform(1.5, 5), rng.uniform(10, 60)
        for k in range(t):
            d = (zz - c[0]) ** 2 * 4 + (yy - c[1] - k * v[1]) ** 2 + (xx - c[2] - k * v[2]) ** 2
            clean[k] += a * np.exp(-d / (2 * s * s))
    return (2 * rng.poisson(clean) + 100 + rng.normal(0, 3, clean.shape)).astype(np.float32)


def ours(y, noise, repeat, isa, **settings):
    shape = (1,) * (4 - y.ndim) + y.shape
    words = [f"{k.replace('_', '-')}={v}" for k, v in settings.items()]
    command = [BUILD / "tests" / "tool_ndsafir", "{},1,{},{},{}".format(*shape), noise, f"repeat={repeat}", f"isa={isa}", *words]
    done = subprocess.run(command, input=y.tobytes(), capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return float(done.stderr)


def theirs(call, repeat):
    best = None
    for _ in range(repeat):
        start = time.process_time()
        call()
        took = time.process_time() - start
        best = took if best is None else min(best, took)
    return best


def cases(package):
    """Name, image, noise, our settings, the package's call, repeats of both."""
    flat, small = plane(), plane(256)
    four = stack(3, 8, 96)
    gauss = dict(noise_std=20.0, patch=[3, 3], axes="YX", nthreads=1, pvalue=0.01)
    poisson = dict(gains=[2.0], offsets=[9.0 - 200.0], axes="TZYX", patch=[0, 1, 3, 3], nthreads=1, pvalue=0.1, max_iter=4)
    cambridge = dict(axes="tzyx", patch="z=1,y=3,x=3", p_value=0.1, aggregate="no", iterations=4, radius_xy="1,2,4,8",
                     radius_z="0,1,2,3", radius_t="0,0,0,1")
    yield ("2D, R 1,2,4, patch 3, plain", flat, "0,400", dict(radius_xy="1,2,4", aggregate="no"),
           package and (lambda: package.denoise_gaussian(flat, max_iter=3, **gauss)), 5, 3)
    yield ("2D, R 1,2,4,8, patch 3, plain", flat, "0,400", dict(radius_xy="1,2,4,8", aggregate="no"),
           package and (lambda: package.denoise_gaussian(flat, max_iter=4, **gauss)), 5, 2)
    yield ("2D, R 1,2,4,8, patch 3, aggregated (default)", flat, "0,400", dict(),
           package and (lambda: package.denoise_gaussian(flat, max_iter=4, **gauss)), 5, 2)
    yield ("2D, R 1,2,4,8,16, patch 3, plain", small, "0,400", dict(radius_xy="1,2,4,8,16", aggregate="no"),
           package and (lambda: package.denoise_gaussian(small, max_iter=5, **gauss)), 3, 1)
    yield ("4D, Cambridge windows, patch z1 y3 x3", four, "2,-191", cambridge,
           package and (lambda: package.denoise_poisson_gaussian(four, **poisson)), 2, 1)
    yield ("3D, R 1,2,4, z 1,1,2, patch 1 (default)", four[0], "2,-191", dict(), None, 5, 0)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--isa", default="auto")
    options.add_argument("--no-package", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    package = None
    if not chosen.no_package:
        import ndsafir as package
    rows = []
    last = None
    for name, y, noise, settings, call, repeat, package_repeat in cases(package):
        if chosen.only not in name:
            continue
        mine = y.size / ours(y, noise, repeat, chosen.isa, **settings) / 1e6
        other = y.size / theirs(call, package_repeat) / 1e6 if call else None
        rows.append({"case": name, "voxels": y.size, "pellucid": mine, "ndsafir": other, "ratio": mine / other if other else None})
        if not chosen.json:
            if last is None:
                print(f"{'one thread, Mvoxel/s':48s} {'pellucid':>9s} {'ndsafir':>9s} {'ratio':>7s}")
            last = rows[-1]
            print(f"{name:48s} {mine:9.3f} " + (f"{other:9.4f} {mine / other:6.1f}x" if other else f"{'':9s} {'':7s}"), flush=True)
    if chosen.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
