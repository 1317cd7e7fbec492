# SPDX-License-Identifier: MIT
"""A damaged tile of the input: by default nothing is made of it; with --damaged zero it reads as zero, everything else is right, and every verb
says so. Compared with numpy on made files, and with other readers where they open them."""
import json

import czi_pack
import imagecodecs
import numpy as np
import pytest
import zarr

FEW = ("--memory", "200M", "--threads", "2", "--block", "z=1,y=64,x=64", "--chunk", "z=1,y=32,x=32")


def stack(planes=4, side=128):
    mean = np.broadcast_to(np.linspace(100, 2000, side), (planes, side, side))
    return np.random.default_rng(8).poisson(mean).astype("u2")


def jxr(pixels):
    return bytes(imagecodecs.jpegxr_encode(pixels, level=1.0))


def bad_stream(path, want):
    """One of the planes is JPEG XR that begins right and then is rubbish."""
    streams = [jxr(p) for p in want]
    streams[2] = streams[2][:4] + np.random.default_rng(1).integers(0, 255, len(streams[2]) - 4).astype("u1").tobytes()
    czi_pack.pack(path, [czi_pack.tile(p, comp=4, payload=s, Z=z) for z, (p, s) in enumerate(zip(want, streams))])


def bad_zstd(path, want):
    streams = [imagecodecs.zstd_encode(p.tobytes()) for p in want]
    streams[2] = streams[2][:9] + bytes(len(streams[2]) - 9)
    czi_pack.pack(path, [czi_pack.tile(p, comp=5, payload=s, Z=z) for z, (p, s) in enumerate(zip(want, streams))])


