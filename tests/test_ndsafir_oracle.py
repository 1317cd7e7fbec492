# SPDX-License-Identifier: MIT
"""The compiled filter against the oracle: small images in 2-D, 3-D, with time, with odd voxels, near borders."""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from oracle_ndsafir import joint, ndsafir, spots, two_scales

ROOT = Path(__file__).resolve().parent.parent
TOOL = Path(os.environ.get("PELLUCID_BUILD", ROOT / "build")) / "tests" / "tool_ndsafir"


def run(y, noise="0,1", **settings):
    """y has axes t z y x, or t c z y x."""
    t, c, z, h, w = y.shape if y.ndim == 5 else (y.shape[0], 1, *y.shape[1:])
    words = [f"{k.replace('_', '-')}={v}" for k, v in settings.items()]
    done = subprocess.run([TOOL, f"{t},{c},{z},{h},{w}", noise, *words], input=y.astype(np.float32).tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.float32).reshape(y.shape)


def scene(shape, seed):
    """Edges, a ramp and a blob, with unit noise."""
    rng = np.random.default_rng(seed)
    t, z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    clean = 8.0 * ((x + t) // 6 % 2) + 0.3 * y + 12.0 * np.exp(-((y - 9.0) ** 2 + (x - 11.0) ** 2 + 4.0 * (z - 2.0) ** 2) / 18)
    return (clean + rng.normal(size=shape)).astype(np.float32)


def words(radii):
    t, z, y, x = zip(*radii)
    assert y == x
    text = [",".join(map(str, r)) for r in (t, z, y)]
    return {"radius_t": text[0], "radius_z": text[1], "radius_xy": text[2], "spots": 0}


CASES = {
    "plane": ((1, 1, 30, 37), [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 4, 4)], (0, 0, 3, 3), {}),
    "plane, aggregated": ((1, 1, 30, 37), [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 4, 4)], (0, 0, 3, 3), {"aggregate": "last"}),
    "plane, patch 4, p-value": ((1, 1, 26, 31), [(0, 0, 1, 1), (0, 0, 3, 3)], (0, 0, 4, 4), {"p_value": 0.1}),
    "plane, patch 5 and 2": ((1, 1, 26, 31), [(0, 0, 1, 1), (0, 0, 3, 3)], (0, 0, 5, 2), {"aggregate": "last"}),
    "plane, patch 2 and 6": ((1, 1, 26, 31), [(0, 0, 1, 1), (0, 0, 3, 3)], (0, 0, 2, 6), {}),
    "plane, no patch": ((1, 1, 16, 20), [(0, 0, 1, 1), (0, 0, 2, 2)], (0, 0, 0, 0), {}),
    "window wider than the image": ((1, 1, 7, 5), [(0, 0, 1, 1), (0, 0, 5, 5)], (0, 0, 3, 3), {"aggregate": "last"}),
    "patch wider than the image": ((1, 1, 3, 2), [(0, 0, 1, 1), (0, 0, 2, 2)], (0, 0, 4, 4), {}),
    "one row": ((1, 1, 1, 40), [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 4, 4)], (0, 0, 3, 3), {}),
    "one column": ((1, 1, 40, 1), [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 4, 4)], (0, 0, 3, 3), {"aggregate": "last"}),
    "depth": ((1, 6, 15, 18), [(0, 1, 1, 1), (0, 1, 2, 2)], (0, 1, 1, 1), {"strength": 0.7, "first": 1.4}),
    "depth, flat patch": ((1, 5, 14, 18), [(0, 0, 1, 1), (0, 1, 2, 2)], (0, 0, 2, 2), {}),
    "depth, aggregated": ((1, 6, 12, 14), [(0, 1, 1, 1), (0, 2, 1, 1)], (0, 1, 1, 1), {"aggregate": "last"}),
    "time": ((5, 1, 15, 18), [(1, 0, 1, 1), (1, 0, 2, 2)], (1, 0, 2, 2), {}),
    "time, patch in the plane, aggregated": ((5, 1, 12, 14), [(1, 0, 1, 1), (2, 0, 1, 1)], (0, 0, 2, 2), {"aggregate": "last"}),
    "time and depth": ((3, 4, 9, 11), [(1, 1, 1, 1), (1, 2, 1, 1)], (1, 1, 1, 1), {}),
    "time and depth, aggregated": ((3, 4, 8, 9), [(0, 1, 1, 1), (1, 1, 1, 1)], (1, 1, 1, 1), {"aggregate": "last"}),
    "windows of the published 4-D run": ((3, 4, 10, 9), [(0, 0, 1, 1), (0, 1, 1, 1), (1, 2, 2, 2)], (0, 1, 2, 2), {}),
}


