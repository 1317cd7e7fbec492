# SPDX-License-Identifier: MIT
"""PSNR of ND-SAFIR beside the `ndsafir` package on the same noisy images: the published table, Gaussian noise without
clipping, Poisson noise, and made fluorescence in 2-D, 3-D and time. Speed is bench/speed.py.

    python bench/quality.py [published|gauss|poisson|fluorescence …] [--seed N] [--no-package]"""
import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from images import NAMES, image, psnr  # noqa: E402
from test_ndsafir_oracle import run  # noqa: E402
from test_quality import PAPER, PUBLISHED  # noqa: E402

try:
    import ndsafir as package
except ImportError:
    package = None


def ours(y, noise, **settings):
    return run(y.astype(np.float32).reshape((1,) * (4 - y.ndim) + y.shape), noise=noise, **settings).reshape(y.shape)


def theirs(y, sigma, iterations, pvalue):
    return package.denoise_gaussian(y.astype(np.float32), axes="YX", noise_std=float(sigma), patch=[3, 3], max_iter=iterations,
                                    pvalue=pvalue, nthreads=1)


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
            row("           ndsafir package, 4 iterations, p .01", [psnr(theirs(y, sigma, 4, 0.01), clean[n]) for n, y in noisy.items()])
    print(f"pellucid - published: mean {np.mean(off):+.3f}, mean absolute {np.mean(np.abs(off)):.3f}, "
          f"without the last image {np.mean(np.abs(np.reshape(off, (-1, 5))[:, :4])):.3f}")


VARIANTS = {
    "published form, patch 3": dict(aggregate="no", strength=1, first=1),
    "defaults": {},
    "defaults, strength 1.5": dict(strength=1.5),
    "defaults, R 1,2,4": dict(radius_xy="1,2,4"),
    "strength 1.5, R 1,2,4": dict(radius_xy="1,2,4", strength=1.5),
}


def gauss(clean, seed):
    head("Gaussian noise, not clipped, dB", NAMES)
    for sigma in (5, 10, 15, 20, 25, 50):
        rng = np.random.default_rng(seed)
        noisy = {n: a + rng.normal(0, sigma, a.shape) for n, a in clean.items()}
        for i, (name, settings) in enumerate(VARIANTS.items()):
            row((f"sigma {sigma:3d}  " if i == 0 else " " * 11) + name, [psnr(ours(y, f"0,{sigma**2}", **settings), clean[n]) for n, y in noisy.items()])
        for iterations in (3, 4) if package else ():
            row(f"           ndsafir package, {iterations} iterations", [psnr(theirs(y, sigma, iterations, 0.1), clean[n]) for n, y in noisy.items()])


def poisson(clean, seed):
    names = ("peppers256", "lena512", "house256")
    head("Poisson noise, gain 1, dB of the peak", names)
    for peak in (2, 5, 20, 120):
        rng = np.random.default_rng(seed)
        truth = {n: clean[n] / 255 * peak for n in names}
        noisy = {n: rng.poisson(a) for n, a in truth.items()}
        row(f"peak {peak:4d}  published form, patch 3", [psnr(ours(y, "1,0", **VARIANTS["published form, patch 3"]), truth[n], peak) for n, y in noisy.items()])
        row("           defaults", [psnr(ours(y, "1,0"), truth[n], peak) for n, y in noisy.items()])
        if package:
            call = lambda y: package.denoise_poisson_gaussian(y.astype(np.float32), axes="YX", gains=[1.0], offsets=[0.0], patch=[3, 3], max_iter=4, nthreads=1)  # noqa: E731
            row("           ndsafir package, 4 iterations", [psnr(call(y), truth[n], peak) for n, y in noisy.items()])


def fluorescence(clean, seed):
    print("\nMade fluorescence (gain 2, background 100, readout 3), dB of the range")
    rng = np.random.default_rng(seed)
    for title, shape, settings in (
        ("2-D 256x256", (1, 1, 256), {"defaults": {}, "plain, strength 0.5": dict(aggregate="no", strength=0.5, first=1)}),
        ("3-D 24x96x96", (1, 24, 96), {"defaults": {}, "strength 0.7": dict(strength=0.7)}),
        ("time 8x128x128", (8, 1, 128), {"defaults": {}, "patch 1": dict(patch="t=1,y=1,x=1")}),
    ):
        truth = made(shape)
        y = 2 * rng.poisson(truth) + 100 + rng.normal(0, 3, truth.shape)
        grey = 2 * truth + 100
        peak = float(grey.max() - grey.min())
        print(f"{title:20s} noisy {psnr(y, grey, peak):6.2f}", end="")
        for name, s in settings.items():
            print(f" | {name} {psnr(ours(y, '2,-191', **s), grey, peak):6.2f}", end="")
        if package:
            axes = {(1, 1): "YX", (1, 24): "ZYX", (8, 1): "TYX"}[shape[:2]]
            arguments = dict(axes=axes, gains=[2.0], offsets=[-191.0], patch=[1] * (len(axes) - 2) + [3, 3], max_iter=4, nthreads=1)
            print(f" | ndsafir package {psnr(package.denoise_poisson_gaussian(np.squeeze(y).astype(np.float32), **arguments), np.squeeze(grey), peak):6.2f}", end="")
        print(flush=True)


def made(shape):
    """Mean photons: smooth background, filaments and blobs that move with time."""
    t, z, n = shape
    rng = np.random.default_rng(7)
    out = np.zeros((t, z, n, n))
    zz, yy, xx = np.mgrid[:z, :n, :n].astype(float)
    out += 2 + np.sin(xx / 40) * np.cos(yy / 55)
    blobs = [(rng.uniform(0, (z, n, n)), rng.normal(0, 1.2, 3), rng.uniform(1.2, 4), rng.uniform(5, 40)) for _ in range(max(30, z * n * n // 6000))]
    lines = [(rng.uniform(0, np.pi), rng.uniform(0, n), rng.uniform(0, z), rng.normal(0, 0.15), rng.uniform(10, 30)) for _ in range(8)]
    for k in range(t):
        for c, v, s, a in blobs:
            d = (zz - c[0]) ** 2 * 3 + (yy - c[1] - k * v[1]) ** 2 + (xx - c[2] - k * v[2]) ** 2
            out[k] += a * np.exp(-d / (2 * s * s))
        for angle, offset, depth, tilt, a in lines:
            across = np.sin(angle) * (xx - n / 2) + np.cos(angle) * (yy - n / 2) + offset - n / 2 + 4 * np.sin(xx / 25)
            out[k] += a * np.exp(-(across**2) / 3 - (zz - depth - tilt * (xx - n / 2)) ** 2 / 3)
    return out


TABLES = {"published": published, "gauss": gauss, "poisson": poisson, "fluorescence": fluorescence}


def main():
    global package
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tables", nargs="*", choices=[*TABLES, []])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--no-package", action="store_true")
    chosen = options.parse_args()
    if chosen.no_package:
        package = None
    clean = {n: image(n) for n in NAMES}
    for name in chosen.tables or TABLES:
        TABLES[name](clean, chosen.seed)


if __name__ == "__main__":
    main()
