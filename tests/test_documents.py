# SPDX-License-Identifier: MIT
"""The metadata documents of an output are a part of it: `verify` sees one that is lost or altered and what does not belong there, and
the same command writes them anew from the plan."""
import glob
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

from test_audit import IMAGE, OLD, WORDS, digest, line_of, old_run, tree, verify

IMAGES = {"0.5": (IMAGE, "0.5"), "0.4": (IMAGE, "0.4"), "collection": ("phantom:t=1,c=1,z=3,y=70,x=90;scenes=2;seed=4", "0.5"),
          "collection-0.4": ("phantom:t=1,c=1,z=3,y=70,x=90;scenes=2;seed=4", "0.4")}


def words_of(kind, out):
    image, version = IMAGES[kind]
    return ("convert", image, out, *WORDS, "--format", version)


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    whole = {}

    def make(kind):
        if kind not in whole:
            whole[kind] = str(tmp_path_factory.mktemp("made") / "out.ome.zarr")
            cli.ok(*words_of(kind, whole[kind]))
        return whole[kind]

    return make


@pytest.fixture
def copied(made, tmp_path):
    def copy(kind):
        out = str(tmp_path / "out.ome.zarr")
        shutil.copytree(made(kind), out)
        shutil.copytree(made(kind) + ".run", out + ".run")
        return out, tree(made(kind))

    return copy


def documents(out):
    return sorted(k for k in tree(out) if k.split("/")[-1] in ("zarr.json", ".zarray", ".zattrs", ".zgroup", "METADATA.ome.xml"))


def test_documents_are_counted_and_recorded(cli, copied):
    for kind, count in (("0.5", 4),):
        out, _ = copied(kind)
        names = documents(out)
        code, found = verify(cli, out)
        assert code == 0 and found["documents"] == len(names) == count and found["strays"] == 0 and not found["unlisted"]
        said = [json.loads(line[9:]) for p in glob.glob(f"{out}.run/ledger/*.jsonl") for line in open(p)]
        last = [r for r in said if r["job"] == -1]
        assert len(last) == 2, "when the output is made, and when it is complete"
        assert sorted(f[0] for f in last[-1]["files"]) == names and last[0]["files"][0][2] != last[1]["files"][0][2]


