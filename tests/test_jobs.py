# SPDX-License-Identifier: MIT
"""What `status` makes of the schedulers' answers: stand-ins for their programs give answers as the manuals print them, or as the real ones gave
them (tests/cases/jobs)."""
import json
import os
import stat

import pytest

from conftest import ROOT

CASES = os.path.join(ROOT, "tests", "cases", "jobs")


def case(name):
    with open(os.path.join(CASES, name)) as f:
        return f.read()


@pytest.fixture
def run(cli, tmp_path):
    cli.ok("phantom", tmp_path / "a.czi", "--size", "y=64,x=64", "--quiet")
    out = str(tmp_path / "a.ome.zarr")
    cli.ok("convert", tmp_path / "a.czi", out, "--prepare", "--quiet")
    return out


class Site:
    """A folder of stand-ins; each prints an answer and ends with a code, and notes how it was called."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}", "TZ": "UTC"}

    def program(self, name, answer="", code=0, errors=""):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\necho \"$0 $*\" >> {self.folder}/called\ncat <<'END_OF_ANSWER'\n{answer}END_OF_ANSWER\n"
                        f"cat >&2 <<'END_OF_ANSWER'\n{errors}END_OF_ANSWER\nexit {code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def called(self):
        return (self.folder / "called").read_text()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")


def note(run, scheduler, number, jobs, workers=False):
    with open(run + ".run/jobs.jsonl", "a") as f:
        f.write(json.dumps({"scheduler": scheduler, "id": str(number), "jobs": jobs, "workers": workers, "at": 1}) + "\n")


def jobs(cli, run, site):
    return json.loads(cli("status", run, "--json", env=site.env).stdout).get("jobs")


def test_openpbs(cli, run, site):
    """qstat -t -f: the array as a whole, a job of it that runs, one that waits with a comment that goes over two lines, one that has ended."""
    site.program("qstat", case("openpbs-qstat-tf.txt"))
    note(run, "pbs", 4712, 3)
    assert jobs(cli, run, site) == {"pending": 1, "running": 1, "other": 0, "reasons": {"Not Running: Insufficient amount of resource: ncpus ": 1}}
    assert "-t -f 4712[]" in site.called()


def test_openpbs_job_that_is_held_and_one_that_is_over(cli, run, site):
    site.program("qstat", case("openpbs-qstat-f-held.txt"), 35, "qstat: 4713.pbs Job has finished, use -x or -H to obtain historical job information\n")
    note(run, "pbs", 4713, 1)
    note(run, "pbs", 4714, 1)
    found = jobs(cli, run, site)
    assert (found["pending"], found["running"], found["other"]) == (0, 0, 1) and "job held" in next(iter(found["reasons"])).lower()


def test_torque(cli, run, site):
    site.program("qstat", case("torque-qstat-f.txt"))
    note(run, "torque", 12, 1)
    assert jobs(cli, run, site) == {"pending": 0, "running": 1, "other": 0, "reasons": {}}


def test_torque_over_slurm_knows_no_t(cli, run, site):
    (site.folder / "qstat").write_text(f"#!/bin/sh\necho \"$*\" >> {site.folder}/called\n[ \"$1\" != -t ] || exit 2\ncat <<'E'\n{case('slurm-torque-qstat-f.txt')}E\n")
    (site.folder / "qstat").chmod(0o755)
    note(run, "torque", 5, 9)
    assert jobs(cli, run, site)["pending"] == 1
    assert "-f 5\n" in site.called()


def test_lsf(cli, run, site):
    """bjobs -o with a delimiter; a job that has aged out makes it fail, which does not hide the others."""
    site.program("bjobs", case("lsf-bjobs-o.txt"), 255, "Job <4715> is not found\n")
    note(run, "lsf", 4713, 4)
    note(run, "lsf", 4715, 1)
    found = jobs(cli, run, site)
    assert (found["pending"], found["running"], found["other"]) == (2, 1, 1)
    assert found["reasons"]["Job requirements for reserving resource (mem) not satisfied: 5 hosts;"] == 1
    assert any(reason.startswith("New job is waiting for scheduling") for reason in found["reasons"])
    assert "4713 4715" in site.called()


def test_htcondor(cli, run, site):
    site.program("condor_q", case("htcondor-condor_q-aft.txt"))
    note(run, "htcondor", 4715, 4)
    found = jobs(cli, run, site)
    assert (found["pending"], found["running"], found["other"]) == (2, 1, 1)
    assert set(found["reasons"]) == {"Error from slot1@node7: Job has gone over memory limit of 2048 megabytes. Peak usage: 2071 megabytes.",
                                     "PREEMPTION_REQUIREMENTS == False"}


def test_grid_engine(cli, run, site):
    """The reasons stand in qstat -j, the states in qstat."""
    (site.folder / "qstat").write_text(f"#!/bin/sh\nif [ \"$1\" = -j ]; then cat <<'E'\n{case('sge-qstat-j.txt')}E\nelse cat <<'E'\n{case('sge-qstat.txt')}E\nfi\n")
    (site.folder / "qstat").chmod(0o755)
    note(run, "sge", 4, 1)
    note(run, "sge", 5, 3)
    note(run, "sge", 6, 1)
    found = jobs(cli, run, site)
    assert (found["pending"], found["running"], found["other"]) == (0, 2, 3), "3: of others, not of this run"
    assert found["reasons"]["Job is in hold state"] == 1
    assert any("can't open output file" in reason and count == 2 for reason, count in found["reasons"].items())


def test_slurm(cli, run, site):
    site.program("squeue", "12_1|RUNNING|None\n12_2|PENDING|Resources\n12_3|PENDING|Priority\n13|CONFIGURING|None\n14|SUSPENDED|JobHeldUser\n")
    note(run, "slurm", 12, 3)
    note(run, "slurm", 13, 1)
    note(run, "slurm", 14, 1)
    assert jobs(cli, run, site) == {"pending": 3, "running": 1, "other": 1, "reasons": {"Resources": 1, "Priority": 1, "JobHeldUser": 1}}


def test_scheduler_that_is_not_here(cli, run, site):
    (site.folder / "sh").symlink_to("/bin/sh")
    note(run, "lsf", 12, 3)
    assert "cannot be asked from here" in cli("status", run).stdout


# ---- how jobs ended -------------------------------------------------------------------------------------------------------------------------------


def failures(cli, run, site):
    return cli.ok("status", run, "--failures", env=site.env)


def test_verdicts_of_slurm_accounting(cli, run, site):
    """sacct -X -P; asked once, then kept, for accounting is purged one day."""
    site.program("sacct", "12_1|COMPLETED|0:0|n1|2026-11-23T16:10:00\n12_2|OUT_OF_MEMORY|0:125|n2|2026-11-23T16:11:00\n12_3|CANCELLED by 1001|0:15|n3|2026-11-23T16:12:00\n"
                          "12_4|RUNNING|0:0|n3|Unknown\n")
    note(run, "slurm", 12, 4)
    said = failures(cli, run, site)
    assert "job 12_2 of slurm ended on n2: OUT_OF_MEMORY, exit code 0, signal 125" in said and "12_3 of slurm ended on n3: CANCELLED by 1001" in said
    assert "12_1" not in said and "12_4" not in said
    assert "-j 12" in site.called()
    site.program("sacct", "", 1)
    assert failures(cli, run, site) == said


def test_verdicts_of_slurm_without_accounting(cli, run, site):
    site.program("sacct", "", 1, "Slurm accounting storage is disabled\n")
    site.program("scontrol", case("slurm-scontrol-o.txt"))
    note(run, "slurm", 5, 9)
    said = failures(cli, run, site)
    assert "job 5_5 of slurm ended on n3: CANCELLED, exit code 0, signal 15" in said and "5_4" not in said
    assert "-o show job 5" in site.called()


def test_verdicts_of_grid_engine(cli, run, site):
    site.program("qacct", case("sge-qacct-j.txt"))
    note(run, "sge", 2, 3)
    said = failures(cli, run, site)
    assert "2026-11-23T18:11:27Z job 2.2 of sge ended on vm: exit code 137, signal 9, failed: 100 : assumedly after job" in said
    assert "job 2.1" not in said


def test_verdicts_of_pbs(cli, run, site):
    site.program("qstat", case("openpbs-qstat-xf.txt"))
    note(run, "pbs", 4716, 3)
    said = failures(cli, run, site)
    assert "job 4716[2] of pbs ended on node8: exit code -29: Job run at Mon Nov 23 at 15:02 on (node8:ncpus=40) and exceeded resource walltime" in said
    assert "4716[1]" not in said and "4716[3]" not in said
    assert "-x -t -f 4716[]" in site.called()


def test_verdicts_of_lsf(cli, run, site):
    site.program("bjobs", "4713|1|DONE|-|-|node7\n4713|2|EXIT|140|TERM_RUNLIMIT: job killed after reaching LSF run time limit|node8\n4713|3|RUN|-|-|node9\n")
    note(run, "lsf", 4713, 3)
    said = failures(cli, run, site)
    assert "job 4713[2] of lsf ended on node8: EXIT, exit code 140, TERM_RUNLIMIT: job killed after reaching LSF run time limit" in said
    assert said.count("\n") == 1 and "-a -noheader -o" in site.called()


def test_verdicts_of_htcondor(cli, run, site):
    site.program("condor_history", "4715\t0\t4\t0\tundefined\tundefined\tslot1_1@node7\n4715\t1\t3\tundefined\t15\tvia condor_rm (by user alice)\tslot1_2@node8\n"
                                   "4715\t2\t4\t1\tundefined\tundefined\tslot1_1@node9\n")
    note(run, "htcondor", 4715, 3)
    said = failures(cli, run, site)
    assert "job 4715.1 of htcondor ended on node8: removed, signal 15: via condor_rm (by user alice)" in said
    assert "job 4715.2 of htcondor ended on node9: completed, exit code 1" in said and "4715.0" not in said


@pytest.mark.parametrize("scheduler, job, env", [
    ("slurm", "12_3", {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}), ("slurm", "15", {"SLURM_JOB_ID": "15"}),
    ("pbs", "12[3]", {"PBS_JOBID": "12[3].head.example"}), ("sge", "12.3", {"SGE_ROOT": "/opt/sge", "JOB_ID": "12", "SGE_TASK_ID": "3"}),
    ("sge", "12", {"SGE_ROOT": "/opt/sge", "JOB_ID": "12", "SGE_TASK_ID": "undefined"}), ("lsf", "12[3]", {"LSB_JOBID": "12", "LSB_JOBINDEX": "3"}),
    ("lsf", "12", {"LSB_JOBID": "12", "LSB_JOBINDEX": "0"}), ("htcondor", "12.3", {"_CONDOR_JOB_AD": "AD"})], ids=lambda v: v if isinstance(v, str) else "")
def test_a_job_notes_which_blocks_it_takes(cli, run, tmp_path, scheduler, job, env):
    (tmp_path / "ad").write_text('Cmd = "/opt/pellucid"\nClusterId = 12\nProcId = 3\n')
    cli.ok("work", run, "--part", "1/1", "--quiet", env={k: v.replace("AD", str(tmp_path / "ad")) for k, v in env.items()})
    assert f"its part begun on {os.uname().nodename} in job {job} of {scheduler}" in cli.ok("status", run, "--block", "0")


def test_a_job_without_a_scheduler_notes_nothing(cli, run):
    cli.ok("work", run, "--part", "1/1", "--quiet", env={"JOB_ID": "12", "PBS_JOBID": "../../x"})
    assert not os.path.exists(run + ".run/jobs")
