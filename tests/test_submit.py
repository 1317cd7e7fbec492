# SPDX-License-Identifier: MIT
"""Array jobs: the script of every scheduler against tests/cases/submit, what schedulers read in them, and --part auto.

`PELLUCID_WRITE_CASES=1 pytest tests/test_submit.py` writes the cases anew; read the difference before you keep it.
"""
import json
import os
import re
import stat
import subprocess

import pytest

from conftest import ROOT

CASES = os.path.join(ROOT, "tests", "cases", "submit")
SCHEDULERS = ["slurm", "pbs", "torque", "sge", "lsf", "htcondor", "kubernetes", "aws-batch"]
IMAGE = ("--image", "registry.example/pellucid:1", "--queue", "long")
FULL = ("--cores", "40", "--memory", "220G", "--time", "36:00:00", "--name", "embryo-7", *IMAGE)


@pytest.fixture(scope="module")
def run(cli, tmp_path_factory):
    """A prepared run of 24 blocks."""
    folder = tmp_path_factory.mktemp("submit")
    cli.ok("phantom", folder / "a.czi", "--size", "c=2,z=8,y=128,x=192", "--quiet")
    out = str(folder / "a.ome.zarr")
    cli.ok("denoise", folder / "a.czi", out, "--noise", "3.92,-388", "--tune", "off", "--iterations", "1", "--chunk", "z=4,y=64,x=64", "--block",
           "z=4,y=64,x=64", "--prepare", "--quiet")
    return out


def script(cli, run, scheduler, *words):
    text = cli.ok("submit", run, "--scheduler", scheduler, "--program", "/opt/pellucid/bin/pellucid", *words)
    return text.replace(os.path.realpath(run), "/data/embryo.ome.zarr")


def compare(name, text):
    path = os.path.join(CASES, name)
    if os.environ.get("PELLUCID_WRITE_CASES"):
        with open(path, "w") as f:
            f.write(text)
    assert text == open(path).read()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_script_with_everything(cli, run, scheduler):
    extra = {"kubernetes": ("--volume", "images:/data", "--directive", "spec.template.spec.nodeSelector.disk=ssd",
                            "--directive", "spec.ttlSecondsAfterFinished=3600"),
             "aws-batch": ("--directive", "schedulingPriorityOverride=7",),
             "htcondor": ("--directive", "requirements = HasFileSystem")}.get(scheduler, ("--directive", "--mail-type=FAIL"))
    compare(scheduler + ".txt", script(cli, run, scheduler, "--parts", "16", *FULL, *extra))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_script_with_nothing_but_parts(cli, run, scheduler):
    compare(scheduler + "-plain.txt", script(cli, run, scheduler, "--parts", "16", "--cores", "2", *(IMAGE if scheduler in ("kubernetes", "aws-batch") else ())))


@pytest.mark.parametrize("scheduler", ["slurm", "pbs", "torque", "sge", "lsf"])
def test_shells_accept_the_scripts(cli, run, scheduler, tmp_path):
    path = tmp_path / "job.sh"
    cli.ok("submit", run, "--scheduler", scheduler, "--parts", "3", *FULL, "--output", path)
    assert subprocess.run(["sh", "-n", path]).returncode == 0
    lines = path.read_text().splitlines()
    prefix = {"slurm": "#SBATCH ", "pbs": "#PBS ", "torque": "#PBS ", "sge": "#$ ", "lsf": "#BSUB "}[scheduler]
    assert lines[0] == "#!/bin/sh" and all(line.startswith(prefix) for line in lines[1:-1]) and lines[-1].startswith("exec ")


@pytest.mark.parametrize("index", [{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "3"},
                                   {"PBS_ARRAY_INDEX": "3"}, {"PBS_ARRAYID": "3"}, {"SGE_TASK_ID": "3", "SGE_TASK_FIRST": "3", "SGE_TASK_LAST": "3"},
                                   {"LSB_JOBINDEX": "3", "LSB_JOBINDEX_END": "3"}, {"JOB_COMPLETION_INDEX": "2"},
                                   {"AWS_BATCH_JOB_ARRAY_INDEX": "2"}], ids=lambda e: next(iter(e)))
def test_a_typed_count_stands_where_one_job_is_submitted_again(cli, run, tmp_path, index):
    out = str(tmp_path / "a.ome.zarr")
    cli.ok("convert", os.path.join(os.path.dirname(run), "a.czi"), out, "--chunk", "z=4,y=64,x=64", "--block", "z=4,y=64,x=64", "--prepare", "--quiet")
    cli.ok("work", out, "--part", "auto/16", env=index)
    records = [json.loads(line[9:]) for n in os.listdir(out + ".run/ledger") for line in open(f"{out}.run/ledger/{n}")]
    assert sorted(r["job"] for r in records if r["job"] >= 0) == [2, 18]  # -1: the documents


