# SPDX-License-Identifier: MIT
"""`cluster --tls`: the same bits, nobody comes in without the key, nothing is to be read on the way, and whatever is killed the run goes on."""
import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading

import pytest

from cluster_help import (begun, descendants, embryo, finish, gate, launcher, manager_of, program, records, run, undisturbed,  # noqa: F401
                          work_queue, strike, workers_of)
from test_tls import OTHER, Tls, derived, openssl, tls_program

LOCAL = ("--workers", "local:2", "--cores", "1", "--tls")
SHORT = ("--batch-seconds", "1", "--late-seconds", "1000")


@pytest.fixture(scope="module", autouse=True)
def built_with_openssl(cli):
    tls_program(cli)  # skips


@pytest.fixture
def tls(cli, tmp_path):
    t = Tls(cli, tmp_path)
    yield t
    t.end()


def fronts_of(process):
    return [pid for pid, line in descendants(process.pid) if "pellucid-tls front" in line]


def gates_of(process):
    return [pid for pid, line in descendants(process.pid) if "pellucid-tls worker" in line]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_two_workers_make_the_same_bits(run, gate, tls):
    p = run.start(*LOCAL, *SHORT, "--program", gate(10))
    run.wait_for_records(10, p)
    assert len(fronts_of(p)) == 1 and len(gates_of(p)) == 2
    assert run.manager()["tls"] is True and f"port {run.manager()['port']} (TLS)" in run.cli("status", run.out).stdout
    assert os.stat(run.file("password")).st_mode & 0o777 == 0o600
    below = [pid for pid, _ in descendants(p.pid)]
    run.go()
    finish(p)
    run.is_done()
    run.wait_for(lambda: all(is_gone(pid) for pid in below))


def test_nobody_gets_in_without_the_key(run, tmp_path, tls):
    """While the only worker of ours does nothing: those who guess, who know the password but not TLS, who speak TLS without a key; the last one has it."""
    idle = script(tmp_path / "idle", "#!/bin/sh\nexec sleep 1000\n")
    p = run.start("--workers", "local:1", "--tls", "--worker-program", idle, *SHORT)
    run.wait_for_file("manager.json")
    port, right = run.manager()["port"], run.file("password")
    worker = ["work_queue_worker", "--single-shot", "--timeout", "2"]
    plain = subprocess.run([*worker, "--password", right, "127.0.0.1", str(port)], capture_output=True, timeout=120, cwd=tmp_path)
    assert b"connected to manager" not in plain.stdout or records(run.out) == []
    other = subprocess.run([tls.program, "worker", "--key", tls.key(OTHER), "--address", "127.0.0.1", "--port", str(port), "--", *worker, "--password", right],
                           capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "does not accept the key of this run" in other.stderr
    for words in ((), ("-psk_identity", "pellucid-1", "-psk", derived(OTHER))):
        assert openssl("s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", *words, "-quiet", data="x").returncode != 0
    assert records(run.out) == [] and run.manager()["workers"] == 0
    ours = tls.start("worker", "--key", right, "--address", "127.0.0.1", "--port", port, "--", "work_queue_worker", "--timeout", "300", "--password", right, cwd=tmp_path)
    said = finish(p)
    assert "it has the key of another run" in said and "it does not speak TLS" in said and "it has no key of this run" in said
    run.is_done()
    ours.terminate()


class Recorder:
    """A wire with somebody at it: passes on to a port what comes to its own, and keeps a copy."""

    def __init__(self, to):
        self.socket, self.heard, self.to = socket.create_server(("127.0.0.1", 0)), bytearray(), to
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            connection = self.socket.accept()[0]
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.to())) as on:
            while True:
                for a in select.select([connection, on], [], [])[0]:
                    data = a.recv(1 << 16)
                    if not data:
                        return
                    self.heard += data
                    (on if a is connection else connection).sendall(data)


@pytest.mark.parametrize("coded", [False, True], ids=["clear", "tls"])
def test_what_goes_over_the_wire_cannot_be_read(run, tmp_path, coded, cli):
    """All that worker and manager say goes past a recorder. Without --tls it reads who it is, the words of the challenge, each task and what
    comes of it; with it nothing of that."""
    wire = Recorder(lambda: run.manager()["port"])
    worker = script(tmp_path / "past", f"""#!{sys.executable}
import json, os, sys
words = sys.argv[1:]
there = json.load(open({run.file("manager.json")!r}))["port"]
at = max(k for k, w in enumerate(words) if w == str(there))
words[at] = "{wire.port}"
os.execvp({(tls_program(cli) if coded else "work_queue_worker")!r}, ["past", *words])
""")
    words = ("--tls", "--tls-program", worker) if coded else ("--worker-program", worker)
    finish(run.start("--workers", "local:1", "--cores", "1", *words, *SHORT))
    run.is_done()
    heard = bytes(wire.heard)
    clear = [b"workqueue ", b"auth password", b"challenge", os.path.basename(run.out).encode(), b" --blocks ", b"@exit 0", b"@host"]
    found = [w for w in clear if w in heard]
    assert len(heard) > 3000
    if coded:
        assert found == [] and heard[:3] == b"\x16\x03\x01"
    else:
        assert {b"workqueue ", b"auth password", os.path.basename(run.out).encode(), b" --blocks ", b"@exit 0"} <= set(found), found


