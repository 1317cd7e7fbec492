# SPDX-License-Identifier: MIT
"""Voxels a second of ND-SAFIR beside the `ndsafir` package: one thread each, the same image, equal windows, least
processor time of several runs. Prints a table with the aims; the ratio is what counts, absolute figures are of this machine.
Then the operations counted beside what the machine can do, two threads beside one, and memory.

    python bench/speed.py [--isa scalar|v2|avx2|avx512] [--no-package] [--json] [--only WORDS]"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from images import BUILD  # noqa: E402

TURNS = 4
CAMBRIDGE = dict(axes="tzyx", patch="z=1,y=3,x=3", p_value=0.1, aggregate="no", iterations=4, radius_xy="1,2,4,8", radius_z="0,1,2,3", radius_t="0,0,0,1", spots=0)


def plane(n=512):
    """Edges, ramps and texture with noise of standard deviation 20, grey values 0 to 255."""
    y, x = np.mgrid[:n, :n]
    clean = 120 + 60 * np.sign(np.sin(x / 17.0) * np.cos(y / 23.0)) + 25 * np.sin((x + 2 * y) / 4.0) * (x > n // 2)
    return (clean + np.random.default_rng(0).normal(0, 20, (n, n))).astype(np.float32)


def stack(t, z, n):
    """Moving blobs, gain 2, background 100, readout 3; noisy and clean."""
    rng = np.random.default_rng(1)
    clean = np.full((t, z, n, n), 3.0)
    zz, yy, xx = np.mgrid[:z, :n, :n]
    for _ in range(60):
        c, v, s, a = rng.uniform(0, (z, n, n)), rng.normal(0, 1, 3), rng.uniform(1.5, 5), rng.uniform(10, 60)
        for k in range(t):
            d = (zz - c[0]) ** 2 * 4 + (yy - c[1] - k * v[1]) ** 2 + (xx - c[2] - k * v[2]) ** 2
            clean[k] += a * np.exp(-d / (2 * s * s))
    return (2 * rng.poisson(clean) + 100 + rng.normal(0, 3, clean.shape)).astype(np.float32), 2 * clean + 100


def command_of(y, noise, repeat, isa, **settings):
    shape = (1,) * (4 - y.ndim) + y.shape
    words = [f"{k.replace('_', '-')}={v}" for k, v in settings.items()]
    return [BUILD / "tests" / "tool_ndsafir", "{},1,{},{},{}".format(*shape), noise, f"repeat={repeat}", f"isa={isa}", *words]


def ours(y, noise, repeat, isa, **settings):
    """Least processor seconds, least seconds, bytes a voxel of block and halo, bytes a thread; the result."""
    done = subprocess.run(command_of(y, noise, repeat, isa, **settings), input=y.tobytes(), capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return [float(w) for w in done.stderr.split()[:4]], np.frombuffer(done.stdout, np.float32).reshape(y.shape)


def psnr(result, clean):
    return 10 * np.log10((clean.max() - clean.min()) ** 2 / np.mean((np.asarray(result, float) - clean) ** 2))


def operations(patch, windows):
    """Floating-point operations a voxel without aggregation, by the formulas: a pair (both ends) takes four for a squared
    difference, the trees of the box sums, twelve for the weight, and for each end three and, but for the last iteration, two
    of the variance. windows: radii of each iteration, an axis each."""
    box = sum({0: 0, 1: 2, 2: 3, 3: 4, 4: 5}[p] for p in patch)
    total = 0
    for i, radii in enumerate(windows):
        pairs = (np.prod([2 * r + 1 for r in radii]) - 1) / 2
        total += pairs * (4 + box + 12 + 2 * (3 if i == len(windows) - 1 else 5))
    return total


def theirs(call):
    """Processor seconds, and the result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def cases(package):
    """Name, image, clean image or None, noise, our settings, the package's call, our repeats a turn, the ratio aimed at, and
    operations a voxel where they are counted."""
    flat, small = plane(), plane(256)
    (four, four_clean), (deep, deep_clean) = stack(3, 8, 96), stack(1, 32, 128)
    deep, deep_clean = deep[0], deep_clean[0]
    gauss = dict(noise_std=20.0, patch=[3, 3], axes="YX", nthreads=1, pvalue=0.01)
    counts = dict(gains=[2.0], offsets=[9.0 - 200.0], nthreads=1, pvalue=0.1, max_iter=4)

    def of_plane(image, iterations):
        return package and (lambda: package.denoise_gaussian(image, max_iter=iterations, **gauss))

    def of_counts(image, axes, patch):
        return package and (lambda: package.denoise_poisson_gaussian(image, axes=axes, patch=patch, **counts))

    radii = [(1, 1), (2, 2), (4, 4), (8, 8)]
    yield "2D, R 1,2,4, patch 3, plain", flat, None, "0,400", dict(radius_xy="1,2,4", aggregate="no", spots=0), of_plane(flat, 3), 8, None, operations((3, 3), radii[:3])
    yield "2D fast: two scales, R 1,2,4 and 1,2,3, aggregated", flat, None, "0,400", dict(quality="fast"), of_plane(flat, 3), 8, 20, None
    yield "2D, R 1,2,4,8, patch 3, plain", flat, None, "0,400", dict(radius_xy="1,2,4,8", aggregate="no", spots=0), of_plane(flat, 4), 6, None, operations((3, 3), radii)
    yield "2D standard: two scales, R 1,2,4,7, aggregated", flat, None, "0,400", dict(), of_plane(flat, 4), 6, 25, None
    yield "2D, R 1,2,4,8,16, patch 3, plain", small, None, "0,400", dict(radius_xy="1,2,4,8,16", aggregate="no", spots=0), of_plane(small, 5), 3, None, operations((3, 3), [*radii, (16, 16)])
    yield "4D 3x8x96x96, Cambridge windows, patch z1 y3 x3", four, four_clean, "2,-191", CAMBRIDGE, of_counts(four, "TZYX", [0, 1, 3, 3]), 2, 25, None
    yield "3D fast 32x128x128: two scales, aggregated", deep, deep_clean, "2,-191", dict(quality="fast"), of_counts(deep, "ZYX", [1, 3, 3]), 6, 100, None
    yield "3D standard 32x128x128: two scales, aggregated", deep, deep_clean, "2,-191", dict(), of_counts(deep, "ZYX", [1, 3, 3]), 5, None, None


