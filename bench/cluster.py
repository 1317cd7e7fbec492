#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the manager costs, measured: empty blocks a second, its memory for 10,000 and 100,000 blocks, the start on a real
Slurm, a run of real blocks beside threads and beside Dask distributed, the time that a kill costs, all on this machine in one go.

    PELLUCID=build/pellucid python bench/cluster.py [--quick] [PART…]

Empty blocks: the workers run a stand-in that reports its blocks as done without opening anything.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "cluster"))
PELLUCID = os.path.abspath(os.environ.get("PELLUCID", os.path.join(ROOT, "build", "pellucid")))

EMPTY = """#!/bin/sh
# Reports the blocks of --blocks as done: "3,7-9" -> [3,7,8,9]
while [ $# -gt 0 ]; do [ "$1" = --blocks ] && list=$2; shift; done
[ -n "$list" ] || exec sleep 1000 # finishing: the clock has stopped by then
echo "$list" | awk -F, '{printf "{\\"done\\":["; c="";
  for (i = 1; i <= NF; i++) { n = split($i, r, "-"); for (b = r[1]; b <= r[n]; b++) { printf "%s%d", c, b; c = "," } } print "],\\"failed\\":{}}"}'
"""


def pellucid(*words, **options):
    return subprocess.run([PELLUCID, *map(str, words)], check=True, capture_output=True, text=True, **options)


def prepared(folder, name, size, block, *words):
    image = pellucid("phantom", "--computed", "--size", size).stdout.strip()
    out = os.path.join(folder, name)
    pellucid("convert", image, out, "--chunk", block, "--block", block, "--levels", "1", "--prepare", "--quiet", *words)
    return out