@pytest.mark.parametrize("kind,harm", [*((k, "gone") for k in IMAGES), *((k, "changed") for k in IMAGES), ("0.5", "empty"), ("0.5", "cut"), ("0.4", "empty")])
def test_each_document_is_missed_and_written_anew(cli, copied, kind, harm):
    """Every document of every format, one after the other; "changed" keeps the length."""
    out, whole = copied(kind)
    for name in documents(out):
        path, data = f"{out}/{name}", whole[name]
        if harm == "gone":
            os.remove(path)
        else:
            digit = next(i for i in range(len(data) - 1, -1, -1) if chr(data[i]).isdigit() and b"complete" not in data[max(0, i - 20):i])
            other = {"empty": b"", "cut": data[:len(data) // 2], "changed": data[:digit] + (b"7" if data[digit:digit + 1] != b"7" else b"8") + data[digit + 1:]}
            with open(path, "wb") as f:
                f.write(other[harm])
        code, found = verify(cli, out)
        assert code == 1 and found["missing"] + found["damaged"] == 1 and (found["missing"] == 1) == (harm == "gone") and name in found["first"], (name, found)
        done = cli(*words_of(kind, out))
        if harm == "changed" and name in ("zarr.json", ".zattrs") and done.returncode == 2:
            assert "remove that document" in done.stderr  # the very words by which the run is known
            os.remove(path)
            done = cli(*words_of(kind, out))
        assert done.returncode == 0, (name, done.stderr)
        assert tree(out) == whole, name
    assert verify(cli, out)[0] == 0


CHANGES = {
    "shape": ("0/zarr.json", lambda d: d["shape"].__setitem__(3, 139)),
    "fill value": ("1/zarr.json", lambda d: d.__setitem__("fill_value", 1)),
    "a path": ("zarr.json", lambda d: d["attributes"]["ome"]["multiscales"][0]["datasets"][1].__setitem__("path", "2")),
    "a scale": ("zarr.json", lambda d: d["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"].__setitem__(4, 0.2)),
    "a level less": ("zarr.json", lambda d: d["attributes"]["ome"]["multiscales"][0]["datasets"].pop()),
    "a member more": ("2/zarr.json", lambda d: d["attributes"].__setitem__("note", "x")),
    "complete": ("zarr.json", lambda d: d["attributes"]["pellucid"].__setitem__("complete", False)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_altered_values_are_found_and_put_right(cli, copied, change):
    out, whole = copied("0.5")
    name, how = CHANGES[change]
    document = json.loads(whole[name])
    how(document)
    with open(f"{out}/{name}", "w") as f:
        json.dump(document, f)
    code, found = verify(cli, out)
    assert code == 1 and found["damaged"] == 1 and found["missing"] == 0 and found["first"].startswith(name), found
    cli.ok(*words_of("0.5", out))
    assert tree(out) == whole


def test_all_documents_lost_at_once(cli, copied):
    out, whole = copied("0.5")
    for name in documents(out):
        os.remove(f"{out}/{name}")
    assert verify(cli, out)[1]["missing"] == 4
    cli.ok(*words_of("0.5", out))
    assert tree(out) == whole


@pytest.mark.parametrize("kind,stray", [("0.5", "0/c/0/0/0/9/9"), ("0.5", "0/c/0/0/0/0/00"), ("0.5", "0/c/0/0/0/0"), ("0.5", "7/c/0/0/0/0/0"), ("0.5", "0/.zarray"),
                                        ("0.5", "notes.txt"), ("0.4", "0/0/0/0/0/40"), ("0.4", ".zmetadata"), ("collection", "1/0/c/0/0/0/5/5"), ("collection", "OME/x")])
def test_what_does_not_belong_is_named(cli, copied, kind, stray):
    """Not removed: nobody knows whose it is. Temporary files of writers are no strays."""
    out, whole = copied(kind)
    path = f"{out}/{stray}"
    if os.path.isdir(path):
        path, stray = path + "/more", stray + "/more"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for name in (path, os.path.join(os.path.dirname(path), ".tmp-n7-1-2")):
        with open(name, "w") as f:
            f.write("x")
    code, found = verify(cli, out)
    assert code == 1 and found["strays"] == 1 and found["missing"] == found["damaged"] == 0 and stray in found["first"], found
    assert "1 files that do not belong" in cli("verify", out, "--windows", "0").stdout
    cli.ok(*words_of(kind, out))
    assert os.path.exists(path)
    os.remove(path)
    assert verify(cli, out)[0] == 0 and tree(out) == whole


@pytest.mark.parametrize("kind,name", [("0.5", "labels/cells/zarr.json"), ("collection", "1/tables/x.csv")])
def test_labels_and_tables_of_others_are_theirs(cli, copied, kind, name):
    out, _ = copied(kind)
    os.makedirs(os.path.dirname(f"{out}/{name}"))
    with open(f"{out}/{name}", "w") as f:
        f.write("{}")
    assert verify(cli, out)[0] == 0
    os.remove(f"{out}/zarr.json")
    cli.ok(*words_of(kind, out))
    assert os.path.exists(f"{out}/{name}") and verify(cli, out)[0] == 0


@pytest.mark.parametrize("what", ["photo.jpg", "zarr.json"])
def test_what_is_not_ours_is_not_taken_for_a_lost_output(cli, copied, what):
    """The output moved away, and something else put in its place: the run's folder alone is no right to write there."""
    out, _ = copied("0.5")
    shutil.rmtree(out)
    os.makedirs(out)
    with open(f"{out}/{what}", "w") as f:
        f.write('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    before = tree(out)
    said = cli.fails(2, *words_of("0.5", out))
    assert what in said and "nothing there is touched" in said and tree(out) == before


def test_documents_of_an_older_version_are_right_as_they_were_recorded(cli, copied):
    """Recorded with the checksum of what was written then: a version that writes other documents neither complains nor changes them."""
    out, whole = copied("0.5")
    name = "1/zarr.json"
    older = json.dumps({**json.loads(whole[name]), "attributes": {"made": "otherwise"}}).encode()
    with open(f"{out}/{name}", "wb") as f:
        f.write(older)
    assert verify(cli, out)[1]["damaged"] == 1
    path = glob.glob(f"{out}.run/ledger/*.jsonl")[0]
    lines = open(path).read().splitlines(True)
    record = json.loads(lines[-1][9:])
    assert record["job"] == -1
    record["files"] = [[f[0], f[1], digest(name, record["run"].encode() + b"\0" + older) if f[0] == name else f[2]] for f in record["files"]]
    lines[-1] = line_of(record)
    open(path, "w").writelines(lines)
    assert verify(cli, out)[0] == 0
    cli.ok(*words_of("0.5", out))
    assert open(f"{out}/{name}", "rb").read() == older and verify(cli, out)[0] == 0


def test_documents_of_ledgers_without_them(cli, tmp_path):
    """Versions before 2026-12 recorded none: what they wrote is what would be written now, or it is told."""
    out, words = old_run(tmp_path)
    before = tree(out)
    assert verify(cli, out)[1]["documents"] == 4
    os.remove(f"{out}/2/zarr.json")
    code, found = verify(cli, out)
    assert code == 1 and found["missing"] == 1 and found["first"].startswith("2/zarr.json")
    cli.ok(*words)
    assert tree(out) == before == tree(f"{OLD}/out.ome.zarr")
    assert verify(cli, out)[0] == 0


def members(value):
    """Names of all members of a document, however deep."""
    if isinstance(value, list):
        return set().union(*map(members, value)) if value else set()
    return set(value) | members(list(value.values())) if isinstance(value, dict) else set()


def test_the_page_shows_the_members_of_today(cli, tmp_path):
    """docs/formats-run.md against a run that is made here: no member more, none less, but the filter's own parameters."""
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", "phantom:c=1,z=2,y=64,x=64;seed=3", out, "--noise", "3.9,-388", "--tune", "off", "--iterations", "1", "--quiet")
    page = open(os.path.join(os.path.dirname(OLD), "..", "docs", "formats-run.md"), encoding="utf-8").read()
    shown, ledger = page.split("\n## plan.json\n")[1].split("\n## ledger/")
    named = set(re.findall(r'"([\w ]+)":', "\n".join(line for line in shown.splitlines() if line.startswith("    "))))
    plan = json.load(open(out + ".run/plan.json"))
    kept = list(plan["settings"])
    parameters = set(kept[kept.index("numeric version") + 1:kept.index("noise")])
    plan["settings"] = {k: v for k, v in plan["settings"].items() if k not in parameters}
    attributes = json.load(open(out + "/zarr.json"))["attributes"]["pellucid"]
    assert plan["provenance"] == {k: v for k, v in attributes.items() if k != "complete"}
    attributes["settings"] = {k: v for k, v in attributes["settings"].items() if k not in parameters}
    other = open(os.path.join(os.path.dirname(OLD), "..", "docs", "formats-zarr.md"), encoding="utf-8").read().split("\n### Metadata\n")[1].split("\n## ")[0]
    assert members(attributes) | {"changed"} == set(re.findall(r'"(\w+)":', "\n".join(line for line in other.splitlines() if line.startswith("    "))))
    plan["provenance"] = {}
    assert members(plan) == named
    version = re.search(r'"numeric version": "(\d+)"', shown)[1]
    assert version == plan["settings"]["numeric version"]
    lines = [json.loads(line[9:]) for p in glob.glob(out + ".run/ledger/*.jsonl") for line in open(p)]
    done = next(r for r in lines if r["job"] >= 0)
    example = "".join(line for line in ledger.splitlines() if line.startswith("    ")).split("}")[0]
    assert members(done) == set(re.findall(r'"(\w+)":', example)), example


def latin(folder, name):
    return os.path.join(os.fsencode(folder), name.encode("latin-1"))


def test_plan_and_status_are_utf8_whatever_the_names_are(cli, tmp_path):
    """Names are bytes: the files that describe the run are UTF-8 all the same, and the very files are found again, also a %."""
    cli.ok("phantom", tmp_path / "a.czi", "--size", "z=4,y=64,x=64", "--quiet")
    image, out = latin(tmp_path, "Kn\xf6tchen 100%41.czi"), latin(tmp_path, "ge\xe4ndert.ome.zarr")
    os.rename(tmp_path / "a.czi", image)
    os.mkdir(latin(tmp_path, "b\xfccher"))
    run = latin(tmp_path, "b\xfccher/lauf.run")
    subprocess.run([os.fsencode(cli.path), b"convert", image, out, b"--state", run, b"--quiet"], check=True)
    plan = json.loads(open(run + b"/plan.json", "rb").read().decode("utf-8"))
    status = json.loads(open(run + b"/status.json", "rb").read().decode("utf-8"))
    assert urllib.parse.unquote_to_bytes(plan["input"]["path bytes"]) == os.path.realpath(image)
    assert plan["input"]["path"].endswith("/Kn?tchen 100%41.czi") and status["input"] == plan["input"]["path"]
    assert urllib.parse.unquote_to_bytes(plan["place"]["output bytes"]) == out
    assert subprocess.run([os.fsencode(cli.path), b"verify", run]).returncode == 0, "input or output are not found again"
    for words in ([b"status", run], [b"verify", run, b"--windows", b"1"], [b"info", image], [b"noise", image], [b"info", out]):
        said = subprocess.run([os.fsencode(cli.path), *words, b"--json"], check=True, capture_output=True).stdout
        assert json.loads(said.decode("utf-8")), words
    os.rename(image, tmp_path / "a.czi")  # a name in UTF-8 leaves nothing of the other one
    subprocess.run([os.fsencode(cli.path), b"convert", os.fsencode(tmp_path / "a.czi"), out, b"--state", run, b"--quiet"], check=True)
    again = json.loads(open(run + b"/plan.json", "rb").read().decode("utf-8"))
    assert again["input"]["path"] == str(tmp_path / "a.czi") and "path bytes" not in again["input"]


@pytest.mark.parametrize("scheduler", ["kubernetes", "aws-batch"])
def test_a_job_in_json_refuses_names_in_no_utf_8(cli, tmp_path, scheduler):
    """With other bytes in their place the job would look for another output."""
    out = latin(tmp_path, "ge\xe4ndert.ome.zarr")
    subprocess.run([os.fsencode(cli.path), b"convert", b"phantom:y=64,x=64", out, b"--prepare", b"--quiet"], check=True)
    words = ("--scheduler", scheduler, "--image", "registry/pellucid", "--queue", "short", "--parts", "1")
    done = subprocess.run([os.fsencode(cli.path), b"submit", out, *map(os.fsencode, words)], capture_output=True)
    assert done.returncode == 2 and not done.stdout and b"not UTF-8: rename" in done.stderr, done.stderr
    os.rename(out, tmp_path / "größer.ome.zarr")
    os.rename(out + b".run", tmp_path / "größer.ome.zarr.run")
    assert "größer.ome.zarr" in json.dumps(json.loads(cli.ok("submit", tmp_path / "größer.ome.zarr", *words)), ensure_ascii=False)


def test_the_report_of_a_share_is_utf8(cli, tmp_path):
    """It has the reasons of failures, which name files."""
    image, out = latin(tmp_path, "Kn\xf6tchen.czi"), latin(tmp_path, "ge\xe4ndert.ome.zarr")
    cli.ok("phantom", tmp_path / "a.czi", "--size", "z=1,y=256,x=256", "--compression", "zstd1", "--quiet")
    data = bytearray((tmp_path / "a.czi").read_bytes())
    at = data.find(b"\x28\xb5\x2f\xfd")
    data[at + 60:at + 400] = bytes(b ^ 0xFF for b in data[at + 60:at + 400])
    with open(image, "wb") as f:
        f.write(data)
    subprocess.run([os.fsencode(cli.path), b"convert", image, out, b"--prepare", b"--quiet"], check=True)
    said = subprocess.run([os.fsencode(cli.path), b"block", out, b"--blocks", b"0", b"--report", b"--quiet"], capture_output=True).stdout
    assert "Kn?tchen.czi" in json.loads(said.decode("utf-8"))["failed"]["0"]
