# SPDX-License-Identifier: MIT
"""The manager and its workers on one machine: whatever is killed, stalls or fails, the result is that of one process."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cluster_help import (BLOCKS, FAST, begun, embryo, finish, gate, launcher, manager_of, pixels, program, records, run, start,  # noqa: F401
                          undisturbed, work_queue, strike, workers_of)

LOCAL = ("--workers", "local:2", "--cores", "1")
SHORT = ("--batch-seconds", "1", "--late-seconds", "1000")


def test_two_workers_make_the_same_bits_and_leave_nothing_behind(run):
    finish(run.start(*LOCAL, "--late-seconds", "1000"))
    run.is_done()
    done = [r["job"] for r in records(run.out) if r["ok"]]
    assert len(done) == len(set(done)) == 72
    manager = run.manager()
    assert manager["state"] == "done" and manager["blocks_done"] == 72 and manager["failures"] == 0
    assert 2 < manager["tasks"] < 72, "short blocks go out together"
    assert os.stat(run.file("password")).st_mode & 0o777 == 0o600
    assert "is done" in run.cli("cluster", run.out, *LOCAL).stderr
    assert " done on " in (said := run.cli.ok("status", run.out, "--block", "5")) and "attempt 1," in said
    assert "found 100000, expected less than" in run.cli.fails(2, "status", run.out, "--block", "100000")
    assert "nothing is submitted" in run.cli("submit", run.out, "--scheduler", "slurm", "--parts", "2", "--now", env={"PATH": "/nowhere"}).stderr


def listening():
    """Addresses on which the pellucid-managers of this machine listen: {port: hexadecimal address}."""
    found = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as f:
            for line in f.read().splitlines()[1:]:
                address, state = line.split()[1], line.split()[3]
                if state == "0A":
                    found[int(address.split(":")[1], 16)] = address.split(":")[0]
    return found


def test_nobody_gets_in_without_the_password(run, tmp_path):
    """No worker of ours (a stand-in that does nothing); one of somebody else's that guesses."""
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 1000\n")
    idle.chmod(0o755)
    guess = tmp_path / "guess"
    guess.write_text("0" * 64)
    p = run.start("--workers", "local:1", "--worker-program", idle)
    run.wait_for_file("manager.json")
    port = run.manager()["port"]
    assert listening()[port] == "0100007F", "loopback only, unless told"
    for words in (("--password", str(guess)), ()):
        done = subprocess.run(["work_queue_worker", "--single-shot", "--timeout", "2", *words, "127.0.0.1", str(port)], capture_output=True,
                              timeout=120, cwd=tmp_path)
        assert done.returncode != 0 or records(run.out) == []
    assert records(run.out) == [] and run.manager()["workers"] == 0
    p.send_signal(signal.SIGTERM)
    assert "the same command goes on" in finish(p, 4)


