# SPDX-License-Identifier: MIT
"""What a verb writes never replaces what it reads, nor a file of another kind; what is refused leaves nothing behind."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
import tifffile

from test_cli import verbs

SMALL = "phantom:z=4,y=64,x=64"
SETTINGS = ("--noise", "3.92,-388", "--tune", "off")


def tree(folder):
    """Every name below a folder with what it holds: links as links."""
    found = {}
    for at, folders, names in os.walk(folder):
        for name in sorted(folders) + sorted(names):
            path = os.path.join(at, name)
            if os.path.islink(path):
                found[path] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as f:
                    found[path] = hashlib.sha256(f.read()).hexdigest()
            else:
                found[path] = "folder"
    return found


def is_refused(cli, folder, text, *words, code=2, **options):
    before = tree(folder)
    stderr = cli.fails(code, *words, cwd=folder, **options)
    assert text in stderr, stderr
    assert tree(folder) == before, words


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    """A folder with images, a run, and files of other kinds; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("made")
    cli.ok("phantom", "a.czi", "--size", "z=4,y=64,x=64", "--quiet", cwd=folder)
    cli.ok("phantom", "b.tif", "--size", "z=4,y=64,x=64", "--quiet", cwd=folder)
    cli.ok("convert", "a.czi", "a.zarr", "--quiet", cwd=folder)
    cli.ok("picture", "a.czi", "old.png", cwd=folder)
    cli.ok("report", "a.zarr", "--output", "old.html", cwd=folder)
    (folder / "theirs.czi").write_bytes((folder / "a.czi").read_bytes().replace(b"<Name>pellucid</Name>", b"<Name>ZEN 3.5  </Name>"))
    (folder / "theirs.tif").write_bytes((folder / "b.tif").read_bytes().replace(b'Creator="pellucid"', b'Creator="ImageJ  "'))
    (folder / "notes.txt").write_text("three weeks of work\n")
    os.symlink("a.zarr", folder / "l.zarr")
    os.mkdir(folder / "folder")
    return folder


@pytest.fixture
def place(made, tmp_path):
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


# ---- runs -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
@pytest.mark.parametrize("source, out", [
    ("a.zarr", "a.zarr"), ("a.zarr", "./a.zarr/"), ("a.zarr/0", "a.zarr"), ("l.zarr", "a.zarr"), ("a.zarr", "l.zarr"), ("l.zarr/0", "a.zarr"),
    ("a.zarr", "folder/../a.zarr"), ("a.zarr", "a.zarr/0"), ("a.zarr", "a.zarr/smooth"), ("a.zarr", "l.zarr/smooth"), ("a.zarr/0", "a.zarr/1"),
    ("a.zarr/0", "a.zarr/smooth/deeper"), ("a.czi", "."), ("a.zarr", ".")])
def test_output_is_not_the_input(cli, place, source, out, fresh):
    is_refused(cli, place, "the input", "convert", source, out, *fresh)
    is_refused(cli, place, "the input", "plan", "convert", source, out, *fresh)


def test_every_verb_that_makes_a_run_refuses_its_input(cli, place):
    for verb in ("denoise", "gaussian", "dog", "median", "convert"):
        for more in (("--fresh",), ("--prepare", "--fresh")):
            is_refused(cli, place, "the input", verb, "a.zarr", "a.zarr", *more, *(SETTINGS if verb == "denoise" else ()),
                       *(("--sigma", "1") if verb == "gaussian" else ("--sigma", "1,2") if verb == "dog" else ()))


def test_a_link_out_of_the_store_is_followed(cli, place):
    """The array of the input lies elsewhere: there nothing is written either."""
    os.mkdir(place / "store")
    os.rename(place / "a.zarr" / "0", place / "store" / "far")
    os.symlink("../store/far", place / "a.zarr" / "0")
    is_refused(cli, place, "the input", "convert", "a.zarr", "store", "--fresh")
    is_refused(cli, place, "the input", "convert", "a.zarr", "store/far/out", "--fresh")


def test_the_folder_of_the_input_is_no_output(cli, place):
    is_refused(cli, place, "the input", "convert", "b.tif", ".", "--state", "../elsewhere", "--fresh")


