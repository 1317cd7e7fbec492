# SPDX-License-Identifier: MIT
"""Quality against speed: pellucid beside the `ndsafir` package, scikit-image, OpenCV, DIPY, BM3D and BM4D, on five photographs
(Gaussian noise, sigma 25) and on a made fluorescence volume (gain 2, readout 3; all but pellucid between the variance stabilising
transform and its exact inverse). Strength h of the non-local means programs: the best of a few on these very images.

    python bench/compare_denoisers.py quality     PSNR of all; kept under the build folder (minutes)
    python bench/compare_denoisers.py speed       processor time, one thread, on Lena and the volume (two minutes, idle machine)
    python bench/compare_denoisers.py table       both as a table
    python bench/compare_denoisers.py plot        docs/pictures/denoisers.png

Needs bench/requirements.txt besides the tests' packages. DIPY's localpca and patch2self want many volumes of one object (diffusion
weighted MRI), so they do not apply."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from quality import PROGRAM, denoised, made  # noqa: E402
from peers import BUILD, ROOT, package, stabilise, theirs_exact, theirs_gaussian, unstabilise  # noqa: E402
from images import NAMES, image, psnr  # noqa: E402
from test_ndsafir_oracle import TOOL  # noqa: E402

SIGMA, MODEL = 25, (2, -191)
STORE = Path(BUILD) / "bench-cache" / "denoisers.json"
PLANE, VOLUME = "five photographs, sigma 25", "fluorescence, 32x96x96"


def skimage_nlm(y, sigma, h):
    from skimage.restoration import denoise_nl_means
    y = np.squeeze(y)
    size = dict(patch_size=7, patch_distance=8) if y.ndim == 2 else dict(patch_size=3, patch_distance=3)
    return denoise_nl_means(y, h=h * sigma, sigma=sigma, fast_mode=True, **size)


def opencv_nlm(y, sigma, h):
    import cv2
    cv2.setNumThreads(1)
    return cv2.fastNlMeansDenoising(np.clip(np.rint(np.squeeze(y)), 0, 255).astype(np.uint8), None, h * sigma, 7, 17).astype(np.float32)


def dipy_nlm(y, sigma, h):
    from dipy.denoise.nlmeans import nlmeans
    return nlmeans(np.squeeze(y).astype(np.float64), sigma=h * sigma, patch_radius=1, block_radius=3, rician=False, num_threads=1)


def bm3d_np(y, sigma, _):
    import bm3d
    return bm3d.bm3d(np.squeeze(y).astype(np.float64), sigma_psd=sigma)


def bm4d_np(y, sigma, _):
    import bm4d
    return bm4d.bm4d(np.squeeze(y).astype(np.float64), sigma)


def ndsafir_package(iterations, pvalue=0.1):
    return lambda y, sigma, _: theirs_gaussian(y, sigma, iterations, pvalue)


# Name, call(y, sigma, h), strengths to try.
PEERS = {
    PLANE: [("scikit-image nl_means, fast", skimage_nlm, (0.5, 0.6, 0.7, 0.8)), ("OpenCV fastNlMeans, 8 bit", opencv_nlm, (0.6, 0.75, 0.9, 1.05)),
            ("BM3D", bm3d_np, (1,)), ("ndsafir package, 3 iterations", ndsafir_package(3), (1,)),
            ("ndsafir package, 4 iterations", ndsafir_package(4), (1,)), ("ndsafir package, 5 iterations", ndsafir_package(5, 0.01), (1,))],
    VOLUME: [("scikit-image nl_means, fast", skimage_nlm, (0.4, 0.5, 0.6, 0.7, 0.8)), ("DIPY nlmeans", dipy_nlm, (0.5, 0.7, 1, 1.4)),
             ("BM4D", bm4d_np, (1,)), ("ndsafir package, 3 iterations", ndsafir_package(3), (1,)), ("ndsafir package, 4 iterations", ndsafir_package(4), (1,))],
}


def scenes():
    """Of each kind: noisy images t z y x, truths, peaks of the PSNR, noise as pellucid takes it."""
    rng = np.random.default_rng(0)
    clean = [image(n) for n in NAMES]
    plane = [(a + rng.normal(0, SIGMA, a.shape)).astype(np.float32)[None, None] for a in clean]
    photons = made((1, 32, 96), seed=11)
    rng = np.random.default_rng(3)
    volume = (2 * rng.poisson(photons) + 100 + rng.normal(0, 3, photons.shape)).astype(np.float32)
    grey = 2 * photons + 100
    return {PLANE: (plane, clean, 255.0, str(SIGMA)), VOLUME: ([volume], [grey[0]], float(np.ptp(grey)), "%g,%g" % MODEL)}


def call_peer(kind, call, y, h):
    if kind == PLANE:
        return np.asarray(call(y, SIGMA, h), np.float64)
    t = stabilise(y.astype(np.float64), *MODEL).astype(np.float32)
    return unstabilise(np.asarray(call(t, 1, h), np.float64), *MODEL)


def load():
    return json.loads(STORE.read_text()) if STORE.is_file() else {}


def save(found):
    STORE.parent.mkdir(parents=True, exist_ok=True)
    STORE.write_text(json.dumps(found, indent=1))


def measure_quality():
    found = load()
    for kind, (noisy, truth, peak, noise) in scenes().items():
        rows = found.setdefault(kind, {})
        rows.setdefault("noisy", {})["db"] = float(np.mean([psnr(np.squeeze(y), np.squeeze(t), peak) for y, t in zip(noisy, truth)]))
        for name, call, strengths in PEERS[kind]:
            best = max((float(np.mean([psnr(np.squeeze(call_peer(kind, call, y, h)), np.squeeze(t), peak) for y, t in zip(noisy, truth)])), h) for h in strengths)
            rows.setdefault(name, {}).update(db=best[0], h=best[1])
            print(kind, name, best, flush=True)
            save(found)
        with tempfile.TemporaryDirectory() as folder:
            for quality in ("fast", "standard", "strong"):
                db = [psnr(np.squeeze(denoised(folder, y, noise, quality)), np.squeeze(t), peak) for y, t in zip(noisy, truth)]
                rows.setdefault(f"pellucid --quality {quality}", {})["db"] = float(np.mean(db))
                print(kind, quality, db, flush=True)
        save(found)


def chosen_settings(y, noise, quality):
    """What --tune auto takes, as words of the tool."""
    import tifffile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noisy.tif"
        axes = ("Z" if y.shape[1] > 1 else "") + "YX"
        tifffile.imwrite(path, np.squeeze(y).astype(np.float32), imagej=True, metadata={"axes": axes})
        table = json.loads(subprocess.run([PROGRAM, "tune", path, "--noise", noise, "--quality", quality, "--json", "--quiet"], capture_output=True,
                                          check=True, text=True).stdout)
    return next(c["settings"] for c in table[0] if c["chosen"]).split()


def seconds_of(call, least=2, most_s=8.0):
    times = []
    start = time.monotonic()
    while len(times) < least and (not times or time.monotonic() - start < most_s):
        t = time.process_time()
        call()
        times.append(time.process_time() - t)
    return min(times)


def measure_speed(only):
    found = load()
    for kind, (noisy, _, _, noise) in scenes().items():
        y = noisy[0]
        for name, call, _ in PEERS[kind]:
            if only and only not in name + kind:
                continue
            h = found[kind][name]["h"]
            t = y if kind == PLANE else stabilise(y.astype(np.float64), *MODEL).astype(np.float32)
            run = package_call(name, t) if name.startswith("ndsafir") else (lambda c=call, t=t, h=h: c(t, SIGMA if kind == PLANE else 1, h))
            found[kind][name]["mvoxel_s"] = t.size / seconds_of(run) / 1e6
            print(kind, name, found[kind][name]["mvoxel_s"], flush=True)
            save(found)
        for quality in ("fast", "standard", "strong"):
            if only and only not in "pellucid" + kind:
                continue
            words = [TOOL, ",".join(map(str, (y.shape[0], 1, *y.shape[1:]))), noise if "," in noise else f"0,{float(noise)**2}", "threads=1", "repeat=5",
                     f"quality={quality}", *chosen_settings(y, noise, quality)]
            done = subprocess.run(words, input=y.tobytes(), capture_output=True, check=True)
            row = found[kind][f"pellucid --quality {quality}"]
            row["mvoxel_s"] = y.size / float(done.stderr.split()[0]) / 1e6
            row["settings"] = " ".join(words[6:])
            print(kind, quality, row, flush=True)
            save(found)


def package_call(name, t):
    """Not the kept result."""
    from peers import axes_of, patch_of
    letters, y = axes_of(t)
    iterations = int(name.split(",")[1].split()[0])
    sigma = SIGMA if t.shape[1] == 1 else 1
    return lambda: package.denoise_gaussian(y, axes=letters, noise_std=float(sigma), patch=patch_of(letters), max_iter=iterations,
                                            pvalue=0.01 if iterations == 5 else 0.1, nthreads=1)


def print_table():
    for kind, rows in load().items():
        print(f"\n| {kind} | dB | Mvoxel/s |\n|---|---|---|")
        for name, r in sorted(rows.items(), key=lambda item: item[1]["db"]):
            speed = r.get("mvoxel_s")
            print(f"| {name}{', h %g' % r['h'] if r.get('h', 1) != 1 else ''} | {r['db']:.2f} | {f'{speed:.3g}' if speed else ''} |")


def plot():
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6))
    for panel, (kind, rows) in zip(panels, load().items()):
        for name, r in rows.items():
            if "mvoxel_s" not in r:
                continue
            ours = name.startswith("pellucid")
            panel.plot(r["mvoxel_s"], r["db"], "o", color="#c03020" if ours else "#2060c0", markersize=8 if ours else 6)
            left = r["mvoxel_s"] > 2
            label = name.replace("pellucid --quality ", "").replace("ndsafir package, ", "package, ").replace("iterations", "it.")
            panel.annotate(label, (r["mvoxel_s"], r["db"]), xytext=(-3, -6) if ours else (-7 if left else 7, 4), textcoords="offset points",
                           ha="right" if left else "left", va="top" if ours else "baseline", rotation=35 if ours else 0, rotation_mode="anchor", fontsize=9)
        panel.set_xscale("log")
        panel.set_title(kind)
        panel.set_xlabel("Mvoxel a processor second, one thread")
        panel.set_ylabel("PSNR, dB")
        panel.grid(alpha=0.3, which="both")
    panels[0].plot([], [], "o", color="#c03020", label="pellucid")
    panels[0].plot([], [], "o", color="#2060c0", label="others")
    panels[0].legend(loc="lower right")
    figure.tight_layout()
    out = ROOT / "docs" / "pictures" / "denoisers.png"
    out.parent.mkdir(exist_ok=True)
    figure.savefig(out, dpi=100)


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "table"
    if what == "speed":
        measure_speed(sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        {"quality": measure_quality, "table": print_table, "plot": plot}[what]()


if __name__ == "__main__":
    main()
