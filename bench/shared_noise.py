# SPDX-License-Identifier: MIT
"""Noise that neighbouring pixels share: PSNR of `denoise` with defaults beside the same filter that is given the noise's true line
and low-frequency power (from twelve draws of the noise), and beside the noisy image; then real captures with a known truth.

    python bench/shared_noise.py [--seed N]

Scenes: that of tests/test_correlated.py, and those of $PELLUCID_SHARED/cases/phantoms.py where that is there; captures: all
NAME_K.raw.png of $PELLUCID_SHARED/fmd beside NAME.truth.png."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from images import SHARED, psnr, read_png  # noqa: E402
from test_correlated import BACKGROUND, GAIN, HARM, camera, denoise, scene, true_model  # noqa: E402

PROGRAM = os.path.abspath(os.environ.get("PELLUCID", ROOT / "build" / "pellucid"))


class Program:
    @staticmethod
    def ok(*words):
        subprocess.run([PROGRAM, *map(str, words)], check=True, capture_output=True, text=True)


def scenes():
    found = {"blobs": scene()}
    if (SHARED / "cases" / "phantoms.py").is_file():
        sys.path.insert(0, str(SHARED / "cases"))
        import phantoms
        for kind in ("haze", "nuclei", "filaments"):
            found[kind] = phantoms.scene(kind, (1, 1, 384, 384), 3, 25)[0, 0].astype(float)
    return found


def made(folder, seed):
    print(f"{'':32s}  noisy  estimated  given   S estimated, true")
    for harm_name, harm in {"none": lambda a: a, **HARM, "blur 1.0": lambda a: ndimage.gaussian_filter(a, 1.0)}.items():
        for name, photons in scenes().items():
            clean, noisy = harm(GAIN * photons + BACKGROUND), harm(camera(photons, np.random.default_rng(seed)))
            gain, offset, power = true_model(harm, photons, clean)
            found, noise = denoise(Program, folder, noisy, "--tune", "off")
            told, _ = denoise(Program, folder, noisy, "--noise", f"{gain},{offset},low={power}", "--tune", "off")
            peak = np.ptp(clean)
            print(f"{harm_name:15s} {name:15s} {psnr(noisy, clean, peak):8.2f} {psnr(found, clean, peak):9.2f} {psnr(told, clean, peak):8.2f}"
                  f"   {noise['low_frequency']:6.2f} {power:6.2f}", flush=True)


def captured(folder):
    for path in sorted((SHARED / "fmd").glob("*.raw.png")):
        name = path.name[:-len(".raw.png")]
        raw, truth = read_png(path), read_png(path.with_name(f"{name.rpartition('_')[0]}.truth.png"))
        found, noise = denoise(Program, folder, raw)
        print(f"{name:31s} {psnr(raw, truth):8.2f} {psnr(np.clip(found, 0, 255), truth):9.2f}            {noise['low_frequency']:6.2f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=5)
    seed = p.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), seed)
        captured(Path(folder))


main()
