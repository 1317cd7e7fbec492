# SPDX-License-Identifier: MIT
"""Where voxels lie and how large they are: what an input says of it reaches every level of the output, as ngff-zarr and
ome-zarr-models read it; parts of an image that are worked apart lie side by side; what cannot be understood is told."""
import json
import os

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")

SHAPE = (6, 40, 48)


def save(path, document):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)


def scale(*v):
    return {"type": "scale", "scale": list(v)}


def translation(*v):
    return {"type": "translation", "translation": list(v)}


def make(path, dataset, multiscale=None, units=("micrometer",) * 3, axes="zyx", version="0.4", more=()):
    """An image of one level and the further ones in `more`, each with its transformations (None: no such member)."""
    names = [{"name": n, "type": "time" if n == "t" else "space", **({"unit": u} if u else {})} for n, u in zip(axes, units)]
    levels = []
    for k, ct in enumerate([dataset, *more]):
        shape = tuple(max(1, n >> k) for n in (SHAPE if len(axes) == 3 else (3, *SHAPE)))
        a = np.arange(np.prod(shape), dtype="u2").reshape(shape)
        zarr.create_array(f"{path}/{k}", shape=shape, chunks=(1,) * (len(axes) - 2) + (16, 16), dtype="u2", zarr_format=2)[...] = a
        levels.append({"path": str(k), **({"coordinateTransformations": ct} if ct is not None else {})})
    ms = {"version": version, "axes": names, "datasets": levels, **({"coordinateTransformations": multiscale} if multiscale else {})}
    save(f"{path}/.zgroup", {"zarr_format": 2})
    save(f"{path}/.zattrs", {"multiscales": [ms]})
    return path


def documents(path, image=""):
    """The multiscales of an output, validated by other people's models."""
    models = pytest.importorskip("ome_zarr_models")
    group = zarr.open_group(os.path.join(path, image), mode="r")
    models.open_ome_zarr(group)
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)["multiscales"][0]


def read(path, image="", version="0.5"):
    """Scale, translation and pixels of every level, by axis, as ngff-zarr reads them."""
    ngff_zarr = pytest.importorskip("ngff_zarr")
    documents(path, image)
    images = ngff_zarr.from_ngff_zarr(os.path.join(path, image), validate=True, version=version).images
    return [(np.array([i.scale[a] for a in "tzyx"]), np.array([i.translation[a] for a in "tzyx"]), i.data.shape) for i in images]


def noted(image):
    return [n["text"] for n in image["notes"] if not n["harmless"]]


def world(level, index):
    return level[0] * np.asarray(index) + level[1]