def test_front_is_killed_and_comes_again(run, gate):
    """Its port stays, and workers come back to it."""
    p = run.start(*LOCAL, *SHORT, "--attempts", "9", "--program", gate(20))
    for n in (1, 10, 20):
        run.wait_for_records(n, p)
        port, old = run.manager()["port"], fronts_of(p)
        os.kill(old[0], signal.SIGKILL)
        run.wait_for(lambda: fronts_of(p) not in (old, []))
        assert run.manager()["port"] == port
    run.go()
    finish(p)
    run.is_done()


def test_manager_is_killed_and_the_same_command_again(run, gate):
    port = None
    for n in (1, 20, 40):
        p = run.start(*LOCAL, *SHORT, "--program", gate(n))
        run.wait_for_records(n, p)
        below = [pid for pid, _ in descendants(p.pid)]
        assert port in (None, run.manager()["port"])
        port = run.manager()["port"]
        os.kill(manager_of(p), signal.SIGKILL)
        assert "the same command" in finish(p, 1)
        run.wait_for(lambda: all(is_gone(pid) for pid in below))
    finish(run.start(*LOCAL, *SHORT))
    run.is_done()


def test_workers_of_a_killed_manager_come_back_to_the_next(run, gate, tmp_path, tls):
    """Workers that nobody of ours started, as a scheduler's jobs are: they outlive manager and front, and find the next at the same place."""
    idle = script(tmp_path / "idle", "#!/bin/sh\nexec sleep 1000\n")
    words = ("--workers", "local:1", "--cores", "1", "--tls", "--worker-program", idle, *SHORT)
    p = run.start(*words, "--program", gate(10))
    run.wait_for_file("manager.json")
    port, right = run.manager()["port"], run.file("password")
    ours = [tls.start("worker", "--key", right, "--address", "127.0.0.1", "--port", port, "--", "work_queue_worker", "--timeout", "300", "--password", right,
                      "--cores=1", cwd=tmp_path) for _ in range(2)]
    run.wait_for_records(10, p)
    p.kill()
    p.communicate()
    finish(run.start(*words))
    run.is_done()
    assert run.manager()["port"] == port
    assert all(w.poll() is None or w.returncode == 0 for w in ours)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1], ids=["killed", "terminated", "vacated"])
def test_gates_and_workers_are_killed(run, number):
    p = run.start(*LOCAL, *SHORT)
    for n, victims_of in ((2, gates_of), (9, workers_of), (17, gates_of), (30, workers_of), (44, gates_of)):
        run.wait_for_records(n, p)
        strike(victims_of(p), number)
    finish(p)
    run.is_done()


def test_hosts_by_a_launcher(run, launcher):
    finish(run.start("--runner", "--hosts", "one,two", "--launcher", launcher, "--interface", "lo", "--cores", "1", "--tls", *SHORT))
    run.is_done()


def test_workers_walltime(run, begun, tmp_path):
    """The worker's clock is handed through, and one whose time is short ends and is replaced."""
    run.cli.ok("block", run.out, "--blocks", "0-51", "--quiet")
    short = script(tmp_path / "short", "#!/bin/sh\n"
                   f'[ -e {tmp_path}/old ] || PELLUCID_START=$((PELLUCID_START - PELLUCID_SECONDS + 1))\n'
                   f'touch {tmp_path}/old\nexec work_queue_worker "$@"\n')
    finish(run.start("--workers", "local:1", "--cores", "1", "--tls", "--time", "1:00:00", *SHORT, "--program", begun.program(), "--worker-program", short))
    run.is_done()
    assert sum(left < 1000 for left in begun.left()) <= 1
    assert open(run.file("log/workers.log")).read().count("\nconnected to manager") >= 2, "a worker was replaced"


def test_handing_over_and_the_early_signal(run, gate, tmp_path):
    handed = tmp_path / "handed"
    p = run.start(*LOCAL, *SHORT, "--hand-over", f"echo to job 4711; echo x >> {shlex.quote(str(handed))}", "--program", gate(5))
    run.wait_for_records(5, p)
    below = [pid for pid, _ in descendants(p.pid)]
    p.send_signal(signal.SIGUSR1)
    assert "handed over: to job 4711" in finish(p, 4)
    run.wait_for(lambda: all(is_gone(pid) for pid in below))
    finish(run.start(*LOCAL, *SHORT))
    run.is_done()


def test_front_that_cannot_begin(run, cli, tmp_path):
    """Without the program it is said what is missing; with one that fails, that it did."""
    folder = tmp_path / "elsewhere"
    (folder / "src").mkdir(parents=True)
    source = os.path.dirname(cli.path)
    os.link(cli.path, folder / "pellucid") if os.stat(cli.path).st_dev == os.stat(folder).st_dev else script(folder / "pellucid", "").write_bytes(open(cli.path, "rb").read())
    for name in ("pellucid-manager", "src/pellucid-manager"):
        if os.path.exists(os.path.join(source, name)):
            os.symlink(os.path.join(source, name), folder / name)
    away = subprocess.run([folder / "pellucid", "cluster", run.out, *LOCAL], capture_output=True, text=True)
    installed = "libexec/pellucid/pellucid-tls" in away.stderr
    assert away.returncode == 2 and installed and "libssl-dev" in away.stderr, away.stderr
    script(folder / "src" / "pellucid-tls", "#!/bin/sh\necho no luck >&2\nexit 1\n")
    broken = subprocess.run([folder / "pellucid", "cluster", run.out, *LOCAL], capture_output=True, text=True)
    assert broken.returncode == 2 and "no luck" in broken.stderr and "did not begin" in broken.stderr, broken.stderr
    finish(run.start(*LOCAL, *SHORT))
    run.is_done()
