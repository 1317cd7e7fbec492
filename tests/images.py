# SPDX-License-Identifier: MIT
"""The five reference photographs, for tests and benchmarks; skipped where they are absent."""
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PELLUCID_SHARED", ROOT.parent / "shared"))
BUILD = Path(os.environ.get("PELLUCID_BUILD", ROOT / "build"))
NAMES = ("lena512", "barbara512", "boats512", "house256", "peppers256")


def read_png(path):
    """An 8-bit grey PNG without interlacing, as float32."""
    data = path.read_bytes()
    at, packed = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            w, h, depth, colour = struct.unpack(">IIBB", data[at + 8:at + 18])
            assert (depth, colour, data[at + 20]) == (8, 0, 0), path
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + n]
        at += n + 12
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, w + 1)
    out = np.zeros((h + 1, w + 1), np.int64)  # a zero row above and a zero column left
    for y in range(h):
        kind, row, up = rows[y, 0], rows[y, 1:].astype(np.int64), out[y]
        for x in range(w):
            a, b, c = out[y + 1, x], up[x + 1], up[x]
            guess = (0, a, b, (a + b) // 2, min((a, b, c), key=lambda v: (abs(a + b - c - v), (a, b, c).index(v))))[kind]
            out[y + 1, x + 1] = (row[x] + guess) & 255
    return out[1:, 1:].astype(np.float32)


def image(name):
    path = SHARED / "images" / f"{name}.png"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return read_png(path)


def psnr(a, b, peak=255.0):
    return 10 * np.log10(peak**2 / np.mean((a.astype(np.float64) - b) ** 2))
