# SPDX-License-Identifier: MIT
"""The noise estimate beside the truth: photographs (the five, and those that scikit-image ships), made fluorescence in 2-D and
3-D, ramps and flat fields, at several peaks and seeds.

    python bench/noise.py [--seeds N] [--peaks 5,20,100,500] [--first SEED] [--images FOLDER] [--tool PROGRAM] [--crop N] [NAME …]

Detector: gain 2, background 100, read-out 5, so e_DC = -175. Errors in %: of the gain, of the offset as a share of |e_DC|, and
of the variance, the worst along the line from the 1st to the 99th percentile of the grey values. Beside them the limit: the
Cramer-Rao bound of the gain's and the offset's standard error where every pixel's mean is known beforehand, which no estimate
knows. `own` is the noise and finest texture that a photograph itself has (its highest frequencies), in % of the noise made at the
median grey value: no estimate can tell it from the noise made. Each error: bias, spread, worst of the seeds."""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from images import NAMES, image  # noqa: E402

GAIN, BACKGROUND, READOUT = 2.0, 100.0, 5.0
OFFSET = READOUT**2 - GAIN * BACKGROUND
SHIPPED = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon",
           "motorcycle_left", "retina", "rocket")


def grey(path):
    """The middle of a picture file, 0 to 255."""
    import imageio.v3 as imageio
    a = imageio.imread(path).astype(np.float64)
    a = a[..., :3].mean(-1) if a.ndim == 3 else a
    y, x = (max(0, (s - 512) // 2) for s in a.shape)
    return a[y:y + 512, x:x + 512]


def photographs(crop, folder):
    if folder:
        found = {"*" + path.stem: grey(path) for path in sorted(folder.glob("*.png"))}
    else:
        import skimage
        shipped = Path(skimage.__file__).parent / "data"
        found = {n: image(n) for n in NAMES} | {"+" + n: grey(next(shipped.glob(f"{n}.*"))) for n in SHIPPED}
    return {n: a[:crop, :crop] / 255 for n, a in found.items()}


def made(n):
    """Ramps, flat fields of several levels, blobs in a plane and in a stack."""
    y, x = np.mgrid[:n, :n] / n
    rng = np.random.default_rng(5)
    out = {"=ramp": x, "=ramp diagonal": (x + y) / 2, "=ramp oblique": (x + 0.3 * y) / 1.3}
    out |= {f"=flat {k} levels": 0.1 + 0.9 * np.minimum(np.floor(x * k), k - 1) / (k - 1) for k in (2, 3, 5)}
    out["=flat 4 in squares"] = 0.05 + 0.95 * ((np.floor(x * 8) + np.floor(y * 8)) % 4) / 3
    plane, stack = np.full((n, n), 0.02), np.full((8, n // 2, n // 2), 0.02)
    z3, y3, x3 = np.mgrid[:8, :n // 2, :n // 2]
    for _ in range(150):
        cy, cx, s, a = rng.uniform(0, n), rng.uniform(0, n), rng.uniform(2, 12), rng.uniform(0.1, 1)
        plane += a * np.exp(-((y * n - cy) ** 2 + (x * n - cx) ** 2) / 2 / s**2)
        stack += a * np.exp(-((y3 - cy / 2) ** 2 + (x3 - cx / 2) ** 2) / 2 / s**2 - (z3 - rng.uniform(0, 8)) ** 2 / 8)
    return out | {"=blobs": plane / plane.max(), "=blobs 3-D": stack / stack.max()}


def noisy(truth, peak, seed):
    rng = np.random.default_rng(seed)
    return (GAIN * rng.poisson(truth * peak) + BACKGROUND + rng.normal(0, READOUT, truth.shape)).astype(np.float32)


def estimate(tool, y):
    shape = (1,) * (3 - y.ndim) + y.shape
    done = subprocess.run([tool, ",".join(map(str, shape))], input=y.tobytes(), capture_output=True, check=False)
    if done.returncode:
        return None, done.stderr.decode().strip()
    fit = json.loads(done.stdout)
    return (fit["gain"], fit["offset"]), ""


def limit(truth, peak):
    x = GAIN * truth * peak + BACKGROUND
    w = 0.5 / (GAIN * x + OFFSET) ** 2
    a, b, c = (w * x * x).sum(), (w * x).sum(), w.sum()
    return 100 * np.sqrt(c / (a * c - b * b)) / GAIN, 100 * np.sqrt(a / (a * c - b * b)) / abs(OFFSET)


def own(truth, peak):
    """Variance at the finest scale, in photons^2, beside that of the noise made."""
    from scipy.fft import dctn
    h, w = (s // 8 * 8 for s in truth.shape)
    blocks = truth[:h, :w].reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    c = dctn(blocks, axes=(1, 2), norm="ortho") ** 2
    u, v = np.mgrid[:8, :8]
    return 100 * np.median(c[:, u**2 + v**2 >= 65].mean(1)) * peak**2 / (peak * np.median(truth) + (READOUT / GAIN) ** 2)


def errors(tool, truth, peak, seeds):
    """Rows (gain, offset, variance) of % for each seed that was not refused, and the reasons of those that were."""
    rows, refused = [], []
    x = GAIN * peak * np.quantile(truth, [0.01, 0.5, 0.99]) + BACKGROUND
    for seed in seeds:
        got, why = estimate(tool, noisy(truth, peak, seed))
        if got is None:
            refused.append(why)
            continue
        rows.append((100 * (got[0] / GAIN - 1), 100 * (got[1] - OFFSET) / abs(OFFSET),
                     100 * np.abs((got[0] * x + got[1]) / (GAIN * x + OFFSET) - 1).max()))
    return np.array(rows).reshape(-1, 3), refused


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*")
    p.add_argument("--seeds", type=int, default=6)
    p.add_argument("--first", type=int, default=0, help="the first seed")
    p.add_argument("--images", type=Path, help="a folder of PNG files, 8 bit, in place of the photographs")
    p.add_argument("--peaks", default="5,20,100,500")
    p.add_argument("--crop", type=int, default=512)
    p.add_argument("--tool", default=str(Path(os.environ.get("PELLUCID_BUILD", ROOT / "build")) / "tests" / "tool_noise"))
    o = p.parse_args()
    scenes = {n: a for n, a in (photographs(o.crop, o.images) | made(o.crop)).items() if not o.names or n.lstrip("+=*") in o.names}
    for peak in map(float, o.peaks.split(",")):
        print(f"\npeak {peak:g}{'':13s}| gain: bias spread worst (limit) | offset: bias spread worst (limit) | variance: mean worst | own")
        groups = {}
        for name, truth in scenes.items():
            rows, refused = errors(o.tool, truth, peak, range(o.first, o.first + o.seeds))
            if len(rows):
                g, e, v = rows.T
                a, b = limit(truth, peak)
                tail = f"{own(truth, peak):5.1f}" if name[0] != "=" else ""
                print(f"{name:20s}| {g.mean():10.1f} {g.std():6.1f} {np.abs(g).max():5.1f} ({a:4.1f})  | {e.mean():12.1f} {e.std():6.1f} "
                      f"{np.abs(e).max():5.1f} ({b:4.1f})  | {v.mean():14.1f} {v.max():5.1f} | {tail}", flush=True)
                groups.setdefault({"+": "shipped", "=": "made", "*": "others"}.get(name[0], "the five"), []).append(np.abs(rows))
            if refused:
                print(f"{name:20s}| refused {len(refused)} of {o.seeds}: {refused[0][:150]}")
        for group, parts in groups.items():
            every = np.concatenate(parts)
            print(f"  {group:9s} mean |error|: gain {every[:, 0].mean():.1f}, offset {every[:, 1].mean():.1f}; within 10 %: gain "
                  f"{100 * (every[:, 0] <= 10).mean():.0f} %, offset {100 * (every[:, 1] <= 10).mean():.0f} %; worst gain {every[:, 0].max():.1f}, "
                  f"offset {every[:, 1].max():.1f}, variance {every[:, 2].max():.1f}")


main()
