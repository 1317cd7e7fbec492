# SPDX-License-Identifier: MIT
"""`pellucid convert` of a CZI mosaic to OME-Zarr (zstd 1, shards, pyramid) beside a script of pylibCZIrw and TensorStore
that makes the same arrays, level by level: one machine, the same number of threads, in turns, least of several runs. The
others' imports are not timed, pellucid's start is. pellucid syncs every file, the script runs with and without. All voxels of level 0 are
compared, and the lower levels to one grey value. The last line is pellucid with the codec that it takes when none is named.

    python bench/convert_speed.py [--mib N] [--threads N] [--repeat N] [--dir FOLDER]"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("PELLUCID", ROOT / "build" / "pellucid")).resolve()
WHO = {"pellucid": "pellucid convert", "sync": "pylibCZIrw + TensorStore", "nosync": "the same, no sync", "default": "pellucid, its own codec"}


def zstd_metadata(path):
    """The array's metadata as pellucid chose it, with the attributes that TensorStore knows."""
    with open(f"{path}/zarr.json", encoding="utf-8") as f:
        document = json.load(f)
    keep = ("shape", "data_type", "fill_value", "chunk_grid", "chunk_key_encoding", "codecs", "dimension_names")
    return {k: document[k] for k in keep}


def peak():
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def script(czi, like, out, threads, sync):
    """Level 0 in slabs of one shard's depth, planes read ahead by threads while the slab before is written; each lower
    level from the one above by TensorStore's own downsampling, in slabs, too."""
    import numpy as np
    import tensorstore as ts
    from pylibCZIrw import czi as pyczi
    context = ts.Context({"data_copy_concurrency": {"limit": threads}, "file_io_sync": sync})
    start = time.perf_counter(), time.process_time()
    levels = []
    for k in range(sum(1 for _ in Path(like).glob("[0-9]*"))):
        levels.append(ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{out}/{k}"}, "metadata": zstd_metadata(f"{like}/{k}")},
                              create=True, context=context).result())
    shape, depth = levels[0].shape, levels[0].chunk_layout.write_chunk.shape[2]
    with pyczi.open_czi(czi) as document, ThreadPoolExecutor(threads) as crew:
        writing = None
        for first in range(0, shape[2], depth):
            planes = range(first, min(first + depth, shape[2]))
            slab = np.empty((len(planes), *shape[3:]), np.uint16)

            def read(z):
                slab[z - first] = document.read(plane={"C": 0, "Z": z, "T": 0})[..., 0]

            list(crew.map(read, planes))
            if writing:
                writing.result()
            writing = levels[0][0, 0, first : first + len(planes)].write(slab)
        writing.result()
    for above, below in zip(levels, levels[1:]):
        factor = [-(-a // b) for a, b in zip(above.shape, below.shape)]
        half = ts.downsample(above, factor, "mean")
        depth = below.chunk_layout.write_chunk.shape[2]
        for first in range(0, below.shape[2], depth):
            part = slice(first, min(first + depth, below.shape[2]))
            below[:, :, part].write(half[:, :, part]).result()
    print(time.perf_counter() - start[0], time.process_time() - start[1], peak())


def put_aside(out):
    """Empties the files but keeps their names until the end: ext4 steps over every inode that was deleted in the last
    minutes each time it makes a file."""
    if not os.path.isdir(out):
        return
    for path in Path(out).rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    os.rename(out, f"{out}-{time.monotonic_ns()}")


def stored(out):
    return sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())


def pellucid(czi, out, threads, codec):
    put_aside(out)
    shutil.rmtree(f"{out}.run", ignore_errors=True)
    words = [PROGRAM, "convert", czi, out, *codec, "--chunk", "z=32,y=128,x=128", "--block", "z=64,y=512,x=512", "--threads", threads,
             "--memory", "2G", "--quiet"]
    start = time.perf_counter()
    child = subprocess.Popen([str(w) for w in words])
    _, code, usage = os.wait4(child.pid, 0)
    child.returncode = code
    if code != 0:
        raise SystemExit("pellucid convert failed")
    took = time.perf_counter() - start
    status = json.loads(subprocess.run([PROGRAM, "status", out, "--json"], check=True, capture_output=True, text=True).stdout)
    return [took, usage.ru_utime + usage.ru_stime, status["memory_peak"], stored(out)]


def other(who, czi, folder, threads):
    put_aside(f"{folder}/{who}")
    words = [sys.executable, __file__, "--child", who, czi, f"{folder}/pellucid.ome.zarr", f"{folder}/{who}", threads]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return [float(v) for v in done.stdout.split()] + [stored(f"{folder}/{who}")]


def run(who, czi, folder, threads):
    os.sync()  # what was written before is nobody's to wait for
    if who == "pellucid":
        return pellucid(czi, f"{folder}/pellucid.ome.zarr", threads, ["--codec", "zstd:1"])
    if who == "default":
        return pellucid(czi, f"{folder}/default.ome.zarr", threads, [])
    return other(who, czi, folder, threads)


def check(folder, who):
    import numpy as np
    import tensorstore as ts
    for k in range(sum(1 for _ in Path(folder, "pellucid.ome.zarr").glob("[0-9]*"))):
        a, b = [ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/{name}/{k}"}}).result()
                for name in ("pellucid.ome.zarr", who)]
        for z in range(0, a.shape[2], 16):
            part = slice(z, min(z + 16, a.shape[2]))
            p, q = a[0, 0, part].read().result(), b[0, 0, part].read().result()
            worst = int(np.abs(p.astype(int) - q).max())
            if worst > (k > 0) * k:
                raise SystemExit(f"level {k}: voxels differ by {worst}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dir", help="where the files lie (default: the system's temporary folder)")
    parser.add_argument("--child", nargs=5)
    words = parser.parse_args()
    if words.child:
        who, czi, like, out, threads = words.child
        return script(czi, like, out, int(threads), who == "sync")
    for compression in ("raw", "zstd1"):
        with tempfile.TemporaryDirectory(prefix="bench-convert-", dir=words.dir) as folder:
            czi, least = f"{folder}/a.czi", {}
            make = [PROGRAM, "phantom", czi, "--size", f"z={words.mib // 8},y=2048,x=2048", "--tiles", "y=512,x=512", "--compression", compression, "--quiet"]
            subprocess.run([str(w) for w in make], check=True)
            for _ in range(words.repeat):
                for who in WHO:
                    got = run(who, czi, folder, words.threads)
                    least[who] = [min(p) for p in zip(got, least.get(who, got))]
            check(folder, "sync")
        print(f"\nCZI mosaic of {words.mib} MiB, {compression}, to OME-Zarr: zstd 1, shards, pyramid; {words.threads} threads, least of {words.repeat}")
        print(f"{'':28s}{'wall s':>8s}{'pellucid is':>13s}{'cpu s':>8s}{'pellucid is':>13s}{'peak MiB':>10s}{'stored MiB':>12s}")
        for who, label in WHO.items():
            w, c, m, size = least[who]
            ratio = ["" if who in ("pellucid", "default") else f"{v / o:.1f}x" for v, o in zip((w, c), least["pellucid"])]
            print(f"{label:28s}{w:8.2f}{ratio[0]:>13s}{c:8.2f}{ratio[1]:>13s}{m / 2**20:10.0f}{size / 2**20:12.1f}", flush=True)


if __name__ == "__main__":
    main()
