# SPDX-License-Identifier: MIT
"""Errors that pass (a file server restarts, a handle is stale): the run goes on by itself, with the same bytes. What stays fails."""
import errno
import os

import pytest

from shim import shim
from test_audit import WORDS, tree

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
