# SPDX-License-Identifier: MIT
"""The kinds of Zarr that people have: arrays with an axis of positions, plates, every data type, codec and fill value that
zarr-python makes; each read by the program and compared with what zarr-python itself reads."""
import json
import os
import time
import zlib

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
from zarr.codecs import (BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec,  # noqa: E402
                         ZstdCodec)

RNG = np.random.default_rng(5)


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def save(path, document):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)


def crc(pixels):
    """As `pellucid checksum` counts it: little-endian pixels in C order."""
    pixels = np.ascontiguousarray(pixels)
    return zlib.crc32(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


def checksums(cli, path, *words, **options):
    return [int(i["crc32"], 16) for i in cli.json("checksum", path, *words, **options)["images"]]


def pixels(shape, dtype="uint16"):
    """Values that use the whole range of the type, with runs that compress."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return RNG.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        v = RNG.normal(0, 100, shape).astype(dtype)
        v.flat[:6] = [np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
        return v
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    v = RNG.integers(low, high, shape, dtype=dtype, endpoint=True)
    v[..., : shape[-1] // 2] //= dtype.type(16)
    return v


# ---- an axis of positions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["pczyx", "ptczyx", "tpcyx", "pyx", "zpyx"])
def test_positions_are_images(cli, tmp_path, version, axes):
    sizes = dict(p=3, t=2, c=2, z=4, y=21, x=33)
    shape = tuple(sizes[a] for a in axes)
    data = pixels(shape)
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=shape, chunks=tuple(min(n, 8) if a != "p" else 1 for a, n in zip(axes, shape)), dtype="uint16",
                      zarr_format=version)[...] = data
    info = cli.json("info", path, "--axes", axes)["images"]
    assert [i["shape"] for i in info] == [{a: (sizes[a] if a in axes else 1) for a in "tczyx"}] * 3
    inner = [a for a in axes if a != "p"]
    order = [inner.index(a) for a in "tczyx" if a in inner]
    want = [crc(np.take(data, p, axes.index("p")).transpose(order)) for p in range(3)]
    assert checksums(cli, path, "--axes", axes) == want
    assert len(set(want)) == 3
    assert checksums(cli, path, "--axes", axes, "--position", "1") == want[1:2]


def test_positions_become_a_collection(cli, tmp_path):
    data = pixels((3, 2, 5, 40, 50))
    path, out = str(tmp_path / "a.zarr"), str(tmp_path / "out.ome.zarr")
    zarr.create_array(path, shape=data.shape, chunks=(1, 1, 4, 16, 16), dtype="uint16", zarr_format=2)[...] = data
    words = ("convert", path, out, "--axes", "pczyx", "--pixel-size", "z=1,y=0.5,x=0.25", "--channel", "1", "--quiet")
    cli.ok(*words)
    root = load(f"{out}/zarr.json")["attributes"]["ome"]
    assert root["bioformats2raw.layout"] == 3 and load(f"{out}/OME/zarr.json")["attributes"]["ome"]["series"] == ["0", "1", "2"]
    group = zarr.open_group(out, mode="r")
    for p in range(3):
        assert np.array_equal(group[f"{p}/0"][0, 0], data[p, 1])
        scale = group[str(p)].attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
        assert scale == [1, 1, 1, 0.5, 0.25]
    cli.ok(*words)  # the same again: goes on
    assert "pixel size" in cli.fails(2, *[w.replace("0.25", "0.5") for w in words])
    assert cli.json("verify", out, "--windows", "4")["different"] == 0
    plan = load(f"{out}.run/plan.json")
    assert plan["input"]["axes"] == "pczyx" and plan["input"]["pixel_size"] == "z=1,y=0.5,x=0.25"


@pytest.mark.parametrize("named", [False, True])
def test_the_course_array_opens_at_once(cli, tmp_path, named):
    """840 positions x 3 x 413 x 2048 x 2048, 8.7 TB of which one chunk is there."""
    path = str(tmp_path / "a.zarr")
    a = zarr.create_array(path, shape=(840, 3, 413, 2048, 2048), chunks=(1, 1, 1, 256, 256), dtype="uint16", zarr_format=3,
                          dimension_names=["position", "c", "z", "y", "x"] if named else None)
    a[839, 2, 412, 1792:, 1792:] = 7
    words = [] if named else ["--axes", "pczyx"]
    begin = time.monotonic()
    info = cli.json("info", path, *words)["images"]
    assert time.monotonic() - begin < 20  # it takes 0.1 s; a scan of the chunks would take hours
    assert len(info) == 840 and info[839]["shape"] == dict(t=1, c=3, z=413, y=2048, x=2048)
    part = ("--position", "839", "--channel", "2", "--z", "412", "--y", "1700:", "--x", "1700:")
    want = np.zeros((348, 348), "uint16")
    want[92:, 92:] = 7
    assert checksums(cli, path, *words, *part) == [crc(want)]


@pytest.mark.parametrize("axes,said", [("ppzyx", "two axes"), ("pczy", "5 axes"), ("pczyq", "letters of"), ("pczyy", "two axes"),
                                       ("pczxt", "no axes y and x")])
def test_axes_that_cannot_be(cli, tmp_path, axes, said):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=(2, 2, 2, 8, 8), chunks=(1, 1, 1, 8, 8), dtype="uint8")
    done = cli("info", path, "--axes", axes)
    assert done.returncode in (2, 3) and said in done.stderr


def test_six_axes_need_names(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=(2, 1, 2, 2, 8, 8), chunks=(1, 1, 1, 1, 8, 8), dtype="uint8")
    assert "ptczyx" in cli.fails(3, "info", path)


# ---- pixel sizes -----------------------------------------------------------------------------------------------------


def test_pixel_sizes_for_any_source(cli):
    image = "phantom:t=2,c=1,z=3,y=40,x=50"
    sizes = cli.json("info", image, "--pixel-size", "x=0.125,t=2.5")["images"][0]["pixel_size"]
    file = cli.json("info", image)["images"][0]["pixel_size"]
    assert sizes == {**file, "x_um": 0.125, "t_s": 2.5}


@pytest.mark.parametrize("text", ["", "x", "x=", "x=0", "x=-1", "c=1", "x=1,x=2", "x=1;y=2", "x=nan", "x=1,", "xy=1"])
def test_pixel_sizes_that_cannot_be(cli, text):
    assert "pixel size" in cli.fails(2, "info", "phantom:y=40,x=50", "--pixel-size", text)