def measured(case, isa):
    """In turns, so that both have the same share of what else the machine is doing."""
    name, y, clean, noise, settings, call, repeat, aim, work = case
    cpu, other = float("inf"), float("inf")
    for _ in range(TURNS):
        (took, _, per_voxel, per_thread), result = ours(y, noise, repeat, isa, **settings)
        cpu = min(cpu, took)
        if call:
            took, package_result = theirs(call)
            other = min(other, took)
    row = {"case": name, "voxels": y.size, "pellucid": y.size / cpu / 1e6, "aim": aim, "bytes_a_voxel": per_voxel, "bytes_a_thread": per_thread}
    if work:
        row["gflops"] = row["pellucid"] * work * 1e-3
    if clean is not None:
        row["pellucid_db"] = psnr(result, clean)
    if call:
        row["ndsafir"] = y.size / other / 1e6
        row["ratio"] = row["pellucid"] / row["ndsafir"]
        if clean is not None:
            row["ndsafir_db"] = psnr(package_result, clean)
    return row


def printed(row, peak):
    def number(key, form, width):
        return form.format(row[key]) if row.get(key) is not None else " " * width

    share = f"{100 * row['gflops'] / peak:4.0f}%" if row.get("gflops") and peak else " " * 5
    print(f"{row['case']:52s} {row['pellucid']:8.3f} {number('ndsafir', '{:8.4f}', 8)} {number('ratio', '{:6.1f}x', 7)} {number('aim', '{:4d}', 4)} "
          f"{number('pellucid_db', '{:6.2f}', 6)} {number('ndsafir_db', '{:6.2f}', 6)} {number('gflops', '{:7.1f}', 7)} {share} "
          f"{row['bytes_a_voxel']:5.1f} {row['bytes_a_thread'] / 2**20:5.1f}", flush=True)


