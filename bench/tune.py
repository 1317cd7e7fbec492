# SPDX-License-Identifier: MIT
"""Does the estimate of `tune` choose well? For each image: the estimated and the true error of every candidate, what was
chosen, what it loses against the best of the grid, what it gains over the default.

    python bench/tune.py [--quick] [--seed N] [--only WORDS]          PELLUCID is the program (default build/pellucid)"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
import zarr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from test_ndsafir_oracle import run  # noqa: E402

PROGRAM = os.path.abspath(os.environ.get("PELLUCID", ROOT / "build" / "pellucid"))


def call(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr}")
    return done.stdout


def read(name, folder):
    """As t z y x."""
    out = os.path.join(folder, "read.ome.zarr")
    call("convert", name, out, "--fresh", "--quiet", "--format", "0.4", "--codec", "none", "--levels", "1")
    a = zarr.open_array(os.path.join(out, "0"), mode="r")[...]
    return a.reshape((-1, 1, *a.shape[-2:]) if "t=" in name else (1, -1, *a.shape[-2:])).astype(np.float32)


def true_error(noisy, truth, noise, settings):
    """By the filter itself, which is what the program runs, without its files."""
    words = dict(item.split("=", 1) for item in settings.split())
    return float(np.mean((run(noisy, noise=noise if "," in noise else f"0,{float(noise) ** 2:g}", **words) - truth) ** 2))


def judge(name, noisy, truth, noise, folder):
    table = json.loads(call("tune", noisy, "--noise", noise, "--json", "--quiet"))
    assert len(table) == 1, "one channel an image here"
    y, clean = read(noisy, folder), read(truth, folder).astype(np.float64)
    with ThreadPoolExecutor(2) as pool:
        errors = list(pool.map(lambda c: true_error(y, clean, noise, c["settings"]), table[0]))
    chosen = next(i for i, c in enumerate(table[0]) if c["chosen"])
    db = [10 * math.log10(errors[0] / e) for e in errors]
    for c, e, d in zip(table[0], errors, db):
        print(f"    {'*' if c['chosen'] else ' '} estimate {c['risk']:10.4g}  true {e:10.4g}  {d:+6.2f} dB  {c['settings'] or '(the default)'}")
    print(f"{name:42s} chosen {db[chosen]:+6.2f} dB on the default, {max(db) - db[chosen]:5.2f} dB below the best of the grid", flush=True)
    return db[chosen], max(db) - db[chosen]


def phantoms(quick, first):
    shapes = [("2-D", "z=1,y=700,x=700"), ("3-D", "z=24,y=200,x=200")] + ([] if quick else [("time", "t=6,z=1,y=260,x=260")])
    for kind, size in shapes:
        for peak, brightness in [("dim", 0.15), ("usual", 1)] + ([] if quick else [("bright", 5)]):
            for seed in (first,) if quick else (first, first + 1):
                name = f"phantom:{size};seed={seed};noise=2,-191;brightness={brightness}"
                yield f"{kind} fluorescence, {peak}, seed {seed}", name, name.replace("phantom:", "phantom-truth:"), "2,-191"


def dim_planes(quick, seed, folder):
    """Hardly any light under read-out noise: 0.2 and 0.6 photons of background, 1.5 of noise."""
    from quality import made
    for light in (0.1,) if quick else (0.1, 0.3):
        for k in range(2):
            truth = made((1, 1, 600), seed=100 + 10 * seed + k)[0, 0] * light
            rng = np.random.default_rng([seed, k, 7])
            noisy = 2 * rng.poisson(truth) + 100 + rng.normal(0, 3, truth.shape)
            a, b = os.path.join(folder, "noisy.tif"), os.path.join(folder, "clean.tif")
            tifffile.imwrite(a, noisy.astype(np.float32))
            tifffile.imwrite(b, (2 * truth + 100).astype(np.float32))
            yield f"2-D made fluorescence, light {light}, {k}", a, b, "2,-191"


def photographs(quick, seed, folder):
    from images import NAMES, image
    for n in NAMES[:2] if quick else NAMES:
        clean = image(n)
        for sigma in (20,) if quick else (5, 15, 25, 50):
            noisy = clean + np.random.default_rng(6 + seed).normal(0, sigma, clean.shape)
            a, b = os.path.join(folder, "noisy.tif"), os.path.join(folder, "clean.tif")
            tifffile.imwrite(a, noisy.astype(np.float32))
            tifffile.imwrite(b, clean.astype(np.float32))
            yield f"{n}, sigma {sigma}", a, b, str(sigma)
        for peak in () if quick else (5, 20, 120):
            scaled = clean * (peak / clean.max())
            tifffile.imwrite(a, np.random.default_rng(7 + seed).poisson(scaled).astype(np.float32))
            tifffile.imwrite(b, scaled.astype(np.float32))
            yield f"{n}, {peak} photons", a, b, "1,0"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for source in (phantoms(options.quick, options.seed), dim_planes(options.quick, options.seed, folder),
                       photographs(options.quick, options.seed, folder)):
            found += [(job[0], *judge(*job, folder)) for job in source if options.only in job[0]]
    for what, test in (("fluorescence", lambda n: "fluorescence" in n), ("sigma", lambda n: "sigma" in n), ("20 and 120 photons", lambda n: "20 photons" in n),
                       ("5 photons", lambda n: ", 5 photons" in n), ("all", lambda n: True)):
        these = [f[1:] for f in found if test(f[0])]
        if these:
            gain, loss = zip(*these)
            print(f"{what:20s} {len(these):3d} images: loss against the best of the grid: mean {np.mean(loss):.2f}, worst {max(loss):.2f} dB; "
                  f"gain on the default: mean {np.mean(gain):+.2f}, worst {min(gain):+.2f} dB")


if __name__ == "__main__":
    main()