def check_levels(levels):
    """Voxel j of a level is the mean of the voxels below it: so is its place."""
    first = np.array(levels[0][2])[[0, 2, 3, 4]]
    for level in levels[1:]:
        factor = np.round(level[0] / levels[0][0])
        assert np.allclose(np.ceil(first / factor), np.array(level[2])[[0, 2, 3, 4]])
        for j in ((0, 0, 0, 0), (0, 1, 2, 3)):
            assert np.allclose(world(level, j), world(levels[0], np.array(j) * factor + (factor - 1) / 2))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name,dataset,multiscale,units,want_scale,want_place,want_unit", [
    ("units", [scale(2, 0.5, 0.25), translation(1.2, 52.1, -60.9)], None, ("micrometer",) * 3, (2, 0.5, 0.25), (1.2, 52.1, -60.9), "micrometer"),
    ("none", [scale(2, 0.5, 0.25), translation(1.2, 52.1, -60.9)], None, (None,) * 3, (2, 0.5, 0.25), (1.2, 52.1, -60.9), None),
    ("unknown", [scale(2, 0.5, 0.25)], None, ("pixel",) * 3, (2, 0.5, 0.25), (0, 0, 0), None),
    ("nanometer", [scale(2000, 500, 250), translation(100, 0, 7)], None, ("nanometer",) * 3, (2, 0.5, 0.25), (0.1, 0, 0.007), "micrometer"),
    ("foot", [scale(1, 1, 1)], None, ("foot", "yard", "decimeter"), (304800, 914400, 100000), (0, 0, 0), "micrometer"),
    ("above", [scale(2, 1, 1), translation(1, 2, 3)], [scale(1, 0.5, 0.25), translation(10, 20, 30)], ("micrometer",) * 3, (2, 0.5, 0.25),
     (11, 21, 30.75), "micrometer"),
    ("above only", [], [scale(2, 0.5, 0.25)], ("micrometer",) * 3, (2, 0.5, 0.25), (0, 0, 0), "micrometer"),
    ("identity", [{"type": "identity"}, scale(2, 0.5, 0.25)], None, ("micrometer",) * 3, (2, 0.5, 0.25), (0, 0, 0), "micrometer"),
    ("backwards", [scale(2, -0.5, 0.25), translation(1, 20, 3)], None, ("micrometer",) * 3, (2, 0.5, 0.25), (1, 20, 3), "micrometer"),
])
def test_scale_and_place_are_kept(cli, tmp_path, version, name, dataset, multiscale, units, want_scale, want_place, want_unit):
    path, out = make(str(tmp_path / "a.zarr"), dataset, multiscale, units), str(tmp_path / "o.zarr")
    cli.ok("convert", path, out, "--quiet", "--format", version, "--levels", "3")
    levels = read(out, version=version)
    assert len(levels) == 3
    assert np.allclose(levels[0][0][1:], want_scale, rtol=1e-14) and np.allclose(levels[0][1][1:], want_place, rtol=1e-14)
    assert [a.get("unit") for a in documents(out)["axes"]][2:] == [want_unit] * 3
    check_levels(levels)
    size = cli.json("info", path)["images"][0]["pixel_size"]
    assert [size[k] for k in ("z_um", "y_um", "x_um")] == ([None] * 3 if want_unit is None else pytest.approx(list(want_scale)))
    place = cli.json("info", path)["images"][0]["place"]
    assert [place[a] for a in "zyx"] == pytest.approx(list(want_place))
    notes = noted(cli.json("info", path)["images"][0])
    assert len(notes) == (name in ("none", "unknown", "backwards"))
    assert all({"backwards": "y -0.5", "unknown": "z 2 (unit \"pixel\")", "none": "z 2, y 0.5, x 0.25"}[name] in n for n in notes)


def test_a_time_axis_too(cli, tmp_path):
    path, out = make(str(tmp_path / "a.zarr"), [scale(500, 2, 1, 1), translation(250, 0, 0, 0)], units=("millisecond", None, None, None), axes="tzyx"), str(tmp_path / "o.zarr")
    cli.ok("convert", path, out, "--quiet", "--time", "1:3")
    levels = read(out)
    assert levels[0][0].tolist() == [0.5, 2, 1, 1] and levels[0][1].tolist() == [0.75, 0, 0, 0]
    bare = make(str(tmp_path / "b.zarr"), [scale(3, 1, 1, 1)], units=(None,) * 4, axes="tzyx")
    cli.ok("convert", bare, str(tmp_path / "p.zarr"), "--quiet")
    assert read(str(tmp_path / "p.zarr"))[0][0].tolist() == [3, 1, 1, 1]


@pytest.mark.parametrize("said,dataset,multiscale", [
    ("3 numbers for 4 axes", [scale(2, 0.5, 0.5)], None),
    ("2 numbers for 4 axes", [scale(1, 2, 0.5, 0.5), translation(1, 2)], None),
    ("an array of its own", [{"type": "scale", "path": "scales/0"}], None),
    ("\"affine\"", [{"type": "affine", "affine": [[1, 0, 0, 0, 0]] * 4}], None),
    ("\"affine\"", [scale(1, 2, 0.5, 0.5)], [{"type": "affine", "affine": []}]),
    ("\"\"", [{"scale": [1, 2, 0.5, 0.5]}], None),
    ("\"\"", [7], None),
    ("no scale", None, None),
    ("no scale", [], None),
    ("no scale", [translation(1, 2, 3, 4)], None),
    ("number 1", [scale(1, "2", 0.5, 0.5)], None),
    ("number 2", [scale(1, 2, None, 0.5)], None),
    ("0 numbers", [{"type": "scale", "scale": {}}], None),
])
def test_what_is_not_understood_is_unknown(cli, tmp_path, said, dataset, multiscale):
    path, out = make(str(tmp_path / "a.zarr"), dataset, multiscale, ("second", *("micrometer",) * 3), axes="tzyx"), str(tmp_path / "o.zarr")
    image = cli.json("info", path)["images"][0]
    assert set(image["pixel_size"].values()) == {None} and set(image["place"].values()) == {0}
    assert len(noted(image)) == 1 and said in noted(image)[0] and "unknown" in noted(image)[0]
    assert "voxel size" in cli.fails(2, "dog", path, out, "--sigma-um", "1,2", "--quiet")
    cli.ok("dog", path, out, "--sigma", "1,2", "--quiet")
    assert read(out)[0][0].tolist() == [1, 1, 1, 1] and not [a for a in documents(out)["axes"] if "unit" in a]