def beside(y, noise, isa, repeat, **settings):
    """Least wall seconds of two processes of one thread that run at the same time, each on a processor of its own: their mean."""
    with tempfile.TemporaryFile() as image:
        image.write(y.tobytes())
        both = []
        for cpu in sorted(os.sched_getaffinity(0))[:2]:
            given = os.open(f"/proc/self/fd/{image.fileno()}", os.O_RDONLY)
            command = ["taskset", "-c", str(cpu), *command_of(y, noise, repeat, isa, **settings)]
            both.append(subprocess.Popen(command, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
            os.close(given)
        return sum(float(p.communicate()[1].split()[1]) for p in both) / 2


def threads(isa):
    """One thread's wall time beside that of two, in turns, each the least of several, and of two processes at once, which is what
    the machine itself allows (caches, memory and clock are shared); it must have two idle cores."""
    four, deep = stack(3, 8, 96)[0], stack(1, 32, 128)[0][0]
    print("\ntwo threads (aim 0.95 of twice the speed)    one s     two s   of twice   two processes   of what these reach")
    for name, y, noise, repeat, settings in (("2D standard, 1024 x 1024", np.tile(plane(), (2, 2)), "0,400", 8, {}), ("2D standard, 512 x 512", plane(), "0,400", 20, {}),
                                             ("2D fast, 512 x 512", plane(), "0,400", 40, {"quality": "fast"}), ("3D standard, 32 x 128 x 128", deep, "2,-191", 8, {}),
                                             ("4D 3 x 8 x 96 x 96, Cambridge windows", four, "2,-191", 4, CAMBRIDGE)):
        one = two = both = float("inf")
        for _ in range(TURNS):
            one, two = (min(least, ours(y, noise, repeat, isa, threads=n, **settings)[0][1]) for least, n in ((one, 1), (two, 2)))
            both = min(both, beside(y, noise, isa, repeat, **settings))
        print(f"{name:40s} {one:9.4f} {two:9.4f} {one / two / 2:10.3f} {one / both:15.3f} {both / two / 2:21.3f}", flush=True)


def stages(isa):
    """Where the kernel's time goes, and the rates of the machine: tests/tool_stages.c with the best instruction set."""
    for name in (("avx512", "avx2", "scalar") if isa == "auto" else (isa,)):
        done = subprocess.run([BUILD / "tests" / f"tool_stages_{name}"], capture_output=True, text=True)
        if done.returncode == 0:
            print(f"\n{name}: {done.stdout}")
            return


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--isa", default="auto")
    options.add_argument("--no-package", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    package = None
    if not chosen.no_package:
        import ndsafir as package
    peak = float(subprocess.run([BUILD / "tests" / "tool_peak"], capture_output=True, check=True).stdout)
    rows = []
    if not chosen.json:
        print(f"{'one thread, Mvoxel/s':52s} {'pellucid':>8s} {'ndsafir':>8s} {'ratio':>7s} {'aim':>4s} {'dB':>6s} {'theirs':>6s} {'GFlop/s':>7s} {'peak':>5s} {'B/vox':>5s} {'MiB':>5s}")
    for case in cases(package):
        if chosen.only not in case[0]:
            continue
        rows.append(measured(case, chosen.isa))
        if not chosen.json:
            printed(rows[-1], peak)
    if chosen.json:
        print(json.dumps({"peak_gflops": peak, "cases": rows}, indent=1))
        return
    print(f"\npeak: {peak:.0f} GFlop/s of multiply-adds from registers, one core; B/vox: of block and halo (aim 28); MiB: beside that, a thread")
    if chosen.only in "threads":
        threads(chosen.isa)
    if chosen.only in "stages":
        stages(chosen.isa)


if __name__ == "__main__":
    main()
