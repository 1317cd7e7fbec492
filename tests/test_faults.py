# SPDX-License-Identifier: MIT
"""Single calls of the file system that fail while files are put in their place (tests/fault_shim.c): never success, never a record
of what is not there, and the same command makes the same bytes."""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from shim import shim
from test_audit import IMAGE, WORDS, line_of, read, records, tree, verify

EIO, ENOSPC, EINTR = 5, 28, 4


def fault(tmp_path, call, part, count, reason):
    told = tmp_path / "faults"
    told.unlink(missing_ok=True)
    return shim(FAULT=f"{call}:{reason}:{count}:{part}", TOLD=told)


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    """The undisturbed output of each format."""
    whole = {}
    for version in ("0.5", "0.4"):
        whole[version] = str(tmp_path_factory.mktemp("made") / "out.ome.zarr")
        cli.ok("convert", IMAGE, whole[version], *WORDS, "--format", version)
    return whole


def pixels(folder):
    return {k: v for k, v in tree(folder).items() if "zarr.json" not in k and "/." not in "/" + k}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("level", ["0", "1", "2"])
@pytest.mark.parametrize("call", ["fdatasync", "close", "rename", "write"])
def test_an_error_of_the_late_write_is_no_success(cli, made, tmp_path, call, level, version):
    """Files are synced, closed and renamed by a crew while the next are encoded: what fails there must still reach the block."""
    out = str(tmp_path / "out.ome.zarr")
    words = ("convert", IMAGE, out, *WORDS, "--format", version)
    part = f"/out.ome.zarr/{level}/" + ("c/" if version == "0.5" else "0/")
    done = cli(*words, env=fault(tmp_path, call, part, "1@2", ENOSPC))
    assert len((tmp_path / "faults").read_text().splitlines()) == 1
    assert done.returncode == 1 and "No space left" in done.stderr and part in done.stderr, done.stderr
    assert json.loads(cli("status", out, "--json").stdout)["failed"] >= 1
    listed = {f[0] for r in records(out) for f in r.get("files", [])}
    assert all(os.path.exists(f"{out}/{name}") for name in listed), "a record of what is not there"
    assert not glob.glob(f"{out}/**/.tmp-*", recursive=True)
    cli.ok(*words)
    assert pixels(out) == pixels(made[version])
    assert verify(cli, out)[0] == 0


@pytest.mark.parametrize("how,error", [("half", "short"), ("interrupted", EINTR)])
def test_a_ledger_that_is_written_in_pieces(cli, made, tmp_path, how, error):
    """Half a line is taken, or a signal comes first: the rest follows, and no job is lost."""
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", IMAGE, out, *WORDS, env=fault(tmp_path, "write", "/ledger/", 100000 if how == "half" else "1@1", error))
    assert (tmp_path / "faults").stat().st_size > 0
    status = cli.json("status", out)
    assert status["state"] == "done" and status["failed"] == 0 and pixels(out) == pixels(made["0.5"])
    assert all(len(line) > 100 for name in glob.glob(f"{out}.run/ledger/*.jsonl") for line in open(name))


def test_a_torn_line_does_not_take_the_next_along(cli, tmp_path):
    """The ledger's disk is full in the middle of a record: that job failed, those before and after hold."""
    out = str(tmp_path / "out.ome.zarr")
    torn = f"write:short:1@4:/ledger/;write:{ENOSPC}:1@4:/ledger/"  # half of the fifth, then nothing
    assert cli("convert", IMAGE, out, *WORDS, env=shim(FAULT=torn)).returncode == 1
    (name,) = glob.glob(f"{out}.run/ledger/*.jsonl")
    assert sum(not line.endswith("}\n") for line in open(name)) == 1, "no torn line"
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["failed"] == 1 and status["blocks_done"] == status["blocks_total"] - 1
    cli.ok("convert", IMAGE, out, *WORDS)


# ---- records that say other files than the plan --------------------------------------------------------------------------


def change_record(out, job, change):
    path = glob.glob(f"{out}.run/ledger/*.jsonl")[0]
    lines = open(path).read().splitlines(True)
    for i, line in enumerate(lines):
        record = json.loads(line[9:])
        if record["job"] == job:
            change(record["files"])
            lines[i] = line_of(record)
    open(path, "w").writelines(lines)


