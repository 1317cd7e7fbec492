# SPDX-License-Identifier: MIT
"""What the Python tests share: the program under test, and the shared files where they exist."""
import json
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def program():
    """The command line under test: PELLUCID, or the default build."""
    path = os.path.abspath(os.environ.get("PELLUCID", os.path.join(ROOT, "build", "pellucid")))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path}: no program to test; run `make`, or set PELLUCID")
    return path


class Cli:
    """Runs the program; a run that hangs fails the test."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *words, cwd=None, timeout=300, env=None, **options):
        return subprocess.run([self.path, *map(str, words)], capture_output=True, text=True, errors="replace", cwd=cwd,
                              timeout=timeout, env={**os.environ, **(env or {})}, **options)

    def ok(self, *words, **options):
        """Must succeed; returns standard output."""
        done = self(*words, **options)
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words, **options):
        return json.loads(self.ok(*words, "--json", **options))

    def fails(self, code, *words, **options):
        """Must end with this exit code; returns standard error."""
        done = self(*words, **options)
        assert done.returncode == code, f"{words}: exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
        return done.stderr


@pytest.fixture(scope="session")
def cli():
    return Cli(program())


@pytest.fixture(scope="session")
def shared():
    """Folder of the shared files (czi/, images/); skips where there is none."""
    path = os.path.abspath(os.environ.get("PELLUCID_SHARED", os.path.join(ROOT, "..", "shared")))
    if not os.path.isdir(path):
        pytest.skip(f"no shared files at {path} (set PELLUCID_SHARED)")
    return path
