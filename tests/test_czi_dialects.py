# SPDX-License-Identifier: MIT
"""What CZI files of the field say in their own way: clocks, channels by Id, entries without a size, sets with a part missing, streamed cameras.
Made files, compared with numpy, czifile and pylibCZIrw."""
import czi_pack
import czifile
import numpy as np
import pytest
import zarr
from pylibCZIrw import czi as pyczi

FEW = ("--memory", "200M", "--threads", "1")


def plane(seed=1, shape=(40, 64), dtype="u2"):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def image(cli, path, *words):
    return cli.json("info", path, *words)["images"][0]


def converted(cli, path, out, *words):
    cli.ok("convert", path, out, "--quiet", *FEW, *words)
    return np.asarray(zarr.open_group(str(out), mode="r")["0"])


# ---- clocks ----------------------------------------------------------------------------------------------------

DAY = 45991.4  # 2025-12-01 by the clock that counts days since the end of 1899
DATE = "<AcquisitionDateAndTime>2025-12-01T09:36:00Z</AcquisitionDateAndTime>"
EVERY = "<Dimensions><T><Positions><Interval><Increment>{}</Increment></Interval></Positions></T></Dimensions>"
TRACKS = np.ravel([[100 + 60 * k, 110 + 60 * k] for k in range(5)])


@pytest.mark.parametrize("frames, stamps, xml, want", [
    (61, 9000 + np.arange(61.0), EVERY.format(1), 1),
    (61, 25000 + np.arange(61.0), EVERY.format(1), 1),
    (61, 25000 + np.arange(61.0), DATE, 1),
    (5, DAY + np.arange(5) * 30 / 86400, DATE, 30),
    (5, DAY + np.arange(5) * 30 / 86400, EVERY.format(30), 30),
    (5, DAY + np.arange(5) * 30 / 86400, DATE + EVERY.format(0), 30),
    (5, DAY + np.arange(5) * 30 / 86400, "", 30),
    (5, 25000 + np.arange(5) * 30.0, "", 30),
    (5, 45000 + np.arange(5) * 0.2, "", None),  # a fifth of a second, or of a day: nothing tells
    (5, TRACKS, "", 60),
    (5, np.append(TRACKS, np.zeros(30)), "", 60),
    (5, np.append(100 + 7.0 * np.arange(5), np.zeros(3)), "", 7),
    (5, 100 + 7.0 * np.arange(7), "", None),
    (5, 100 + 7.0 * np.arange(7), EVERY.format(9), 9),
    (5, 100 + 7.0 * np.arange(3), EVERY.format(9), 9),
    (5, [0, np.nan, 1, 2, np.inf], EVERY.format(9), 9),
    (5, [5, 4, 3, 2, 1], "", None),
])
def test_the_frame_interval(cli, tmp_path, frames, stamps, xml, want):
    path = tmp_path / "x.czi"
    czi_pack.pack(path, [czi_pack.tile(plane(), T=k, C=0) for k in range(frames)], czi_pack.xml(xml), stamps)
    got = image(cli, path)["pixel_size"]["t_s"]
    assert (got is None) == (want is None) and (want is None or abs(got - want) < 1e-3 * want), got


# ---- channels --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("starts, ids, want", [
    ([1], {1: "GFP"}, ["GFP"]),                                  # a subset keeps its Id
    ([0, 1], {1: "GFP", 0: "DAPI"}, ["DAPI", "GFP"]),            # in another order than that of the Ids
    ([0, 1], {1: "DAPI", 2: "GFP"}, ["DAPI", "GFP"]),            # counted from 1: by place
    ([0, 1], {1389000: "DAPI", 1389001: "GFP"}, ["DAPI", "GFP"]),  # of an LSM file: by place
    ([3], {}, ["C3"]),
])
def test_channels_are_known_by_their_id(cli, tmp_path, starts, ids, want):
    path = tmp_path / "x.czi"
    words = "".join(f'<Channel Id="Channel:{k}" Name="{name}"/>' for k, name in ids.items())
    czi_pack.pack(path, [czi_pack.tile(plane(), C=c) for c in starts], czi_pack.xml(f"<Dimensions><Channels>{words}</Channels></Dimensions>"))
    assert [c["name"] for c in image(cli, path)["channels"]] == want


