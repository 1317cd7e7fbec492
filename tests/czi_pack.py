# SPDX-License-Identifier: MIT
"""Writes small CZI files by the published layout, struct only: right ones, and wrong in one chosen way. A tile is made by tile()."""
import struct

import numpy as np


def tile(pixels, comp=0, payload=None, **starts):
    """A tile of a 2-d array (gray) or of y, x, 3 or 4 (B, G, R, A); starts: X, Y, Z, C, T, M, S; a pair is start and size."""
    pixels = np.ascontiguousarray(pixels)
    kinds = {("uint8", 1): 0, ("uint16", 1): 1, ("float32", 1): 2, ("uint8", 3): 3, ("uint16", 3): 4, ("uint8", 4): 9}
    kind = kinds[pixels.dtype.name, pixels.shape[2] if pixels.ndim == 3 else 1]
    size = {"X": pixels.shape[1], "Y": pixels.shape[0]}
    dims = [(a, starts.pop(a, 0), size[a], size[a]) for a in "XY"]
    for a, start in starts.items():
        dims.append((a, *start, start[1]) if isinstance(start, tuple) else (a, start, 1, 1))
    return {"dims": dims, "kind": kind, "comp": comp, "part": 0, "data": pixels.tobytes() if payload is None else payload}


def segment(name, body):
    n = (len(body) + 31) // 32 * 32
    return name.encode().ljust(16, b"\0") + struct.pack("<qq", n, len(body)) + body.ljust(n, b"\0")


def entry(t, position):
    out = struct.pack("<2siqiiB5xi", b"DV", t["kind"], position, t["part"], t["comp"], 0, len(t["dims"]))
    return out + b"".join(struct.pack("<4siifi", a.encode(), start, size, 0, stored) for a, start, size, stored in t["dims"])


def subblock(t, position):
    head = struct.pack("<iiq", 0, 0, len(t["data"])) + entry(t, position)
    return segment("ZISRAWSUBBLOCK", head.ljust(max(256, len(head)), b"\0") + t["data"])


def xml(image="", rest=""):
    return f"<ImageDocument><Metadata><Information><Image>{image}</Image></Information>{rest}</Metadata></ImageDocument>"


def pack(path, tiles, text=xml(), stamps=None):
    """Writes the file; gives the positions of the tiles' segments."""
    out, positions, attachments = bytearray(544), [], 0
    for t in tiles:
        positions.append(len(out))
        out += subblock(t, len(out))
    metadata = len(out)
    out += segment("ZISRAWMETADATA", struct.pack("<ii", len(text), 0).ljust(256, b"\0") + text.encode())
    if stamps is not None:
        data = struct.pack("<ii", 8 + 8 * len(stamps), len(stamps)) + np.asarray(stamps, "<f8").tobytes()
        name = struct.pack("<2s10xqi16s8s80s", b"A1", len(out), 0, b"", b"CZTIMS", b"TimeStamps")
        out += segment("ZISRAWATTACH", (struct.pack("<i12x", len(data)) + name).ljust(256, b"\0") + data)
        attachments = len(out)
        out += segment("ZISRAWATTDIR", struct.pack("<i", 1).ljust(256, b"\0") + name)
    directory = len(out)
    entries = b"".join(entry(t, p) for t, p in zip(tiles, positions))
    out += segment("ZISRAWDIRECTORY", struct.pack("<i", len(tiles)).ljust(128, b"\0") + entries)
    head = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"g" * 16, b"g" * 16, 0, directory, metadata, 0, attachments)
    out[:544] = segment("ZISRAWFILE", head.ljust(512, b"\0"))
    with open(path, "wb") as f:
        f.write(out)
    return positions


def change(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)
