# SPDX-License-Identifier: MIT
"""Schedulers that fail, hang, answer in part or what is old, and say other things than they do: a cluster never has more jobs than it was allowed, and none stays behind."""
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import fake_scheduler
from cluster_help import embryo, run, start, undisturbed, work_queue  # noqa: F401

MOST = 4


class Fake:
    """A folder with the commands of one scheduler."""

    def __init__(self, folder, scheduler):
        self.folder, self.scheduler = folder, scheduler
        folder.mkdir()
        for name in fake_scheduler.COMMANDS:
            path = folder / name
            with open(fake_scheduler.__file__) as f:
                path.write_text(f"#!{sys.executable} -SE\n" + f.read())
            path.chmod(0o755)
        self.write("scheduler", scheduler)
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def write(self, name, value):
        (self.folder / (name + ".test")).write_text(json.dumps(value))
        os.replace(self.folder / (name + ".test"), self.folder / name)

    def read(self, name, default):
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return default

    def fault(self, **faults):
        self.write("fault.json", {**faults, "since": time.time()})

    def jobs(self):
        return self.read("jobs.json", [])

    def alive(self):
        return fake_scheduler.alive(self.jobs())

    def peak(self):
        return self.read("peak", 0)

    def end(self, count):
        """So many jobs end by themselves, or are killed by hand."""
        with open(self.folder / "lock", "w") as lock:
            fake_scheduler.fcntl.flock(lock, fake_scheduler.fcntl.LOCK_EX)
            jobs = self.jobs()
            for j in fake_scheduler.alive(jobs)[:count]:
                j["ended"] = True
            self.write("jobs.json", jobs)

    def calls(self):
        try:
            return len((self.folder / "called").read_text().splitlines())
        except FileNotFoundError:
            return 0

    def wait(self, what, seconds=120):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"{self.scheduler}: {self.read('fault.json', {})}, alive {len(self.alive())}"
            time.sleep(0.05)

    def polls(self, count):
        """Until so many more commands were called: they are what a poll is made of."""
        calls = self.calls()
        self.wait(lambda: self.calls() >= calls + count)


def cluster(cli, out, fake, *words, workers=f"2..{MOST}"):
    return start(cli, "cluster", out, "--workers", workers, "--scheduler", fake.scheduler, "--cores", "1", "--memory", "256M", "--interface", "lo", "--poll-seconds", "1",
                 *words, env=fake.env)


def is_within(fake, most=MOST):
    assert fake.peak() <= most, f"{fake.scheduler}: {fake.read('fault.json', {})}: {fake.peak()} jobs at once"


def ask_faults(fake, p):
    """The answers are bad in each way in turn: nothing is submitted. When they are good again, what ended meanwhile is replaced."""
    fake.wait(lambda: len(fake.alive()) == MOST)
    for fault in ("fail", "hang", "torn", "part", "stale"):
        fake.fault(ask=fault)
        fake.polls(3)
        is_within(fake)
        fake.fault()
        fake.polls(2)
        assert len(fake.jobs()) == len(fake.alive()) == MOST, f"{fake.scheduler}: {fault}: nothing ended, so nothing is submitted"
        assert p.poll() is None
    fake.end(3)
    fake.wait(lambda: len(fake.alive()) == MOST)
    is_within(fake)


def submit_faults(fake, p):
    """A submission that says that it failed, or that hangs, and took effect, is counted: it is found by its name."""
    for fault in ("lie", "late"):
        fake.fault(submit=fault)
        fake.end(2)
        fake.wait(lambda: len(fake.alive()) == MOST)
        fake.polls(3)
        is_within(fake)
        fake.fault()
        fake.polls(2)
        assert len(fake.alive()) == MOST and p.poll() is None
    fake.fault(submit="late", ask="stale")  # both at once: it cannot be found either
    fake.end(2)
    fake.polls(3)
    is_within(fake)


def stop(fake, p):
    """It hears of the signal though commands hang; then nothing is left."""
    fake.fault(ask="hang")
    fake.polls(1)
    p.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    fake.fault()
    message = p.communicate(timeout=120)[1]
    assert p.returncode == 4, message
    assert not fake.alive(), f"{fake.scheduler}: left behind\n{message}"
    return message


def all_of_it(cli, out, fake):
    p = cluster(cli, out, fake, "--answer-seconds", "1")
    try:
        ask_faults(fake, p)
        submit_faults(fake, p)
        message = stop(fake, p)
    finally:
        if p.poll() is None:
            p.kill()
            p.communicate()
    assert message.count("nothing is submitted until it does") >= 3, message
    assert message.count("nothing is submitted until it does") <= message.count("answers again") + 2, "said once each time\n" + message
    return True


SCHEDULERS = ("slurm", "pbs", "torque", "sge", "lsf", "htcondor")


def at_all(what, cli, run, tmp_path):  # noqa: F811
    """All six at once: they wait most of the time."""
    fakes = [Fake(tmp_path / s, s) for s in SCHEDULERS]
    outs = [str(tmp_path / f"{f.scheduler}.ome.zarr") for f in fakes]
    for out in outs:
        shutil.copytree(run.out, out)
        shutil.copytree(run.out + ".run", out + ".run")
    with concurrent.futures.ThreadPoolExecutor(len(fakes)) as pool:
        ends = [pool.submit(what, cli, out, fake) for out, fake in zip(outs, fakes)]
        failures = [str(e.exception()) for e in ends if e.exception()]
    assert not failures, "\n\n".join(failures)


