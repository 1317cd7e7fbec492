# SPDX-License-Identifier: MIT
"""The files that pel_phantom_write makes are read by other people's readers, and hold the phantom's very pixels."""
import os
import resource
import subprocess

import czifile
import numpy as np
import pytest
import tifffile
import zstandard
from conftest import program
from pylibCZIrw import czi as pyczi

SIZE = {"t": 2, "c": 2, "z": 3, "y": 300, "x": 410}
SHAPE = tuple(SIZE.values())


def name(**settings):
    """A phantom's name: sizes first, the rest behind."""
    size = {**SIZE, **{k: v for k, v in settings.items() if k in "tczyx"}}
    rest = {k: v for k, v in settings.items() if k not in "tczyx"}
    return "phantom:" + ",".join(f"{k}={v}" for k, v in size.items()) + "".join(f";{k}={v}" for k, v in rest.items())


def tool():
    return os.path.join(os.path.dirname(program()), "tests", "tool_phantom")


def write(phantom, path, *words, **options):
    return subprocess.run([tool(), "write", phantom, str(path), *words], capture_output=True, text=True, timeout=120, **options)


def make(phantom, path, *words):
    done = write(phantom, path, *words)
    assert done.returncode == 0, done.stderr
    assert [p for p in os.listdir(path.parent) if p.startswith(".tmp")] == []
    return str(path)


def pixels(phantom, shape=SHAPE, dtype="<u2", image=0):
    done = subprocess.run([tool(), "read", phantom, str(image)], capture_output=True, check=True, timeout=120)
    return np.frombuffer(done.stdout, dtype).reshape(shape)


def zstd1(data, dtype):
    """What czifile of Python 3.11 lacks: the header, the frame, and high and low bytes apart."""
    head = data[0]
    out = zstandard.ZstdDecompressor().decompress(bytes(data[head:]), max_output_size=1 << 28)
    if head == 3 and data[2] & 1:
        out = np.frombuffer(out, np.uint8).reshape(2, -1).T.tobytes()
    return np.frombuffer(out, dtype)


def by_czifile(path, dtype="<u2"):
    czifile.czifile.DECOMPRESS[6] = lambda data: zstd1(data, dtype)
    with czifile.CziFile(path) as f:
        assert f.axes[-1] == "0"
        a = f.asarray()[..., 0]
        return a.reshape([n for axis, n in zip(f.axes, a.shape) if axis in "TCZYX"])


def by_libczi(path, shape=SHAPE, scene=None):
    with pyczi.open_czi(path) as f:
        planes = [f.read(plane={"T": t, "C": c, "Z": z}, scene=scene)[..., 0]
                  for t in range(shape[0]) for c in range(shape[1]) for z in range(shape[2])]
    return np.stack(planes).reshape(shape)


CZI = [
    ("plain", {}, []),
    ("mosaic", {}, ["tile=128,100"]),
    ("overlap", {"origin": "-20,-3500"}, ["tile=128,100", "overlap=17"]),
    ("overlap_wide", {"origin": "7,9"}, ["tile=64,64", "overlap=63"]),
    ("threads", {}, ["tile=128,100", "overlap=16", "threads=3"]),
    ("gray8", {"dtype": "uint8", "noise": "0.3,2", "background": 5}, ["tile=128,100"]),
    ("float", {"dtype": "float32"}, ["tile=128,100"]),
]


@pytest.mark.parametrize("compression", ["raw", "zstd1"])
@pytest.mark.parametrize("case, settings, words", CZI, ids=[c[0] for c in CZI])
def test_czi_is_read_by_others(tmp_path, case, settings, words, compression):
    phantom = name(**settings)
    dtype = {"uint8": "<u1", "float32": "<f4"}.get(settings.get("dtype"), "<u2")
    want = pixels(phantom, dtype=dtype)
    if case == "overlap_wide":
        words = ["tile=256,256", "overlap=255"]
        phantom = name(t=1, c=1, z=1, y=264, x=270, **settings)
        want = pixels(phantom, (1, 1, 1, 264, 270))
    path = make(phantom, tmp_path / "a.czi", *words, f"compression={compression}")
    assert np.array_equal(by_czifile(path, dtype), want)
    assert np.array_equal(by_libczi(path, want.shape), want)


def test_overlapping_tiles_agree(tmp_path):
    path = make(name(), tmp_path / "a.czi", "tile=128,100", "overlap=20")
    want = pixels(name())
    with czifile.CziFile(path) as f:
        seen = set()
        for entry in f.filtered_subblock_directory:
            at = {d.dimension: d.start for d in entry.dimension_entries}
            tile = entry.data_segment().data(resize=False).squeeze()
            assert np.array_equal(tile, want[at["T"], at["C"], at["Z"], at["Y"]:at["Y"] + tile.shape[0], at["X"]:at["X"] + tile.shape[1]])
            seen.add((at["T"], at["C"], at["Z"], at["M"]))
    assert len(seen) == 2 * 2 * 3 * 3 * 5