@pytest.mark.parametrize("state, text", [
    ("a.zarr", "the input"), ("a.zarr/state", "the input"), ("l.zarr/0/state", "the input"), (".", "the input"), ("/", "the input"),
    ("new.zarr", "the output"), ("new.zarr/state", "the output"), ("folder/nothing/state", "does not exist"), ("notes.txt", "a file"),
    ("../here", "the input")])
def test_state_is_a_place_of_its_own(cli, place, state, text):
    is_refused(cli, place, text, "convert", "a.zarr", "new.zarr", "--state", state)
    is_refused(cli, place, text, "convert", "a.zarr", "new.zarr", "--state", state, "--fresh")


def test_state_in_no_store_and_over_no_work(cli, place):
    shutil.copytree(place / "a.zarr", place / "other.zarr")
    (place / "folder" / "notes.txt").write_text("mine\n")
    is_refused(cli, place, "lies in a Zarr store", "convert", "a.czi", "new.zarr", "--state", "other.zarr/state")
    is_refused(cli, place, "notes.txt", "convert", "a.czi", "new.zarr", "--state", "folder")
    is_refused(cli, place, "lies in a Zarr store", "convert", "a.czi", "other.zarr/new")
    (place / "folder" / "notes.txt").unlink()
    cli.ok("convert", "a.czi", "new.zarr", "--state", "folder", "--quiet", cwd=place)
    cli.ok("convert", "a.czi", "new.zarr", "--state", "folder", "--quiet", "--fresh", cwd=place)


@pytest.mark.parametrize("name", ["out.tif", "out.TIFF", "out.czi", "x.jpg", "x.svg", "x.png", "out.h5", "out.zip/", "-", "new/out.czi"])
def test_names_of_other_kinds(cli, place, name):
    is_refused(cli, place, "NAME.ome.zarr", "convert", "a.czi", name)
    is_refused(cli, place, "NAME.ome.zarr", "plan", "convert", "a.czi", name)


@pytest.mark.parametrize("name", ["out", "out.zarr", "out.v2", "folder/out.ome.zarr", "folder/"])
def test_names_that_are_taken_as_they_are(cli, place, name):
    cli.ok("convert", "a.czi", name, "--quiet", cwd=place)


def test_a_missing_parent_is_named(cli, place):
    is_refused(cli, place, f"the nearest that does is {place / 'folder'}", "convert", "a.czi", "folder/nothing/dir/out.ome.zarr")
    is_refused(cli, place, f"the nearest that does is {place}", "convert", "a.czi", "nothing/out.ome.zarr", "--fresh")
    is_refused(cli, place, "a file", "convert", "a.czi", "notes.txt/out.ome.zarr")
    os.symlink("nothing/at/all", place / "dangling")
    is_refused(cli, place, f"the nearest that does is {place}", "convert", "a.czi", "dangling")


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_up_from_what_does_not_exist_leads_nowhere(cli, place, fresh):
    """Once the missing folder was made, such a path led to the input, and --fresh emptied it."""
    os.symlink("nothing/../a.zarr", place / "dangling")
    for out in ("nothing/../a.zarr", "nothing/../new.zarr", "folder/nothing/../../a.zarr", "notes.txt/../a.zarr", "dangling"):
        is_refused(cli, place, "leads nowhere", "convert", "a.zarr", out, *fresh)
        is_refused(cli, place, "leads nowhere", "convert", "a.czi", "new.zarr", "--state", out, *fresh)
    is_refused(cli, place, "leads nowhere", "picture", "a.czi", "nothing/../new.png")


def test_a_run_goes_on_under_an_old_name(cli, place):
    """Earlier versions took such names: what is there can be finished and verified."""
    cli.ok("convert", "a.czi", "out.zarr", "--prepare", "--quiet", cwd=place)
    os.rename(place / "out.zarr", place / "out.tif")
    os.rename(place / "out.zarr.run", place / "out.tif.run")
    cli.ok("work", "out.tif", cwd=place)
    cli.ok("verify", "out.tif", cwd=place)
    cli.ok("convert", "a.czi", "out.tif", "--quiet", cwd=place)


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_what_no_run_made_is_kept(cli, place, fresh):
    (place / "folder" / "notes.txt").write_text("mine\n")
    is_refused(cli, place, "notes.txt", "convert", "a.czi", "folder", *fresh)
    is_refused(cli, place, "another output", "convert", "a.czi", "new.zarr", "--state", "a.zarr.run", "--fresh")
    (place / "notes").write_text("mine\n")
    is_refused(cli, place, "a file", "convert", "a.czi", "notes", *fresh)


