# SPDX-License-Identifier: MIT
"""A damaged tile of the input: by default nothing is made of it; with --damaged zero it reads as zero, everything else is right, and every verb
says so. Compared with numpy on made files, and with other readers where they open them."""
import json
import os

import czi_pack
import imagecodecs
import numpy as np
import pytest
import tifffile
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


def bad_header(path, want):
    """zstd with a header: its first byte is wrong."""
    streams = [b"\x03\x01\x00" + imagecodecs.zstd_encode(p.tobytes()) for p in want]
    streams[2] = b"\x43" + streams[2][1:]
    czi_pack.pack(path, [czi_pack.tile(p, comp=6, payload=s, Z=z) for z, (p, s) in enumerate(zip(want, streams))])


def behind_the_end(path, want):
    """An entry points behind the end of the file."""
    at = czi_pack.pack(path, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    data = path.read_bytes()
    entry = data.rindex(np.int64(at[2]).tobytes())
    czi_pack.change(path, entry, np.int64(1 << 40).tobytes())


def deleted_segment(path, want):
    at = czi_pack.pack(path, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    czi_pack.change(path, at[2], b"DELETED".ljust(16, b"\0"))


def bad_strip(path, want):
    """TIFF: the second tile of plane 2 is rubbish; the others are right."""
    tifffile.imwrite(path, want, compression="zlib", tile=(64, 64), metadata={"axes": "ZYX"}, imagej=False, ome=True)
    with tifffile.TiffFile(path) as f:
        page = f.pages[2]
        at, n = page.dataoffsets[1], page.databytecounts[1]
    czi_pack.change(path, at, bytes(n))
    want[2, :64, 64:] = 0


def zarr_of(path, want, **how):
    root = zarr.open_group(str(path), mode="w", zarr_format=3)
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": [{"name": a, "type": "space"} for a in "zyx"], "datasets": [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]}]}
    a = root.create_array("0", shape=want.shape, dtype=want.dtype, fill_value=7, **how)
    a[:] = want


def bad_chunk(path, want):
    zarr_of(path, want, chunks=(1, 64, 64))
    name = path / "0" / "c" / "2" / "0" / "1"
    name.write_bytes(b"rubbish" * 20)
    want[2, :64, 64:] = 0


def bad_inner_chunk(path, want):
    """In a shard of planes one inner chunk does not decode; the index is right."""
    zarr_of(path, want, chunks=(1, 64, 64), shards=(1, 128, 128))
    name = path / "0" / "c" / "2" / "0" / "0"
    index = np.frombuffer(name.read_bytes()[-68:-4], "<u8").reshape(4, 2)
    czi_pack.change(name, int(index[1, 0]), bytes(int(index[1, 1])))
    want[2, :64, 64:] = 0


def bad_index(path, want):
    zarr_of(path, want, chunks=(1, 64, 64), shards=(1, 128, 128))
    name = path / "0" / "c" / "2" / "0" / "0"
    czi_pack.change(name, os.path.getsize(name) - 20, b"\xff" * 8)
    want[2] = 0


def cut_shard(path, want):
    zarr_of(path, want, chunks=(1, 64, 64), shards=(1, 128, 128))
    os.truncate(path / "0" / "c" / "2" / "0" / "0", 40)
    want[2] = 0


OTHERS = pytest.mark.parametrize("make, name", [(bad_strip, "x.tif"), (bad_chunk, "x.zarr"), (bad_inner_chunk, "x.zarr"), (bad_index, "x.zarr"), (cut_shard, "x.zarr")],
                                 ids=lambda m: getattr(m, "__name__", ""))
KINDS = pytest.mark.parametrize("make", [bad_stream, bad_zstd, bad_header, behind_the_end, deleted_segment], ids=lambda m: m.__name__)


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
    assert "4 blocks had tiles" in cli("verify", out, "--windows", "16").stderr
    plan = json.loads((tmp_path / "out.ome.zarr.run" / "plan.json").read_text())
    assert plan["input"]["damaged"] == "zero" and "damaged zero" in plan["settings"]["reading"]
    cli.ok("convert", path, tmp_path / "two.ome.zarr", "--damaged", "zero", "--prepare", *FEW)
    cli.ok("work", tmp_path / "two.ome.zarr")  # another process, by the plan
    assert cli.json("status", tmp_path / "two.ome.zarr")["blocks_damaged"] == 4


def test_the_rule_is_checked(cli, tmp_path):
    czi_pack.pack(tmp_path / "x.czi", [czi_pack.tile(stack(1)[0])])
    assert "expected refuse or zero" in cli.fails(2, "info", tmp_path / "x.czi", "--damaged", "ignore")
    assert "give one of them" in cli.fails(2, "info", tmp_path / "x.czi", "--damaged", "zero", "--strict")


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
    at = czi_pack.pack(path, [czi_pack.tile(p[:, x:x + 64], Z=z, X=x) for z, p in enumerate(want) for x in (0, 64)])
    czi_pack.change(path, at[5], b"DELETED".ljust(16, b"\0"))
    want[2, :, 64:] = 0
    czi_pack.pack(clean, [czi_pack.tile(p, Z=z) for z, p in enumerate(want)])
    cli.ok("gaussian", path, tmp_path / "a.ome.zarr", "--sigma", "1", "--damaged", "zero", *FEW)
    cli.ok("gaussian", clean, tmp_path / "b.ome.zarr", "--sigma", "1", *FEW)
    assert np.array_equal(converted(tmp_path / "a.ome.zarr"), converted(tmp_path / "b.ome.zarr"))
    assert cli.json("status", tmp_path / "a.ome.zarr")["blocks_damaged"] > 4  # the halo of others reaches into it
    noise = {r: cli.json("noise", path, *r.split()) for r in ("--damaged zero", "--damaged refuse")}
    assert noise["--damaged zero"] == noise["--damaged refuse"]


@pytest.mark.parametrize("how", ["raw", "zstd"])
def test_short_payloads_are_counted(cli, tmp_path, how):
    """They read as zero behind their end, whatever the rule; every block that meets one says so, though the tile is decoded once."""
    path, out, want = tmp_path / "x.czi", tmp_path / "out.ome.zarr", stack()
    tiles = [czi_pack.tile(p, Z=z) for z, p in enumerate(want)]
    tiles[1]["data"] = tiles[1]["data"][: 2 * 128 * 100]
    if how == "zstd":
        tiles = [{**t, "comp": 5, "data": imagecodecs.zstd_encode(t["data"])} for t in tiles]
    czi_pack.pack(path, tiles)
    want[1, 100:] = 0
    done = cli("convert", path, out, *FEW)
    assert done.returncode == 0 and "blocks had tiles of the input" in done.stderr
    assert np.array_equal(converted(out), want)
    assert cli.json("status", out)["blocks_damaged"] == 4
    assert "1 tile is damaged or too short" in cli("checksum", path, "--quiet").stderr


# ---- TIFF and Zarr: the same rule ------------------------------------------------------------------------------

@OTHERS
@pytest.mark.parametrize("block", ["z=1,y=64,x=64", "z=4,y=32,x=128"])
def test_other_formats_follow_the_same_rule(cli, tmp_path, make, name, block):
    path, out, want = tmp_path / name, tmp_path / "out.ome.zarr", stack()
    make(path, want)
    assert "--damaged zero" in cli.fails(3, "checksum", path, "--quiet")
    said = cli("checksum", path, "--quiet", "--damaged", "zero")
    assert said.returncode == 0 and "1 tile is damaged" in said.stderr and name in said.stderr, said.stderr
    cli.ok("convert", path, out, "--damaged", "zero", "--memory", "200M", "--threads", "2", "--block", block, "--chunk", "z=1,y=32,x=32")
    assert np.array_equal(converted(out), want)
    assert cli.json("status", out)["blocks_damaged"] >= 1


@pytest.mark.parametrize("how", [{}, {"tile": (64, 64)}, {"rowsperstrip": 10}], ids=["strip", "tiles", "strips"])
@pytest.mark.parametrize("block", ["z=1,y=32,x=32", "z=1,y=128,x=128"])
def test_an_uncompressed_tiff_that_was_cut_off(cli, tmp_path, how, block):
    """Rows that lie whole in the file are read, whichever part is wanted; behind its end is zero."""
    path, out, want = tmp_path / "x.tif", tmp_path / "out.ome.zarr", stack(1)
    tifffile.imwrite(path, want[0], metadata=None, photometric="minisblack", **how)
    with tifffile.TiffFile(path) as f:
        page = f.pages[0]
        offsets, height, width = page.dataoffsets, page.rowsperstrip if not page.is_tiled else page.tilelength, page.tilewidth if page.is_tiled else 128
    end = offsets[-1] + 2 * width * (height // 3) + 6
    os.truncate(path, end)
    rows = np.arange(128)
    for x in range(0, 128, width):
        for y in rows:
            number = y // height * (128 // width) + x // width
            if offsets[number] + 2 * width * (y % height + 1) > end:
                want[0, y, x:x + width] = 0
    assert (want[0] == 0).any()
    cli.fails(1, "convert", path, tmp_path / "no.ome.zarr", "--memory", "200M", "--threads", "2", "--block", block, "--chunk", "y=32,x=32")
    cli.ok("convert", path, out, "--damaged", "zero", "--memory", "200M", "--threads", "2", "--block", block, "--chunk", "y=32,x=32")
    assert np.array_equal(converted(out), want)
