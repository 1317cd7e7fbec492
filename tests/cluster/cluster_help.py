# SPDX-License-Identifier: MIT
"""What the cluster tests share: a small run, stand-ins for the program and for ssh, processes by parent."""
import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from test_run import BLOCKS, FAST, embryo, pixels, records, start, undisturbed  # noqa: E402,F401


@pytest.fixture(scope="session", autouse=True)
def work_queue(cli):
    folder = os.path.dirname(cli.path)
    if not any(os.access(os.path.join(folder, p), os.X_OK) for p in ("pellucid-manager", "src/pellucid-manager")):
        pytest.skip("built without Work Queue (coop-computing-tools-dev)")
    if not shutil.which("work_queue_worker"):
        pytest.skip("no work_queue_worker (coop-computing-tools)")


class Run:
    """A prepared run, and what may be asked of it."""

    def __init__(self, cli, out, reference):
        self.cli, self.out, self.reference = cli, str(out), reference

    def start(self, *words, **options):
        return start(self.cli, "cluster", self.out, "--quiet", *words, **options)

    def file(self, name):
        return os.path.join(self.out + ".run", name)

    def manager(self):
        with open(self.file("manager.json")) as f:
            return json.load(f)

    def keeper(self):
        """The process of `cluster` that was detached: the parent of the manager."""
        with open(f"/proc/{self.manager()['pid']}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])

    def jobs(self):
        """What was submitted, as noted."""
        with open(self.file("jobs.jsonl")) as f:
            return [j for j in map(json.loads, f) if j["id"] and "state" not in j]

    def wait_for(self, what, seconds=600):
        """Until what() is true. The seconds are those of a machine that does nothing else for us, not a claim."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end
            time.sleep(0.05)

    def wait_for_file(self, name):
        self.wait_for(lambda: os.path.exists(self.file(name)))

    def wait_for_held(self, parts):
        """Until so many parts stand still."""
        self.wait_for(lambda: len(glob.glob(self.file("held-*"))) == parts)

    def go(self):
        """What gate() has stopped goes on."""
        open(self.file("go"), "w").close()

    def was_stopped_in_the_middle(self):
        status = json.loads(self.cli("status", self.out, "--json").stdout)
        assert status["state"] == "interrupted" and 0 < status["blocks_done"] < status["blocks_total"], status

    def logs(self):
        text = ""
        for name in sorted(os.listdir(self.file("log"))):
            with open(self.file("log/" + name), errors="replace") as f:
                text += f.read()
        return text

    def wait_for_records(self, n, process):
        while process.poll() is None and len(records(self.out)) < n:
            time.sleep(0.005)
        assert process.poll() is None or len(records(self.out)) >= n, process.communicate()[1]

    def is_done(self):
        """Done, audited, and bit for bit what one process makes undisturbed."""
        status = json.loads(self.cli("status", self.out, "--json").stdout)
        # a process that was killed on a host of another name leaves a sign of life that must grow old first: "running"
        assert status["state"] in ("done", "running") and status["failed"] == 0 and status["blocks_done"] == status["blocks_total"], status
        assert pixels(self.out) == pixels(self.reference)
        result = self.cli.json("verify", self.out, "--windows", "4", "--seed", "1")
        assert result["missing"] == result["damaged"] == result["different"] == 0


def finish(process, code=0, timeout=900):
    """The end of a command; what it said."""
    out, message = process.communicate(timeout=timeout)
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{message}"
    return message


@pytest.fixture
def run(cli, embryo, undisturbed, tmp_path):  # noqa: F811
    out = tmp_path / "out.ome.zarr"
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--prepare", "--quiet")
    return Run(cli, out, undisturbed)


HEAVY = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "5", "--patch", "z=2,y=3,x=3", *BLOCKS, "--quiet")


@pytest.fixture(scope="module")
def heavy_reference(cli, embryo, tmp_path_factory):  # noqa: F811
    out = str(tmp_path_factory.mktemp("heavy") / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *HEAVY)
    return out


def heavy_run(cli, embryo, reference, folder):  # noqa: F811
    """A run whose blocks last a tenth of a second: time enough to stop it in the middle."""
    out = os.path.join(folder, "out.ome.zarr")
    cli.ok("denoise", embryo, out, *HEAVY, "--prepare")
    return Run(cli, out, reference)


@pytest.fixture
def heavy(cli, embryo, heavy_reference, tmp_path):  # noqa: F811
    return heavy_run(cli, embryo, heavy_reference, tmp_path)


def stand_in(cli, folder, text, name="stand-in"):
    """A stand-in for pellucid on the workers: Python that may misbehave, then becomes pellucid. It knows `verb`, `blocks` (of this task), `memory`
    (MiB, of this task), `done()` (blocks in the ledger) and `first(name)`: true for the first caller only."""
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(textwrap.dedent(f"""\
            #!{sys.executable}
            import glob, os, signal, socket, sys, time
            verb, value = sys.argv[1], dict(zip(sys.argv, sys.argv[1:]))
            blocks = [n for part in value.get("--blocks", "").split(",") if part
                      for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)]
            memory = int(value.get("--memory", "0M")[:-1])
            def done():
                return sum('{{"job":-1,' not in line for f in glob.glob(sys.argv[2] + ".run/ledger/*.jsonl") for line in open(f))
            def first(name):
                try:
                    os.close(os.open({str(folder)!r} + "/" + name, os.O_CREAT | os.O_EXCL))
                    return True
                except FileExistsError:
                    return False
            """) + textwrap.dedent(text) + f"\nos.execv({cli.path!r}, [{cli.path!r}, *sys.argv[1:]])\n")
    os.chmod(path, 0o755)
    return path


@pytest.fixture
def program(cli, tmp_path):
    return lambda text, name="stand-in": stand_in(cli, tmp_path, text, name)


@pytest.fixture
def gate(program):
    """gate(n): a pellucid whose tasks wait once n blocks are done, until run.go(), or until their manager does not begin anything more: what is
    to be looked at or killed is still there."""
    return lambda n: program(f"""
        while (verb == "block" and done() >= {n} and not os.path.exists(sys.argv[2] + ".run/go")
               and '"draining"' not in open(sys.argv[2] + ".run/manager.json").read()):
            time.sleep(0.05)
        """, name=f"gate-{n}")


@pytest.fixture
def begun(cli, tmp_path):
    """begun.program(): a pellucid that notes which blocks it begins; begun.blocks() are they, in order, begun.left() the seconds that were left to its
    worker then."""

    class Begun:
        def lines(self):
            try:
                with open(tmp_path / "begun") as f:
                    return [tuple(map(int, line.split())) for line in f]
            except FileNotFoundError:
                return []

        def blocks(self):
            return [block for block, _ in self.lines()]

        def left(self):
            return [left for _, left in self.lines()]

        def program(self, text=""):
            return stand_in(cli, tmp_path, f"""
                if verb == "block":
                    left = int(os.environ.get("PELLUCID_START", "0")) + int(os.environ.get("PELLUCID_SECONDS", "0")) - int(time.time())
                    with open({str(tmp_path)!r} + "/begun", "a") as f:
                        f.write("".join(f"{{b}} {{left}}\\n" for b in blocks))
                """ + textwrap.indent(textwrap.dedent(text), " " * 16), name="noting")

    return Begun()


def held_program(cli, folder, number):
    """A pellucid that stands still after the first block of its part, until the scheduler sends the signal; it then hears of it, and OUT.run/heard
    is there."""
    return stand_in(cli, folder, f"""
        if verb == "work":
            import subprocess
            signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])
            child = subprocess.Popen([{cli.path!r}, *sys.argv[1:]], preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, [{int(number)}]))
            while child.poll() is None and done() == 0:
                time.sleep(0.001)
            child.send_signal(signal.SIGSTOP)
            open(sys.argv[2] + f".run/held-{{os.getpid()}}", "w").close()
            signal.sigwait([{int(number)}])
            open(sys.argv[2] + ".run/heard", "w").close()
            child.send_signal({int(number)})
            child.send_signal(signal.SIGCONT)
            sys.exit(child.wait())
        """, name=f"held-{int(number)}")


@pytest.fixture
def held(cli, tmp_path):
    return lambda number: held_program(cli, tmp_path, number)


@pytest.fixture
def launcher(tmp_path):
    """A stand-in for ssh: the host is this machine under another name, which it can look up: a worker that cannot sends what lies on its stack."""
    if subprocess.run(["unshare", "--uts", "--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True).returncode != 0:
        pytest.skip("may not give processes another host name (unshare --uts --mount)")
    path = tmp_path / "launch"
    path.write_text(f"""#!/bin/sh
        echo "127.0.0.1 $1" > "{tmp_path}/hosts-$1"
        exec unshare --uts --mount sh -c 'hostname "$0"; mount --bind "{tmp_path}/hosts-$0" /etc/hosts; exec "$@"' "$@"
        """)
    path.chmod(0o755)
    return path


def descendants(pid):
    """(pid, command line) of every process below this one."""
    found, parents = [], {pid}
    table = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{name}/cmdline") as f:
                table.append((int(name), parent, f.read().replace("\0", " ")))
        except (OSError, IndexError):
            pass
    grown = True
    while grown:
        grown = False
        for child, parent, line in table:
            if parent in parents and child not in parents:
                parents.add(child)
                found.append((child, line))
                grown = True
    return found


def workers_of(process):
    return [pid for pid, line in descendants(process.pid) if line.startswith("work_queue_worker")]


def strike(pids, number):
    """The first of them that still lives gets the signal: some may have ended since they were listed."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return


def manager_of(process):
    """Waited for: where enough was done before, nothing else says that it has begun."""
    while True:
        for pid, line in descendants(process.pid):
            if "pellucid-manager" in line.split(" ")[0]:
                return pid
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