@pytest.fixture
def ended():
    """What is started is ended."""
    started = []
    yield started
    for p in started:
        if p.poll() is None:
            p.kill()
            p.communicate()


def test_no_scheduler_gets_more_jobs_than_were_allowed_whatever_it_answers(cli, run, tmp_path):  # noqa: F811
    at_all(all_of_it, cli, run, tmp_path)


# No worker comes back by itself; an array of PBS must.
ONCE = {"slurm": "#SBATCH --no-requeue\n", "pbs": "#PBS -r n\n", "torque": "#PBS -r n\n", "sge": "#$ -r n\n", "lsf": "#BSUB -rn\n",
        "htcondor": "periodic_remove = JobStatus == 1 && NumJobStarts > 0\n"}


def limited(cli, out, fake):
    fake.fault(submit="no-arrays")
    p = cluster(cli, out, fake)
    try:
        fake.wait(lambda: len(fake.alive()) == MOST)
        with open(out + ".run/submit/pellucid-workers") as f:
            assert ONCE[fake.scheduler] in f.read()
        p.send_signal(signal.SIGTERM)
        message = p.communicate(timeout=120)[1]
        assert p.returncode == 4 and message.count("takes no array of") == 1 and not fake.alive(), message
        fake.fault(submit="most:3")  # two of the four are taken at once, then one, then no more
        p = cluster(cli, out, fake)
        fake.wait(lambda: len(fake.alive()) == 3)
        fake.polls(6)
        p.send_signal(signal.SIGTERM)
        message = p.communicate(timeout=120)[1]
        assert p.returncode == 4 and message.count("takes no more than 3 jobs") == 1 and not fake.alive(), message
        fake.fault(submit="most:1")
        p = cluster(cli, out, fake)
        message = p.communicate(timeout=120)[1]
        words = fake_scheduler.REFUSED[fake.scheduler].splitlines()[0]
        assert p.returncode == 1 and "expected at least 2" in message and words in message and "--workers" in message and not fake.alive(), message
        assert words in json.loads(cli("status", out, "--json").stdout)["reason"]
    finally:
        if p.poll() is None:
            p.kill()
            p.communicate()
    is_within(fake)


def test_limits_are_learnt_and_fewer_than_the_least_is_an_end(cli, run, tmp_path):  # noqa: F811
    at_all(limited, cli, run, tmp_path)


def test_a_running_manager_is_scaled(cli, run, tmp_path):  # noqa: F811
    fake = Fake(tmp_path / "site", "slurm")
    assert "no manager is at work" in cli("cluster", run.out, "--scale", "2").stderr
    assert cluster(cli, run.out, fake, "--detach").wait() == 0
    try:
        fake.wait(lambda: len(fake.alive()) == MOST)
        assert cli("cluster", run.out, "--scale", "5..2").returncode == 2
        cli.ok("cluster", run.out, "--scale", "1..2")
        fake.wait(lambda: len(fake.alive()) == 2)
        fake.polls(2)
        assert len(fake.alive()) == 2
        assert "6..6 workers from now on" in cli("cluster", run.out, "--scale", "6").stderr
        fake.wait(lambda: len(fake.alive()) == 6)
        is_within(fake, 6)
        os.symlink("/etc/hostname", run.file("scale.json.link"))
        os.replace(run.file("scale.json.link"), run.file("scale.json"))  # what is no file of ours is not heard
        fake.polls(2)
        assert len(fake.alive()) == 6
        assert run.logs().count("asked to keep 1..2 workers") == 1
    finally:
        os.kill(run.keeper(), signal.SIGTERM)
        fake.wait(lambda: not fake.alive())
    run.wait_for(lambda: run.manager()["state"] == "stopped")


@pytest.mark.parametrize("fault", ["", "late"])
def test_jobs_of_a_killed_manager_are_found_counted_and_cancelled(cli, run, tmp_path, ended, fault):  # noqa: F811
    """late: it is killed while its submission is under way, before the scheduler told it a number."""
    fake = Fake(tmp_path / "site", "slurm")
    fake.fault(submit=fault)
    ended.append(cluster(cli, run.out, fake))
    fake.wait(lambda: len(fake.alive()) == MOST)
    ended[0].kill()
    ended[0].communicate()
    fake.fault()
    run.wait_for(lambda: not subprocess.run(["pgrep", "-f", f"pellucid-manager.*{run.out}"], capture_output=True).stdout)
    ended.append(cluster(cli, run.out, fake))
    fake.polls(5)
    is_within(fake)
    assert len(fake.jobs()) == MOST, "they are counted: no others are submitted"
    ended[1].send_signal(signal.SIGTERM)
    message = ended[1].communicate(timeout=120)[1]
    assert ended[1].returncode == 4 and not fake.alive(), message


def test_jobs_that_cannot_be_cancelled_are_told_and_kept_in_mind(cli, run, tmp_path, ended):  # noqa: F811
    fake = Fake(tmp_path / "site", "slurm")
    ended.append(cluster(cli, run.out, fake))
    fake.wait(lambda: len(fake.alive()) == MOST)
    fake.fault(cancel="fail")
    ended[0].send_signal(signal.SIGTERM)
    assert "cannot be cancelled" in ended[0].communicate(timeout=120)[1]
    fake.fault()
    ended.append(cluster(cli, run.out, fake))
    fake.polls(3)
    is_within(fake)
    ended[1].send_signal(signal.SIGTERM)
    ended[1].communicate(timeout=120)
    assert not fake.alive()
