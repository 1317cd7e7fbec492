#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the manager costs, measured: empty blocks a second, its memory for 10,000 and 100,000 blocks, the start on a real
Slurm, and a run of real blocks beside threads and beside Dask distributed, all on this machine in one go.

    PELLUCID=build/pellucid python bench/cluster.py [--quick]

Empty blocks: the workers run a stand-in that reports its blocks as done without opening anything.
"""
import argparse
import json
import os
import shutil
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


def real_blocks(folder, quick):
    """The same denoising by threads in one process, by workers, and by Dask distributed whose tasks call `pellucid block`."""
    size = "z=16,y=512,x=512" if quick else "z=48,y=1024,x=1024"
    image = pellucid("phantom", "--computed", "--size", size).stdout.strip()
    words = ("--noise", "3.92,-388", "--chunk", "z=8,y=128,x=128", "--block", "z=16,y=256,x=256", "--prepare", "--quiet")
    found = {}
    cores = os.cpu_count() or 1
    for name in ("threads", "cluster", "dask"):
        out = os.path.join(folder, name + ".ome.zarr")
        pellucid("denoise", image, out, *words)
        if name == "threads":
            found[name] = timed("work", out, "--threads", cores, "--quiet")
        elif name == "cluster":
            found[name] = timed("cluster", out, "--workers", f"local:{cores}", "--cores", "1", "--quiet", "--batch-seconds", "10")
        else:
            found[name] = dask_blocks(out, cores)
        pellucid("status", out)
    with open(os.path.join(folder, "threads.ome.zarr.run", "status.json")) as f:
        found["blocks"] = json.load(f)["blocks_total"]
    return found


def run_block(out, block):
    subprocess.run([PELLUCID, "block", out, "--blocks", str(block), "--threads", "1", "--quiet"], check=True)


def dask_blocks(out, cores):
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    blocks = json.loads(subprocess.run([PELLUCID, "status", out, "--json"], capture_output=True, text=True).stdout)["blocks_total"]
    began = time.monotonic()
    with LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(run_block, [out] * blocks, range(blocks)))
    pellucid("work", out, "--part", "1/1", "--quiet")
    return time.monotonic() - began


def dask_empty(blocks, cores):
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    with LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    folder = tempfile.mkdtemp(prefix="pellucid-cluster-")
    try:
        for blocks in (10000,) if quick else (10000, 100000):
            rate, peak, tasks = empty_blocks(folder, blocks)
            print(f"manager, {blocks} empty blocks: {rate:.0f} blocks/s in {tasks} tasks, manager's peak memory {peak:.1f} MiB", flush=True)
        rate = dask_empty(10000, os.cpu_count() or 1)
        print(f"distributed, 10000 empty tasks: {rate:.0f} tasks/s" if rate else "distributed: not installed", flush=True)
        print(f"Slurm: {slurm_start(folder)}", flush=True)
        times = real_blocks(folder, quick)
        print(f"{times['blocks']} real blocks: threads {times['threads']:.1f} s, cluster {times['cluster']:.1f} s "
              f"({(times['cluster'] / times['threads'] - 1) * 100:+.0f} %), distributed "
              + (f"{times['dask']:.1f} s ({(times['dask'] / times['threads'] - 1) * 100:+.0f} %)" if times["dask"] else "not installed"), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
