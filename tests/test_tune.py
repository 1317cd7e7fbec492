# SPDX-License-Identifier: MIT
"""--tune auto: the data choose the settings, once, channel by channel; what was typed stays; a resumed run keeps the choice."""
import json

import numpy as np
import pytest
import zarr

IMAGE = "phantom:c=2,z=1,y=340,x=340;seed=4;noise=2,-191"
TRUTH = IMAGE.replace("phantom:", "phantom-truth:")
NOISE = ("--noise", "2,-191")


def plan(out):
    return json.load(open(out + ".run/plan.json"))


def rms(cli, a, b):
    found = json.loads(cli("compare", a, b, "--json", "--quiet").stdout)
    return found["images"][0]["rms"] if "images" in found else found["rms"]


@pytest.fixture(scope="module")
def tuned(cli, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("tuned") / "out.ome.zarr")
    cli.ok("denoise", IMAGE, out, *NOISE, "--quiet")
    return out


@pytest.fixture(scope="module")
def table(cli):
    return cli.json("tune", IMAGE, *NOISE, "--quiet", "--threads", "1")


def test_table_has_the_default_first_and_one_choice_a_channel(cli, table):
    assert len(table) == 2
    for candidates in table:
        assert candidates[0]["settings"] == "" and len(candidates) >= 5
        assert sum(c["chosen"] for c in candidates) == 1
        best = next(c for c in candidates if c["chosen"])
        assert best["risk"] <= candidates[0]["risk"]
    text = cli.ok("tune", IMAGE, *NOISE, "--quality", "fast", "--channel", "0", "--quiet")
    assert "(the default)" in text and "\n  * " in text


def test_the_same_choice_every_time_and_for_any_thread_count(cli, table):
    assert cli.json("tune", IMAGE, *NOISE, "--quiet", "--threads", "3") == table


def test_the_choice_is_better_than_the_default(cli, tuned, tmp_path):
    plain = str(tmp_path / "plain.ome.zarr")
    cli.ok("denoise", IMAGE, plain, *NOISE, "--tune", "off", "--quiet")
    assert rms(cli, TRUTH, tuned) < 0.97 * rms(cli, TRUTH, plain)


def test_choice_is_recorded_and_has_no_seams(cli, tuned):
    document = plan(tuned)
    assert document["request"]["tune"] == "auto" and len(document["tuning"]) == 2
    for channel in document["tuning"]:
        assert 0 <= channel["chosen"] < len(channel["candidates"]) and channel["voxels"] > 340 * 340 // 2
    chosen = [c["candidates"][c["chosen"]]["settings"] for c in document["tuning"]]
    for c, text in enumerate(chosen):
        for item in text.split():
            name, value = item.split("=", 1)
            recorded = document["settings"][name].split(";")
            assert recorded[c if len(recorded) > 1 else 0] == value
    assert cli.json("verify", tuned, "--windows", "20", "--seed", "2")["different"] == 0


def test_going_on_keeps_the_choice_and_tunes_no_more(cli, tuned):
    before = plan(tuned)
    cli.ok("denoise", IMAGE, tuned, *NOISE, "--quiet")
    assert plan(tuned) == before
    assert "was auto" not in cli("denoise", IMAGE, tuned, *NOISE).stderr
    cli.ok("work", tuned, "--quiet")


