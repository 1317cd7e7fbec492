# SPDX-License-Identifier: MIT
"""Noise that neighbouring pixels share: nothing is refused, the model is that of the noise (known from many draws of it), and
the picture is as good as with the true model given."""
import json

import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

from images import psnr

GAIN, BACKGROUND, READOUT = 2.0, 100.0, 3.0


def scene():
    """Photons: blobs, a ring and an edge on a slope, blurred as by a lens."""
    y, x = np.mgrid[:384, :384]
    rng = np.random.default_rng(2)
    photons = 3 + 0.01 * x
    for _ in range(40):
        cy, cx, size, peak = rng.uniform(0, 384), rng.uniform(0, 384), rng.uniform(4, 22), rng.uniform(5, 40)
        photons = photons + peak / (1 + np.exp(np.clip((np.hypot(y - cy, x - cx) - size) * 2, -50, 50)))
    return ndimage.gaussian_filter(photons, 1.2)


def demosaiced(a):
    """One colour of a checkerboard, the others' places filled with the mean of the four around."""
    mask = np.add.outer(np.arange(a.shape[0]), np.arange(a.shape[1])) % 2 == 0
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    return np.where(mask, a, ndimage.convolve(a * mask, cross, mode="mirror"))


HARM = {
    "blur 0.45": lambda a: ndimage.gaussian_filter(a, 0.45),
    "blur 0.6": lambda a: ndimage.gaussian_filter(a, 0.6),
    "blur 0.8": lambda a: ndimage.gaussian_filter(a, 0.8),
    "blur along y": lambda a: ndimage.gaussian_filter(a, (0.7, 0)),
    "resampled 1.1": lambda a: ndimage.zoom(a, 1.1, order=1),
    "resampled 2": lambda a: ndimage.zoom(a, 2, order=1),
    "demosaiced": demosaiced,
}


def camera(photons, rng):
    return np.rint(GAIN * rng.poisson(photons) + BACKGROUND + rng.normal(0, READOUT, photons.shape))


