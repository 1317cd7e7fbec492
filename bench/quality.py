# SPDX-License-Identifier: MIT
"""PSNR of ND-SAFIR beside the `ndsafir` package on the same noisy images: the published table, Gaussian noise without
clipping, Poisson noise, and made fluorescence in 2-D, 3-D and time. pellucid is run as its user runs it, `denoise --quality
fast|standard|strong` with the noise given and all else left to --tune auto; cells that miss their aim are named at the end.
The package's results are kept under the build folder. Speed is bench/speed.py.

    python bench/quality.py [published|gauss|poisson|fluorescence …] [--seed N] [--no-package] [--unseen | --images FOLDER] [--sigma S …] [--peak P …]
                            [--quality Q …]

--unseen: in place of the five photographs the middles (256 x 256) of ten that nothing was chosen on (needs bench/requirements.txt);
--images: all PNG of a folder, likewise."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import zarr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from images import NAMES, image, psnr  # noqa: E402
from peers import package, theirs_counts, theirs_exact, theirs_gaussian  # noqa: E402
from test_ndsafir_oracle import run  # noqa: E402
from test_quality import PAPER, PUBLISHED  # noqa: E402

PROGRAM = os.path.abspath(os.environ.get("PELLUCID", ROOT / "build" / "pellucid"))


def ours(y, noise, **settings):
    return run(y.astype(np.float32).reshape((1,) * (4 - y.ndim) + y.shape), noise=noise, **settings).reshape(y.shape)


def row(head, values):
    print(f"{head:44s}" + "".join(f"{v:8.2f}" for v in values) + f"{np.mean(values):9.2f}", flush=True)


def head(title, names):
    print(f"\n{title}\n{'':44s}" + "".join(f"{n[:7]:>8s}" for n in names) + f"{'mean':>9s}")


def published(clean, seed):
    head("Published table (9x9 patches, rounded and clipped to 8 bits), dB", NAMES)
    off = []
    for sigma, want in PUBLISHED.items():
        rng = np.random.default_rng(seed)
        noisy = {n: np.clip(np.rint(a + rng.normal(0, sigma, a.shape)), 0, 255) for n, a in clean.items()}
        got = [psnr(ours(y, f"0,{sigma**2}", **PAPER), clean[n]) for n, y in noisy.items()]
        off += [g - w for g, w in zip(got, want)]
        row(f"sigma {sigma:3d}  published", want)
        row("           pellucid, the published form", got)
        row("           pellucid, defaults", [psnr(ours(y, f"0,{sigma**2}"), clean[n]) for n, y in noisy.items()])
        if package:
            row("           ndsafir package, 4 iterations, p .01", [psnr(theirs_gaussian(y.astype(np.float32)[None, None], sigma, 4, 0.01)[0, 0], clean[n]) for n, y in noisy.items()])
    print(f"pellucid - published: mean {np.mean(off):+.3f}, mean absolute {np.mean(np.abs(off)):.3f}, "
          f"without the last image {np.mean(np.abs(np.reshape(off, (-1, 5))[:, :4])):.3f}")


# ---- presets beside the package -------------------------------------------------------------------------------------------

# Preset, iterations and p-values of the package beside it, aim of the mean in dB. On no image below it.
PRESETS = [("fast", [(3, 0.1)], 0.15), ("standard", [(4, 0.1)], 0.25), ("strong", [(5, 0.1), (5, 0.01)], 0.1)]
SIGMAS = (5, 10, 15, 20, 25, 50)
PEAKS = (2, 5, 20, 120)
missed = []


def denoised(folder, y, noise, quality, tune="auto"):
    """What a user gets who types --quality and --noise; y has axes t z y x."""
    a, b = Path(folder) / "noisy.tif", Path(folder) / "out.ome.zarr"
    axes = "".join(letter for letter, n in zip("TZ", y.shape) if n > 1) + "YX"
    tifffile.imwrite(a, np.squeeze(y).astype(np.float32), imagej=True, metadata={"axes": axes})
    words = [PROGRAM, "denoise", a, b, "--noise", noise, "--quality", quality, "--tune", tune, "--fresh", "--dtype", "float32", "--levels", "1",
             "--format", "0.4", "--codec", "none", "--quiet"]
    subprocess.run([str(w) for w in words], check=True)
    return zarr.open_array(b / "0", mode="r")[...].reshape(y.shape)


def verdict(name, ours_db, theirs_db, aim):
    gains = np.array(ours_db) - theirs_db
    short = gains.mean() < aim or (gains.min() < 0)
    if short:
        missed.append(name)
    print(f"{'  gain':44s}" + "".join(f"{v:+8.2f}" for v in gains) + f"{gains.mean():+9.2f}   aim {aim:+.2f}: {'MISSED' if short else 'met'}", flush=True)


def gauss(clean, seed):
    head("Gaussian noise, not clipped, dB", clean)
    with tempfile.TemporaryDirectory() as folder:
        for sigma in SIGMAS:
            rng = np.random.default_rng(seed)
            noisy = {n: (a + rng.normal(0, sigma, a.shape)).astype(np.float32)[None, None] for n, a in clean.items()}
            for quality, sides, aim in PRESETS:
                got = [psnr(denoised(folder, y, sigma, quality)[0, 0], clean[n]) for n, y in noisy.items()]
                row(f"sigma {sigma:3d}  pellucid --quality {quality}", got)
                for iterations, pvalue in sides if package else ():
                    want = [psnr(theirs_gaussian(y, sigma, iterations, pvalue)[0, 0], clean[n]) for n, y in noisy.items()]
                    row(f"           ndsafir package, {iterations} iterations, p {pvalue}", want)
                    verdict(f"sigma {sigma} {quality} against {iterations} iterations, p {pvalue}", got, want, aim)


def poisson(clean, seed):
    head("Poisson noise, gain 1, dB of the peak", clean)
    with tempfile.TemporaryDirectory() as folder:
        for peak in PEAKS:
            rng = np.random.default_rng(seed)
            truth = {n: a / 255 * peak for n, a in clean.items()}
            noisy = {n: rng.poisson(a).astype(np.float32)[None, None] for n, a in truth.items()}
            for quality, sides, _ in PRESETS:
                iterations = sides[0][0]
                got = [psnr(denoised(folder, y, "1,0", quality)[0, 0], truth[n], peak) for n, y in noisy.items()]
                row(f"peak {peak:4d}  pellucid --quality {quality}", got)
                if package:
                    want = [psnr(theirs_counts(y, 1, 0, iterations)[0, 0], truth[n], peak) for n, y in noisy.items()]
                    row(f"           ndsafir package, {iterations} iterations", want)
                    verdict(f"peak {peak} {quality}", got, want, 0.3)


FLUORESCENCE = [("plane 256x256", (1, 1, 256), 1.0, [4]), ("depth 32x96x96", (1, 32, 96), 1.2, [3, 4, 5]),
                ("time, moving, 8x128x128", (8, 1, 128), 1.2, [3, 4, 5]), ("time, at rest, 8x128x128", (8, 1, 128), 1.2, [3, 4, 5])]


def fluorescence(clean, seed):
    """Against the package's best, be it its own transform or the exact one."""
    images = [f"{light} {k}" for light in ("usual", "dim") for k in range(2)]
    head("Made fluorescence (gain 2, background 100, readout 3), dB of the range", images)
    with tempfile.TemporaryDirectory() as folder:
        for title, shape, aim, iterations in FLUORESCENCE:
            noisy, grey = [], []
            for name in images:
                light, k = name.split()
                rng = np.random.default_rng([seed, int(k)])
                truth = made(shape, seed=7 + int(k), move="rest" not in title) * (1 if light == "usual" else 0.15)
                noisy.append((2 * rng.poisson(truth) + 100 + rng.normal(0, 3, truth.shape)).astype(np.float32))
                grey.append(2 * truth + 100)
            db = lambda results: [psnr(r, g, float(np.ptp(g))) for r, g in zip(results, grey)]  # noqa: E731
            row(f"{title}  noisy", db(noisy))
            for quality in ("fast", "standard", "strong"):
                got = db([denoised(folder, y, "2,-191", quality) for y in noisy])
                row(f"  pellucid --quality {quality}", got)
                if quality == "standard":
                    ours_db = got
            row("  pellucid --tune off", db([denoised(folder, y, "2,-191", "standard", "off") for y in noisy]))
            best = np.full(len(images), -np.inf)
            for n in iterations if package else ():
                for text, call in (("", theirs_counts), (", exact transform", theirs_exact)):
                    want = db([call(y, 2, -191, n) for y in noisy])
                    best = np.maximum(best, want) if aim > 1 or text else best
                    row(f"  ndsafir package, {n} iterations{text}", want)
            if package:
                verdict(f"{title} standard", ours_db, best, aim)


