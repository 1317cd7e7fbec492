# SPDX-License-Identifier: MIT
"""An output looks right when it is opened: the display range is that of its own data, names and voxel sizes are the file's."""
import json
import os
import re
import subprocess

import numpy as np
import pytest
import tifffile
import zarr

from test_audit import line_of

FEW = ("--memory", "300M", "--threads", "2", "--quiet")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def attributes(out, image=""):
    with open(os.path.join(out, image, "zarr.json"), encoding="utf-8") as f:
        return json.load(f)["attributes"]


def windows(out, image=""):
    return [c["window"] for c in attributes(out, image)["ome"]["omero"]["channels"]]


def levels(out, image=""):
    paths = [d["path"] for d in attributes(out, image)["ome"]["multiscales"][0]["datasets"]]
    return [zarr.open_array(os.path.join(out, image, p), mode="r")[:] for p in paths]


def wanted(full, lowest):
    """By numpy, of one channel."""
    a, low = full[np.isfinite(full)], lowest[np.isfinite(lowest)]
    return {"min": a.min(), "max": a.max(), "start": np.percentile(low, 0.1, method="lower"), "end": np.percentile(low, 99.9, method="higher")}


def check(out, image=""):
    all_levels, found = levels(out, image), windows(out, image)
    assert len(found) == all_levels[0].shape[1] == all_levels[-1].shape[1]
    for c, w in enumerate(found):
        assert w == wanted(all_levels[0][:, c], all_levels[-1][:, c]), c
    return found


def stack(path, a):
    """An OME-TIFF without a display range: axes c, z, y, x."""
    tifffile.imwrite(path, a, ome=True, photometric="minisblack", metadata={"axes": "CZYX"})
    return path


def cells(shape, dtype, seed=1):
    """A dark ground and a few bright cells, more of them in each channel."""
    rng = np.random.default_rng(seed)
    a = rng.normal(100, 5, shape) + 800 * (rng.random(shape) > 0.99) * np.arange(1, shape[0] + 1).reshape(-1, 1, 1, 1)
    if np.issubdtype(dtype, np.floating) or np.issubdtype(dtype, np.signedinteger):
        a = a - 400
    scale = {1: 0.07, 2: 1, 4: 1000, 8: 1e9}[np.dtype(dtype).itemsize] if np.issubdtype(dtype, np.integer) else 0.01
    return (a * scale).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_range_is_that_of_the_output(cli, tmp_path, dtype):
    a = cells((2, 4, 280, 300), dtype)
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", stack(tmp_path / "a.ome.tif", a), out, *FEW)
    assert len(levels(out)) == 2
    check(out)
    cli.ok("verify", out, "--quiet")


def test_range_in_the_older_format(cli, tmp_path):
    """OME-Zarr 0.4 keeps it in .zattrs."""
    out = tmp_path / "out.ome.zarr"
    cli.ok("convert", stack(tmp_path / "a.ome.tif", cells((2, 4, 280, 300), "uint16")), out, "--format", "0.4", *FEW)
    full, low = [zarr.open_array(str(out / n), mode="r")[:] for n in "01"]
    found = [c["window"] for c in json.loads((out / ".zattrs").read_text())["omero"]["channels"]]
    assert found == [wanted(full[:, c], low[:, c]) for c in range(2)]
    cli.ok("verify", out, "--quiet")


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_range_of_64_bits(cli, tmp_path, dtype):
    """Of one level, which is looked at piece by piece."""
    a = cells((1, 1, 280, 300), dtype)[0, 0]
    zarr.create_array(str(tmp_path / "in.zarr"), data=a, chunks=(100, 100))
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", tmp_path / "in.zarr", out, "--levels", "1", *FEW)
    assert windows(out) == [wanted(a.astype("f8"), a.astype("f8"))]


