# SPDX-License-Identifier: MIT
"""What the audit claims: a shard that is not the one that was written at this place is found, whatever its length."""
import ctypes
import ctypes.util
import glob
import json
import os
import shutil

import pytest

IMAGE = "phantom:t=1,c=2,z=4,y=140,x=150;seed=5"
# Uncompressed: all whole shards have one length, and what a shard ends in makes the CRC-32C of each of them the same number.
WORDS = ("--codec", "none", "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--levels", "3", "--threads", "2", "--memory", "300M", "--quiet")
OLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "old")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def tree(folder):
    return {os.path.relpath(p, folder): read(p) for p in glob.glob(f"{folder}/**", recursive=True) if os.path.isfile(p)}


def records(output):
    lines = [json.loads(line[9:]) for name in sorted(glob.glob(f"{output}.run/ledger/*.jsonl")) for line in open(name) if line.endswith("\n")]
    return [r for r in lines if r["job"] >= 0]


@pytest.fixture(scope="module")
def whole(cli, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("whole") / "out.ome.zarr")
    cli.ok("convert", IMAGE, out, *WORDS)
    return out


@pytest.fixture
def out(whole, tmp_path):
    """A copy of a finished run, to be harmed."""
    path = str(tmp_path / "out.ome.zarr")
    shutil.copytree(whole, path)
    shutil.copytree(whole + ".run", path + ".run")
    return path


def exchange(a, b):
    one, two = read(a), read(b)
    assert len(one) == len(two) and one != two
    for path, data in ((a, two), (b, one)):
        with open(path, "wb") as f:
            f.write(data)


def copy(a, b):
    assert os.path.getsize(a) == os.path.getsize(b) and read(a) != read(b)
    shutil.copyfile(a, b)


def verify(cli, out, env=None):
    done = cli("verify", out, "--json", "--windows", "0", env=env)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("harm", ["exchange", "copy", "other level", "stale"])
def test_a_shard_at_the_wrong_place_is_found_and_written_again(cli, out, whole, tmp_path, harm):
    """`verify` and the audit at the end of the same command both see it; lengths are all as they were."""
    a, b = f"{out}/0/c/0/0/0/1/1", f"{out}/0/c/0/1/0/2/1"
    if harm == "exchange":
        exchange(a, b)
    elif harm == "copy":
        copy(a, b)
    elif harm == "other level":
        a, b = f"{out}/1/c/0/0/0/0/1", f"{out}/1/c/0/1/0/1/0"
        exchange(a, b)
    else:  # of another run over the same place, with other pixels
        other = str(tmp_path / "other.ome.zarr")
        cli.ok("convert", IMAGE.replace("seed=5", "seed=6"), other, *WORDS)
        b = f"{out}/0/c/0/0/0/3/3"
        copy(f"{other}/0/c/0/0/0/3/3", b)
    code, found = verify(cli, out)
    wrong = 1 if harm in ("copy", "stale") else 2
    assert code == 1 and (found["missing"], found["damaged"]) == (0, wrong), found
    assert os.path.relpath(b, out) in found["first"] or os.path.relpath(a, out) in found["first"]
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(whole)
    assert verify(cli, out)[0] == 0
    assert "are done again" in "".join(open(p).read() for p in glob.glob(f"{out}.run/log/*.log"))


def test_checksums_of_equal_contents_differ_by_their_place(cli, tmp_path):
    """A record cannot be moved to another file either: two files with the same bytes have two checksums."""
    zarr = pytest.importorskip("zarr")
    source = zarr.create_array(str(tmp_path / "in.zarr"), shape=(2, 64, 64), chunks=(2, 32, 32), dtype="uint16", zarr_format=3)
    source[...] = 7
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", tmp_path / "in.zarr", out, "--chunk", "z=2,y=16,x=16", "--block", "z=2,y=32,x=32", "--levels", "1", "--quiet")
    files = [f for r in records(out) for f in r.get("files", []) if f[0].startswith("0/c/")]
    assert len(files) == 4 and len({read(f"{out}/{f[0]}") for f in files}) == 1 and len({f[2] for f in files}) == 4


