# SPDX-License-Identifier: MIT
"""What programs mean by the pages of their TIFF files: pixels, axes, sizes and names as tifffile has them, or as the file says."""
import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
from test_tiff import check, info, ome, smooth, survives, tool, values


def image_of(path, number=0):
    return info(path)["images"][number]


def size_of(path):
    return {k: v for k, v in image_of(path)["pixel_size"].items() if v is not None}


def notes_of(path, number=0):
    return " ".join(n["text"] for n in image_of(path, number)["notes"])


# ---- pages of one kind ----

def test_pages_that_are_stored_in_several_ways_are_one_stack(tmp_path):
    a = smooth((6, 61, 83), "u2")
    with tifffile.TiffWriter(tmp_path / "a.tif") as w:
        for k, how in enumerate([{}, {"rowsperstrip": 7}, {"compression": "zlib"}, {"tile": (32, 48)}, {"compression": "lzw", "predictor": True}, {}]):
            w.write(a[k], photometric="minisblack", metadata=None, contiguous=False, **how)
    check(tmp_path / "a.tif", a[None, None])
    assert len(info(tmp_path / "a.tif")["images"]) == 1


# ---- OME-TIFF ----

def test_ome_pages_that_the_xml_does_not_name_are_an_image(tmp_path):
    a = values((5, 20, 30), "u2")
    ome(tmp_path / "a.ome.tif", a, '<TiffData IFD="0"/>')
    check(tmp_path / "a.ome.tif", a[None, None, :1], 0)
    check(tmp_path / "a.ome.tif", a[None, None, 1:], 1)
    assert "4 pages that the OME-XML words" in notes_of(tmp_path / "a.ome.tif", 1)


# ---- ImageJ ----

def imagej(path, a, words, unit=1, **options):
    """As Fiji does: one description, on the first page."""
    with tifffile.TiffWriter(path) as w:
        for k, page in enumerate(a):
            w.write(page, description="ImageJ=1.54f\n" + words if k == 0 else None, metadata=None, resolution=(5, 5), resolutionunit=unit, contiguous=False,
                    photometric="minisblack", **options)


@pytest.mark.parametrize("words, axis, want", [
    ("finterval=5\ntunit=min\n", "t", {"t_s": 300}),
    ("finterval=100\ntunit=ms\n", "t", {"t_s": 0.1}),
    ("finterval=0.5\ntunit=hours\n", "t", {"t_s": 1800}),
    ("finterval=3\n", "t", {"t_s": 3}),
    ("finterval=3\ntunit=fortnights\n", "t", {}),
    ("unit=micron\nzunit=nm\nspacing=300.0\n", "z", {"z_um": 0.3, "y_um": 0.2, "x_um": 0.2}),
    ("unit=micron\nyunit=mm\nspacing=2\n", "z", {"z_um": 2, "y_um": 200, "x_um": 0.2}),
    ("unit=micron\n", "z", {"z_um": 1, "y_um": 0.2, "x_um": 0.2}),
    ("unit=micron\nspacing=-0.3\n", "z", {"z_um": 0.3, "y_um": 0.2, "x_um": 0.2}),
    ("unit=pixel\n", "z", {}),
    ("spacing=2\n", "z", {}),
    *[(f"unit={unit}\nspacing=0.5\n", "z", {"z_um": 0.5, "y_um": 0.2, "x_um": 0.2})
      for unit in ("um", "micrometers", "Micrometer", "microns", "\\u00B5m", "micrometre")],
])
def test_imagej_calibration(tmp_path, words, axis, want):
    a = values((4, 20, 30), "u2")
    imagej(tmp_path / "a.tif", a, f"images=4\n{'frames' if axis == 't' else 'slices'}=4\n{words}")
    check(tmp_path / "a.tif", a[:, None, None] if axis == "t" else a[None, None])
    assert size_of(tmp_path / "a.tif") == pytest.approx(want)


WORDS = "images=20\nchannels=2\nframes=10\nhyperstack=true\nunit=micron\nfinterval=2\n"


@pytest.mark.parametrize("pages, frames", [(14, 10), (15, 10), (20, 10), (26, 13), (27, 14)])
def test_imagej_series_that_stopped_early_or_went_on(tmp_path, pages, frames):
    a = values((frames * 2, 20, 30), "u2")
    a[pages:] = 0
    imagej(tmp_path / "a.tif", a[:pages], WORDS)
    check(tmp_path / "a.tif", a.reshape(frames, 2, 1, 20, 30))
    image = image_of(tmp_path / "a.tif")
    assert image["planes_missing"] == frames * 2 - pages
    assert ("taken to be longer" in notes_of(tmp_path / "a.tif")) == (pages > 20)
    assert size_of(tmp_path / "a.tif") == pytest.approx({"t_s": 2, "y_um": 0.2, "x_um": 0.2})


@pytest.mark.parametrize("order", ["czt", "ctz", "zct", "ztc", "tcz", "tzc"])
def test_imagej_orders(tmp_path, order):
    size = {"c": 2, "z": 3, "t": 4}
    a = values([size[k] for k in reversed(order)] + [20, 30], "u2")
    imagej(tmp_path / "a.tif", a.reshape(24, 20, 30), f"images=24\nchannels=2\nslices=3\nframes=4\norder={order}\n")
    check(tmp_path / "a.tif", np.transpose(a, [order[::-1].index(k) for k in "tcz"] + [3, 4]))


def test_imagej_words_that_contradict_each_other(tmp_path):
    a = values((14, 20, 30), "u2")
    imagej(tmp_path / "a.tif", a, "images=14\nchannels=2\nframes=10\nunit=micron\n")
    check(tmp_path / "a.tif", a[None, None])
    assert "are not images=14" in notes_of(tmp_path / "a.tif") and size_of(tmp_path / "a.tif")["x_um"] == pytest.approx(0.2)
