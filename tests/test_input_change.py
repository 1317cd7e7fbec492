# SPDX-License-Identifier: MIT
"""An input that changes while a run reads it: the run does not end as done, says why, and what to do."""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tifffile
import zarr

SLOW = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "2", "--threads", "1", "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32",
        "--quiet")


def records(output):
    return sum(line.endswith("\n") for name in glob.glob(f"{output}.run/ledger/*.jsonl") for line in open(name))


def run_and_change(cli, words, output, change, least=2):
    """Stops the program when it has done some blocks, changes the input, lets it go on; returns its exit code and messages."""
    p = subprocess.Popen([cli.path, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and records(output) < least:
        time.sleep(0.002)
    p.send_signal(signal.SIGSTOP)
    assert p.poll() is None, "it was too quick for this test"
    change()
    p.send_signal(signal.SIGCONT)
    _, message = p.communicate(timeout=200)
    return p.returncode, message


def state(cli, out):
    return json.loads(cli("status", out, "--json").stdout)["state"]


def overwrite(path):
    with open(path, "r+b") as f:
        f.seek(20000)  # pixels
        f.write(bytes(100))


def grow(path):
    with open(path, "ab") as f:
        f.write(bytes(4096))


@pytest.mark.parametrize("change, name", [(overwrite, "a.czi"), (grow, "a.czi"), (overwrite, "a.tif"), (grow, "a.tif")])
def test_a_file_that_changes_is_told(cli, tmp_path, change, name):
    source, out = str(tmp_path / name), str(tmp_path / "out.ome.zarr")
    cli.ok("phantom", source, "--size", "z=8,y=130,x=130", "--quiet")
    kept = shutil.copy2(source, tmp_path / "kept")
    words = ("denoise", source, out, *SLOW)
    code, message = run_and_change(cli, words, out, lambda: change(source))
    assert code == 1 and "changed while the run read it (was " in message and "--fresh" in message, message
    assert state(cli, out) == "incomplete"
    assert json.load(open(f"{out}/zarr.json"))["attributes"]["pellucid"]["complete"] is False
    assert "input was" in cli.fails(2, *words)
    os.replace(kept, source)  # the same bytes and times again
    cli.ok(*words, "--fresh")
    assert state(cli, out) == "done"


def test_every_file_of_a_set_is_looked_at(cli, tmp_path):
    """Two OME-TIFFs that name each other; the second is written to."""
    data = np.random.default_rng(1).integers(0, 4000, (8, 130, 130)).astype("uint16")
    names = ["a.ome.tif", "b.ome.tif"]
    pixels = "".join(f'<TiffData IFD="{z % 4}" FirstZ="{z}" PlaneCount="1"><UUID FileName="{names[z // 4]}">urn:uuid:{z // 4}</UUID></TiffData>'
                     for z in range(8))
    xml = ('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
           f'Type="uint16" SizeX="130" SizeY="130" SizeZ="8" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>{pixels}</Pixels></Image></OME>')
    for k, name in enumerate(names):
        with tifffile.TiffWriter(tmp_path / name) as f:
            for z in range(4):
                f.write(data[4 * k + z], description=xml if z == 0 else None, metadata=None)
    out = str(tmp_path / "out.ome.zarr")
    assert cli.json("info", tmp_path / "a.ome.tif")["images"][0]["shape"]["z"] == 8
    code, message = run_and_change(cli, ("denoise", tmp_path / "a.ome.tif", out, *SLOW), out, lambda: overwrite(tmp_path / "b.ome.tif"))
    assert code == 1 and "changed while the run read it" in message, message


@pytest.fixture
def store(tmp_path):
    path = str(tmp_path / "in.zarr")
    data = np.random.default_rng(1).integers(100, 200, (8, 130, 130)).astype("uint16")
    zarr.create_array(path, data=data, chunks=(4, 32, 32))
    return path


def rewrite(store, key, how):
    path = os.path.join(store, key)
    whole = open(os.path.join(store, "c/1/2/2"), "rb").read()
    if how == "in place":
        with open(path, "r+b") as f:
            f.truncate(0)
            f.write(whole)
    elif how == "renamed":
        with open(path + ".new", "wb") as f:
            f.write(whole)
        os.replace(path + ".new", path)
    else:
        os.remove(path)


@pytest.mark.parametrize("how", ["in place", "renamed", "removed"])
def test_chunks_that_change_are_told_and_their_blocks_done_again(cli, tmp_path, store, how):
    out, fresh = str(tmp_path / "out.ome.zarr"), str(tmp_path / "fresh.ome.zarr")
    words = ("denoise", store, out, "--input-axes", "zyx", *SLOW)
    code, message = run_and_change(cli, words, out, lambda: rewrite(store, "c/0/0/0", how))
    assert code == 1 and "1 chunks changed after they were read, the first is c/0/0/0" in message, message
    assert state(cli, out) == "incomplete"
    left = json.loads(cli("status", out, "--json").stdout)
    assert 0 < left["blocks_total"] - left["blocks_done"] < left["blocks_total"] / 2, "only those that read the chunk"
    cli.ok(*words)
    cli.ok("denoise", store, fresh, "--input-axes", "zyx", *SLOW)
    for level in range(len(json.load(open(f"{out}.run/plan.json"))["images"][0]["levels"])):
        assert cli.ok("checksum", out, "--level", level).split()[0] == cli.ok("checksum", fresh, "--level", level).split()[0]


def test_levels_above_a_changed_block_are_made_again(cli, tmp_path, store):
    """All is done but some blocks, whose records are lost: the levels above count as done when the chunk changes."""
    out, fresh = str(tmp_path / "out.ome.zarr"), str(tmp_path / "fresh.ome.zarr")
    words = ("denoise", store, out, "--input-axes", "zyx", *SLOW, "--levels", "4")
    cli.ok(*words)
    plan = json.load(open(f"{out}.run/plan.json"))["images"][0]
    assert plan["owned_levels"] < len(plan["levels"]) == 4
    for name in glob.glob(f"{out}.run/ledger/*.jsonl"):
        lines = [line for line in open(name) if json.loads(line[9:])["job"] >= 24]
        open(name, "w").writelines(lines)
    code, message = run_and_change(cli, words, out, lambda: rewrite(store, "c/0/0/0", "in place"), least=records(out) + 2)
    assert code == 1 and "1 chunks changed after they were read" in message, message
    cli.ok(*words)
    cli.ok("denoise", store, fresh, *words[3:])
    for level in range(4):
        assert cli.ok("checksum", out, "--level", level).split()[0] == cli.ok("checksum", fresh, "--level", level).split()[0], level


def test_an_array_that_grows_is_told(cli, tmp_path, store):
    out = str(tmp_path / "out.ome.zarr")
    code, message = run_and_change(cli, ("denoise", store, out, "--input-axes", "zyx", *SLOW), out,
                                   lambda: zarr.open_array(store, mode="r+").resize((12, 130, 130)))
    assert code == 1 and "changed while the run read it" in message, message


def test_chunks_of_a_selection_and_of_positions(cli, tmp_path):
    """A chunk outside of what is read says nothing, one inside is found through the selection and the axis of positions."""
    store = str(tmp_path / "in.zarr")
    zarr.create_array(store, data=np.random.default_rng(1).integers(100, 200, (3, 8, 130, 130)).astype("uint16"), chunks=(1, 4, 32, 32))
    for position, told in ((0, False), (1, True)):
        out = str(tmp_path / f"{position}.ome.zarr")
        words = ("denoise", store, out, "--input-axes", "pzyx", "--position", "1", "--z", "4:8", *SLOW)
        code, message = run_and_change(cli, words, out, lambda: os.utime(f"{store}/c/{position}/1/0/0", (1, 1)))
        assert code == (1 if told else 0), message
        assert not told or f"c/{position}/1/0/0; " in message and " 0 jobs" not in message, message


def test_a_share_tells_it_too(cli, tmp_path, store):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", store, out, "--input-axes", "zyx", *SLOW, "--prepare")
    words = ("work", out, "--part", "1/2", "--threads", "1", "--quiet")
    code, message = run_and_change(cli, words, out, lambda: rewrite(store, "c/0/0/0", "renamed"))
    assert code == 1 and "chunks changed after they were read" in message, message
    for part in ("1/2", "2/2"):
        cli.ok("work", out, "--part", part, "--quiet")
    assert state(cli, out) == "done"


def test_an_input_that_goes_away_is_told(cli, tmp_path):
    source, out = str(tmp_path / "a.czi"), str(tmp_path / "out.ome.zarr")
    cli.ok("phantom", source, "--size", "z=8,y=130,x=130", "--quiet")
    code, message = run_and_change(cli, ("denoise", source, out, *SLOW), out, lambda: os.remove(source))
    assert code == 1 and "cannot be opened any more" in message, message
