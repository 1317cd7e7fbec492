# SPDX-License-Identifier: MIT
"""Inputs and outputs that were moved, and runs whose numbers are of another version."""
import json
import os
import re
import shutil

import pytest

WORDS = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "1", "--chunk", "z=4,y=32,x=32", "--block", "z=4,y=64,x=64", "--levels", "4", "--quiet")


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    cli.ok("phantom", folder / "a.czi", "--size", "z=5,y=150,x=170", "--scenes", "2", "--quiet")
    cli.ok("denoise", folder / "a.czi", folder / "out.ome.zarr", *WORDS)
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy of input, output and state; the plan names the input's copy."""
    shutil.copytree(made, tmp_path / "copy", copy_function=shutil.copy2)
    rewrite_plan(tmp_path / "copy", lambda text: text.replace(str(made / "a.czi"), str(tmp_path / "copy" / "a.czi"), 1))
    return tmp_path / "copy"


def rewrite_plan(folder, change):
    path = folder / "out.ome.zarr.run" / "plan.json"
    before = path.read_text()
    assert change(before) != before
    path.write_text(change(before))


def planned_input(folder):
    return json.load(open(folder / "out.ome.zarr.run" / "plan.json"))["input"]["path"]


def test_the_same_command_records_where_the_input_is_now(cli, run):
    os.rename(run / "a.czi", run / "b.czi")
    cli.ok("plan", "denoise", run / "b.czi", run / "out.ome.zarr", *WORDS, "--no-timing")
    assert planned_input(run) == str(run / "a.czi"), "a plan writes nothing"
    cli.ok("denoise", run / "b.czi", run / "out.ome.zarr", *WORDS)
    assert planned_input(run) == str(run / "b.czi")
    assert cli.json("verify", run / "out.ome.zarr", "--windows", "3")["windows"] == 3
    cli.ok("work", run / "out.ome.zarr", "--quiet")


def test_verify_takes_the_input_from_elsewhere(cli, run):
    os.rename(run / "a.czi", run / "b.czi")
    result = cli.json("verify", run / "out.ome.zarr", "--windows", "3", "--input", run / "b.czi")
    assert result["windows"] == 3 and result["not_recomputed"] == ""
    assert planned_input(run) == str(run / "a.czi"), "verify writes nothing"
    assert "no such file" in cli.fails(3, "verify", run / "out.ome.zarr", "--input", run / "c.czi")
    cli.ok("phantom", run / "c.czi", "--size", "z=5,y=150,x=170", "--scenes", "2", "--seed", "3", "--quiet")
    assert "input was" in cli.fails(2, "verify", run / "out.ome.zarr", "--input", run / "c.czi")


def test_without_the_input_files_and_levels_are_audited(cli, run):
    os.remove(run / "a.czi")
    result = cli.json("verify", run / "out.ome.zarr", "--windows", "8", "--seed", "1")
    assert result["level_windows"] == [0, 2, 2, 2] and result["files"] > 10
    assert "a.czi: no such file" in result["not_recomputed"] and "--input" in result["not_recomputed"]
    assert "not recomputed from the input: " in cli.ok("verify", run / "out.ome.zarr")
    os.remove(run / "out.ome.zarr" / "0" / "0" / "c" / "0" / "0" / "0" / "0" / "1")
    done = cli("verify", run / "out.ome.zarr", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["missing"] == 1


def test_another_input_under_the_name_is_told(cli, run):
    os.utime(run / "a.czi", (1, 1))
    result = cli.json("verify", run / "out.ome.zarr", "--windows", "4")
    assert result["windows"] == 0 and "input was" in result["not_recomputed"]


def older(text):
    return re.sub(r'("numeric version": ?)"\d+"', r'\1"1"', text)


def test_numbers_of_another_version_are_refused_but_audited(cli, run):
    rewrite_plan(run, older)
    message = cli.fails(2, "denoise", run / "a.czi", run / "out.ome.zarr", *WORDS)
    assert "begun by numeric version 1, this pellucid has " in message and "(program " in message
    cli.fails(2, "work", run / "out.ome.zarr", "--quiet")
    result = cli.json("verify", run / "out.ome.zarr", "--windows", "4")
    assert "numbers are of version 1" in result["not_recomputed"] and sum(result["level_windows"]) == 0 and result["files"] > 10
    victim = run / "out.ome.zarr" / "0" / "0" / "c" / "0" / "0" / "0" / "0" / "1"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    done = cli("verify", run / "out.ome.zarr", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["damaged"] == 1


@pytest.mark.parametrize("factor", [[1, 1, 1, 0, 2], [1, 1, 1, 3, 2], [1, 1, 1, 1 << 40, 2]])
def test_a_plan_that_cannot_be_checked_against_the_input_must_be_sound(cli, run, factor):
    os.remove(run / "a.czi")
    path = run / "out.ome.zarr.run" / "plan.json"
    plan = json.load(open(path))
    plan["images"][1]["levels"][1]["factor"] = factor
    json.dump(plan, open(path, "w"))
    assert "plan.json: image 1" in cli.fails(3, "verify", run / "out.ome.zarr")


def test_status_says_that_the_output_is_gone(cli, run):
    os.rename(run / "out.ome.zarr", run / "elsewhere")
    done = cli("status", run / "out.ome.zarr")
    assert done.returncode == 1 and "out.ome.zarr: output gone" in done.stdout and "moved or deleted" in done.stdout
    assert json.loads(cli("status", run / "out.ome.zarr", "--json").stdout)["state"] == "output gone"
    os.rename(run / "elsewhere", run / "out.ome.zarr")
    assert cli.json("status", run / "out.ome.zarr")["state"] == "done"
