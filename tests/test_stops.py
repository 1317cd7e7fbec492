# SPDX-License-Identifier: MIT
"""Why a run stands still, and what to do, as `status`, its JSON, the page and the report tell it: a full disk, no memory, a walltime that
is over, a manager that was killed, another user."""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from shim import shim
from test_audit import IMAGE, WORDS
from test_jobs import Site, note

ENOMEM, ENOSPC, EDQUOT = 12, 28, 122
NOBODY = 65534


def told(cli, out, *words, state="interrupted", env=None):
    """The reason has these words in all four."""
    status = json.loads(cli("status", out, "--json", env=env).stdout)
    assert status["state"] == state and all(w in status["reason"] for w in words), status
    assert status["reason"] in cli("status", out, env=env).stdout.splitlines()[0]
    cli.ok("report", out, "--output", out + ".html", "--overwrite", env=env)
    cli.ok("report", out, env=env)
    for name in (out + ".html", out + ".run/index.html"):
        with open(name, encoding="utf-8") as f:
            shown = f.read()
        assert all(w in shown for w in words), name


@pytest.mark.parametrize("number,words", [(ENOSPC, ("No space left", "; make room there, then give the same command again")),
                                          (EDQUOT, ("quota exceeded", "have the quota raised"))], ids=["disk", "quota"])
def test_a_full_disk(cli, tmp_path, number, words):
    out = str(tmp_path / "out.ome.zarr")
    done = cli("convert", IMAGE, out, *WORDS, env=shim(FAULT=f"write:{number}:100000@2:/out.ome.zarr/0/c/"))
    assert done.returncode == 1 and all(w in done.stderr for w in words), done.stderr
    told(cli, out, *words, "/out.ome.zarr/0/c/")
    cli.ok("convert", IMAGE, out, *WORDS)
    assert cli.json("status", out)["reason"] == ""


def test_a_disk_without_one_byte_left(cli, tmp_path):
    """The folder of the run lies on it, too: what is said needs room that only the files that failed gave back."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", disk], capture_output=True).returncode != 0:
        pytest.skip("may not mount a small disk")
    try:
        out = str(disk / "out.ome.zarr")
        cli.ok("convert", IMAGE, out, *WORDS, "--prepare")
        with open(disk / "rest", "wb", buffering=0) as f, pytest.raises(OSError):
            while f.write(bytes(1 << 16)):
                pass
        with open(disk / "rest", "r+b") as f:
            f.truncate(os.path.getsize(disk / "rest") - (1 << 15))  # the run begins
        done = cli("work", out, "--quiet")
        assert done.returncode == 1 and "No space left" in done.stderr and "make room" in done.stderr, done.stderr
        status = json.loads(cli("status", out, "--json").stdout)
        assert "make room" in status["reason"] and status["state"] != "done"
        os.remove(disk / "rest")
        cli.ok("work", out, "--quiet")
        assert cli.json("status", out)["state"] == "done"
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_memory_that_the_system_does_not_give(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    done = cli("gaussian", IMAGE, out, *WORDS, "--sigma", "1", env=shim(FAULT=f"mmap:{ENOMEM}:100000@3"))
    assert done.returncode == 1, done.stderr
    told(cli, out, "the system gives no ", "Cannot allocate memory; end other programs", "--threads", "--memory", state="incomplete")


def part(cli, out):
    """Half of a run, which stands still where it has begun."""
    p = subprocess.Popen([cli.path, "work", out, "--part", "1/2", "--threads", "1", "--quiet"], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 300
    while not glob.glob(f"{out}.run/workers/*,{p.pid},*"):
        assert p.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    os.kill(p.pid, signal.SIGSTOP)
    return p


@pytest.fixture
def prepared(cli, tmp_path):
    cli.ok("phantom", tmp_path / "a.czi", "--size", "z=8,y=256,x=256", "--quiet")
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", tmp_path / "a.czi", out, "--prepare", "--quiet", "--noise", "1,0", "--tune", "off", "--chunk", "z=4,y=64,x=64", "--block", "z=4,y=64,x=64")
    return out


def test_a_part_that_hears_of_its_walltime(cli, prepared):
    p = part(cli, prepared)
    p.send_signal(signal.SIGUSR1)
    p.send_signal(signal.SIGCONT)
    p.communicate(timeout=300)
    assert p.returncode == 4
    status = json.loads(cli("status", prepared, "--json").stdout)
    told(cli, prepared, "early signal", "time was nearly up", "; what is done stays: submit again", state=status["state"])


VERDICTS = {"TIMEOUT": "its walltime was over", "OUT_OF_MEMORY": "its memory was too small", "NODE_FAIL": "its host was lost", "CANCELLED by 1001": "it was cancelled"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_part_that_its_scheduler_ended(cli, prepared, tmp_path, verdict):
    site = Site(tmp_path / "site")
    site.program("squeue")
    ends = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + s)) for s in (3000, 3600, -3600)]
    answer = f"12_1|COMPLETED|0:0|n1|{ends[1]}\n12_3|{verdict}|0:15|n2|{ends[1]}\n12_2|FAILED|1:0|n2|{ends[0]}\n"
    p = part(cli, prepared)
    p.kill()
    p.communicate()
    reason = json.loads(cli("status", prepared, "--json").stdout)["reason"]
    assert f"process {p.pid} on" in reason and "ended without a word" in reason and "the same command goes on" in reason
    note(prepared, "slurm", 12, 3)
    site.program("sacct", f"12_1|FAILED|1:0|n1|{ends[2]}\n")  # long before
    assert json.loads(cli("status", prepared, "--json", env=site.env).stdout)["reason"] == reason
    os.remove(prepared + ".run/verdicts.jsonl")
    site.program("sacct", answer)
    told(cli, prepared, f"job 12_3 of slurm ended on n2, {verdict}", VERDICTS[verdict], "what is done stays", state="planned", env=site.env)
    p = part(cli, prepared)  # that is over: the next one ends for a reason of its own
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGCONT)
    p.communicate(timeout=300)
    assert "Ctrl-C" in json.loads(cli("status", prepared, "--json", env=site.env).stdout)["reason"]


def manager(out, **facts):
    with open(out + ".run/manager.json", "w", encoding="utf-8") as f:
        json.dump({"host": "n7", "pid": 4711, "port": 9123, "state": "running", "at": int(time.time()), **facts}, f)


def test_a_manager_that_was_killed(cli, prepared):
    manager(prepared)
    assert json.loads(cli("status", prepared, "--json").stdout)["state"] == "running"
    manager(prepared, at=1)
    told(cli, prepared, "the manager, process 4711 on n7, ended without a word", "the same command goes on", state="planned")
    manager(prepared, at=1, state="stopped")
    assert json.loads(cli("status", prepared, "--json").stdout)["reason"] == ""


def test_scaled_by_another_user(cli):
    """Who may look into the folder, and who may not."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o755)
        out = folder + "/out.ome.zarr"
        cli.ok("convert", IMAGE, out, *WORDS, "--prepare")
        shutil.copy(cli.path, folder + "/pellucid")
        manager(out)
        for mode, words in ((0o755, "its manager is another user's: only that user may scale it"), (0o700, "manager.json: permission denied: only the user of its manager")):
            os.chmod(out + ".run", mode)
            done = subprocess.run([folder + "/pellucid", "cluster", out, "--scale", "2"], capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[])
            assert done.returncode == 2 and words in done.stderr, done.stderr
        assert not os.path.exists(out + ".run/scale.json")
    finally:
        shutil.rmtree(folder)