def old_run(tmp_path):
    """An output with plan and ledger of the version that recorded CRC-32C (docs/formats-run.md)."""
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(f"{OLD}/out.ome.zarr", out)
    shutil.copytree(f"{OLD}/out.ome.zarr.run", out + ".run")
    plan = json.load(open(f"{out}.run/plan.json"))
    return out, ("convert", plan["input"]["path"], out, "--codec", "none", "--quiet")


@pytest.mark.parametrize("harm", [None, "flip", "cut", "gone"])
def test_ledgers_of_older_versions_are_audited(cli, tmp_path, harm):
    out, words = old_run(tmp_path)
    before = tree(out)
    assert all(isinstance(f[2], int) for r in records(out) for f in r["files"])
    victim = f"{out}/0/c/0/0/0/1/1"
    data = read(victim)
    if harm == "gone":
        os.remove(victim)
    elif harm:
        with open(victim, "wb") as f:
            f.write(data[:-1] if harm == "cut" else data[:50] + bytes([data[50] ^ 4]) + data[51:])
    code, found = verify(cli, out)
    assert (code, found["files"], found["missing"], found["damaged"]) == (1 if harm else 0, 14, harm == "gone", harm in ("flip", "cut")), found
    cli.ok(*words)
    assert tree(out) == before
    assert verify(cli, out)[0] == 0


def test_other_lengths_are_found_before_work_begins(cli, out, whole):
    """The quick look of whoever resumes a run: a cut file is withdrawn before the first block, and so done in the first round."""
    os.truncate(f"{out}/0/c/0/0/0/1/1", 100)
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(whole)
    said = "".join(open(p).read() for p in glob.glob(f"{out}.run/log/*.log"))
    assert "job 6 does not hold" in said and "are done again" not in said


@pytest.mark.parametrize("what", [7, -1, 2**32, "", "x" * 32, "ab" * 15, None, ["0"]])
def test_a_checksum_that_is_none_fits_nothing(cli, out, what):
    """A record that holds, with something else in the place of a checksum, is never taken for proof."""
    path = glob.glob(f"{out}.run/ledger/*.jsonl")[0]
    lines = open(path).read().splitlines(True)
    record = json.loads(lines[1][9:])  # before it that of the documents
    record["files"][0][2] = what
    lines[1] = line_of(record)
    open(path, "w").writelines(lines)
    code, found = verify(cli, out)
    assert code == 1 and found["damaged"] == 1 and record["files"][0][0] in found["first"]


# ---- whose records count ----------------------------------------------------------------------------------------------------


def change_records(out, change):
    """Each record as change(record) leaves it, with a checksum that holds."""
    for path in glob.glob(f"{out}.run/ledger/*.jsonl"):
        old = [json.loads(line[9:]) for line in open(path)]
        open(path, "w").writelines(line_of(change(r) or r) for r in old)


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("what", ["output and ledger", "ledger beside ours"])
def test_records_of_another_run_do_not_count(cli, out, whole, tmp_path, seed, what):
    """One of the same geometry, even of the same pixels, in the place of ours."""
    other = str(tmp_path / "other.ome.zarr")
    cli.ok("convert", IMAGE.replace("seed=5", f"seed={seed}"), other, *WORDS)
    if what == "output and ledger":
        for a, b in ((other, out), (other + ".run/ledger", out + ".run/ledger")):
            shutil.rmtree(b)
            shutil.copytree(a, b)
    else:
        shutil.copytree(other + ".run/ledger", out + ".run/ledger", dirs_exist_ok=True)
    done = json.loads(cli("status", out, "--json").stdout)["blocks_done"]
    code, found = verify(cli, out)
    if what == "output and ledger":
        assert done == 0 and code == 1 and found["missing"] >= 30, found
        assert "of another run" in found["first"]
        os.remove(f"{out}/zarr.json")  # which says whose the output is: nothing is written over another run's
    else:
        assert done > 0 and code == 0 and found["missing"] == found["damaged"] == 0
    cli.ok("convert", IMAGE, out, *WORDS)
    assert {k: v for k, v in tree(out).items() if k != "zarr.json"} == {k: v for k, v in tree(whole).items() if k != "zarr.json"}
    assert verify(cli, out)[0] == 0


