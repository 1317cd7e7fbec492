# SPDX-License-Identifier: MIT
"""The arm64 build of ND-SAFIR's kernel gives the same bits: cross-compiled, run under emulation; skipped without the tools."""
import hashlib
import shutil
import subprocess

import numpy as np
import pytest

from images import BUILD, ROOT
from test_ndsafir_oracle import scene

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
FLAGS = ("-O2 -std=c17 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -fno-trapping-math -static "
         "-DPEL_LANES=4 -DPEL_KERNEL=pel__ndsafir_scalar").split()
SOURCES = [*ROOT.glob("src/filter/ndsafir*.c"), ROOT / "src/filter/params.c", ROOT / "src/noise/stabilise.c",
           *(ROOT / f"src/core/{n}.c" for n in ("block", "budget", "bytes", "dtype", "error", "pool", "region", "turns"))]


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    if not shutil.which(COMPILER) or not shutil.which(EMULATOR):
        pytest.skip(f"{COMPILER} and {EMULATOR} are not both installed")
    tool = tmp_path_factory.mktemp("arm64") / "tool_ndsafir"
    done = subprocess.run([COMPILER, *FLAGS, *(f"-I{ROOT / d}" for d in ("include", "src", "tests")), "-o", tool,
                           ROOT / "tests/tool_ndsafir.c", *SOURCES, "-lm", "-lpthread"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [EMULATOR, tool]


@pytest.mark.parametrize("shape, words", [
    ((1, 1, 60, 75), ["radius-xy=1,2"]),
    ((1, 1, 60, 75), ["radius-xy=1,3", "patch=y=5,x=4", "aggregate=no"]),
    ((2, 4, 20, 24), ["radius-xy=1,2", "radius-z=1,1", "radius-t=1,1", "patch=z=1,y=1,x=1"]),
    ((1, 1, 61, 75), ["quality=fast", "spots=2"]),
    ((2, 1, 31, 40), ["quality=fast", "spots=2.5"]),
])
def test_same_bits(arm, shape, words):
    y = scene(shape, 5)
    y.reshape(-1)[100] = np.nan
    arguments = ["{},1,{},{},{}".format(*shape), "2,-191", *words]
    native, emulated = (subprocess.run([*c, *arguments], input=y.tobytes(), capture_output=True, check=True).stdout
                        for c in ([BUILD / "tests" / "tool_ndsafir"], arm))
    assert len(native) == y.nbytes
    assert hashlib.sha256(native).hexdigest() == hashlib.sha256(emulated).hexdigest()
