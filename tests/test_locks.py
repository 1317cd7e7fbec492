# SPDX-License-Identifier: MIT
"""Two processes on one run: on file systems without flock, from other hosts, in containers of one name, after kills. The second
is refused or works beside the first as it may; whatever happens, the bytes are those of an undisturbed run."""
import glob
import hashlib
import os
import signal
import subprocess
import time

import pytest

from shim import NO_FLOCK, shim

WORDS = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "1", "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--quiet")


@pytest.fixture(scope="module")
def image(cli, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("locks") / "a.czi")
    cli.ok("phantom", path, "--size", "z=8,y=300,x=300", "--quiet")
    return path


def pixels(out):
    """Hash of each file that holds pixels."""
    return {os.path.relpath(p, out): hashlib.sha256(open(p, "rb").read()).hexdigest() for p in glob.glob(out + "/**", recursive=True)
            if os.path.isfile(p) and "/c/" in p}


@pytest.fixture(scope="module")
def wanted(cli, image, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("plain") / "out.ome.zarr")
    cli.ok("denoise", image, out, *WORDS)
    return pixels(out)


def begin(cli, *words, env=None):
    """Starts a run and stops it (SIGSTOP) in the midst of its work."""
    out = next(str(w) for w in words if str(w).endswith(".ome.zarr"))
    process = subprocess.Popen([cli.path, *map(str, words)], env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = len(records(out))
    while len(records(out)) < before + 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    return process


def records(out):
    return [line for path in glob.glob(out + ".run/ledger/*.jsonl") for line in open(path) if '{"job":-1,' not in line]


def go_on(process):
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=120)[1]


def kill(process):
    process.kill()
    process.communicate(timeout=60)


def lock_files(out):
    return sorted(n for n in os.listdir(out + ".run") if n.startswith("lock."))


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out.ome.zarr")


@pytest.mark.parametrize("reason", NO_FLOCK)
def test_without_flock_the_second_is_refused_and_harms_nothing(cli, image, wanted, out, reason):
    env = shim(FLOCK=NO_FLOCK[reason])
    first = begin(cli, "denoise", image, out, *WORDS, env=env)
    for words in (WORDS, (*WORDS, "--fresh"), (*WORDS, "--strength", "0.5", "--fresh")):
        assert f"process {first.pid} is working on this output" in cli.fails(2, "denoise", image, out, *words, env=env)
    assert "is working on this output" in cli.fails(2, "work", out, "--part", "1/2", "--quiet", env=env)
    said = go_on(first)
    assert first.returncode == 0, said
    assert pixels(out) == wanted and lock_files(out) == []
    cli.ok("verify", out, "--windows", "2", "--quiet", env=env)


