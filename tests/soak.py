#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A long run of randomised kills: random image, blocks, memory, codec and format; the run is killed with SIGKILL (or stopped
with SIGINT) after random times and started again until it is done. Each time the output must have the very bytes of an
undisturbed run on another number of threads, hold no temporary file, and pass `verify`.

Prints a line a round with its seed; a failed round is repeated with --seed. Ends with the number of rounds.
"""
import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

METADATA = ("zarr.json", ".zattrs", ".zarray", ".zgroup", ".xml")  # these hold the command as typed


def tree(folder):
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = "metadata" if name.endswith(METADATA) else hashlib.sha256(f.read()).hexdigest()
    return found


def choose(rng):
    """Words of phantom and of denoise."""
    size = {"t": rng.choice([1, 1, 2]), "c": rng.choice([1, 2]), "z": rng.randint(1, 12), "y": rng.randint(1, 500), "x": rng.randint(1, 500)}
    image = ["--size", ",".join(f"{k}={v}" for k, v in size.items()), "--scenes", rng.choice(["1", "1", "2"]), "--seed", str(rng.randint(1, 999)),
             "--tiles", f"y={rng.randint(40, 300)},x={rng.randint(40, 300)}", "--compression", rng.choice(["raw", "zstd1"])]
    chunk = rng.choice([16, 32, 64])
    work = ["--noise", "3.92,-388", "--iterations", rng.choice(["1", "2"]), "--format", rng.choice(["0.4", "0.5"]),
            "--codec", rng.choice(["none", "zstd:1", "gzip:1", "blosc:lz4:5:bitshuffle", "blosc:zstd:1:shuffle"]),
            "--chunk", f"z=4,y={chunk},x={chunk}", "--memory", rng.choice(["300M", "1G"])]
    if rng.random() < 0.7:
        work += ["--block", f"z=4,y={chunk * rng.randint(1, 3)},x={chunk * rng.randint(1, 3)}"]
    return image, work


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def disturbed(words, rng, longest):
    """Starts, kills, starts again, until it ends by itself; returns how many were killed."""
    kills = 0
    while True:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, stderr = process.communicate(timeout=rng.uniform(0, longest) if kills < 25 else 600)
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
            process.communicate(timeout=60)
            kills += 1
            if process.returncode not in (-signal.SIGKILL, -signal.SIGINT, 0, 4):
                raise AssertionError(f"killed, but exit {process.returncode}")
            continue
        if process.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: exit {process.returncode} after {kills} kills\n{stderr}")
        return kills


def one_round(program, folder, seed):
    rng = random.Random(seed)
    image, work = choose(rng)
    source, plain, out = (os.path.join(folder, n) for n in ("a.czi", "plain.ome.zarr", "out.ome.zarr"))
    run([program, "phantom", source, *image, "--quiet"])
    started = time.monotonic()
    run([program, "denoise", source, plain, *work, "--threads", "1", "--quiet"])
    kills = disturbed([program, "denoise", source, out, *work, "--threads", rng.choice(["2", "3"]), "--quiet"], rng,
                      0.6 * (time.monotonic() - started))
    expected, found = tree(plain), tree(out)
    if expected != found:
        differ = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        raise AssertionError(f"{len(differ)} files differ from the undisturbed run: {differ[:5]}")
    left = [p for p in tree(out + ".run") if os.path.basename(p).startswith(".tmp-")]
    if left:
        raise AssertionError(f"temporary files are left: {left[:5]}")
    run([program, "verify", out, "--windows", "8", "--quiet"])
    return kills, len(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="one round, this one")
    args = parser.parse_args()
    program = os.path.abspath(os.environ.get("PELLUCID", "build/pellucid"))
    end = time.monotonic() + 60 * args.minutes
    seed = args.seed if args.seed is not None else int(time.time())
    rounds = kills = 0
    while rounds == 0 or (args.seed is None and time.monotonic() < end):
        folder = tempfile.mkdtemp(prefix="pellucid-soak-")
        try:
            killed, files = one_round(program, folder, seed)
        except (AssertionError, subprocess.TimeoutExpired) as e:
            print(f"seed {seed}: FAILED, see {folder}\n{e}")
            return 1
        shutil.rmtree(folder)
        print(f"seed {seed}: {killed} kills, {files} files, the same bytes", flush=True)
        rounds, kills, seed = rounds + 1, kills + killed, seed + 1
    print(f"{rounds} rounds, {kills} kills, all ended in the bytes of the undisturbed run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