def test_czi_says_what_it_holds(tmp_path):
    path = make(name(origin="-20,35", pixel="0.29,0.1,0.2", interval="2.5"), tmp_path / "a.czi", "tile=128,100")
    with pyczi.open_czi(path) as f:
        box = f.total_bounding_rectangle
        assert (box.x, box.y, box.w, box.h) == (35, -20, 410, 300)
        meta = f.metadata["ImageDocument"]["Metadata"]
    scaling = {d["@Id"]: float(d["Value"]) for d in meta["Scaling"]["Items"]["Distance"]}
    assert scaling == pytest.approx({"X": 0.2e-6, "Y": 0.1e-6, "Z": 0.29e-6})
    image = meta["Information"]["Image"]
    assert [int(image["Size" + a]) for a in "TCZYX"] == [2, 2, 3, 300, 410]
    assert [c["@Name"] for c in image["Dimensions"]["Channels"]["Channel"]] == ["Filaments", "Nuclei"]
    assert float(image["Dimensions"]["T"]["Positions"]["Interval"]["Increment"]) == 2.5


def test_scenes(tmp_path):
    phantom = name(t=1, c=2, z=2, y=100, x=130, scenes=3)
    path = make(phantom, tmp_path / "a.czi", "tile=64,64", "overlap=8", "compression=zstd1")
    shape = (1, 2, 2, 100, 130)
    seen = [by_libczi(path, shape, scene) for scene in range(3)]
    for scene in range(3):
        assert np.array_equal(seen[scene], pixels(phantom, shape, image=scene))
    assert not np.array_equal(seen[0], seen[1])
    make(phantom, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as f:
        assert len(f.series) == 3
        for scene in range(3):
            assert np.array_equal(f.series[scene].asarray().reshape(shape), seen[scene])


def test_regions_on_many_threads(tmp_path):
    for phantom in (name(), name(c=6).replace("phantom:", "phantom-truth:")):
        assert subprocess.run([tool(), "regions", phantom, "0"], timeout=120).returncode == 0


def test_same_seed_same_bytes(tmp_path):
    a = make(name(seed=3), tmp_path / "a.czi", "tile=128,100", "compression=zstd1", "threads=1")
    b = make(name(seed=3), tmp_path / "b.czi", "tile=128,100", "compression=zstd1", "threads=4")
    c = make(name(seed=4), tmp_path / "c.czi", "tile=128,100", "compression=zstd1")
    assert open(a, "rb").read() == open(b, "rb").read() != open(c, "rb").read()


@pytest.mark.parametrize("settings, dtype", [({}, "<u2"), ({"dtype": "float32"}, "<f4"), ({"dtype": "uint8", "noise": "0.3,2", "background": 5}, "<u1")],
                         ids=["uint16", "float32", "uint8"])
@pytest.mark.parametrize("words", [["compression=raw"], ["compression=deflate", "tile=64,128", "threads=2"], ["tile=16,16"]], ids=["raw", "deflate", "small"])
def test_tiff_is_read_by_others(tmp_path, settings, dtype, words):
    path = make(name(**settings), tmp_path / "a.tif", *words)
    want = pixels(name(**settings), dtype=dtype)
    with tifffile.TiffFile(path) as f:
        assert f.is_ome and f.is_bigtiff and len(f.pages) == 12
        assert f.series[0].axes == "TCZYX"
        assert np.array_equal(f.series[0].asarray(), want)
        pixel = tifffile.xml2dict(f.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixel["PhysicalSize" + a] for a in "ZYX"] == [0.3, 0.1, 0.1]


def test_many_directories(tmp_path):
    path = make(name(t=1000, c=1, z=3, y=16, x=16), tmp_path / "a.tif")
    with tifffile.TiffFile(path) as f:
        assert len(f.pages) == 3000
        assert f.pages[2999].asarray().shape == (16, 16)


@pytest.mark.parametrize("out, words, text", [
    ("a.png", [], "must end in .czi"),
    ("a.czi", ["compression=deflate"], "CZI knows no deflate"),
    ("a.tif", ["compression=zstd1"], "belongs to CZI"),
    ("a.tif", ["tile=100,100"], "multiples of 16"),
    ("a.tif", ["overlap=3"], "multiples of 16 without overlap"),
    ("a.czi", ["tile=30,30", "overlap=30"], "must be smaller than a tile"),
    ("a.czi", ["compression=lzw"], "must be raw, zstd1"),
    ("no/such/folder/a.czi", [], "No such file"),
])
def test_wrong_wishes_are_refused(tmp_path, out, words, text):
    done = write(name(), tmp_path / out, *words)
    assert done.returncode > 10 and text in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("out", ["a.czi", "a.tif"])
@pytest.mark.parametrize("limit", [3000, 300000, 1600000])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, out, limit):
    """A limit on the file's size stands in for the full disk. An older file under the name stays."""
    (tmp_path / out).write_bytes(b"older")
    done = write(name(), tmp_path / out, restore_signals=False,
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 10 + 2, done.stderr
    assert "cannot write" in done.stderr and "too large" in done.stderr
    assert os.listdir(tmp_path) == [out]
    assert (tmp_path / out).read_bytes() == b"older"
