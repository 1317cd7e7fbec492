# SPDX-License-Identifier: MIT
"""Writing and reading Zarr v3 beside TensorStore and the zarrs pipeline of zarr-python: the same uint16 camera noise, the
same layouts, the same number of threads, on one machine, in turns; least of several runs. Only input and output are
timed, in processes of their own; reading allocates its result. Boxes: eight of 150 x 150 x 150 off the grid of chunks.
Peak: resident memory above the array that is written or read, and above what was there before the operation (the program, its imports, a first call); and of
the whole process, all of that included, above both arrays. Compared is what is equally durable: pellucid and TensorStore
sync their files by default and can be told not to, zarrs never does. Every write goes to a place where nothing lies.

    python bench/zarr_speed.py [--mib N] [--threads N] [--repeat N] [--dir FOLDER] [--layout NAME,…] [--who NAME,…]"""
import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = Path(os.environ.get("PELLUCID", ROOT / "build" / "pellucid")).resolve().parent / "tests" / "tool_zarr_speed"
CHUNK, SHARD = (1, 1, 64, 64, 64), (1, 1, 256, 256, 256)
LAYOUTS = {  # codec as pellucid calls it, shard
    "raw": ("none:nocrc32c", CHUNK),
    "zstd 1": ("zstd:1:nocrc32c", CHUNK),
    "blosc lz4 bitshuffle": ("blosc:lz4:5:bitshuffle:nocrc32c", CHUNK),
    "sharded, zstd 1": ("zstd:1:nocrc32c", SHARD),
    "sharded, blosc": ("blosc:lz4:5:bitshuffle:nocrc32c", SHARD),
    "sharded, blosc zstd": ("blosc:zstd:1:shuffle:nocrc32c", SHARD),  # pellucid's default
}
WHO = {"pellucid": "pellucid", "ts": "TensorStore", "nosync": "pellucid, no sync", "ts-nosync": "TensorStore, no sync",
       "zarrs": "zarrs, no sync"}
BESIDE = {"ts": "pellucid", "ts-nosync": "nosync", "zarrs": "nosync"}  # who is compared with which run of pellucid
OPERATIONS = ["write", "read", "boxes", "trip"]


def make_boxes(shape):
    rng = random.Random(0)
    boxes = []
    for _ in range(8):
        size = [min(150, n) for n in shape[2:]]
        boxes.append(([0, 0] + [rng.randrange(n - k + 1) for n, k in zip(shape[2:], size)], [1, 1] + size))
    return boxes


# ---- the others, each in a process of its own ----------------------------------------------------------------------------


def status(name):
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(name))


