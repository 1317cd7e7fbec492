# SPDX-License-Identifier: MIT
"""What a power cut may take away: the order of renames, syncs of files and folders, and records, from a trace of system calls."""
import collections
import glob
import json
import os
import re
import shutil
import subprocess

import pytest

CALL = re.compile(r"^(?P<pid>\d+) (?P<name>\w+)\((?P<words>.*)\) += (?P<result>-?\d+)(<(?P<path>[^>]*)>)?")
TRACED = "rename,renameat,renameat2,fsync,fdatasync,write,unlink,unlinkat,mkdir,mkdirat,openat"

Event = collections.namedtuple("Event", "name path text")


def can_trace():
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True).returncode == 0


def whole_lines(text):
    """Calls that other threads interrupted, put together where they ended."""
    begun = {}
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest[:-len("<unfinished ...>")].rstrip()
        elif rest.startswith("<... "):
            yield f"{pid} {begun.pop(pid, '')}{rest.partition('resumed>')[2]}"
        else:
            yield f"{pid} {rest}"


def events(trace, folder):
    """Successful calls in the order of their ends, paths below the folder relative to it."""
    found = []
    for line in whole_lines(open(trace, errors="replace").read()):
        m = CALL.match(line)
        if not m or int(m["result"]) < 0:
            continue
        words = m["words"]
        if m["name"] in ("fsync", "fdatasync", "write"):
            path = re.match(r"\d+<([^>]*)>", words)
            path = path[1] if path else ""
        elif m["name"] == "openat":
            path = m["path"] or ""
        else:
            path = re.findall(r'"((?:[^"\\]|\\.)*)"', words)[-1] if '"' in words else ""
        path = os.path.normpath(os.path.join(folder, path))
        if path == folder or path.startswith(folder + "/"):
            found.append(Event(m["name"], os.path.relpath(path, folder), words))
    return found


@pytest.fixture(scope="module", params=["0.5", "0.4"])
def traced(cli, tmp_path_factory, request):
    if not can_trace():
        pytest.skip("no strace here, or it may not trace")
    folder = str(tmp_path_factory.mktemp("traced"))
    cli.ok("phantom", f"{folder}/a.czi", "--size", "z=5,y=70,x=90", "--quiet")
    subprocess.run(["strace", "-f", "-y", "-s", "40", "-e", f"trace={TRACED}", "-o", f"{folder}/trace", cli.path, "convert", "a.czi", "out.zarr",
                    "--format", request.param, "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=32,x=32", "--levels", "4", "--quiet"],
                   cwd=folder, check=True, capture_output=True, timeout=120)
    return folder, events(f"{folder}/trace", folder)


def records_of(folder):
    return [json.loads(line[9:]) for path in glob.glob(f"{folder}/out.zarr.run/ledger/*.jsonl") for line in open(path)]


def is_ledger(e):
    return e.path.startswith("out.zarr.run/ledger/") and e.path.endswith(".jsonl")


def test_each_record_follows_its_files_and_their_folders(traced):
    """File synced, renamed, its folder and every new folder above it synced, and only then the record, which is synced, too."""
    folder, calls = traced
    records = records_of(folder)
    writes = [i for i, e in enumerate(calls) if e.name == "write" and is_ledger(e)]
    assert len(writes) == len(records) > 10
    for i, after, record in zip(writes, [*writes[1:], len(calls)], records):
        assert f'\\"job\\":{record["job"]},' in calls[i].text, "records in the order of the calls"
        assert any(e.name == "fdatasync" and is_ledger(e) for e in calls[i:after]), "the record itself"
        for path, size, *_ in record["files"]:
            if size < 0:
                continue
            path = f"out.zarr/{path}"
            renamed = max(k for k in range(i) if calls[k].name.startswith("rename") and calls[k].path == path)
            temporary = os.path.normpath(re.findall(r'"([^"]*)"', calls[renamed].text)[0])
            assert any(e.name == "fdatasync" and e.path == temporary for e in calls[:renamed]), f"{path}: renamed before it was synced"
            assert any(e.name == "fsync" and e.path == os.path.dirname(path) for e in calls[renamed:i]), f"{path}: its folder is not synced"


def test_each_new_folder_is_synced_into_the_one_above_before_a_record_needs_it(traced):
    folder, calls = traced
    made = {}
    for i, e in enumerate(calls):
        if e.name.startswith("mkdir"):
            made[e.path] = i
        if e.name == "write" and is_ledger(e):
            for path, at in list(made.items()):
                above = os.path.dirname(path) or "."
                used = any(c.name.startswith("rename") and c.path.startswith(path + "/") for c in calls[at:i])
                if used and path.startswith("out.zarr"):
                    assert any(c.name == "fsync" and c.path == above for c in calls[at:i]), f"{path}: not synced into {above}"
                    del made[path]


def test_the_books_last_before_the_first_record(traced):
    folder, calls = traced
    first = next(i for i, e in enumerate(calls) if e.name == "write" and is_ledger(e))
    plan = next(i for i, e in enumerate(calls) if e.name.startswith("rename") and e.path == "out.zarr.run/plan.json")
    created = next(i for i, e in enumerate(calls) if e.name == "openat" and is_ledger(e) and "O_CREAT" in e.text)
    output = next(i for i, e in enumerate(calls) if e.name.startswith("rename") and e.path.startswith("out.zarr/"))
    for from_, to, path in [(plan, output, "out.zarr.run"), (plan, output, "."), (created, first, "out.zarr.run/ledger"), (created, first, "out.zarr.run")]:
        assert any(e.name == "fsync" and e.path == path for e in calls[from_:to]), path
    last = max(i for i, e in enumerate(calls) if e.name.startswith("rename") and e.path in ("out.zarr/zarr.json", "out.zarr/.zattrs"))
    assert any(e.name == "fsync" and e.path == "out.zarr" for e in calls[last:]), "the document that says complete"


def test_a_folder_is_synced_once_a_job(traced):
    """One sync of a folder for all files that a job put there."""
    folder, calls = traced
    start = 0
    for i, e in enumerate(calls):
        if e.name == "write" and is_ledger(e):
            synced = collections.Counter(c.path for c in calls[start:i] if c.name == "fsync" and c.path.startswith("out.zarr/"))
            assert not synced or start == 0 or max(synced.values()) == 1, synced
            start = i
