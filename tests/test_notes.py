# SPDX-License-Identifier: MIT
"""What a source says of its input (planes that are missing, pages left out, …) reaches the user; --strict refuses it."""
import json
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


def attributes(out):
    with open(f"{out}/zarr.json", encoding="utf-8") as f:
        return json.load(f)["attributes"]["pellucid"]


def kinds(notes):
    return [(n["kind"], n["count"], n["text"], n["image"], n["images"]) for n in notes]


def test_notes_are_told_wherever_a_run_is(cli, holed, tmp_path):
    """In the plan, at the end, in the status, on the page, and in the output's attributes."""
    out, want = str(tmp_path / "out.ome.zarr"), [("missing", 1, MISSING, 0, 1), ("missing", 1, "1 files of the set are not here, the first is p2.ome.tif.", 0, 1)]
    plan = cli.ok("plan", "convert", holed, out, "--no-timing", *FEW)
    assert f"  note     {MISSING}\n" in plan
    assert kinds(cli.json("plan", "convert", holed, out, "--no-timing", *FEW)["notes"]) == want
    done = cli("convert", holed, out, *FEW)
    assert done.returncode == 0 and done.stderr.index("every file audited") < done.stderr.index(f"\nnote: {MISSING}\n")
    assert kinds(cli.json("status", out)["notes"]) == kinds(attributes(out)["notes"]) == want
    assert f"  note      {MISSING}\n" in cli.ok("status", out)
    with open(cli.ok("report", out).strip(), encoding="utf-8") as page:
        assert MISSING in page.read()
    again = cli("convert", holed, out, "--quiet", *FEW)
    assert again.returncode == 0 and again.stderr.splitlines() == [f"note: {n[2]}" for n in want]
    assert cli("work", out, "--quiet").stderr.startswith(f"note: {MISSING}\n")
    assert "--strict" in cli.fails(2, "convert", holed, out, "--strict", *FEW)  # also where the run is done


def test_a_whole_input_has_nothing_to_say(cli, tmp_path):
    path, out = ome_set(tmp_path, [0, 1, 2]), str(tmp_path / "out.ome.zarr")
    done = cli("convert", path, out, *FEW)
    assert done.returncode == 0 and "note" not in done.stderr
    assert cli.json("status", out)["notes"] == attributes(out)["notes"] == []
    with open(cli.ok("report", out).strip(), encoding="utf-8") as page:
        assert "Notes on the input" not in page.read()


def test_the_same_note_of_many_images_stands_once(cli, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as t:
        t.write(np.ones((64, 64), "u2"), metadata=None)
    out = str(tmp_path / "half.zarr")
    cli.ok("convert", "phantom:y=64,x=64;scenes=4", out, "--prepare", "--quiet", *FEW)
    text = "The run that writes this store is not finished: voxels may be missing (zero)."
    notes = cli.json("plan", "convert", out, tmp_path / "b.zarr", "--no-timing", *FEW)["notes"]
    assert [n for n in kinds(notes) if n[0] == "unfinished"] == [("unfinished", 0, text, 0, 4)]
    assert f"{text} (image 0 and 3 more)" in cli.ok("plan", "convert", out, tmp_path / "b.zarr", "--no-timing", *FEW)


def test_a_note_is_one_line(cli, tmp_path):
    """Names in XML may hold line breaks; in a note they are blanks."""
    data = '<TiffData IFD="0" PlaneCount="1"/>' + "".join(f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="p&#10;{t}.ome.tif">urn:uuid:7</UUID></TiffData>' for t in (1, 2))
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((50, 60), "u2"), photometric="minisblack", metadata=None, description=OME.format(own=1, t=3, data=data))
    assert any("first is p 1.ome.tif" in n["text"] for n in cli.json("info", tmp_path / "a.ome.tif")["images"][0]["notes"])
