# SPDX-License-Identifier: MIT
"""Small TIFF files of programs that tifffile reads and does not write, byte by byte."""
import struct

import numpy as np


def directories(blob, entries):
    """Appends a chain of directories to bytes that begin with a header; an entry is (tag, type, count, value or place)."""
    link = 4
    for tags in entries:
        blob += bytes(len(blob) % 2)
        struct.pack_into("<I", blob, link, len(blob))
        blob += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + bytes(4)
        link = len(blob) - 4
    return bytes(blob)


def put(blob, data):
    """Appends and says where."""
    blob += bytes(len(blob) % 2)
    at = len(blob)
    blob += data
    return at


def page(a, at, count, subfile=0, samples=1, compression=1, rows=None, bits_at=0, predictor=0):
    """Entries of a page of the planes a (samples first), whose strips or their table lie at `at`; bits_at: of more than two samples."""
    h, w = a.shape[-2:]
    bits = 8 * a.dtype.itemsize
    return [(254, 4, 1, subfile), (256, 4, 1, w), (257, 4, 1, h), (258, 3, samples, bits if samples == 1 else bits_at or bits | bits << 16), (259, 3, 1, compression),
            (262, 3, 1, 1), (273, 4, samples, at), (277, 3, 1, samples), (278, 4, 1, rows or h), (279, 4, samples, count), (284, 3, 1, 2 if samples > 1 else 1),
            *([(317, 3, 1, predictor)] if predictor else [])]


def stk(a, distances, times, wavelengths=None, unit=b"um", calibration=(65, 1000), name=b"cell 3", day=2451545):
    """MetaMorph: planes behind one directory. distances in 1/1000, times in ms."""
    n = len(a)
    b = bytearray(b"II*\0\0\0\0\0")
    first = put(b, a.tobytes())
    uic2 = put(b, b"".join(struct.pack("<6I", distances[k], 1000, day + times[k] // 86400000, times[k] % 86400000, day, 0) for k in range(n)))
    uic3 = put(b, b"".join(struct.pack("<2I", w, 1) for w in (wavelengths or [488] * n)))
    scale = put(b, struct.pack("<2I", *calibration))
    units, title = (put(b, struct.pack("<I", len(text)) + text) for text in (unit, name))
    uic1 = put(b, struct.pack("<8I", 4, scale, 5, scale, 6, units, 7, title))
    return directories(b, [page(a, first, a[0].nbytes) + [(33628, 4, 4, uic1), (33629, 5, n, uic2), (33630, 5, n, uic3)]])


def lsm_info(shape, scan, voxel, interval, colours, stamps, positions):
    t, z, c, h, w = shape
    info = bytearray(512)
    struct.pack_into("<Ii8i", info, 0, 0x0400494C, 512, w, h, z, c, t, 2, 8, 8)
    struct.pack_into("<3d", info, 40, *voxel)
    struct.pack_into("<H", info, 88, scan)
    struct.pack_into("<I", info, 108, colours)
    struct.pack_into("<d", info, 112, interval)
    struct.pack_into("<I", info, 132, stamps)
    struct.pack_into("<2i", info, 264, positions, 0)
    return info


def lsm(a, scan=6, voxel=(1e-7, 2e-7, 5e-7), interval=0.0, names=(b"Ch1", b"Ch2"), stamps=(), encode=None, shape=None, positions=0, thumbnails=True, predictor=0):
    """Zeiss LSM of a[t, z, c, y, x]: a page is all channels of a plane, followed by its thumbnail."""
    b = bytearray(b"II*\0\0\0\0\0")
    listed = b"".join(struct.pack("<I", len(n) + 1) + n + b"\0" for n in names)
    block = b"".join(struct.pack("<4B", 10 * k, 255 - k, k, 0) for k in range(len(names)))
    colours = put(b, struct.pack("<6I", 24 + len(block) + len(listed), len(names), len(names), 24, 24 + len(block), 0) + block + listed)
    marks = put(b, struct.pack("<2i", 8 + 8 * len(stamps), len(stamps)) + struct.pack(f"<{len(stamps)}d", *stamps)) if stamps else 0
    info = put(b, lsm_info(shape or a.shape, scan, voxel, interval, colours, marks, positions))
    c = a.shape[2]
    dirs = []
    for number, planes in enumerate(a.reshape(-1, *a.shape[2:])):
        places = [put(b, encode(p) if encode else p.tobytes()) for p in planes]
        small = put(b, bytes(64 * c))
        tables = [put(b, struct.pack(f"<{c}I", *v)) for v in (places, [planes[0].nbytes] * c, [small + 64 * k for k in range(c)], [64] * c)]
        bits = [put(b, struct.pack("<H", 8 * k) * c) if c > 2 else 0 for k in (a.dtype.itemsize, 1)]
        if c == 1:
            tables = [places[0], planes[0].nbytes, small, 64]
        dirs.append(page(planes, tables[0], tables[1], samples=c, compression=5 if encode else 1, bits_at=bits[0], predictor=predictor) + ([(34412, 1, 512, info)] if number == 0 else []))
        if thumbnails:
            dirs.append(page(np.zeros((c, 8, 8), "u1"), tables[2], tables[3], 1, c, bits_at=bits[1]))
    return directories(b, dirs)
