# SPDX-License-Identifier: MIT
"""Images that nobody meant to denoise, and numbers that nobody meant to type: each ends in a clear result or a clear refusal."""
import numpy as np
import pytest
import tifffile
import zarr

N = 64
NOISE = np.random.default_rng(1)
WAVE = (100 + 50 * np.sin(np.arange(N) / 9)[:, None] + NOISE.normal(0, 5, (N, N))).astype(np.float32)


def with_odd_voxels():
    a = WAVE.copy()
    a[10, 10], a[20, 30], a[40:44, 50] = np.nan, np.inf, -np.inf
    return a


IMAGES = {
    "nan and infinities": with_odd_voxels(),
    "nothing but nan": np.full((N, N), np.nan, np.float32),
    "zeros": np.zeros((N, N), np.uint16),
    "float zeros": np.zeros((N, N), np.float32),
    "saturated": np.full((N, N), 65535, np.uint16),
    "one voxel": np.full((1, 1), 7, np.uint16),
    "four voxels": np.array([[50, 40], [70, 60]], np.uint8),
    "a row": NOISE.poisson(50, (1, 500)).astype(np.uint16),
    "a column": NOISE.poisson(50, (500, 1)).astype(np.uint16),
    "the ends of float32": np.where(NOISE.random((N, N)) < 0.5, 3.4e38, -3.4e38).astype(np.float32),
    "one enormous voxel": np.where(np.arange(N * N).reshape(N, N) == 77, np.float32(3.4e38), WAVE),
    "denormal": (WAVE * 1e-40).astype(np.float32),
    "below zero": WAVE - 200,
    "signed": (WAVE - 150).astype(np.int8),
    "doubles": WAVE.astype(np.float64),
    "32 bits": (WAVE * 1e7).astype(np.uint32),
}


def written(folder, pixels):
    path = str(folder / "in.tif")
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def pixels(out):
    return np.squeeze(zarr.open_array(str(out) + "/0", mode="r")[...])


@pytest.mark.parametrize("noise", ["5", "2,-191"])
@pytest.mark.parametrize("name", IMAGES)
def test_each_voxel_is_finite_or_as_it_was(cli, tmp_path, name, noise):
    """What is odd keeps its place and value, no other voxel becomes odd; a constant stays one, whatever its noise is said to be."""
    given = IMAGES[name]
    out = tmp_path / "out.ome.zarr"
    cli.ok("denoise", written(tmp_path, given), out, "--noise", noise, "--quiet")
    got, given = pixels(out), np.squeeze(given)
    assert got.shape == given.shape and got.dtype == given.dtype
    odd = ~np.isfinite(given)
    assert np.array_equal(got[odd], given[odd], equal_nan=True) and np.isfinite(got[~odd]).all()
    if (given == given.flat[0]).all():
        assert (got == got.flat[0]).all()
    if noise == "5" and name not in ("the ends of float32", "one enormous voxel"):
        limits = given[~odd].astype(float)
        assert not limits.size or limits.min() - 1 <= got[~odd].min() and got[~odd].max() <= limits.max() + 1, "an average lies between"


@pytest.mark.parametrize("name, why", [
    ("nothing but nan", "non-finite"), ("saturated", "hold saturated"), ("one voxel", "at least 20 x 20"),
    ("a row", "at least 20 x 20"), ("the ends of float32", "noise of channel 0")])
def test_noise_that_cannot_be_told_is_refused(cli, tmp_path, name, why):
    said = cli.fails(2, "denoise", written(tmp_path, IMAGES[name]), tmp_path / "out.ome.zarr", "--quiet")
    assert why in said and "give the noise by hand" in said


@pytest.mark.parametrize("name", ["zeros", "float zeros"])
def test_where_there_is_no_noise_nothing_changes(cli, tmp_path, name):
    out = tmp_path / "out.ome.zarr"
    cli.ok("denoise", written(tmp_path, IMAGES[name]), out, "--quiet")
    assert not pixels(out).any()


@pytest.mark.parametrize("words", [("denoise", "--noise", "5"), ("gaussian", "--sigma", "y=1"), ("median", "--radius", "1"), ("dog", "--fwhm", "3,10")])
def test_doubles_beyond_float32_are_refused_not_made_infinite(cli, tmp_path, words):
    given = WAVE.astype(np.float64)
    given[30, 40] = 1.5e300
    path, out = written(tmp_path, given), tmp_path / "out.ome.zarr"
    said = cli.fails(1, words[0], path, out, *words[1:], "--quiet")
    assert "y=30, x=40: found 1.5e+300" in said and "float32" in said
    cli.ok("convert", path, tmp_path / "kept.ome.zarr", "--quiet")
    assert np.array_equal(pixels(tmp_path / "kept.ome.zarr"), given)


@pytest.mark.parametrize("noise", ["1e300", "1e-200", "2,1e300", "1e30,0", "1e20", "2,-1e40", "1,1e20,1e20", "nan", "inf", "-5", "0", "0,0", "2,nan", "2,5,-3", "1,2,3,4", "5,", "", "x"])
def test_noise_models_that_make_no_sense_are_refused_before_work(cli, tmp_path, noise):
    said = cli.fails(2, "denoise", written(tmp_path, WAVE), tmp_path / "out.ome.zarr", "--noise", noise, "--quiet")
    assert f'noise: found "{noise}"' in said and not (tmp_path / "out.ome.zarr").exists()


@pytest.mark.parametrize("words", [
    ("--strength", "nan"), ("--strength", "1e30"), ("--strength", "-1"), ("--spots", "-1"), ("--spots", "nan"), ("--p-value", "2"), ("--first", "inf"),
    ("--coarse-strength", "0"), ("--patch", "100"), ("--patch", "y=-1"), ("--radius-xy", "1,2,400"), ("--radius-xy", "1,,2"), ("--iterations", "0"),
    ("--scales", "3"), ("--isa", "mmx"), ("--quality", "best"), ("--channels", "yes"), ("--tune", "on"), ("--axes", "q"), ("--aggregate", "yes")])
def test_values_out_of_range_name_what_was_found_and_expected(cli, tmp_path, words):
    said = cli.fails(2, "denoise", written(tmp_path, WAVE), tmp_path / "out.ome.zarr", "--noise", "5", *words, "--quiet")
    assert words[0][2:] in said and f"found {words[1]}" in said.replace('"', "") and "expected" in said


def test_a_selection_that_ends_before_it_begins_is_named(cli, tmp_path):
    said = cli.fails(2, "denoise", written(tmp_path, WAVE), tmp_path / "out.ome.zarr", "--noise", "5", "--y", "9:3", "--quiet")
    assert "y=9:3" in said and "beginning before its end" in said
