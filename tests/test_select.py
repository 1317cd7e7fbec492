# SPDX-License-Identifier: MIT
"""Selections: a part of an image looks like an image of its own to every verb, and is recorded in the plan."""
import json

import pytest

IMAGE = "phantom:t=3,c=3,z=6,y=70,x=80;seed=5;scenes=3"


def test_info_shows_the_part(cli):
    info = cli.json("info", IMAGE, "--position", "1", "--channel", "2", "--time", "1:3", "--z", "2:5", "--x", "10:")
    assert len(info["images"]) == 1
    assert info["images"][0]["shape"] == {"t": 2, "c": 1, "z": 3, "y": 70, "x": 70}
    whole = cli.json("info", IMAGE)
    assert info["images"][0]["channels"][0]["name"] == whole["images"][1]["channels"][2]["name"]


def test_pixels_are_those_of_the_whole(cli):
    """The planes of the part have the checksums that these planes have in the whole image."""
    part = cli.json("checksum", IMAGE, "--planes", "--position", "2", "--channel", "1", "--time", "2", "--z", "1:4")["images"][0]
    whole = cli.json("checksum", IMAGE, "--planes")["images"][2]
    wanted = [p["crc32"] for p in whole["planes"] if p["t"] == 2 and p["c"] == 1 and 1 <= p["z"] < 4]
    assert [p["crc32"] for p in part["planes"]] == wanted and len(wanted) == 3


def test_convert_a_part_and_go_on_with_it(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("convert", IMAGE, out, "--position", "0:2", "--channel", "1", "--y", "5:60", "--chunk", "z=2,y=32,x=32", "--quiet")
    cli.ok(*words)
    for image in (0, 1):
        crop = ("checksum", IMAGE, "--position", image, "--channel", "1", "--y", "5:60")
        assert cli.ok("checksum", out, "--image", image).split()[0] == cli.ok(*crop).split()[0]
    cli.ok(*words)
    assert "reading was" in cli.fails(2, "convert", IMAGE, out, "--position", "0:2", "--channel", "2", "--y", "5:60", "--quiet")
    assert cli.json("verify", out, "--windows", "5")["different"] == 0
    assert json.load(open(out + ".run/plan.json"))["input"]["select"] == "image=0:2;c=1;y=5:60"


@pytest.mark.parametrize("verb,more", [("convert", ()), ("gaussian", ("--sigma", "2")), ("dog", ("--sigma", "1,3")), ("median", ()),
                                       ("denoise", ("--noise", "2,100", "--tune", "off", "--iterations", "1"))])
def test_a_level_and_a_part_with_every_filter(cli, tmp_path, verb, more):
    """Work on a level, and on a part of it, is work on what was cut out of it before; and it is recorded."""
    store, cut, out, wanted = (str(tmp_path / n) for n in ("in.zarr", "cut.zarr", "out.zarr", "wanted.zarr"))
    cli.ok("convert", "phantom:t=2,c=2,z=6,y=300,x=310;seed=3;scenes=2", store, "--levels", "2", "--quiet")
    part = ("--position", "1", "--channel", "1", "--time", "0:1", "--z", "1:5", "--y", "10:140", "--level", "1")
    cli.ok("convert", store, cut, *part, "--levels", "1", "--quiet")
    assert cli.json("info", cut)["images"][0]["shape"] == {"t": 1, "c": 1, "z": 4, "y": 130, "x": 155}
    cli.ok(verb, store, out, *part, *more, "--prepare", "--quiet")
    cli.ok("work", out, "--quiet")
    cli.ok(verb, cut, wanted, *more, "--quiet")
    assert cli.ok("checksum", out).split()[0] == cli.ok("checksum", wanted).split()[0]
    recorded = json.load(open(out + ".run/plan.json"))["input"]
    assert recorded["level"] == 1 and recorded["select"] == "image=1;t=0:1;c=1;z=1:5;y=10:140"
    error = cli.fails(2, verb, store, out, *part[:-1], "0", *more, "--quiet")
    assert "level 1" in error and "level 0" in error and "changed" not in error
    assert "now level 1" in cli.fails(2, verb, store, out, "--level", "1", *more, "--quiet")


@pytest.mark.parametrize("words,part", [(("--z", "9"), "from 0 to 5"), (("--position", "3"), "images 0 to 2"),
                                        (("--z", "4:2"), "z=4:2"), (("--z", "x"), "selection"), (("--time", "1;t=3:"), "selection")])
def test_what_holds_nothing_is_refused(cli, words, part):
    assert part in cli("info", IMAGE, *words).stderr
    assert cli("info", IMAGE, *words).returncode in (2, 3)