@pytest.mark.parametrize("words", [("dog", "--sigma", "1,3"), ("dog", "--sigma", "1,3", "--dtype", "uint16"), ("convert", "--dtype", "uint8"),
                                   ("gaussian", "--sigma", "1", "--dtype", "float32")], ids=lambda w: f"{w[0]}-{w[-1]}")
def test_other_grey_values_have_another_range(cli, tmp_path, words):
    """The input's own display range says nothing of them."""
    cli.ok("phantom", tmp_path / "a.czi", "--size", "c=2,z=4,y=280,x=300", "--quiet")
    assert all(c["window_end"] is not None for c in cli.json("info", tmp_path / "a.czi")["images"][0]["channels"])
    out = str(tmp_path / "out.ome.zarr")
    cli.ok(words[0], tmp_path / "a.czi", out, *words[1:], *FEW, "--prepare")
    first = [(c["window_start"], c["window_end"]) for c in cli.json("info", tmp_path / "a.czi")["images"][0]["channels"]]
    assert all((w["start"], w["end"]) not in first for w in windows(out))
    cli.ok("work", out, "--quiet")
    check(out)


@pytest.mark.parametrize("words", [("convert",), ("median",), ("gaussian", "--sigma", "1"), ("denoise", "--tune", "off", "--noise", "3.9,-388")], ids=lambda w: w[0])
def test_range_of_the_file_where_grey_values_stay(cli, tmp_path, words):
    cli.ok("phantom", tmp_path / "a.czi", "--size", "c=2,z=4,y=280,x=300", "--quiet")
    own = [(c["window_start"], c["window_end"]) for c in cli.json("info", tmp_path / "a.czi")["images"][0]["channels"]]
    out = str(tmp_path / "out.ome.zarr")
    cli.ok(words[0], tmp_path / "a.czi", out, *words[1:], *FEW)
    full = levels(out)[0]
    assert [(w["start"], w["end"]) for w in windows(out)] == own
    assert [(w["min"], w["max"]) for w in windows(out)] == [(full[:, c].min(), full[:, c].max()) for c in range(2)]


@pytest.mark.parametrize("start, end", [(0, 1), (5000, 60000), (0, 20), (7, 7)])
def test_a_range_that_shows_nothing_is_not_kept(cli, tmp_path, start, end):
    """Of 0 to 1, or beside the data: written by programs that scaled them before."""
    out = str(tmp_path / "in.ome.zarr")
    cli.ok("convert", stack(tmp_path / "a.ome.tif", cells((1, 2, 280, 300), "uint16")), out, *FEW)
    document = json.loads((tmp_path / "in.ome.zarr/zarr.json").read_text())
    document["attributes"]["ome"]["omero"]["channels"][0]["window"].update(start=start, end=end)
    (tmp_path / "in.ome.zarr/zarr.json").write_text(json.dumps(document))
    cli.ok("convert", out, tmp_path / "out.ome.zarr", *FEW)
    check(str(tmp_path / "out.ome.zarr"))


def test_range_does_not_depend_on_blocks_or_who_worked(cli, tmp_path):
    """Nor on blocks of several channels, whose least and most are recorded each."""
    a = stack(tmp_path / "a.ome.tif", cells((3, 8, 300, 280), "float32"))
    found = []
    for i, words in enumerate([(), ("--block", "c=1,z=4,y=64,x=64", "--chunk", "z=4,y=32,x=32"), ("--block", "c=3,z=8,y=128,x=128", "--chunk", "c=3,z=8,y=64,x=64"),
                               ("--block", "c=2,z=8,y=128,x=280", "--chunk", "c=2,z=8,y=64,x=64")]):
        out = str(tmp_path / f"{i}.ome.zarr")
        cli.ok("convert", a, out, *words, *FEW)
        found.append(check(out))
    out = str(tmp_path / "shared.ome.zarr")
    cli.ok("convert", a, out, "--block", "c=3,z=4,y=64,x=64", "--chunk", "z=4,y=32,x=32", "--prepare", *FEW)
    for part in (2, 3, 1):
        cli.ok("work", out, "--part", f"{part}/3", "--quiet")
    assert attributes(out)["pellucid"]["complete"] and all(w == found[0] for w in [*found, windows(out)])