CHANGES = {
    "level 0 less": (lambda f: f.pop(0), 1, 0),
    "level 1 less": (lambda f: f.pop(1), 1, 0),
    "none": (lambda f: f.clear(), 2, 0),
    "one more": (lambda f: f.append(["0/c/0/0/0/9/9", -1, ""]), 0, 2),
    "twice": (lambda f: f.append(f[0]), 0, 1),
    "another name": (lambda f: f.__setitem__(0, ["0/c/0/0/0/0/0", *f[0][1:]]), 1, 2),
    "a name that leads out": (lambda f: f.append(["../out.ome.zarr/0/c/0/0/0/0/1", -1, ""]), 0, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_lists_the_files_of_its_block_and_no_others(cli, made, tmp_path, change):
    """`verify` tells, the same command does that block again; on the way its files are gone, as an error that was overlooked would have it."""
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(made["0.5"], out)
    shutil.copytree(made["0.5"] + ".run", out + ".run")
    how, missing, damaged = CHANGES[change]
    change_record(out, 1, how)
    if missing:
        for name in ("0/c/0/0/0/0/1", "1/c/0/0/0/0/1"):
            listed = {f[0] for r in records(out) for f in r["files"]}
            if name not in listed:
                os.remove(f"{out}/{name}")
    code, found = verify(cli, out)
    assert code == 1 and (found["missing"], found["damaged"]) == (missing, damaged) and "job 1" in found["first"], found
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(made["0.5"])
    assert sum(r["job"] == 1 and r["ok"] for r in records(out)) == 2
    assert verify(cli, out)[0] == 0


def test_pyramid_jobs_are_held_against_the_plan_too(cli, made, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(made["0.5"], out)
    shutil.copytree(made["0.5"] + ".run", out + ".run")
    last = max(r["job"] for r in records(out))
    change_record(out, last, lambda f: f.clear())
    assert verify(cli, out)[1]["missing"] == 1
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(made["0.5"]) and verify(cli, out)[0] == 0


# ---- the run's folder ------------------------------------------------------------------------------------------------------


def started(cli, out, image, count):
    """A convert that has recorded at least so many jobs, stopped."""
    before = len(records(out)) if os.path.isdir(out + ".run") else 0
    p = subprocess.Popen([cli.path, "convert", image, out, *WORDS], stderr=subprocess.PIPE, text=True)
    while p.poll() is None and len(records(out)) < before + count:
        time.sleep(0.002)
    p.send_signal(signal.SIGSTOP)
    assert p.poll() is None, "ended before it could be stopped"
    return p


def test_records_of_an_earlier_process_are_missed_when_they_go(cli, tmp_path):
    """Their jobs were taken for done when this process began; at its end nothing speaks for their files any more."""
    out, image = str(tmp_path / "out.ome.zarr"), IMAGE.replace("y=140,x=150", "y=700,x=800")
    first = started(cli, out, image, 5)
    first.kill()
    first.communicate()
    (earlier,) = glob.glob(f"{out}.run/ledger/*.jsonl")
    second = started(cli, out, image, 5)
    os.remove(earlier)
    second.send_signal(signal.SIGCONT)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 1 and "finished jobs are gone" in said, said
    cli.ok("convert", image, out, *WORDS)
    assert verify(cli, out)[0] == 0


@pytest.mark.parametrize("what", ["folder", "ledger", "plan.json", "moved"])
def test_a_run_whose_books_are_taken_away_does_not_end_in_success(cli, tmp_path, what):
    out = str(tmp_path / "out.ome.zarr")
    image = IMAGE.replace("y=140,x=150", "y=700,x=800")
    p = started(cli, out, image, 5)
    if what == "moved":
        os.rename(out + ".run", out + ".moved")
    elif what == "plan.json":
        os.remove(out + ".run/plan.json")
    else:
        shutil.rmtree(out + ".run" if what == "folder" else out + ".run/ledger")
    p.send_signal(signal.SIGCONT)
    _, said = p.communicate(timeout=120)
    assert p.returncode not in (0, 4) and "out.ome.zarr.run" in said and "removed" in said, (p.returncode, said)
    assert cli("status", out).returncode != 0 or json.loads(cli("status", out, "--json").stdout)["state"] != "done"