@pytest.mark.parametrize("pixels, want", [(plane(shape=(40, 64, 3), dtype="u1"), "bgr"), (plane(shape=(40, 64, 4), dtype="u1"), "bgra"), (plane(), None)])
def test_the_order_of_samples(cli, tmp_path, pixels, want):
    czi_pack.pack(tmp_path / "x.czi", [czi_pack.tile(pixels)])
    assert image(cli, tmp_path / "x.czi")["sample_order"] == want


@pytest.mark.parametrize("gray_first", [False, True])
def test_gray_beside_colour_is_one_channel(cli, tmp_path, gray_first):
    path = tmp_path / "x.czi"
    colour, gray = [plane(k, (40, 64, 3), "u1") for k in (1, 2)], [plane(k) for k in (3, 4)]
    c, g = (1, 0) if gray_first else (0, 1)
    words = "".join(f'<Channel Id="Channel:{k}" Name="{n}"/>' for k, n in ((c, "colour"), (g, "gray")))
    czi_pack.pack(path, [czi_pack.tile(p, C=k, T=t) for k, planes in ((c, colour), (g, gray)) for t, p in enumerate(planes)],
                  czi_pack.xml(f"<Dimensions><Channels>{words}</Channels></Dimensions>"))
    info = image(cli, path)
    names = ["colour R", "colour G", "colour B"]
    assert [x["name"] for x in info["channels"]] == (["gray", *names] if gray_first else [*names, "gray"])
    assert info["sample_order"] is None and info["notes"][0]["kind"] == "mixed types"
    want = np.stack([np.concatenate([[g], np.moveaxis(c[..., ::-1], -1, 0)] if gray_first else [np.moveaxis(c[..., ::-1], -1, 0), [g]])
                     for c, g in zip(colour, gray)])
    got = converted(cli, path, tmp_path / "out.ome.zarr")[:, :, 0]
    assert got.dtype == np.uint16 and np.array_equal(got, want)
    one = converted(cli, path, tmp_path / "one.ome.zarr", "--channel", "1:3")[:, :, 0]
    assert np.array_equal(one, want[:, 1:3])
    with pyczi.open_czi(str(path)) as other:
        assert np.array_equal(other.read(plane={"C": g, "T": 1})[..., 0], got[1, 0 if gray_first else 3])


def test_a_gray_tile_in_a_colour_channel(cli, tmp_path):
    path, colour, gray, alone = tmp_path / "x.czi", plane(1, (40, 64, 3), "u1"), plane(2, dtype="u1"), plane(3, dtype="u1")
    czi_pack.pack(path, [czi_pack.tile(colour, C=0, T=0), czi_pack.tile(gray, C=0, T=1), czi_pack.tile(alone, C=1, T=0), czi_pack.tile(alone, C=1, T=1)])
    got = converted(cli, path, tmp_path / "out.ome.zarr")[:, :, 0]
    want = np.stack([[*np.moveaxis(colour[..., ::-1], -1, 0), alone], [gray, gray, gray, alone]])
    assert np.array_equal(got, want)


# ---- entries and parts -----------------------------------------------------------------------------------------

def test_an_entry_without_a_size_is_left_out(cli, tmp_path):
    path, planes = tmp_path / "x.czi", [plane(k) for k in range(3)]
    tiles = [czi_pack.tile(p, Z=z, C=0) for z, p in enumerate(planes)]
    tiles.append(czi_pack.tile(plane(9), Z=1, C=0))
    tiles[3]["dims"] = [("X", 0, 0, 0), *tiles[3]["dims"][1:]]
    czi_pack.pack(path, tiles)
    notes = image(cli, path)["notes"]
    assert [(n["kind"], n["count"], n["harmless"]) for n in notes] == [("left out", 1, False)]
    got = converted(cli, path, tmp_path / "out.ome.zarr")[0, 0]
    with pyczi.open_czi(str(path)) as other:
        for z, p in enumerate(planes):
            assert np.array_equal(got[z], p) and np.array_equal(other.read(plane={"Z": z, "C": 0}, roi=(0, 0, 64, 40))[..., 0], p)


