# SPDX-License-Identifier: MIT
"""Builds tests/fault_shim.c, once a session, and says what to put into the environment."""
import errno
import os
import shutil
import subprocess
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NO_FLOCK = {"ENOSYS": errno.ENOSYS, "ENOLCK": errno.ENOLCK, "EOPNOTSUPP": errno.EOPNOTSUPP}
_built = {}


def shim(**what):
    """Environment with the shim, by its words: shim(FLOCK=38, HOST="n1")."""
    if os.environ.get("PELLUCID_SANITIZED"):
        pytest.skip("a sanitizer wants to be the first library")
    if not _built:
        if not shutil.which("cc"):
            pytest.skip("no C compiler for the fault shim")
        folder = tempfile.mkdtemp(prefix="pellucid-shim-")
        library = os.path.join(folder, "shim.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(ROOT, "tests", "fault_shim.c"), "-ldl"], check=True)
        _built["library"] = library
    return {"LD_PRELOAD": _built["library"], **{f"SHIM_{k}": str(v) for k, v in what.items()}}
