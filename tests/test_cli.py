# SPDX-License-Identifier: MIT
"""The command line as a user types it: help, mistakes, exit codes, JSON."""
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time
import zlib

import pytest

SMALL = "phantom:t=2,c=2,z=3,y=40,x=50;seed=1"
OTHER = "phantom:t=2,c=2,z=3,y=40,x=50;seed=2"


def verbs(cli):
    overview = cli.ok("help")
    return [v for v in re.findall(r"^  (\w+) +\S", overview, re.M) if v != "help"]


def test_overview_lists_verbs_and_exit_codes(cli):
    overview = cli.ok("help")
    assert {"info", "compare", "checksum"} <= set(verbs(cli))
    assert "Exit codes: 0 done" in overview
    assert cli.ok("--help") == overview == cli.ok("-h")


def test_no_verb_is_wrong_usage(cli):
    done = cli()
    assert done.returncode == 2 and done.stdout == "" and "usage: pellucid VERB" in done.stderr


def test_help_of_every_verb(cli):
    names = verbs(cli)
    assert len(names) >= 4
    for verb in names:
        text = cli.ok(verb, "--help")
        assert text.startswith(f"usage: pellucid {verb}"), verb
        assert text == cli.ok("help", verb) == cli.ok(verb, "-h"), verb
        assert "-h, --help" in text, verb
        assert max(map(len, text.splitlines())) <= 130, verb
        assert cli(verb, "--help").stderr == ""


def test_every_option_is_described(cli):
    for verb in verbs(cli):
        for line in cli.ok(verb, "--help").split("\nexamples:")[0].splitlines():
            m = re.match(r"  (--[a-z0-9-]+)( [^ ]+)?(  +(.*))?$", line)
            if m:
                assert m[1] == m[1].lower(), line


def test_version(cli):
    assert re.fullmatch(r"pellucid \d+\.\d+\.\d+\n", cli.ok("--version"))
    assert cli.json("version")["version"] in cli.ok("--version")


def test_unknown_verb_names_the_nearest(cli):
    assert "did you mean 'checksum'?" in cli.fails(2, "checksm", "x")
    assert "did you mean 'info'?" in cli.fails(2, "ifno", "x")
    assert "did you mean" not in cli.fails(2, "frobnicate")
    assert "did you mean 'compare'?" in cli.fails(2, "help", "compar")


def test_unknown_option_names_the_nearest(cli):
    for verb in verbs(cli):
        words = (verb, "convert") if verb == "plan" else (verb,)  # plan first wants a verb of its own
        assert "no option '--zzzzzzzzzzzz'" in cli.fails(2, *words, "a", "--zzzzzzzzzzzz"), verb
    assert "did you mean '--json'?" in cli.fails(2, "info", SMALL, "--jsn")
    assert "did you mean '--planes'?" in cli.fails(2, "checksum", SMALL, "--plane")
    assert "did you mean '--peak'?" in cli.fails(2, "compare", SMALL, SMALL, "--paek=3")
    assert "no option '-q'" in cli.fails(2, "info", "-q", SMALL)


@pytest.mark.parametrize("words, text", [
    (["info"], "IN is missing"),
    (["info", "a", "b"], "one word too many: 'b'"),
    (["compare", "a"], "B is missing"),
    (["info", SMALL, "--image"], "--image needs a value: --image N"),
    (["info", SMALL, "--image", "--json"], "--image needs a value"),
    (["info", SMALL, "--image", "x"], "--image 'x': expected a whole number"),
    (["info", SMALL, "--image", "1.5"], "expected a whole number"),
    (["info", SMALL, "--image", "-1"], "out of range"),
    (["info", SMALL, "--image", "99999999999999999999"], "--image"),
    (["info", SMALL, "--json=yes"], "--json takes no value"),
    (["info", SMALL, "--image", "1"], "has images 0 to 0"),
    (["checksum", SMALL, "--threads", "0"], "out of range"),
    (["compare", SMALL, SMALL, "--peak", "nan"], "expected a number"),
    (["compare", SMALL, SMALL, "--image-b", "0"], "--image-b needs --image"),
    (["compare", SMALL, "phantom:z=3,y=40,x=50"], "differ in shape"),
    (["phantom", "a.czi", "--size", "z=1,z=2"], "an axis is given twice"),
    (["phantom", "a.czi", "--size", "q=3"], "expected a list such as z=1,y=3,x=3"),
    (["phantom", "a.czi", "--size", "1,2,3,4,5,6"], "expected a list"),
    (["phantom", "a.czi", "--size", "y=,x=3"], "expected a whole number"),
    (["phantom", "a.czi", "--size", ""], "expected a list"),
    (["phantom", "a.czi", "--size", "z=0"], "out of range"),
    (["phantom", "a.czi", "--size", "x=99999999999"], "out of range"),
    (["phantom", "a.czi", "--voxel", "z=-1"], "out of range"),
    (["phantom", "a.czi", "--noise", "3.9"], "expected gain,offset"),
    (["phantom", "a.xyz"], "must end in .czi or .tif or .tiff"),
    (["convert", SMALL, "a.ome.zarr", "--memory", "12X"], "expected a size such as 300M"),
    (["convert", SMALL, "a.ome.zarr", "--memory", "-3G"], "expected a size"),
    (["convert", SMALL, "a.ome.zarr", "--memory", "9999999999T"], "expected a size"),
    (["convert", SMALL, "a.ome.zarr", "--memory", "G"], "expected a size"),
    (["convert", SMALL, "a.ome.zarr", "--memory", "1M"], "memory"),
    (["plan"], "VERB is missing"),
    (["plan", "frobnicate", "a", "b"], "frobnicate"),
])
def test_wrong_usage(cli, words, text, tmp_path):
    stderr = cli.fails(2, *words, cwd=tmp_path)
    assert text in stderr and stderr.startswith("pellucid " + words[0])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("verb", ["info", "checksum", "noise"])