def test_one_part_is_no_array(cli, run):
    for scheduler in SCHEDULERS:
        text = script(cli, run, scheduler, "--parts", "1", *IMAGE)
        assert "auto" not in text and "1/1" in text, scheduler
        assert not re.search(r"--array|-J 1|-t 1|\[1-|arrayProperties", text), scheduler


def test_more_parts_than_blocks_are_not_made(cli, run):
    assert "--array=1-24\n" in script(cli, run, "slurm", "--parts", "1000")


def test_without_leaves_out_what_a_site_forbids(cli, run):
    text = script(cli, run, "slurm", "--parts", "4", *FULL, "--without", "--mem=", "--without", "signal")
    assert "--mem=" not in text and "--signal" not in text and "--time=36:00:00" in text and "--memory 211200M" in text


def test_odd_names_are_quoted(cli, tmp_path):
    folder = tmp_path / "it's a \"box\" $HOME"
    folder.mkdir()
    cli.ok("phantom", folder / "a.czi", "--size", "y=64,x=64", "--quiet")
    out = folder / "a b.ome.zarr"
    cli.ok("convert", folder / "a.czi", out, "--prepare", "--quiet")
    job = tmp_path / "job.sh"
    cli.ok("submit", out, "--scheduler", "slurm", "--parts", "1", "--output", job)
    assert subprocess.run(["sh", job]).returncode == 0
    assert cli.json("status", out)["state"] == "done"


def test_kubernetes_manifest_follows_the_published_schema(cli, run):
    validate = pytest.importorskip("kubernetes_validate")
    for words in ((), FULL, (*FULL, "--volume", "images:/data", "--directive", "spec.template.spec.nodeSelector.disk=ssd")):
        job = json.loads(script(cli, run, "kubernetes", "--parts", "16", *(words or IMAGE)))
        validate.validate(job, "1.28", strict=True)
        assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["completions"] == 16
        broken = json.loads(json.dumps(job))
        broken["spec"]["completions"] = "sixteen"
        with pytest.raises(validate.ValidationError):
            validate.validate(broken, "1.28", strict=True)


@pytest.mark.parametrize("words, users", [
    (("--image", "x"), {"kubernetes", "aws-batch"}), (("--volume", "claim:/data"), {"kubernetes"}), (("--ttl", "1h"), {"kubernetes"}),
    (("--memory-per-slot",), {"lsf"}), (("--without", "mem"), set(SCHEDULERS) - {"kubernetes", "aws-batch"}),
])
def test_words_without_effect_are_named(cli, run, words, users):
    for scheduler in SCHEDULERS:
        needed = () if scheduler not in ("kubernetes", "aws-batch") else IMAGE
        said = cli("submit", run, "--scheduler", scheduler, "--parts", "2", *needed, *words)
        assert said.returncode == 0, said.stderr
        assert (f"{words[0]} has no effect with {scheduler}" in said.stderr) == (scheduler not in users), (scheduler, said.stderr)


def test_wrong_words_are_refused(cli, run):
    for words, part in [(("--scheduler", "loadleveler"), "slurm, pbs"), (("--time", "12"), "12:00:00"), (("--time", "1:77:00"), "12:00:00"),
                        (("--name", "a;b"), "letters"), (("--directive", "a\nrm -rf /"), "one line"), (("--memory", "64M", "--cores", "64"), "--memory"),
                        (("--scheduler", "kubernetes"), "--image"), (("--scheduler", "kubernetes", "--image", "x", "--volume", "data"), "CLAIM:/PATH"),
                        (("--scheduler", "aws-batch", "--image", "x"), "--queue")]:
        scheduler = () if "--scheduler" in words else ("--scheduler", "slurm")
        assert part in cli.fails(2, "submit", run, "--parts", "2", *scheduler, *words), words
    assert "--parts" in cli.fails(2, "submit", run, "--scheduler", "slurm")
    assert "slurm, pbs" in cli.fails(2, "submit", run, "--scheduler", "loadleveler"), "what is wrong is told before what is missing"
    assert "no such output" in cli.fails(2, "submit", run + "x", "--scheduler", "slurm", "--parts", "2")


