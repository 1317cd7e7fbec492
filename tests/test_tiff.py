# SPDX-License-Identifier: MIT
"""TIFF files of all kinds, written by tifffile, hold for pellucid the pixels that went in."""
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import tifffile
from conftest import program

RNG = np.random.default_rng(7)


def tool(*words, **options):
    path = os.path.join(os.path.dirname(program()), "tests", "tool_phantom")
    return subprocess.run([path, *map(str, words)], capture_output=True, timeout=120, **options)


def info(path):
    done = subprocess.run([program(), "info", str(path), "--json"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def check(path, want, image=0):
    """Whole image, and 200 random regions on four threads. `want` has the axes t c z y x."""
    done = tool("read", path, image)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    got = np.frombuffer(done.stdout, want.dtype.newbyteorder("<"))
    assert got.size == want.size
    assert got.tobytes() == want.astype(want.dtype.newbyteorder("<")).tobytes()
    done = tool("regions", path, image)
    assert done.returncode == 0 and done.stderr == b"", done.stderr


def values(shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return RNG.integers(low, high, shape, dtype, endpoint=True)


def smooth(shape, dtype):
    """Compresses well, so that strips of compressed files differ in length."""
    return (np.add.outer(np.arange(np.prod(shape[:-1])), np.arange(shape[-1])).reshape(shape) % 251).astype(dtype)


DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
LAYOUTS = {"strips": {"rowsperstrip": 7}, "one_strip": {}, "tiles": {"tile": (32, 48)}}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_types_layouts_and_byte_orders(tmp_path, dtype, layout, order, big):
    a = values((3, 61, 83), dtype)
    tifffile.imwrite(tmp_path / "a.tif", a, byteorder=order, bigtiff=big, photometric="minisblack", metadata=None, **LAYOUTS[layout])
    check(tmp_path / "a.tif", a[None, None])


CODECS = ["lzw", "deflate", "adobe_deflate", "packbits", "zstd", "lzma"]


@pytest.mark.parametrize("codec, predictor", [(c, p) for c in CODECS for p in (False, True) if (c, p) != ("packbits", True)])  # which has none
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", "<>")
def test_compressions(tmp_path, codec, predictor, dtype, layout, order):
    a = smooth((2, 61, 83), dtype)
    tifffile.imwrite(tmp_path / "a.tif", a, compression=codec, predictor=predictor, byteorder=order, photometric="minisblack", metadata=None,
                     **LAYOUTS[layout])
    check(tmp_path / "a.tif", a[None, None])


def with_predictor(path, a, predictor, **options):
    """With a tag that tifffile itself does not write there."""
    tifffile.imwrite(path, a, photometric="minisblack", metadata=None, extratags=[(316, 3, 1, predictor, True)], **options)
    with tifffile.TiffFile(path) as f:
        at = f.pages[0].tags[316].offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, at, 317)
    path.write_bytes(data)


@pytest.mark.parametrize("codec", [None, "packbits", "lerc"])
@pytest.mark.parametrize("predictor", [2, 3])
def test_a_predictor_that_libtiff_does_not_undo_is_refused_by_name(tmp_path, codec, predictor):
    """tifffile writes and reads these; libtiff hands out the differences."""
    a = smooth((61, 83), "u2" if predictor == 2 else "f4")
    if codec:
        tifffile.imwrite(tmp_path / "a.tif", a, compression=codec, predictor=predictor, photometric="minisblack", metadata=None)
    else:
        with_predictor(tmp_path / "a.tif", a, predictor)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        assert f.pages[0].predictor == predictor
    done = tool("read", tmp_path / "a.tif", 0)
    assert done.returncode == 15 and f"predictor {predictor} with compression".encode() in done.stderr, done.stderr


def test_a_predictor_beside_jpeg_means_nothing(tmp_path):
    a = smooth((64, 96), "u1")
    with_predictor(tmp_path / "a.tif", a, 2, compression="jpeg")
    assert np.abs(np.frombuffer(tool("read", tmp_path / "a.tif", 0).stdout, "u1").reshape(a.shape).astype(int) - a).max() < 60


def test_an_empty_file_of_a_set_is_called_empty(tmp_path):
    ome(tmp_path / "a.ome.tif", values((20, 30), "u2"), '<TiffData IFD="0"/><TiffData FirstZ="1" IFD="0"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>', z=2)
    (tmp_path / "b.ome.tif").write_bytes(b"")
    done = tool("read", tmp_path / "a.ome.tif", 0)
    assert done.returncode == 14 and b"b.ome.tif: is empty" in done.stderr


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("codec", [None, "lzw"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("samples", [3, 4])
def test_colour(tmp_path, planar, codec, layout, samples):
    a = smooth((2, 50, 70, samples), "u2")
    stored = a if planar == "contig" else np.moveaxis(a, -1, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=codec, metadata=None, **LAYOUTS[layout],
                     **({"extrasamples": ["unassalpha"]} if samples == 4 else {}))
    check(tmp_path / "a.tif", np.moveaxis(a, -1, 0)[None])
    image = info(tmp_path / "a.tif")["images"][0]
    assert image["samples"] == samples and list(image["shape"].values()) == [1, samples, 2, 50, 70]
    assert [c["name"] for c in image["channels"]] == list("RGBA")[:samples]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_many_samples_are_channels(tmp_path, planar):
    a = values((40, 50, 6), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a if planar == "contig" else np.moveaxis(a, -1, 0), photometric="minisblack", planarconfig=planar,
                     extrasamples=["unspecified"] * 5, metadata=None)
    check(tmp_path / "a.tif", np.moveaxis(a, -1, 0)[None, :, None])
    assert info(tmp_path / "a.tif")["images"][0]["samples"] == 1


@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_jpeg(tmp_path, layout):
    a = smooth((64, 96, 3), "u1")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="rgb", compression="jpeg", metadata=None, **{"strips": {"rowsperstrip": 16}, "tiles": {"tile": (32, 48)}}[layout])
    got = np.frombuffer(tool("read", tmp_path / "a.tif", 0).stdout, "u1").reshape(3, 64, 96)
    want = np.moveaxis(tifffile.imread(tmp_path / "a.tif"), -1, 0)
    assert np.abs(got.astype(int) - want).max() <= 4  # two decoders of the same lossy stream
    assert tool("regions", tmp_path / "a.tif", 0).returncode == 0


# ---- OME-TIFF ----

@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CTZYX", "ZCTYX", "ZTCYX", "CZTYX"])
def test_ome_orders(tmp_path, axes):
    size = {"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}
    a = values([size[k] for k in axes], "u2")
    tifffile.imwrite(tmp_path / "a.ome.tif", a, ome=True, metadata={"axes": axes})
    check(tmp_path / "a.ome.tif", np.transpose(a, [axes.index(k) for k in "TCZYX"]))


def test_ome_words(tmp_path):
    a = values((2, 3, 4, 20, 30), "u2")
    meta = {"axes": "TCZYX", "PhysicalSizeX": 100, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.2, "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.001,
            "PhysicalSizeZUnit": "mm", "TimeIncrement": 250, "TimeIncrementUnit": "ms", "Name": "embryo <3>",
            "Channel": {"Name": ["DAPI", "GFP", "mCherry"], "Color": [0x0000FFFF, 0x00FF00FF, -16776961], "EmissionWavelength": [461, 509, 610]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", a, ome=True, metadata=meta)
    image = info(tmp_path / "a.ome.tif")["images"][0]
    assert image["name"] == "embryo <3>"
    assert image["pixel_size"] == pytest.approx({"t_s": 0.25, "z_um": 1.0, "y_um": 0.2, "x_um": 0.1})
    assert [c["name"] for c in image["channels"]] == ["DAPI", "GFP", "mCherry"]
    assert [c["colour"].upper() for c in image["channels"]] == ["#0000FF", "#00FF00", "#FF0000"]
    assert [c["emission_nm"] for c in image["channels"]] == [461, 509, 610]
    assert image["planes_missing"] == 0


def test_ome_several_images(tmp_path):
    a, b = values((2, 3, 20, 30), "u2"), values((5, 40, 25), "u1")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True, bigtiff=True) as w:
        w.write(a, metadata={"axes": "CZYX", "Name": "first"}, compression="zlib")
        w.write(b, metadata={"axes": "TYX", "Name": "second"}, tile=(16, 16))
    check(tmp_path / "a.ome.tif", a[None], 0)
    check(tmp_path / "a.ome.tif", b[:, None, None], 1)
    assert [i["name"] for i in info(tmp_path / "a.ome.tif")["images"]] == ["first", "second"]


def test_ome_colour(tmp_path):
    a = values((2, 3, 20, 30, 3), "u1")
    tifffile.imwrite(tmp_path / "a.ome.tif", a, ome=True, photometric="rgb", metadata={"axes": "TZYXS"})
    check(tmp_path / "a.ome.tif", np.transpose(a, (0, 4, 1, 2, 3)))


def test_ome_pyramid_is_left_out(tmp_path):
    a = values((3, 64, 64), "u2")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as w:
        w.write(a, subifds=1, metadata={"axes": "ZYX"}, tile=(32, 32))
        w.write(a[:, ::2, ::2], subfiletype=1, tile=(32, 32))
    check(tmp_path / "a.ome.tif", a[None, None])
    assert len(info(tmp_path / "a.ome.tif")["images"]) == 1


OME = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}><Image ID="Image:0" Name="set"><Pixels ID="Pixels:0" '
       'DimensionOrder="{order}" Type="uint16" SizeX="30" SizeY="20" SizeZ="{z}" SizeC="{c}" SizeT="{t}">{data}</Pixels></Image></OME>')


def ome(path, pages, data, order="XYZCT", z=1, c=1, t=1, root=""):
    tifffile.imwrite(path, pages, photometric="minisblack", metadata=None, description=OME.format(order=order, z=z, c=c, t=t, data=data, root=root))


def test_ome_set_of_files(tmp_path):
    a = values((4, 3, 20, 30), "u2")
    data = "".join(f'<TiffData FirstT="{t}" IFD="0" PlaneCount="3"><UUID FileName="t{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>' for t in range(4))
    for t in range(4):
        ome(tmp_path / f"t{t}.ome.tif", a[t], data, z=3, t=4, root=f' UUID="urn:uuid:{t}"')
    for t in range(4):  # any member opens the set
        check(tmp_path / f"t{t}.ome.tif", a[:, None])
    os.remove(tmp_path / "t2.ome.tif")
    a[2] = 0
    check(tmp_path / "t0.ome.tif", a[:, None])
    image = info(tmp_path / "t0.ome.tif")["images"][0]
    assert image["planes_missing"] == 3 and any("t2.ome.tif" in n["text"] for n in image["notes"])
    (tmp_path / "t1.ome.tif").write_bytes(b"II*\0")
    done = tool("read", tmp_path / "t0.ome.tif", 0)
    assert done.returncode == 10 + 4 and b"t1.ome.tif" in done.stderr


@pytest.mark.parametrize("words", ["set.companion.ome", "first.ome.tif"])
def test_ome_words_in_another_file(tmp_path, words):
    a = values((3, 20, 30), "u2")
    names = ["first.ome.tif", "b.tif", "c.tif"]
    data = "".join(f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{names[z]}">urn:uuid:{z}</UUID></TiffData>' for z in range(3))
    xml = OME.format(order="XYZCT", z=3, c=1, t=1, data=data, root=' UUID="urn:uuid:0"')
    binary = f'<?xml version="1.0"?><OME><BinaryOnly MetadataFile="{words}" UUID="urn:uuid:0"/></OME>'
    (tmp_path / "set.companion.ome").write_text(xml)
    for z in range(3):
        tifffile.imwrite(tmp_path / names[z], a[z], metadata=None, description=xml if names[z] == words else binary)
    for name in names:
        check(tmp_path / name, a[None, None])
    os.remove(tmp_path / words)
    done = tool("read", tmp_path / "b.tif", 0)
    assert done.returncode == 13 and words.encode() in done.stderr


def test_ome_renamed_file(tmp_path):
    a = values((3, 20, 30), "u2")
    ome(tmp_path / "new.ome.tif", a, '<TiffData IFD="0" PlaneCount="3"><UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData>', z=3)
    check(tmp_path / "new.ome.tif", a[None, None])


@pytest.mark.parametrize("own", ['<TiffData IFD="0"/>', '<TiffData IFD="0"><UUID>urn:uuid:0</UUID></TiffData>',
                                 '<TiffData IFD="0"><UUID FileName="z0.ome.tif">urn:uuid:0</UUID></TiffData>'], ids=["no words", "no name", "all words"])
@pytest.mark.parametrize("name", [' FileName="z1.ome.tif"', ""], ids=["named", "not named"])
def test_ome_set_of_two_with_the_other_missing(tmp_path, own, name):
    """The missing plane is zero, counted and noted: never a copy of a plane that is here."""
    a = values((2, 20, 30), "u2")
    data = f'{own}<TiffData FirstZ="1" IFD="0"><UUID{name}>urn:uuid:1</UUID></TiffData>'
    if not name and "uuid" not in own:
        pytest.skip("nothing says that there is another file")
    ome(tmp_path / "z0.ome.tif", a[0], data, z=2, root=' UUID="urn:uuid:0"')
    a[1] = 0
    check(tmp_path / "z0.ome.tif", a[None, None])
    image = info(tmp_path / "z0.ome.tif")["images"][0]
    assert image["planes_missing"] == 1 and any("1 of 2 planes" in n["text"] for n in image["notes"])
    assert not name or any("z1.ome.tif" in n["text"] for n in image["notes"])


def test_ome_file_of_which_all_planes_are_in_another_is_not_that_file(tmp_path):
    ome(tmp_path / "a.ome.tif", values((20, 30), "u2"), '<TiffData IFD="0"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>', root=' UUID="urn:uuid:0"')
    done = tool("read", tmp_path / "a.ome.tif", 0)
    assert done.returncode == 15 and b"looked for is b.ome.tif" in done.stderr


def test_ome_never_leaves_its_folder(tmp_path):
    a = values((2, 20, 30), "u2")
    os.mkdir(tmp_path / "in")
    ome(tmp_path / "secret.tif", a, "")
    ome(tmp_path / "in" / "a.ome.tif", a[0], '<TiffData IFD="0"/><TiffData FirstZ="1" IFD="1"><UUID FileName="../secret.tif">x</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="1"><UUID FileName="b.tif">x</UUID></TiffData>', z=2)
    assert info(tmp_path / "in" / "a.ome.tif")["images"][0]["planes_missing"] == 1


def test_ome_mapping_of_single_planes(tmp_path):
    a = values((4, 20, 30), "u2")
    ome(tmp_path / "a.ome.tif", a, "".join(f'<TiffData IFD="{3 - i}" FirstC="{i % 2}" FirstZ="{i // 2}"/>' for i in range(4)), z=2, c=2)
    want = np.array([[a[3], a[1]], [a[2], a[0]]])
    check(tmp_path / "a.ome.tif", want[None])


def test_ome_in_latin_1(tmp_path):
    a = values((20, 30), "u2")
    xml = OME.format(order="XYZCT", z=1, c=1, t=1, data="", root="").replace('SizeX="30"', 'SizeX="30" PhysicalSizeX="0.5" PhysicalSizeXUnit="\xb5m"')
    tifffile.imwrite(tmp_path / "a.ome.tif", a, metadata=None, description=xml.encode("latin-1"))
    check(tmp_path / "a.ome.tif", a[None, None, None])
    assert info(tmp_path / "a.ome.tif")["images"][0]["pixel_size"]["x_um"] == 0.5


def test_ome_without_data_elements(tmp_path):
    a = values((4, 20, 30), "u2")
    ome(tmp_path / "a.ome.tif", a, "", z=2, t=2, order="XYTZC")
    check(tmp_path / "a.ome.tif", np.swapaxes(a.reshape(2, 2, 20, 30), 0, 1)[:, None])
    ome(tmp_path / "b.ome.tif", a, "<TiffData/>", z=3, t=2)
    check(tmp_path / "b.ome.tif", np.concatenate([a, np.zeros((2, 20, 30), "u2")]).reshape(2, 1, 3, 20, 30))
    assert info(tmp_path / "b.ome.tif")["images"][0]["planes_missing"] == 2


@pytest.mark.parametrize("data, size, code, text", [
    ('<TiffData FirstZ="7"/>', {}, 4, "outside the image"),
    ("", {"order": "XYZZT"}, 4, "DimensionOrder"),
    ("", {"z": 0}, 4, "a size of 0"),
    ("", {"z": -3}, 4, "a size of -3"),
    ("", {"z": 99999999999, "t": 99999999999}, 4, "planes"),
    ("", {"c": 100000000}, 4, "channels"),
    ('<TiffData FirstZ="0"', {}, 4, "OME-XML, line"),
    ('<TiffData IFD="5"/>', {}, 5, "none of its planes"),
    ('<TiffData IFD="0"><UUID FileName="x.tif">a</UUID></TiffData><TiffData IFD="0"><UUID FileName="y.tif">b</UUID></TiffData>', {}, 5, "none of its planes"),
])
def test_ome_nonsense_is_refused(tmp_path, data, size, code, text):
    ome(tmp_path / "a.ome.tif", values((2, 20, 30), "u2"), data, **size)
    done = tool("read", tmp_path / "a.ome.tif", 0)
    assert done.returncode == 10 + code and text in done.stderr.decode(), done.stderr


def test_ome_that_names_its_planes_over_and_over_ends(tmp_path):
    ome(tmp_path / "a.ome.tif", np.zeros((1000, 20, 30), "u2"), '<TiffData IFD="0" PlaneCount="1000"/>' * 20000, z=1000)
    done = tool("read", tmp_path / "a.ome.tif", 0)
    assert done.returncode == 14 and b"over and over" in done.stderr


def test_ome_refuses_another_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as w:
        w.write(values((20, 30), "u2"), metadata=None, description=OME.format(order="XYZCT", z=2, c=1, t=1, data="", root=""))
        w.write(values((20, 31), "u2"), metadata=None)
    done = tool("read", tmp_path / "a.ome.tif", 0)
    assert done.returncode == 14 and b"20 pixels" in done.stderr and b"expected 30" in done.stderr


# ---- ImageJ ----

def test_imagej_hyperstack(tmp_path):
    a = values((2, 4, 3, 20, 30), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, imagej=True, resolution=(1 / 0.1, 1 / 0.2), metadata={"axes": "TZCYX", "spacing": 0.5, "unit": "um", "finterval": 2.5})
    check(tmp_path / "a.tif", np.swapaxes(a, 1, 2))
    image = info(tmp_path / "a.tif")["images"][0]
    assert image["pixel_size"] == pytest.approx({"t_s": 2.5, "z_um": 0.5, "y_um": 0.2, "x_um": 0.1}, rel=1e-4)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_imagej_run_with_one_directory(tmp_path, dtype):
    """What ImageJ does above 4 GiB: one directory, all planes behind each other, big-endian."""
    a = values((6, 20, 30), dtype)
    text = b"ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\nmode=composite\nloop=false\n\0"
    run = a.astype(a.dtype.newbyteorder(">")).tobytes()
    tags = [(256, 4, 1, 30), (257, 4, 1, 20), (258, 3, 1, 8 * a.itemsize << 16), (259, 3, 1, 1 << 16), (262, 3, 1, 1 << 16), (270, 2, len(text), 200),
            (273, 4, 1, 512), (277, 3, 1, 1 << 16), (278, 4, 1, 20), (279, 4, 1, 20 * 30 * a.itemsize), (339, 3, 1, (3 if dtype[0] == "f" else 1) << 16)]
    ifd = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", *t) for t in tags) + struct.pack(">I", 0)
    head = struct.pack(">2sHI", b"MM", 42, 8) + ifd
    (tmp_path / "a.tif").write_bytes(head.ljust(200, b"\0") + text.ljust(312, b"\0") + run)
    check(tmp_path / "a.tif", a.reshape(3, 2, 20, 30).swapaxes(0, 1)[None])
    assert len(info(tmp_path / "a.tif")["images"]) == 1
    (tmp_path / "b.tif").write_bytes(head.ljust(200, b"\0") + text.ljust(312, b"\0") + run[:-5])
    a[5] = 0
    check(tmp_path / "b.tif", a.reshape(3, 2, 20, 30).swapaxes(0, 1)[None])
    assert info(tmp_path / "b.tif")["images"][0]["planes_missing"] == 1


def test_imagej_colour(tmp_path):
    a = values((3, 20, 30, 3), "u1")
    tifffile.imwrite(tmp_path / "a.tif", a, imagej=True, photometric="rgb", metadata={"axes": "ZYXS"})
    check(tmp_path / "a.tif", np.moveaxis(a, -1, 0)[None])


# ---- plain stacks ----

def test_pages_of_different_sizes_are_images(tmp_path):
    a, b = values((3, 20, 30), "u2"), values((2, 25, 30), "u2")
    with tifffile.TiffWriter(tmp_path / "a.tif") as w:
        for page in (a[0], b[0], a[1], a[2], b[1]):
            w.write(page, metadata=None)
        w.write(b[1][::2, ::2], subfiletype=1, metadata=None)
    check(tmp_path / "a.tif", a[None, None], 0)
    check(tmp_path / "a.tif", b[None, None], 1)
    images = info(tmp_path / "a.tif")["images"]
    assert len(images) == 2 and any("reduced copies" in n["text"] for n in images[0]["notes"])


@pytest.mark.parametrize("letter", "tcz")
def test_the_axis_of_pages_can_be_said(tmp_path, letter):
    a = values((3, 20, 30), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, metadata=None, photometric="minisblack")
    done = subprocess.run([program(), "info", str(tmp_path / "a.tif"), "--json", "--axes", letter + "yx"], capture_output=True)
    shape = json.loads(done.stdout)["images"][0]["shape"]
    assert shape == {"t": 1, "c": 1, "z": 1, "y": 20, "x": 30, letter: 3}
    done = subprocess.run([program(), "info", str(tmp_path / "a.tif"), "--axes", "tzyx"], capture_output=True, text=True)
    assert done.returncode != 0 and "tyx" in done.stderr


def bits_said(path, page, bits):
    with tifffile.TiffFile(path) as f:
        at = f.pages[page].tags[258].valueoffset
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, at, bits)
    path.write_bytes(data)


def test_a_page_of_a_bit_depth_that_is_not_read(tmp_path):
    a = values((2, 20, 30), "u4")
    with tifffile.TiffWriter(tmp_path / "a.tif") as w:
        for page in a:
            w.write(page, metadata=None, contiguous=False)
    bits_said(tmp_path / "a.tif", 1, 24)
    check(tmp_path / "a.tif", a[None, None, :1])
    assert any("24 bits" in n["text"] for n in info(tmp_path / "a.tif")["images"][0]["notes"])
    bits_said(tmp_path / "a.tif", 0, 24)
    done = tool("read", tmp_path / "a.tif", 0)
    assert done.returncode == 10 + 5 and b"samples of 24 bits" in done.stderr


def packed(a, bits):
    """Bits from the highest on, each row to a whole byte."""
    each = (a[..., None].astype("u4") >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(*a.shape[:-1], -1).astype("u1"), axis=-1)


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 10, 12, 14, 15])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("codec", [None, "zlib", "packbits"])
def test_samples_of_few_bits(tmp_path, bits, order, layout, codec):
    """As bytes they are what tifffile writes; then the width and the depth are said."""
    width = 8 * 11 if bits == 1 else 80
    a = RNG.integers(0, 1 << bits, (3, 61, width)).astype("u1" if bits <= 8 else "u2")
    tifffile.imwrite(tmp_path / "a.tif", packed(a, bits), photometric="minisblack", metadata=None, byteorder=order, compression=codec, **layout)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        for page in f.pages:
            for code, value in ((256, width), (258, bits)):
                tag = page.tags[code]
                struct.pack_into(order + ("I" if tag.dtype == 4 else "H"), data, tag.valueoffset, value)
    (tmp_path / "a.tif").write_bytes(data)
    try:
        read = tifffile.imread(tmp_path / "a.tif")
        assert (read == a).all()
    except (ValueError, NotImplementedError):  # of some depths tifffile says that it does not read them
        pass
    check(tmp_path / "a.tif", a[None, None])
    assert info(tmp_path / "a.tif")["images"][0]["significant_bits"] == bits


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bits_of_colour_and_masks(tmp_path, planar):
    tifffile.imwrite(tmp_path / "b.tif", values((61, 83), "u1") > 100, metadata=None)
    check(tmp_path / "b.tif", tifffile.imread(tmp_path / "b.tif").astype("u1")[None, None, None])
    a = values((20, 30, 3), "f2")
    tifffile.imwrite(tmp_path / "a.tif", a if planar == "contig" else np.moveaxis(a, -1, 0), photometric="rgb", planarconfig=planar, metadata=None)
    check(tmp_path / "a.tif", np.moveaxis(a, -1, 0)[None, :, None].astype("f4"))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"compression": "lzw", "predictor": 3}, {"tile": (32, 48)}])
