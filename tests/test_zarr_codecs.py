# SPDX-License-Identifier: MIT
"""Codecs that few stores have: each as numcodecs and zarr-python write it, read by the program and compared with what zarr-python
reads; damaged, cut and with settings that cannot be."""
import lzma
import warnings

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
from test_zarr_kinds import crc, checksums, load, pixels, save  # noqa: E402
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec, ZstdCodec  # noqa: E402

more = pytest.importorskip("zarr.codecs.numcodecs")
SHAPE, CHUNKS = (5, 33, 40), (2, 16, 16)


@pytest.fixture(autouse=True)
def no_warnings():
    """zarr-python warns of codecs that no specification has: those are the matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same(cli, path):
    want = zarr.open_array(path, mode="r")[...]
    assert np.unique(want).size > 5
    assert checksums(cli, path) == [crc(want)]
    return want


BYTES = {
    "bz2": numcodecs.BZ2(9), "bz2-1": numcodecs.BZ2(1), "lzma": numcodecs.LZMA(), "lzma-0": numcodecs.LZMA(preset=0), "lzma-9": numcodecs.LZMA(preset=9),
    "lzma-9e": numcodecs.LZMA(preset=9 | 1 << 31), "lzma alone": numcodecs.LZMA(format=2),
    "crc32": numcodecs.CRC32(), "crc32 end": numcodecs.CRC32(location="end"), "adler32": numcodecs.Adler32(), "adler32 end": numcodecs.Adler32(location="end"),
    "crc32c": numcodecs.checksum32.CRC32C(), "crc32c start": numcodecs.checksum32.CRC32C(location="start"), "fletcher32": numcodecs.Fletcher32(),
    "shuffle": numcodecs.Shuffle(2), "shuffle 8": numcodecs.Shuffle(8), "shuffle 128": numcodecs.Shuffle(128),
}


def configuration(codec):
    return {k: v for k, v in codec.get_config().items() if k != "id" and v is not None}


@pytest.mark.parametrize("dtype", ["<u2", ">f4", "|u1"])
@pytest.mark.parametrize("place", ["compressor", "filter", "both"])
@pytest.mark.parametrize("name", BYTES)
def test_v2_bytes(cli, tmp_path, name, place, dtype):
    path = str(tmp_path / "a.zarr")
    filters = [BYTES[name]] if place != "compressor" else None
    compressor = BYTES[name] if place == "compressor" else numcodecs.Zstd(1) if place == "both" else None
    a = zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, compressor=compressor, filters=filters, order="F" if place == "both" else "C")
    a[...] = pixels(SHAPE, "u1").astype(dtype)
    same(cli, path)


@pytest.mark.parametrize("layout", ["plain", "sharded", "big", "before zstd", "behind zstd"])
@pytest.mark.parametrize("name", BYTES)
def test_v3_bytes(cli, tmp_path, name, layout):
    path = str(tmp_path / "a.zarr")
    if "shuffle" in name and layout == "behind zstd":
        pytest.skip("numcodecs shuffles whole elements only")
    kind = BYTES[name].get_config()["id"]
    own = getattr(more, {"bz2": "BZ2", "lzma": "LZMA", "crc32": "CRC32", "crc32c": "CRC32C", "adler32": "Adler32", "fletcher32": "Fletcher32", "shuffle": "Shuffle"}[kind])
    own = own(**configuration(BYTES[name]))
    codecs = [BytesCodec(endian="big" if layout == "big" else "little"), *{"before zstd": [own, ZstdCodec()], "behind zstd": [ZstdCodec(), own]}.get(layout, [own])]
    if layout == "sharded":
        codecs = [ShardingCodec(chunk_shape=(1, 8, 8), codecs=codecs)]
    zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype="uint16", zarr_format=3, codecs=codecs)[...] = pixels(SHAPE)
    same(cli, path)


FILTERS = {
    "delta": ("<u2", [numcodecs.Delta("<u2")]), "delta wider": ("<u2", [numcodecs.Delta("<u2", astype="<i4")]), "delta narrower": ("<i4", [numcodecs.Delta("<i4", astype="<i2")]),
    "delta real": ("<f8", [numcodecs.Delta("<f8")]), "delta signed": ("|u1", [numcodecs.Delta("u1", astype="i1")]),
    "scale": ("<f4", [numcodecs.FixedScaleOffset(offset=-3.5, scale=10, dtype="<f4", astype="<i2")]),
    "scale u1": ("<f8", [numcodecs.FixedScaleOffset(offset=1000, scale=0.125, dtype="<f8", astype="u1")]),
    "scale real": ("<f4", [numcodecs.FixedScaleOffset(offset=0.1, scale=3, dtype="<f4")]),
    "scale whole": ("<u2", [numcodecs.FixedScaleOffset(offset=7, scale=0.5, dtype="<u2", astype="u1")]),
    "scale narrow to wide": ("<f4", [numcodecs.FixedScaleOffset(offset=0.25, scale=3, dtype="<f4", astype="<f8")]),
    "bitround": ("<f4", [numcodecs.BitRound(5)]), "quantize": ("<f4", [numcodecs.Quantize(2, "<f4")]),
    "quantize narrower": ("<f8", [numcodecs.Quantize(1, "<f8", astype="<f4")]),
    "astype": ("<i4", [numcodecs.AsType(encode_dtype="<i2", decode_dtype="<i4")]), "astype to real": ("<f4", [numcodecs.AsType(encode_dtype="<i4", decode_dtype="<f4")]),
    "astype from real": ("<i2", [numcodecs.AsType(encode_dtype="<f4", decode_dtype="<i2")]),
    "scale and delta": ("<f4", [numcodecs.FixedScaleOffset(offset=0, scale=4, dtype="<f4", astype="<i4"), numcodecs.Delta("<i4", astype="<i2")]),
    "astype and delta": ("<i4", [numcodecs.AsType(encode_dtype="<i2", decode_dtype="<i4"), numcodecs.Delta("<i2")]),
}


def numbers(dtype):
    """Small ones, so that what is narrower can hold them, and their differences."""
    v = pixels(SHAPE, "u1").astype("f8") / 3 - 20
    return v.astype(dtype) if np.dtype(dtype).kind == "f" else (np.abs(v) if np.dtype(dtype).kind == "u" else v).astype(dtype)


@pytest.mark.parametrize("after", ["nothing", "shuffle", "zstd", "shuffle and zstd"])
@pytest.mark.parametrize("name", FILTERS)
def test_v2_filters(cli, tmp_path, name, after):
    dtype, filters = FILTERS[name]
    path = str(tmp_path / "a.zarr")
    filters = filters + ([numcodecs.Shuffle(2)] if "shuffle" in after else [])
    a = zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, compressor=numcodecs.Zstd(1) if "zstd" in after else None, filters=filters)
    a[...] = numbers(dtype)
    same(cli, path)


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">f8"])
def test_v2_filters_of_big_numbers(cli, tmp_path, dtype):
    path = str(tmp_path / "a.zarr")
    a = zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, compressor=None, order="F",
                    filters=[numcodecs.FixedScaleOffset(offset=-50, scale=2, dtype=dtype, astype=">i4"), numcodecs.Delta(">i4", astype=">i2")])
    a[...] = numbers(dtype)
    same(cli, path)


@pytest.mark.parametrize("layout", ["plain", "sharded", "zstd", "transposed"])
@pytest.mark.parametrize("name", [n for n in FILTERS if n != "quantize narrower"])  # zarr-python does not read what it writes then
def test_v3_filters(cli, tmp_path, name, layout):
    dtype, filters = FILTERS[name]
    path = str(tmp_path / "a.zarr")
    kinds = {"delta": "Delta", "fixedscaleoffset": "FixedScaleOffset", "bitround": "BitRound", "quantize": "Quantize", "astype": "AsType"}
    own = [getattr(more, kinds[f.get_config()["id"]])(**configuration(f)) for f in filters]
    codecs = [*([TransposeCodec(order=(2, 0, 1))] if layout == "transposed" else []), *own, BytesCodec(), *([ZstdCodec()] if layout == "zstd" else [])]
    if layout == "sharded":
        codecs = [ShardingCodec(chunk_shape=(1, 8, 8), codecs=codecs)]
    a = zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype=np.dtype(dtype).name, zarr_format=3, codecs=codecs)
    a[...] = numbers(dtype)
    if layout == "transposed" and "delta" in name:
        assert "delta beside a transpose" in cli.fails(3, "info", path)
    else:
        same(cli, path)


@pytest.mark.parametrize("sharded", [False, True])
def test_bytes_by_its_old_name(cli, tmp_path, sharded):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=(1, 8, 8) if sharded else CHUNKS, shards=CHUNKS if sharded else None, dtype="uint16", compressors=None)[...] = pixels(SHAPE)
    want = same(cli, path)
    with open(f"{path}/zarr.json", encoding="utf-8") as f:
        text = f.read()
    assert '"bytes"' in text
    with open(f"{path}/zarr.json", "w", encoding="utf-8") as f:
        f.write(text.replace('"bytes"', '"endian"'))
    assert checksums(cli, path) == [crc(want)]


@pytest.mark.parametrize("dtype,fill,value", [("|i1", "0", 0), ("|i1", "-128", -128), ("<u8", str(2 ** 64 - 1), 2 ** 64 - 1), ("<u2", "7", 7)])
def test_fill_values_in_quotes(cli, tmp_path, dtype, fill, value):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2)
    save(f"{path}/.zarray", {**load(f"{path}/.zarray"), "fill_value": fill})
    assert checksums(cli, path) == [crc(np.full(SHAPE, value, dtype))]


@pytest.mark.parametrize("dtype,fill", [("|i1", "128"), ("|u1", "-1"), ("|i1", ""), ("|i1", "AA=="), ("|i1", "0x7"), ("|i1", "1-"), ("|i1", "0.5")])
def test_fill_values_in_quotes_that_cannot_be(cli, tmp_path, dtype, fill):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2)
    save(f"{path}/.zarray", {**load(f"{path}/.zarray"), "fill_value": fill})
    assert "fill_value" in cli.fails(3, "info", path)


@pytest.mark.parametrize("filters,compressor,said", [
    ([{"id": "delta"}], None, "delta"), ([{"id": "delta", "dtype": "<u4"}], None, "delta"), ([{"id": "delta", "dtype": "<u2", "astype": "<f4"}], None, "delta"),
    ([{"id": "fixedscaleoffset", "dtype": "<u2", "astype": "|u1", "scale": 0, "offset": 0}], None, "fixedscaleoffset"),
    ([{"id": "fixedscaleoffset", "dtype": "<u2", "astype": "|u1", "offset": 0}], None, "fixedscaleoffset"),
    ([{"id": "astype", "encode_dtype": "<f2", "decode_dtype": "<u2"}], None, "astype"), ([{"id": "astype", "encode_dtype": "<U4", "decode_dtype": "<u2"}], None, "astype"),
    ([{"id": "shuffle", "elementsize": 0}], None, "elementsize"), ([{"id": "shuffle", "elementsize": 1 << 40}], None, "elementsize"),
    ([{"id": "crc32", "location": "middle"}], None, "location"), (None, {"id": "lzma", "format": 3}, "raw"), ([{"id": "zfpy"}], None, "zarr-python"),
    ([{"id": "shuffle"}, {"id": "delta", "dtype": "<u2"}], None, "behind shuffle"), ([{"id": "crc32"}] * 7, None, "more than"),
    ([{"id": "delta", "dtype": "<u2", "astype": "<u8"}] + [{"id": "delta", "dtype": "<u8"}] * 4, None, "more than")])
def test_settings_that_cannot_be(cli, tmp_path, filters, compressor, said):
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype="<u2", zarr_format=2)
    save(f"{path}/.zarray", {**load(f"{path}/.zarray"), "filters": filters, "compressor": compressor})
    assert said in cli.fails(3, "info", path)


@pytest.mark.parametrize("name", [n for n in BYTES if n not in ("shuffle", "shuffle 8", "shuffle 128")])
def test_damage_is_found(cli, tmp_path, name):
    """Each of these codecs has a checksum of its own, but for .lzma streams."""
    path = str(tmp_path / "a.zarr")
    zarr.create(store=path, shape=(16, 16), chunks=(16, 16), dtype="<u2", zarr_format=2, compressor=BYTES[name])[...] = pixels((16, 16))
    with open(f"{path}/0.0", "rb") as f:
        good = f.read()
    rng = np.random.default_rng(3)
    bad = [good[:-1], good[:4], b"", good + b"x", good[:20] + bytes(400)]
    bad += [good[:k] + bytes([good[k] ^ 1 << int(rng.integers(8))]) + good[k + 1:] for k in rng.integers(0, len(good), 4)] if name != "lzma alone" else []
    for data in bad:
        with open(f"{path}/0.0", "wb") as f:
            f.write(data)
        if name == "lzma alone" and data[:-1] == good:
            continue
        assert "0.0" in cli.fails(3, "checksum", path)


def test_a_dictionary_beyond_its_preset(cli, tmp_path):
    """The memory that a chunk may take is what its metadata say, not what its stream asks for."""
    path = str(tmp_path / "a.zarr")
    data = pixels((16, 16))
    zarr.create(store=path, shape=(16, 16), chunks=(16, 16), dtype="<u2", zarr_format=2, compressor=numcodecs.LZMA())[...] = data
    for size, code in ((1 << 23, 0), (1 << 30, 3)):
        with open(f"{path}/0.0", "wb") as f:
            f.write(lzma.compress(data.tobytes(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": size}]))
        assert cli("checksum", path).returncode == code
    assert "memory" in cli.fails(3, "checksum", path)


def test_a_bomb_ends_at_the_size_of_the_chunk(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    for codec in (numcodecs.BZ2(9), numcodecs.LZMA()):
        zarr.create(store=path, shape=(16, 16), chunks=(16, 16), dtype="<u2", zarr_format=2, compressor=codec, overwrite=True)[...] = 1
        with open(f"{path}/0.0", "wb") as f:
            f.write(codec.encode(np.zeros(50_000_000, "u1")))
        assert "0.0" in cli.fails(3, "checksum", path)


def test_the_names_of_these_codecs_are_told(cli, tmp_path):
    path = str(tmp_path / "a.zarr")
    zarr.create(store=path, shape=SHAPE, chunks=CHUNKS, dtype="<u2", zarr_format=2, compressor=numcodecs.BZ2(), filters=[numcodecs.Shuffle(2)])
    assert cli.json("info", path)["images"][0]["compression"] == "shuffle + bz2"