def test_what_is_not_finite_does_not_count(cli, tmp_path):
    a = cells((3, 2, 280, 300), "float32")
    a[0, :, 40:90] = np.nan
    a[0, 0, 0, :9] = [np.inf, -np.inf, np.nan, 1, np.inf, np.inf, -np.inf, -np.inf, np.nan]
    a[1] = np.nan
    a[2] = 7.5
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", stack(tmp_path / "a.ome.tif", a), out, *FEW, "--block", "c=3,z=2,y=64,x=64", "--chunk", "z=2,y=32,x=32")
    full, low = levels(out)[0], levels(out)[-1]
    assert windows(out) == [wanted(full[:, 0], low[:, 0]), {"min": 0, "max": 1, "start": 0, "end": 1}, {"min": 7.5, "max": 8.5, "start": 7.5, "end": 8.5}]


def test_a_sparse_channel_is_not_black(cli, tmp_path):
    """More than 99.9 % of it are one value."""
    a = np.full((1, 1, 280, 300), 3, "u2")
    a[0, 0, 100, 100:105] = 500
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", stack(tmp_path / "a.ome.tif", a), out, "--levels", "1", *FEW)
    assert windows(out) == [{"min": 3, "max": 500, "start": 3, "end": 500}]


def test_colours_of_a_pixel_share_a_range(cli, tmp_path):
    """A stretch of each by itself would change them."""
    rng = np.random.default_rng(1)
    a = np.stack([rng.integers(low, high, (280, 300)) for low, high in ((10, 90), (40, 200), (30, 120))], -1).astype("u1")
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="rgb")
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", tmp_path / "a.tif", out, "--levels", "1", *FEW)
    alone = [wanted(a[..., c], a[..., c]) for c in range(3)]
    assert [(w["min"], w["max"]) for w in windows(out)] == [(w["min"], w["max"]) for w in alone]
    assert {(w["start"], w["end"]) for w in windows(out)} == {(min(w["start"] for w in alone), max(w["end"] for w in alone))}


def test_of_a_large_level_a_part_is_looked_at(cli, tmp_path):
    """Still the real least and most, and a range that a few grey values separate from that of all."""
    a = np.random.default_rng(2).normal(120, 20, (4200, 4200)).astype("u1")
    a[4000, 4000] = 255
    tifffile.imwrite(tmp_path / "a.tif", a, photometric="minisblack", metadata=None)
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", tmp_path / "a.tif", out, "--levels", "1", *FEW)
    found, all_of_it = windows(out)[0], wanted(a, a)
    assert (found["min"], found["max"]) == (all_of_it["min"], all_of_it["max"])
    assert abs(found["start"] - all_of_it["start"]) <= 1 and abs(found["end"] - all_of_it["end"]) <= 1