def deleted_segment(path, want):
    at = czi_pack.pack(path, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    czi_pack.change(path, at[2], b"DELETED".ljust(16, b"\0"))


KINDS = pytest.mark.parametrize("make", [bad_stream, bad_zstd, deleted_segment], ids=lambda m: m.__name__)


def converted(out):
    return np.asarray(zarr.open_group(str(out), mode="r")["0"][0, 0])


@KINDS
def test_one_damaged_tile_does_not_block_the_rest(cli, tmp_path, make):
    path, out, want = tmp_path / "x.czi", tmp_path / "out.ome.zarr", stack()
    make(path, want)
    assert "tile 2" in cli.fails(1, "convert", path, tmp_path / "no.ome.zarr", *FEW)
    assert "--damaged zero" in cli.fails(3, "checksum", path, "--quiet")
    done = cli("convert", path, out, "--damaged", "zero", *FEW)
    assert done.returncode == 0, done.stderr
    assert "note: 4 blocks had tiles of the input in them" in done.stderr  # a plane is four blocks
    want[2] = 0
    assert np.array_equal(converted(out), want)
    status = cli.json("status", out)
    assert status["blocks_damaged"] == 4
    assert "4 blocks had tiles" in cli.ok("status", out)


@KINDS
def test_verbs_that_read_say_what_was_damaged(cli, tmp_path, make):
    path, clean, want = tmp_path / "x.czi", tmp_path / "clean.czi", stack()
    make(path, want)
    want[2] = 0
    czi_pack.pack(clean, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    for words in [("checksum",), ("noise",), ("picture", tmp_path / "p.png", "--z", "2")]:
        said = cli(words[0], path, *words[1:], "--damaged", "zero")
        assert said.returncode == 0 and "1 tile is damaged or too short" in said.stderr, said.stderr
    assert cli.ok("checksum", path, "--damaged", "zero", "--quiet").split()[0] == cli.ok("checksum", clean, "--quiet").split()[0]
    assert cli.json("compare", path, clean, "--damaged", "zero", "--quiet")["images"][0]["unequal"] == 0


def test_recover_alone_goes_on(cli, tmp_path):
    path, out, want = tmp_path / "x.czi", tmp_path / "out.ome.zarr", stack()
    bad_stream(path, want)
    cli.ok("convert", path, out, "--recover", *FEW)
    want[2] = 0
    assert np.array_equal(converted(out), want)
    cli.fails(3, "checksum", path, "--recover", "--damaged", "refuse", "--quiet")


def test_the_rule_is_part_of_the_run(cli, tmp_path):
    path, out = tmp_path / "x.czi", tmp_path / "out.ome.zarr"
    deleted_segment(path, stack())
    cli.ok("convert", path, out, "--damaged", "zero", *FEW)
    said = cli.fails(2, "convert", path, out, *FEW)
    assert "damaged zero" in said
    cli.ok("convert", path, out, "--damaged", "zero", *FEW)
    cli.ok("verify", out, "--windows", "16")
    plan = json.loads((tmp_path / "out.ome.zarr.run" / "plan.json").read_text())
    assert plan["input"]["damaged"] == "zero" and "damaged zero" in plan["settings"]["reading"]
    cli.ok("convert", path, tmp_path / "two.ome.zarr", "--damaged", "zero", "--prepare", *FEW)
    cli.ok("work", tmp_path / "two.ome.zarr")  # another process, by the plan
    assert cli.json("status", tmp_path / "two.ome.zarr")["blocks_damaged"] == 4


def test_the_rule_is_checked(cli, tmp_path):
    czi_pack.pack(tmp_path / "x.czi", [czi_pack.tile(stack(1)[0])])
    assert "expected refuse or zero" in cli.fails(2, "info", tmp_path / "x.czi", "--damaged", "ignore")


@pytest.mark.parametrize("block", ["y=64,x=64", "y=32,x=128"])
def test_a_damaged_tile_hides_what_lies_below(cli, tmp_path, block):
    """What is seen must not depend on how the image is cut."""
    path, out = tmp_path / "x.czi", tmp_path / "out.ome.zarr"
    below, above = stack(2, 64)
    want = np.zeros((96, 96), "u2")
    want[:64, :64] = below
    want[32:, 32:] = 0
    at = czi_pack.pack(path, [czi_pack.tile(below, M=0), czi_pack.tile(above, X=32, Y=32, M=1)])
    czi_pack.change(path, at[1], b"DELETED".ljust(16, b"\0"))
    cli.ok("convert", path, out, "--damaged", "zero", "--memory", "200M", "--block", block, "--chunk", "y=32,x=32")
    assert np.array_equal(converted(out)[0], want)


def test_the_filter_and_the_noise_do_without_them(cli, tmp_path):
    """The noise of the sample is that of the tiles that are whole."""
    path, clean, want = tmp_path / "x.czi", tmp_path / "clean.czi", stack(8)
    at = czi_pack.pack(path, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    czi_pack.change(path, at[2], b"DELETED".ljust(16, b"\0"))
    want[2] = 0
    czi_pack.pack(clean, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    cli.ok("gaussian", path, tmp_path / "a.ome.zarr", "--sigma", "1", "--damaged", "zero", *FEW)
    cli.ok("gaussian", clean, tmp_path / "b.ome.zarr", "--sigma", "1", *FEW)
    assert np.array_equal(converted(tmp_path / "a.ome.zarr"), converted(tmp_path / "b.ome.zarr"))
    assert cli.json("status", tmp_path / "a.ome.zarr")["blocks_damaged"] > 4  # the halo of others reaches into it
    noise = {r: cli.json("noise", path, *r.split()) for r in ("--damaged zero", "--damaged refuse")}
    assert noise["--damaged zero"] == noise["--damaged refuse"]


def test_short_payloads_are_counted(cli, tmp_path):
    """They read as zero behind their end, whatever the rule; nobody is left in the dark."""
    path, out, want = tmp_path / "x.czi", tmp_path / "out.ome.zarr", stack()
    tiles = [czi_pack.tile(p, Z=z) for z, p in enumerate(want)]
    tiles[1]["data"] = tiles[1]["data"][: 2 * 128 * 100]
    czi_pack.pack(path, tiles)
    want[1, 100:] = 0
    done = cli("convert", path, out, *FEW)
    assert done.returncode == 0 and "blocks had tiles of the input" in done.stderr
    assert np.array_equal(converted(out), want)
    assert "1 tile is damaged or too short" in cli("checksum", path, "--quiet").stderr
