# SPDX-License-Identifier: MIT
"""The kinds of Zarr that people have: arrays with an axis of positions, plates, every data type, codec and fill value that
zarr-python makes; each read by the program and compared with what zarr-python itself reads."""
import json
import os
import resource
import shutil
import time
import zlib

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
from zarr.codecs import (BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec,  # noqa: E402
                         ZstdCodec)

RNG = np.random.default_rng(5)


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def save(path, document):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)


def crc(pixels):
    """As `pellucid checksum` counts it: little-endian pixels in C order."""
    pixels = np.ascontiguousarray(pixels)
    return zlib.crc32(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


def checksums(cli, path, *words, **options):
    return [int(i["crc32"], 16) for i in cli.json("checksum", path, *words, **options)["images"]]


def pixels(shape, dtype="uint16"):
    """Values that use the whole range of the type, with runs that compress."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return RNG.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        v = RNG.normal(0, 100, shape).astype(dtype)
        v.flat[:6] = [np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
        return v
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    v = RNG.integers(low, high, shape, dtype=dtype, endpoint=True)
    v[..., : shape[-1] // 2] //= dtype.type(16)
    return v


# ---- an axis of positions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["pczyx", "ptczyx", "tpcyx", "pyx", "zpyx"])
def test_positions_are_images(cli, tmp_path, version, axes):
    sizes = dict(p=3, t=2, c=2, z=4, y=21, x=33)
    shape = tuple(sizes[a] for a in axes)
    data = pixels(shape)
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=shape, chunks=tuple(min(n, 8) if a != "p" else 1 for a, n in zip(axes, shape)), dtype="uint16",
                      zarr_format=version)[...] = data
    info = cli.json("info", path, "--axes", axes)["images"]
    assert [i["shape"] for i in info] == [{a: (sizes[a] if a in axes else 1) for a in "tczyx"}] * 3
    inner = [a for a in axes if a != "p"]
    order = [inner.index(a) for a in "tczyx" if a in inner]
    want = [crc(np.take(data, p, axes.index("p")).transpose(order)) for p in range(3)]
    assert checksums(cli, path, "--axes", axes) == want
    assert len(set(want)) == 3
    assert checksums(cli, path, "--axes", axes, "--position", "1") == want[1:2]


def test_positions_become_a_collection(cli, tmp_path):
    data = pixels((3, 2, 5, 40, 50))
    path, out = str(tmp_path / "a.zarr"), str(tmp_path / "out.ome.zarr")
    zarr.create_array(path, shape=data.shape, chunks=(1, 1, 4, 16, 16), dtype="uint16", zarr_format=2)[...] = data
    words = ("convert", path, out, "--axes", "pczyx", "--pixel-size", "z=1,y=0.5,x=0.25", "--channel", "1", "--quiet")
    cli.ok(*words)
    root = load(f"{out}/zarr.json")["attributes"]["ome"]
    assert root["bioformats2raw.layout"] == 3 and load(f"{out}/OME/zarr.json")["attributes"]["ome"]["series"] == ["0", "1", "2"]
    group = zarr.open_group(out, mode="r")
    for p in range(3):
        assert np.array_equal(group[f"{p}/0"][0, 0], data[p, 1])
        scale = group[str(p)].attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
        assert scale == [1, 1, 1, 0.5, 0.25]
    reader, io = pytest.importorskip("ome_zarr.reader"), pytest.importorskip("ome_zarr.io")
    for p in range(3):  # ome-zarr-py knows images, no collections: each opens by its path
        image = list(reader.Reader(io.parse_url(f"{out}/{p}"))())[0]
        assert {type(s).__name__ for s in image.specs} == {"Multiscales", "OMERO"}
        assert image.metadata["name"] == f"a.zarr {p}" and np.array_equal(np.asarray(image.data[0])[0, 0], data[p, 1])
    cli.ok(*words)  # the same again: goes on
    assert "pixel size" in cli.fails(2, *[w.replace("0.25", "0.5") for w in words])
    assert cli.json("verify", out, "--windows", "4")["different"] == 0
    plan = load(f"{out}.run/plan.json")
    assert plan["input"]["axes"] == "pczyx" and plan["input"]["pixel_size"] == "z=1,y=0.5,x=0.25"


@pytest.mark.parametrize("named", [False, True])
def test_the_course_array_opens_at_once(cli, tmp_path, named):
    """840 positions x 3 x 413 x 2048 x 2048, 8.7 TB of which one chunk is there."""
    path = str(tmp_path / "a.zarr")
    a = zarr.create_array(path, shape=(840, 3, 413, 2048, 2048), chunks=(1, 1, 1, 256, 256), dtype="uint16", zarr_format=3,
                          dimension_names=["position", "c", "z", "y", "x"] if named else None)
    a[839, 2, 412, 1792:, 1792:] = 7
    words = [] if named else ["--axes", "pczyx"]
    begin = time.monotonic()
    info = cli.json("info", path, *words)["images"]
    assert time.monotonic() - begin < 20  # it takes 0.1 s; a scan of the chunks would take hours
    assert len(info) == 840 and info[839]["shape"] == dict(t=1, c=3, z=413, y=2048, x=2048)
    part = ("--position", "839", "--channel", "2", "--z", "412", "--y", "1700:", "--x", "1700:")
    want = np.zeros((348, 348), "uint16")
    want[92:, 92:] = 7
    assert checksums(cli, path, *words, *part) == [crc(want)]


@pytest.mark.parametrize("axes,said", [("ppzyx", "two axes"), ("pczy", "5 axes"), ("pczyq", "letters of"), ("pczyy", "two axes"),
                                       ("pczxt", "no axes y and x")])
def test_axes_that_cannot_be(cli, tmp_path, axes, said):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=(2, 2, 2, 8, 8), chunks=(1, 1, 1, 8, 8), dtype="uint8")
    done = cli("info", path, "--axes", axes)
    assert done.returncode in (2, 3) and said in done.stderr


def test_six_axes_need_names(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=(2, 1, 2, 2, 8, 8), chunks=(1, 1, 1, 1, 8, 8), dtype="uint8")
    assert "ptczyx" in cli.fails(3, "info", path)


# ---- pixel sizes -----------------------------------------------------------------------------------------------------


def test_pixel_sizes_for_any_source(cli):
    image = "phantom:t=2,c=1,z=3,y=40,x=50"
    sizes = cli.json("info", image, "--pixel-size", "x=0.125,t=2.5")["images"][0]["pixel_size"]
    file = cli.json("info", image)["images"][0]["pixel_size"]
    assert sizes == {**file, "x_um": 0.125, "t_s": 2.5}


@pytest.mark.parametrize("text", ["", "x", "x=", "x=0", "x=-1", "c=1", "x=1,x=2", "x=1;y=2", "x=nan", "x=1,", "xy=1"])
def test_pixel_sizes_that_cannot_be(cli, text):
    assert "pixel size" in cli.fails(2, "info", "phantom:y=40,x=50", "--pixel-size", text)


# ---- data types, codecs, orders, fill values -------------------------------------------------------------------------

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
SHAPE, CHUNKS = (3, 19, 37), (2, 8, 16)


def as_read(data):
    """What pellucid makes of it: bool as uint8, float16 as float32."""
    return data.astype({"bool": "uint8", "float16": "float32"}.get(data.dtype.name, data.dtype))


def expect(cli, path, data):
    info = cli.json("info", path)["images"][0]
    assert info["dtype"] == as_read(data).dtype.name
    assert checksums(cli, path) == [crc(as_read(data))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("big", [False, True])
def test_v2_types(cli, tmp_path, dtype, order, big):
    data = pixels(SHAPE, dtype)
    path = str(tmp_path / "a.zarr")
    kind = np.dtype(dtype).newbyteorder(">" if big else "<")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=kind, zarr_format=2, order=order,
                      compressors=numcodecs.Zstd(1), chunk_key_encoding={"name": "v2", "separator": "/" if big else "."})[...] = data
    assert load(f"{path}/.zarray")["order"] == order
    expect(cli, path, data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["little", "big", "sharded"])
def test_v3_types(cli, tmp_path, dtype, kind):
    data = pixels(SHAPE, dtype)
    path = str(tmp_path / "a.zarr")
    inner = [TransposeCodec(order=(2, 0, 1)), BytesCodec(endian="big" if kind == "big" else "little"), ZstdCodec(level=1)]
    codecs = [ShardingCodec(chunk_shape=CHUNKS, codecs=inner, index_location="start")] if kind == "sharded" else inner
    chunks = (4, 16, 32) if kind == "sharded" else CHUNKS
    a = zarr.create(store=path, shape=SHAPE, chunks=chunks, dtype=dtype, zarr_format=3, codecs=codecs)
    a[...] = data
    expect(cli, path, data)


V2_CODECS = {
    "none": dict(compressor=None),
    **{f"blosc-{c}-{s}": dict(compressor=numcodecs.Blosc(cname=c, shuffle=s)) for c in ("lz4", "zstd", "blosclz", "zlib", "lz4hc")
       for s in (0, 1, 2, -1)},
    "zstd": dict(compressor=numcodecs.Zstd(3)), "gzip": dict(compressor=numcodecs.GZip(3)), "zlib": dict(compressor=numcodecs.Zlib(3)),
    "lz4": dict(compressor=numcodecs.LZ4()),
    "delta": dict(compressor=numcodecs.Zstd(3), filters=[numcodecs.Delta(dtype="<u2")]),
    "shuffle": dict(compressor=numcodecs.Zstd(3), filters=[numcodecs.Shuffle(elementsize=2)]),
    "delta-shuffle": dict(compressor=None, filters=[numcodecs.Delta(dtype="<u2"), numcodecs.Shuffle(elementsize=2)]),
}


@pytest.mark.parametrize("name", V2_CODECS)
def test_v2_codecs(cli, tmp_path, name):
    data = pixels(SHAPE)
    path = str(tmp_path / "a.zarr")
    zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype="<u2", zarr_format=2, **V2_CODECS[name])[...] = data
    expect(cli, path, data)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", ">i4", ">u2", "|i1"])
def test_v2_delta_of_other_types(cli, tmp_path, dtype):
    data = (pixels(SHAPE, "int8").astype(dtype) / 4).astype(dtype)
    path = str(tmp_path / "a.zarr")
    a = zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, compressor=None,
                    filters=[numcodecs.Delta(dtype=dtype)])
    a[...] = data
    expect(cli, path, np.asarray(a[...]))


V3_CODECS = {
    "none": [], "zstd": [ZstdCodec(level=3)], "zstd-checksum": [ZstdCodec(level=3, checksum=True)], "gzip": [GzipCodec(level=3)],
    "crc": [Crc32cCodec()], "gzip-crc": [GzipCodec(level=1), Crc32cCodec()],
    **{f"blosc-{c}-{s}": [BloscCodec(cname=c, shuffle=s, typesize=2)] for c in ("lz4", "zstd", "blosclz", "zlib", "lz4hc")
       for s in ("noshuffle", "shuffle", "bitshuffle")},
}


@pytest.mark.parametrize("name", V3_CODECS)
@pytest.mark.parametrize("layout", ["plain", "end", "start", "nested"])
def test_v3_codecs(cli, tmp_path, name, layout):
    data = pixels(SHAPE)
    path = str(tmp_path / "a.zarr")
    codecs = [BytesCodec(endian="little"), *V3_CODECS[name]]
    chunks = CHUNKS
    if layout != "plain":
        codecs, chunks = [ShardingCodec(chunk_shape=CHUNKS, codecs=codecs, index_location="end" if layout == "nested" else layout)], (2, 16, 32)
    if layout == "nested":
        codecs, chunks = [ShardingCodec(chunk_shape=chunks, codecs=codecs, index_location="start")], (2, 32, 64)
    zarr.create(store=path, shape=SHAPE, chunks=chunks, dtype="uint16", zarr_format=3, codecs=codecs)[...] = data
    expect(cli, path, data)


FILLS = [("uint16", 7), ("int8", -128), ("uint64", 2 ** 64 - 1), ("int64", -2 ** 63), ("float32", 0.1), ("float32", float("nan")),
         ("float64", float("-inf")), ("float16", 0.1), ("float16", float("inf")), ("float16", 1e-7), ("float16", 65520.0 - 17),
         ("bool", True), ("float32", -0.0)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype,fill", FILLS)
def test_fill_values(cli, tmp_path, version, dtype, fill):
    path = str(tmp_path / "a.zarr")
    a = zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, fill_value=fill, zarr_format=version)
    a[0, :8, :16] = 1
    expect(cli, path, np.asarray(a[...]))


@pytest.mark.parametrize("dtype,fill,value", [("float16", "0x7e00", np.nan), ("float16", "0x3c00", 1), ("float16", "0x8001", -2.0 ** -24),
                                              ("float32", "0x7fc00000", np.nan), ("float64", "0x3ff8000000000000", 1.5)])
def test_fill_values_as_bits(cli, tmp_path, dtype, fill, value):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, fill_value=0)
    document = load(f"{path}/zarr.json")
    save(f"{path}/zarr.json", {**document, "fill_value": fill})
    expect(cli, path, np.full(SHAPE, value, dtype))


@pytest.mark.parametrize("name,made", [
    ("complex64", dict(dtype="complex64")), ("<c8", dict(dtype="complex64", zarr_format=2)), ("<M8", dict(dtype="datetime64[s]", zarr_format=2)),
    ("packbits", dict(dtype="bool", zarr_format=2, filters=[numcodecs.PackBits()])),
    ("jenkins_lookup3", dict(dtype="u2", zarr_format=2, compressor=None, filters=[numcodecs.JenkinsLookup3()])),
])
def test_refused_by_name(cli, tmp_path, name, made):
    path = str(tmp_path / "a.zarr")
    zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, **made)
    assert name in cli.fails(3, "info", path)


def v3_array(path, **members):
    """A v3 array of SHAPE and its document with other members."""
    data = pixels(SHAPE)
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype="uint16", fill_value=0)[...] = data
    save(f"{path}/zarr.json", {**load(f"{path}/zarr.json"), **members})
    return data


@pytest.mark.parametrize("members", [
    dict(data_type={"name": "uint16"}), dict(data_type={"name": "uint16", "configuration": {}}), dict(chunk_key_encoding="default"),
    dict(storage_transformers=[], consolidated_metadata=None, dimension_names=None), dict(seal={"must_understand": False})])
def test_v3_in_other_words(cli, tmp_path, members):
    path = str(tmp_path / "a.zarr")
    expect(cli, path, v3_array(path, **members))


@pytest.mark.parametrize("name,members", [
    ("numpy.datetime64", dict(data_type={"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}})),
    ("struct", dict(data_type={"name": "struct", "configuration": {"fields": []}})),
    ("uint16", dict(data_type={"name": "uint16", "configuration": {"sign": "maybe"}})), ("r16", dict(data_type="r16")),
    ("indirection", dict(storage_transformers=[{"name": "indirection"}])), ("seal", dict(seal=True)), ("seal", dict(seal={"must_understand": True})),
    ("rectilinear", dict(chunk_grid={"name": "rectilinear"})), ("suffix", dict(chunk_key_encoding={"name": "suffix"})),
    ("numcodecs.pcodec", dict(codecs=["bytes", "numcodecs.pcodec"], data_type="uint8")),
    ("numcodecs.packbits", dict(codecs=[{"name": "numcodecs.packbits"}, {"name": "bytes"}], data_type="bool", fill_value=False))])
def test_v3_refused_by_name(cli, tmp_path, name, members):
    path = str(tmp_path / "a.zarr")
    v3_array(path, **members)
    assert f'"{name}"' in cli.fails(3, "info", path)


@pytest.mark.parametrize("member,code", [(1, 3), ({"must_understand": True}, 3), ({"must_understand": False}, 0), (None, 3)])
def test_members_of_a_group(cli, tmp_path, member, code):
    path = str(tmp_path / "a.zarr")
    cli.ok("convert", "phantom:y=60,x=61", path, "--quiet")
    save(f"{path}/zarr.json", {**load(f"{path}/zarr.json"), "seal": member})
    done = cli("info", path)
    assert done.returncode == code and ('"seal"' in done.stderr) == (code > 0)


@pytest.mark.parametrize("fill", [2, -1, "true", 0.5])
def test_bool_has_two_values(cli, tmp_path, fill):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype="bool", zarr_format=2)
    save(f"{path}/.zarray", {**load(f"{path}/.zarray"), "fill_value": fill})
    assert "bool" in cli.fails(3, "info", path)


@pytest.mark.parametrize("there", [(0, 0, 0), (1, 1, 1), (2, 2, 3)], ids=str)
def test_a_separator_that_nobody_wrote_down(cli, tmp_path, there):
    """Nested chunks of which all but one are absent, as writers of OME-Zarr 0.2 left them."""
    data = np.zeros((6, 24, 64), "uint16")
    data[tuple(slice(i * n, i * n + n) for i, n in zip(there, (2, 8, 16)))] = 7
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=data.shape, chunks=(2, 8, 16), dtype="uint16", zarr_format=2, fill_value=0,
                      chunk_key_encoding={"name": "v2", "separator": "/"})[...] = data
    document = load(f"{path}/.zarray")
    del document["dimension_separator"]
    save(f"{path}/.zarray", document)
    expect(cli, path, data)


@pytest.mark.parametrize("kind", ["v2", "v3", "v2 keys in v3", "sharded"])
@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("there", [None, (1, 2, 1), (2, 2, 3)], ids=str)
def test_a_separator_that_is_recorded_wrongly(cli, tmp_path, kind, separator, there):
    """Chunks with one separator, metadata with the other (zarr-python reads zeros); all chunks, or but one."""
    data = pixels((6, 24, 64)) if there is None else np.zeros((6, 24, 64), "uint16")
    if there:
        data[tuple(slice(i * n, i * n + n) for i, n in zip(there, (2, 8, 16)))] = 7
    path = str(tmp_path / "a.zarr")
    keys = {"name": "default" if kind in ("v3", "sharded") else "v2", "separator": separator}
    zarr.create_array(path, shape=data.shape, chunks=(1, 4, 8) if kind == "sharded" else (2, 8, 16), shards=(2, 8, 16) if kind == "sharded" else None,
                      dtype="uint16", zarr_format=2 if kind == "v2" else 3, fill_value=0, chunk_key_encoding=keys)[...] = data
    assert cli.json("info", path)["images"][0]["notes"] == []
    name, other = f"{path}/" + (".zarray" if kind == "v2" else "zarr.json"), "./"[separator == "."]
    document = load(name)
    if kind == "v2":
        document["dimension_separator"] = other
    else:
        document["chunk_key_encoding"]["configuration"]["separator"] = other
    save(name, document)
    expect(cli, path, data)
    note, = cli.json("info", path)["images"][0]["notes"]
    assert note["kind"] == "metadata" and "separator" in note["text"]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("left", ["nothing", "foreign files"])
def test_no_chunk_at_all_is_told(cli, tmp_path, version, left):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=(6, 24, 64), chunks=(2, 8, 16), dtype="uint16", zarr_format=version, fill_value=3)
    if left == "foreign files":
        os.makedirs(f"{path}/c/9/9")
        for name in (".nfs0001", "0.0.0.partial", "c/9/9/9", "README", "00.0.0", "0.0", "9.0.0"):
            with open(f"{path}/{name}", "w", encoding="utf-8") as f:
                f.write("x")
    expect(cli, path, np.full((6, 24, 64), 3, "uint16"))
    note, = cli.json("info", path)["images"][0]["notes"]
    assert note["kind"] == "missing" and "0 of 36 chunks" in note["text"]


@pytest.mark.parametrize("version,gone", [(2, "0/1/1"), (2, "0/1"), (2, "0"), (3, "c/0/1/1"), (3, "c/0/1"), (3, "c")])
def test_dangling_links_are_no_fill_value(cli, tmp_path, version, gone):
    """git-annex and DataLad leave links in place of what was not fetched: a chunk, a folder of chunks."""
    path = str(tmp_path / "a.zarr")
    data = pixels((6, 24, 64))
    zarr.create_array(path, shape=data.shape, chunks=(2, 8, 16), dtype="uint16", zarr_format=version,
                      chunk_key_encoding={"name": "default" if version == 3 else "v2", "separator": "/"})[...] = data
    os.rename(f"{path}/{gone}", str(tmp_path / "store"))
    os.symlink("../store" if gone == "0" or gone == "c" else str(tmp_path / "store"), f"{path}/{gone}")
    expect(cli, path, data)
    os.rename(tmp_path / "store", tmp_path / "elsewhere")
    text = cli.fails(3, "checksum", path)
    assert f"{path}/{gone}: a link" in text and "annex" in text


@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json"])
def test_a_dangling_link_as_a_document(cli, tmp_path, name):
    path = str(tmp_path / "a.zarr")
    cli.ok("convert", "phantom:t=1,c=1,z=1,y=40,x=50", path, "--quiet")
    os.remove(f"{path}/{name}")
    os.symlink("/nowhere/annex/objects", f"{path}/{name}")
    assert f"{name}: a link" in cli.fails(3, "info", path)


@pytest.mark.parametrize("dtype,to", [("uint32", "uint64"), ("uint32", "float64"), ("uint32", "int32"), ("int32", "int64"), ("int32", "uint8"), ("int64", "uint64"),
                                      ("uint64", "int64"), ("uint64", "float64"), ("int64", "float32"), ("float64", "float32"), ("float64", "int64")])
def test_convert_rounds_nothing_that_fits(cli, tmp_path, dtype, to):
    path, out = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    data = pixels(SHAPE, dtype)
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype)[...] = data
    cli.ok("convert", path, out, "--axes", "zyx", "--dtype", to, "--quiet")
    with np.errstate(all="ignore"):
        if to.startswith("float"):
            want, clipped = data.astype(to), 0
        else:
            low, high = np.iinfo(to).min, np.iinfo(to).max
            exact = [round(v) if np.isfinite(v) else 0 if np.isnan(v) else 2**99 if v > 0 else -2**99 for v in data.ravel().tolist()]
            want = np.array([min(max(v, low), high) for v in exact], to).reshape(SHAPE)
            clipped = sum(not low <= v <= high for v in exact) + int(np.isnan(data.astype("f8")).sum())
    found = zarr.open_array(f"{out}/0", mode="r")[0, 0]
    assert found.dtype == to and found.tobytes() == want.tobytes()
    assert cli.json("status", out)["clipped"] == clipped


def test_a_plan_tells_of_rounding(cli, tmp_path):
    for dtype, told in (("uint16", False), ("float32", False), ("uint32", True), ("float64", True)):
        path = str(tmp_path / f"{dtype}.zarr")
        zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype)
        for verb in ("convert", "median"):
            said = f"{dtype} is rounded to 24 bits" in cli.ok("plan", verb, path, tmp_path / "x.zarr", "--axes", "zyx")
            assert said == (told and verb == "median")


# ---- OME-Zarr of every version ---------------------------------------------------------------------------------------


def ome_format(version):
    import ome_zarr.format as f
    return getattr(f, "FormatV" + version.replace(".", ""))()


@pytest.mark.parametrize("version,axes,separator", [("0.1", None, "."), ("0.2", None, "/"), ("0.3", ["c", "z", "y", "x"], "/"),
                                                    ("0.3", ["t", "y", "x"], "/")])
def test_images_of_old_versions(cli, tmp_path, version, axes, separator):
    """No writer makes these any more; by the text of their specifications."""
    path = str(tmp_path / "a.zarr")
    levels = []
    for level in range(2):
        shape = (2, 3, 4, 40, 50)[-len(axes) if axes else -5:][:-2] + (40 >> level, 50 >> level)
        data = pixels(shape)
        zarr.create(store=f"{path}/s{level}", shape=shape, chunks=(1,) * (len(shape) - 2) + (16, 16), dtype="uint16", zarr_format=2,
                    dimension_separator=separator)[...] = data
        levels.append(data)
    save(f"{path}/.zgroup", {"zarr_format": 2})
    save(f"{path}/.zattrs", {"multiscales": [{"version": version, "name": "old", "datasets": [{"path": "s0"}, {"path": "s1"}],
                                              **({"axes": axes} if axes else {})}]})
    for level, data in enumerate(levels):
        assert checksums(cli, path, "--level", level) == [crc(data)]
    info = cli.json("info", path)["images"][0]
    assert info["name"] == "old"
    assert [info["shape"][a] for a in axes or "tczyx"] == list(levels[0].shape)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_ome_zarr_py(cli, tmp_path, version):
    writer = pytest.importorskip("ome_zarr.writer")
    data = pixels((2, 3, 40, 50))
    path = str(tmp_path / "a.zarr")
    fmt = ome_format(version)
    zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    writer.write_image(data, path, fmt=fmt, axes="czyx", scale_factors=[2])
    labels = zarr.open_group(path, mode="r+").create_group("labels")  # of no interest here
    labels.attrs["labels"] = ["nuclei"]
    group = zarr.open_group(path, mode="r")
    names = sorted(group.array_keys())
    assert len(names) == 2
    assert "labels" in cli.fails(3, "info", f"{path}/labels")
    for level, name in enumerate(names):
        want = np.asarray(group[name][...])
        assert checksums(cli, path, "--level", level) == [crc(want)]
    assert checksums(cli, path) == [crc(data)]


def plate(path, version, wells, fields, chunks=(1, 1, 16, 16)):
    """A plate as ome-zarr-py writes it; returns the pixels of every field by its path."""
    writer = pytest.importorskip("ome_zarr.writer")
    fmt = ome_format(version)
    root = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    writer.write_plate_metadata(root, sorted({w.split("/")[0] for w in wells}), sorted({w.split("/")[1] for w in wells}), wells, fmt=fmt)
    made = {}
    for well in wells:
        group = root.require_group(well)
        writer.write_well_metadata(group, [str(f) for f in range(fields)], fmt=fmt)
        for field in range(fields):
            data = pixels((2, 3, 40, 50))
            writer.write_image(data, group.require_group(str(field)), axes="czyx", fmt=fmt, scale_factors=[], storage_options=dict(chunks=chunks))
            made[f"{well}/{field}"] = data
    return made


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_plates(cli, tmp_path, version):
    path = str(tmp_path / "p.zarr")
    made = plate(path, version, ["A/1", "A/3", "B/1"], 2)
    info = cli.json("info", path)["images"]
    assert [i["name"] for i in info] == list(made)
    assert checksums(cli, path) == [crc(d) for d in made.values()]
    assert [i["name"] for i in cli.json("info", f"{path}/A/3")["images"]] == ["0", "1"]
    assert checksums(cli, f"{path}/A/3") == [crc(made["A/3/0"]), crc(made["A/3/1"])]
    assert checksums(cli, f"{path}/B/1/1") == [crc(made["B/1/1"])]
    out = str(tmp_path / "out.zarr")
    cli.ok("convert", path, out, "--position", "4:", "--quiet")
    assert checksums(cli, out) == [crc(made["B/1/0"]), crc(made["B/1/1"])]
    assert [i["name"] for i in cli.json("info", out)["images"]] == ["B/1/0", "B/1/1"]


@pytest.mark.parametrize("wells,said", [([{"path": "../x"}], "../x"), ([{"path": "/etc"}], "/etc"), ([{}], "well"), ([], "without images"),
                                        ([{"path": "A/9"}], "A/9"), ([{"path": "A/1"}, {"path": 7}], "well")])
def test_plates_that_cannot_be(cli, tmp_path, wells, said):
    path = str(tmp_path / "p.zarr")
    plate(path, "0.4", ["A/1"], 1)
    document = load(f"{path}/.zattrs")
    document["plate"]["wells"] = wells
    save(f"{path}/.zattrs", document)
    assert said in cli.fails(3, "info", path)


def missing(image):
    return [(n["count"], n["text"]) for n in image["notes"] if n["kind"] == "missing"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("gone,left,named", [
    (["A/2"], ["A/1/0", "A/1/1", "B/1/0", "B/1/1"], [(1, "A/2")]),
    (["A/1"], ["A/2/0", "A/2/1", "B/1/0", "B/1/1"], [(1, "A/1")]),
    (["A/1/0", "B/1"], ["A/1/1", "A/2/0", "A/2/1"], [(2, "A/1/0"), (2, "B/1")]),
    (["A/1/1/s0", "A/2/document"], ["A/1/0", "B/1/0", "B/1/1"], [(2, "A/1/1"), (2, "A/2")]),
], ids=["well", "first well", "field and well", "arrays and metadata"])
def test_plates_with_holes(cli, tmp_path, version, gone, left, named):
    """Wells, fields, the arrays of a field and the metadata of a well that were never written: the rest is read, the holes are told."""
    path, out = str(tmp_path / "p.zarr"), str(tmp_path / "o.zarr")
    made = plate(path, version, ["A/1", "A/2", "B/1"], 2)
    for name in gone:
        if name.endswith("document"):
            os.remove(f"{path}/{os.path.dirname(name)}/" + (".zattrs" if version == "0.4" else "zarr.json"))
        elif name.endswith("s0"):
            group = zarr.open_group(f"{path}/{os.path.dirname(name)}", mode="r")
            for array in list(group.array_keys()):
                shutil.rmtree(f"{path}/{os.path.dirname(name)}/{array}")
        else:
            shutil.rmtree(f"{path}/{name}")
    images = cli.json("info", path)["images"]
    assert [i["name"] for i in images] == left
    assert checksums(cli, path) == [crc(made[n]) for n in left]
    for image in images:
        (count, text), = missing(image)
        assert all(count == number and name in text for number, name in named)
    assert "left out" in cli("convert", path, out).stderr
    assert checksums(cli, out) == [crc(made[n]) for n in left]


def test_a_plate_of_nothing_but_holes(cli, tmp_path):
    path = str(tmp_path / "p.zarr")
    plate(path, "0.4", ["A/1", "A/2"], 1)
    for name in ("A/1/0", "A/2"):
        shutil.rmtree(f"{path}/{name}")
    text = cli.fails(3, "info", path)
    assert "A/1/0" in text and "A/2" in text
    os.makedirs(f"{path}/A/2")
    zarr.create_array(f"{path}/A/2", shape=(4, 4), chunks=(4, 4), dtype="u1", overwrite=True, zarr_format=2)
    assert "array" in cli.fails(3, "info", path)


def test_a_damaged_field_is_no_hole(cli, tmp_path):
    path = str(tmp_path / "p.zarr")
    plate(path, "0.5", ["A/1"], 2)
    with open(f"{path}/A/1/0/zarr.json", "w", encoding="utf-8") as f:
        f.write("{")
    assert "A/1/0" in cli.fails(3, "info", path)


def collection(path, numbers, listed=None, version="0.4"):
    """A bioformats2raw collection of these images; with OME/series where `listed` is given."""
    writer = pytest.importorskip("ome_zarr.writer")
    fmt = ome_format(version)
    root = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    root.attrs.update({"bioformats2raw.layout": 3} if version == "0.4" else {"ome": {"version": version, "bioformats2raw.layout": 3}})
    if listed is not None:
        root.create_group("OME").attrs["series"] = [str(n) for n in listed]
    made = {}
    for number in numbers:
        made[number] = pixels((2, 3, 40, 50))
        writer.write_image(made[number], root.require_group(str(number)), axes="czyx", fmt=fmt, scale_factors=[])
    return made


@pytest.mark.parametrize("numbers,listed,gone", [((0, 1, 3), None, ["2"]), ((1, 2), None, ["0"]), ((0, 7, 9), None, ["1", "6", "8"]), ((0, 64), None, ["1", "63"]),
                                                 ((0, 2), (0, 1, 2, 3), ["1", "3"]), ((0, 1), (0, 1), [])], ids=str)
def test_collections_with_gaps(cli, tmp_path, numbers, listed, gone):
    path = str(tmp_path / "c.zarr")
    made = collection(path, numbers, listed)
    assert checksums(cli, path) == [crc(made[n]) for n in numbers]
    for image in cli.json("info", path)["images"]:
        notes = missing(image)
        assert len(notes) == (len(gone) > 0)
        count = (max(listed) if listed else numbers[-1]) + 1 - len(numbers)
        assert all(n == count for n, _ in notes) and all(g in text or "…" in text for g in gone for _, text in notes)


def test_parts_of_a_store_by_their_paths(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    cli.ok("convert", "phantom:t=1,c=2,z=3,y=300,x=310;scenes=2", path, "--quiet")
    whole = checksums(cli, path)
    for part in ("", "/", "//"):
        assert checksums(cli, path + "/1" + part) == whole[1:]
    assert checksums(cli, path + "/1/0") == whole[1:]
    assert "\"multiscales\"" in cli.fails(3, "info", path + "/OME")


def test_a_collection_without_a_list_of_series(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    cli.ok("convert", "phantom:t=1,c=1,z=1,y=60,x=61;scenes=3", path, "--quiet", "--format", "0.4")
    whole = checksums(cli, path)
    os.remove(f"{path}/OME/.zattrs")
    assert checksums(cli, path) == whole and len(whole) == 3


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@pytest.mark.parametrize("codec", [None, "zstd", "gzip", "blosc", "numcodecs.lz4", "crc32c"])
def test_a_chunk_that_its_bytes_cannot_hold_takes_no_memory(cli, tmp_path, codec):
    """30 bytes stored for a chunk of 1.5 GiB: refused by what the codec can do at most, in 400 MiB of addresses."""
    def little_memory():
        if "PELLUCID_SANITIZED" not in os.environ:
            resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    n = 28000
    (tmp_path / "c" / "0").mkdir(parents=True)
    (tmp_path / "c" / "0" / "0").write_bytes(bytes(30))
    (tmp_path / "zarr.json").write_text(json.dumps({
        "zarr_format": 3, "node_type": "array", "shape": [n, n], "data_type": "uint16", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [n, n]}}, "chunk_key_encoding": {"name": "default"},
        "codecs": [LITTLE] + ([codec] if codec else [])}))
    said = cli.fails(3, "checksum", tmp_path, "--y", "0:1", "--x", "0:1", "--quiet", "--threads", "1", "--memory", "4G", preexec_fn=little_memory)
    assert "bytes stored cannot hold a chunk of" in said
