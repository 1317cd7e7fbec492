# SPDX-License-Identifier: MIT
"""--memory is kept: the peak resident memory of the process tree stays below the limit. The larger sizes run in `make soak`
(PELLUCID_SOAK=1)."""
import os
import subprocess
import threading

import pytest

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


def peak_of(words):
    """Peak resident bytes of the command: the kernel's own mark for the program, and the sum over the tree, both sampled. (Not
    ru_maxrss: it begins with the size of the process that forked, and a pytest with NumPy is larger than our limits.)"""
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
