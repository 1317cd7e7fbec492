# SPDX-License-Identifier: MIT
"""`cluster --runner` in allocations of PBS, Torque, LSF and Grid Engine that are made of what the manuals say a job finds: files and variables that
list its hosts, and programs that start a command there. The stand-ins for those programs take what the manuals say they take and refuse all else;
the hosts are this machine under other names."""
import os

import pytest

from cluster_help import embryo, finish, launcher, records, run, undisturbed, work_queue  # noqa: F401

SHORT = ("--batch-seconds", "1", "--late-seconds", "1000", "--interface", "lo", "--cores", "1")
LISTS = ("SLURM_JOB_NUM_NODES", "SLURM_HET_SIZE", "PE_HOSTFILE", "PBS_NODEFILE", "NCPUS", "PBS_NUM_PPN", "LSB_DJOB_HOSTFILE", "LSB_MCPU_HOSTS", "LSB_HOSTS")

# What each makes of its words. ssh, rsh and pbs_tmrsh put the command together with blanks and give it to a shell there, in a fresh environment;
# blaunch does the first of that only; qrsh and pbsdsh start the words as they are.
LOGIN = 'exec env -i HOME=/ PATH=/usr/bin:/bin {here} "$host" /bin/sh -c "$*"'
PROGRAMS = {
    "ssh": '[ "$1 $2" = "-o BatchMode=yes" ] || exit 255; shift 2; host=$1; shift; ' + LOGIN,
    "pbs_tmrsh": "host=$1; shift; " + LOGIN,
    "pbsdsh": '[ "$1" = -h ] || exit 254; host=$2; shift 2; exec env -i PATH=/usr/bin:/bin {here} "$host" "$@"',
    "blaunch": '[ -n "$LSB_JOBID" ] || exit 253; host=$1; shift; exec {here} "$host" /bin/sh -c "$*"',
    "qrsh": '[ "$1" = -inherit ] && [ -n "$JOB_ID" ] || exit 252; shift; [ "$1" != -nostdin ] || shift; host=$1; shift; '
            'exec env -i PATH=/usr/bin:/bin {here} "$host" "$@"',
}


@pytest.fixture
def site(tmp_path, launcher):  # noqa: F811
    """site(allowed hosts): the environment of a job. Each start is noted in tmp_path/started as "program host"."""
    def make(*hosts, **variables):
        folder = tmp_path / "programs"
        folder.mkdir(exist_ok=True)
        for name, text in PROGRAMS.items():
            path = folder / name
            check = f'case $host in {"|".join(hosts)}) ;; *) echo "{name}: $host is not of this job" >&2; exit 251;; esac; echo "{name} $host" >> {tmp_path}/started; '
            path.write_text("#!/bin/sh\n" + text.format(here=launcher).replace("exec ", check + "exec ", 1) + "\n")
            path.chmod(0o755)
        tools = tmp_path / "module"  # what `module load` made known on the first host only
        tools.mkdir(exist_ok=True)
        worker = tools / "site_worker"
        worker.write_text('#!/bin/sh\nexec work_queue_worker "$@"\n')
        worker.chmod(0o755)
        return {**{k: v for k, v in os.environ.items() if k not in LISTS}, "PATH": f"{folder}:{tools}:{os.environ['PATH']}", **variables}
    return make


def started(tmp_path):
    try:
        with open(tmp_path / "started") as f:
            return {line.strip() for line in f}
    except FileNotFoundError:
        return set()


def runner(run, env, *words):  # noqa: F811
    return run.start("--runner", *SHORT, "--worker-program", "site_worker", *words, env=env)


def hosts_of(run):  # noqa: F811
    return {r["host"] for r in records(run.out)}


FILES = {
    "PBS, a line a process": ("PBS_NODEFILE", "n1\nn1\nn2\nn2\n", "ssh", {}),
    "PBS, whole names": ("PBS_NODEFILE", "n1.cluster.example\nn2.cluster.example\n", "ssh", {}),
    "Torque, no end of line": ("PBS_NODEFILE", "n1\nn1\nn2", "ssh", {"PBS_NUM_PPN": "2"}),
    "LSF, a line a slot": ("LSB_DJOB_HOSTFILE", "n1\nn1\nn1\nn2\n", "blaunch", {"LSB_JOBID": "4711", "LSB_HOSTS": "elsewhere", "LSB_MCPU_HOSTS": "elsewhere 3"}),
    "Grid Engine": ("PE_HOSTFILE", "n1 2 all.q@n1 UNDEFINED\nn2 1 all.q@n2 <NULL>\n", "qrsh", {"JOB_ID": "4711"}),
    "remarks and empty lines": ("PBS_NODEFILE", "# hosts\n\n  n1  # the first\n\tn2\r\n\n", "ssh", {}),
}


