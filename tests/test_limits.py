# SPDX-License-Identifier: MIT
"""Without --memory and --threads the limits of control groups, schedulers and ulimit count, and are named; nothing is killed."""
import os
import resource
import uuid

import pytest

GIB = 1 << 30
MIB = 1 << 20
IMAGE = "phantom:z=32,y=1024,x=1024"
PLAN = ("plan", "convert", IMAGE, "out.ome.zarr", "--no-timing")
SCHEDULER = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "1024", "SLURM_CPUS_PER_TASK": "1"}


class Group:
    """A control group of this machine with a limit of memory."""

    def __init__(self, size):
        memory = "/sys/fs/cgroup/memory"
        first = os.path.isdir(memory)
        self.folder = f"{memory if first else '/sys/fs/cgroup'}/pellucid-test-{uuid.uuid4().hex}"
        try:
            os.mkdir(self.folder)
            self.write("memory.limit_in_bytes" if first else "memory.max", size)
        except OSError as e:
            self.remove()
            pytest.skip(f"control groups cannot be made here: {e}")

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(str(value))

    def enter(self):
        self.write("cgroup.procs", os.getpid())

    def remove(self):
        if os.path.isdir(self.folder):
            os.rmdir(self.folder)


@pytest.fixture
def group():
    made = []

    def make(size):
        made.append(Group(size))
        return made[-1]

    yield make
    for g in made:
        g.remove()


def test_the_plan_names_what_bounds_it(cli, tmp_path):
    plan = cli.json(*PLAN, cwd=tmp_path, env=SCHEDULER)
    assert plan["memory_limit"] == GIB // 2
    assert plan["memory_by"] == "half of SLURM_MEM_PER_NODE's 1.00 GiB"
    assert (plan["threads"], plan["threads_by"]) == (1, "SLURM_CPUS_PER_TASK")
    assert "allowed: half of SLURM_MEM_PER_NODE's 1.00 GiB; 1 thread by SLURM_CPUS_PER_TASK" in cli.ok(*PLAN, cwd=tmp_path, env=SCHEDULER)


@pytest.mark.parametrize("env,memory,threads", [
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_ON_NODE": "1"}, 512 * MIB, "SLURM_CPUS_ON_NODE"),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "4", "SLURM_CPUS_PER_TASK": "1"}, GIB, "SLURM_CPUS_PER_TASK"),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "0", "SLURM_CPUS_PER_TASK": "1"}, 0, "SLURM_CPUS_PER_TASK"),
    ({"PBS_JOBID": "7.server", "NCPUS": "1"}, 0, "NCPUS"),
    ({"PBS_JOBID": "7.server", "NCPUS": "1", "PBS_NUM_PPN": "1"}, 0, "PBS_NUM_PPN"),
    ({"LSB_JOBID": "7", "LSB_MCPU_HOSTS": "here 1"}, 0, "LSB_MCPU_HOSTS"),
    ({"LSB_JOBID": "7", "LSB_MCPU_HOSTS": "here 1 there 1"}, 0, None),
    ({"JOB_ID": "7", "NHOSTS": "1", "NSLOTS": "1"}, 0, "NSLOTS"),
    ({"JOB_ID": "7", "NHOSTS": "2", "NSLOTS": "1"}, 0, None),
    ({"NSLOTS": "1", "NCPUS": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "512"}, 0, None),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "-1", "SLURM_CPUS_PER_TASK": "many"}, 0, None),
    ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "99999999999999999999"}, 0, None),
])
def test_what_schedulers_say_counts_in_their_jobs(cli, tmp_path, env, memory, threads):
    plain = cli.json(*PLAN, cwd=tmp_path)
    plan = cli.json(*PLAN, cwd=tmp_path, env=env)
    assert plan["memory_limit"] == (memory // 2 or plain["memory_limit"])
    if threads is None:
        assert plan["threads"] == plain["threads"] and plan["threads_by"] == plain["threads_by"]
    elif plain["threads"] > 1:
        assert (plan["threads"], plan["threads_by"]) == (1, threads)


def test_ulimit_counts(cli, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2 * GIB, 2 * GIB))

    plan = cli.json(*PLAN, cwd=tmp_path, preexec_fn=limit)
    assert (plan["memory_limit"], plan["memory_by"]) == (GIB, "half of ulimit -v's 2.00 GiB")


def test_what_was_asked_for_is_kept_and_warned_of(cli, tmp_path):
    done = cli(*PLAN, "--memory", "3G", "--json", cwd=tmp_path, env=SCHEDULER)
    assert done.returncode == 0 and '"memory_limit": 3221225472' in done.stdout and '"memory_by": ""' in done.stdout
    assert "--memory 3.00 GiB is more than SLURM_MEM_PER_NODE's 1.00 GiB" in done.stderr
    assert cli(*PLAN, "--memory", "1G", "--json", cwd=tmp_path, env=SCHEDULER).stderr == ""


def test_a_run_stays_in_its_control_group(cli, tmp_path, group):
    """Which is smaller than what the plan would take without it."""
    words = ("gaussian", "phantom:z=64,y=1024,x=1024", "--sigma", "2", "--threads", "1")
    size = cli.json("plan", *words, "out.ome.zarr", "--no-timing", cwd=tmp_path)["memory_promised"] // MIB - 16
    g = group(size * MIB)
    cli.ok(*words, "out.ome.zarr", "--quiet", cwd=tmp_path, preexec_fn=g.enter)
    status = cli.json("status", "out.ome.zarr", cwd=tmp_path)
    assert status["memory_peak"] <= status["memory_promised"] <= status["memory_limit"] == size * MIB // 2
    assert status["memory_by"] == f"half of the control group's {size} MiB"
    assert f"half of the control group's {size} MiB" in cli.ok("status", "out.ome.zarr", cwd=tmp_path)


def test_a_plan_stays_in_its_control_group(cli, tmp_path, group):
    """Noise and the timed sample, too."""
    g = group(200 * MIB)
    out = cli.ok("plan", "denoise", IMAGE, "out.ome.zarr", "--tune", "off", "--quality", "fast", cwd=tmp_path,
                 preexec_fn=g.enter)
    assert "half of the control group's 200 MiB" in out


def test_a_worker_with_too_little_says_so(cli, tmp_path, group):
    """The plan was made where there is more memory: not killed, and told what there is."""
    out = tmp_path / "out.ome.zarr"
    cli.ok("convert", IMAGE, out, "--block", "z=32,y=1024,x=1024", "--chunk", "z=32,y=1024,x=1024", "--memory", "2G", "--prepare", "--quiet")
    g = group(160 * MIB)
    for words in (("work", out), ("work", out, "--part", "1/1"), ("block", out, "--blocks", "0"), ("work", out, "--memory", "2G"),
                  ("block", out, "--blocks", "0", "--report", "--memory", "2G")):
        said = cli.fails(2, *words, "--quiet", "--threads", "1", preexec_fn=g.enter)
        assert "needs at least" in said and "the control group's 160 MiB" in said, words
