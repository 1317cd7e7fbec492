# SPDX-License-Identifier: MIT
"""What a source says of its input (planes that are missing, pages left out, …) reaches the user; --strict refuses it."""
import json
import os

import numpy as np
import pytest
import tifffile

OME = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="Image:0" Name="set">'
       '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="60" SizeY="50" SizeZ="1" SizeC="1" SizeT="{t}">{data}</Pixels></Image></OME>')
MISSING = "1 of 3 planes is missing in the input and reads as zero."
FEW = ("--memory", "200M", "--threads", "1")


def ome_set(folder, there, names=3):
    """An OME-TIFF set of three files, a plane each, of which some are there."""
    data = "".join(f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="p{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>' for t in range(names))
    plane = np.random.default_rng(3).normal(200, 20, (50, 60)).astype("u2")
    for t in there:
        tifffile.imwrite(folder / f"p{t}.ome.tif", plane + t, photometric="minisblack", metadata=None, description=OME.format(own=t, t=names, data=data))
    return folder / f"p{there[0]}.ome.tif"


@pytest.fixture
def holed(tmp_path):
    return ome_set(tmp_path, [0, 1])


def test_notes_are_structured(cli, holed):
    notes = cli.json("info", holed)["images"][0]["notes"]
    planes = next(n for n in notes if n["text"] == MISSING)
    assert planes == {"kind": "missing", "text": MISSING, "count": 1, "harmless": False}
    assert {n["kind"] for n in notes} == {"missing"}


@pytest.mark.parametrize("words", [("info",), ("checksum",), ("convert", "OUT"), ("denoise", "OUT"), ("gaussian", "OUT", "--sigma", "1"), ("median", "OUT"),
                                   ("dog", "OUT", "--sigma", "1,2"), ("plan denoise", "OUT"), ("picture", "OUT.png")], ids=lambda w: w[0])
def test_strict_refuses_what_is_missing(cli, holed, tmp_path, words):
    out = [str(tmp_path / w.replace("OUT", "out.ome.zarr")) if "OUT" in w else w for w in words[1:]]
    said = cli.fails(2, *words[0].split(), holed, *out, "--strict")
    assert MISSING in said and "--strict" in said
    assert sorted(os.listdir(tmp_path)) == ["p0.ome.tif", "p1.ome.tif"]


def test_strict_takes_what_is_whole_and_what_is_harmless(cli, tmp_path):
    path = ome_set(tmp_path, [0, 1, 2])
    cli.ok("convert", path, tmp_path / "out.ome.zarr", "--strict", "--quiet", *FEW)
    cli.ok("phantom", tmp_path / "a.czi", "--size", "y=700,x=700", "--quiet")
    cli.ok("convert", tmp_path / "a.czi", tmp_path / "b.ome.zarr", "--strict", "--quiet", *FEW)
    with tifffile.TiffWriter(tmp_path / "copies.tif") as t:
        t.write(np.ones((64, 64), "u2"), metadata=None)
        t.write(np.ones((32, 32), "u2"), metadata=None, subfiletype=1)
    notes = cli.json("info", tmp_path / "copies.tif", "--strict")["images"][0]["notes"]
    assert [(n["kind"], n["count"], n["harmless"]) for n in notes] == [("reduced", 1, True)]


def test_strict_looks_at_the_selection_only(cli, tmp_path):
    """An image with a note beside the one that is wanted is no reason to refuse."""
    with tifffile.TiffWriter(tmp_path / "two.tif") as t:
        t.write(np.ones((64, 64), "u2"), metadata=None)
        t.write(np.ones((32, 40), "u1"), metadata=None)
        t.write(np.ones((16, 16), "c8"), metadata=None)
    images = cli.json("info", tmp_path / "two.tif")["images"]
    assert len(images) == 2 and [bool(i["notes"]) for i in images] == [True, False]
    cli.fails(2, "checksum", tmp_path / "two.tif", "--position", "0", "--strict")
    cli.ok("info", tmp_path / "two.tif", "--position", "1", "--strict")


def test_strict_counts_what_else_there_is(cli, tmp_path):
    """The first note stands for the others; harmless ones do not count."""
    with tifffile.TiffWriter(tmp_path / "odd.tif") as t:
        t.write(np.ones((64, 64), "u2"), metadata=None)
        t.write(np.ones((32, 32), "u2"), metadata=None, subfiletype=1)
        t.write(np.ones((16, 16), "c8"), metadata=None)
        t.write(np.ones((20, 16), "c8"), metadata=None)
    assert [n["harmless"] for n in cli.json("info", tmp_path / "odd.tif")["images"][0]["notes"]] == [True, False, False]
    assert "And 1 more" in cli.fails(2, "info", tmp_path / "odd.tif", "--strict")