def test_every_image_of_a_collection_has_its_own(cli, tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as t:
        for i, size in enumerate(((280, 300), (270, 290))):
            t.write(cells((1, 1, *size), "uint16", seed=i)[0, 0] * (i + 1), metadata=None)
    out = str(tmp_path / "out.ome.zarr")
    words = ("convert", tmp_path / "two.tif", out, *FEW)
    cli.ok(*words)
    assert check(out, "0") != check(out, "1")
    assert cli.json("verify", out, "--quiet")["documents"] > 3
    # a kill between the documents and the ledger's record of them: nobody knows of the last ones
    ledger = [os.path.join(out + ".run/ledger", n) for n in os.listdir(out + ".run/ledger")][0]
    with open(ledger, encoding="utf-8") as f:
        lines = f.readlines()
    assert '"job":-1' in lines[-1] and '"job":-1' in lines[0]
    with open(ledger, "w", encoding="utf-8") as f:
        f.writelines(lines[:-1])
    cli.ok(*words)
    check(out, "0")
    check(out, "1")
    cli.ok("verify", out, "--quiet")


def test_the_same_command_again_changes_no_document(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("convert", stack(tmp_path / "a.ome.tif", cells((2, 2, 280, 300), "uint16")), out, *FEW)
    cli.ok(*words)
    before = (tmp_path / "out.ome.zarr/zarr.json").read_bytes()
    cli.ok(*words)
    assert (tmp_path / "out.ome.zarr/zarr.json").read_bytes() == before
    os.remove(tmp_path / "out.ome.zarr/zarr.json")
    cli.ok(*words)
    assert (tmp_path / "out.ome.zarr/zarr.json").read_bytes() == before


def test_names_and_sizes_are_those_of_the_file(cli, tmp_path):
    cli.ok("phantom", tmp_path / "Embryo 7.czi", "--size", "z=3,y=600,x=600", "--quiet")
    image = cli.json("info", tmp_path / "Embryo 7.czi")["images"][0]
    assert image["name"] == "Embryo 7" and image["pixel_size"] == {"t_s": None, "z_um": 0.3, "y_um": 0.1, "x_um": 0.1}
    out = str(tmp_path / "out.ome.zarr")
    words = ("--block", "z=3,y=128,x=128", "--chunk", "z=3,y=64,x=64", *FEW)
    cli.ok("convert", tmp_path / "Embryo 7.czi", out, *words)
    multiscale = attributes(out)["ome"]["multiscales"][0]
    assert multiscale["name"] == "Embryo 7"
    assert [d["coordinateTransformations"][0]["scale"][2:] for d in multiscale["datasets"]] == [[0.3, 0.1, 0.1], [0.3, 0.2, 0.2], [0.6, 0.4, 0.4]]
    assert [d["coordinateTransformations"][1]["translation"][2:] for d in multiscale["datasets"][1:]] == [[0, 0.05, 0.05], [0.15, 0.15, 0.15]]
    os.rename(tmp_path / "Embryo 7.czi", tmp_path / "other.czi")  # the documents go on to bear the first name
    before = (tmp_path / "out.ome.zarr/zarr.json").read_bytes()
    cli.ok("convert", tmp_path / "other.czi", out, *words)
    assert (tmp_path / "out.ome.zarr/zarr.json").read_bytes() == before
    cli.ok("verify", out, "--quiet")


@pytest.mark.parametrize("unit, factor", [("µm", 1), ("nm", 1000), ("mm", 0.001)])
def test_sizes_in_other_units_have_no_stray_digits(cli, tmp_path, unit, factor):
    for size in (0.1, 0.065, 0.325, 0.108333, 1.6):
        tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((4, 40, 50), "u2"), ome=True, photometric="minisblack",
                         metadata={"axes": "ZYX", **{f"PhysicalSize{a}": float(f"{size * factor:.12g}") for a in "XYZ"}, **{f"PhysicalSize{a}Unit": unit for a in "XYZ"}})
        found = cli.json("info", tmp_path / "a.ome.tif")["images"][0]["pixel_size"]
        assert (found["z_um"], found["y_um"], found["x_um"]) == (size, size, size)


def test_a_size_in_micrometres_keeps_all_digits(cli, tmp_path):
    size = 0.10833333333333334
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    group = zarr.open_group(str(tmp_path / "in.zarr"), mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [size] * 3}]}]}]}
    group.create_array("0", data=np.ones((4, 20, 20), "u2"), chunks=(4, 20, 20))
    assert cli.json("info", tmp_path / "in.zarr")["images"][0]["pixel_size"]["x_um"] == size


