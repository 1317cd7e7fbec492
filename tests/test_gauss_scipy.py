# SPDX-License-Identifier: MIT
"""gaussian, dog and median beside SciPy in double precision, on whole small volumes and through the command line: every
voxel within 1e-5 of the image's range, whatever the width, the border, the type, the blocks; also after a kill."""
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy import ndimage

from test_run import pixels, records, start, wait_for_records

FWHM = 2 * np.sqrt(2 * np.log(2))
MODES = ("reflect", "mirror", "nearest", "constant")


def volume(shape, dtype="uint16", seed=0):
    """Spots on a ramp with noise."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    v = 120 + sum(g * (3 + i) for i, g in enumerate(grid)) + rng.normal(0, 12, shape)
    for _ in range(12):
        centre, width = [rng.uniform(0, n) for n in shape], rng.uniform(1.5, 6)
        v += rng.uniform(200, 2500) * np.exp(-sum((g - c) ** 2 for g, c in zip(grid, centre)) / (2 * width**2))
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    if info and info.max < 4000:
        v = v / 16
    return np.clip(v, info.min, info.max).astype(dtype) if info else v.astype(dtype)


def store(path, array, chunks=None):
    zarr.create_array(str(path), data=array, chunks=chunks or array.shape)
    return path


def result(path, image=None):
    group = zarr.open_group(str(path), mode="r")
    return (group if image is None else group[str(image)])["0"][...]


def dog(a, narrow, wide, **words):
    a = a.astype(np.float64)
    return ndimage.gaussian_filter(a, narrow, **words) - ndimage.gaussian_filter(a, wide, **words)


def check(found, wanted, source):
    bound = 1e-5 * (float(source.max()) - float(source.min()))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= bound


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8, 1, 1.5, 2.3, 5, 11.7, 21.3, 50, 85.1, 200])
def test_sigma(cli, tmp_path, sigma):
    a = volume((21, 70, 133))
    store(tmp_path / "a.zarr", a)
    for mode in MODES:
        out = tmp_path / f"{mode}.ome.zarr"
        cli.ok("gaussian", tmp_path / "a.zarr", out, "--axes", "zyx", "--sigma", sigma, "--mode", mode, "--dtype", "float32",
               "--block", "z=16,y=64,x=64", "--quiet")
        check(result(out)[0, 0], ndimage.gaussian_filter(a.astype(np.float64), sigma, mode=mode), a)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_types(cli, tmp_path, dtype):
    """The Gaussian keeps the type, rounded; the difference is float32."""
    a = volume((9, 33, 70), dtype)
    store(tmp_path / "a.zarr", a)
    cli.ok("gaussian", tmp_path / "a.zarr", tmp_path / "g.ome.zarr", "--axes", "zyx", "--sigma", "1.7", "--quiet")
    cli.ok("dog", tmp_path / "a.zarr", tmp_path / "d.ome.zarr", "--axes", "zyx", "--sigma", "1.7,6", "--quiet")
    smooth, spots = result(tmp_path / "g.ome.zarr")[0, 0], result(tmp_path / "d.ome.zarr")[0, 0]
    wanted = ndimage.gaussian_filter(a.astype(np.float64), 1.7)
    assert smooth.dtype == dtype and spots.dtype == np.float32
    if np.issubdtype(dtype, np.integer):
        assert np.abs(smooth - wanted).max() <= 0.5 + 1e-5 * (float(a.max()) - float(a.min()))
    else:
        check(smooth, wanted, a)
    check(spots, dog(a, 1.7, 6), a)


@pytest.mark.parametrize("offset,dtype", [(1000, "uint16"), (65000, "uint16"), (-32000, "int16"), (10**6, "int32")])
def test_little_contrast_on_a_high_ground(cli, tmp_path, offset, dtype):
    """Sums are made of what is above the ground; a Gaussian that lies so high is as exact as float32 can say it."""
    a = (np.random.default_rng(1).integers(0, 100, (9, 40, 50)) + offset).astype(dtype)
    store(tmp_path / "a.zarr", a)
    cli.ok("dog", tmp_path / "a.zarr", tmp_path / "d.ome.zarr", "--axes", "zyx", "--sigma", "2,8", "--quiet")
    assert np.abs(result(tmp_path / "d.ome.zarr")[0, 0] - dog(a, 2, 8)).max() <= 1e-6 * 100
    cli.ok("gaussian", tmp_path / "a.zarr", tmp_path / "g.ome.zarr", "--axes", "zyx", "--sigma", "2", "--dtype", "float32", "--quiet")
    smooth = ndimage.gaussian_filter(a.astype(np.float64), 2)
    assert (np.abs(result(tmp_path / "g.ome.zarr")[0, 0] - smooth) <= 1e-6 * 100 + np.spacing(np.float32(abs(offset) + 100)) / 2 * 1.001).all()


@pytest.mark.parametrize("offset,dtype", [(10**9, "int32"), (10**9, "float64"), (10**6, "float32")])
def test_error_beside_large_values(cli, tmp_path, offset, dtype):
    """Voxels of more than 24 bits are rounded to float32 as they come; floats have no ground."""
    a = (np.random.default_rng(1).integers(0, 100, (9, 40, 50)) + offset).astype(dtype)
    store(tmp_path / "a.zarr", a)
    cli.ok("dog", tmp_path / "a.zarr", tmp_path / "d.ome.zarr", "--axes", "zyx", "--sigma", "2,8", "--quiet")
    assert np.abs(result(tmp_path / "d.ome.zarr")[0, 0] - dog(a, 2, 8)).max() <= 1e-6 * float(a.max())


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_each_channel_has_its_ground(cli, tmp_path, mode):
    """Whatever the blocks, threads and parts; where the image goes on as zeros, zero is its ground."""
    rng = np.random.default_rng(2)
    a = rng.integers(0, 100, (3, 8, 60, 70)) + np.array([0, 30000, 500])[:, None, None, None]
    store(tmp_path / "a.zarr", a.astype("uint16"))
    words = ("--axes", "czyx", "--sigma", "1,4", "--mode", mode, "--quiet")
    whole, cut, parts = (tmp_path / f"{name}.ome.zarr" for name in ("whole", "cut", "parts"))
    cli.ok("dog", tmp_path / "a.zarr", whole, *words)
    cli.ok("dog", tmp_path / "a.zarr", cut, *words, "--chunk", "z=4,y=16,x=16", "--block", "c=3,z=4,y=32,x=32", "--threads", "1")
    cli.ok("dog", tmp_path / "a.zarr", parts, *words, "--chunk", "z=8,y=16,x=16", "--block", "z=8,y=16,x=32", "--prepare")
    for part in ("2/2", "1/2"):
        cli.ok("work", parts, "--part", part, "--quiet")
    cli.ok("verify", parts, "--windows", "8", "--quiet")
    found = result(whole)[0]
    assert np.array_equal(found, result(cut)[0]) and np.array_equal(found, result(parts)[0])
    wanted = np.array([dog(c, 1, 4, mode=mode) for c in a])
    assert np.abs(found - wanted).max() <= (1e-6 * 100 if mode == "reflect" else 1e-6 * a.max())
    assert json.loads(Path(f"{whole}.run/plan.json").read_text())["ground"] == [float(c[0, 0, 0]) for c in a]


@pytest.mark.parametrize("words,sigma", [
    (("--sigma", "z=0.7,y=3,x=12"), (0.7, 3, 12)), (("--sigma", "2,0,4"), (2, 0, 4)), (("--fwhm", "z=2,x=9"), (2 / FWHM, 0, 9 / FWHM)),
    (("--sigma", "x=30", "--truncate", "2.5"), (0, 0, 30)), (("--sigma", "0"), (0, 0, 0))])
def test_axes(cli, tmp_path, words, sigma):
    a = volume((12, 41, 77))
    truncate = float(words[3]) if len(words) > 2 else 4
    store(tmp_path / "a.zarr", a)
    cli.ok("gaussian", tmp_path / "a.zarr", tmp_path / "g.ome.zarr", "--axes", "zyx", *words, "--dtype", "float32", "--quiet")
    check(result(tmp_path / "g.ome.zarr")[0, 0], ndimage.gaussian_filter(a.astype(np.float64), sigma, truncate=truncate), a)


def test_time_is_an_axis_too(cli, tmp_path):
    a = volume((7, 5, 30, 41))
    store(tmp_path / "a.zarr", a)
    cli.ok("gaussian", tmp_path / "a.zarr", tmp_path / "g.ome.zarr", "--axes", "tzyx", "--sigma", "t=1.2,z=0.6,y=2,x=2",
           "--dtype", "float32", "--block", "t=3,z=5,y=16,x=32", "--chunk", "t=1,z=5,y=16,x=16", "--quiet")
    check(result(tmp_path / "g.ome.zarr")[:, 0], ndimage.gaussian_filter(a.astype(np.float64), (1.2, 0.6, 2, 2)), a)


def test_micrometres(cli, tmp_path):
    image = "phantom:z=12,y=70,x=81;seed=3"
    cli.ok("convert", image, tmp_path / "a.ome.zarr", "--quiet")
    cli.ok("dog", image, tmp_path / "d.ome.zarr", "--sigma-um", "0.3,1.2", "--quiet")
    a = result(tmp_path / "a.ome.zarr")[0, 0]
    check(result(tmp_path / "d.ome.zarr")[0, 0], dog(a, (1, 3, 3), (4, 12, 12)), a)
    store(tmp_path / "bare.zarr", a)
    assert "not known" in cli.fails(2, "dog", tmp_path / "bare.zarr", tmp_path / "x.ome.zarr", "--axes", "zyx", "--sigma-um", "1,2")


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 40, 1), (3, 1, 90), (1, 63, 65), (2, 2, 2)])
def test_images_smaller_than_the_kernel(cli, tmp_path, shape):
    a = volume(shape)
    store(tmp_path / "a.zarr", a)
    for mode in MODES[:3]:
        out = tmp_path / f"{mode}.ome.zarr"
        cli.ok("dog", tmp_path / "a.zarr", out, "--axes", "zyx", "--fwhm", "50,200", "--mode", mode, "--quiet")
        check(result(out)[0, 0], dog(a, 50 / FWHM, 200 / FWHM, mode=mode), a)


def test_integers_saturate_and_are_counted(cli, tmp_path):
    a = volume((11, 60, 65))
    store(tmp_path / "a.zarr", a)
    wanted = dog(a, 1, 8)
    for dtype, words, scaled in (("uint16", (), wanted), ("uint16", ("--scale", "2", "--offset", "1000.5"), 2 * wanted + 1000.5),
                                 ("int8", ("--scale=-0.125",), -0.125 * wanted)):
        out = tmp_path / f"{dtype}{len(words)}.ome.zarr"
        cli.ok("dog", tmp_path / "a.zarr", out, "--axes", "zyx", "--sigma", "1,8", "--dtype", dtype, *words, "--quiet")
        info, found = np.iinfo(dtype), result(out)[0, 0]
        assert found.dtype == dtype
        assert np.abs(found - np.clip(scaled, info.min, info.max)).max() <= 0.5 + 2e-5 * (float(a.max()) - float(a.min()))
        low, high = scaled < info.min - 0.5, scaled > info.max + 0.5
        assert (low | high).any() or len(words) == 4
        unsure = np.minimum(np.abs(scaled - info.min + 0.5), np.abs(scaled - info.max - 0.5)) < 0.1
        clipped = cli.json("status", out)["clipped"]
        assert abs(clipped - (low | high).sum()) <= unsure.sum()
        plan = json.load(open(f"{out}.run/plan.json"))["settings"]
        assert plan["dtype"] == dtype and plan["sigma"] == "1,8"
        assert plan["scale"] == {0: "1", 1: "-0.125", 4: "2"}[len(words)]


# ---- the course's array: positions, channels, odd sizes ---------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A small copy: (positions, channels, z, y, x), channel 2 is the one to be filtered."""
    a = np.stack([np.stack([volume((13, 71, 93), seed=10 * p + c) for c in range(3)]) for p in range(3)])
    return store(tmp_path_factory.mktemp("course") / "course.zarr", a, (1, 1, 8, 32, 32)), a


