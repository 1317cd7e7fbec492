# SPDX-License-Identifier: MIT
"""The pages say what is true: their marked examples run, their links lead somewhere, what they name exists.

A fenced sh block right after the line <!-- run --> is run with `set -e` in the page's own temporary folder; the blocks of a
page share it and run in order.
"""
import os
import re
import subprocess

import pytest

from conftest import ROOT, program

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + sorted(
    "docs/" + n for n in os.listdir(os.path.join(ROOT, "docs")) if n.endswith(".md"))
BLOCK = re.compile(r"^<!-- run -->\n```sh\n(.*?)^```$", re.M | re.S)


def read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        return f.read()


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search(read(p))])
def test_examples_run(page, tmp_path):
    path = os.path.dirname(program()) + os.pathsep + os.environ["PATH"]
    for number, block in enumerate(BLOCK.findall(read(page)), 1):
        done = subprocess.run(["sh", "-e", "-c", block], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True,
                              text=True, timeout=300)
        assert done.returncode == 0, f"{page}, block {number}:\n{block}\n{done.stdout}\n{done.stderr}"


def test_there_are_examples():
    assert sum(len(BLOCK.findall(read(p))) for p in PAGES) >= 4


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = os.path.dirname(os.path.join(ROOT, page))
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page)):
        if "://" not in target:
            assert os.path.exists(os.path.join(folder, target)), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_verbs_and_options_exist(page, cli):
    """Every `pellucid VERB … --option` in a fenced block or in backquotes is known to the program."""
    text = read(page)
    code = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) + re.findall(r"`(pellucid [^`\n]+)`", text)
    for line in "\n".join(code).replace("\\\n", " ").split("\n"):
        for verb, words in re.findall(r"\bpellucid (plan [a-z]+|[a-z]+)\b([^|;&#)]*)", line):
            if verb == "help":
                continue
            known = cli.ok(*verb.split(), "--help")
            for option in re.findall(r"(?<!\S)--([a-z][a-z0-9-]*)", words):
                assert f"--{option}" in known, f"{page}: {line.strip()}: --{option}"


def test_the_pages_know_every_verb(cli):
    text = "\n".join(read(p) for p in PAGES if p != "CHANGELOG.md")
    for verb in re.findall(r"^  (\w+) +\S", cli.ok("help"), re.M):
        assert re.search(rf"`{verb}\b|pellucid {verb}\b", text), f"no page tells of {verb}"


def test_every_page_is_reached():
    text = read("README.md") + read("docs/guide.md") + read("docs/architecture.md")
    for page in PAGES:
        name = os.path.basename(page)
        assert name in text or name == "README.md", page


def test_make_targets_exist():
    makefile = read("Makefile")
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", read(page), re.M):
            assert re.search(rf"^[a-z -]*\b{target}\b[a-z -]*:", makefile, re.M), f"{page}: make {target}"


UNRUN = re.compile(r"(?<!<!-- run -->\n)^```sh\n(.*?)^```$", re.M | re.S)


def commands_of(page):
    """The calls of pellucid in examples that are not run: their files do not exist here, or their scheduler."""
    for block in UNRUN.findall(read(page)):
        for line in block.replace("\\\n", " ").split("\n"):
            for part in re.split(r"\s#\s|;|\|", re.sub(r"^\s*exec ", "", line)):
                if re.match(r"\s*pellucid ", part) and "…" not in part:
                    yield part.strip()


@pytest.mark.parametrize("command", sorted({c for c in commands_of("docs/cluster.md")}))
def test_words_of_examples_are_known(command, tmp_path):
    """They get as far as the first file that is not there."""
    folder = os.path.dirname(program())
    words = command.replace("$0", "job.sh")
    done = subprocess.run(["sh", "-c", f"exec {folder}/{words}"], cwd=tmp_path, env={**os.environ, "PELLUCID_SITE": str(tmp_path / "none"), "HOME": str(tmp_path)},
                          capture_output=True, text=True, timeout=300)
    if "kubernetes" in command or "aws-batch" in command: # their folders are those of a container
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode in (1, 2, 3) and re.search("no such output|[Nn]o such file|no run|there is no", done.stderr), f"{done.returncode}: {done.stderr}"