def test_no_room_is_told_first(cli, place):
    """Sizes follow from what is free here; nothing is written."""
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize

    def plane(times):
        return f"phantom:z={max(1, int(times * free) >> 25)},y=4096,x=4096"  # uint16: 32 MiB a plane
    if free < 1 << 30:
        pytest.skip("hardly any room here at all")
    is_refused(cli, place, "no room", "plan", "convert", plane(40), "new.zarr", "--no-timing")
    is_refused(cli, place, "no room", "convert", plane(40), "new.zarr")
    is_refused(cli, place, "no room", "denoise", plane(40), "new.zarr")  # noise and tuning would take minutes
    said = cli.ok("plan", "convert", plane(3), "new.zarr", "--no-timing", cwd=place)
    assert "may not suffice" in said
    assert "may not suffice" not in cli.ok("plan", "convert", SMALL, "new.zarr", "--no-timing", cwd=place)
    assert cli.json("plan", "convert", SMALL, "new.zarr", "--no-timing", cwd=place)["bytes_free"] > 0


def test_no_room_for_files_is_told_first(cli, place):
    room = os.statvfs(place)
    if room.f_files == 0 or room.f_favail > 1e9:
        pytest.skip("files are not counted here")
    side = 16 * int((40 * room.f_favail) ** 0.5 + 2)
    tiny = ("--chunk", "y=16,x=16", "--block", "y=16,x=16", "--levels", "1")
    is_refused(cli, place, "more files can be made", "convert", f"phantom:y={side},x={side}", "new.zarr", *tiny)
    side = 16 * int((3 * room.f_favail) ** 0.5 + 2)
    assert "more files can be made" in cli.ok("plan", "convert", f"phantom:y={side},x={side}", "new.zarr", *tiny, "--no-timing", cwd=place)


