# SPDX-License-Identifier: MIT
"""--memory is kept: the peak resident memory of the process tree stays below the limit. The larger sizes run in `make soak`
(PELLUCID_SOAK=1)."""
import os
import resource
import subprocess
import threading
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

MIB = 1 << 20
QUICK = ("--noise", "3.92,-388", "--tune", "off", "--iterations", "1", "--radius-xy", "1", "--radius-z", "1")
# MiB of uint16 pixels, --memory
SIZES = [(64, "300M"), (64, "4G"), (256, "300M")]
SOAK = [(1024, "300M"), (1024, "2G"), (4096, "300M"), (4096, "1G")]


def tree_kib(pid):
    """Resident memory of a process and its children, now."""
    total = 0
    todo = [pid]
    while todo:
        p = todo.pop()
        try:
            with open(f"/proc/{p}/status") as f:
                total += next((int(line.split()[1]) for line in f if line.startswith("VmRSS:")), 0)
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children") as f:
                    todo += map(int, f.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def mark_kib(pid):
    """The most that this one process has ever had resident."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((int(line.split()[1]) for line in f if line.startswith("VmHWM:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def peak_of(words, **how):
    """Peak resident bytes of the command: the kernel's own mark for the program, and the sum over the tree, both sampled. (Not
    ru_maxrss: it begins with the size of the process that forked, and a pytest with NumPy is larger than our limits.)"""
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
    sampled, ended = [0], threading.Event()

    def sample():
        while not ended.wait(0.01):
            sampled[0] = max(sampled[0], tree_kib(process.pid), mark_kib(process.pid))

    watcher = threading.Thread(target=sample)
    watcher.start()
    message = process.stderr.read()
    process.wait()
    ended.set()
    watcher.join()
    assert process.returncode == 0, message
    assert sampled[0] > 0
    return 1024 * sampled[0]


def limit_bytes(text):
    return int(text[:-1]) * {"M": MIB, "G": 1024 * MIB}[text[-1]]


@pytest.fixture(scope="module")
def image(cli, tmp_path_factory):
    made = {}

    def make(mib):
        if mib not in made:
            path = tmp_path_factory.mktemp("image") / f"{mib}.czi"
            cli.ok("phantom", path, "--size", f"z={mib // 8},y=2048,x=2048", "--tiles", "y=1024,x=1024", "--quiet", timeout=3000)
            made[mib] = path
        return made[mib]

    return make


@pytest.mark.parametrize("mib,limit", SIZES + (SOAK if os.environ.get("PELLUCID_SOAK") else []))
@pytest.mark.parametrize("verb", ["denoise", "convert"])
def test_peak_memory_stays_below_the_limit(cli, image, tmp_path, verb, mib, limit):
    out = tmp_path / "out.ome.zarr"
    peak = peak_of([cli.path, verb, image(mib), out, *(QUICK if verb == "denoise" else ()), "--memory", limit, "--quiet"])
    status = cli.json("status", out)
    print(f"{verb} {mib} MiB, limit {limit}: peak {peak / MIB:.0f} MiB, promised {status['memory_promised'] / MIB:.0f} MiB")
    assert peak < limit_bytes(limit)
    assert peak <= status["memory_promised"]
    assert status["memory_promised"] <= limit_bytes(limit)


def test_helper_processes_count(cli, shared, tmp_path):
    """JPEG XR tiles are decoded in processes of their own: these are inside the limit, too."""
    out = tmp_path / "out.ome.zarr"
    source = os.path.join(shared, "czi", "syn_gray16_jxr.czi")
    peak = peak_of([cli.path, "convert", source, out, "--memory", "300M", "--threads", "4", "--quiet"])
    assert peak < 300 * MIB
    assert peak <= cli.json("status", out)["memory_promised"]


def test_default_settings_keep_a_tight_limit(cli, tmp_path):
    """Nothing given but the limit: estimated noise, default filter."""
    czi, out = tmp_path / "a.czi", tmp_path / "out.ome.zarr"
    cli.ok("phantom", czi, "--size", "c=2,z=16,y=512,x=512", "--quiet")
    assert peak_of([cli.path, "denoise", czi, out, "--memory", "120M", "--quiet"]) < 120 * MIB


SIDE = 12288  # one plane of 288 MiB


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """Larger than the limits below: as the file has it, as one compressed strip, and in NumPy."""
    folder = tmp_path_factory.mktemp("plane")
    pixels = np.arange(SIDE * SIDE, dtype=np.uint32).astype(np.uint16).reshape(SIDE, SIDE)
    pixels ^= np.arange(SIDE, dtype=np.uint16)[:, None]
    tifffile.imwrite(folder / "a.tif", pixels, rowsperstrip=64)
    tifffile.imwrite(folder / "strip.tif", pixels, rowsperstrip=SIDE, compression="zlib", compressionargs={"level": 1})
    return folder, pixels


def words_of(folder, verb):
    return {"checksum": ("checksum", "a.tif", "--quiet"), "compare": ("compare", "a.tif", "a.tif", "--quiet"),
            "picture": ("picture", "a.tif", f"{verb}.png", "--overwrite", "--crop", "y=5000:9000,x=5000:9000"),
            "noise": ("noise", "a.tif", "--quiet")}[verb]


def keep_to(size):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.parametrize("verb", ["checksum", "compare", "picture", "noise"])
def test_verbs_without_a_plan_keep_the_limit(cli, plane, verb):
    folder, _ = plane
    peak = peak_of([cli.path, *words_of(folder, verb), "--memory", "250M"], cwd=folder)
    print(f"{verb}: peak {peak / MIB:.0f} MiB")
    assert peak < 250 * MIB


@pytest.mark.parametrize("verb", ["checksum", "compare", "picture", "noise"])
def test_verbs_without_a_plan_keep_half_of_ulimit(cli, plane, verb):
    folder, _ = plane
    peak = peak_of([cli.path, *words_of(folder, verb)], cwd=folder, preexec_fn=keep_to(500 * MIB))
    print(f"{verb}: peak {peak / MIB:.0f} MiB")
    assert peak < 250 * MIB


def test_a_checksum_in_pieces_is_that_of_the_plane(cli, plane):
    folder, pixels = plane
    want = f"{zlib.crc32(pixels):08x}"
    for limit in ("40M", "250M", "4G"):
        assert cli.json("checksum", folder / "a.tif", "--memory", limit)["images"][0]["crc32"] == want


def test_what_cannot_be_read_below_the_limit_is_refused(cli, plane, tmp_path):
    """A strip that must be decoded whole; a picture with more pixels than there is memory for."""
    folder, _ = plane
    strip, out = folder / "strip.tif", tmp_path / "a.png"
    for words in (("checksum", strip), ("compare", strip, strip), ("noise", strip), ("picture", strip, out, "--crop", "y=0:9,x=0:9"),
                  ("picture", folder / "a.tif", out)):
        said = cli.fails(2, *words, "--memory", "250M")
        assert "memory: needs at least" in said and "the limit is 250 MiB: give --memory" in said, said
        said = cli.fails(2, *words, preexec_fn=keep_to(500 * MIB))
        assert "half of ulimit -v's 500 MiB" in said, said
    assert "--crop" in said and not out.exists()
    cli.ok("info", strip, preexec_fn=keep_to(100 * MIB))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_a_picture_of_each_type(cli, tmp_path, dtype):
    """Narrow types are widened in place: more pixels than are widened at once."""
    pixels = (np.arange(70 * 60) % 251).astype(dtype).reshape(70, 60)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    cli.ok("picture", tmp_path / "a.tif", tmp_path / "a.png", "--window", "0,255")
    assert np.array_equal(np.array(Image.open(tmp_path / "a.png")), pixels.astype(np.uint8))