def test_blocks_and_threads_change_no_bit_of_a_tuned_result(cli, tuned, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", IMAGE, out, *NOISE, "--chunk", "y=64,x=64", "--block", "y=128,x=192", "--threads", "3", "--quiet")
    assert cli("compare", tuned, out).returncode == 0


@pytest.mark.parametrize("background", [0.1, 0.5])
def test_estimate_under_read_out_noise(cli, tmp_path, background):
    """Hardly any light under read-out noise: the worst candidate's distance from the default as estimated and as it is. (Where
    the light of the dark parts and read-out noise are told apart badly, it is 0.76, or 1.35.)"""
    import tifffile
    import zarr
    estimated = true = 0
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        flat, out = str(tmp_path / f"{seed}.tif"), str(tmp_path / f"{seed}.ome.zarr")
        tifffile.imwrite(flat, (2 * rng.poisson(background, (640, 640)) + 100 + rng.normal(0, 3, (640, 640))).astype(np.float32))
        table = cli.json("tune", flat, *NOISE, "--quiet")[0]
        worst = max(table, key=lambda c: c["risk"])
        estimated += worst["risk"] - table[0]["risk"]
        for settings, sign in ((worst["settings"], 1), ("", -1)):
            words = [w for item in settings.split() for w in ("--" + item.split("=", 1)[0], item.split("=", 1)[1])]
            cli.ok("denoise", flat, out, *NOISE, "--tune", "off", "--dtype", "float32", "--fresh", "--quiet", *words)
            true += sign * float(np.mean((zarr.open(out, mode="r")["0"][...] - 2 * background - 100) ** 2))
    assert 0.85 < estimated / true < 1.2


def test_what_was_typed_stays(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", IMAGE, out, *NOISE, "--strength", "0.9", "--quality", "fast", "--quiet")
    assert plan(out)["settings"]["strength"] == "0.9"


def test_a_small_image_keeps_the_default(cli, tmp_path):
    small = "phantom:z=1,y=100,x=100;noise=2,-191"
    assert "too small" in cli.ok("tune", small, *NOISE, "--quiet")
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", small, out, *NOISE, "--quiet")
    assert plan(out)["settings"]["strength"] == "1" and plan(out)["tuning"] == []


@pytest.mark.parametrize("verb", ["tune", "bench"])
def test_inputs_are_those_of_denoise(cli, tmp_path, verb):
    """What an array's axes are, which part of it: as with denoise, or it would speak of another image."""
    path = str(tmp_path / "bare.zarr")
    pixels = np.random.default_rng(1).poisson(50, (2, 3, 30, 40)).astype(np.uint16)
    zarr.create_array(path, data=pixels, chunks=(1, 1, 30, 40))
    words = (verb, path, "--noise", "7", "--input-axes", "cpyx")
    one, two = cli.json(*words, "--position", "1", "--channel", "0"), cli.json(*words, "--position", "0")
    if verb == "tune":
        assert (len(one), len(two)) == (1, 2)
    else:
        assert len(one) == len(two) == 3
    assert "--input-axes" in cli.fails(2, *words[:-2], "--input-axes", "qq") or "axes" in cli.fails(2, *words[:-2], "--input-axes", "qq")
    assert "the selection begins at 7" in cli.fails(2, *words, "--position", "7").replace("has images 0 to 2, ", "")


def test_channels_with_choices_of_their_own(cli, tmp_path):
    """A dim and a bright image in one: whatever is chosen, the run, its plan and its verification agree channel by channel."""
    image = "phantom:c=3,z=6,y=150,x=150;seed=2;noise=3.92,-388"
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", image, out, "--noise", "3.92,-388", "--chunk", "z=4,y=64,x=64", "--block", "z=4,y=64,x=64", "--quiet")
    assert cli.json("verify", out, "--windows", "30", "--seed", "3")["different"] == 0
    values = plan(out)["settings"]["strength"].split(";")
    assert len(values) in (1, 3)
    for c, channel in enumerate(plan(out)["tuning"]):
        one = str(tmp_path / f"{c}.ome.zarr")
        best = channel["candidates"][channel["chosen"]]["settings"]
        words = [w for item in best.split() for w in ("--" + item.split("=", 1)[0], item.split("=", 1)[1])]
        cli.ok("denoise", image, one, "--channel", c, "--noise", "3.92,-388", "--tune", "off", *words, "--quiet")
        assert cli.ok("checksum", one).split()[0] == cli.ok("checksum", out, "--channel", c).split()[0]
