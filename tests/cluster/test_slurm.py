# SPDX-License-Identifier: MIT
"""A real Slurm of three nodes on this machine: array jobs, workers kept by `cluster`, an allocation of our own."""
import json
import os
import shutil
import signal
import time

import pytest

from cluster_help import (begun, embryo, finish, gate, heavy, heavy_reference, heavy_run, held, held_program, program, records, run,  # noqa: F401
                          undisturbed, work_queue)
from slurm import Slurm, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    try:
        s = Slurm(tmp_path_factory.mktemp("slurm")).start()
    except RuntimeError as e:
        if "Unable to initialize cgroup plugin" in str(e):  # a container whose control groups are not its own
            pytest.skip("slurmd cannot use the control groups of this machine")
        raise
    yield s
    s.stop()


JOB = ("--scheduler", "slurm", "--cores", "1", "--memory", "256M")


@pytest.fixture(scope="module", autouse=True)
def early(cli, embryo, heavy_reference, slurm, tmp_path_factory):  # noqa: F811
    """A part with a walltime of one minute, begun before all else here: Slurm looks at the time every half minute only."""
    folder = tmp_path_factory.mktemp("early")
    one = heavy_run(cli, embryo, heavy_reference, folder)
    submit(one, slurm, "--parts", "1", "--time", "00:01:00", "--program", held_program(cli, folder, signal.SIGUSR1))
    slurm.aside.add(one.jobs()[0]["id"])
    return one


def submit(run, slurm, *words):
    return run.cli.ok("submit", run.out, *JOB, *words, "--now", env=slurm.env)


def keep(run, slurm, *words):
    return run.start(*JOB, "--interface", "lo", "--poll-seconds", "1", *words, env=slurm.env)


def test_array_job_does_its_parts_and_the_last_one_audits(run, slurm):
    assert "Submitted batch job" in submit(run, slurm, "--parts", "4", "--time", "1:00:00")
    slurm.wait()
    run.is_done()
    done = [r["job"] for r in records(run.out) if r["ok"]]
    assert sorted(done) == list(range(72))
    assert "0 pending, 0 running" in run.cli("status", run.out, env=slurm.env).stdout