def test_an_entry_with_a_negative_size(cli, tmp_path):
    path, planes = tmp_path / "x.czi", [plane(k) for k in range(3)]
    tiles = [czi_pack.tile(p, Z=z) for z, p in enumerate(planes)]
    tiles[1]["dims"] = [("X", 0, -64, -64), *tiles[1]["dims"][1:]]
    czi_pack.pack(path, tiles)
    assert "X from 0 has size -64" in cli.fails(3, "info", path)
    got = converted(cli, path, tmp_path / "out.ome.zarr", "--damaged", "zero")[0, 0]
    assert np.array_equal(got, np.stack([planes[0], 0 * planes[1], planes[2]]))
    assert {"left out", "missing"} == {n["kind"] for n in image(cli, path, "--damaged", "zero")["notes"]}


def test_a_missing_part_is_named(cli, tmp_path):
    path = tmp_path / "set.czi"
    tiles = [czi_pack.tile(plane(z), Z=z) for z in range(2)]
    tiles[1]["part"] = 2
    czi_pack.pack(path, tiles)
    names = 'set(2).czi and "set (2).czi"'
    assert names in image(cli, path)["notes"][0]["text"]
    assert names in cli.fails(3, "checksum", path, "--quiet")
    assert names in cli.fails(3, "checksum", path, "--quiet", "--damaged", "zero")  # nothing is damaged: it is not here


# ---- streamed cameras ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", ["y=16,x=16", "y=64,x=32"])
def test_streamed_tiles_turned(cli, tmp_path, size):
    path, a, b = tmp_path / "x.czi", plane(1), plane(2)
    czi_pack.pack(path, [czi_pack.tile(a, comp=1001, C=0, M=0), czi_pack.tile(b, X=50, Y=30, comp=1001, C=0, M=1)])
    want = np.zeros((70, 114), "u2")
    want[:40, :64] = a
    want[30:, 50:] = b
    plain = converted(cli, path, tmp_path / "a.ome.zarr", "--block", size, "--chunk", "y=16,x=16")[0, 0, 0]
    turned = converted(cli, path, tmp_path / "b.ome.zarr", "--flip-streamed", "--block", size, "--chunk", "y=16,x=16")[0, 0, 0]
    assert np.array_equal(plain, want)
    want[:40, :64] = a[::-1]
    want[30:, 50:] = b[::-1]
    assert np.array_equal(turned, want)
    assert "--flip-streamed" in image(cli, path)["notes"][0]["text"]
    assert [(n["kind"], n["harmless"]) for n in image(cli, path, "--flip-streamed")["notes"]] == [("converted", True)]
    assert "streamed flipped" in cli.fails(2, "convert", path, tmp_path / "a.ome.zarr", "--flip-streamed", *FEW)


def test_whole_planes_turned(cli, tmp_path):
    """Wide rows are read without a detour."""
    path, a = tmp_path / "x.czi", plane(3, (33, 9000))
    czi_pack.pack(path, [czi_pack.tile(a, comp=1001)])
    assert np.array_equal(converted(cli, path, tmp_path / "a.ome.zarr", "--flip-streamed")[0, 0, 0], a[::-1])
    czi_pack.pack(tmp_path / "raw.czi", [czi_pack.tile(a)])  # others stay as they are
    assert np.array_equal(converted(cli, tmp_path / "raw.czi", tmp_path / "b.ome.zarr", "--flip-streamed")[0, 0, 0], a)


