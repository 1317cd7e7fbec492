# SPDX-License-Identifier: MIT
"""Whoever may write to a run's folder could put links there: at every name that a run, a cluster or a submission writes, found by
looking at what they wrote, so that new files are tested without a word here. What a link leads to is never touched."""
import os
import shutil
import subprocess
import time

import pytest

WORDS = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "1", "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--quiet")
CLUSTER = ("--workers", "local:1", "--cores", "1", "--batch-seconds", "1", "--quiet")
IMAGE = "phantom:z=8,y=200,x=200"


def names(run):
    """Files and folders below the run's folder."""
    found = []
    for base, folders, files in os.walk(run):
        found += [os.path.relpath(os.path.join(base, n), run) for n in [*folders, *files]]
    return sorted(found)


def interrupted(cli, out):
    process = subprocess.Popen([cli.path, "denoise", IMAGE, out, *WORDS])
    while not any(os.path.getsize(os.path.join(out + ".run/ledger", n)) > 300 for n in (os.listdir(out + ".run/ledger") if os.path.isdir(out + ".run/ledger") else [])):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()


def plant(out, name, folder, how):
    """Puts a link in the place of a file or folder; returns a function that says whether its target is as it was."""
    path, victim = os.path.join(out + ".run", name), os.path.join(folder, "victim")
    if os.path.isdir(path):
        shutil.rmtree(path)
        os.mkdir(victim)
    else:
        if os.path.lexists(path):
            os.remove(path)
        with open(victim, "w") as f:
            f.write("twenty years of work\n")
    os.utime(victim, (1e9, 1e9)) # old, as what nobody has held for long
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if how == "hard" and os.path.isfile(victim):
        os.link(victim, path)
    else:
        os.symlink(victim, path)
    return lambda: os.listdir(victim) == [] if os.path.isdir(victim) else open(victim).read() == "twenty years of work\n"


def copy(base, folder):
    out = os.path.join(folder, "out.ome.zarr")
    shutil.copytree(base, out)
    shutil.copytree(base + ".run", out + ".run")
    return out


@pytest.mark.parametrize("how", ["soft", "hard"])
def test_no_link_in_the_folder_of_a_run_is_followed(cli, tmp_path, how):
    base = str(tmp_path / "base" / "out.ome.zarr")
    os.mkdir(tmp_path / "base")
    interrupted(cli, base)
    ended = copy(base, str(tmp_path))
    cli.ok("denoise", IMAGE, ended, *WORDS)
    cli.ok("report", ended)
    every = sorted({*names(base + ".run"), *names(ended + ".run"), "lock.finish"})
    assert {"lock", "lock.owner", "status.json", "index.html", "log", "ledger", "workers", "plan.json"} <= set(every)
    for number, name in enumerate(every):
        folder = str(tmp_path / str(number))
        os.mkdir(folder)
        out = copy(base, folder)
        untouched = plant(out, name, folder, how)
        done = cli("denoise", IMAGE, out, *WORDS)
        cli("work", out, "--part", "1/1", "--quiet")
        cli("report", out)
        cli("denoise", IMAGE, out, *WORDS, "--fresh")
        assert untouched(), f"{name}: the target of the link was written to"
        if name in ("lock", "log", "workers") and not (how == "hard" and name != "lock"):
            refused = done.returncode == 2 and out + ".run/" + name in done.stderr
            assert refused or name == "workers", done.stderr
        shutil.rmtree(folder)


def test_no_link_in_the_folder_of_a_cluster_is_followed(cli, tmp_path):
    if not os.path.exists(os.path.join(os.environ.get("PELLUCID_BUILD", "build"), "src", "pellucid-manager")) or not shutil.which("work_queue_worker"):
        pytest.skip("no cluster in this build")
    small = ("phantom:z=4,y=64,x=64",)
    base = str(tmp_path / "base" / "out.ome.zarr")
    os.mkdir(tmp_path / "base")
    cli.ok("denoise", *small, base, *WORDS, "--prepare")
    ended = copy(base, str(tmp_path))
    cli.ok("cluster", ended, *CLUSTER)
    with open(ended + ".run/log/cluster.log", "w"):
        pass
    new = [n for n in names(ended + ".run") if "-" not in n and "," not in n and not os.path.exists(f"{base}.run/{n}")]
    assert {"lock.manager", "manager.json", "password", "log/workers.log"} <= {*new, "password"}
    for number, name in enumerate([n for n in new if not os.path.isdir(f"{ended}.run/{n}")] + ["manager.jsonl", "lock.manager.owner", "password"]):
        folder = str(tmp_path / str(number))
        os.mkdir(folder)
        out = copy(base, folder)
        untouched = plant(out, name, folder, "soft")
        cli("cluster", out, *CLUSTER, *(["--detach"] if name == "log/cluster.log" else []), timeout=60)
        assert untouched(), f"{name}: the target of the link was written to"
        shutil.rmtree(folder, ignore_errors=True)


def test_files_of_submissions_do_not_follow_links(cli, tmp_path):
    out, programs = str(tmp_path / "out.ome.zarr"), tmp_path / "bin"
    os.mkdir(programs)
    for name in ("sbatch", "squeue", "sacct", "scontrol", "scancel"):
        (programs / name).write_text("#!/bin/sh\necho Submitted batch job 41\n")
        (programs / name).chmod(0o755)
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    cli.ok("denoise", "phantom:z=4,y=64,x=64", out, *WORDS, "--prepare")
    cli.ok("submit", out, "--scheduler", "slurm", "--parts", "2", "--now", env=env)
    new = [n for n in names(out + ".run") if n == "jobs.jsonl" or n.startswith("submit/")]
    assert "jobs.jsonl" in new
    for number, name in enumerate(new):
        folder = str(tmp_path / str(number))
        os.mkdir(folder)
        untouched = plant(out, name, folder, "soft")
        cli("submit", out, "--scheduler", "slurm", "--parts", "2", "--now", env=env)
        assert untouched(), f"{name}: the target of the link was written to"
        os.remove(os.path.join(out + ".run", name)) if os.path.lexists(os.path.join(out + ".run", name)) else None
    cli("work", out, "--part", "1/2", "--quiet", env={**env, "SLURM_JOB_ID": "41", "SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "1"})
    assert os.listdir(out + ".run/jobs")
    (job,) = os.listdir(out + ".run/jobs")
    os.mkdir(tmp_path / "job")
    untouched = plant(out, "jobs/" + job, str(tmp_path / "job"), "soft")
    cli("work", out, "--part", "1/2", "--quiet", env={**env, "SLURM_JOB_ID": "41", "SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "1"})
    assert untouched()