@pytest.mark.parametrize("kind", FILES)
def test_hosts_in_a_file(run, site, tmp_path, kind):  # noqa: F811
    """One worker a host, started by the scheduler's own program, found by the job's PATH, told the walltime: the words of its command go through unhurt."""
    variable, text, by, more = FILES[kind]
    path = tmp_path / "a file of hosts"
    path.write_text(text)
    names = ["n1.cluster.example", "n2.cluster.example"] if ".cluster" in text else ["n1", "n2"]
    finish(runner(run, site(*names, **{variable: str(path)}, **more), "--time", "1:00:00"))
    run.is_done()
    assert started(tmp_path) == {f"{by} {n}" for n in names}
    assert hosts_of(run) <= set(names)
    assert not [n for n in os.listdir(run.file("submit")) if n.startswith("runner-")], "nothing is left of the workers' command"


@pytest.mark.parametrize("variables", [{"LSB_MCPU_HOSTS": "n1 4 n2 8"}, {"LSB_HOSTS": "n1 n1 n1 n2 n2"}, {"LSB_MCPU_HOSTS": "n1 4 n2 8 ", "LSB_HOSTS": "elsewhere"}])
def test_hosts_in_a_variable(run, site, tmp_path, variables):  # noqa: F811
    finish(runner(run, site("n1", "n2", LSB_JOBID="4711", **variables)))
    run.is_done()
    assert started(tmp_path) == {"blaunch n1", "blaunch n2"}


@pytest.mark.parametrize("words, by", [("pbs_tmrsh", "pbs_tmrsh"), ("pbsdsh -h", "pbsdsh")])
def test_other_launchers_of_pbs(run, site, tmp_path, words, by):  # noqa: F811
    """Where hosts do not let ssh in: the ways of OpenPBS and of Torque that the page names."""
    path = tmp_path / "hosts"
    path.write_text("n1\nn2\n")
    finish(runner(run, site("n1", "n2", PBS_NODEFILE=str(path)), "--launcher", words, "--tls", "--time", "1:00:00"))
    run.is_done()
    assert started(tmp_path) == {f"{by} n1", f"{by} n2"}


def test_the_first_host_needs_no_launcher(run, site, tmp_path):  # noqa: F811
    """The manager's own, by short or whole name, works beside the manager."""
    own = os.uname().nodename.split(".")[0]
    path = tmp_path / "hosts"
    path.write_text(f"{own}.cluster.example\n{own}.cluster.example\nn2\n")
    finish(runner(run, site("n2", PBS_NODEFILE=str(path))))
    run.is_done()
    assert started(tmp_path) == {"ssh n2"}
    path.write_text(f"{own}\n{own}\n")
    assert "is done" in run.cli("cluster", run.out, "--runner", "--interface", "lo", env=site("n2", PBS_NODEFILE=str(path))).stderr


@pytest.mark.parametrize("variable, text, more, cores", [
    ("PE_HOSTFILE", "localhost 3 all.q UNDEFINED\n", {"JOB_ID": "1"}, 3), ("LSB_DJOB_HOSTFILE", "localhost\n" * 5, {"LSB_JOBID": "1"}, 5),
    ("PBS_NODEFILE", "localhost\n", {"NCPUS": "4"}, 4), ("PBS_NODEFILE", "localhost\n" * 6, {"PBS_NUM_PPN": "6", "NCPUS": "1"}, 6), ("PBS_NODEFILE", "localhost\n", {}, None)])
def test_workers_take_the_processors_that_the_job_has(run, site, tmp_path, variable, text, more, cores):  # noqa: F811
    path, told = tmp_path / "hosts", tmp_path / "told"
    path.write_text(text)
    worker = tmp_path / "noting"
    worker.write_text(f'#!/bin/sh\necho "$@" > {told}\nexec work_queue_worker "$@"\n')
    worker.chmod(0o755)
    finish(run.start("--runner", "--interface", "lo", "--batch-seconds", "1", "--worker-program", worker, env=site("n1", **{variable: str(path)}, **more)))
    run.is_done()
    words = told.read_text().split()
    assert [w for w in words if w.startswith("--cores")] == ([f"--cores={cores}"] if cores else [])


BAD = {
    "empty": ("PBS_NODEFILE", "", "there is no host in it"),
    "remarks only": ("PBS_NODEFILE", "# none\n\n", "there is no host in it"),
    "away": ("PBS_NODEFILE", None, "cannot be read: No such file"),
    "an option": ("PBS_NODEFILE", "n1\n-oProxyCommand=evil\n", 'line 2: found "-oProxyCommand=evil", expected the name of a host'),
    "a shell": ("LSB_DJOB_HOSTFILE", "n1;reboot\n", 'line 1: found "n1;reboot", expected the name of a host'),
    "two a line": ("PBS_NODEFILE", "n1 n2\n", 'line 1: found "n2" after host n1, expected one host a line'),
    "no slots": ("PE_HOSTFILE", "n1 2 a b\nn2 many a b\n", 'line 2: found "many" after host n2, expected a number of slots'),
    "nought slots": ("PE_HOSTFILE", "n1 0 a b\n", "line 1: host n1 has 0 slots"),
    "bytes": ("PBS_NODEFILE", "\1\2\3\n", "expected the name of a host"),
    "one endless line": ("PBS_NODEFILE", "n" * 5000, "longer than a host's line can be"),
    "too long a name": ("PBS_NODEFILE", "n" * 300, "expected the name of a host"),
    "too many": ("PBS_NODEFILE", "".join(f"n{k}\n" for k in range(5000)), "more than 4096 hosts"),
    "odd words": ("LSB_MCPU_HOSTS", "n1 4 n2", "found no number of slots after host n2"),
    "words": ("LSB_MCPU_HOSTS", "n1 n2", "found no number of slots after host n1"),
    "blanks": ("LSB_HOSTS", "  ", "there is no host in it"),
}


