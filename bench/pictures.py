# SPDX-License-Identifier: MIT
"""Pictures for docs/pictures.md: real recordings denoised; from left to right the input, the `ndsafir` package, pellucid, and what
pellucid took away (in standard deviations of the noise, grey = 0, black and white = -4 and 4). Prints how large the residual is and
how much neighbours in it have in common: white noise gives 1 and 0.

    python bench/pictures.py [FOLDER of recordings]

Needs the tests' packages only; recordings: the CZI files of the tests (PELLUCID_SHARED)."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr
from PIL import Image

from peers import ROOT, package, stabilise, theirs_counts
from images import SHARED

PROGRAM = os.path.abspath(os.environ.get("PELLUCID", ROOT / "build" / "pellucid"))
SIDE = 256
# File, channel, (t, z, y, x) of the corner that is shown, noise where the estimate is refused, name of the picture.
RECORDINGS = [
    ("czitools_newCZI_compressed.czi", 0, (0, 0, 120, 120), None, "widefield"),
    ("czitools_FOV7_HV110_P0500510000.czi", 0, (0, 0, 128, 128), None, "confocal"),
    ("aics_mosaic_test.czi", 0, (0, 0, 180, 500), None, "mosaic"),
    ("aics_CD_s_1_t_3_c_2_z_5.czi", 0, (1, 2, 0, 0), None, "division-0"),
]


def call(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")
    return done.stdout


def read(store):
    """As t z y x."""
    group = zarr.open(store, mode="r")
    a = (group["0"] if isinstance(group, zarr.Group) else group)[...]
    letters = [axis["name"] for axis in (group.attrs.get("ome", group.attrs).get("multiscales"))[0]["axes"]]
    sizes = dict(zip(letters, a.shape))
    return a.reshape([sizes.get(axis, 1) for axis in "tzyx"]).astype(np.float64)


def neighbours(r, axis):
    """Correlation of the residual with itself one voxel on."""
    a, b = np.moveaxis(r, axis, 0)[:-1], np.moveaxis(r, axis, 0)[1:]
    return float((a * b).mean() / (r * r).mean()) if r.shape[axis] > 1 else float("nan")


def grey(a, low, high):
    return np.clip((a - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)


def panels(views, at, low, high, residual):
    t, z, y, x = at
    cut = [v[t, z, y:y + SIDE, x:x + SIDE] for v in views]
    residual = residual[t, z, y:y + SIDE, x:x + SIDE]
    strip = [grey(np.sqrt(np.maximum(v - low, 0)), 0, np.sqrt(high - low)) for v in cut] + [grey(residual, -4, 4)]
    gap = np.full((strip[0].shape[0], 4), 255, np.uint8)
    return np.concatenate([p for s in strip for p in (s, gap)][:-1], axis=1)


def one(recording, folder, out):
    name, channel, at, noise, picture = recording
    path, raw, clean = folder / name, out / "raw.ome.zarr", out / "clean.ome.zarr"
    model = noise
    if not model:
        found = json.loads(call("noise", path, "--channel", channel, "--position", 0, "--json", "--quiet"))["images"][0]["channels"][0]
        model = f"{found['gain']},{found['offset']}"
    common = ("--channel", channel, "--position", 0, "--fresh", "--dtype", "float32", "--levels", 1, "--quiet")
    call("convert", path, raw, *common)
    call("denoise", path, clean, "--noise", model, *common)
    y, u = read(raw), read(clean)
    gain, offset = map(float, model.split(","))
    theirs = theirs_counts(y.astype(np.float32), gain, offset, 4) if package else np.zeros_like(y)
    # Where no detector looked (zeros between tiles) there is nothing to judge.
    seen = y > 0
    t = stabilise(y, gain, offset) - stabilise(u, gain, offset)
    t[~seen] = 0
    numbers = dict(sigma=float(t[seen].std()), mean=float(t[seen].mean()), **{f"along {a}": neighbours(t, i) for i, a in enumerate("tzyx")})
    low, high = np.quantile(y[seen], (0.001, 0.999))
    strip = panels((y, theirs, u), at, low, high, t)
    target = ROOT / "docs" / "pictures" / f"{picture}.png"
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(strip // 4 * 4).save(target, optimize=True)
    tuned = json.loads((Path(f"{clean}.run") / "plan.json").read_text())
    settings = " ".join(f"{k} {tuned['settings'][k]}" for k in ("strength", "aggregate", "patch"))
    print(f"{picture:12s} {name:38s} noise {model:28s} residual: " + ", ".join(f"{k} {v:+.3f}" for k, v in numbers.items() if v == v)
          + f"; {settings}; {target.stat().st_size // 1000} kB", flush=True)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "czi"
    with tempfile.TemporaryDirectory() as out:
        for recording in RECORDINGS:
            one(recording, folder, Path(out))


if __name__ == "__main__":
    main()
