# SPDX-License-Identifier: MIT
"""ND-SAFIR written from its formulas, in double precision and without any of the program's shortcuts: every pair of
voxels by itself, every patch sample by its mirrored coordinate. Slow; for small images of axes (t, z, y, x)."""
import itertools

import numpy as np
from scipy.stats import chi2


def mirror(i, n):
    """Coordinates folded into 0 .. n-1, the faces not repeated."""
    if n == 1:
        return np.zeros_like(i)
    i = np.abs(i) % (2 * (n - 1))
    return np.where(i < n, i, 2 * (n - 1) - i)


def box(radii):
    return itertools.product(*[range(-r, r + 1) for r in radii])


class Grid:
    """Voxel coordinates of an image and lookups at a displacement."""

    def __init__(self, shape):
        self.shape = shape
        self.at = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")

    def mirrored(self, a, d):
        return a[tuple(mirror(x + s, n) for x, s, n in zip(self.at, d, self.shape))]

    def inside(self, d):
        return np.all([(x + s >= 0) & (x + s < n) for x, s, n in zip(self.at, d, self.shape)], axis=0)


def weights(g, u, v, odd, d, patch, k):
    """exp(-k dist) of every voxel i and i + d; 0 where i + d lies outside or either is odd. u: a list of channels."""
    dist = np.zeros(g.shape)
    for s in box(patch):
        j = tuple(a + b for a, b in zip(s, d))
        e = 0.5 * sum((g.mirrored(a, s) - g.mirrored(a, j)) ** 2 for a in u) * (1 / g.mirrored(v, s) + 1 / g.mirrored(v, j))
        dist += np.where(g.mirrored(odd, s) | g.mirrored(odd, j), 0.0, e)
    return np.where(g.inside(d) & ~odd & ~g.mirrored(odd, d), np.exp(-k * dist), 0.0)


def aggregated(g, w_of, d, patch):
    """Sum over the patch of the weights of i + s; pairs that leave the image count nothing."""
    total = np.zeros(g.shape)
    w = w_of(d)
    for s in box(patch):
        total += np.where(g.inside(s), g.mirrored(w, s), 0.0)
    return total


def ndsafir(y, radii, patch, **settings):
    """y: stabilised data (noise variance 1), axes t z y x; radii: one window radius tuple an iteration."""
    return joint([y], radii, patch, **settings)[0]


def joint(channels, radii, patch, p_value=0.01, strength=1.0, first=1.0, aggregate=False, rho=3.0):
    """The same of several channels: distances added up, one weight and one test for all."""
    shape = channels[0].shape
    g = Grid(shape)
    patch = tuple(p if n > 1 else 0 for p, n in zip(patch, shape))
    odd = ~np.all(np.isfinite(channels), axis=0)
    raw = [np.where(odd, 0.0, y) for y in channels]
    u, v = list(raw), np.ones(shape)
    accepted, frozen = [], np.zeros(shape, bool)
    lam = chi2.ppf(1 - p_value, len(channels) * np.prod([2 * p + 1 for p in patch]))
    for n, radius in enumerate(radii):
        k = strength * (first if n == 0 else 1.0) / (2 * lam)
        last = aggregate and n == len(radii) - 1
        radius = tuple(r if m > 1 else 0 for r, m in zip(radius, shape))
        s0, s1, s2 = np.zeros(shape), [np.zeros(shape) for _ in raw], np.zeros(shape)
        zero = (0,) * len(radius)
        for d in box(radius):
            def w_of(d):
                return np.ones(g.shape) if d == zero else weights(g, u, v, odd, d, patch, k)
            w = w_of(d)
            if last:
                w = aggregated(g, w_of, d, patch)
                w = np.where(g.inside(d) & ~(odd | g.mirrored(odd, d)) | (d == zero), w, 0.0)
            s0 += w
            s1 = [s + w * g.mirrored(y, d) for s, y in zip(s1, raw)]
            s2 += w * w
        estimates, variance = [s / s0 for s in s1], s2 / s0**2
        ok = ~frozen
        for um, vm in accepted:
            for e, m in zip(estimates, um):
                ok &= np.abs(e - m) <= rho * np.sqrt(vm)
        frozen = ~ok
        u, v = [np.where(ok, e, old) for e, old in zip(estimates, u)], np.where(ok, variance, v)
        accepted.append((u, v))
    return [np.where(odd, y, a) for y, a in zip(channels, u)]


def means(a, axes):
    """Means of pairs along these axes; the last cell of an odd length takes the voxel before the last once more."""
    for axis in axes:
        n = a.shape[axis]
        first = np.arange(0, n, 2)
        a = (np.take(a, first, axis) + np.take(a, mirror(first + 1, n), axis)) / 2
    return a


def spread(cells, n, axis):
    """1/4 1/2 1/4 along the axis, then linear interpolation at voxels 0 .. n-1, cells beyond the faces as the outermost."""
    cells = np.moveaxis(cells, axis, -1)
    p = np.concatenate([cells[..., :1]] * 3 + [cells] + [cells[..., -1:]] * 3, -1)
    b = p[..., :-2] / 4 + p[..., 1:-1] / 2 + p[..., 2:] / 4  # of cells -2 .. m+1
    x = np.arange(n)
    near, other = x // 2 + 2, x // 2 + np.where(x % 2, 3, 1)
    return np.moveaxis(0.75 * b[..., near] + 0.25 * b[..., other], -1, axis)


def two_scales(y, radii, coarse_radii, patch, coarse_strength=1.0, strength=1.0, **settings):
    """The fine result, its low frequencies corrected by the result of the means of 2 x 2 voxels."""
    axes = [a for a in (2, 3) if y.shape[a] > 1]
    scale = 2 ** (len(axes) / 2)
    fine = ndsafir(y, radii, patch, strength=strength, **settings)
    cells = means(np.where(np.isfinite(y), y, np.nan), axes)
    coarse = ndsafir(cells * scale, coarse_radii, patch, strength=strength * coarse_strength, **settings) / scale
    off = np.nan_to_num(coarse - means(np.where(np.isfinite(y), fine, np.nan), axes), nan=0.0)
    for a in axes:
        off = spread(off, y.shape[a], a)
    return np.where(np.isfinite(y), fine + off, y)


def gaussian(a, sigma, radius, axes, norm):
    """Correlated along the axes, the image mirrored at its faces."""
    k = np.arange(-radius, radius + 1)
    weight = np.exp(-(k**2) / (2 * sigma**2))
    weight /= {"height": 1, "sum": weight.sum(), "square": np.sqrt((weight**2).sum())}[norm]
    for axis in axes:
        n = a.shape[axis]
        a = sum(w * np.take(a, mirror(np.arange(n) + d, n), axis) for w, d in zip(weight, k))
    return a


def spots(y, u, estimate, threshold):
    """What isolated spots get back: y stabilised, u the fine result, `estimate` what is given to (with two scales: corrected)."""
    axes = [a for a in (2, 3) if y.shape[a] > 1]
    r = np.nan_to_num(np.where(np.isfinite(y), y - u, 0.0))
    hit = gaussian(r, 0.8, 2, axes, "square") > threshold
    margin = [(2, 2) if a in axes else (0, 0) for a in range(4)]
    inner = tuple(slice(b, b + n) for (b, _), n in zip(margin, y.shape))
    rim = gaussian(np.pad(hit.astype(float), margin), 1.0, 2, axes, "height")[inner]
    return estimate + np.minimum(1, rim) * gaussian(r, 0.5, 1, axes, "sum"), hit