def true_model(harm, photons, clean):
    """Line and low-frequency power from twelve draws of the noise."""
    rng = np.random.default_rng(99)
    noise = np.array([harm(camera(photons, rng)) - clean for _ in range(12)])
    gain, offset = np.polyfit(clean.ravel(), (noise**2).mean(0).ravel(), 1)
    unit = noise / np.sqrt(gain * clean + offset)
    side = 16
    means = unit[:, :clean.shape[0] // side * side, :clean.shape[1] // side * side]
    means = means.reshape(len(unit), clean.shape[0] // side, side, -1, side).mean((2, 4))
    return gain, offset, means.var() * side * side / unit.var()


def denoise(cli, folder, image, *words):
    tifffile.imwrite(folder / "in.tif", image.astype(np.float32))
    out = folder / "out.ome.zarr"
    cli.ok("denoise", folder / "in.tif", out, "--quiet", "--levels", "1", "--fresh", *words)
    noise = json.loads((folder / "out.ome.zarr.run" / "plan.json").read_text())["noise"][0][0]
    return np.asarray(zarr.open(str(out), mode="r")["0"]).reshape(image.shape), noise


@pytest.mark.parametrize("name", HARM)
def test_as_good_as_with_the_true_model(cli, tmp_path, name):
    photons, harm = scene(), HARM[name]
    clean, noisy = harm(GAIN * photons + BACKGROUND), harm(camera(photons, np.random.default_rng(5)))
    gain, offset, power = true_model(harm, photons, clean)
    found, noise = denoise(cli, tmp_path, noisy)
    oracle, _ = denoise(cli, tmp_path, noisy, "--noise", f"{gain},{offset},low={power}", "--tune", "off")
    peak = np.ptp(clean)
    assert psnr(found, clean, peak) > psnr(oracle, clean, peak) - 0.5
    assert psnr(found, clean, peak) > psnr(noisy, clean, peak) + 3
    assert noise["low_frequency"] == pytest.approx(power, rel=0.4)
    middle = np.median(clean)
    assert noise["gain"] * middle + noise["offset"] == pytest.approx(gain * middle + offset, rel=0.4)
    assert "share their noise" in noise["remark"]


def test_the_power_is_what_averages_go_by(cli, tmp_path):
    photons, harm = scene(), HARM["blur 0.8"]
    clean, noisy = harm(GAIN * photons + BACKGROUND), harm(camera(photons, np.random.default_rng(5)))
    gain, offset, power = true_model(harm, photons, clean)
    told, _ = denoise(cli, tmp_path, noisy, "--noise", f"{gain},{offset},low={power}", "--tune", "off")
    white, _ = denoise(cli, tmp_path, noisy, "--noise", f"{gain},{offset}", "--tune", "off")
    assert psnr(told, clean, np.ptp(clean)) > psnr(white, clean, np.ptp(clean)) + 2


def test_structure_everywhere_is_not_taken_for_noise(cli, tmp_path):
    """Texture as fine as a lens lets through, all over the image."""
    rng = np.random.default_rng(4)
    texture = ndimage.gaussian_filter(rng.normal(size=(384, 384)), 2.2)
    photons, harm = 20 * (1 + 0.5 * texture / np.abs(texture).max()) + np.linspace(0, 30, 384), HARM["blur 0.6"]
    clean, noisy = harm(GAIN * photons + BACKGROUND), harm(camera(photons, rng))
    gain, offset, power = true_model(harm, photons, clean)
    _, noise = denoise(cli, tmp_path, noisy, "--tune", "off")
    middle = np.median(clean)
    found, truth = (noise["gain"] * middle + noise["offset"]) * noise["low_frequency"], (gain * middle + offset) * power
    assert 0.7 < found / truth < 1.5, (found, truth)


def test_white_noise_is_left_as_it_is(cli, tmp_path):
    _, noise = denoise(cli, tmp_path, camera(scene(), np.random.default_rng(5)), "--tune", "off")
    assert noise["low_frequency"] == 1 and noise["rho"] == [0, 0] and noise["remark"] == ""


def test_the_setting_that_noise_prints_is_what_denoise_took(cli, tmp_path):
    noisy = ndimage.gaussian_filter(camera(scene(), np.random.default_rng(5)), 0.7)
    found, noise = denoise(cli, tmp_path, noisy)
    said = cli.ok("noise", tmp_path / "in.tif", "--quiet")
    setting = said.split("--noise '")[1].split("'")[0]
    assert ",low=" in setting and "share their noise" in said
    again, given = denoise(cli, tmp_path, noisy, "--noise", setting, "--tune", "off")
    assert given["low_frequency"] == pytest.approx(noise["low_frequency"], rel=1e-3)
    np.testing.assert_allclose(again, found, atol=0.05)


@pytest.mark.parametrize("text", ["2,3,low=0", "2,3,low=", "low=2", "2,3,low=2,5", "2,3,low=1e9", "2,3,low=x"])
def test_a_bad_power_is_refused(cli, tmp_path, text):
    done = cli("denoise", "phantom:z=1,y=64,x=64", tmp_path / "out.ome.zarr", "--noise", text, "--quiet")
    assert done.returncode == 2 and "low=S" in done.stderr


def test_one_grey_level_goes_on_with_its_sigma(cli, tmp_path):
    """A dim plane with a few spots: no gain can be told, the sigma can."""
    rng = np.random.default_rng(7)
    photons = np.full((256, 256), 0.4)
    photons[rng.integers(0, 256, 12), rng.integers(0, 256, 12)] += 60
    photons = ndimage.gaussian_filter(photons, 1.2)
    noisy = camera(photons, rng)
    found, noise = denoise(cli, tmp_path, noisy)
    clean = GAIN * photons + BACKGROUND
    assert noise["gain"] == 0 and "one grey level" in noise["remark"]
    assert np.sqrt(noise["offset"]) == pytest.approx(np.sqrt(GAIN**2 * 0.4 + READOUT**2), rel=0.05)
    assert psnr(found, clean, np.ptp(clean)) > psnr(noisy, clean, np.ptp(clean)) + 6