def test_a_folder_of_an_odd_name(cli, slurm, tmp_path):
    folder = tmp_path / 'it\'s "odd" $(touch gone) `x` #1 100% %j c:d,e &*; µ'
    folder.mkdir()
    cli.ok("phantom", folder / "a.czi", "--size", "y=64,x=64", "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "o.ome.zarr", "--prepare", "--quiet")
    cli.ok("submit", folder / "o.ome.zarr", *JOB, "--parts", "1", "--now", env=slurm.env)
    slurm.wait()
    assert cli.json("status", folder / "o.ome.zarr")["state"] == "done"
    logs = [n for n in os.listdir(folder / "o.ome.zarr.run/log") if n.startswith("slurm-")]
    assert len(logs) == 1 and not os.path.exists("gone"), logs


def test_workers_do_the_prologue_and_keep_scratch_where_they_are_told(run, slurm, program, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    where = program(f"open({str(tmp_path / 'where')!r}, 'a').write(os.environ.get('GREETING', '') + ' ' + os.getcwd() + '\\n')")
    p = keep(run, slurm, "--workers", "1", "--program", where, "--worker-scratch", scratch, "--worker-timeout", "120", "--prologue", "export GREETING=\"it's\"",
             "--prologue", "cd / # with a comment")
    finish(p)
    run.is_done()
    assert all(line.startswith(f"it's {scratch}/") for line in open(tmp_path / "where").read().splitlines())
    slurm.wait()


def test_array_job_that_is_killed_is_submitted_again(heavy, slurm, held):
    submit(heavy, slurm, "--parts", "3", "--program", held(signal.SIGUSR2))
    heavy.wait_for_held(3)
    slurm.kill(heavy.jobs())
    slurm.wait()
    status = json.loads(heavy.cli("status", heavy.out, "--json").stdout)
    assert 0 < status["blocks_done"] < 72, "it was killed in the middle"
    number = heavy.jobs()[0]["id"]
    said = heavy.cli.ok("status", heavy.out, "--failures", env=slurm.env)
    assert all(f"job {number}_{k} of slurm ended on n" in said for k in (1, 2, 3)) and "CANCELLED" in said, said
    of_one = heavy.cli.ok("status", heavy.out, "--block", "4", env=slurm.env)
    assert "its part begun on" in of_one and f"job {number}_2 of slurm ended on n" in of_one and f"{number}_1" not in of_one
    submit(heavy, slurm, "--parts", "5")
    slurm.wait()
    heavy.is_done()


def test_the_early_signal_stops_a_part_cleanly(heavy, slurm, held):
    """Slurm sends it to what took the shell's place."""
    submit(heavy, slurm, "--parts", "1", "--time", "1:00:00", "--program", held(signal.SIGUSR1))
    heavy.wait_for_held(1)
    slurm("scancel", "--signal=USR1", "--batch", heavy.jobs()[0]["id"])
    slurm.wait()
    heavy.wait_for_file("heard")
    heavy.was_stopped_in_the_middle()
    assert "share interrupted" in heavy.logs() and "the same command" in heavy.logs()
    submit(heavy, slurm, "--parts", "1")
    slurm.wait()
    heavy.is_done()


def test_worker_whose_time_is_short_is_replaced_by_a_new_job(run, slurm, begun, tmp_path):
    """The first worker has a second left when it begins: it ends when a block would not fit any more, and a new job goes on."""
    run.cli.ok("block", run.out, "--blocks", "0-51", "--quiet")
    short = tmp_path / "short"
    short.write_text("#!/bin/sh\n"
                     f'[ -e {tmp_path}/old ] || PELLUCID_START=$((PELLUCID_START - PELLUCID_SECONDS + 1))\n'
                     f'touch {tmp_path}/old\nexec work_queue_worker "$@"\n')
    short.chmod(0o755)
    finish(keep(run, slurm, "--workers", "1", "--time", "01:00:00", "--batch-seconds", "1", "--late-seconds", "1000", "--program", begun.program(),
                "--worker-program", short))
    run.is_done()
    assert set(begun.blocks()) == set(range(52, 72)) and sum(left < 1000 for left in begun.left()) == 1
    assert len(run.jobs()) >= 2, "a second worker was submitted"
    slurm.wait()


def test_manager_hands_over_to_a_new_job_of_itself(run, slurm, gate, tmp_path):
    """Blocks up to the fourth in its first life, all in its second; a machine too slow for the first gets more time."""
    script = tmp_path / "manager.sh"
    for seconds in (5, 10, 20, 40):
        script.write_text(f"#!/bin/sh\n#SBATCH --output={tmp_path}/said-%j\n"
                          f"exec {run.cli.path} cluster {run.out} --workers local:1 --cores 1 --batch-seconds 1 --late-seconds 1000 --quiet --program {gate(4)} "
                          f"--seconds {seconds} --hand-over 'touch {run.file('go')}; sbatch {script}'\n")
        assert slurm("sbatch", str(script)).returncode == 0
        slurm.wait()
        said = [open(tmp_path / n).read() for n in os.listdir(tmp_path) if n.startswith("said-")]
        if os.path.exists(run.file("go")) and json.loads(run.cli("status", run.out, "--json").stdout)["state"] == "done":
            break
    assert any("handed over: Submitted batch job" in text for text in said), said
    run.is_done()


def test_workers_are_kept_and_replaced(run, slurm, gate):
    p = keep(run, slurm, "--workers", "1..3", "--batch-seconds", "1", "--program", gate(10))
    run.wait_for_records(10, p)
    status = run.cli("status", run.out, env=slurm.env).stdout
    assert "manager" in status and "jobs" in status
    submitted = len(run.jobs())
    slurm.kill(run.jobs())
    run.wait_for(lambda: len(run.jobs()) > submitted)
    run.go()
    finish(p)
    run.is_done()
    slurm.wait()  # nothing is left behind


@pytest.mark.parametrize("words", [(), ("--tls",)], ids=["clear", "tls"])
def test_manager_is_killed_and_its_workers_serve_the_next(run, slurm, gate, words):
    p = keep(run, slurm, "--workers", "2", "--batch-seconds", "1", "--program", gate(10), *words)
    run.wait_for_records(10, p)
    p.kill()
    p.communicate()
    jobs = len(run.jobs())
    finish(keep(run, slurm, "--workers", "2", "--batch-seconds", "1", *words))
    run.is_done()
    assert len(run.jobs()) <= jobs + 1


def test_encrypted_workers_hear_of_their_walltime_and_end_with_it(run, slurm, gate):
    """The job of a worker is pellucid-tls: signals of the scheduler go through it. Workers of a manager in clear do not come to one with TLS."""
    p = keep(run, slurm, "--workers", "2", "--time", "1:00:00", "--batch-seconds", "1", "--program", gate(10))
    run.wait_for_records(10, p)
    p.kill()
    p.communicate()
    p = keep(run, slurm, "--workers", "2", "--time", "1:00:00", "--batch-seconds", "1", "--program", gate(20), "--tls")
    run.wait_for_records(20, p)
    jobs = [j["id"] for j in run.jobs()]
    slurm("scancel", "--signal=USR1", "--batch", jobs[-1])
    run.wait_for(lambda: len(run.jobs()) > len(jobs))
    run.go()
    finish(p)
    run.is_done()
    slurm.wait()
    assert "abort signal received" in run.logs()


def test_why_there_are_no_workers(run, slurm):
    p = keep(run, slurm, "--workers", "2", "--queue", "closed")
    while "PartitionDown" not in (jobs := json.loads(run.cli("status", run.out, "--json", env=slurm.env).stdout).get("jobs", {})).get("reasons", {}):
        assert p.poll() is None
        time.sleep(0.1)
    assert jobs["pending"] == 2
    assert "PartitionDown" in run.cli("status", run.out, env=slurm.env).stdout
    p.send_signal(signal.SIGTERM)
    finish(p, 4)
    slurm.wait()
    p = keep(run, slurm, "--workers", "2", "--queue", "nowhere")
    while "invalid partition" not in (line := p.stderr.readline()):
        assert line, "the scheduler's refusal is told"
    p.send_signal(signal.SIGTERM)
    finish(p, 4)


def test_arrays_that_are_too_large_and_a_squeue_that_fails(run, slurm, tmp_path):
    """MaxArraySize is 11: an array of 16 is refused whole. Then squeue times out, as under load: nothing more is submitted."""
    squeue, fails = tmp_path / "squeue", tmp_path / "fails"
    squeue.write_text(f"#!/bin/sh\n[ ! -e {fails} ] || {{ touch {fails}-asked; echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1; }}\n"
                      f'exec {shutil.which("squeue")} "$@"\n')
    squeue.chmod(0o755)
    p = run.start(*JOB, "--interface", "lo", "--poll-seconds", "1", "--workers", "2..16", "--queue", "closed", env={**slurm.env, "PATH": f"{tmp_path}:{slurm.env['PATH']}"})
    count = lambda: slurm("squeue", "-h", "-r", "-p", "closed").stdout.count("\n")  # noqa: E731
    run.wait_for(lambda: count() == 16)
    fails.touch()
    run.wait_for(lambda: os.path.exists(f"{fails}-asked"))
    os.unlink(f"{fails}-asked")
    run.wait_for(lambda: os.path.exists(f"{fails}-asked"))
    assert count() == 16
    fails.unlink()
    p.send_signal(signal.SIGTERM)
    message = finish(p, 4)
    assert message.count("takes no array of 16") == 1 and message.count("nothing is submitted until it does") == 1, message
    slurm.wait()


@pytest.mark.parametrize("words", ["", "--tls"], ids=["clear", "tls"])
def test_runner_inside_an_allocation(run, slurm, tmp_path, words):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n#SBATCH --nodes=3\n#SBATCH --ntasks-per-node=1\n#SBATCH --output={tmp_path}/said\n"
                      f"exec {run.cli.path} cluster {run.out} --runner --interface lo --cores 1 --quiet {words}\n")
    assert slurm("sbatch", "--wait", str(script)).returncode == 0, open(tmp_path / "said").read()
    run.is_done()


@pytest.fixture
def torque(slurm, tmp_path, monkeypatch):
    """In a folder of its own: the front end does not know a folder as -o, and what jobs say falls where they were submitted."""
    env = slurm.torque()
    if not env:
        pytest.skip("no Torque front end (scripts/deps.sh tests unpacks slurm-wlm-torque into build/aside)")
    monkeypatch.chdir(tmp_path)
    return env


TORQUE = ("--scheduler", "torque", "--cores", "1", "--memory", "256M")


def test_array_job_through_the_front_end_of_torque(run, slurm, torque):
    run.cli.ok("submit", run.out, *TORQUE, "--parts", "4", "--time", "1:00:00", "--now", env=torque)
    assert run.jobs()[0]["scheduler"] == "torque" and run.jobs()[0]["id"].isdigit()
    slurm.wait()
    run.is_done()
    assert sorted(r["job"] for r in records(run.out) if r["ok"]) == list(range(72))
    assert "0 pending, 0 running" in run.cli("status", run.out, env=torque).stdout


def test_workers_through_the_front_end_of_torque(run, slurm, torque, gate):
    p = run.start(*TORQUE, "--interface", "lo", "--poll-seconds", "1", "--batch-seconds", "1", "--workers", "1", "--program", gate(0), env=torque)
    while json.loads(run.cli("status", run.out, "--json", env=torque).stdout).get("jobs", {}).get("running") != 1:
        assert p.poll() is None
        time.sleep(0.1)
    run.go()
    finish(p)
    run.is_done()
    slurm.wait()


def test_stopped_it_cancels_through_the_front_end_of_torque(run, slurm, torque):
    p = run.start(*TORQUE, "--interface", "lo", "--poll-seconds", "1", "--workers", "3", "--queue", "closed", env=torque)
    while slurm("squeue", "-h", "-r", "-p", "closed").stdout.count("\n") < 3:
        assert p.poll() is None
        time.sleep(0.1)
    p.send_signal(signal.SIGTERM)
    finish(p, 4)
    slurm.wait()


def test_slurm_sends_the_early_signal_by_itself(early, slurm):
    """Last of all, since it takes so long: the part is stopped before Slurm kills it."""
    early.wait_for_file("heard")
    slurm.wait(*early.jobs()[0]["id"].split())
    early.was_stopped_in_the_middle()
    assert "TIMEOUT" not in slurm.queue().values()