def test_without_flock_two_at_the_same_moment(cli, image, wanted, out):
    env = {**os.environ, **shim(FLOCK=NO_FLOCK["ENOLCK"])}
    for _ in range(2):
        both = [subprocess.Popen([cli.path, "denoise", image, out, *WORDS], env=env, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        said = [p.communicate(timeout=120)[1] for p in both]
        codes = sorted(p.returncode for p in both)
        assert codes[0] == 0 and set(codes) <= {0, 2}, said
        assert all("is working on this output" in s for s, p in zip(said, both) if p.returncode == 2), said
        assert pixels(out) == wanted
        cli.ok("denoise", image, out, *WORDS, "--fresh")


@pytest.mark.parametrize("flock", [True, False])
def test_killed_then_resumed_at_once(cli, image, wanted, out, flock):
    env = {} if flock else shim(FLOCK=NO_FLOCK["ENOSYS"])
    for _ in range(3):
        kill(begin(cli, "denoise", image, out, *WORDS, env=env))
        assert lock_files(out) == ["lock.owner"]
    cli.ok("denoise", image, out, *WORDS, env=env)
    assert pixels(out) == wanted and lock_files(out) == []
    assert any("ended without a word" in open(p).read() for p in glob.glob(out + ".run/log/*.log"))


def test_without_flock_parts_go_together_and_the_whole_waits(cli, image, wanted, out):
    env = shim(FLOCK=NO_FLOCK["EOPNOTSUPP"])
    cli.ok("denoise", image, out, *WORDS, "--prepare", env=env)
    first = begin(cli, "work", out, "--part", "1/2", "--quiet", env=env)
    assert f"process {first.pid} is working" in cli.fails(2, "denoise", image, out, *WORDS, env=env)
    cli.ok("work", out, "--part", "2/2", "--quiet", env=env)
    kill(first)
    cli.ok("work", out, "--part", "1/2", "--quiet", env=env)
    assert pixels(out) == wanted
    cli.ok("denoise", image, out, *WORDS, env=env) # clears up after the killed part
    assert lock_files(out) == ["lock.finish"], "empty: what flock is asked for"


@pytest.mark.parametrize("flock", [True, False])
def test_of_another_host_the_file_tells_whether_it_lives(cli, image, wanted, out, flock):
    none = {} if flock else {"FLOCK": NO_FLOCK["ENOLCK"]}
    here, there = shim(HOST="n1", BOOT="11-aa", **none), shim(HOST="n2", BOOT="22-bb", CLOCK=3600, **none)
    first = begin(cli, "denoise", image, out, *WORDS, env=here)
    assert "n1, process" in cli.fails(2, "denoise", image, out, *WORDS, env=there)
    kill(first)
    said = cli.fails(2, "denoise", image, out, *WORDS, env=there)
    assert "last heard of" in said and "if it was lost, the same command works in" in said
    old = time.time() - 200
    os.utime(out + ".run/lock.owner", (old, old))
    cli.ok("denoise", image, out, *WORDS, env=there)
    assert pixels(out) == wanted and lock_files(out) == []


def test_one_that_was_taken_for_dead_ends_by_itself(cli, image, wanted, out):
    none = {"FLOCK": NO_FLOCK["ENOLCK"]}
    first = begin(cli, "denoise", image, out, *WORDS, env=shim(HOST="n1", BOOT="11-aa", **none))
    old = time.time() - 200
    os.utime(out + ".run/lock.owner", (old, old))
    second = begin(cli, "denoise", image, out, *WORDS, env=shim(HOST="n2", BOOT="22-bb", **none))
    said = go_on(first)
    assert first.returncode == 2 and "took this run over" in said
    assert lock_files(out) == ["lock.owner"], "the other's"
    said = go_on(second)
    assert second.returncode == 0, said
    assert pixels(out) == wanted


def test_containers_of_one_name_and_number_share_no_names(cli, image, wanted, out):
    cli.ok("denoise", image, out, *WORDS, "--prepare")
    both = [begin(cli, "work", out, "--part", f"{k}/2", "--quiet", env=shim(HOST="app", PID=7, SPACE=100 + k, FLOCK=NO_FLOCK["ENOSYS"])) for k in (1, 2)]
    workers = os.listdir(out + ".run/workers")
    assert len(workers) == 2 and all(n.startswith("app,7,") for n in workers)
    for folder in ("ledger", "log"):
        assert len([n for n in os.listdir(f"{out}.run/{folder}") if n.startswith("app-")]) == 2
    said = [go_on(p) for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert pixels(out) == wanted
    cli.ok("verify", out, "--windows", "2", "--quiet")


def test_temporary_files_of_the_living_stay(cli, image, wanted, out):
    """Whoever finishes a shared run clears up; one who works on a block once more still writes."""
    cli.ok("denoise", image, out, *WORDS, "--prepare")
    first = begin(cli, "work", out, "--part", "1/2", "--quiet")
    (worker,) = (name for name in os.listdir(out + ".run/workers") if not name.startswith("."))  # not one that is about to be renamed
    host, pid, token = worker[:-len(".json")].split(",")
    living, dead, old = (f"{out}/0/.tmp-{n}" for n in (f"{host}-{pid}-{token}-99-0", f"{host}-{pid}-0123456789abcdef-99-0", f"{host}-{pid}-99-0"))
    for path in (living, dead, old):
        open(path, "w").close()
    cli.ok("work", out, "--part", "2/2", "--quiet")
    cli.ok("block", out, "--blocks", "0-199", "--quiet")
    cli.ok("work", out, "--part", "1/1", "--quiet")
    assert os.path.exists(living) and not os.path.exists(dead) and not os.path.exists(old)
    go_on(first)
    assert pixels(out) == wanted


def test_names_of_older_versions_are_read(cli, image, wanted, out):
    kill(begin(cli, "denoise", image, out, *WORDS))
    run = out + ".run"
    (ledger,) = os.listdir(run + "/ledger")
    os.rename(f"{run}/ledger/{ledger}", f"{run}/ledger/n7-4711-1795449430123456.jsonl")
    os.remove(run + "/lock.owner")
    for name in os.listdir(run + "/workers"):
        os.rename(f"{run}/workers/{name}", f"{run}/workers/n7,4711.json")
        with open(f"{run}/workers/n7,4711.json", "w") as f:
            f.write('{"threads": 2}')
    assert "n7, process 4711" in cli("status", out).stdout
    done = len(records(out))
    with open(run + "/lock", "w") as f:
        f.write("n7, process 4711\n")
    assert "n7, process 4711 is working on this output" in cli.fails(2, "denoise", image, out, *WORDS)
    old = time.time() - 200
    os.utime(run + "/lock", (old, old))
    cli.ok("denoise", image, out, *WORDS)
    assert pixels(out) == wanted
    blocks = [line for line in records(out) if '"ok":true' in line]
    assert done > 0 and len(blocks) == len({line.split('"job":')[1].split(",")[0] for line in blocks}), "a finished block was computed twice"


def test_a_wrong_clock_does_not_deafen_a_run(cli, image, out):
    """The waiting between ticks goes by the steady clock: else an hour's jump stops status and Ctrl-C for an hour."""
    words = ("denoise", "phantom:z=40,y=600,x=600", out, *WORDS)
    process = begin(cli, *words, env=shim(CLOCK=3600))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    began = time.monotonic()
    process.communicate(timeout=120)
    assert process.returncode == 4 and time.monotonic() - began < 20
