# SPDX-License-Identifier: MIT
"""What programs mean by the pages of their TIFF files: pixels, axes, sizes and names as tifffile has them, or as the file says."""
import json
import random
import struct
import subprocess
import unittest.mock
import zlib

import imagecodecs
import numpy as np
import pytest
import tiff_make
import tifffile
import zarr
from conftest import program
from test_tiff import OME, check, info, ome, smooth, survives, tool, values


def image_of(path, number=0):
    return info(path)["images"][number]


def size_of(path):
    return {k: v for k, v in image_of(path)["pixel_size"].items() if v is not None}


def notes_of(path, number=0):
    return " ".join(n["text"] for n in image_of(path, number)["notes"])


def write(path, data):
    path.write_bytes(data)
    return path


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


@pytest.mark.parametrize("names", [["a.tif", "b.tif", "c.tif"], ["f/1/a.tif", "f/2/a.tif", "f/3/a.tif"], ["f\\\\1.tif", "f\\\\2.tif", "g\\\\1.tif"]],
                         ids=["beside it", "below it", "from Windows"])
def test_ome_set_opened_by_its_companion(tmp_path, names):
    """The members say nothing of the set."""
    a = values((3, 64, 64), "u2")
    data = "".join(f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{names[z]}">urn:uuid:{z}</UUID></TiffData>' for z in range(3))
    companion = tmp_path / "set.companion.ome"
    companion.write_text(OME.format(order="XYZCT", z=3, c=1, t=1, data=data, root=' UUID="urn:uuid:9"').replace('X="30"', 'X="64"').replace('Y="20"', 'Y="64"'))
    for z, name in enumerate(names):
        path = tmp_path / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, a[z], metadata=None)
    check(companion, a[None, None])
    assert info(companion)["format"] == "tiff" and not notes_of(companion)
    done = subprocess.run([program(), "convert", str(companion), str(tmp_path / "o.zarr"), "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (zarr.open(tmp_path / "o.zarr")["0"][:] == a).all()
    (tmp_path / names[1].replace("\\", "/")).unlink()
    a[1] = 0
    check(companion, a[None, None])
    assert image_of(companion)["planes_missing"] == 1


def test_ome_members_that_were_flattened_are_found_where_their_names_differ(tmp_path):
    a = values((3, 20, 30), "u2")
    names = ["f/1/a.tif", "f/2/a.tif", "f/3/b.tif"]
    data = "".join(f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{names[z]}">urn:uuid:{z}</UUID></TiffData>' for z in range(3))
    (tmp_path / "x.companion.ome").write_text(OME.format(order="XYZCT", z=3, c=1, t=1, data=data, root=""))
    for name, page in (("a.tif", a[0]), ("b.tif", a[2])):
        tifffile.imwrite(tmp_path / name, page, metadata=None)
    a[:2] = 0  # whose is a.tif?
    check(tmp_path / "x.companion.ome", a[None, None])


@pytest.mark.parametrize("name", ["../s.tif", "/s.tif", "f/../../s.tif", "C:/s.tif", "C:\\\\s.tif", "..\\\\s.tif", "f/.."])
def test_ome_companion_never_leaves_its_folder(tmp_path, name):
    (tmp_path / "in" / "f").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "s.tif", values((20, 30), "u2"), metadata=None)
    path = tmp_path / "in" / "x.companion.ome"
    path.write_text(OME.format(order="XYZCT", z=1, c=1, t=1, data=f'<TiffData IFD="0"><UUID FileName="{name}">u</UUID></TiffData>', root=""))
    assert survives(path).returncode != 0


@pytest.mark.parametrize("text, code, words", [
    ("<OME></OME>", 15, "without an Image"), ("<OME><Image><Pixels", 14, "OME-XML, line"),
    (OME.format(order="XYZCT", z=1, c=1, t=1, data="", root=""), 15, "none of its planes"),
    (OME.format(order="XYZCT", z=1, c=1, t=1, data='<TiffData IFD="0"><UUID FileName="x.companion.ome">u</UUID></TiffData>', root=""), 14, "begins with other bytes"),
    ("<svg></svg>", 14, "unknown kind of file"),
])
def test_ome_companion_nonsense(tmp_path, text, code, words):
    (tmp_path / "x.companion.ome").write_text(text)
    done = survives(tmp_path / "x.companion.ome")
    assert done.returncode == code and words in done.stderr.decode(), done.stderr


# ---- ImageJ ----

def imagej(path, a, words, unit=1, **options):
    """As Fiji does: one description, on the first page."""
    with tifffile.TiffWriter(path) as w:
        for k, page in enumerate(a):
            w.write(page, description="ImageJ=1.54f\n" + words if k == 0 else None, metadata=None, resolution=(5, 5), resolutionunit=unit, contiguous=False,
                    photometric="minisblack", **options)


@pytest.mark.parametrize("words, axis, want", [
    pytest.param("finterval=5\ntunit=min\n", "t", {"t_s": 300}, id="minutes"),
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


# ---- tifffile ----

@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CTZYX", "ZCTYX", "ZTCYX", "CZTYX", "TZYX", "CYX", "TYX"])
def test_tifffile_axes(tmp_path, axes):
    size = {"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}
    a = values([size[k] for k in axes], "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata={"axes": axes, "unit": "um", "spacing": 0.5, "finterval": 3, "name": "embryo"},
                     resolution=(4, 5), resolutionunit=1)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        assert f.series[0].kind == "shaped" and f.series[0].axes == axes and (f.asarray() == a).all()
    full = np.transpose(a, [axes.index(k) for k in "TCZYX" if k in axes])
    check(tmp_path / "a.tif", full.reshape([size[k] if k in axes else 1 for k in "TCZYX"]))
    want = {"z_um": 0.5, "y_um": 0.2, "x_um": 0.25, **({"t_s": 3} if "T" in axes else {})}
    assert size_of(tmp_path / "a.tif") == pytest.approx(want) and image_of(tmp_path / "a.tif")["name"] == "embryo" and not notes_of(tmp_path / "a.tif")


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tifffile_colour_and_letters_that_are_not_known(tmp_path, planar):
    a = values((2, 3, 20, 30, 3), "u1")
    stored, axes = (a, "TZYXS") if planar == "contig" else (np.moveaxis(a, -1, 2), "TZSYX")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata={"axes": axes})
    check(tmp_path / "a.tif", np.transpose(a, (0, 4, 1, 2, 3)))
    tifffile.imwrite(tmp_path / "b.tif", a[..., 0], photometric="minisblack", metadata={"axes": "TRYX"})
    check(tmp_path / "b.tif", a[..., 0][:, None])
    assert "Axis R of length 3 is taken for z" in notes_of(tmp_path / "b.tif")


def test_tifffile_shape_without_axes(tmp_path):
    a = values((2, 3, 4, 20, 30), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack")
    check(tmp_path / "a.tif", a.reshape(1, 1, 24, 20, 30))
    assert "says 2 x 3 x 4 pages and not which axes" in notes_of(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", a[0, 0], photometric="minisblack")
    assert not notes_of(tmp_path / "b.tif")


def test_tifffile_several_series_and_one_without_directories(tmp_path):
    a, b = values((4, 3, 20, 30), "u2"), values((5, 25, 35), "u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as w:
        w.write(a, photometric="minisblack", metadata={"axes": "TCYX"})
        w.write(b, photometric="minisblack", metadata={"axes": "TYX"}, contiguous=False)
        w.write(b[:3], photometric="minisblack", metadata={"axes": "CYX"}, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        assert len(f.pages) == 18 and len(f.series) == 3
    check(tmp_path / "a.tif", a[:, :, None], 0)
    check(tmp_path / "a.tif", b[:, None, None], 1)
    check(tmp_path / "a.tif", b[None, :3, None], 2)
    assert len(info(tmp_path / "a.tif")["images"]) == 3


@pytest.mark.parametrize("text", ['{"shape": [0, 20, 30]}', '{"shape": [4, 20, 30', '{"shape": [4, 3, 20, 30], "axes": "ZYX"}', '{"shape": [-4, 20, 30]}',
                                  '{"shape": [1000000, 20, 30], "axes": "TYX"}', '{"shape": [9223372036854775807, 9223372036854775807, 20, 30]}',
                                  '{"shape": [4, 21, 31]}', '{"shape": [2, 2, 20, 30], "axes": "ZZYX"}', '{"shape": [' + "1, " * 40 + "30]}",
                                  '{"shape": [1000000000, 20, 30], "axes": "TYX", "truncated": true}'])
def test_tifffile_nonsense(tmp_path, text):
    a = values((4, 20, 30), "u2")
    with tifffile.TiffWriter(tmp_path / "a.tif") as w:
        for page in a:
            w.write(page, description=text, metadata=None, contiguous=False)
    assert survives(tmp_path / "a.tif").returncode in (0, 11, 14, 15, 16)  # 11: more voxels than the tool reads


# ---- ScanImage ----

def scanimage(path, a, words, where="software"):
    with tifffile.TiffWriter(path, bigtiff=True) as w:
        for page in a:
            w.write(page, photometric="minisblack", metadata=None, contiguous=False, **{where: words})


def image_words(path):
    with tifffile.TiffFile(path) as f:
        return f.pages[0].software


SI = "SI.LINE_FORMAT_VERSION = 1\nSI.hChannels.channelSave = {save}\nSI.hChannels.channelName = {{'GCaMP';'off';'tdTomato';'x'}}\n" \
     "SI.hRoiManager.imagingFovUm = [-300 -200;300 -200;300 200;-300 200]\nSI.hRoiManager.scanFramePeriod = 0.05\nSI.hRoiManager.scanVolumeRate = {rate}\n" \
     "SI.hStackManager.stackZStepSize = -2\nSI.hStackManager.framesPerSlice = {frames}\nSI.hStackManager.numSlices = {slices}\n{more}"


@pytest.mark.parametrize("save, frames, slices, more, shape, order", [
    ("[1;3]", "Inf", 1, "", (6, 2, 1), "tc"),                                     # a movie
    ("[1;3]", "3", 2, "SI.hStackManager.enable = true\nSI.hStackManager.stackMode = 'slow'\n", (3, 2, 2), "ztc"),
    ("1", "1", 12, "SI.hStackManager.enable = true\nSI.hStackManager.stackMode = 'slow'\n", (1, 1, 12), "ztc"),
    ("[1 3]", "1", 3, "SI.hStackManager.enable = true\nSI.hStackManager.stackMode = 'fast'\n", (2, 2, 3), "tzc"),
    ("[1;3]", "1", 2, "SI.hFastZ.enable = true\nSI.hFastZ.numFramesPerVolume = 3\n", (2, 2, 3), "tzc"),
    ("[1;3]", "6", 1, "SI.hScan2D.logAverageFactor = 2\n", (3, 2, 2), "ztc"),
])
def test_scanimage(tmp_path, save, frames, slices, more, shape, order):
    a = values((12, 20, 30), "i2")
    scanimage(tmp_path / "a.tif", a, SI.format(save=save, frames=frames, slices=slices, more=more, rate=1 / 0.15))
    size = dict(zip("tcz", shape))
    if order != "tzc" and "Average" not in more:  # tifffile takes neither fast volumes nor averaging into account
        words = {"FrameData": tifffile.matlabstr2py(image_words(tmp_path / "a.tif"))}  # which tifffile looks for in the header of the file
        with unittest.mock.patch.object(tifffile.TiffFile, "scanimage_metadata", words), tifffile.TiffFile(tmp_path / "a.tif") as f:
            assert f.series[0].kind == "scanimage" and f.series[0].get_shape(squeeze=True) == tuple(n for n in (size["z"], size["t"], size["c"]) if n > 1) + (20, 30)
    full = a.reshape([size[k] for k in order if k in size] + [20, 30])
    check(tmp_path / "a.tif", np.transpose(full, [order.index(k) for k in "tcz" if k in order] + [len(order), len(order) + 1]).reshape(*shape, 20, 30))
    image = image_of(tmp_path / "a.tif")
    want = {"y_um": 20, "x_um": 20}
    want |= {"z_um": 2} if size["z"] > 1 else {}
    want |= {"t_s": 0.15 if size["z"] > 1 and order == "tzc" else 0.1 if "Average" in more else 0.05} if size["t"] > 1 else {}
    if order == "tzc" or size["z"] == 1:
        assert size_of(tmp_path / "a.tif") == pytest.approx(want)
    assert [c["name"] for c in image["channels"]] == ["GCaMP", "tdTomato"][:size["c"]]


@pytest.mark.parametrize("words", ["state.configName='x'\nstate.acq.savingChannel1=1\nstate.acq.savingChannel2=1\nstate.acq.savingChannel3=0\nstate.acq.numberOfFrames=5\n",
                                   "frameNumbers = 1\nscanimage.SI5.channelsSave = [1;2]\nscanimage.SI5.acqNumFrames = 5\n"])
def test_scanimage_of_old(tmp_path, words):
    a = values((10, 20, 30), "i2")
    scanimage(tmp_path / "a.tif", a, words, "description")
    check(tmp_path / "a.tif", a.reshape(5, 2, 1, 20, 30))


def test_scanimage_that_stopped_between_channels(tmp_path):
    a = values((7, 20, 30), "i2")
    scanimage(tmp_path / "a.tif", a, SI.format(save="[1;3]", frames="Inf", slices=1, more="", rate=20))
    check(tmp_path / "a.tif", np.concatenate([a, np.zeros((1, 20, 30), "i2")]).reshape(4, 2, 1, 20, 30))


@pytest.mark.parametrize("words", ["SI.", "SI.hChannels.channelSave = [" + "1;" * 500 + "]", "SI.hChannels.channelSave = [", "SI.hChannels.channelSave = ]]]]",
                                   "SI.hStackManager.framesPerSlice = 99999999999999999999\nSI.hFastZ.enable = 1\nSI.hFastZ.numFramesPerVolume = 1e300",
                                   "SI.hChannels.channelName = {'a", "SI.hRoiManager.imagingFovUm = [NaN Inf;x"])
def test_scanimage_nonsense(tmp_path, words):
    scanimage(tmp_path / "a.tif", values((4, 20, 30), "i2"), words)
    assert survives(tmp_path / "a.tif").returncode == 0


# ---- slides ----

def test_svs_is_the_slide_with_its_pixel_size(tmp_path):
    a = smooth((96, 128, 3), "u1")
    how = {"photometric": "rgb", "metadata": None, "contiguous": False, "compression": "lzw"}
    with tifffile.TiffWriter(tmp_path / "a.svs") as w:
        w.write(a, tile=(32, 32), description="Aperio Image Library v11\r\n128x96 [0,0 128x96] (32x32)|AppMag = 20|MPP = 0.4990|Filename = x", **how)
        w.write(a[::4, ::4], description="Aperio thumbnail", **how)
        w.write(a[::2, ::2], tile=(32, 32), **how)
        w.write(a[:30, :50], description="Aperio label", subfiletype=1, **how)
    with tifffile.TiffFile(tmp_path / "a.svs") as f:
        assert f.series[0].kind == "svs" and (f.series[0].asarray() == a).all()
    check(tmp_path / "a.svs", np.moveaxis(a, -1, 0)[None, :, None])
    image = image_of(tmp_path / "a.svs")
    assert size_of(tmp_path / "a.svs") == pytest.approx({"y_um": 0.499, "x_um": 0.499}) and image["magnification"] == 20
    assert len(info(tmp_path / "a.svs")["images"]) == 1 and len(image["notes"]) == 3


def test_qptiff_pages_are_channels(tmp_path):
    a = smooth((3, 96, 128), "u2")
    a[1] += 100
    how = {"metadata": None, "contiguous": False, "compression": "lzw", "software": "PerkinElmer-QPI", "resolution": (20000, 20000), "resolutionunit": 3}
    xml = "<?xml version='1.0'?><PerkinElmer-QPI-ImageDescription><Name>{}</Name><Color>{}</Color></PerkinElmer-QPI-ImageDescription>"
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as w:
        for page, name, colour in zip(a, ("DAPI", "Opal 520", "Opal 690"), ("0,0,255", "0,255,0", "300,0,0")):
            w.write(page, photometric="minisblack", tile=(32, 32), description=xml.format(name, colour), **how)
        w.write(smooth((24, 32, 3), "u1"), photometric="rgb", **how)
        for page in a[:, ::2, ::2]:
            w.write(page, photometric="minisblack", tile=(32, 32), **how)
    with tifffile.TiffFile(tmp_path / "a.qptiff") as f:
        assert f.series[0].kind == "qpi" and f.series[0].axes == "CYX" and (f.series[0].asarray() == a).all()
    check(tmp_path / "a.qptiff", a[None, :, None])
    image = image_of(tmp_path / "a.qptiff")
    assert [c["name"] for c in image["channels"]] == ["DAPI", "Opal 520", "Opal 690"] and image["channels"][0]["colour"].upper() == "#0000FF"
    assert size_of(tmp_path / "a.qptiff") == pytest.approx({"y_um": 0.5, "x_um": 0.5}) and len(info(tmp_path / "a.qptiff")["images"]) == 1


# ---- Micro-Manager NDTiff ----

def test_ndtiff_is_refused_by_name_with_a_way_out(tmp_path):
    a = values((6, 20, 30), "u2")
    with tifffile.TiffWriter(tmp_path / "a_NDTiffStack.tif") as w:
        for page in a:
            w.write(page, photometric="minisblack", metadata=None, contiguous=False, extratags=[(51123, 2, 0, "{}", True)])
    check(tmp_path / "a_NDTiffStack.tif", a[None, None])  # copied without its index
    (tmp_path / "NDTiff.index").write_bytes(b"")
    done = tool("read", tmp_path / "a_NDTiffStack.tif", 0)
    assert done.returncode == 15 and b"NDTiff" in done.stderr and b"--input-axes" in done.stderr
    code, planes = sized(tmp_path / "a_NDTiffStack.tif", "t=2,c=3")
    assert code == 0 and [int(p["crc32"], 16) for p in planes] == [zlib.crc32(page.tobytes()) for page in a]
    code, planes = sized(tmp_path / "a_NDTiffStack.tif", "zyx")
    assert code == 0 and len(planes) == 6


# ---- axes that the user says ----

def sized(path, axes, option="--input-axes"):
    done = subprocess.run([program(), "checksum", str(path), option, axes, "--planes", "--json", "--quiet"], capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout)["images"][0]["planes"] if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("axes", ["t=4,c=3,z=5", "z=5,t=4,c=3", "c=3,z=20", "c=60", "t=60"])
@pytest.mark.parametrize("kind", ["plain", "imagej", "ome", "shaped"])
@pytest.mark.parametrize("option", ["--input-axes", "--axes"])
def test_axes_with_sizes(tmp_path, axes, kind, option):
    a = values((60, 20, 30), "u2")
    how = {"plain": {"metadata": None}, "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}}, "ome": {"ome": True, "metadata": {"axes": "ZYX"}}, "shaped": {}}[kind]
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", **how)
    code, planes = sized(tmp_path / "a.tif", axes, option)
    assert code == 0, planes
    size = {k: int(v) for k, v in (part.split("=") for part in axes.split(","))}
    b = a.reshape([*size.values(), 20, 30])
    assert len(planes) == 60
    for p in planes:
        assert int(p["crc32"], 16) == zlib.crc32(b[tuple(p[k] for k in size)].tobytes())


def test_axes_with_sizes_that_do_not_fit(tmp_path):
    a = values((10, 20, 30), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata=None)
    assert sized(tmp_path / "a.tif", "t=6,c=2")[0] == 2 and "are 12 planes, the file has 10 pages" in sized(tmp_path / "a.tif", "t=6,c=2")[1]
    assert sized(tmp_path / "a.tif", "t=3,c=3")[0] == 2
    code, planes = sized(tmp_path / "a.tif", "t=4,c=3")  # it stopped within the last time point
    assert code == 0 and len(planes) == 12
    for bad in ("t=4,t=3", "t=0", "t=-1", "t=4,", "q=3", "t=4;c=3", "t=99999999999999999999", "t==4", "t=4 ", "tczyx"):
        code, message = sized(tmp_path / "a.tif", bad)
        assert code == 2 and "t=4,c=3,z=5" in message, bad


def test_axes_with_sizes_are_recorded_with_a_run(tmp_path):
    a = values((6, 64, 64), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata=None)
    done = subprocess.run([program(), "convert", str(tmp_path / "a.tif"), str(tmp_path / "o.zarr"), "--input-axes", "t=2,c=3", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (zarr.open(tmp_path / "o.zarr")["0"][:] == a.reshape(2, 3, 1, 64, 64)).all()
    done = subprocess.run([program(), "verify", str(tmp_path / "o.zarr"), "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- MetaMorph STK ----

DAY = 86400000


@pytest.mark.parametrize("distances, times, axis, size", [
    ([500] * 6, range(0, 6000, 1000), "z", {"z_um": 0.5}),
    ([0] + [250] * 5, [0] * 6, "z", {"z_um": 0.25}),
    ([k * 500 for k in range(6)], range(0, 6000, 1000), "t", {"t_s": 1}),
    ([0] * 6, [DAY - 2000 + 1500 * k for k in range(6)], "t", {"t_s": 1.5}),
    ([0] * 6, [0] * 6, "z", {}),
])
def test_stk_planes_and_words(tmp_path, distances, times, axis, size):
    a = values((6, 40, 60), "u2")
    (tmp_path / "a.stk").write_bytes(tiff_make.stk(a, distances, list(times)))
    with tifffile.TiffFile(tmp_path / "a.stk") as f:
        assert (f.asarray() == a).all()
        assert f.stk_metadata["XCalibration"] == 0.065 and f.stk_metadata["NumberPlanes"] == 6
        created = str(f.stk_metadata["DatetimeCreated"][0])[:19].replace(" ", "T")
    check(tmp_path / "a.stk", a[:, None, None] if axis == "t" else a[None, None])
    assert size_of(tmp_path / "a.stk") == pytest.approx({"y_um": 0.065, "x_um": 0.065, **size})
    image = image_of(tmp_path / "a.stk")
    assert len(info(tmp_path / "a.stk")["images"]) == 1
    assert image["name"] == "cell 3" and image["acquired"] == created
    assert ("neither distances nor times" in notes_of(tmp_path / "a.stk")) == (size == {})


def test_stk_in_pieces_wavelengths_and_other_units(tmp_path):
    a = values((4, 40, 60), "u2")
    (tmp_path / "a.stk").write_bytes(tiff_make.stk(a, [0] * 4, [0] * 4, [488, 561, 488, 561], b"pixel"))
    check(tmp_path / "a.stk", a[None, None])
    assert "several wavelengths (488 and 561 nm)" in notes_of(tmp_path / "a.stk") and size_of(tmp_path / "a.stk") == {}
    cut = (tmp_path / "a.stk").read_bytes()
    patched = bytearray(cut)
    with tifffile.TiffFile(tmp_path / "a.stk") as f:
        at = f.pages[0].tags[259].valueoffset
    struct.pack_into("<H", patched, at, 5)
    (tmp_path / "b.stk").write_bytes(patched)
    done = tool("read", tmp_path / "b.stk", 0)
    assert done.returncode == 15 and b"MetaMorph STK of 4 planes" in done.stderr and b"OME-TIFF" in done.stderr


def test_stk_that_ends_early(tmp_path):
    """Its directory comes last, so that a copy that broke off has none; here the planes are fewer than the table says."""
    a = values((6, 40, 60), "u2")
    good = tiff_make.stk(a, [500] * 6, [0] * 6)
    with tifffile.TiffFile(write(tmp_path / "a.stk", good)) as f:
        tag = f.pages[0].tags[33629]
    bad = bytearray(good)
    struct.pack_into("<I", bad, tag.offset + 4, 12)
    done = survives(write(tmp_path / "b.stk", bad))
    assert done.returncode == 0
    image = image_of(tmp_path / "b.stk")
    assert image["shape"]["z"] == 12 and image["planes_missing"] > 0
    struct.pack_into("<I", bad, tag.offset + 4, 2**32 - 1)
    assert b"at most" in survives(write(tmp_path / "c.stk", bad)).stderr


# ---- Zeiss LSM ----

def test_lsm_axes_sizes_and_names(tmp_path):
    a = values((2, 3, 3, 40, 60), "u2")
    path = write(tmp_path / "a.lsm", tiff_make.lsm(a, interval=2.5, names=(b"Ch1", b"Ch2", b"T PMT"), predictor=2))  # LSM 510 leaves the tag there
    with tifffile.TiffFile(path) as f:
        assert f.series[0].axes == "TZCYX" and (f.asarray() == a).all()
        assert f.lsm_metadata["ChannelColors"]["ColorNames"] == ["Ch1", "Ch2", "T PMT"]
    check(path, a.swapaxes(1, 2))
    image = image_of(path)
    assert image["pixel_size"] == pytest.approx({"t_s": 2.5, "z_um": 0.5, "y_um": 0.2, "x_um": 0.1})
    assert [c["name"] for c in image["channels"]] == ["Ch1", "Ch2", "T PMT"]
    assert [c["colour"].upper() for c in image["channels"]] == ["#00FF00", "#0AFE01", "#14FD02"]
    assert len(info(path)["images"]) == 1


def test_lsm_interval_from_stamps(tmp_path):
    a = values((3, 1, 1, 40, 60), "u1")
    check(write(tmp_path / "a.lsm", tiff_make.lsm(a, scan=3, stamps=(10.0, 14.0, 18.0), names=(b"A",))), a)
    assert size_of(tmp_path / "a.lsm")["t_s"] == 4


@pytest.mark.parametrize("scan, letter", [(1, "z"), (2, "t"), (10, "t")])
def test_lsm_rows_that_are_not_y(tmp_path, scan, letter):
    a = values((1, 1, 2, 40, 60), "u2")
    path = write(tmp_path / "a.lsm", tiff_make.lsm(a, scan=scan, shape=(40, 40, 2, 1, 60)))
    check(path, a.swapaxes(1, 2))
    assert f"rows of this LSM are along {letter}" in notes_of(path)
    assert size_of(path) == pytest.approx({"x_um": 0.1, **({"y_um": 0.5} if letter == "z" else {})})


def test_lsm_compressed_says_more_bytes_than_it_has(tmp_path):
    """Strip counts are those of the decoded strip, so that the last one leads beyond the end of the file."""
    a = smooth((2, 1, 2, 64, 90), "u2")
    good = tiff_make.lsm(a, scan=3, encode=lambda p: imagecodecs.lzw_encode(p.tobytes()), thumbnails=False)
    path = write(tmp_path / "a.lsm", good)
    check(path, a.swapaxes(1, 2))


def test_lsm_positions_are_images(tmp_path):
    a = values((3 * 2, 2, 1, 40, 60), "u2")
    path = write(tmp_path / "a.lsm", tiff_make.lsm(a, shape=(2, 2, 1, 40, 60), positions=3, names=(b"A",)))
    for k in range(3):
        check(path, a[2 * k:2 * k + 2].swapaxes(1, 2), k)
    path = write(tmp_path / "b.lsm", tiff_make.lsm(a[:5], shape=(2, 2, 1, 40, 60), positions=2**31 - 1, names=(b"A",)))
    assert len(info(path)["images"]) == 3 and image_of(path, 2)["planes_missing"] == 2
    assert "positions have no page" in notes_of(path)


def test_lsm_that_stopped_early(tmp_path):
    a = values((2, 3, 2, 40, 60), "u2")
    path = write(tmp_path / "a.lsm", tiff_make.lsm(a, shape=(4, 3, 2, 40, 60)))
    want = np.zeros((4, 3, 2, 40, 60), "u2")
    want[:2] = a
    check(path, want.swapaxes(1, 2))
    assert image_of(path)["planes_missing"] == 12


# ---- hostile ----

SEEDS = {
    "stk": lambda a: tiff_make.stk(a, [500] * len(a), list(range(len(a)))),
    "lsm": lambda a: tiff_make.lsm(a[:4].reshape(2, 1, 2, *a.shape[1:]), scan=3, stamps=(1.0, 2.0)),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_truncated_and_flipped_dialects(tmp_path, kind):
    good = SEEDS[kind](smooth((6, 20, 24), "u2"))
    rng = random.Random(zlib.crc32(kind.encode()))
    for _ in range(15):
        survives(write(tmp_path / "a.tif", good[:rng.randrange(len(good))]))
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = len(bad) - 1 - rng.randrange(min(len(bad), 900)) if rng.random() < 0.8 else rng.randrange(len(bad))
            bad[at] ^= 1 << rng.randrange(8)
        survives(write(tmp_path / "a.tif", bad))
