# SPDX-License-Identifier: MIT
"""The cloud of means and variances as a picture: `noise --plot`, also where the estimate is refused, and in the report."""
import json

import numpy as np
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

IMAGE = "phantom:c=2,z=2,y=300,x=300;seed=3"


def colours(path):
    from PIL import Image
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def count(picture, red, green, blue):
    return int((np.abs(picture - (red, green, blue)).sum(-1) < 30).sum())


def test_a_panel_a_channel_with_points_and_line(cli, tmp_path):
    out = tmp_path / "cloud.png"
    cli.ok("noise", IMAGE, "--plot", out, "--quiet")
    picture = colours(out)
    for panel in np.split(picture, 2):
        assert count(panel, 0x20, 0x60, 0xC0) > 200, "points"
        assert count(panel, 0xC0, 0x30, 0x20) > 500, "line and title"
        assert count(panel, 0x20, 0x20, 0x20) > 1000, "axes, numbers, labels"


def test_drawn_without_a_line_where_the_estimate_is_refused(cli, tmp_path):
    full = np.full((60, 400), 255, np.uint8)
    full[:, :40] = np.random.default_rng(1).poisson(80, (60, 40))
    tifffile.imwrite(tmp_path / "full.tif", full)
    done = cli("noise", tmp_path / "full.tif", "--plot", tmp_path / "cloud.png", "--quiet")
    assert done.returncode == 2 and "saturated" in done.stderr
    assert count(colours(tmp_path / "cloud.png"), 0x20, 0x60, 0xC0) > 4


def test_a_channel_that_is_refused_leaves_the_others(cli, tmp_path):
    """Each with its own reason and the file's name; no setting, for there is none for all."""
    rng = np.random.default_rng(3)
    rough = rng.poisson(np.tile(np.linspace(20, 80, 200), (200, 1))).astype(np.float32)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.stack([gaussian_filter(rough, 0.8), rough, np.full_like(rough, np.nan)]), imagej=True, metadata={"axes": "CYX"})
    done = cli("noise", path, "--quiet")
    lines = [line for line in done.stdout.splitlines() if line.startswith("  channel")]
    assert done.returncode == 2 and "variance =" in lines[0] and "variance =" in lines[1] and "refused" in lines[2] and "non-finite" in lines[2]
    assert "as a setting" not in done.stdout and f"{path}: noise of channel 2: " in done.stderr
    done = cli("noise", path, "--json", "--quiet")
    channels = json.loads(done.stdout)["images"][0]["channels"]
    assert done.returncode == 2 and [("refused" in c, "gain" in c) for c in channels] == [(False, True), (False, True), (True, False)]


def test_denoise_refuses_what_it_cannot_tell(cli, tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", np.full((300, 300), 255, np.uint8))
    done = cli("denoise", tmp_path / "in.tif", tmp_path / "out.ome.zarr", "--quiet")
    assert done.returncode == 2 and "saturated" in done.stderr
    assert not (tmp_path / "out.ome.zarr").exists()


def test_a_channel_that_was_off_stays_as_it_is(cli, tmp_path):
    rough = np.random.default_rng(3).poisson(np.tile(np.linspace(20, 80, 200), (200, 1))).astype(np.uint16)
    off = np.full_like(rough, 7)
    tifffile.imwrite(tmp_path / "in.tif", np.stack([rough, off]), imagej=True, metadata={"axes": "CYX"})
    cli.ok("denoise", tmp_path / "in.tif", tmp_path / "out.ome.zarr", "--levels", "1", "--quiet")
    out = np.asarray(zarr.open(str(tmp_path / "out.ome.zarr"), mode="r")["0"]).reshape(2, 200, 200)
    assert (out[1] == off).all() and out[0].std() < rough.std()
    assert "constant" in cli.ok("noise", tmp_path / "in.tif", "--quiet")


def test_the_report_draws_it_too(cli, tmp_path):
    out = tmp_path / "out.ome.zarr"
    cli.ok("denoise", IMAGE, out, "--tune", "off", "--quality", "fast", "--quiet")
    page = (tmp_path / "out.ome.zarr.run" / "index.html").read_text()
    assert page.count("noise of channel") == 2 and page.count("<circle") >= 300