ODD = ("plane", "plane, aggregated", "plane, patch 5 and 2", "depth", "depth, aggregated", "time", "one row")


@pytest.mark.parametrize("name, odd", [(n, False) for n in CASES] + [(n, True) for n in ODD])
def test_equals_oracle(name, odd):
    shape, radii, patch, more = CASES[name]
    y = scene(shape, len(name))
    if odd:
        flat = y.reshape(-1)
        flat[flat.size // 3] = np.nan
        flat[flat.size // 2] = np.inf
        flat[-1] = -np.inf
    settings = {"aggregate": "no", "strength": 1.0, "first": 1.0, **more}
    got = run(y, axes="tzyx", iterations=len(radii), patch="t={},z={},y={},x={}".format(*patch), **words(radii), **settings)
    settings["aggregate"] = settings["aggregate"] == "last"
    want = ndsafir(y.astype(np.float64), radii, patch, **settings)
    fine = np.isfinite(y)
    assert np.array_equal(got[~fine], y[~fine], equal_nan=True)
    assert np.isfinite(got[fine]).all()
    # The weights' polynomial is good to 3e-6; a voxel on the edge of its interval may fall to the other side.
    off = np.abs(got[fine] - want[fine]) > 1e-4
    assert off.mean() <= 0.002, f"{off.sum()} voxels differ, by up to {np.abs(got - want)[fine].max()}"


JOINT = ("plane", "plane, aggregated", "plane, patch 4, p-value", "plane, patch 5 and 2", "plane, no patch", "window wider than the image",
         "depth, aggregated", "time and depth")


@pytest.mark.parametrize("name, channels, odd", [(n, 2, False) for n in JOINT] + [(n, 3, True) for n in JOINT[:4]])
def test_joint_channels_equal_oracle(name, channels, odd):
    shape, radii, patch, more = CASES[name]
    y = np.stack([scene(shape, len(name) + 7 * c) * (1.0 if c else 0.6) for c in range(channels)], axis=1)
    y[:, 1] = y[:, 1, :, :, ::-1]
    if odd:  # in one channel only: all leave it out, each keeps its own value
        y[0, 1, 0, shape[2] // 2, shape[3] // 3] = np.nan
        y[0, 0, 0, -1, -1] = np.inf
    settings = {"aggregate": "no", "strength": 1.0, "first": 1.0, **more}
    words_ = dict(axes="tzyx", iterations=len(radii), patch="t={},z={},y={},x={}".format(*patch), **words(radii), **settings)
    got = run(y, channels="joint", **words_)
    settings["aggregate"] = settings["aggregate"] == "last"
    want = np.stack(joint([y[:, c].astype(np.float64) for c in range(channels)], radii, patch, **settings), axis=1)
    fine = np.isfinite(want)
    assert np.array_equal(got[~fine], y[~fine], equal_nan=True)
    assert np.array_equal(got[:, 0][~np.isfinite(y).all(axis=1)], y[:, 0][~np.isfinite(y).all(axis=1)], equal_nan=True)
    off = np.abs(got[fine] - want[fine]) > 1e-4
    assert off.mean() <= 0.002, f"{off.sum()} voxels differ, by up to {np.abs(got - want)[fine].max()}"
    apart = np.stack([run(y[:, c], **words_) for c in range(channels)], axis=1)
    assert np.abs(apart[fine] - got[fine]).max() > 0.1
    assert np.array_equal(run(y, **words_), apart, equal_nan=True)


def check_same_bits(y, want, isa, cuts, settings):
    """With this instruction set, whole and in blocks of a shape with a number of threads; odd voxels are equal where both are NaN."""
    try:
        got = run(y, isa=isa, **settings)
    except AssertionError as e:
        if "cannot run" in str(e):
            pytest.skip(f"{isa} does not run here")
        raise
    assert np.array_equal(got, want, equal_nan=True)
    for block, threads in cuts:
        assert np.array_equal(run(y, isa=isa, block=block, threads=threads, **settings), want, equal_nan=True), block


@pytest.mark.parametrize("isa", ["scalar", "v2", "avx2", "avx512"])
def test_joint_channels_same_bits(isa):
    """Over instruction sets, blocks (also such that hold one channel only) and threads."""
    shape, radii, patch, more = CASES["plane, aggregated"]
    y = np.stack([scene((1, 3, 41, 67), c) for c in range(3)], axis=1)
    settings = dict(channels="joint", patch="z=1,y=3,x=3", aggregate="last", radius_xy="1,2,4", radius_z="1,1,1", strength=0.7)
    want = run(y, **settings)
    assert np.isfinite(want).all()
    check_same_bits(y, want, isa, (("1,1,1,41,67", 1), ("1,3,2,16,20", 2), ("1,2,3,9,40", 3)), settings)


SCALES = {
    "plane": ((1, 1, 30, 37), [(0, 0, 1, 1), (0, 0, 2, 2)], [(0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)], (0, 0, 2, 2), {}),
    "plane, aggregated": ((1, 1, 31, 36), [(0, 0, 1, 1), (0, 0, 2, 2)], [(0, 0, 1, 1), (0, 0, 2, 2)], (0, 0, 2, 2), {"aggregate": "last"}),
    "depth": ((1, 5, 15, 17), [(0, 1, 1, 1), (0, 1, 2, 2)], [(0, 0, 1, 1), (0, 2, 2, 2)], (0, 1, 1, 1), {}),
    "time": ((4, 1, 14, 15), [(1, 0, 1, 1)], [(1, 0, 1, 1), (2, 0, 1, 1)], (1, 0, 2, 2), {}),
    "one row": ((1, 1, 1, 41), [(0, 0, 1, 1), (0, 0, 2, 2)], [(0, 0, 1, 1), (0, 0, 2, 2)], (0, 0, 3, 3), {}),
    "one column": ((1, 1, 40, 1), [(0, 0, 1, 1), (0, 0, 2, 2)], [(0, 0, 1, 1), (0, 0, 2, 2)], (0, 0, 3, 3), {"aggregate": "last"}),
    "two by three": ((1, 1, 2, 3), [(0, 0, 1, 1)], [(0, 0, 1, 1)], (0, 0, 1, 1), {}),
    "one voxel": ((1, 1, 1, 1), [(0, 0, 1, 1)], [(0, 0, 1, 1)], (0, 0, 1, 1), {}),
}


def scale_words(radii, coarse, patch, more):
    t, z, _, x = (",".join(map(str, r)) for r in zip(*coarse))
    return dict(axes="tzyx", iterations=len(radii), patch="t={},z={},y={},x={}".format(*patch), scales=2, coarse_t=t, coarse_z=z, coarse_xy=x,
                coarse_strength=1.5, strength=0.8, first=1.2, **words(radii), **{"aggregate": "no", **more})


@pytest.mark.parametrize("name, odd", [(n, False) for n in SCALES] + [(n, True) for n in ("plane", "plane, aggregated", "depth", "one row")])
def test_two_scales_equal_oracle(name, odd):
    shape, radii, coarse, patch, more = SCALES[name]
    y = scene(shape, len(name))
    if odd:
        flat = y.reshape(-1)
        flat[flat.size // 3] = np.nan
        flat[flat.size // 2] = np.inf
        flat[-1] = -np.inf
    got = run(y, **scale_words(radii, coarse, patch, more))
    want = two_scales(y.astype(np.float64), radii, coarse, patch, coarse_strength=1.5, strength=0.8, first=1.2, aggregate=more.get("aggregate") == "last")
    fine = np.isfinite(y)
    assert np.array_equal(got[~fine], y[~fine], equal_nan=True)
    assert np.isfinite(got[fine]).all()
    off = np.abs(got[fine] - want[fine]) > 1e-4  # a voxel on the edge of its interval may fall to the other side; a cell reaches 8 x 8
    assert off.mean() <= 0.02, f"{off.sum()} voxels differ, by up to {np.abs(got - want)[fine].max()}"


@pytest.mark.parametrize("name", [n for n in SCALES if n != "one voxel"])
@pytest.mark.parametrize("isa", ["scalar", "v2", "avx2", "avx512"])
def test_two_scales_same_bits(name, isa):
    """Over instruction sets, blocks that begin at odd and even places, and threads; also where a voxel is odd."""
    shape, radii, coarse, patch, more = SCALES[name]
    shape = (shape[0], shape[1], shape[2] * 2 if shape[2] > 1 else 1, shape[3] * 2 + 1 if shape[3] > 1 else 1)
    y = scene(shape, 3)
    y[-1, -1, -1, shape[3] // 2] = np.nan
    settings = scale_words(radii, coarse, patch, more)
    want = run(y, isa="scalar", **settings)
    check_same_bits(y, want, isa, (("1,1,1,7,9", 1), ("3,1,3,16,20", 2), ("2,1,2,1,33", 1), ("1,1,4,31,1", 3)), settings)


def starry(shape, seed):
    """A ramp with spots, at the faces and in the corner, too, and unit noise."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*[np.arange(n) for n in shape[2:]], indexing="ij")
    a = np.broadcast_to(0.05 * y + 0.02 * x, shape).copy()
    at = [(0, 0), (shape[2] // 2, shape[3] // 3), (shape[2] - 1, shape[3] // 2), (shape[2] // 3, shape[3] - 1), (shape[2] // 3 + 9, shape[3] // 2 + 9)]
    for py, px in at:
        a += 9 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / (2 * 0.8**2))
    return (a + rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 60, 75), (2, 3, 40, 41), (1, 1, 1, 90), (1, 1, 90, 1)])
@pytest.mark.parametrize("scales", [1, 2])
def test_spots_equal_oracle(shape, scales):
    y = starry(shape, 5)
    y[0, 0, shape[2] // 3, shape[3] // 2] = np.nan
    settings = dict(aggregate="no", strength=0.3, radius_xy="1,2,4", patch="y=2,x=2", axes="yx")
    plain, corrected = run(y, spots=0, **settings), run(y, spots=0, scales=scales, coarse_xy="1,2,4", coarse_t="0,0,0", coarse_z="0,0,0", **settings)
    threshold = 4.1 if min(shape[2:]) > 1 else 1.5  # a line keeps its spots by itself
    got = run(y, spots=threshold, scales=scales, coarse_xy="1,2,4", coarse_t="0,0,0", coarse_z="0,0,0", **settings)
    want, hit = spots(y.astype(np.float64), plain.astype(np.float64), corrected.astype(np.float64), threshold)
    assert hit.sum() >= 2 and np.nanmax(np.abs(got - corrected)) > 0.5
    fine = np.isfinite(y)
    assert np.array_equal(got[~fine], y[~fine], equal_nan=True)
    assert np.abs(got - want)[fine].max() < 2e-4


@pytest.mark.parametrize("isa", ["scalar", "v2", "avx2", "avx512"])
def test_spots_same_bits(isa):
    y = starry((1, 2, 53, 131), 6)
    settings = dict(quality="fast", strength=0.4, axes="yx")
    want = run(y, isa="scalar", **settings)
    assert np.isfinite(want).all() and not np.array_equal(want, run(y, spots=0, **settings))
    check_same_bits(y, want, isa, (("1,1,1,7,9", 1), ("1,1,2,33,50", 2), ("1,1,1,53,1", 3)), settings)


@pytest.mark.parametrize("photons", [0.1, 0.5, 2, 10])
def test_no_more_spots_in_few_photons_than_in_gaussian_noise(photons):
    """Few photons have a long tail to the bright side, but the transform leaves them less than unit variance."""
    from scipy.ndimage import label
    rng, shape = np.random.default_rng(8), (1, 1, 1500, 1500)

    def places(y, noise, threshold):
        given = run(y, noise=noise, quality="fast", spots=threshold) - run(y, noise=noise, quality="fast", spots=0)
        return label(given[0, 0] > 0, np.ones((3, 3)))[1]

    poisson, gaussian = rng.poisson(photons, shape).astype(np.float32), rng.normal(0, 1, shape).astype(np.float32)
    assert places(poisson, "1,0", 4.3) <= 2
    most = places(gaussian, "0,1", 3.2)
    assert 50 < most < 1500 and places(poisson, "1,0", 3.2) <= most


def test_poisson_noise_goes_through_the_exact_transform():
    rng = np.random.default_rng(1)
    gain, background, readout = 2.0, 100.0, 3.0
    y = gain * rng.poisson(np.full((1, 1, 96, 96), 1.5)) + background + rng.normal(0, readout, (1, 1, 96, 96))
    got = run(y, noise=f"{gain},{readout**2 - gain * background}")
    assert abs(got.mean() - (gain * 1.5 + background)) < 0.1
    assert got.std() < 0.1 * y.std()


@pytest.mark.parametrize("words,part", [
    ({"axes": "tczyx"}, "c"),
    ({"patch": "c=1,y=3,x=3"}, "c=1"),
    ({"radius_xy": "1,2", "iterations": "3"}, "found 2 radii"),
    ({"patch": "t=10,z=10,y=10,x=10"}, "at most"),
])
def test_refuses(words, part):
    y = np.zeros((1, 1, 8, 8), np.float32)
    with pytest.raises(AssertionError, match=part):
        run(y, **words)


@pytest.mark.parametrize("noise", ["0,0", "-1,5", "0,-4", "nan,1"])
def test_refuses_noise(noise):
    with pytest.raises(AssertionError, match="noise of channel 0"):
        run(np.zeros((1, 1, 8, 8), np.float32), noise=noise)
