# SPDX-License-Identifier: MIT
"""Images of several types in one input: each is read by its own type, and its output has the bits of a run with this image alone."""
import numpy as np
import pytest
import tifffile
import zarr

TYPES = ["uint16", "uint8", "float32"]
SHAPES = [(5, 70, 90), (5, 64, 80), (3, 90, 70)]
COMMON = ("--dtype", "uint16", "--levels", "1", "--quiet", "--chunk", "z=2,y=32,x=32", "--block", "z=4,y=32,x=64")


@pytest.fixture(scope="module", params=[TYPES, TYPES[::-1], ["uint8", "uint16", "uint16"]], ids="-".join)
def images(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "in.tif"
    rng = np.random.default_rng(7)
    pixels = [rng.integers(0, 256, shape).astype(dtype) for dtype, shape in zip(request.param, SHAPES)]
    for p in pixels:
        p[0, 0, 0] = 100  # sums are taken of differences from the first voxel of the first image
    with tifffile.TiffWriter(path) as f:
        for p in pixels:
            f.write(p, photometric="minisblack", metadata={"axes": "ZYX"})
    return path, pixels


def stored(folder):
    return zarr.open_array(folder / "0", mode="r")[...].squeeze()


def test_every_image_is_read_by_its_own_type(cli, images, tmp_path):
    path, pixels = images
    out = tmp_path / "out.ome.zarr"
    cli.ok("convert", path, out, *COMMON)
    for i, p in enumerate(pixels):
        assert np.array_equal(stored(out / str(i)), p.astype(np.uint16)), i
    cli.ok("verify", out, "--quiet")


@pytest.mark.parametrize("words", [("gaussian", "--sigma", "1.5"), ("median", "--radius", "1"),
                                   ("denoise", "--noise", "20", "--tune", "off", "--iterations", "1")], ids=lambda w: w[0])
def test_every_image_is_filtered_as_if_it_were_alone(cli, images, tmp_path, words):
    path, pixels = images
    out = tmp_path / "all.ome.zarr"
    cli.ok(words[0], path, out, *words[1:], *COMMON)
    for i in range(len(pixels)):
        alone = tmp_path / f"{i}.ome.zarr"
        cli.ok(words[0], path, alone, "--position", i, *words[1:], *COMMON)
        a, b = stored(out / str(i)), stored(alone)
        if words[0] == "gaussian" and (pixels[0].dtype == np.float32) != (pixels[i].dtype == np.float32):  # alone it has another first voxel, or none
            assert np.abs(a.astype(int) - b).max() <= 1, i
        else:
            assert np.array_equal(a, b), i