def network(*addresses):
    """Words before a command: in a network of its own with these addresses, each of an interface of its own, "name address"."""
    lines = ["ip link set lo up"]
    for name, address in (a.split() for a in addresses):
        lines += [f"ip link add {name} type bridge", f"ip addr add {address}/24 dev {name}", f"ip link set {name} up"]
    words = ["unshare", "--net", "sh", "-c", " && ".join(lines) + ' && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("may not make networks (unshare --net, iproute2)")
    return words


@pytest.mark.parametrize("words", [(), ("--tls",)], ids=["clear", "tls"])
def test_nothing_listens_on_a_public_address_unless_told(run, tmp_path, words):
    """A manager of a scheduler's workers takes a private address, InfiniBand first; of public ones none, until one is named."""
    if words and not any(os.access(os.path.join(os.path.dirname(run.cli.path), n), os.X_OK) for n in ("pellucid-tls", "src/pellucid-tls")):
        pytest.skip("built without OpenSSL")
    quiet = tmp_path / "sbatch"
    quiet.write_text("#!/bin/sh\necho Submitted batch job 1\n")
    quiet.chmod(0o755)
    for name in ("squeue", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [run.cli.path, "cluster", run.out, "--quiet", "--workers", "1", "--scheduler", "slurm", "--cores", "1", *words]
    done = subprocess.run([*network("eth9 8.8.4.4", "docker0 172.17.0.1"), *command], capture_output=True, text=True, env=env)
    assert done.returncode == 2 and "no private address to listen on" in done.stderr and "eth9 (8.8.4.4)" in done.stderr, done.stderr
    assert not os.path.exists(run.file("manager.json"))
    for where, address, more in ((("eth9 8.8.4.4", "ib9 10.1.2.3", "eth8 192.168.3.4"), "10.1.2.3", ()), (("eth9 8.8.4.4",), "8.8.4.4", ("--interface", "eth9"))):
        p = subprocess.Popen([*network(*where), *command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        run.wait_for(lambda: p.poll() is not None or os.path.exists(run.file("manager.json")) and run.manager()["address"] == address)
        with open(f"/proc/{p.pid}/net/tcp") as f:
            there = {line.split()[1].split(":")[0] for line in f.read().splitlines()[1:] if line.split()[3] == "0A"}
        known = "".join(f"{int(n):02X}" for n in reversed(address.split(".")))
        assert there == ({known, "0100007F"} if words else {known}), "there, with --tls the manager on loopback, and nowhere else"
        p.send_signal(signal.SIGTERM)
        finish(p, 4)


def test_asked_to_stop_while_a_scheduler_thinks(run, tmp_path):
    """What the scheduler says is read to its end, though a signal came in between; then the command stops."""
    asked, go = tmp_path / "asked", tmp_path / "go"
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\ntouch {asked}\nwhile [ ! -e {go} ]; do sleep 0.01; done\necho Submitted batch job 1\n")
    for name in ("squeue", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    for name in ("sbatch", "squeue", "scancel"):
        (tmp_path / name).chmod(0o755)
    p = run.start("--workers", "1", "--scheduler", "slurm", "--cores", "1", "--interface", "lo", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    run.wait_for(asked.exists)
    p.send_signal(signal.SIGTERM)
    go.touch()
    finish(p, 4, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1], ids=["killed", "terminated", "vacated"])
def test_workers_are_killed(run, number):
    choose = random.Random(5)
    p = run.start(*LOCAL, *SHORT)
    for n in (2, 9, 17, 30, 44):
        run.wait_for_records(n, p)
        victims = workers_of(p)
        strike(choose.sample(victims, len(victims)), number)
    finish(p)
    run.is_done()


def test_manager_is_killed_and_the_same_command_again(run, gate):
    words = (*LOCAL, *SHORT)
    for n in (1, 20, 40):
        p = run.start(*words, "--program", gate(n))
        run.wait_for_records(n, p)
        os.kill(manager_of(p), signal.SIGKILL)
        assert "the same command" in finish(p, 1)
        said = ": interrupted: the manager was killed by signal 9; the same command goes on"
        assert said in run.cli("status", run.out).stdout, "though its last sign of life is fresh"
    done = {r["job"] for r in records(run.out) if r["ok"]}
    assert len(done) >= 40
    finish(run.start(*words))
    run.is_done()


def test_everything_is_killed_and_one_process_goes_on(run, embryo):
    p = run.start(*LOCAL, *SHORT)
    run.wait_for_records(10, p)
    p.kill()
    p.communicate()
    run.wait_for_records(0, p)
    # children hear of it: the output is free for one process once they are gone
    for _ in range(3000):
        done = run.cli("denoise", embryo, run.out, *FAST, *BLOCKS, "--quiet")
        if "is working on this output" not in done.stderr and "share" not in done.stderr:
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    run.is_done()


def test_terminated_it_stops_cleanly_and_goes_on(run, gate):
    p = run.start(*LOCAL, *SHORT, "--program", gate(5))
    run.wait_for_records(5, p)
    p.send_signal(signal.SIGUSR1)
    assert "the same command goes on" in finish(p, 4)
    assert run.manager()["state"] == "stopped"
    finish(run.start(*LOCAL, *SHORT))
    run.is_done()


def test_a_worker_is_given_nothing_that_cannot_end_within_its_walltime(run, begun, tmp_path):
    """The first two workers have a second left when they begin. What they do before anybody knows how long a block takes is done; then they end
    instead of beginning anything, and are replaced by workers with time."""
    run.cli.ok("block", run.out, "--blocks", "0-51", "--quiet")
    short = tmp_path / "short"
    short.write_text(f"#!{sys.executable}\nimport os, sys\n"
                     "assert '--wall-time=3420' in sys.argv and os.environ['PELLUCID_SECONDS'] == '3420' and os.environ['PELLUCID_WORKER'] == str(os.getpid())\n"
                     f"for name in ({str(tmp_path)!r} + '/old1', {str(tmp_path)!r} + '/old2'):\n"
                     "    if not os.path.exists(name):\n"
                     "        open(name, 'w').close()\n"
                     "        os.environ['PELLUCID_START'] = str(int(os.environ['PELLUCID_START']) - 3419)\n"
                     "        break\n"
                     "os.execvp('work_queue_worker', ['work_queue_worker', *sys.argv[1:]])\n")
    short.chmod(0o755)
    finish(run.start("--workers", "local:2", "--cores", "1", "--time", "1:00:00", "--batch-seconds", "1", "--late-seconds", "1000", "--program",
                     begun.program(), "--worker-program", short))
    run.is_done()
    assert set(begun.blocks()) == set(range(52, 72))
    assert 1 <= sum(left < 1000 for left in begun.left()) <= 2, "nothing was begun that could not end, once that was known"
    said = open(run.file("log/workers.log")).read()
    assert said.count("\nconnected to manager") >= 3, "a worker was replaced"


def test_its_time_is_up_and_it_hands_over(run, gate, tmp_path):
    """--seconds: what runs may end, nothing else is begun; then the command that goes on elsewhere. So does the early signal; not the end that
    somebody wants."""
    words = (*LOCAL, *SHORT, "--hand-over", f"echo to job 4711; echo x >> {tmp_path}/handed")
    for seconds in (4, 8, 16, 32, 64):
        message = finish(run.start(*words, "--program", gate(5), "--seconds", seconds), 4)
        assert "the time is nearly up: nothing more is begun" in message
        if records(run.out):  # the machine was fast enough to begin
            break
        assert "not handed over" in message
    assert "handed over: to job 4711" in message
    run.was_stopped_in_the_middle()
    for number, handed in ((signal.SIGTERM, 1), (signal.SIGUSR1, 2)):
        n = len(records(run.out)) + 1
        p = run.start(*words, "--program", gate(n))
        run.wait_for_records(n, p)
        p.send_signal(number)
        finish(p, 4)
        assert len(open(tmp_path / "handed").readlines()) == handed
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 1000\n")
    stuck.chmod(0o755)
    message = finish(run.start(*LOCAL, *SHORT, "--program", stuck, "--hand-over", "false", "--seconds", "2"), 4)
    assert "not handed over" in message, "a run that gets no further must not go on for ever"
    finish(run.start(*LOCAL))
    run.is_done()


def test_block_that_always_crashes_is_given_up_and_the_rest_done(run, program):
    bad = program("if verb == 'block' and 5 in blocks: os.kill(os.getpid(), signal.SIGSEGV)")
    message = finish(run.start(*LOCAL, *SHORT, "--program", bad), 1)
    assert "block 5 is given up" in message and "signal 11" in message
    manager = run.manager()
    assert [b["block"] for b in manager["given_up"]] == [5] and manager["given_up"][0]["failures"] == 3
    status = json.loads(run.cli("status", run.out, "--json").stdout)
    assert status["blocks_done"] == 71 and status["state"] != "done"
    history = run.cli.ok("status", run.out, "--block", "5")
    assert history.count("killed by signal 11") >= 3
    assert "signal 11" in run.cli.ok("status", run.out, "--failures")
    assert "given up  block 5" in run.cli("status", run.out).stdout
    finish(run.start(*LOCAL))
    run.is_done()
    assert " done on " in run.cli.ok("status", run.out, "--block", "5")


def test_damaged_tile_is_a_poison_of_its_blocks_only(cli, embryo, undisturbed, tmp_path):
    czi, out = str(tmp_path / "a.czi"), str(tmp_path / "out.ome.zarr")
    shutil.copy2(embryo, czi)
    whole, stamp = open(czi, "rb").read(), os.stat(czi)
    frame = whole.index(b"\x28\xb5\x2f\xfd", len(whole) // 2)

    def patch(content):
        with open(czi, "r+b") as f:
            f.seek(frame + 2)
            f.write(content)
        os.utime(czi, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    cli.ok("denoise", czi, out, *FAST, *BLOCKS, "--prepare", "--quiet")
    patch(b"\0\0\0\0\0\0")
    message = finish(start(cli, "cluster", out, *LOCAL, *SHORT, "--quiet"), 1)
    assert "is given up after 3 failures" in message and "tile" in message
    status = json.loads(cli("status", out, "--json").stdout)
    assert 0 < status["failed"] < 36 and status["blocks_done"] + status["failed"] == 72
    assert "tile" in cli.ok("status", out, "--failures")
    patch(whole[frame + 2:frame + 8])
    finish(start(cli, "cluster", out, *LOCAL, "--quiet"))
    assert pixels(out) == pixels(undisturbed)


def test_host_where_everything_fails_is_put_on_hold(run, program, launcher):
    """Two hosts by name; on one of them the program cannot start. The good one begins only once the other was told to be on hold: what failed
    there must cost no block."""
    bad = program("""
        if verb == "block" and socket.gethostname() == "rotten":
            print("pellucid: libzstd.so.1: cannot open shared object file")
            sys.exit(127)
        while verb == "block" and '"rotten"' not in open(sys.argv[2] + ".run/manager.json").read():
            time.sleep(0.05)
        """)
    message = finish(run.start("--runner", "--hosts", "rotten,sound", "--launcher", launcher, "--interface", "lo", "--cores", "1", *SHORT,
                               "--program", bad))
    assert "host rotten is on hold for 1 s: 3 blocks failed there one after the other, the last: ended with code 127" in message
    assert run.manager()["hosts_avoided"] == ["rotten"] and run.manager()["given_up"] == []
    assert "avoided   host rotten" in run.cli.ok("status", run.out)
    assert {r["host"] for r in records(run.out)} == {"sound"}
    assert "libzstd.so.1" in run.cli.ok("status", run.out, "--failures")
    run.is_done()


def test_one_host_on_which_everything_fails_ends_with_a_word(run, program):
    bad = program("""
        if verb == "block":
            print("pellucid: libzstd.so.1: cannot open shared object file")
            sys.exit(127)
        """)
    message = finish(run.start(*LOCAL, *SHORT, "--program", bad), 1)
    assert "nothing could be done: whatever was tried on host" in message and "libzstd.so.1" in message
    assert run.manager()["state"] == "incomplete" and run.manager()["failures"] < 30
    finish(run.start(*LOCAL))
    run.is_done()


def test_full_disk_of_one_host_costs_no_block(run, program, launcher):
    """A limit on file size stands for the disk: on one host shards cannot be written."""
    full = program("""
        import resource
        if verb == "block" and socket.gethostname() == "full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        """)
    finish(run.start("--runner", "--hosts", "full,sound", "--launcher", launcher, "--interface", "lo", "--cores", "1", *SHORT, "--program", full))
    assert run.manager()["given_up"] == []
    failed = [r for r in records(run.out) if not r["ok"]]
    assert {r["host"] for r in failed} <= {"full"} and all("File too large" in r["error"] for r in failed)
    run.is_done()


def test_stalled_task_is_repeated_elsewhere(run, program):
    stalls = program("if verb == 'block' and 30 in blocks and first('stalled'): time.sleep(100000)")
    message = finish(run.start(*LOCAL, "--batch-seconds", "1", "--late-seconds", "1", "--program", stalls))
    assert "is late" in message
    assert run.manager()["repeated"] >= 1
    run.is_done()


def test_stopped_worker_costs_its_tasks_only(run, program):
    """SIGSTOP is a host that hangs: what its worker had is repeated by the other."""
    hangs = program("""
        if verb == "block" and 30 in blocks and first("hangs"):
            above = os.getppid()
            while not open(f"/proc/{above}/comm").read().startswith("work_queue_work"):
                above = int(open(f"/proc/{above}/stat").read().rsplit(")", 1)[1].split()[1])
            os.kill(above, signal.SIGSTOP)
        """)
    finish(run.start(*LOCAL, "--batch-seconds", "1", "--late-seconds", "1", "--program", hangs))
    assert os.path.exists(os.path.join(os.path.dirname(hangs), "hangs"))
    run.is_done()


def test_out_of_memory_is_tried_again_with_more(run, program):
    greedy = program("if verb == 'block' and 7 in blocks and memory < 600: os.kill(os.getpid(), signal.SIGKILL)")
    message = finish(run.start(*LOCAL, *SHORT, "--memory", "1G", "--program", greedy))
    assert "out of memory" in message
    manager = run.manager()
    assert manager["given_up"] == [] and manager["failures"] == 0
    tried = [json.loads(line) for line in open(run.file("manager.jsonl"))]
    assert [t["memory"] >> 20 for t in tried if 7 in t["blocks"]] == [256, 512]
    run.is_done()


def test_tasks_follow_the_sweep_of_a_gaussian(cli, embryo, tmp_path, begun):
    """Blocks along y share rows: a task has them one after the other, column by column; the bits are those of one process."""
    words = ("gaussian", embryo, "--sigma", "z=1,y=2,x=2", *BLOCKS, "--levels", "1", "--quiet")
    plain, out = str(tmp_path / "plain.ome.zarr"), str(tmp_path / "out.ome.zarr")
    cli.ok(*words[:2], plain, *words[2:])
    cli.ok(*words[:2], out, *words[2:], "--prepare")
    finish(start(cli, "cluster", out, "--workers", "local:1", "--cores", "1", *SHORT, "--quiet", "--program", begun.program()))
    # 2 channels, 3 slices of 4 blocks along y and 3 along x
    turns = [slice_ * 12 + y * 3 + x for slice_ in range(6) for x in range(3) for y in range(4)]
    place, order = {b: k for k, b in enumerate(turns)}, begun.blocks()
    with open(out + ".run/manager.json") as f:
        tasks = json.load(f)["tasks"]
    assert sorted(order) == list(range(72)) and sum(place[b] != place[a] + 1 for a, b in zip(order, order[1:])) <= tasks
    assert pixels(out) == pixels(plain)


def test_two_executions_of_the_same_blocks_at_once(run):
    both = [start(run.cli, "block", run.out, "--blocks", "0-71", "--threads", "1", "--quiet") for _ in range(2)]
    for p in both:
        finish(p)
    run.cli.ok("work", run.out, "--part", "1/1")
    run.is_done()


def test_second_manager_is_refused(run, program):
    slow = program("time.sleep(1000) if verb == 'block' else None")
    p = run.start(*LOCAL, "--program", slow)
    run.wait_for_file("manager.json")
    assert "another manager" in run.cli.fails(2, "cluster", run.out, *LOCAL)
    p.send_signal(signal.SIGTERM)
    finish(p, 4)


def test_configuration_file_and_words_over_it(run, tmp_path):
    site = tmp_path / "site.json"
    site.write_text(json.dumps({"workers": "local:1", "cores": 1, "batch-seconds": 2, "quiet": True, "directive": ["-x", "-y"]}))
    assert run.cli.ok("cluster", run.out, "--config", site, "--workers", "local:2") == ""
    run.is_done()
    site.write_text(json.dumps({"wrokers": 3}))
    assert "site.json: no option 'wrokers': did you mean 'workers'" in run.cli.fails(2, "cluster", run.out, "--config", site)
    site.write_text("[1")
    assert "site.json:1:3: no JSON" in run.cli.fails(2, "cluster", run.out, "--config", site)


def test_a_sites_file_does_not_stand_in_the_way_of_local_workers(run, tmp_path):
    site = tmp_path / "site.json"
    site.write_text(json.dumps({"workers": "2..16", "scheduler": "slurm", "cores": 76, "memory": "220G", "quiet": True, "batch-seconds": 3}))
    env = {"PELLUCID_SITE": str(site)}
    assert "found no allocation" in run.cli("cluster", run.out, "--runner", "--interface", "lo", env=env).stderr
    run.cli.ok("cluster", run.out, "--workers", "local:2", env=env)
    run.is_done()


def test_detached_it_survives_its_terminal(run):
    said = run.cli.ok("cluster", run.out, *LOCAL, "--detach")
    pid = int(said.split()[1])
    run.wait_for(lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z")
    assert "every file audited" in open(run.file("log/cluster.log")).read()
    run.is_done()


@pytest.mark.parametrize("words, part", [((), "--workers is missing"), (("--workers", "0"), "--workers"), (("--workers", "5..2"), "--workers"),
                                         (("--workers", "2"), "--scheduler is missing"), (("--workers", "2", "--scheduler", "slurm"), "--cores"),
                                         (("--workers", "2", "--scheduler", "kubernetes", "--image", "a", "--cores", "1"), "pellucid submit"),
                                         (("--runner", "--workers", "2"), "--runner"), (("--workers", "local:1", "--interface", "nope0"), "nope0"),
                                         (("--workers", "local:1", "--memory", "64M", "--cores", "64"), "--memory"), (("--runner", "--interface", "lo"), "--hosts")])
def test_wrong_words_are_refused(run, words, part):
    done = run.cli("cluster", run.out, *words)
    assert done.returncode == 2 and part in done.stderr, done.stderr
