# SPDX-License-Identifier: MIT
"""Errors that pass (a file server restarts, a handle is stale): the run goes on by itself, with the same bytes. What stays fails."""
import errno
import os

import pytest

from shim import shim
from test_audit import WORDS, records, tree, verify

SIZE = "z=4,y=128,x=128"


@pytest.fixture(scope="module")
def inputs(cli, tmp_path_factory):
    """A CZI and a Zarr of the same pixels, and what becomes of either undisturbed."""
    folder = tmp_path_factory.mktemp("in")
    cli.ok("phantom", folder / "a.czi", "--size", SIZE, "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "a.zarr", "--chunk", "z=2,y=64,x=64", "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "whole.ome.zarr", *WORDS)
    return folder


def pixels(folder):
    return {k: v for k, v in tree(folder).items() if "zarr.json" not in k}


FAULTS = [
    ("a.czi", "pread:ESTALE:2:a.czi"), ("a.czi", "pread:EIO:3:a.czi"), ("a.zarr", "pread:ETIMEDOUT:2:/c/"), ("a.zarr", "open:ESTALE:2:a.zarr/0/c/"),
    ("a.czi", "write:EIO:2:/out.ome.zarr/0/"), ("a.czi", "write:EAGAIN:2:/ledger/"), ("a.czi", "rename:ESTALE:2:/out.ome.zarr/"),
    ("a.czi", "open:ETIMEDOUT:2:/out.ome.zarr/1/"), ("a.czi", "mkdir:EIO:2:/out.ome.zarr/"), ("a.czi", "write:EINTR:9:/out.ome.zarr/"),
]


def words_of(text):
    call, name, count, part = text.split(":")
    return f"{call}:{getattr(errno, name)}:{count}:{part}"


@pytest.mark.parametrize("image, text", FAULTS)
def test_an_error_that_passes_costs_no_block(cli, inputs, tmp_path, image, text):
    out, told = str(tmp_path / "out.ome.zarr"), tmp_path / "told"
    cli.ok("convert", inputs / image, out, *WORDS, env=shim(FAULT=words_of(text), TOLD=told))
    assert len(told.read_text().splitlines()) == int(text.split(":")[2]), "the fault was not made as often as it should"
    assert pixels(out) == pixels(inputs / "whole.ome.zarr")
    assert cli.json("status", out)["failed"] == 0


@pytest.mark.parametrize("text", ["pread:ESTALE:100000:a.czi", "pread:EACCES:1:a.czi", "write:ENOSPC:1:/out.ome.zarr/0/"])
def test_an_error_that_stays_is_told(cli, inputs, tmp_path, text):
    done = cli("convert", inputs / "a.czi", tmp_path / "out.ome.zarr", *WORDS, env=shim(FAULT=words_of(text)))
    assert done.returncode in (1, 3), done.stderr
    assert os.strerror(getattr(errno, text.split(":")[1])) in done.stderr


# ---- syncs that fail ---------------------------------------------------------------------------------------------------------
# The system reports once that it could not write a file's bytes and forgets them: syncing again succeeds, and the bytes are gone.

SHARD = "/out.ome.zarr/0/c/0/0/0/0/0"  # of the first block


@pytest.mark.parametrize("reason", ["EIO", "ESTALE", "ETIMEDOUT"])
@pytest.mark.parametrize("call, part, count", [
    ("fdatasync", "/out.ome.zarr/0/c/0/", "1"), ("fdatasync", "/out.ome.zarr/0/c/0/", "2@3"), ("fdatasync", "/out.ome.zarr/1/", "1"),
    ("fdatasync", "/out.ome.zarr/2/", "1"), ("close", "/out.ome.zarr/0/c/0/", "1"), ("fdatasync", "/out.ome.zarr/.tmp-", "1"),
    ("fdatasync", "/out.ome.zarr/.tmp-", "1@1"),  # the root's document: at the beginning, at the end
    ("fdatasync", "/out.ome.zarr/0/.tmp-", "1"), ("fdatasync", "/out.ome.zarr.run/.tmp-", "1")])
def test_a_sync_that_fails_once_has_the_bytes_written_again(cli, inputs, tmp_path, call, part, count, reason):
    out, told = str(tmp_path / "out.ome.zarr"), tmp_path / "told"
    cli.ok("convert", inputs / "a.czi", out, *WORDS, env=shim(FAULT=words_of(f"{call}:{reason}:{count}:{part}"), TOLD=told, LOSE=1))
    assert len(told.read_text().splitlines()) == int(count[0])
    assert pixels(out) == pixels(inputs / "whole.ome.zarr")
    assert cli.json("status", out)["failed"] == 0 and verify(cli, out)[0] == 0


def test_after_a_folder_that_cannot_be_synced_its_files_are_written_again(cli, inputs, tmp_path):
    """Their names may be lost, and only a new one is brought to the disk for certain."""
    for count in (0, 1, 3):
        out, told = str(tmp_path / str(count) / "out.ome.zarr"), tmp_path / f"told{count}"
        os.mkdir(os.path.dirname(out))
        fault = f"fsync:{errno.EIO}:{count}:{os.path.dirname(SHARD)};rename:0:1000:{SHARD}"
        cli.ok("convert", inputs / "a.czi", out, *WORDS, env=shim(FAULT=fault, TOLD=told))
        lines = told.read_text().splitlines()
        assert sum(line.startswith("fsync") for line in lines) == count
        assert sum(line.endswith(SHARD) for line in lines) == 1 + count
        assert pixels(out) == pixels(inputs / "whole.ome.zarr") and verify(cli, out)[0] == 0


@pytest.mark.parametrize("fault", ["fsync:EIO:1:.ome.zarr.run", "fsync:EIO:1:/ledger", "fdatasync:EIO:1:/ledger/", "fdatasync:EIO:2@3:/ledger/"])
def test_a_record_whose_sync_fails_is_written_again_and_counts_once(cli, inputs, tmp_path, fault):
    out, told = str(tmp_path / "out.ome.zarr"), tmp_path / "told"
    cli.ok("convert", inputs / "a.czi", out, *WORDS, env=shim(FAULT=words_of(fault), TOLD=told))
    assert told.exists()
    status, whole = cli.json("status", out), cli.json("status", inputs / "whole.ome.zarr")
    assert status["state"] == "done" and status["failed"] == 0
    assert all(status[key] == whole[key] for key in ("voxels", "bytes_written", "blocks_done", "clipped")), status
    assert {r["job"] for r in records(out)} == {r["job"] for r in records(inputs / "whole.ome.zarr")} and verify(cli, out)[0] == 0


@pytest.mark.parametrize("reason, tries", [("EIO", 6), ("ENOSPC", 1), ("EDQUOT", 1), ("EROFS", 1), ("EACCES", 1)])
def test_a_sync_that_goes_on_failing_is_told(cli, inputs, tmp_path, reason, tries):
    """What may pass is tried for some seconds, what stays once; then the block fails, and the next run makes it."""
    out, told = str(tmp_path / "out.ome.zarr"), tmp_path / "told"
    fault = words_of(f"fdatasync:{reason}:{tries}:/out.ome.zarr/0/c/0/0/0/0/.tmp-")
    done = cli("convert", inputs / "a.czi", out, *WORDS, "--threads", "1", env=shim(FAULT=fault, TOLD=told))
    assert done.returncode == 1 and os.strerror(getattr(errno, reason)) in done.stderr and "block " in done.stderr, done.stderr
    cli.ok("convert", inputs / "a.czi", out, *WORDS)
    assert pixels(out) == pixels(inputs / "whole.ome.zarr") and verify(cli, out)[0] == 0