def test_now_hands_the_script_to_the_scheduler_and_notes_the_job(cli, run, tmp_path):
    """A stand-in for each scheduler's own command keeps what it is given."""
    said = {"slurm": ("sbatch", "Submitted batch job 4711", "4711"), "pbs": ("qsub", "4712[].head", "4712"), "lsf": ("bsub", "Job <4713> is submitted to queue <long>.", "4713"),
            "sge": ("qsub", 'Your job-array 4714.1-3:1 ("pellucid") has been submitted', "4714"),
            "htcondor": ("condor_submit", "Submitting job(s)...\n3 job(s) submitted to cluster 4715.", "4715")}
    for scheduler, (program, answer, number) in said.items():
        fake = tmp_path / program
        fake.write_text(f"#!/bin/sh\ncat \"${{1:-/dev/stdin}}\" > {tmp_path}/given\ncat <<'E'\n{answer}\nE\n")
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        words = ("submit", run, "--scheduler", scheduler, "--parts", "3", "--cores", "2")
        shown = cli.ok(*words)
        out = cli.ok(*words, "--now", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert answer.split()[0] in out
        assert (tmp_path / "given").read_text() == shown
        noted = json.loads(open(run + ".run/jobs.jsonl").read().splitlines()[-1])
        assert noted["scheduler"] == scheduler and noted["id"] == number
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    message = cli.fails(2, "submit", run, "--scheduler", "slurm", "--parts", "3", "--now", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert "invalid partition" in message and "fewer --parts" not in message
    for refusal in ("Invalid job array specification", "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"):
        (tmp_path / "sbatch").write_text(f"#!/bin/sh\ncat >&2 <<'E'\nsbatch: error: Batch job submission failed: {refusal}\nE\nexit 1\n")
        words = ("submit", run, "--scheduler", "slurm", "--now", "--parts")
        assert "fewer --parts than 3" in cli.fails(2, *words, "3", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert "fewer" not in cli.fails(2, *words, "1", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_plan_shows_script_and_core_hours(cli, run, tmp_path):
    czi = os.path.join(os.path.dirname(run), "a.czi")
    words = ("plan", "denoise", czi, tmp_path / "new.ome.zarr", "--noise", "3.92,-388", "--tune", "off", "--chunk", "z=4,y=64,x=64", "--block",
             "z=4,y=64,x=64", "--scheduler", "slurm", "--nodes", "7", "--cores", "4")
    text = cli.ok(*words, "--time", "12:00:00")
    assert "core-hours" in text and "fits: all blocks" in text and "#SBATCH --array=1-7\n" in text and "--threads 4 --seconds 42900" in text
    assert cli.ok(*words, "--walltime", "12h", "--no-timing").split("exec")[1] == text.split("exec")[1]
    assert not os.path.exists(tmp_path / "new.ome.zarr")


def test_a_sites_file_a_users_file_and_typed_words(cli, run, tmp_path):
    """The site's file is the weakest, then the user's, then one that is named, then what is typed; directives add up."""
    site, named = tmp_path / "site.json", tmp_path / "named.json"
    (tmp_path / "config" / "pellucid").mkdir(parents=True)
    site.write_text(json.dumps({"scheduler": "slurm", "queue": "of-the-site", "cores": 40, "time": "36:00:00", "directive": ["--mail-type=FAIL"], "interface": "ib0",
                                "workers": "2..16"}))
    (tmp_path / "config" / "pellucid" / "cluster.json").write_text(json.dumps({"queue": "of-the-user", "directive": ["--account=X"]}))
    named.write_text(json.dumps({"queue": "named"}))
    env = {"PELLUCID_SITE": str(site), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    text = cli.ok("submit", run, "--parts", "2", env=env)
    assert "--partition=of-the-user\n" in text and "--cpus-per-task=40\n" in text and "--time=36:00:00\n" in text
    assert "--mail-type=FAIL\n" in text and "--account=X\n" in text
    assert "--partition=named\n" in cli.ok("submit", run, "--parts", "2", "--config", named, env=env)
    text = cli.ok("submit", run, "--parts", "2", "--config", named, "--queue", "typed", "--cores", "3", env=env)
    assert "--partition=typed\n" in text and "--cpus-per-task=3\n" in text
    assert "--scheduler is missing" in cli.fails(2, "submit", run, "--parts", "2", "--config", "none", env=env)
    site.write_text("{")
    assert "site.json" in cli.fails(2, "submit", run, "--parts", "2", env=env)
    assert "--scheduler is missing" in cli.fails(2, "submit", run, "--parts", "2", env={**env, "PELLUCID_SITE": ""})