def test_missing_file_is_named(cli, verb, tmp_path):
    if verb not in verbs(cli):
        pytest.skip(f"no verb {verb} yet")
    path = tmp_path / "nothing.czi"
    stderr = cli.fails(3, verb, path)
    assert str(path) in stderr and "no such file" in stderr.lower()


@pytest.mark.parametrize("content", [b"", b"hello, this is no image\n" * 9, b"\x89PNG\r\n\x1a\n" + b"\0" * 99])
def test_not_an_image(cli, content, tmp_path):
    path = tmp_path / "file.czi"
    path.write_bytes(content)
    assert str(path) in cli.fails(3, "info", path)
    assert str(path) in cli.fails(3, "checksum", path)
    assert str(path) in cli.fails(3, "compare", SMALL, path)


def test_folder_that_is_no_store(cli, tmp_path):
    assert str(tmp_path) in cli.fails(3, "info", tmp_path)


def test_unreadable_file(cli, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "ermission" in cli.fails(3, "info", path)


def test_words_after_two_dashes_are_no_options(cli):
    assert "--json: no such file" in cli.fails(3, "info", "--", "--json")


def test_info_json(cli):
    document = cli.json("info", SMALL)
    assert document["format"] == "phantom" and document["image_count"] == 1
    image = document["images"][0]
    assert image["shape"] == {"t": 2, "c": 2, "z": 3, "y": 40, "x": 50}
    assert image["dtype"] == "uint16" and image["bytes"] == 2 * 2 * 3 * 40 * 50 * 2
    assert image["pixel_size"] == {"t_s": 1, "z_um": 0.3, "y_um": 0.1, "x_um": 0.1}
    assert len(image["channels"]) == 2 and re.fullmatch("#[0-9a-f]{6}", image["channels"][0]["colour"])


@pytest.mark.parametrize("text, bytes_", [("400M", 400 << 20), ("400MiB", 400 << 20), ("400m", 400 << 20), ("0.5G", 1 << 29),
                                         ("409600K", 400 << 20), ("419430400", 400 << 20), ("1TB", 1 << 40)])
def test_sizes(cli, text, bytes_, tmp_path):
    plan = cli.json("plan", "convert", SMALL, tmp_path / "a.ome.zarr", "--no-timing", f"--memory={text}")
    assert plan["memory_limit"] == bytes_


def test_lists_by_position_are_the_last_axes(cli):
    named = cli.ok("phantom", "--computed", "--size", "z=3,y=40,x=50")
    assert cli.ok("phantom", "--computed", "--size", "3,40,50") == named
    assert ";noise=3.92,-388;" in named and ";pixel=0.3,0.1,0.1;" in named  # no more digits than tell the number
    other = cli.ok("phantom", "--computed", "--size", "3,40,50", "--brightness", "0.1000000000000000055511151231257827", "--noise", "2.0000000000000004,-100")
    assert ";noise=2.0000000000000004,-100;" in other and ";brightness=0.1;" in other
    assert cli.ok("phantom", "--computed", "--size=x=50,z=3,y=40") == named


def test_info_text(cli):
    text = cli.ok("info", SMALL)
    for part in ["t 2, c 2, z 3, y 40, x 50", "uint16", "z 0.3 µm, y 0.1 µm, x 0.1 µm", "channels", "compression", "planes"]:
        assert part in text


def test_checksum_does_not_depend_on_threads(cli):
    crc = {cli.json("checksum", SMALL, "--threads", n)["images"][0]["crc32"] for n in (1, 2, 5)}
    assert len(crc) == 1 and re.fullmatch("[0-9a-f]{8}", crc.pop())


def test_checksum_text_and_json_agree(cli):
    document = cli.json("checksum", SMALL, "--planes")["images"][0]
    lines = cli.ok("checksum", SMALL, "--planes").splitlines()
    assert [line[:8] for line in lines] == [p["crc32"] for p in document["planes"]] + [document["crc32"]]
    assert [(p["t"], p["c"], p["z"]) for p in document["planes"]] == [
        (t, c, z) for t in range(2) for c in range(2) for z in range(3)]
    assert "t 1 c 1 z 2" in lines[-2]


def test_checksum_of_known_pixels(cli, tmp_path):
    """Against zlib on the same pixels, through a file of another writer."""
    numpy = pytest.importorskip("numpy")
    tifffile = pytest.importorskip("tifffile")
    pixels = numpy.random.default_rng(1).integers(0, 65536, (3, 33, 47), dtype="uint16")
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, ome=True)
    if "reads no TIFF" in cli("info", path).stderr:
        pytest.skip("this build reads no TIFF")
    image = cli.json("checksum", path, "--planes")["images"][0]
    assert int(image["crc32"], 16) == zlib.crc32(pixels.tobytes())
    assert [int(p["crc32"], 16) for p in image["planes"]] == [zlib.crc32(plane.tobytes()) for plane in pixels]