@pytest.mark.parametrize("number", [104, 504, 999])
def test_packed_cameras_are_refused_with_a_way_out(cli, tmp_path, number):
    path = tmp_path / "x.czi"
    czi_pack.pack(path, [czi_pack.tile(plane(), comp=number, payload=bytes(40 * 64 * 3 // 2))])
    assert image(cli, path)["compression"] == f"camera {number}"
    for words in ((), ("--damaged", "zero")):
        said = cli.fails(3, "checksum", path, "--quiet", *words)
        assert f"compression {number}" in said and "save the file once in ZEN" in said


# ---- line scans ------------------------------------------------------------------------------------------------

def series(n, shape, seed=4):
    return np.random.default_rng(seed).integers(0, 4000, (n, *shape)).astype("u2")


@pytest.mark.parametrize("axis", "TZ")
@pytest.mark.parametrize("shape", [(1, 128), (24, 40)], ids=["lines", "planes"])
def test_a_series_in_each_tile(cli, tmp_path, axis, shape):
    """Lines in three tiles, the last of them shorter."""
    path, want = tmp_path / "x.czi", series(250, shape)
    parts = [(0, 100), (100, 100), (200, 50)]
    czi_pack.pack(path, [czi_pack.tile(want[0], payload=want[a:a + n].tobytes(), C=0, **{axis: (a, n)}) for a, n in parts])
    info = image(cli, path)
    assert list(info["shape"].values()) == ([250, 1, 1] if axis == "T" else [1, 1, 250]) + list(shape) and info["notes"] == []
    got = converted(cli, path, tmp_path / "out.ome.zarr").reshape(want.shape)
    assert np.array_equal(got, want)
    with czifile.CziFile(str(path)) as f:
        assert np.array_equal(got, f.asarray().reshape(want.shape))
    again = converted(cli, path, tmp_path / "part.ome.zarr", "--time" if axis == "T" else "--z", "190:205").reshape(15, *shape)
    assert np.array_equal(again, want[190:205])


def test_series_beside_tiles_and_in_channels(cli, tmp_path):
    path, want = tmp_path / "x.czi", series(16, (20, 30))
    czi_pack.pack(path, [czi_pack.tile(want[0], payload=want[:8].tobytes(), C=0, T=(0, 8)), czi_pack.tile(want[0], payload=want[8:].tobytes(), C=1, T=(0, 8)),
                         czi_pack.tile(want[3], C=0, T=8)])
    got = converted(cli, path, tmp_path / "out.ome.zarr")[:, :, 0]
    assert np.array_equal(got[:8, 0], want[:8]) and np.array_equal(got[:8, 1], want[8:]) and np.array_equal(got[8, 0], want[3]) and not got[8, 1].any()
    assert [n["count"] for n in image(cli, path)["notes"] if n["kind"] == "missing"] == [1]


@pytest.mark.parametrize("change", ["short", "huge", "first", "two", "compressed", "channel"])
def test_series_that_are_not_sure_are_refused(cli, tmp_path, change):
    """And nothing is said to be missing."""
    path, want = tmp_path / "x.czi", series(8, (20, 30))
    t = czi_pack.tile(want[0], payload=want.tobytes(), C=0, T=(0, 8), comp=5 if change == "compressed" else 0)
    if change == "short":
        t["data"] = t["data"][:-2]
    elif change == "huge":
        t["dims"] = [("T", 0, 1 << 30, 1 << 30) if d[0] == "T" else d for d in t["dims"]]
    elif change == "first":
        t["dims"] = sorted(t["dims"], key=lambda d: d[0] != "T")
    elif change == "two":
        t["dims"].append(("Z", 0, 2, 2))
    elif change == "channel":
        t["dims"] = [("H", 0, 8, 8) if d[0] == "T" else d for d in t["dims"]]
    czi_pack.pack(path, [t, czi_pack.tile(want[0], C=0, T=200)])
    notes = image(cli, path)["notes"]
    assert [n["kind"] for n in notes] == ["unreadable"] and "whole stack or time series" in notes[0]["text"]
    assert "whole series along" in cli.fails(3, "checksum", path, "--quiet")
