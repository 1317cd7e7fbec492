#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every test there is: the C unit programs of the build, then pytest; sums the cases that were really executed.

The last line is "N passed, N failed" (", N skipped" where there are any); the exit status is 0 if nothing failed.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def unit_programs(build):
    """The tests that meson knows, as (name, command)."""
    answer = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True)
    return [(t["name"], t["cmd"], t.get("env", {})) for t in json.loads(answer.stdout)]


def count_lines(output):
    passed = len(re.findall(r"^ok \S", output, re.M))
    failed = len(re.findall(r"^FAIL \S", output, re.M))
    return passed, failed


def run_unit(name, command, env, timeout):
    """One C program: passed, failed, skipped. A crash, a time-out, or a status that no FAIL line explains counts as one
    failed case; status 77 with no case at all means that the program found nothing to work on."""
    started = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout,
                              env={**env, **os.environ}, cwd=ROOT)
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as e:
        output, status = (e.stdout or b"").decode(errors="replace") + f"\n  no end after {timeout} s\n", -1
    passed, failed = count_lines(output)
    if status == 77 and passed == failed == 0:
        print(f"skip unit {name}: {output.strip()}")
        return 0, 0, 1
    total = re.search(r"^(\d+) passed, (\d+) failed$", output, re.M)
    complete = total and (int(total[1]), int(total[2])) == (passed, failed)
    if failed == 0 and (status != 0 or not complete or passed == 0):
        failed = 1
    print(f"{'FAIL' if failed else 'ok  '} unit {name}: {passed} passed, {failed} failed, {time.monotonic() - started:.1f} s")
    if failed:
        print(output[-8000:])
        print(f"  exit status {status}")
    sys.stdout.flush()
    return passed, failed, 0


def run_pytest(build, paths, sanitized):
    """All of tests/test_*.py; the numbers come from pytest's own record."""
    with tempfile.TemporaryDirectory() as folder:
        record = os.path.join(folder, "record.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-rsf", "--durations=8", f"--junitxml={record}",
                   "-p", "no:cacheprovider", *paths]
        workers = min(4, os.cpu_count() or 1)
        if workers > 1 and not sanitized:
            command += ["-n", str(workers), "--dist", "loadfile"]
        env = {**os.environ, "PELLUCID": os.path.join(os.path.abspath(build), "pellucid"),
               "PELLUCID_BUILD": os.path.abspath(build)}
        status = subprocess.run(command, cwd=ROOT, env=env).returncode
        try:
            suite = ElementTree.parse(record).getroot().find("testsuite").attrib
        except (OSError, ElementTree.ParseError, AttributeError):
            print(f"pytest ended with status {status} and left no record")
            return 0, 1, 0
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    passed = int(suite["tests"]) - failed - skipped
    if status != 0 and failed == 0:
        print(f"pytest ended with status {status} without a failed test")
        failed = 1
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--unit", action="store_true", help="only the C unit programs")
    parser.add_argument("--sanitized", action="store_true", help="the build has sanitizers: stop at the first report")
    parser.add_argument("paths", nargs="*", default=None, help="pytest paths (default: tests)")
    args = parser.parse_args()
    if args.sanitized:
        os.environ["PELLUCID_SANITIZED"] = "1"
        os.environ.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
        os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    os.environ.setdefault("PELLUCID_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
    passed = failed = skipped = 0
    for name, command, env in unit_programs(args.build):
        p, f, s = run_unit(name, command, env, 3600 if args.sanitized else 600)
        passed, failed, skipped = passed + p, failed + f, skipped + s
    if not args.unit:
        p, f, s = run_pytest(args.build, args.paths or ["tests"], args.sanitized)
        passed, failed, skipped = passed + p, failed + f, skipped + s
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
