# SPDX-License-Identifier: MIT
"""--then: filters in a row give the bits of one run after the other, without the copy between them."""
import json

import numpy as np
import pytest
import tifffile
import zarr

IMAGE = "phantom:c=2,z=5,y=110,x=130;seed=6;noise=3.92,-388"
FIRST = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "2")
SMALL = ("--chunk", "z=2,y=32,x=32", "--block", "z=2,y=64,x=64", "--quiet")


@pytest.fixture(scope="module")
def apart(cli, tmp_path_factory):
    """denoise, kept as float32; then dog; then median: three runs."""
    folder = tmp_path_factory.mktemp("apart")
    one, two, three = (str(folder / f"{n}.ome.zarr") for n in ("denoised", "dog", "median"))
    cli.ok("denoise", IMAGE, one, *FIRST, "--dtype", "float32", "--quiet")
    cli.ok("dog", one, two, "--sigma", "1,2.5", "--dtype", "float32", "--quiet")
    cli.ok("median", two, three, "--radius", "y=1,x=1", "--dtype", "float32", "--quiet")
    return one, two, three


@pytest.mark.parametrize("then,which", [("dog sigma=1,2.5", 1), ("dog --sigma=1,2.5 | median radius=y=1,x=1", 2)])
@pytest.mark.parametrize("blocks", [(), SMALL])
def test_in_a_row_is_one_after_the_other(cli, apart, tmp_path, then, which, blocks):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", IMAGE, out, *FIRST, "--then", then, "--dtype", "float32", *blocks, "--quiet")
    assert cli("compare", apart[which], out).returncode == 0
    assert cli.json("verify", out, "--windows", "10", "--seed", "1")["different"] == 0


def test_it_goes_on_and_other_filters_are_refused(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", IMAGE, out, *FIRST, "--then", "gaussian sigma=1", *SMALL)
    cli.ok(*words)
    cli.ok(*words)
    cli.ok("work", out, "--quiet")
    message = cli.fails(2, "denoise", IMAGE, out, *FIRST, "--then", "gaussian sigma=2", *SMALL)
    assert "2 gaussian: sigma was" in message
    assert "filter was ndsafir, gaussian, now ndsafir" in cli.fails(2, "denoise", IMAGE, out, *FIRST, *SMALL)
    settings = json.load(open(out + ".run/plan.json"))["settings"]
    assert settings["filter"] == "ndsafir, gaussian"


def test_the_halo_is_the_sum(cli, tmp_path):
    def halo(*words):
        return cli.json("plan", *words, "--no-timing")["halo"]
    a = halo("denoise", IMAGE, tmp_path / "a", *FIRST)
    b = halo("gaussian", IMAGE, tmp_path / "b", "--sigma", "2")
    both = halo("denoise", IMAGE, tmp_path / "c", *FIRST, "--then", "gaussian sigma=2")
    assert both == {axis: a[axis] + b[axis] for axis in a} and both["y"] > a["y"]


@pytest.mark.parametrize("then,part", [("blur sigma=1", "blur"), ("dog sigma", "setting=value"), ("dog sigma=1,2 | ndsafir", "first"),
                                       ("gaussian sigma=x", "sigma"), ("| dog sigma=1,2", "name of a filter"), ("identity", "identity"),
                                       ("gaussian sigma=1 | " * 5 + "gaussian sigma=1", "more than 4")])
def test_what_cannot_follow_is_said(cli, tmp_path, then, part):
    assert part in cli.fails(2, "denoise", IMAGE, tmp_path / "out", *FIRST, "--then", then)


@pytest.mark.parametrize("words", [("denoise", *FIRST), ("median", "--radius", "y=1,x=1"), ("gaussian", "--sigma", "1.5"),
                                   ("denoise", *FIRST, "--then", "gaussian sigma=1"), ("gaussian", "--sigma", "1", "--then", "median radius=x=1")])
@pytest.mark.parametrize("dtype", ["int8", "uint16"])
def test_integers_are_the_rounded_floats(cli, tmp_path, words, dtype):
    """Whoever converts, the filter row by row or the run after it. Of the image's 16 bits many are beyond 7 bits."""
    command, *settings = words
    made = {}
    for kind in ("float32", dtype):
        out = str(tmp_path / f"{kind}.ome.zarr")
        cli.ok(command, IMAGE, out, *settings, "--dtype", kind, *SMALL)
        made[kind] = zarr.open(out)["0"][...]
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    rounded = np.rint(made["float32"])
    assert np.array_equal(made[dtype], np.clip(rounded, least, most).astype(dtype))
    assert cli.json("status", out)["clipped"] == ((rounded < least) | (rounded > most)).sum()
    assert (rounded > most).any() == (dtype == "int8")
    ledger = [json.loads(line[9:]) for path in (tmp_path / f"{dtype}.ome.zarr.run/ledger").iterdir() for line in path.read_text().splitlines()]
    blocks = [r for r in ledger if r.get("voxels")]
    assert min(r["min"] for r in blocks) == made[dtype].min() and max(r["max"] for r in blocks) == made[dtype].max()


@pytest.mark.parametrize("words", [("median", "--radius", "z=1,y=3,x=2"), ("gaussian", "--sigma", "2"), ("dog", "--fwhm", "3,9"),
                                   ("denoise", "--noise", "3.92,-388", "--tune", "off", "--iterations", "1")], ids=lambda w: w[0])
def test_a_block_is_read_with_all_of_its_halo(cli, tmp_path, words):
    """Values at random, so that every voxel of the halo counts: in blocks as in one."""
    volume = np.random.default_rng(5).integers(0, 65536, (8, 96, 96), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", volume, photometric="minisblack", metadata={"axes": "ZYX"})
    made = []
    for name, side in (("whole", 96), ("blocks", 32)):
        cli.ok(words[0], tmp_path / "in.tif", tmp_path / name, *words[1:], "--chunk", "z=4,y=32,x=32", "--block", f"z={8 if side == 96 else 4},y={side},x={side}",
               "--levels", "1", "--quiet")
        made.append(zarr.open_array(tmp_path / name / "0", mode="r")[...])
    assert np.array_equal(*made)
