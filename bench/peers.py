# SPDX-License-Identifier: MIT
"""The `ndsafir` package as the benchmarks call it. It is slow, so its results are kept under the build folder, by the bytes of
the input and the arguments."""
import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from images import BUILD  # noqa: E402

try:
    import ndsafir as package
except ImportError:
    package = None


def cached(name, call, y, **arguments):
    """call(y, **arguments), or what it gave last time for the same input."""
    y = np.ascontiguousarray(y, np.float32)
    digest = hashlib.sha256(repr((name, y.shape, sorted(arguments.items()))).encode() + y.tobytes()).hexdigest()[:32]
    path = Path(BUILD) / "bench-cache" / f"{digest}.npy"
    if path.is_file():
        return np.load(path)
    result = np.asarray(call(y, **arguments), np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_suffix(f".{os.getpid()}.npy"), result)
    os.replace(path.with_suffix(f".{os.getpid()}.npy"), path)
    return result


def axes_of(y):
    """Of an image t z y x: the package's letters, and the image without axes of length 1 before them."""
    letters = "".join(a for a, n in zip("TZ", y.shape) if n > 1) + "YX"
    return letters, y.reshape([n for n in y.shape[:2] if n > 1] + list(y.shape[2:]))


def patch_of(letters):
    return [1] * (len(letters) - 2) + [3, 3]


def theirs_gaussian(y, sigma, iterations, pvalue=0.1, patch=None):
    """y has axes t z y x."""
    letters, image = axes_of(y)
    return cached("ndsafir gaussian " + metadata.version("ndsafir"), package.denoise_gaussian, image, axes=letters, noise_std=float(sigma),
                  patch=patch or patch_of(letters), max_iter=iterations, pvalue=pvalue, nthreads=1).reshape(y.shape)


def theirs_counts(y, gain, offset, iterations, patch=None):
    letters, image = axes_of(y)
    return cached("ndsafir counts " + metadata.version("ndsafir"), package.denoise_poisson_gaussian, image, axes=letters, gains=[float(gain)],
                  offsets=[float(offset)], patch=patch or patch_of(letters), max_iter=iterations, nthreads=1).reshape(y.shape)


def stabilise(y, gain, offset):
    return 2 / gain * np.sqrt(np.maximum(0, gain * y + 0.375 * gain**2 + offset))


def unstabilise(t, gain, offset):
    """Closed form of the exact unbiased inverse."""
    t = np.maximum(t, 2 * np.sqrt(0.375))
    q = t**2 / 4 + np.sqrt(1.5) / (4 * t) - 11 / (8 * t**2) + 5 * np.sqrt(1.5) / (8 * t**3) - 0.125
    return gain * np.maximum(0, q) - offset / gain


def theirs_exact(y, gain, offset, iterations, patch=None):
    """The package's filter between our transform and the exact unbiased inverse."""
    return unstabilise(theirs_gaussian(stabilise(y, gain, offset), 1, iterations, patch=patch).astype(np.float64), gain, offset)