@pytest.mark.parametrize("limit, part", [("size=64k", "64 KiB are free there"), ("nr_inodes=4", "more files can be made there")])
def test_no_room_for_the_state_is_told_first(cli, place, limit, part):
    """Its folder may lie on another disk than the output: here a small one, mounted for the one process."""
    (place / "small").mkdir()
    mounted = ("unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o {limit} none small && exec \"$@\"", "sh")
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], cwd=place, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    tiny = ("--block", "z=1,y=64,x=64", "--chunk", "z=1,y=64,x=64", "--levels", "1", "--quiet")
    words = (*mounted, cli.path, "convert", "phantom:z=8,y=512,x=512", "new.zarr", *tiny)  # 512 blocks, a record each
    done = subprocess.run([*words, "--state", "small/state"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 2 and "small/state" in done.stderr and "no room" in done.stderr and part in done.stderr, done.stderr
    assert not (place / "new.zarr").exists()
    assert subprocess.run(words, cwd=place).returncode == 0


def test_no_permission_is_told_first(cli, place, tmp_path_factory):
    """As somebody who may not write: where we are root, as nobody."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    folder = tempfile.mkdtemp(prefix="pellucid-test-")
    try:
        os.chmod(folder, 0o555)
        try:
            able = subprocess.run([cli.path, "version"], capture_output=True, cwd="/", **user).returncode == 0
        except OSError:
            able = False
        if not able:
            pytest.skip("nobody cannot run the program here")
        for words in (("denoise", SMALL, "o.zarr"), ("plan", "convert", SMALL, "o.zarr"), ("convert", SMALL, "/tmp/pellucid-test-no-such.zarr", "--state", "state"),
                      ("picture", SMALL, "x.png"), ("noise", SMALL, "--plot", "x.png"), ("phantom", "x.czi")):
            done = subprocess.run([cli.path, *words], capture_output=True, text=True, cwd=folder, **user)
            assert done.returncode == 2 and "may be written in" in done.stderr, (words, done.stderr)
            assert os.listdir(folder) == []
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


# ---- files ----------------------------------------------------------------------------------------------------------------

# Each verb that writes a file: words before the name, words after it, a name that fits, its kind there already, others.
WRITERS = {
    "picture": (("picture", "a.czi"), (), "new.png", "old.png"),
    "noise --plot": (("noise", "a.czi", "--plot"), (), "new.png", "old.png"),
    "report --output": (("report", "a.zarr", "--output"), (), "new.html", "old.html"),
    "submit --output": (("submit", "a.zarr", "--scheduler", "slurm", "--parts", "2", "--output"), (), "new.sh", "old.sh"),
    "phantom": (("phantom",), ("--size", "y=64,x=64", "--quiet"), "new.czi", "a.czi"),
    "phantom (TIFF)": (("phantom",), ("--size", "y=64,x=64", "--quiet"), "new.tif", "b.tif"),
    "phantom --truth": (("phantom", "image.tif", "--size", "y=64,x=64", "--quiet", "--truth"), (), "new.tif", "b.tif"),
}
STRANGERS = ["theirs.czi", "theirs.tif", "notes.txt", "notes.png", "notes.html", "notes.czi", "notes.tif", "notes.sh"]


@pytest.fixture
def strangers(place):
    for name in STRANGERS[3:]:
        shutil.copy(place / "notes.txt", place / name)
    return place


@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_other_kinds_are_kept(cli, strangers, writer):
    before, after, fits, _ = WRITERS[writer]
    for name in STRANGERS:
        is_refused(cli, strangers, name, *before, name, *after)
        if os.path.splitext(name)[1] == os.path.splitext(fits)[1]:
            is_refused(cli, strangers, "--overwrite", *before, name, *after)
    same = "notes" + os.path.splitext(fits)[1]
    cli.ok(*before, same, *after, "--overwrite", cwd=strangers)
    assert (strangers / same).read_bytes() != (strangers / "notes.txt").read_bytes()


@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_the_same_kind_are_replaced(cli, place, writer):
    before, after, fits, old = WRITERS[writer]
    cli.ok(*before, fits, *after, cwd=place)
    new = (place / fits).read_bytes()
    if (place / old).exists():
        cli.ok(*before, old, *after, cwd=place)
        assert len((place / old).read_bytes()) > 100
    cli.ok(*before, fits, *after, cwd=place)
    assert len((place / fits).read_bytes()) == len(new) or fits.endswith(".html")
    assert not [n for n in os.listdir(place) if n.startswith(".tmp-")]


@pytest.mark.parametrize("writer", WRITERS)
def test_names_that_cannot_be_meant(cli, place, writer):
    before, after, fits, _ = WRITERS[writer]
    end = os.path.splitext(fits)[1]
    for name in ("x.jpg", "x.svg", "out.zip", "-", "folder", f"folder/nothing/x{end}", "/dev/null", "s3://bucket/x" + end):
        for more in ((), ("--overwrite",)):
            is_refused(cli, place, name, *before, name, *after, *more)
    os.mkdir(place / ("x" + end))
    is_refused(cli, place, "found a folder", *before, "x" + end, *after, "--overwrite")


@pytest.mark.parametrize("writer", WRITERS)
def test_no_file_goes_into_a_store_or_over_an_input(cli, place, writer):
    before, after, fits, _ = WRITERS[writer]
    end = os.path.splitext(fits)[1]
    if "phantom" in writer:
        return
    inside = "a.zarr/x" + end
    words = [w if w != "a.czi" else "a.zarr" for w in before]
    for more in ((), ("--overwrite",)):
        is_refused(cli, place, "the input", *words, inside, *after, *more)
        is_refused(cli, place, "the input", *words, "l.zarr/0/x" + end, *after, *more)
    os.link(place / "a.czi", place / ("hard" + end))
    if "a.czi" in before:
        is_refused(cli, place, "the input", *before, "hard" + end, *after, "--overwrite")


def test_the_truth_is_not_the_image(cli, place):
    is_refused(cli, place, "the input", "phantom", "x.tif", "--truth", "./x.tif", "--size", "y=64,x=64")
    is_refused(cli, place, "is a file", "phantom", "x.tif", "--truth", "a.czi/x.tif", "--size", "y=64,x=64")
    is_refused(cli, place, "begun with other settings", "phantom", "x.tif", "--truth", "a.zarr", "--size", "y=64,x=64")


def test_a_link_to_a_picture_stays_a_link(cli, place):
    os.symlink("old.png", place / "link.png")
    os.symlink("folder/new.png", place / "dangling.png")
    os.symlink("theirs.czi", place / "trap.png")
    cli.ok("picture", "b.tif", "link.png", cwd=place)
    cli.ok("picture", "b.tif", "dangling.png", cwd=place)
    assert os.readlink(place / "link.png") == "old.png" and os.readlink(place / "dangling.png") == "folder/new.png"
    assert (place / "folder" / "new.png").read_bytes() == (place / "old.png").read_bytes()
    is_refused(cli, place, "trap.png", "picture", "b.tif", "trap.png")


@pytest.mark.parametrize("writer", WRITERS)
def test_no_file_goes_into_a_store_or_among_the_books_of_a_run(cli, place, writer):
    """Whosever they are; a verb that is about a run may write beside its books."""
    before, after, fits, _ = WRITERS[writer]
    end = os.path.splitext(fits)[1]
    shutil.copytree(place / "a.zarr", place / "other.zarr")
    shutil.copytree(place / "a.zarr.run", place / "other.zarr.run")
    os.symlink("other.zarr/0", place / "way")
    for more in ((), ("--overwrite",)):
        for name in ("other.zarr/x", "other.zarr/0/c/x", "way/x"):
            is_refused(cli, place, "lies in a Zarr store", *before, name + end, *after, *more)
        for name in ("other.zarr.run/x", "other.zarr.run/ledger/x"):
            is_refused(cli, place, "lies in the folder of a run", *before, name + end, *after, *more)
    if "a.zarr" in before:
        cli.ok(*before, "a.zarr.run/x" + end, *after, cwd=place)


# ---- what stands there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
@pytest.mark.parametrize("what", ["output", "state", "usual state", "finished output"])
def test_links_that_lead_nowhere_are_refused_first(cli, place, what, fresh):
    """Mostly a disk that is not mounted: nothing is made beside it."""
    words = {"output": ("convert", SMALL, "link"), "state": ("convert", SMALL, "new.zarr", "--state", "link"),
             "usual state": ("convert", SMALL, "new.zarr"), "finished output": ("convert", "a.czi", "a.zarr")}[what]
    name = {"usual state": "new.zarr.run", "finished output": "a.zarr"}.get(what, "link")
    if what == "finished output":
        shutil.move(place / "a.zarr", place / "moved.zarr")
    os.symlink("disk/target", place / name)
    is_refused(cli, place, "a symbolic link to disk/target, which does not exist", *words, *fresh)


@pytest.mark.parametrize("out, state", [("a.zarr.run/o", None), ("a.zarr.run/ledger/o", None), ("new.zarr", "a.zarr.run/x"), ("new.zarr", "way/x"), ("new.zarr", "a.zarr.run/log/x")])
def test_nothing_lies_in_the_folder_of_another_run(cli, place, out, state):
    os.symlink("a.zarr.run", place / "way")
    is_refused(cli, place, "lies in the folder of another run", "convert", SMALL, out, *(("--state", state) if state else ()))


def test_an_output_that_became_a_file_is_told(cli, place):
    shutil.rmtree(place / "a.zarr")
    (place / "a.zarr").write_text("mine")
    for words in (("verify", "a.zarr"), ("convert", "a.czi", "a.zarr"), ("convert", "a.czi", "a.zarr", "--fresh"), ("convert", SMALL, "notes")):
        (place / "notes").write_text("mine")
        is_refused(cli, place, "found a file, expected a folder or nothing: move it away", *words)


@pytest.mark.parametrize("name", ["a.zarr.run/plan.json", "a.zarr.run/lock", "a.zarr/zarr.json", "a.zarr/0/zarr.json", "a.zarr/0/c/0/0/0/0/0"])
def test_a_folder_in_the_place_of_a_file_is_told(cli, place, name):
    """What was found, what was expected, and that moving it away is enough."""
    os.remove(place / name)
    os.mkdir(place / name)
    if name.startswith("a.zarr/"):
        found = cli("verify", "a.zarr", "--windows", "0", cwd=place)
        assert found.returncode == 1 and "folder" in found.stdout
    done = cli("convert", "a.czi", "a.zarr", "--quiet", cwd=place)
    assert done.returncode in (1, 2, 3) and name.split("/", 1)[1] in done.stderr, done.stderr
    assert name == "a.zarr/zarr.json" or "found a folder" in done.stderr, done.stderr
    assert os.path.isdir(place / name)
    if name == "a.zarr.run/plan.json":
        return
    os.rmdir(place / name)
    cli.ok("convert", "a.czi", "a.zarr", "--quiet", cwd=place)
    cli.ok("verify", "a.zarr", cwd=place)


def test_an_altered_plan_is_told(cli, place):
    path = place / "a.zarr.run" / "plan.json"
    plan = json.loads(path.read_text())
    plan["images"][0]["levels"][0]["chunk"][4] *= 2
    path.write_text(json.dumps(plan))
    done = cli("verify", "a.zarr", cwd=place)
    assert done.returncode == 3 and "expected what pellucid wrote" in done.stderr and "--fresh" in done.stderr


# ---- no verb is forgotten -------------------------------------------------------------------------------------------------

READS = {"IN", "A", "B"}
RUNS = {"denoise", "gaussian", "dog", "median", "convert", "plan"}  # OUT is the OME-Zarr that they make
OF_A_RUN = {"work", "block", "cluster", "submit", "status", "report", "verify"}  # OUT is a run that is there
# Options whose value is a path: what they do with it. A new one has to be put here, and into WRITERS if it writes.
PATHS = {
    "--state": "folder of a run, tested above", "--plot": "WRITERS", "--output": "WRITERS", "--truth": "WRITERS", "--config": "reads", "--template": "reads", "--input": "reads",
    "--worker-scratch": "work_queue_worker's own folder below it", "--program": "runs it", "--worker-program": "runs it", "--tls-program": "runs it",
}


def test_no_verb_that_writes_is_forgotten(cli):
    writes = {name.split(" ")[0] for name in WRITERS} | RUNS
    for verb in verbs(cli):
        words = ("plan", "convert", "--help") if verb == "plan" else (verb, "--help")
        text = cli.ok(*words)
        usage = text.splitlines()[0]
        if "OUT" in usage:
            assert verb in writes | OF_A_RUN, f"{verb} takes OUT: put it into a table of this file"
        for name, value in re.findall(r"^  (--[a-z0-9-]+) +([A-Z][A-Za-z.]*)", text, re.M):
            if re.fullmatch(r"(OUT|FILE|FOLDER|PATH|PAGE|DIR)(\.\w+)?", value):
                assert name in PATHS, f"{verb} {name} {value}: put it into a table of this file"
        if "--overwrite" in text:
            assert verb in {name.split(" ")[0] for name in WRITERS}, verb


@pytest.mark.parametrize("other", ["another run's", "a stranger's store", "no store"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_data_that_took_the_place_of_an_output_are_kept(cli, place, other, version):
    """The output was moved away, its folder .run was not, and something else lies there now: --fresh begins nothing there."""
    out, kept = place / "mine.ome.zarr", place / "other.ome.zarr"
    cli.ok("convert", "a.czi", "mine.ome.zarr", "--format", version, "--quiet", cwd=place)
    if other == "another run's":
        cli.ok("convert", "a.czi", "other.ome.zarr", "--format", version, "--quiet", cwd=place)
    else:
        kept.mkdir()
        (kept / ("zarr.json" if other == "a stranger's store" else "thesis.txt")).write_text('{"zarr_format": 3, "node_type": "group"}')
    out.rename(place / "moved.ome.zarr")
    kept.rename(out)
    before = sorted(p.name for p in out.rglob("*"))
    said = cli.fails(2, "convert", "a.czi", "mine.ome.zarr", "--format", version, "--fresh", "--quiet", cwd=place)
    assert "does not say that the run of" in said and "not removed" in said
    assert sorted(p.name for p in out.rglob("*")) == before
    (out).rename(place / "away.ome.zarr")
    (place / "moved.ome.zarr").rename(out)
    cli.ok("convert", "a.czi", "mine.ome.zarr", "--format", version, "--fresh", "--quiet", cwd=place)


# ---- what others put there --------------------------------------------------------------------------------------------------

def test_no_file_of_an_input_set_is_replaced(cli, tmp_path):
    """The picture's name is a link to another file of the OME-TIFF set that is read."""
    names = ["s0.ome.tif", "s1.ome.tif"]
    pixels = "".join(f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{names[c]}">urn:uuid:{c}</UUID></TiffData>' for c in range(2))
    xml = ('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
           f'Type="uint16" SizeX="40" SizeY="40" SizeZ="1" SizeC="2" SizeT="1">{pixels}</Pixels></Image></OME>')
    for name in names:
        tifffile.imwrite(tmp_path / name, np.full((40, 40), 7, "u2"), description=xml, metadata=None)
    os.symlink(names[1], tmp_path / "view.png")
    is_refused(cli, tmp_path, "is the input", "picture", names[0], "view.png", "--overwrite")
    is_refused(cli, tmp_path, "is the input", "noise", names[0], "--plot", "view.png", "--overwrite")


def test_a_pipe_or_device_in_the_ledger_makes_nobody_wait(cli, place):
    ledger = place / "a.zarr.run" / "ledger"
    for make in (lambda name: os.mkfifo(name), lambda name: os.symlink("/dev/zero", name)):
        make(ledger / "x.jsonl")
        for words in (("status", "a.zarr"), ("verify", "a.zarr"), ("convert", "a.czi", "a.zarr")):
            done = cli(*words, cwd=place, timeout=20)
            assert done.returncode != 0 and "no regular file" in done.stderr, done.stderr
        os.remove(ledger / "x.jsonl")
    for name in ("jobs.jsonl", "verdicts.jsonl", "manager.json", "manager.jsonl"):
        os.mkfifo(place / "a.zarr.run" / name)
    cli.ok("status", "a.zarr", cwd=place, timeout=20)
    cli.ok("report", "a.zarr", cwd=place, timeout=20)
    cli.ok("verify", "a.zarr", cwd=place)


def test_a_ledger_that_cannot_be_read_is_told(cli, place):
    os.symlink("nothing", place / "a.zarr.run" / "ledger" / "x.jsonl")
    for words in (("status", "a.zarr"), ("verify", "a.zarr"), ("convert", "a.czi", "a.zarr")):
        assert "x.jsonl: cannot open" in cli.fails(1 if words[0] == "convert" else 3, *words, cwd=place)


def test_a_name_in_no_utf_8_leaves_documents_readable(cli, place):
    """Half a micrometre in Latin-1, as old acquisition machines write it."""
    os.rename(os.fsencode(place / "a.czi"), os.path.join(os.fsencode(place), b"0.5\xb5m.czi"))
    cli.ok("convert", os.fsdecode(b"0.5\xb5m.czi"), os.fsdecode(b"0.5\xb5m.zarr"), "--quiet", cwd=place)
    out = os.path.join(os.fsencode(place), b"0.5\xb5m.zarr")
    with open(os.path.join(out, b"zarr.json"), "rb") as f:
        assert "0.5?m" in json.loads(f.read().decode("utf-8"))["attributes"]["pellucid"]["command"]
    cli.ok("verify", os.fsdecode(b"0.5\xb5m.zarr"), cwd=place)
    cli.ok("convert", os.fsdecode(b"0.5\xb5m.czi"), os.fsdecode(b"0.5\xb5m.zarr"), "--quiet", cwd=place)
    cli.ok("convert", os.fsdecode(b"0.5\xb5m.czi"), os.fsdecode(b"0.5\xb5m.zarr"), "--quiet", "--fresh", cwd=place)
