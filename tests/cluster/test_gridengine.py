# SPDX-License-Identifier: MIT
"""A real Grid Engine on this machine: array jobs, workers kept by `cluster`, the notice before the end, an allocation of our own."""
import json
import os
import shlex
import signal
import time

import pytest

from cluster_help import embryo, finish, gate, heavy, heavy_reference, held, launcher, program, records, run, undisturbed, work_queue  # noqa: F401
from gridengine import GridEngine, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def sge(tmp_path_factory):
    try:
        engine = GridEngine(tmp_path_factory.mktemp("gridengine")).start()
    except RuntimeError as e:
        pytest.skip(f"Grid Engine does not run here: {str(e)[:300]}")
    yield engine
    engine.stop()


JOB = ("--scheduler", "sge", "--cores", "1", "--memory", "512M")


def submit(run, sge, *words):
    return run.cli.ok("submit", run.out, *JOB, *words, "--now", env=sge.env)


def keep(run, sge, *words):
    return run.start(*JOB, "--interface", "lo", "--poll-seconds", "1", *words, env=sge.env)


def jobs_of(run, sge):
    return json.loads(run.cli("status", run.out, "--json", env=sge.env).stdout)["jobs"]


def test_array_job_does_its_parts_and_the_last_one_audits(run, sge):
    assert "job-array" in submit(run, sge, "--parts", "4", "--time", "1:00:00")
    sge.wait()
    run.is_done()
    done = [r["job"] for r in records(run.out) if r["ok"]]
    assert sorted(done) == list(range(72))
    assert "0 pending, 0 running" in run.cli("status", run.out, env=sge.env).stdout


def test_part_of_several_slots(run, sge):
    """-pe smp, and memory counted a slot."""
    run.cli.ok("submit", run.out, "--scheduler", "sge", "--cores", "2", "--memory", "512M", "--parts", "1", "--now", env=sge.env)
    sge.wait()
    run.is_done()
    assert "slots        2" in sge("qacct", "-j", run.jobs()[0]["id"]).stdout


def test_the_notice_before_the_end_stops_a_part_cleanly(heavy, sge, held):
    """qdel of a job with -notify: SIGUSR2 first."""
    submit(heavy, sge, "--parts", "1", "--program", held(signal.SIGUSR2))
    heavy.wait_for_held(1)
    sge.ok("qdel", heavy.jobs()[0]["id"])
    sge.wait()
    heavy.wait_for_file("heard")
    heavy.was_stopped_in_the_middle()
    assert "share interrupted" in heavy.logs()
    number, block = heavy.jobs()[0]["id"], str(max(r["job"] for r in records(heavy.out)))
    said = heavy.cli.ok("status", heavy.out, "--block", block, env=sge.env)
    assert f"its part begun on {sge.host} in job {number} of sge" in said and f"job {number} of sge ended on" in said and "exit code 4" in said, said
    assert f"job {number} of sge ended" in heavy.cli.ok("status", heavy.out, "--failures", env=sge.env)
    submit(heavy, sge, "--parts", "2")
    sge.wait()
    heavy.is_done()


