# SPDX-License-Identifier: MIT
"""The sample CZI files, converted to OME-Zarr, read by zarr-python: every plane has the checksum of the oracle."""
import glob
import itertools
import os
import re
import resource
import struct
import zlib

import numpy as np
import pytest
import zarr

FOLDED = "VIHRB"  # folded into the channel axis, outermost first, C fastest


def rows(shared, name):
    """The PLANE rows of a file: (coordinates, scene or None, roi, checksum)."""
    found = []
    for line in open(os.path.join(shared, "czi", "oracle.tsv")):
        words = line.rstrip("\n").split("\t")
        if words[0] != "PLANE" or words[1] != name:
            continue
        at = {letter: int(v) for letter, v in re.findall(r"([A-Z])(-?\d+)", words[2])}
        scene = words[3].split("=")[1]
        roi = tuple(map(int, words[4].split("=")[1].split(",")))
        found.append((at, None if scene == "all" else int(scene), roi, words[6].split("=")[1]))
    return found


def channel_of(at, ranges, samples):
    index = 0
    for letter in FOLDED + "C":
        index = index * len(ranges[letter]) + ranges[letter].index(at.get(letter, 0))
    return index * samples


def open_images(out):
    root = zarr.open_group(out, mode="r")
    if "0" in root and isinstance(root["0"], zarr.Group):
        return [root[str(i)]["0"] for i in range(len(root["OME"].attrs["ome"]["series"]))]
    return [root["0"]]


def plane_bytes(array, t, c, z, samples):
    plane = np.asarray(array[t, c:c + samples, z])
    if samples > 1:
        plane = np.moveaxis(plane[::-1], 0, -1)  # R, G, B planes -> B, G, R interleaved, as in the file
    return np.ascontiguousarray(plane).tobytes()


def names():
    root = os.path.abspath(os.environ.get("PELLUCID_SHARED", os.path.join(os.path.dirname(__file__), "..", "..", "shared")))
    return sorted(os.path.basename(p) for p in glob.glob(os.path.join(root, "czi", "*.czi"))) or ["none"]


@pytest.mark.parametrize("name", names())
def test_converted_planes_equal_the_oracle(cli, shared, tmp_path, name):
    out = str(tmp_path / "out.ome.zarr")
    path = os.path.join(shared, "czi", name)
    cli.ok("convert", path, out, "--quiet", "--memory", "1G")
    images = open_images(out)
    info = cli.json("info", path)
    wanted = rows(shared, name)
    ranges = {letter: sorted({at.get(letter, 0) for at, *_ in wanted}) or [0] for letter in FOLDED + "CZT"}
    scenes = sorted({scene for _, scene, *_ in wanted if scene is not None})
    checked = 0
    for at, scene, roi, crc in wanted:
        if scene is None and len(images) > 1:
            continue  # one plane across all scenes: no image of the output; tests/test_czi.c compares these
        image = images[0 if scene is None else scenes.index(scene)]
        samples = info["images"][0].get("samples", 1)
        assert image.shape[3:] == (roi[3], roi[2])
        t, z = ranges["T"].index(at.get("T", 0)), ranges["Z"].index(at.get("Z", 0))
        data = plane_bytes(image, t, channel_of(at, ranges, samples), z, samples)
        assert f"{zlib.crc32(data):08x}" == crc, (at, scene)
        checked += 1
    if name.startswith("syn_bad_jxrflag"):
        assert checked == 0 and cli("compare", path, out).returncode == 0  # the oracle refuses it, see the handbook
    else:
        assert checked > 0


@pytest.mark.parametrize("how", ["raw", "zstd1"])
def test_one_damaged_number_spoils_its_own_tile_in_every_verb(cli, tmp_path, how):
    """The stored X size of the first entry says 2^28. Only what needs that tile fails, in 1 GiB of addresses."""
    def little_memory():
        if "PELLUCID_SANITIZED" not in os.environ:
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    good, bad, limit = tmp_path / "a.czi", tmp_path / "b.czi", {"preexec_fn": little_memory}
    cli.ok("phantom", good, "--size", "c=1,z=2,y=512,x=512", "--tiles", "y=128,x=128", "--compression", how, "--quiet")
    data = bytearray(good.read_bytes())
    entry = struct.unpack_from("<q", data, 84)[0] + 160
    for k in range(struct.unpack_from("<i", data, entry + 28)[0]):
        at = entry + 32 + 20 * k
        if data[at:at + 1] == b"X":
            struct.pack_into("<i", data, at + 16, 1 << 28)
    bad.write_bytes(data)
    assert any("contradicted" in n["text"] for n in cli.json("info", bad, **limit)["images"][0]["notes"])
    part = ("--y", "300:500", "--quiet")
    assert cli.ok("checksum", bad, *part, **limit).split()[0] == cli.ok("checksum", good, *part).split()[0]
    assert "tile 0" in cli.fails(3, "checksum", bad, "--quiet", **limit)
    cli.ok("noise", bad, **limit)
    cli.ok("picture", bad, tmp_path / "p.png", "--z", "1", **limit)
    grid = ("--block", "y=128,x=128", "--chunk", "y=64,x=64", "--threads", "1", "--memory", "300M", "--quiet")
    cli.fails(1, "convert", bad, tmp_path / "c", *grid, **limit)
    assert "15 of 16 done, 1 failed" in cli("status", tmp_path / "c").stdout
    cli.fails(1, "denoise", bad, tmp_path / "d", *grid, "--radius-xy", "1", "--patch", "y=1,x=1", **limit)
    assert "12 of 16 done, 4 failed" in cli("status", tmp_path / "d").stdout