def made(shape, seed=7, move=True):
    """Mean photons: smooth background, filaments and blobs that move with time."""
    t, z, n = shape
    rng = np.random.default_rng(seed)
    out = np.zeros((t, z, n, n))
    zz, yy, xx = np.mgrid[:z, :n, :n].astype(float)
    out += 2 + np.sin(xx / 40) * np.cos(yy / 55)
    blobs = [(rng.uniform(0, (z, n, n)), rng.normal(0, 1.2, 3), rng.uniform(1.2, 4), rng.uniform(5, 40)) for _ in range(max(30, z * n * n // 6000))]
    lines = [(rng.uniform(0, np.pi), rng.uniform(0, n), rng.uniform(0, z), rng.normal(0, 0.15), rng.uniform(10, 30)) for _ in range(8)]
    for k in range(t):
        for c, v, s, a in blobs:
            d = (zz - c[0]) ** 2 * 3 + (yy - c[1] - k * move * v[1]) ** 2 + (xx - c[2] - k * move * v[2]) ** 2
            out[k] += a * np.exp(-d / (2 * s * s))
        for angle, offset, depth, tilt, a in lines:
            across = np.sin(angle) * (xx - n / 2) + np.cos(angle) * (yy - n / 2) + offset - n / 2 + 4 * np.sin(xx / 25)
            out[k] += a * np.exp(-(across**2) / 3 - (zz - depth - tilt * (xx - n / 2)) ** 2 / 3)
    return out


# Photographs that nothing was chosen on: scikit-image's and scikit-learn's.
UNSEEN = {"skimage": ("data/clock_motion.png", "data/coffee.png", "data/gravel.png", "data/hubble_deep_field.jpg", "data/ihc.png", "data/motorcycle_left.png",
                      "data/retina.jpg", "data/rocket.jpg"), "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg")}


def grey(path, side):
    """The middle of a picture, 0 to 255."""
    from skimage import color, io
    a = io.imread(path)
    a = a if a.ndim == 2 else color.rgb2gray(a[..., :3]) * 255
    top, left = (max(0, (n - side) // 2) for n in a.shape)
    return a[top:top + side, left:left + side].astype(np.float32)


def unseen():
    import importlib.util
    found = {}
    for module, names in UNSEEN.items():
        home = Path(importlib.util.find_spec(module).origin).parent
        found |= {Path(n).stem: grey(home / n, 256) for n in names}
    return found


TABLES = {"published": published, "gauss": gauss, "poisson": poisson, "fluorescence": fluorescence}


def main():
    global package, SIGMAS, PEAKS, PRESETS
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tables", nargs="*", choices=[*TABLES, []])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--no-package", action="store_true")
    options.add_argument("--unseen", action="store_true")
    options.add_argument("--images", type=Path)
    options.add_argument("--sigma", type=int, nargs="*", default=SIGMAS)
    options.add_argument("--peak", type=int, nargs="*", default=PEAKS)
    options.add_argument("--quality", nargs="*", default=[p[0] for p in PRESETS])
    chosen = options.parse_args()
    if chosen.no_package:
        package = None
    SIGMAS, PEAKS, PRESETS = chosen.sigma, chosen.peak, [p for p in PRESETS if p[0] in chosen.quality]
    clean = {n: image(n) for n in NAMES}
    if chosen.unseen:
        clean = unseen()
    elif chosen.images:
        clean = {p.stem: grey(p, 512) for p in sorted(chosen.images.glob("*.png"))}
    for name in chosen.tables or TABLES:
        TABLES[name](clean, chosen.seed)
    print(f"\n{len(missed)} cells missed their aim" + "".join(f"\n    {name}" for name in missed))


if __name__ == "__main__":
    main()
