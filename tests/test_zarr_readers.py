# SPDX-License-Identifier: MIT
"""Zarr between programs: what pellucid writes opens elsewhere without a warning and with the same pixels; what zarr-python
and TensorStore write is read by pellucid, codec by codec."""
import json
import logging
import os
import subprocess
import warnings

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOL = os.path.join(os.environ.get("PELLUCID_BUILD", os.path.join(ROOT, "build")), "tests", "tool_zarr")
SHAPE = (2, 2, 5, 100, 130)
CODECS = ["blosc", "blosc:lz4:5:bitshuffle", "zstd:3", "gzip:5", "none", "none:nocrc32c", "zstd:1:nocrc32c"]

pytestmark = pytest.mark.skipif(not os.path.exists(TOOL), reason=f"{TOOL} is not built")


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def save(path, document):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)


def listed(numbers):
    return ",".join(str(n) for n in numbers)


def tool(*words, code=0):
    done = subprocess.run([TOOL, *map(str, words)], capture_output=True, timeout=120)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout if code == 0 else done.stderr.decode()


def write(path, version, codec="blosc", dtype="uint16", images=1, shape=SHAPE):
    shard = "1,1,8,64,64" if version == 5 else "1,1,4,32,32"
    tool("write", path, version, dtype, codec, listed(shape), "1,1,4,32,32", shard, images)


def written(shape, dtype="uint16"):
    """The formula of tool_zarr."""
    t, c, z, y, x = np.indices(shape)
    v = (31 * t + 17 * c + 7 * z + 3 * y + x) % 251
    v[(x < 16) & (y < 16)] = 0
    return v.astype(dtype)


def dump(path, origin, shape, dtype, level=0, axes=None, image=0):
    words = ["dump", path, image, listed(origin), listed(shape), level] + ([axes] if axes else [])
    return np.frombuffer(tool(*words), dtype).reshape(shape)


# ---- what pellucid writes ----------------------------------------------------------------------------------------


@pytest.fixture(params=[4, 5], ids=["0.4", "0.5"])
def version(request):
    return request.param


@pytest.fixture
def store(tmp_path, version):
    path = str(tmp_path / "a.ome.zarr")
    write(path, version)
    return path