def codecs(layout):
    inner = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if "blosc zstd" in layout:
        inner.append({"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "typesize": 2, "blocksize": 0}})
    elif "zstd" in layout:
        inner.append({"name": "zstd", "configuration": {"level": 1, "checksum": False}})
    elif "blosc" in layout:
        inner.append({"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 2, "blocksize": 0}})
    if "sharded" not in layout:
        return inner
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    return [{"name": "sharding_indexed", "configuration": {"chunk_shape": CHUNK, "codecs": inner, "index_codecs": index, "index_location": "end"}}]


def metadata(shape, layout):
    return {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": LAYOUTS[layout][1]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "codecs": codecs(layout)}


def tensorstore_calls(store, shape, layout, threads, sync):
    import tensorstore as ts
    limits = {"data_copy_concurrency": {"limit": threads}, "file_io_sync": sync}
    document = {k: v for k, v in metadata(shape, layout).items() if k not in ("zarr_format", "node_type")}

    def write(a):
        out = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": store}, "metadata": document},
                      create=True, delete_existing=True, context=ts.Context(limits)).result()
        out.write(a).result()

    def read(boxes):
        a = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": store}}, context=ts.Context(limits)).result()
        return [a[tuple(slice(o, o + n) for o, n in zip(*box))].read().result() for box in boxes][-1]

    return write, read


def zarrs_calls(store, shape, layout, threads):
    import zarr
    import zarrs  # noqa: F401
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": threads})

    def write(a):
        os.makedirs(store, exist_ok=True)
        Path(store, "zarr.json").write_text(json.dumps({**metadata(shape, layout), "attributes": {}}))
        zarr.open_array(store, mode="r+")[...] = a

    def read(boxes):
        a = zarr.open_array(store, mode="r")
        return [a[tuple(slice(o, o + n) for o, n in zip(*box))] for box in boxes][-1]

    return write, read


def child(who, layout, folder, shape, threads):
    import numpy as np
    a = np.fromfile(f"{folder}/voxels", np.uint16).reshape(shape)
    boxes, whole = make_boxes(shape), [([0] * 5, list(shape))]

    def calls(store, size):
        return zarrs_calls(store, size, layout, threads) if who == "zarrs" else tensorstore_calls(store, size, layout, threads, who == "ts")

    peak = 0
    write, read = calls(f"{folder}/warm", [1, 1, 8, 8, 8])  # imports and first calls are not timed
    write(a[:, :, :8, :8, :8])
    read([([0] * 5, [1, 1, 8, 8, 8])])
    for name in OPERATIONS:
        write, read = calls(f"{folder}/store" + "-trip" * (name == "trip"), list(shape))
        peak = max(peak, status("VmHWM"))
        Path("/proc/self/clear_refs").write_text("5")
        before, wall, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
        if name in ("write", "trip"):
            write(a)
        result = read(boxes if name == "boxes" else whole) if name != "write" else None
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(name, wall, cpu, max(0, status("VmHWM") - before - (0 if result is None else result.nbytes)))
        if name == "trip" and not all(np.array_equal(r, v) for r, v in zip(result[0, 0], a[0, 0])):  # plane by plane: no large mask
            raise SystemExit("other voxels than were written")
        del result
    print("process", max(peak, status("VmHWM")) - 2 * a.nbytes)


# ---- tables ----------------------------------------------------------------------------------------------------------------


def put_aside(store):
    """Empties the files of a store but keeps their names until the end: ext4 steps over every inode that was deleted in the
    last minutes each time it makes a file, and whoever comes next would pay for it."""
    for path in Path(store).rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    if os.path.isdir(store):
        os.rename(store, f"{store}-{time.monotonic_ns()}")


def touch_memory(size):
    """A virtual machine gets memory from its host at first touch, which can take longer than filling it: not to be measured."""
    import numpy as np
    np.ones(size, np.uint8)


def listed(numbers):
    return ",".join(map(str, numbers))


def run(who, layout, folder, shape, threads):
    codec, shard = LAYOUTS[layout]
    if who in ("pellucid", "nosync"):
        boxes = ";".join(f"{listed(o)}:{listed(n)}" for o, n in make_boxes(shape))
        words = [TOOL, f"{folder}/store", codec, listed(shape), listed(CHUNK), listed(shard), threads, f"{folder}/voxels", boxes, int(who == "pellucid")]
    else:
        words = [sys.executable, __file__, "--child", who, layout, folder, listed(shape), threads]
    env = {**os.environ, "RAYON_NUM_THREADS": str(threads), "BLOSC_NTHREADS": "1"}
    os.sync()  # what was written before is nobody's to wait for
    touch_memory(3 * math.prod(shape) * 2)
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, env=env)
    for name in ("store", "store-trip", "warm"):
        put_aside(f"{folder}/{name}")
    if done.returncode != 0:
        print(f"{WHO[who]}, {layout}: {' '.join(done.stderr.strip().splitlines()[-1:])}", file=sys.stderr)
        return {}
    return {line.split()[0]: [float(v) for v in line.split()[1:]] for line in done.stdout.splitlines() if line.split()[0] in [*OPERATIONS, "process"]}


def table(layout, least, mib):
    print(f"\n{layout}: wall s / processor s / peak MiB; in brackets pellucid's gain at equal sync, wall / processor")
    print(f"{'':22s}" + "".join(f"{name:>38s}" for name in OPERATIONS) + f"{'process, peak MiB':>20s}")
    for who, label in WHO.items():
        cells = ""
        for name in OPERATIONS:
            got, own = least.get((who, name)), least.get((BESIDE.get(who), name))
            text = "" if not got else f"{got[0]:.2f} / {got[1]:.2f} / {got[2] / 2**20:.0f}"
            if got and own:
                text += f" ({got[0] / own[0]:.1f}x / {got[1] / own[1]:.1f}x)"
            cells += f"{text:>38s}"
        if cells.strip():
            print(f"{label:22s}" + cells + f"{least[who, 'process'][0] / 2**20:20.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dir", help="where the stores lie (default: the system's temporary folder)")
    parser.add_argument("--layout", default=",".join(LAYOUTS).replace(", ", "; "), help="names; ',' inside a name is ';'")
    parser.add_argument("--who", default=",".join(WHO))
    parser.add_argument("--child", nargs=5)
    words = parser.parse_args()
    if words.child:
        who, layout, folder, shape, threads = words.child
        return child(who, layout, folder, tuple(map(int, shape.split(","))), int(threads))
    import numpy as np
    shape = (1, 1, 256, 1024, 2 * words.mib)
    print(f"{'x'.join(map(str, shape[2:]))} uint16 camera noise, {words.threads} threads, least of {words.repeat}")
    with tempfile.TemporaryDirectory(prefix="bench-zarr-", dir=words.dir) as folder:
        rng = np.random.default_rng(0)
        with open(f"{folder}/voxels", "wb") as f:
            for _ in range(shape[2]):
                rng.normal(300, 20, shape[3:]).astype(np.uint16).tofile(f)
        for layout in (name.replace(";", ",") for name in words.layout.split(",")):
            least = {}
            for _ in range(words.repeat):
                for who in words.who.split(","):
                    for name, got in run(who, layout, folder, shape, words.threads).items():
                        least[who, name] = [min(p) for p in zip(got, least.get((who, name), got))]
            table(layout, least, words.mib)


if __name__ == "__main__":
    main()