COURSE = ("--axes", "pczyx", "--channel", "2", "--fwhm", "50,200", "--chunk", "z=8,y=32,x=32", "--block", "z=8,y=64,x=32", "--threads", "2")


def check_course(out, a):
    for p in range(a.shape[0]):
        check(result(out, p)[0, 0], dog(a[p, 2], 50 / FWHM, 200 / FWHM), a[p, 2])


@pytest.fixture(scope="module")
def undisturbed(cli, course, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("undisturbed") / "spots.ome.zarr")
    cli.ok("dog", course[0], out, *COURSE, "--quiet")
    return out


def test_every_voxel_of_every_position(cli, course, undisturbed):
    check_course(undisturbed, course[1])
    assert cli.json("verify", undisturbed, "--windows", "20", "--seed", "1")["different"] == 0


def test_course_in_parts(cli, course, undisturbed, tmp_path):
    out = str(tmp_path / "spots.ome.zarr")
    cli.ok("dog", course[0], out, *COURSE, "--prepare", "--quiet")
    for k in (3, 1, 2):
        cli.ok("work", out, "--part", f"{k}/3", "--quiet")
    assert cli.json("status", out)["state"] == "done"
    assert pixels(out) == pixels(undisturbed)
    check_course(out, course[1])


def test_course_killed_and_resumed(cli, course, undisturbed, tmp_path):
    out = str(tmp_path / "spots.ome.zarr")
    words = ("dog", course[0], out, *COURSE, "--quiet")
    for n in (1, 9, 25):
        p = start(cli, *words)
        wait_for_records(out, n, p)
        p.kill()
        p.communicate()
    cli.ok(*words)
    assert pixels(out) == pixels(undisturbed)
    done = [r["job"] for r in records(out) if r["ok"]]
    assert len(done) == len(set(done)), "a finished block was computed twice"
    check_course(out, course[1])
    assert "fwhm was 50,200" in cli.fails(2, "dog", course[0], out, *COURSE[:5], "50,201", *COURSE[6:], "--quiet")