def test_float16_becomes_float32(tmp_path, order, how):
    a = values((3, 61, 83), "f2")
    a[0, 0, :6] = [0, -0.0, 6e-8, 65504, np.inf, -np.inf]
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata=None, byteorder=order, **how)
    assert tifffile.imread(tmp_path / "a.tif").tobytes() == a.tobytes()
    check(tmp_path / "a.tif", a[None, None].astype("f4"))


def test_sparse_tiles_are_zero(tmp_path):
    a = values((64, 64), "u2")
    a[:32, 32:] = 0
    tifffile.imwrite(tmp_path / "a.tif", a, tile=(32, 32), compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as f:
        for tag in (324, 325):
            t = f.pages[0].tags[tag]
            t.overwrite([v if i != 1 else 0 for i, v in enumerate(t.value)])
    check(tmp_path / "a.tif", a[None, None, None])


def test_the_phantom_writer_and_the_reader_agree(tmp_path):
    name = "phantom:t=2,c=2,z=3,y=150,x=200;scenes=2;pixel=0.5,0.1,0.2"
    assert tool("write", name, tmp_path / "a.tif", "compression=deflate", "tile=64,64").returncode == 0
    for scene in range(2):
        want = np.frombuffer(tool("read", name, scene).stdout, "<u2").reshape(2, 2, 3, 150, 200)
        check(tmp_path / "a.tif", want, scene)
    image = info(tmp_path / "a.tif")["images"][1]
    assert image["pixel_size"] == pytest.approx({"t_s": 1, "z_um": 0.5, "y_um": 0.1, "x_um": 0.2})
    assert image["name"] == "Phantom 2" and [c["name"] for c in image["channels"]] == ["Filaments", "Nuclei"]


def test_many_pages_open_fast_and_small(tmp_path):
    """50,000 directories: opening costs reads, not a walk for each page; memory stays small."""
    assert tool("write", "phantom:t=50000,y=16,x=16", tmp_path / "a.tif").returncode == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    image = info(tmp_path / "a.tif")["images"][0]
    assert image["shape"]["t"] == 50000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5  # quadratic: minutes


# ---- hostile ----

def limited():
    if "PELLUCID_SANITIZED" not in os.environ:  # their shadow memory needs all addresses
        resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


def survives(path):
    """Reads or refuses; never crashes, hangs, prints on its own, or takes 2 GiB."""
    sanitized = os.environ.get("PELLUCID_SANITIZED")
    done = tool("read", path, 0, preexec_fn=None if sanitized else limited)
    assert 0 <= done.returncode < 10 + 11 and done.returncode != 10 + 10, (done.returncode, done.stderr)
    assert done.returncode == 0 or done.stderr.count(b"\n") == 1
    return done


SEEDS = {
    "plain": lambda p: tifffile.imwrite(p, smooth((3, 40, 50), "u2"), metadata=None, photometric="minisblack", rowsperstrip=9),
    "lzw": lambda p: tifffile.imwrite(p, smooth((2, 40, 50), "u2"), metadata=None, compression="lzw", predictor=True, tile=(16, 16)),
    "zstd_big": lambda p: tifffile.imwrite(p, smooth((2, 40, 50), "f4"), metadata=None, compression="zstd", bigtiff=True, byteorder=">"),
    "jpeg": lambda p: tifffile.imwrite(p, smooth((40, 50, 3), "u1"), metadata=None, compression="jpeg", photometric="rgb"),
    "ome": lambda p: tifffile.imwrite(p, smooth((2, 2, 40, 50), "u2"), ome=True, metadata={"axes": "CZYX"}),
    "imagej": lambda p: tifffile.imwrite(p, smooth((2, 2, 40, 50), "u2"), imagej=True, metadata={"axes": "ZCYX"}),
    "half": lambda p: tifffile.imwrite(p, smooth((2, 40, 50), "f2"), metadata=None, compression="lzw", rowsperstrip=9),
    "bits": lambda p: tifffile.imwrite(p, smooth((2, 40, 50), "u1") > 100, metadata=None, compression="packbits"),
    "planar": lambda p: tifffile.imwrite(p, smooth((3, 40, 50), "u1"), metadata=None, photometric="rgb", planarconfig="separate", compression="packbits"),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_truncated_and_flipped_files(tmp_path, kind):
    SEEDS[kind](tmp_path / "seed.tif")
    good = (tmp_path / "seed.tif").read_bytes()
    rng = random.Random(zlib.crc32(kind.encode()))
    path = tmp_path / "a.tif"
    for i in range(25):
        path.write_bytes(good[:rng.randrange(len(good))])
        survives(path)
    for i in range(75):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = rng.randrange(min(len(bad), 1200)) if rng.random() < 0.8 else rng.randrange(len(bad))
            bad[at] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        survives(path)


CODECS = ["zlib", "lzw", "packbits", "zstd", "lzma", "jpeg"]


def little_memory():
    if "PELLUCID_SANITIZED" not in os.environ:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))