@pytest.mark.parametrize("factor", ["0", "1e400", "-1e400", "NaN"])
def test_a_scale_that_is_no_size(cli, tmp_path, factor):
    path, out = make(str(tmp_path / "a.zarr"), [scale(2, 0.5, 0.25)]), str(tmp_path / "o.zarr")
    with open(f"{path}/.zattrs", encoding="utf-8") as f:
        text = f.read()
    with open(f"{path}/.zattrs", "w", encoding="utf-8") as f:
        f.write(text.replace("0.25", factor))
    image = cli.json("info", path)["images"][0]
    assert image["pixel_size"]["x_um"] is None and "unknown" in noted(image)[0]
    cli.ok("convert", path, out, "--quiet")
    assert read(out)[0][0][3] == 1


def test_old_versions_have_none_and_need_no_note(cli, tmp_path):
    path = make(str(tmp_path / "a.zarr"), None, version="0.3")
    with open(f"{path}/.zattrs", encoding="utf-8") as f:
        document = json.load(f)
    document["multiscales"][0]["axes"] = list("zyx")
    save(f"{path}/.zattrs", document)
    image = cli.json("info", path)["images"][0]
    assert image["notes"] == [] and set(image["pixel_size"].values()) == {None}


def test_a_lower_level_lies_where_the_file_says(cli, tmp_path):
    path, out = make(str(tmp_path / "a.zarr"), [scale(2, 0.5, 0.5), translation(1, 2, 3)], more=[[scale(4, 1, 1), translation(2, 2.25, 3.25)]]), str(tmp_path / "o.zarr")
    cli.ok("convert", path, out, "--quiet", "--level", "1")
    levels = read(out)
    assert levels[0][0].tolist() == [1, 4, 1, 1] and levels[0][1].tolist() == [0, 2, 2.25, 3.25]