def test_a_folder_of_an_odd_name(cli, sge, tmp_path):
    folder = tmp_path / 'odd  $(touch gone) `x` 100% $x &*; [z] µ'
    folder.mkdir()
    cli.ok("phantom", folder / "a.czi", "--size", "y=64,x=64", "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "o.ome.zarr", "--prepare", "--quiet")
    cli.ok("submit", folder / "o.ome.zarr", *JOB, "--parts", "1", "--now", env=sge.env)
    sge.wait()
    assert cli.json("status", folder / "o.ome.zarr")["state"] == "done"
    logs = [n for n in os.listdir(folder / "o.ome.zarr.run/log") if n.startswith("pellucid.o")]
    assert len(logs) == 1 and not os.path.exists("gone"), logs


def test_workers_are_kept_replaced_and_cancelled(run, sge, gate):
    p = keep(run, sge, "--workers", "1..3", "--batch-seconds", "1", "--program", gate(10))
    run.wait_for_records(10, p)
    seen = jobs_of(run, sge)
    assert 1 <= seen["running"] + seen["pending"] <= 3
    submitted = len(run.jobs())
    sge("qdel", "-f", *{j["id"] for j in run.jobs()})
    run.wait_for(lambda: len(run.jobs()) > submitted)
    run.go()
    finish(p)
    run.is_done()
    sge.wait()  # nothing is left behind


def test_stopped_it_takes_its_jobs_along(run, sge, program):
    p = keep(run, sge, "--workers", "2", "--program", program("if verb == 'block': time.sleep(1000)"))
    while jobs_of_begun(run, sge).get("running", 0) < 2:
        assert p.poll() is None
        time.sleep(0.1)
    p.send_signal(signal.SIGTERM)
    finish(p, 4)
    sge.wait()


def jobs_of_begun(run, sge):
    return json.loads(run.cli("status", run.out, "--json", env=sge.env).stdout).get("jobs", {})


def test_why_there_are_no_workers(run, sge):
    sge.ok("qmod", "-d", "all.q")
    try:
        p = keep(run, sge, "--workers", "2")
        run.wait_for(lambda: p.poll() is not None or any("disabled" in reason for reason in jobs_of_begun(run, sge).get("reasons", {})))
        assert jobs_of_begun(run, sge)["pending"] == 2
        assert "disabled" in run.cli("status", run.out, env=sge.env).stdout
        p.send_signal(signal.SIGTERM)
        finish(p, 4)
        sge.wait()
    finally:
        sge("qmod", "-e", "all.q")
    p = keep(run, sge, "--workers", "2", "--queue", "nowhere")
    while "unknown queue" not in (line := p.stderr.readline()):
        assert line, "the scheduler's refusal is told"
    p.send_signal(signal.SIGTERM)
    finish(p, 4)


def test_runner_inside_an_allocation(run, sge, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n#$ -S /bin/sh\n#$ -pe smp 2\n#$ -j y\n#$ -o {tmp_path}/said\n"
                      f"exec {run.cli.path} cluster {run.out} --runner --interface lo --cores 1 --quiet\n")
    assert sge("qsub", "-sync", "y", str(script)).returncode == 0, open(tmp_path / "said").read()
    run.is_done()


@pytest.mark.parametrize("words", ["", "--tls"], ids=["clear", "tls"])
def test_runner_starts_workers_by_qrsh(run, sge, tmp_path, launcher, words):  # noqa: F811: launcher skips where names cannot be given
    """The command thinks that it is on another host than the one that Grid Engine lists: its worker there is started by the real qrsh."""
    script = tmp_path / "job.sh"
    ways = "".join(f"export {k}={shlex.quote(sge.env[k])}\n" for k in sge.env if k.startswith("SGE_") or k in ("PATH", "LD_LIBRARY_PATH"))
    script.write_text(f"#!/bin/sh\n#$ -S /bin/sh\n#$ -pe smp 2\n#$ -j y\n#$ -o {tmp_path}/said\n{ways}"
                      f"""echo '#!/bin/sh
echo "$@" > {tmp_path}/told
exec unshare --uts sh -c "hostname {sge.host}; exec qrsh \\"\\$@\\"" sh "$@"' > {tmp_path}/noting; chmod +x {tmp_path}/noting\n"""
                      f"exec unshare --uts sh -c 'hostname elsewhere; exec \"$@\"' sh {run.cli.path} cluster {run.out} --runner --interface lo --quiet --launcher '{tmp_path}/noting -inherit -nostdin' {words}\n")
    assert sge("qsub", "-sync", "y", str(script)).returncode == 0, open(tmp_path / "said").read()
    run.is_done()
    assert open(tmp_path / "told").read().startswith(f"-inherit -nostdin {sge.host} /bin/sh ")
    assert {r["host"] for r in records(run.out)} == {sge.host}