@pytest.mark.parametrize("codec", CODECS)
def test_a_claim_that_no_stream_can_hold_takes_no_memory(tmp_path, codec):
    """Some hundred bytes that say 65535 samples a pixel, or rows without an end: refused by what the codec can do at most."""
    tifffile.imwrite(tmp_path / "a.tif", smooth((90, 70), "u1"), metadata=None, photometric="minisblack", compression=codec, rowsperstrip=90)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        tags = {code: f.pages[0].tags[code].valueoffset for code in (256, 257, 277, 278)}
    for change in ({277: 65535}, {256: 40000, 257: 40000, 278: 40000}):
        data = bytearray((tmp_path / "a.tif").read_bytes())
        for code, value in change.items():
            struct.pack_into("<H", data, tags[code], value)
        (tmp_path / "b.tif").write_bytes(data)
        done = subprocess.run([program(), "checksum", str(tmp_path / "b.tif"), "--quiet"], capture_output=True, timeout=60, preexec_fn=little_memory)
        assert done.returncode == 3 and b"cannot hold its" in done.stderr, (change, done.returncode, done.stderr)


@pytest.mark.parametrize("codec", CODECS)
def test_the_emptiest_picture_is_read(tmp_path, codec):
    """The bounds are no lower than what encoders reach."""
    a = np.zeros((6000, 5000), "u1")
    tifffile.imwrite(tmp_path / "a.tif", a, metadata=None, photometric="minisblack", compression=codec, rowsperstrip=6000)
    done = subprocess.run([program(), "checksum", str(tmp_path / "a.tif"), "--quiet"], capture_output=True, timeout=60)
    assert done.returncode == 0 and f"{zlib.crc32(a):08x}".encode() in done.stdout, done.stderr