@pytest.mark.parametrize("kind", BAD)
def test_lists_that_are_none(run, site, tmp_path, kind):  # noqa: F811
    variable, text, why = BAD[kind]
    path = tmp_path / "hosts"
    if text is not None and variable.endswith("FILE"):
        path.write_text(text)
    done = run.cli("cluster", run.out, "--runner", "--interface", "lo", env=site("n1", **{variable: str(path) if variable.endswith("FILE") else text}))
    assert done.returncode != 0 and variable in done.stderr and why in done.stderr, done.stderr
    assert started(tmp_path) == set() and not os.path.exists(run.file("manager.json"))


def test_hosts_that_are_named(run, site, tmp_path):  # noqa: F811
    env = site("n1", "n2")
    assert 'found "-l", expected the name of a host' in run.cli("cluster", run.out, "--runner", "--interface", "lo", "--hosts", "n1,-l", env=env).stderr
    finish(runner(run, env, "--hosts", "n1,,n2, n1"))
    run.is_done()
    assert started(tmp_path) == {"ssh n1", "ssh n2"}


def test_a_host_that_lets_nobody_in_is_named(run, site, tmp_path):  # noqa: F811
    """The others do the work; what its launcher said is in the log, and that it fails is told once it did so time and again."""
    path = tmp_path / "hosts"
    path.write_text("n1\nn3\n")
    p = runner(run, site("n1", PBS_NODEFILE=str(path)))
    finish(p)
    run.is_done()
    assert "ssh: n3 is not of this job" in open(run.file("log/workers.log")).read()


def test_no_command_for_other_hosts_is_an_end_with_a_reason(run, site, tmp_path):  # noqa: F811
    """Nobody could ever come to the manager: it is ended, too, nothing is started, and once the folder may be written the same command does it all."""
    with open(run.file("submit"), "w") as f:
        f.write("not a folder")
    p = runner(run, site("n1"), "--hosts", "n1")
    said = finish(p, 2)
    assert "submit: found a file, expected a folder of the run" in said, said
    assert started(tmp_path) == set() and not os.path.exists(f"/proc/{run.manager()['pid']}")
    os.unlink(run.file("submit"))
    finish(runner(run, site("n1"), "--hosts", "n1"))
    run.is_done()


def test_a_manager_that_cannot_tell_its_port_ends_with_the_reason(run, site):  # noqa: F811
    """As on a full disk: nobody would ever find it, and the command would wait for ever."""
    os.makedirs(run.file("manager.json/taken"))
    said = finish(runner(run, site("n1"), "--hosts", "n1"), 1)
    assert "manager.json: cannot" in said and "did not begin" in said, said
    os.removedirs(run.file("manager.json/taken"))
    finish(runner(run, site("n1"), "--hosts", "n1"))
    run.is_done()


def test_a_name_that_would_be_taken_apart_is_refused(cli, embryo, tmp_path, site):  # noqa: F811
    out = tmp_path / "two words.ome.zarr"
    cli.ok("gaussian", embryo, out, "--sigma", "x=1", "--prepare", "--quiet")
    done = cli("cluster", out, "--runner", "--interface", "lo", "--hosts", "n1,n2", env=site("n1", "n2"))
    assert done.returncode != 0 and "would take apart the name of" in done.stderr


def test_all_groups_of_a_heterogeneous_job(run, tmp_path):  # noqa: F811
    """Variables as Slurm 22 sets them; a stand-in for srun notes its words, and is one worker a group."""
    srun = tmp_path / "srun"
    srun.write_text(f"#!/bin/sh\necho \"$*\" | cut -d' ' -f1-5 >> {tmp_path}/steps\nwhile :; do case $1 in --*) shift;; *) break;; esac; done\nexec \"$@\"\n")
    srun.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_HET_SIZE": "2", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NUM_NODES_HET_GROUP_0": "1", "SLURM_JOB_NUM_NODES_HET_GROUP_1": "2"}
    finish(run.start("--runner", *SHORT, env=env))
    run.is_done()
    assert set((tmp_path / "steps").read_text().splitlines()) == {"--overlap --het-group=0 --nodes=1 --ntasks=1 --ntasks-per-node=1",
                                                                  "--overlap --het-group=1 --nodes=2 --ntasks=2 --ntasks-per-node=1"}
