# SPDX-License-Identifier: MIT
"""The list of mutants fits the source as it is now (to run them takes minutes: `make mutants`)."""
import subprocess
import sys

import mutants
import pytest

GOOD = mutants.Mutant("what", "a.c", "one < two", "one <= two", "tests/test_a.py::test_a[1]")


def test_the_list_fits_the_source():
    found = mutants.stale(mutants.ROOT)
    assert not found, "\n" + "\n".join(found)
    assert len(mutants.MUTANTS) == len({(m.file, m.old, m.new) for m in mutants.MUTANTS})


def test_the_tests_that_must_fail_are_there():
    """With their parameters: an entry whose test is not found stops all others."""
    names = sorted({m.test for m in mutants.MUTANTS if m.test.startswith("tests/")})
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *names], cwd=mutants.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("change, word", [
    ({}, None), ({"old": "gone"}, "0 times"), ({"old": "one"}, "2 times"), ({"file": "b.c"}, "0 times"), ({"new": "one < two"}, "changes nothing"),
    ({"test": "tests/test_a.py::test_b"}, "no test"), ({"test": "test_a:case_a"}, None), ({"test": "test_a:case_b"}, "no test"),
])
def test_a_stale_entry_is_found(tmp_path, change, word):
    (tmp_path / "tests").mkdir()
    (tmp_path / "a.c").write_text("if (one < two || one)")
    (tmp_path / "tests" / "test_a.py").write_text("def test_a(x):\n    pass\n")
    (tmp_path / "tests" / "test_a.c").write_text("CASE(case_a)\n{\n}\n")
    found = mutants.stale(str(tmp_path), [GOOD._replace(**change)])
    assert (not found) if word is None else len(found) == 1 and word in found[0]