def test_rows_beyond_the_end_take_no_memory(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", smooth((90, 70), "u1"), metadata=None, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        at = f.pages[0].tags[277].valueoffset
    data = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<H", data, at, 65535)
    (tmp_path / "a.tif").write_bytes(data)
    done = subprocess.run([program(), "checksum", str(tmp_path / "a.tif"), "--quiet"], capture_output=True, timeout=60, preexec_fn=little_memory)
    assert done.returncode == 3 and b"the file ends at" in done.stderr, done.stderr


def test_directories_in_a_circle(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values((5, 20, 30), "u2"), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        offsets = [p.offset for p in f.pages]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    entries = struct.unpack_from("<H", data, offsets[4])[0]
    for target in offsets:
        struct.pack_into("<I", data, offsets[4] + 2 + 12 * entries, target)
        (tmp_path / "b.tif").write_bytes(data)
        done = survives(tmp_path / "b.tif")
        assert done.returncode == 14 and b"circle" in done.stderr


def test_a_broken_chain_is_an_error_unless_recovery_is_asked_for(tmp_path):
    a = values((5, 20, 30), "u2")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        cut = f.pages[3].offset
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:cut + 5])
    done = tool("read", tmp_path / "b.tif", 0)
    assert done.returncode in (14, 16) and b"directory 3" in done.stderr
    done = subprocess.run([program(), "info", str(tmp_path / "b.tif"), "--recover", "--json"], capture_output=True)
    image = json.loads(done.stdout)["images"][0]
    assert image["shape"]["z"] == 3 and any("directory 3" in n["text"] for n in image["notes"])


def test_damage_names_the_place(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", smooth((3, 40, 50), "u2"), metadata=None, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        at = f.pages[1].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[at + 5:at + 20] = bytes(15)
    (tmp_path / "a.tif").write_bytes(data)
    done = tool("read", tmp_path / "a.tif", 0)
    assert done.returncode == 16 and b"directory 1" in done.stderr and b"strip 0" in done.stderr
    shutil.rmtree(tmp_path)