@pytest.fixture(autouse=True)
def no_warnings():
    """Every warning of a reader, by warnings or by logging, is a failure."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    logging.getLogger().removeHandler(handler)
    assert not records


@pytest.mark.parametrize("codec", CODECS)
def test_zarr_python_and_tensorstore_read_our_pixels(tmp_path, version, codec):
    ts = pytest.importorskip("tensorstore")
    path = str(tmp_path / "a.ome.zarr")
    write(path, version, codec)
    group = zarr.open_group(path, mode="r")
    for level in range(3):
        array = group[str(level)]
        want = written(array.shape)
        assert np.array_equal(array[...], want)
        spec = {"driver": "zarr3" if version == 5 else "zarr", "kvstore": {"driver": "file", "path": f"{path}/{level}"}}
        assert np.array_equal(ts.open(spec, read=True).result().read().result(), want)
    assert group["1"].shape == (2, 2, 5, 50, 65) and group["2"].shape == (2, 2, 5, 25, 33)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("codec", ["blosc:zstd:1:shuffle", "zstd:1"])
def test_noise_in_large_chunks(tmp_path, version, codec, dtype):
    """Several blocks of blosc in a chunk, the last one shorter; zstd with and without a search for repetitions."""
    ts = pytest.importorskip("tensorstore")
    pellucid = os.environ.get("PELLUCID", os.path.join(ROOT, "build", "pellucid"))
    levels = []
    for name in ("none", codec):
        path = str(tmp_path / f"{name}.ome.zarr")
        subprocess.run([pellucid, "convert", "phantom:z=9,y=301,x=611;seed=3", path, "--codec", name, "--dtype", dtype, "--format", f"0.{version}",
                        "--chunk", "z=8,y=300,x=305", "--block", "z=8,y=600,x=610", "--levels", "2", "--quiet"], check=True)
        levels.append([zarr.open_group(path, mode="r")[str(k)][...] for k in range(2)])
        spec = {"driver": "zarr3" if version == 5 else "zarr", "kvstore": {"driver": "file", "path": f"{path}/0"}}
        assert np.array_equal(ts.open(spec, read=True).result().read().result(), levels[-1][0])
        assert np.array_equal(dump(path, (0,) * 5, levels[-1][0].shape, dtype), levels[-1][0])
    assert all(np.array_equal(a, b) for a, b in zip(*levels))
    assert len(np.unique(levels[0][0])) > 50


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"])
def test_every_dtype(tmp_path, version, dtype):
    path = str(tmp_path / "a.ome.zarr")
    write(path, version, dtype=dtype, shape=(1, 1, 3, 40, 50))
    array = zarr.open_group(path, mode="r")["0"]
    assert array.dtype == np.dtype(dtype)
    assert np.array_equal(array[...], written(array.shape).astype("i1" if dtype == "int8" else dtype)
                          if dtype != "int8" else np.clip(written(array.shape), -128, 127).astype("i1"))
    assert np.array_equal(array[...], dump(path, (0,) * 5, array.shape, dtype))


def test_metadata_models(store, version):
    models = pytest.importorskip("ome_zarr_models")
    model = models.open_ome_zarr(zarr.open_group(store, mode="r"))
    assert type(model).__name__ == "Image" and f"v0{version}" in type(model).__module__
    scales = model.attributes.ome_attributes.multiscales if version == 5 and hasattr(model.attributes, "ome_attributes") \
        else (model.attributes.ome.multiscales if version == 5 else model.attributes.multiscales)
    assert [a.name for a in scales[0].axes] == list("tczyx")


def test_ngff_zarr_validates(store, version):
    ngff_zarr = pytest.importorskip("ngff_zarr")
    pytest.importorskip("jsonschema")
    images = ngff_zarr.from_ngff_zarr(store, validate=True, version=f"0.{version}").images
    assert images[1].scale == pytest.approx({"t": 2.5, "c": 1, "z": 0.75, "y": 0.4, "x": 0.2})
    assert images[1].translation == pytest.approx({"t": 0, "c": 0, "z": 0, "y": 0.1, "x": 0.05})
    assert images[2].translation == pytest.approx({"t": 0, "c": 0, "z": 0, "y": 0.3, "x": 0.15})
    assert np.array_equal(images[2].data.compute(), written((2, 2, 5, 25, 33)))


def test_ome_zarr_py_reads(store, version):
    io = pytest.importorskip("ome_zarr.io")
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.reader import Reader
    location = io.parse_url(store, fmt=FormatV05() if version == 5 else FormatV04())
    node = list(Reader(location)())[0]
    assert [d.shape for d in node.data] == [(2, 2, 5, 100, 130), (2, 2, 5, 50, 65), (2, 2, 5, 25, 33)]
    assert node.metadata["channel_names"] == ["Ch <0> é", "Ch <1> é"]
    assert node.metadata["contrast_limits"] == [[0, 4095], [0, 4095]]
    assert np.array_equal(node.data[0].compute(), written(SHAPE))


def test_musts_that_no_schema_checks(store, version):
    """Axis order, lengths of vectors, windows, dimension names, v2 members that old readers reject."""
    if version == 5:
        attributes = load(f"{store}/zarr.json")["attributes"]
        ome = attributes["ome"]
        assert ome["version"] == "0.5" and attributes["pellucid"] == {"command": "tool_zarr", "complete": True}
    else:
        ome = load(f"{store}/.zattrs")
        assert ome["multiscales"][0]["version"] == "0.4" and ome["pellucid"]["complete"] is True
    scales = ome["multiscales"][0]
    assert {"name", "type", "metadata"} <= scales.keys()
    assert [(a["name"], a.get("unit")) for a in scales["axes"]] == [
        ("t", "second"), ("c", None), ("z", "micrometer"), ("y", "micrometer"), ("x", "micrometer")]
    for level, dataset in enumerate(scales["datasets"]):
        kinds = [t["type"] for t in dataset["coordinateTransformations"]]
        assert kinds == ["scale"] if level == 0 else kinds == ["scale", "translation"]
        assert all(len(t[t["type"]]) == 5 for t in dataset["coordinateTransformations"])
    assert len(ome["omero"]["channels"]) == 2
    for channel in ome["omero"]["channels"]:
        assert len(channel["color"]) == 6 and int(channel["color"], 16) >= 0
        assert channel["window"]["start"] < channel["window"]["end"]
    for level in range(3):
        if version == 5:
            assert load(f"{store}/{level}/zarr.json")["dimension_names"] == list("tczyx")
        else:
            document = load(f"{store}/{level}/.zarray")
            assert document["filters"] is None and document["dimension_separator"] == "/"
            assert document["compressor"].keys() == {"id", "cname", "clevel", "shuffle", "blocksize"}
            assert load(f"{store}/.zgroup") == {"zarr_format": 2}


def test_collection(tmp_path, version):
    path = str(tmp_path / "c.ome.zarr")
    write(path, version, images=3)
    root = zarr.open_group(path, mode="r")
    attributes = root.attrs["ome"] if version == 5 else root.attrs
    assert attributes["bioformats2raw.layout"] == 3
    ome = zarr.open_group(path + "/OME", mode="r").attrs
    assert list((ome["ome"] if version == 5 else ome)["series"]) == ["0", "1", "2"]
    for i in range(3):
        assert np.array_equal(root[f"{i}/0"][...], written(SHAPE))
        assert np.array_equal(dump(path, (0,) * 5, SHAPE, "u2", image=i), written(SHAPE))
    models = pytest.importorskip("ome_zarr_models")
    models.open_ome_zarr(zarr.open_group(path + "/1", mode="r"))
    ome_types = pytest.importorskip("ome_types")
    with open(f"{path}/OME/METADATA.ome.xml", encoding="utf-8") as f:
        images = ome_types.from_xml(f.read()).images
    assert [i.id for i in images] == ["Image:0", "Image:1", "Image:2"]
    assert images[1].name == "test & image" and images[1].pixels.size_x == 130
    assert images[1].pixels.channels[0].name == "Ch <0> é"


def test_zero_chunks_are_absent_and_names_are_clean(store, version):
    names = [f for _, _, files in os.walk(store) for f in files]
    assert not [n for n in names if n.startswith(".tmp-")]
    assert len([n for n in names if n.isdigit()]) > 20


# ---- what others write -------------------------------------------------------------------------------------------


def picture(shape, dtype):
    values = np.arange(np.prod(shape)).reshape(shape) * 7 % 113
    picture = values.astype(dtype)
    picture[..., : shape[-1] // 3] = 0
    return picture


def check_read(path, want, axes=None):
    """Whole, and a box that cuts chunks."""
    shape = (1,) * (5 - want.ndim) + want.shape
    want = np.asarray(want).reshape(shape)
    native = "uint8" if want.dtype == bool else want.dtype.newbyteorder("=").name
    assert np.array_equal(dump(path, (0,) * 5, shape, native, axes=axes), want.astype(native), equal_nan=want.dtype.kind == "f")
    origin = tuple(n // 3 for n in shape)
    size = tuple(n - n // 3 - n // 7 for n in shape)
    box = tuple(slice(o, o + s) for o, s in zip(origin, size))
    got = dump(path, origin, size, native, axes=axes)
    assert np.array_equal(got, want[box].astype(native), equal_nan=want.dtype.kind == "f")


V2_COMPRESSORS = {
    "none": None, "zstd": numcodecs.Zstd(level=3), "gzip": numcodecs.GZip(level=2), "zlib": numcodecs.Zlib(level=2),
    "lz4": numcodecs.LZ4(),
    **{f"blosc-{c}-{s}": numcodecs.Blosc(cname=c, clevel=5, shuffle=s)
       for c in ("lz4", "lz4hc", "zlib", "zstd", "blosclz") for s in (0, 1, 2)},
}


def write_v2(path, want, chunks, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array(path, shape=want.shape, chunks=chunks, dtype=want.dtype, zarr_format=2, **options)
        array[...] = want


@pytest.mark.parametrize("compressor", V2_COMPRESSORS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_v2_compressors(tmp_path, compressor, order):
    want = picture((7, 33, 40), "<u2")
    write_v2(str(tmp_path / "a"), want, (3, 16, 16), compressors=V2_COMPRESSORS[compressor], order=order, fill_value=0)
    check_read(str(tmp_path / "a"), want)


@pytest.mark.parametrize("dtype", ["|u1", "|i1", "<i2", ">u2", ">i4", "<u4", "<i8", ">u8", "<f4", ">f4", "<f8", "|b1"])
def test_v2_dtypes(tmp_path, dtype):
    want = picture((5, 33, 40), dtype)
    write_v2(str(tmp_path / "a"), want, (3, 16, 16), compressors=numcodecs.Zstd(level=1), fill_value=0)
    check_read(str(tmp_path / "a"), want)


@pytest.mark.parametrize("separator", [".", "/"])
def test_v2_separators_told_and_not(tmp_path, separator):
    want = picture((5, 33, 40), "<u2")
    path = str(tmp_path / "a")
    write_v2(path, want, (3, 16, 16), compressors=None, fill_value=0,
             chunk_key_encoding={"name": "v2", "separator": separator})
    check_read(path, want)
    document = load(path + "/.zarray")
    document.pop("dimension_separator", None)
    save(path + "/.zarray", document)
    if separator == "." or os.path.isdir(path + "/0"):
        check_read(path, want)


@pytest.mark.parametrize("filters", [[numcodecs.Delta("<i4")], [numcodecs.Shuffle(4)], [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)]])
def test_v2_filters(tmp_path, filters):
    want = picture((5, 33, 40), "<i4")
    write_v2(str(tmp_path / "a"), want, (3, 16, 16), compressors=numcodecs.Zstd(level=1), filters=filters, fill_value=0)
    check_read(str(tmp_path / "a"), want)


V3_CODECS = {
    "bytes": [],
    "zstd": [ZstdCodec(level=3)],
    "zstd-checksum": [ZstdCodec(level=1, checksum=True)],
    "gzip": [GzipCodec(level=4)],
    "crc32c": [Crc32cCodec()],
    "zstd-crc32c": [ZstdCodec(level=1), Crc32cCodec()],
    "crc32c-zstd": [Crc32cCodec(), ZstdCodec(level=1)],
    "zstd-gzip-crc32c": [ZstdCodec(level=1), GzipCodec(level=1), Crc32cCodec()],
    **{f"blosc-{c}-{s}": [BloscCodec(cname=c, clevel=5, shuffle=s)]
       for c in ("lz4", "lz4hc", "zlib", "zstd", "blosclz") for s in ("noshuffle", "shuffle", "bitshuffle")},
}


def write_v3(path, want, chunks, codecs, fill_value=0, names=None, voxels=True, **options):
    """Through the metadata document itself: every chain that the format allows."""
    os.makedirs(path)
    document = {
        "zarr_format": 3, "node_type": "array", "shape": list(want.shape), "data_type": want.dtype.newbyteorder("=").name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value, "codecs": [c if isinstance(c, dict) else c.to_dict() for c in codecs],
        "attributes": {}, **({"dimension_names": names} if names else {}), **options,
    }
    save(os.path.join(path, "zarr.json"), document)
    if not voxels:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.open_array(path, mode="r+")[...] = want


@pytest.mark.parametrize("codecs", V3_CODECS)
@pytest.mark.parametrize("endian", ["little", "big"])
def test_v3_codecs(tmp_path, codecs, endian):
    want = picture((7, 33, 40), "uint16")
    write_v3(str(tmp_path / "a"), want, (3, 16, 16), [BytesCodec(endian=endian), *V3_CODECS[codecs]])
    check_read(str(tmp_path / "a"), want)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_v3_transposes(tmp_path, order):
    want = picture((7, 33, 40), "uint16")
    chain = [TransposeCodec(order=order), BytesCodec(endian="little"), ZstdCodec(level=1)]
    write_v3(str(tmp_path / "a"), want, (3, 16, 8), chain)
    check_read(str(tmp_path / "a"), want)
    twice = [TransposeCodec(order=order), TransposeCodec(order=(1, 2, 0)), *chain[1:]]
    write_v3(str(tmp_path / "b"), want, (3, 16, 8), twice)
    check_read(str(tmp_path / "b"), want)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool"])
def test_v3_dtypes_and_ranks(tmp_path, dtype):
    for shape, chunks in (((33, 40), (16, 16)), ((3, 17, 20), (2, 8, 32)), ((2, 3, 17, 20), (1, 2, 8, 8)), ((2, 2, 3, 17, 20), (1, 1, 2, 16, 8))):
        want = picture(shape, dtype)
        path = str(tmp_path / f"{dtype}{len(shape)}")
        fill = False if dtype == "bool" else 0
        write_v3(path, want, chunks, [BytesCodec(endian="little"), ZstdCodec(level=1)], fill_value=fill)
        check_read(path, want)


@pytest.mark.parametrize("dtype,fill,value", [
    ("uint16", 65535, 65535), ("int16", -5, -5), ("uint64", 2**64 - 1, 2**64 - 1), ("int64", -2**63, -2**63), ("float32", "NaN", np.nan),
    ("float32", "-Infinity", -np.inf), ("float64", "0x7ff0000000000000", np.inf), ("float32", 1.5, 1.5), ("float32", -0.0, -0.0)])
def test_v3_fill_values(tmp_path, dtype, fill, value):
    """Nothing written but one chunk: the rest is fill, bit for bit."""
    want = np.full((20, 30), value, dtype)
    path = str(tmp_path / "a")
    write_v3(path, want, (8, 8), [BytesCodec(endian="little")], fill_value=fill, voxels=False)
    array = zarr.open_array(path, mode="r+")
    array[8:16, 8:16] = want[8:16, 8:16] = 3
    got = dump(path, (0,) * 5, (1, 1, 1, 20, 30), dtype)[0, 0, 0]
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("inner", ["bytes", "zstd-crc32c", "blosc-lz4-bitshuffle", "crc32c"])
def test_v3_shards(tmp_path, where, inner):
    want = picture((9, 70, 50), "uint16")
    for index in ([BytesCodec(endian="little"), Crc32cCodec()], [BytesCodec(endian="big"), Crc32cCodec()], [BytesCodec(endian="little")]):
        path = str(tmp_path / f"{len(index)}{index[0].endian}")
        sharding = ShardingCodec(chunk_shape=(2, 8, 8), index_location=where, index_codecs=index,
                                 codecs=[BytesCodec(endian="little"), *V3_CODECS[inner]])
        write_v3(path, want, (4, 32, 32), [sharding])
        check_read(path, want)


def test_v3_shards_in_shards_and_transposed_inner_chunks(tmp_path):
    want = picture((9, 70, 50), "uint16")
    deep = ShardingCodec(chunk_shape=(2, 8, 4), codecs=[TransposeCodec(order=(2, 0, 1)), BytesCodec(endian="big"), ZstdCodec(level=1)])
    write_v3(str(tmp_path / "a"), want, (8, 64, 64), [ShardingCodec(chunk_shape=(4, 32, 16), codecs=[deep])])
    check_read(str(tmp_path / "a"), want)


@pytest.mark.parametrize("encoding", [("default", "."), ("default", "/"), ("v2", "."), ("v2", "/")])
def test_v3_keys(tmp_path, encoding):
    want = picture((9, 33, 50), "uint16")
    keys = {"name": encoding[0], "configuration": {"separator": encoding[1]}}
    write_v3(str(tmp_path / "a"), want, (4, 16, 16), [BytesCodec(endian="little")], chunk_key_encoding=keys)
    check_read(str(tmp_path / "a"), want)


def test_axes_of_bare_arrays(tmp_path):
    want = picture((4, 20, 30), "uint16")
    path = str(tmp_path / "a")
    write_v3(path, want, (4, 16, 16), [BytesCodec(endian="little")], names=["x", "c", "y"])
    assert np.array_equal(dump(path, (0,) * 5, (1, 20, 1, 30, 4), "u2"), want.transpose(1, 2, 0)[None, :, None])
    assert np.array_equal(dump(path, (0,) * 5, (4, 1, 1, 20, 30), "u2", axes="tyx"), want[:, None, None])
    assert tool("info", path, 0, "zyx").startswith(b"1,1,4,20,30 uint16")
    assert "axes" in tool("info", path, 0, "yx", code=1)
    assert tool("info", path, 0, "pyx").count(b"1,1,1,20,30 uint16") == 4
    assert "level 1" in tool("info", path, 1, code=1)


@pytest.mark.parametrize("driver", ["zarr", "zarr3", "sharded"])
def test_tensorstore_stores(tmp_path, driver):
    ts = pytest.importorskip("tensorstore")
    want = picture((9, 70, 50), "uint16")
    path = str(tmp_path / "a")
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    metadata = {
        "zarr": [{"compressor": c, "chunks": [4, 32, 32], "dtype": "<u2", "order": o}
                 for c in ({"id": "zstd", "level": 3}, {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1}, {"id": "zlib", "level": 1})
                 for o in "CF"],
        "zarr3": [{"codecs": [little, c], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 32, 32]}}, "data_type": "uint16"}
                  for c in ({"name": "zstd", "configuration": {"level": 3}}, {"name": "gzip", "configuration": {"level": 3}})],
        "sharded": [{"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 8, 16], "index_location": where,
                     "codecs": [little, {"name": "zstd", "configuration": {"level": 1}}]}}], "data_type": "uint16",
                     "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 32, 32]}}} for where in ("start", "end")],
    }[driver]
    for i, m in enumerate(metadata):
        spec = {"driver": "zarr" if driver == "zarr" else "zarr3", "kvstore": {"driver": "file", "path": f"{path}{i}"},
                "metadata": {**m, "shape": list(want.shape)}}
        ts.open(spec, create=True).result().write(want).result()
        check_read(f"{path}{i}", want)


def test_ome_zarr_py_and_ngff_zarr_stores(tmp_path):
    writer = pytest.importorskip("ome_zarr.writer")
    from ome_zarr.format import FormatV04, FormatV05
    want = picture((2, 3, 64, 80), "uint16")
    for fmt in (FormatV04(), FormatV05()):
        path = str(tmp_path / fmt.version)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            group = zarr.open_group(path, mode="w", zarr_format=3 if fmt.version == "0.5" else 2)
            writer.write_image(want, group, fmt=fmt, axes="czyx", coordinate_transformations=None)
        assert tool("info", path).startswith(b"1,2,3,64,80 uint16")
        assert np.array_equal(dump(path, (0,) * 5, (1, 2, 3, 64, 80), "u2")[0], want)
        assert tool("info", path, 1).split(b" ")[0].split(b",")[4] == b"40"


def test_consolidated_metadata_is_tolerated(tmp_path):
    path = str(tmp_path / "a.ome.zarr")
    write(path, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    assert np.array_equal(dump(path, (0,) * 5, SHAPE, "u2"), written(SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(zarr.open_consolidated(path)["0"][...], written(SHAPE))


def test_a_flipped_bit_stops_the_program(tmp_path, cli):
    """The command line: exit code 3, and the message names the shard and the inner chunk."""
    path = str(tmp_path / "a.ome.zarr")
    write(path, 5)
    before = cli.ok("checksum", path)
    shard = os.path.join(path, "0/c/1/1/0/1/1")
    with open(shard, "r+b") as f:
        f.seek(100)
        byte = f.read(1)[0]
        f.seek(100)
        f.write(bytes([byte ^ 4]))
    message = cli.fails(3, "checksum", path)
    assert "0/c/1/1/0/1/1: inner chunk 0: crc32c" in message
    with open(shard, "r+b") as f:
        f.seek(100)
        f.write(bytes([byte]))
    assert cli.ok("checksum", path) == before


def test_convert_between_formats(tmp_path, cli):
    """zarr-python in, 0.5 out, 0.4 out of that: the same pixels in all three, by three readers."""
    want = picture((2, 3, 70, 90), "uint16")
    write_v3(str(tmp_path / "in"), want, (1, 2, 32, 32), [BytesCodec(endian="big"), GzipCodec(level=1)], names=list("czyx"))
    cli.ok("convert", tmp_path / "in", tmp_path / "five.ome.zarr")
    cli.ok("convert", tmp_path / "five.ome.zarr", tmp_path / "four.ome.zarr", "--format", "0.4", "--codec", "zstd:3")
    for name in ("five.ome.zarr", "four.ome.zarr"):
        cli.ok("compare", tmp_path / "in", tmp_path / name)
        assert np.array_equal(zarr.open_group(tmp_path / name, mode="r")["0"][0], want)