def test_compare_equal(cli):
    assert "equal" in cli.ok("compare", SMALL, SMALL)
    document = cli.json("compare", SMALL, SMALL)
    assert document["equal"] is True and document["images"][0]["psnr"] is None and document["images"][0]["first"] is None


def test_compare_different(cli):
    text = cli("compare", SMALL, OTHER)
    assert text.returncode == 1 and "unequal" in text.stdout and "PSNR" in text.stdout and "first difference" in text.stdout
    done = cli("compare", SMALL, OTHER, "--json", "--peak", "1000")
    d = json.loads(done.stdout)["images"][0]
    assert done.returncode == 1 and 0 < d["unequal"] <= d["voxels"] == 2 * 2 * 3 * 40 * 50
    assert d["peak"] == 1000
    assert d["psnr"] == pytest.approx(__import__("math").log10(1000 / d["rms"]) * 20)


def test_standard_output_that_is_full(cli):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([cli.path, "info", SMALL], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_reader_that_goes_away(cli):
    done = subprocess.run(f"'{cli.path}' checksum '{SMALL}' --planes | head -n 1", shell=True, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


def test_interrupt_ends_with_code_4(cli):
    """An image of terabytes: the end comes from the signal only."""
    endless = "phantom:t=100,c=1,z=1000,y=8192,x=8192;seed=1"
    process = subprocess.Popen([cli.path, "checksum", endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # The handler stands once the work has begun; before that the signal would just end the process.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not caught(process.pid, signal.SIGINT):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 4 and "stopped" in stderr and stdout == ""


def on_terminal(words, columns=60):
    """Runs with a terminal as standard error; returns what it showed."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


def test_progress_on_a_terminal(cli):
    """One line that is rewritten, never wider than the terminal, wiped at the end; --quiet shows none."""
    words = [cli.path, "checksum", "phantom:z=4,y=4096,x=4096;seed=1", "--threads", "2"]
    shown = on_terminal(words)
    assert "\n" not in shown and shown.endswith("\r\033[K")
    lines = [part.replace("\033[K", "") for part in shown.split("\r") if "checksum: " in part]
    assert lines and all(len(line) < 60 for line in lines)
    assert re.match(r"checksum: [0-9.]+ [KM]iB of 128 MiB \(\d+ %\), [0-9.]+ [KMG]iB/s", lines[-1])
    assert on_terminal([*words, "--quiet"]) == ""


def caught(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        mask = re.search(r"^SigCgt:\s*([0-9a-f]+)", f.read(), re.M)
    return bool(int(mask[1], 16) >> (number - 1) & 1)


def test_memory_is_bounded(cli):
    """A quarter of a gigabyte of pixels through two threads stays far below the size of the image."""
    big = "phantom:z=1,y=8192,x=16384;seed=1"
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run(["python3", "-c", script, cli.path, "checksum", big, "--threads", "2"], capture_output=True,
                          text=True, timeout=300, check=True)
    assert int(done.stdout) < 120 * 1024


def test_picture(cli, tmp_path):
    if "picture" not in verbs(cli):
        pytest.skip("this build writes no pictures")
    out = tmp_path / "p.png"
    cli.ok("picture", SMALL, OTHER, out, "--crop", "y=5:25,x=10:40", "--zoom", "3", "--t", "1")
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG") and int.from_bytes(data[16:20], "big") == 2 * 30 * 3 + 4
    assert int.from_bytes(data[20:24], "big") == 20 * 3
    assert "outside the image" in cli.fails(2, "picture", SMALL, out, "--z", "3")
    assert "--crop" in cli.fails(2, "picture", SMALL, out, "--crop", "z=1")
    assert "expected" in cli.fails(2, "picture", SMALL, out, "--crop", "y=5:2")
    assert "low,high" in cli.fails(2, "picture", SMALL, out, "--window", "7")
    assert "at least one image" in cli.fails(2, "picture", out)
    assert "does not exist" in cli.fails(2, "picture", SMALL, tmp_path / "none" / "p.png")
