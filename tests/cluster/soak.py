#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A long run of randomised kills in a cluster: workers are killed or stopped, the manager or the whole command is killed and started again,
until the run is done; then every byte is compared with an undisturbed run. Prints a line a round with its seed.

    PELLUCID=build/pellucid python tests/cluster/soak.py --rounds 100
    PELLUCID=build/pellucid python tests/cluster/soak.py --rounds 50 --slurm     # workers are jobs of a real Slurm of three nodes
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import slurm as local_slurm  # noqa: E402
from cluster_help import descendants, pixels  # noqa: E402

PELLUCID = os.path.abspath(os.environ.get("PELLUCID", "build/pellucid"))
WORDS = ("--noise", "3.92,-388", "--iterations", "2", "--chunk", "z=4,y=32,x=32", "--block", "z=4,y=64,x=64", "--quiet")


def run(*words):
    done = subprocess.run([PELLUCID, *words], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def of_jobs(slurm):
    """(pid, command line) of the processes that jobs of this Slurm have started: by the configuration that they inherit."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as f:
                ours = f"SLURM_CONF={slurm.conf}\0".encode() in f.read()
            with open(f"/proc/{name}/cmdline") as f:
                line = f.read().replace("\0", " ")
        except OSError:
            continue
        if ours and not line.startswith(("slurm", "munged")):
            found.append((int(name), line))
    return found


def cancel_job(slurm, rng):
    jobs = slurm("squeue", "-h", "-r", "-t", "running", "-o", "%i").stdout.split()
    if not jobs:
        return None
    slurm("scancel", *rng.choice([["--signal=KILL", "--full"], []]), rng.choice(jobs))
    return "job"


def disturb(process, rng, slurm):
    """One blow at random; what was hit."""
    if slurm and rng.random() < 0.2:
        return cancel_job(slurm, rng)
    below = descendants(process.pid)
    below += [p for p in of_jobs(slurm) if p not in below] if slurm else []
    workers = [pid for pid, line in below if line.startswith("work_queue_worker")]
    tasks = [pid for pid, line in below if " block " in line and "--report" in line]
    managers = [pid for pid, line in below if "pellucid-manager" in line.split(" ")[0]]
    fronts = [pid for pid, line in below if "pellucid-tls" in line.split(" ")[0]]
    kind = rng.choice(["worker"] * 5 + ["task"] * 2 + ["vacate", "manager", "command", "stop"] + ["front"] * 4 * bool(fronts))
    victims = {"front": fronts, "worker": workers, "vacate": workers, "task": tasks, "manager": managers, "command": [process.pid], "stop": [process.pid]}[kind]
    if not victims:
        return None
    try:
        os.kill(rng.choice(victims), signal.SIGTERM if kind in ("stop", "vacate") else signal.SIGKILL)
    except ProcessLookupError:
        return None
    return kind


def places(slurm, rng):
    """Where the workers are."""
    if slurm:
        return ["--scheduler", "slurm", "--memory", "256M", "--workers", f"1..{rng.randint(1, 3)}", "--poll-seconds", "2", "--interface", "lo"]
    return ["--workers", f"local:{rng.randint(1, 3)}"]


def one_round(folder, image, seed, blows, words, slurm):
    rng = random.Random(seed)
    out = os.path.join(folder, "out.ome.zarr")
    run("denoise", image, out, *WORDS, "--prepare")
    hits, starts = [], 0
    while True:
        starts += 1
        process = subprocess.Popen([PELLUCID, "cluster", out, *places(slurm, rng), "--cores", "1", "--batch-seconds", "1", "--late-seconds",
                                    "5", "--attempts", "9", "--quiet", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=slurm.env if slurm else None)
        while process.poll() is None:
            if len(hits) < blows:
                time.sleep(rng.uniform(0, 0.4))
                hits += [kind for kind in [disturb(process, rng, slurm)] if kind]
            else:
                time.sleep(0.1)
        message = process.communicate()[1]
        if process.returncode == 0:
            return hits, starts
        if process.returncode not in (1, 2, 4, -signal.SIGKILL, -signal.SIGTERM) or starts > 60:
            raise AssertionError(f"exit {process.returncode} after {starts} starts\n{message}")
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--blows", type=int, default=40, help="a round")
    parser.add_argument("--tls", action="store_true", help="in each round; else in every third")
    parser.add_argument("--slurm", action="store_true", help="workers are jobs of a real Slurm, which is started here (needs root)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    if args.slurm and local_slurm.missing():
        sys.exit(f"no Slurm here: {local_slurm.missing()}")
    folder = tempfile.mkdtemp(prefix="pellucid-cluster-soak-")
    slurm = None
    try:
        if args.slurm:
            os.mkdir(os.path.join(folder, "slurm"))
            slurm = local_slurm.Slurm(os.path.join(folder, "slurm")).start()
        image, plain = os.path.join(folder, "a.czi"), os.path.join(folder, "plain.ome.zarr")
        run("phantom", image, "--size", "c=2,z=9,y=193,x=170", "--tiles", "y=80,x=90", "--overlap", "10", "--compression", "zstd1", "--quiet")
        run("denoise", image, plain, *WORDS, "--threads", "1")
        wanted = pixels(plain)
        for k in range(args.rounds):
            words = ["--tls"] if args.tls or (args.seed + k) % 3 == 0 else []
            hits, starts = one_round(folder, image, args.seed + k, args.blows, words, slurm)
            out = os.path.join(folder, "out.ome.zarr")
            assert pixels(out) == wanted, f"seed {args.seed + k}: other bytes"
            run("verify", out, "--windows", "4")
            print(f"round {k + 1}, seed {args.seed + k}{' with TLS' * bool(words)}: {len(hits)} blows ({', '.join(f'{hits.count(h)} {h}' for h in sorted(set(hits)))}), {starts} starts, same bytes",
                  flush=True)
            shutil.rmtree(out)
            shutil.rmtree(out + ".run")
        print(f"{args.rounds} rounds passed")
    finally:
        if slurm:
            slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