def test_provenance_is_for_programs_too(cli, tmp_path):
    cli.ok("phantom", tmp_path / "a.czi", "--size", "c=2,z=4,y=280,x=300", "--quiet")
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", tmp_path / "a.czi", out, "--tune", "off", "--strength", "0.45", "--iterations", "2", "--z", "0:4", *FEW)
    cli.ok(*words)
    p = attributes(out)["pellucid"]
    assert p["version"] == cli.json("version")["version"] and p["commit"] == cli.json("version")["commit"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", p["created"]) and p["host"] == os.uname().nodename and p["command"].startswith("pellucid denoise ")
    stat = os.stat(tmp_path / "a.czi")
    assert (p["input"]["name"], p["input"]["format"], p["input"]["bytes"], p["input"]["select"]) == ("a.czi", "czi", stat.st_size, "z=0:4")
    assert np.datetime64(p["input"]["changed"].rstrip("Z")) == np.datetime64(stat.st_mtime_ns, "ns")
    s = p["settings"]
    assert s["strength"] == 0.45 and s["iterations"] == 2 and s["patch"] == {"z": 1, "y": 2, "x": 2} and s["channels"] == "apart" and s["format"] == "0.5"
    assert all(isinstance(v, int) for v in s["radius-xy"])
    assert not any(isinstance(v, str) and re.fullmatch(r"[\d.;,=xyzt -]+", v) for n, v in s.items() if n not in ("format", "axes"))
    text = json.dumps(p)
    assert "cloud" not in text and len(text) < 4000 and [len(p["noise"]), len(p["noise"][0])] == [1, 2]
    plan = json.load(open(out + ".run/plan.json", encoding="utf-8"))
    assert len(plan["noise"][0][0]["cloud"]) == 400
    with open(cli.ok("report", out).strip(), encoding="utf-8") as page:
        assert page.read().count("noise of channel") == 2
    before = (tmp_path / "out.ome.zarr/zarr.json").read_bytes()
    os.remove(tmp_path / "out.ome.zarr/zarr.json")
    cli.ok(*words)  # numbers that were read back from the plan are written as before
    assert (tmp_path / "out.ome.zarr/zarr.json").read_bytes() == before


def test_settings_of_channels_and_of_two_gaussians_are_lists(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("dog", "phantom:c=1,z=4,y=64,x=64", out, "--sigma", "z=1,y=2,x=2;z=2,y=4.5,x=4.5", *FEW)
    assert attributes(out)["pellucid"]["settings"]["sigma"] == [{"z": 1, "y": 2, "x": 2}, {"z": 2, "y": 4.5, "x": 4.5}]


@pytest.mark.skipif(not os.path.isdir(os.path.join(ROOT, ".git")), reason="no repository")
def test_commit_is_that_of_the_source(cli):
    said = cli.json("version")["commit"]
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", said)
    head = subprocess.run(["git", "-C", ROOT, "cat-file", "-t", said.removesuffix("-dirty")], capture_output=True, text=True)
    assert head.stdout.strip() == "commit"


def test_records_of_no_numbers_do_not_spoil_the_documents(cli, tmp_path):
    """A ledger that somebody changed: JSON has no infinity, and viewers no range up to it."""
    out = str(tmp_path / "out.ome.zarr")
    words = ("convert", stack(tmp_path / "a.ome.tif", cells((1, 2, 280, 300), "float32")), out, "--block", "z=2,y=64,x=64", "--chunk", "z=2,y=32,x=32", *FEW)
    cli.ok(*words)
    path = os.path.join(out + ".run/ledger", os.listdir(out + ".run/ledger")[0])
    with open(path, encoding="utf-8") as f:
        lines = f.readlines()
    for i, line in enumerate(lines):
        record = json.loads(line[9:])
        if record["job"] in (0, 1):
            lines[i] = line_of({**record, "min": -float("inf"), "max": float("inf") if record["job"] else None})
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(lines)
    os.remove(os.path.join(out, "zarr.json"))
    cli.ok(*words)
    assert all(np.isfinite(list(w.values())).all() for w in windows(out))