def peak_kib(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def empty_blocks(folder, blocks):
    """Blocks a second from the start of the command to the last empty block, the manager's peak memory, tasks. The run cannot
    finish: nothing was written."""
    side = {10000: (100, 100), 100000: (1000, 100)}.get(blocks, (blocks // 100, 100))
    out = prepared(folder, f"empty-{blocks}.ome.zarr", f"y={side[0] * 16},x={side[1] * 16}", "y=16,x=16")
    program = os.path.join(folder, "empty")
    with open(program, "w") as f:
        f.write(EMPTY)
    os.chmod(program, 0o755)
    began = time.monotonic()
    p = subprocess.Popen([PELLUCID, "cluster", out, "--workers", "local:2", "--cores", "1", "--program", program, "--quiet"], stderr=subprocess.DEVNULL)
    state, peak, last = {}, 0, 0.0
    while p.poll() is None:
        try:
            with open(out + ".run/manager.json") as f:
                state = json.load(f)
        except (OSError, ValueError):
            continue
        peak = max(peak, peak_kib(state["pid"]))
        if state["state"] == "finishing" and not last:
            last = time.monotonic()
            p.terminate()
        time.sleep(0.01)
    return blocks / (last - began) if last else float("nan"), peak / 1024, state["tasks"]


def timed(*words, env=None):
    began = time.monotonic()
    pellucid(*words, env=env)
    return time.monotonic() - began


CORES = os.cpu_count() or 1
BATCH = 10 # seconds that a task should last, for all engines alike


def denoised(folder, name, blocks):
    """A prepared denoising of so many blocks, each about ten seconds of one core (a tenth of it where they are short)."""
    size, block = f"z=64,y=512,x={512 * blocks}", "z=64,y=512,x=512"
    if blocks > 16:
        size, block = f"z=16,y=256,x={256 * blocks}", "z=16,y=256,x=256"
    image = pellucid("phantom", "--computed", "--size", size).stdout.strip()
    out = os.path.join(folder, name + ".ome.zarr")
    pellucid("denoise", image, out, "--noise", "3.92,-388", "--tune", "off", "--iterations", "4", "--chunk", "z=8,y=128,x=128", "--block", block, "--prepare", "--quiet")
    return out


def seconds_of_blocks(out):
    """Median seconds of a block, as the ledger has them."""
    seconds = []
    for name in os.listdir(out + ".run/ledger"):
        with open(os.path.join(out + ".run/ledger", name)) as f:
            seconds += [r["seconds"] for r in (json.loads(line[9:]) for line in f) if r["ok"] and r.get("voxels")]
    return sorted(seconds)[len(seconds) // 2]


def cluster(out, **options):
    return subprocess.Popen([PELLUCID, "cluster", out, "--workers", f"local:{CORES}", "--cores", "1", "--quiet", "--batch-seconds", str(BATCH)], **options)


def real_blocks(folder, blocks):
    """The same denoising by threads in one process, by as many workers of one thread, and by Dask distributed whose tasks call `pellucid block`
    with as many blocks as a task of ours has."""
    found = {}
    for name in ("threads", "cluster", "dask"):
        out = denoised(folder, f"{name}-{blocks}", blocks)
        began = time.monotonic()
        if name == "threads":
            pellucid("work", out, "--threads", CORES, "--quiet")
        elif name == "cluster":
            assert cluster(out).wait() == 0
            found["block"] = seconds_of_blocks(out)
            with open(out + ".run/manager.json") as f:
                found["tasks"] = json.load(f)["tasks"]
        elif not dask_blocks(out, blocks, max(1, int(BATCH / found["block"]))):
            continue
        found[name] = time.monotonic() - began
        pellucid("status", out)
    return found


def run_blocks(out, first, last):
    subprocess.run([PELLUCID, "block", out, "--blocks", f"{first}-{last}", "--threads", "1", "--quiet"], check=True)


def dask_blocks(out, blocks, batch):
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return False
    firsts = range(0, blocks, batch)
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        client.gather(client.map(run_blocks, [out] * len(firsts), firsts, [min(f + batch, blocks) - 1 for f in firsts]))
    pellucid("work", out, "--part", "1/1", "--quiet")
    return True


def done(out):
    try:
        return sum(len(open(e.path).readlines()) for e in os.scandir(out + ".run/ledger"))
    except FileNotFoundError:
        return 0


def killed(folder, victim, blocks, kills):
    """Seconds of a run in which a worker (victim "worker") or the whole command with its manager ("manager", then started again) is killed so many
    times; "": never."""
    from cluster_help import workers_of
    out = denoised(folder, f"killed-{victim}", blocks)
    began = time.monotonic()
    p = cluster(out, stderr=subprocess.DEVNULL)
    for k in range(kills if victim else 0):
        while done(out) < (k + 1) * blocks // (kills + 1) and p.poll() is None:
            time.sleep(0.01)
        if victim == "worker":
            os.kill(workers_of(p)[0], signal.SIGKILL)
        else:
            p.kill()
            p.wait()
            p = cluster(out, stderr=subprocess.DEVNULL)
    assert p.wait() == 0
    return time.monotonic() - began


def dask_empty(blocks):
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        client.submit(int).result()
        began = time.monotonic()
        client.gather(client.map(lambda n: n, range(blocks), pure=False))
        return blocks / (time.monotonic() - began)


def slurm_start(folder):
    """From the command to the first finished block, three nodes of Slurm on this machine."""
    from slurm import Slurm, missing
    if missing():
        return missing()
    out = prepared(folder, "slurm.ome.zarr", "y=512,x=512", "y=64,x=64")
    slurm = Slurm(os.path.join(folder, "slurm")).start()
    try:
        began = time.monotonic()
        p = subprocess.Popen([PELLUCID, "cluster", out, "--workers", "3", "--scheduler", "slurm", "--cores", "1", "--memory", "256M", "--interface", "lo",
                              "--poll-seconds", "1", "--quiet"], env=slurm.env)
        while p.poll() is None:
            books = out + ".run/ledger"
            if os.path.isdir(books) and any(os.path.getsize(os.path.join(books, n)) for n in os.listdir(books)):
                break
            time.sleep(0.005)
        first = time.monotonic() - began
        return f"{first:.1f} s to the first block, exit {p.wait()} after {time.monotonic() - began:.1f} s"
    finally:
        slurm.stop()


def show_empty(folder, quick):
    for blocks in (10000,) if quick else (10000, 100000):
        rate, peak, tasks = empty_blocks(folder, blocks)
        print(f"manager, {blocks} empty blocks: {rate:.0f} blocks/s in {tasks} tasks, manager's peak memory {peak:.1f} MiB", flush=True)
    rate = dask_empty(10000)
    print(f"distributed, 10000 empty tasks: {rate:.0f} tasks/s" if rate else "distributed: not installed", flush=True)


def show_slurm(folder, quick):
    print(f"Slurm: {slurm_start(folder)}", flush=True)


def show_real(folder, blocks):
    t = real_blocks(folder, blocks)
    print(f"{blocks} blocks of {t['block']:.1f} s on {CORES} cores: threads {t['threads']:.1f} s, cluster {t['cluster']:.1f} s "
          f"({(t['cluster'] / t['threads'] - 1) * 100:+.1f} %) in {t['tasks']} tasks, distributed with the same blocks a task "
          + (f"{t['dask']:.1f} s ({(t['dask'] / t['threads'] - 1) * 100:+.1f} %)" if "dask" in t else "not installed"), flush=True)


def show_kills(folder, quick):
    blocks, kills = (24, 2) if quick else (48, 4)
    plain, worker, manager = (killed(folder, v, blocks, kills) for v in ("", "worker", "manager"))
    print(f"{blocks} blocks: undisturbed {plain:.1f} s; {kills} workers killed {worker:.1f} s, {(worker - plain) / kills:.1f} s a kill; "
          f"the command and its manager killed {kills} times {manager:.1f} s, {(manager - plain) / kills:.1f} s a kill", flush=True)


PARTS = {"empty": show_empty, "slurm": show_slurm, "long": lambda folder, quick: show_real(folder, 4 if quick else 6),
         "short": lambda folder, quick: show_real(folder, 24 if quick else 64), "kills": show_kills}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of {', '.join(PARTS)}")
    args = parser.parse_args()
    if not set(args.parts) <= set(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}")
    folder = tempfile.mkdtemp(prefix="pellucid-cluster-")
    try:
        for name in args.parts or PARTS:
            PARTS[name](folder, args.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
