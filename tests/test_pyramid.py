# SPDX-License-Identifier: MIT
"""Every level above the first, computed apart from pellucid with exact sums, for every type, odd sizes, both formats."""
import glob
import itertools
import json
import os
import shutil

import numpy as np
import pytest
import zarr

TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
# name: axes, shape, chunk, block; odd edges, axes of one voxel, blocks that own some levels and leave others to the end
SHAPES = {
    "plane": ("yx", (151, 133), "y=16,x=16", "y=32,x=32"),
    "stack": ("zyx", (11, 43, 51), "z=4,y=8,x=8", "z=8,y=16,x=16"),
    "movie": ("tcyx", (2, 2, 33, 34), "y=8,x=8", "y=16,x=16"),
    "all": ("tczyx", (2, 2, 5, 19, 37), "z=2,y=8,x=8", "z=4,y=16,x=32"),
}


def pixels(dtype, shape, seed):
    """The whole range of the type, its ends, and long runs of neighbours one apart, where rounding shows."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        v = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 6, shape)).astype(dtype)
        v.flat[::97] = 0
        return v
    info = np.iinfo(dtype)
    v = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    near = rng.integers(-2 if info.min else 0, 3, shape).astype(dtype)
    v = np.where(rng.random(shape) < 0.6, near, v)
    v.flat[::89], v.flat[1::89] = info.min, info.max
    return v


def mean_down(v, factor):
    """Each voxel is the mean of those under it that exist: integers by an exact sum, rounded half up; floats by a sum in
    double, one voxel after the other in C order."""
    exact = v.dtype.kind != "f"
    shape = [-(-n // f) for n, f in zip(v.shape, factor)]
    total = np.zeros(shape, dtype=object if exact else np.float64)
    count = np.zeros(shape, dtype=object if exact else np.float64)
    for step in itertools.product(*(range(f) for f in factor)):
        part = v[tuple(slice(s, None, f) for s, f in zip(step, factor))]
        where = tuple(slice(0, n) for n in part.shape)
        total[where] += part.astype(total.dtype)
        count[where] += 1
    if exact:
        return np.array((2 * total + count) // (2 * count)).astype(v.dtype)
    return (total / count).astype(v.dtype)


def levels_of(folder):
    """The arrays of an image, full resolution first, as another reader has them."""
    group = zarr.open_group(folder, mode="r")
    attributes = dict(group.attrs)
    scales = attributes.get("ome", attributes)["multiscales"][0]
    return [group[d["path"]][...] for d in scales["datasets"]]


def planned(folder):
    return json.load(open(f"{folder}.run/plan.json"))["images"][0]


def write_array(folder, data):
    zarr.create_array(str(folder), data=data, chunks=tuple(min(n, 16) for n in data.shape))


def check_levels(out, least):
    """Each stored level against the one before; returns how many there are."""
    plan, arrays = planned(out), levels_of(out)
    assert len(arrays) == len(plan["levels"]) >= least
    for k in range(1, len(arrays)):
        below, here = plan["levels"][k - 1]["factor"], plan["levels"][k]["factor"]
        expected = mean_down(arrays[k - 1], [b // a for a, b in zip(below, here)])
        assert arrays[k].shape == expected.shape == tuple(plan["levels"][k]["shape"])
        assert arrays[k].dtype == expected.dtype
        assert np.array_equal(arrays[k], expected), f"level {k}: {np.count_nonzero(arrays[k] != expected)} voxels differ"
    return arrays


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_level_is_the_mean_of_the_one_below(cli, tmp_path, dtype, name, version):
    axes, shape, chunk, block = SHAPES[name]
    data = pixels(dtype, shape, 7)
    write_array(tmp_path / "in.zarr", data)
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", tmp_path / "in.zarr", out, "--axes", axes, "--format", version, "--chunk", chunk, "--block", block,
           "--levels", "6", "--codec", "zstd:1", "--threads", "2", "--quiet")
    arrays = check_levels(out, 5)
    assert np.array_equal(arrays[0].reshape(shape), data)
    assert 1 < planned(out)["owned_levels"] < len(arrays), "blocks own some levels, others are made at the end"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_levels_of_a_filtered_image_follow_from_what_was_written(cli, tmp_path, dtype):
    """Rounded and saturated first, pooled then: what a viewer sees agrees with full resolution."""
    write_array(tmp_path / "in.zarr", pixels("int16", (5, 61, 83), 3))
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("gaussian", tmp_path / "in.zarr", out, "--axes", "zyx", "--sigma", "0.8", "--dtype", dtype, "--chunk", "z=4,y=16,x=16",
           "--block", "z=4,y=32,x=32", "--levels", "4", "--quiet")
    assert check_levels(out, 4)[0].dtype == dtype


@pytest.fixture(scope="module")
def finished(cli, tmp_path_factory):
    """A run with two images, of which one has fewer levels."""
    folder = tmp_path_factory.mktemp("finished")
    cli.ok("phantom", folder / "a.czi", "--size", "z=9,y=97,x=121", "--scenes", "2", "--quiet")
    out = str(folder / "out.ome.zarr")
    cli.ok("convert", folder / "a.czi", out, "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--levels", "4", "--codec", "none",
           "--quiet")
    return out


def test_verify_recomputes_windows_of_every_level(cli, finished):
    result = cli.json("verify", finished, "--windows", "21", "--seed", "1")
    assert result["level_windows"] == [21, 6, 6, 6] and result["level_different"] == [0, 0, 0, 0]
    text = cli.ok("verify", finished, "--windows", "1")
    assert "1 windows" in text and "level 3  1 windows recomputed from level 2, 0 voxels differ" in text


def test_a_wrong_voxel_of_an_upper_level_is_found(cli, finished, tmp_path):
    """The levels that are made at the end are pooled from another image's level, which is put back afterwards: ledger and
    files agree, the levels do not."""
    a, other, out = tmp_path / "a.czi", str(tmp_path / "other.ome.zarr"), str(tmp_path / "out.ome.zarr")
    words = ("--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--levels", "4", "--codec", "none", "--quiet")
    for seed, into in ((5, other), (1, out)):
        cli.ok("phantom", a, "--size", "z=9,y=97,x=121", "--seed", seed, "--quiet")
        cli.ok("convert", a, into, *words, *(["--prepare"] if into == out else []))
    blocks, last = len(glob.glob(f"{other}/0/c/*/*/*/*/*")), planned(out)["owned_levels"] - 1
    cli.ok("block", out, "--blocks", f"0-{blocks - 1}", "--quiet")
    os.rename(f"{out}/{last}/c", tmp_path / "kept")
    shutil.copytree(f"{other}/{last}/c", f"{out}/{last}/c")
    cli("block", out, "--blocks", "0", "--finish", "--quiet")
    shutil.rmtree(f"{out}/{last}/c")
    os.rename(tmp_path / "kept", f"{out}/{last}/c")
    for path in glob.glob(f"{out}.run/ledger/*.jsonl"):
        lines = [line for line in open(path) if '"withdraw"' not in line]  # what the audit made of it
        open(path, "w").writelines(lines)
    done = cli("verify", out, "--windows", "8", "--seed", "2", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1 and result["missing"] == result["damaged"] == 0, done.stdout
    assert [k for k, n in enumerate(result["level_different"]) if n] == [last + 1]
    assert f"image 0 level {last + 1} window" in result["first"] and "from the level below" in result["first"]
