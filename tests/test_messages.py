# SPDX-License-Identifier: MIT
"""What the program says: names from files cannot command a terminal, the reason of an error is never cut off."""
import json
import os
import re
import subprocess

import numpy as np
import tifffile

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\rall is well\x08\u202etxt.\u2066\u00e9\u2013\u2080"  # a title, a cleared screen, the same by one byte, a line begun again, text turned around
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def says(cli, *words, **options):
    done = subprocess.run([cli.path, *map(str, words)], capture_output=True, timeout=120, **options)
    for text in (done.stdout.decode(), done.stderr.decode()):
        assert not CONTROLS.search(text), (words, text)
    return done


def evil_zarr(folder, evil=EVIL, dtype="uint16"):
    """An OME-Zarr whose names hold control characters, as JSON can."""
    path = folder / f"evil{evil}.zarr"
    os.makedirs(path / "0" / "c" / "0" / "0")
    scales = [{"type": "scale", "scale": [1, 1]}]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    ome = {"version": "0.5", "multiscales": [{"name": evil, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scales}]}],
           "omero": {"channels": [{"label": evil, "color": "FFFFFF", "window": {"start": 0, "end": 9, "min": 0, "max": 9}}]}}
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}))
    array = {"zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": dtype, "fill_value": 0,
             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
             "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
             "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    (path / "0" / "zarr.json").write_text(json.dumps(array))
    (path / "0" / "c" / "0" / "0").rmdir()
    (path / "0" / "c" / "0" / "0").write_bytes(bytes(os.urandom(64 * 64 * 2)))
    return path


def test_names_of_files_command_no_terminal(cli, tmp_path):
    path, out = evil_zarr(tmp_path), tmp_path / f"out{EVIL}.zarr"
    assert b"\\u001b" in says(cli, "info", path).stdout
    noise = ("--noise", "3", "--tune", "off")
    for words in (["info", path], ["checksum", path], ["compare", path, path], ["noise", path], ["plan", "denoise", path, out, *noise],
                  ["denoise", path, out, *noise], ["denoise", path, out, *noise], ["status", out], ["report", out], ["verify", out],
                  ["work", out], ["info", str(path) + "2"], ["denoise", path, out, "--noise", "4"], ["submit", out, "--scheduler", "slurm"],
                  ["picture", path, tmp_path / f"{EVIL}.txt"], ["convert", path, path], [EVIL], ["info", "--" + EVIL], ["convert", path, "x" + EVIL + ".tif"]):
        says(cli, *words)
        if words[0] in ("info", "checksum", "compare", "noise", "plan", "status", "verify") and not str(words[-1]).endswith("2"):
            done = says(cli, *words, "--json")
            if done.returncode == 0:
                json.loads(done.stdout)
    assert json.loads(says(cli, "info", path, "--json").stdout)["path"] == str(path)


LINE = "\n  channel 1 fake"
OME = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="{name}">'
       '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeY="64" SizeZ="1" SizeC="1" SizeT="1">'
       '<Channel ID="Channel:0:0" Name="{name}" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>')


def test_names_of_files_begin_no_line(cli, tmp_path):
    """A name with a line feed does not pass for a line of ours, on whichever verb's output."""
    path, out, noise = evil_zarr(tmp_path, LINE), tmp_path / f"out{LINE}.zarr", ("--noise", "3", "--tune", "off")
    image, name = tmp_path / "evil.ome.tif", LINE.replace("\n", "&#10;")
    tifffile.imwrite(image, np.random.default_rng(1).normal(100, 9, (64, 64)).astype("u2"), metadata=None, description=OME.format(name=name))
    shown = r"\u000a" + LINE[1:]
    for words in (["info", image], ["info", path], ["checksum", image], ["checksum", path], ["noise", image], ["noise", path], ["plan", "denoise", image, out, *noise],
                  ["denoise", path, out, *noise], ["status", out], ["verify", out], ["work", out], ["compare", path, out], ["info", str(path) + "2"],
                  ["tune", image], ["convert", path, path], ["denoise", path, out, "--noise", "4"], ["convert", path, "x" + LINE + ".tif"], ["info", "--" + LINE]):
        done = says(cli, *words)
        for text in (done.stdout.decode(), done.stderr.decode()):
            assert not re.search("^" + LINE[1:], text, re.M), (words, text)
        if words[0] in ("info", "checksum", "noise", "status"):
            assert shown in (done.stdout + done.stderr).decode(), words


def test_letters_pass(cli, tmp_path):
    assert "größe µ 漢 🔬" in cli.fails(3, "info", tmp_path / "größe µ 漢 🔬")


def test_a_long_path_keeps_the_reason(cli, tmp_path):
    folder = tmp_path.joinpath(*(f"a_rather_long_folder_name_of_a_lab_share_{i}" for i in range(10)))
    os.makedirs(folder)
    cli.ok("phantom", folder / "d.czi", "--size", "c=1,z=1,y=256,x=256", "--compression", "zstd1", "--quiet")
    data = bytearray((folder / "d.czi").read_bytes())
    at = data.find(b"\x28\xb5\x2f\xfd")
    for k in range(at + 60, at + 400):
        data[k] ^= 0xFF
    (folder / "d.czi").write_bytes(data)
    said = cli.fails(1, "denoise", folder / "d.czi", folder / "o.ome.zarr", "--noise", "3.92,-388", "--tune", "off", "--quiet")
    lines = [line for line in said.splitlines() if "tile 0" in line]
    assert len(lines) == 2 and all("zstd: Data corruption detected" in line and "…" in line for line in lines), said


def test_a_finished_run_has_nothing_to_do(cli, tmp_path):
    for name, more in (("o.ome.zarr", ()), ("p.ome.zarr", ("--state", tmp_path / "state"))):
        out = tmp_path / name
        words = ("convert", "phantom:y=64,x=64", out, *more)
        assert "done: 1 block" in cli(*words).stderr
        for again in (words, ("work", more[-1] if more else out)):
            said = cli(*again)
            assert said.returncode == 0
            assert re.search(r"^nothing to do: finished \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; every file audited$", said.stderr, re.M), said.stderr
        assert "done: 1 block" in cli(*words, "--fresh").stderr
        shard = next(os.path.join(at, n) for at, _, names in os.walk(out) for n in names if n != "zarr.json")
        os.unlink(shard)
        assert "done: 1 block" in cli(*words).stderr and os.path.exists(shard)


def test_a_size_without_a_unit_is_told_as_it_was_typed(cli, tmp_path):
    """Schedulers count in MiB."""
    stderr = cli.fails(2, "convert", "phantom:z=2,y=64,x=64", tmp_path / "o.zarr", "--memory", "501760")
    assert "501760 bytes" in stderr and "write 501760M" in stderr and "0 MiB" not in stderr
    for verb in ("checksum", "noise"):
        stderr = cli.fails(2, verb, "phantom:z=2,y=64,x=64", "--memory", "501760")
        assert "501760 bytes" in stderr and "write 501760M" in stderr and "is 0 MiB" not in stderr
    assert os.listdir(tmp_path) == []