def test_checksums_bind_the_run(cli, out):
    """XXH3-128 of path, NUL, the plan's number, NUL and the bytes, by the library itself; a plan without a number goes on without."""
    number = json.load(open(f"{out}.run/plan.json"))["run"]
    assert len(number) == 32 and cli.json("status", out)["run"] == number
    for r in records(out):
        assert r["run"] == number
        for name, size, checksum in r["files"]:
            data = read(f"{out}/{name}") if size >= 0 else b""
            assert checksum == digest(name, number.encode() + b"\0" + data)


def test_plans_without_a_number_go_on_without(cli, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", IMAGE, out, *WORDS, "--prepare")
    plan = json.load(open(f"{out}.run/plan.json"))
    del plan["run"]
    json.dump(plan, open(f"{out}.run/plan.json", "w"))
    shutil.rmtree(f"{out}.run/ledger")
    cli.ok("convert", IMAGE, out, *WORDS)
    assert "run" not in json.load(open(f"{out}.run/plan.json"))
    for r in records(out):
        assert "run" not in r
        for name, size, checksum in r["files"]:
            assert checksum == (digest(name, read(f"{out}/{name}")) if size >= 0 else "")
    assert verify(cli, out)[0] == 0


@pytest.mark.parametrize("number", ["", "x" * 32, 7, None, "ab" * 17])
def test_a_number_that_is_none_is_refused(cli, out, number):
    plan = json.load(open(f"{out}.run/plan.json"))
    plan["run"] = number
    json.dump(plan, open(f"{out}.run/plan.json", "w"))
    done = cli("verify", out)
    assert done.returncode != 0 and "plan.json" in done.stderr and '"run"' in done.stderr


@pytest.mark.parametrize("at", [2**63 - 1, 7258118400000000])
def test_records_of_the_far_future_do_not_count(cli, out, whole, at):
    """Nothing later could ever replace them."""
    def change(r):
        if r["job"] == 6:
            r["at"] = at

    change_records(out, change)
    code, found = verify(cli, out)
    assert code == 1 and found["missing"] == 1 and "1 of a time more than a year from now" in found["first"], found
    os.remove(f"{out}/0/c/0/0/0/1/1")
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(whole) and verify(cli, out)[0] == 0


@pytest.mark.parametrize("numbered", [True, False])
def test_a_file_is_not_left_out_because_a_record_says_so(cli, out, whole, tmp_path, numbered):
    """The record of a block with values cannot leave its files out; the checksum of what is left out is the run's, too."""
    if not numbered:
        out, words = old_run(tmp_path / "old")
        victim = next(r for r in records(out) if r["max"] >= 1)["job"]
    else:
        victim, words = 6, ("convert", IMAGE, out, *WORDS)
    before = tree(out)

    def change(r):
        if r["job"] == victim:
            for f in r["files"]:
                os.remove(f"{out}/{f[0]}")
            r["files"] = [[f[0], -1, ""] for f in r["files"]]

    change_records(out, change)
    code, found = verify(cli, out)
    assert code == 1 and found["damaged"] >= 1 and f"job {victim}" in found["first"], found
    cli.ok(*words)
    assert tree(out) == before and verify(cli, out)[0] == 0


def test_an_upper_level_is_not_left_out_because_a_record_says_so(cli, out, whole):
    def change(r):
        if r["job"] == 6:
            os.remove(f"{out}/{r['files'][1][0]}")
            r["files"][1][1:] = [-1, ""]

    change_records(out, change)
    code, found = verify(cli, out)
    assert code == 1 and found["damaged"] == 1 and "left out" in found["first"], found
    cli.ok("convert", IMAGE, out, *WORDS)
    assert tree(out) == tree(whole) and verify(cli, out)[0] == 0


class Hash(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def digest(name, data):
    """XXH3-128 of name, NUL and data (before it the number of the run and another NUL), by the library itself."""
    function = ctypes.CDLL(ctypes.util.find_library("xxhash")).XXH3_128bits
    function.restype, function.argtypes = Hash, [ctypes.c_char_p, ctypes.c_size_t]
    whole = name.encode() + b"\0" + data
    h = function(whole, len(whole))
    return f"{h.high:016x}{h.low:016x}"


def line_of(record):
    text = json.dumps(record, separators=(",", ":"))
    return f"{crc32c(text.encode()):08x} {text}\n"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