@pytest.mark.parametrize("version", ["0.6", "0.6.dev3"])
@pytest.mark.parametrize("place", [{}, {"z": 1.0, "y": 2.0, "x": 3.0}], ids=["scale", "sequence"])
def test_drafts_of_0_6(cli, tmp_path, version, place):
    """Axes in coordinate systems, transformations in sequences: as ngff-zarr writes and reads them."""
    ngff_zarr = pytest.importorskip("ngff_zarr")
    path, out = str(tmp_path / "a.zarr"), str(tmp_path / "o.zarr")
    data = np.arange(2 * 3 * 40 * 50, dtype="u2").reshape(2, 3, 40, 50)
    image = ngff_zarr.to_ngff_image(data, dims=["c", "z", "y", "x"], scale={"z": 2.0, "y": 0.5, "x": 0.25}, translation={"z": 0.0, "y": 0.0, "x": 0.0, **place},
                                    axes_units={a: "micrometer" for a in "zyx"})
    ngff_zarr.to_ngff_zarr(path, ngff_zarr.to_multiscales(image, scale_factors=[2]), version="0.6")
    want = [(i.scale, i.translation) for i in ngff_zarr.from_ngff_zarr(path, version="0.6").images]
    with open(f"{path}/zarr.json", encoding="utf-8") as f:
        document = json.load(f)
    document["attributes"]["ome"]["version"] = version
    document["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = [{"type": "affine", "input": "intrinsic", "output": "world"}]
    save(f"{path}/zarr.json", document)
    for level, (size, shift) in enumerate(want):
        cli.ok("convert", path, out, "--quiet", "--level", level, "--fresh")
        first = read(out)[0]
        assert np.allclose(first[0][1:], [size[a] for a in "zyx"]) and np.allclose(first[1][1:], [shift[a] for a in "zyx"])
        assert cli.json("info", path, "--level", level)["images"][0]["notes"] == []
    assert np.array_equal(zarr.open_array(f"{path}/scale1/image", mode="r")[...], zarr.open_array(f"{out}/0", mode="r")[0])


@pytest.mark.parametrize("deep", [1, 6, 400])
def test_sequences_in_sequences(cli, tmp_path, deep):
    one = scale(2, 0.5, 0.25)
    for _ in range(deep):
        one = {"type": "sequence", "transformations": [one]}
    path = make(str(tmp_path / "a.zarr"), [one])
    if deep == 400:
        cli.fails(3, "info", path)
        return
    size = cli.json("info", path)["images"][0]["pixel_size"]
    assert size["x_um"] == (0.25 if deep == 1 else None)


def test_other_stores_tell_the_way_out(cli, tmp_path):
    """Zip files, N5, versions to come."""
    import zipfile
    path = make(str(tmp_path / "a.zarr"), [scale(2, 0.5, 0.25)], version="0.7")
    assert "by its path" in cli.fails(3, "info", path)
    cli.ok("info", f"{path}/0", "--input-axes", "zyx")
    with zipfile.ZipFile(tmp_path / "a.ozx", "w") as z:
        z.writestr("zarr.json", "{}")
    assert "unpack" in cli.fails(3, "info", tmp_path / "a.ozx")
    save(str(tmp_path / "b.n5" / "attributes.json"), {"n5": "2.0.0"})
    assert "N5" in cli.fails(3, "info", tmp_path / "b.n5") and "tensorstore" in cli.fails(3, "info", tmp_path / "b.n5")


def test_given_sizes_go_before_the_scale(cli, tmp_path):
    path = make(str(tmp_path / "a.zarr"), [scale(2, 4, 0.5), translation(1, 8, 3)], units=(None, None, None))
    cli.ok("convert", path, str(tmp_path / "o.zarr"), "--quiet", "--pixel-size", "y=0.2,x=0.1")
    levels = read(str(tmp_path / "o.zarr"))
    assert np.allclose(levels[0][0], [1, 2, 0.2, 0.1]) and np.allclose(levels[0][1], [0, 1, 0.4, 0.6])
    assert [a.get("unit") for a in documents(str(tmp_path / "o.zarr"))["axes"]] == [None, None, None, "micrometer", "micrometer"]


# ---- parts lie side by side --------------------------------------------------------------------------------------------------


def side_by_side(cli, tmp_path, path, cuts, words=(), image=""):
    """Every part's voxels lie where the whole's do, on every level; and hold what they hold there."""
    whole = str(tmp_path / "whole.zarr")
    cli.ok("convert", path, whole, "--quiet", "--levels", "2", *words)
    levels = read(whole, image)
    pixels = zarr.open_array(os.path.join(whole, image, "0"), mode="r")[...]
    for number, cut in enumerate(cuts):
        out = str(tmp_path / f"part{number}.zarr")
        cli.ok("convert", path, out, "--quiet", "--levels", "2", *words, *[w for a, (low, high) in cut.items() for w in (f"--{a}", f"{low}:{high}")])
        part = read(out, image)
        check_levels(part)
        low = np.array([cut.get(a, (0, 0))[0] for a in ("time", "z", "y", "x")])
        for index in ((0, 0, 0, 0), (0, 1, 3, 2)):
            assert np.allclose(world(part[0], index), world(levels[0], low + index))
        some = zarr.open_array(os.path.join(out, image, "0"), mode="r")[...]
        box = tuple(slice(n, n + s) for n, s in zip((low[0], 0, *low[1:]), some.shape))
        assert np.array_equal(some, pixels[box])
    return levels


CUTS = [{"y": (0, 17), "x": (0, 24)}, {"y": (17, 40), "x": (24, 48)}, {"z": (2, 5), "x": (1, 3)}]


def test_parts_of_a_zarr(cli, tmp_path):
    path = make(str(tmp_path / "a.zarr"), [scale(2, 0.3, 0.1), translation(1.2, 52.1, 60.9)])
    levels = side_by_side(cli, tmp_path, path, CUTS)
    assert np.allclose(levels[0][1], [0, 1.2, 52.1, 60.9])


def test_parts_of_what_has_no_size(cli, tmp_path):
    side_by_side(cli, tmp_path, make(str(tmp_path / "a.zarr"), [scale(2, 1, 1)], units=(None,) * 3), CUTS)
    bare = str(tmp_path / "bare.zarr")
    zarr.create_array(bare, shape=SHAPE, chunks=(2, 16, 16), dtype="u2")[...] = 7
    cli.ok("convert", bare, str(tmp_path / "o.zarr"), "--quiet", "--y", "8:24")
    assert read(str(tmp_path / "o.zarr"))[0][1].tolist() == [0, 0, 8, 0]


def test_parts_along_time(cli, tmp_path):
    path = make(str(tmp_path / "a.zarr"), [scale(0.5, 2, 1, 1), translation(10, 0, 0, 0)], units=("second", *("micrometer",) * 3), axes="tzyx")
    side_by_side(cli, tmp_path, path, [{"time": (1, 2)}, {"time": (2, 3), "x": (5, 9)}])


def test_scenes_of_a_czi(cli, tmp_path):
    """Two scenes in one coordinate system: each is written where its pixels lie, by czifile's reading of the directory."""
    czifile = pytest.importorskip("czifile")
    path, out = str(tmp_path / "a.czi"), str(tmp_path / "o.zarr")
    cli.ok("phantom", path, "--size", "t=1,c=1,z=2,y=200,x=240", "--scenes", "2", "--origin", "y=-300,x=70", "--voxel", "z=1,y=0.2,x=0.2", "--quiet")
    with czifile.CziFile(path) as f:
        starts = {}
        for entry in f.filtered_subblock_directory:
            at = {d.dimension: d.start for d in entry.dimension_entries}
            low = starts.setdefault(at.get("S", 0), [at["Y"], at["X"]])
            low[:] = min(low[0], at["Y"]), min(low[1], at["X"])
    assert len(starts) == 2 and starts[0] != starts[1]
    cli.ok("convert", path, out, "--quiet")
    for scene, (y, x) in starts.items():
        assert np.allclose(read(out, str(scene))[0][1], [0, 0, 0.2 * y, 0.2 * x])
    cli.ok("convert", path, str(tmp_path / "part.zarr"), "--quiet", "--position", "1", "--y", "50:90")
    assert np.allclose(read(str(tmp_path / "part.zarr"))[0][1], [0, 0, 0.2 * (starts[1][0] + 50), 0.2 * starts[1][1]])


@pytest.mark.parametrize("unit,um", [("µm", 1), ("mm", 1000), ("reference frame", 0), (None, 0)])
def test_positions_of_an_ome_tiff(cli, tmp_path, unit, um):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("ome_types")
    paths = []
    for number, x in enumerate((100.5, 125.25)):
        plane = {"PositionX": [x] * 6, "PositionY": [-7.5] * 6, "PositionZ": [3.0 + 0.5 * z for z in range(6)]}
        if unit:
            plane.update({f"Position{a}Unit": [unit] * 6 for a in "XYZ"})
        path = str(tmp_path / f"tile{number}.ome.tif")
        tifffile.imwrite(path, np.full(SHAPE, number + 1, "u2"), ome=True, metadata={
            "axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 0.5, "Plane": plane})
        paths.append(path)
        out = str(tmp_path / f"o{number}.zarr")
        cli.ok("convert", path, out, "--quiet", "--x", "10:20")
        from ome_types import from_tiff
        first = from_tiff(path).images[0].pixels.planes[0]
        assert np.allclose(read(out)[0][1], [0, um * first.position_z, um * first.position_y, um * first.position_x + 0.5 * 10])
        notes = noted(cli.json("info", path)["images"][0])
        assert len(notes) == (um == 0) and all("Positions" in n for n in notes)