# ---- median ------------------------------------------------------------------------------------------------------------


def percentile(a, radius, percent, mode):
    size = [2 * min(r, n * r) + 1 if n > 1 else 1 for r, n in zip(radius, a.shape)]
    return ndimage.percentile_filter(a, percent, size=size, mode=mode)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
def test_median(cli, tmp_path, dtype):
    a = volume((9, 35, 301), dtype)
    if dtype == "float32":
        a -= 700
    store(tmp_path / "a.zarr", a)
    for i, (words, radius, percent) in enumerate([((), (1, 1, 1), 50), (("--radius", "z=2,x=3"), (2, 0, 3), 50),
                                                  (("--radius", "y=4", "--percentile", "90"), (0, 4, 0), 90),
                                                  (("--percentile", "0"), (1, 1, 1), 0), (("--percentile", "100"), (1, 1, 1), 100)]):
        mode, out = MODES[i % 4], tmp_path / f"{i}.ome.zarr"
        cli.ok("median", tmp_path / "a.zarr", out, "--axes", "zyx", *words, "--mode", mode, "--chunk", "z=4,y=16,x=16",
               "--block", "z=4,y=16,x=64", "--quiet")
        found = result(out)[0, 0]
        assert found.dtype == dtype
        assert (found == percentile(a, radius, percent, mode)).all(), (words, mode)


def test_median_words_that_cannot_be(cli, tmp_path):
    store(tmp_path / "a.zarr", volume((5, 20, 20)))
    for words, part in (("1.5", "whole numbers"), ("c=1", "channels"), ("30", "box"), ("-1", "expected")):
        assert part in cli.fails(2, "median", tmp_path / "a.zarr", tmp_path / "m.ome.zarr", "--axes", "zyx", "--radius", words)


def test_filters_in_a_row(cli, tmp_path):
    a = volume((9, 60, 90))
    store(tmp_path / "a.zarr", a)
    out = tmp_path / "spots.ome.zarr"
    cli.ok("median", tmp_path / "a.zarr", out, "--axes", "zyx", "--then", "dog sigma=1,4", "--chunk", "z=4,y=32,x=32", "--quiet")
    found = result(out)[0, 0]
    assert found.dtype == np.float32
    check(found, dog(ndimage.median_filter(a, 3), 1, 4), a)
    assert cli.json("verify", out, "--windows", "10", "--seed", "1")["different"] == 0
