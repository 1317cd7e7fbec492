# SPDX-License-Identifier: MIT
"""Names that are nasty, in every place of a job script where a text of the user stands: each scheduler, read by its own rule as
written here anew, finds the very name, or pellucid refuses with the way out. The real Slurm and Grid Engine read them in tests/cluster.
"""
import json
import os
import re
import shlex
import subprocess

import pytest

NASTY = ["plain", "a b", "two  blanks", " lead", "trail ", "it's", 'say "x"', "it's \"both\"", "$(touch gone)", "`touch gone`", "$HOME", "d$x", "$$(OpSys)", "$ENV(HOME)",
         "back\\slash", "end\\", "a#b", "#", "100%", "%j", "%J_%I", "%%", "c:d", "e,f", "semi;x", "a&b", "x*y?", "[z]", "{b}", "~", "µm", "!x", "<>", "|", "-o", "=", "$JOB_ID"]
CONTROLS = ["line\nfeed", "line\n#SBATCH --output=gone", "tab\tx", "cr\rx", "esc\x1b[31m", "del\x7f"]
SHELLS = ["slurm", "pbs", "torque", "sge", "lsf"]
SCHEDULERS = [*SHELLS, "htcondor", "kubernetes", "aws-batch"]


# ---- how each scheduler takes a line apart ------------------------------------------------------------------------------

def slurm_words(line):
    """sbatch: a mark begins and ends, a backslash keeps the next sign (not a blank outside of marks), # ends the line."""
    words, word, mark, i = [], None, "", 0
    while i < len(line):
        c = line[i]
        if c == "\\" and i + 1 < len(line) and (mark or line[i + 1] != " "):
            i, word = i + 1, (word or "") + line[i + 1]
        elif mark:
            mark, word = ("", word) if c == mark else (mark, word + c)
        elif c in "\"'":
            mark, word = c, word or ""
        elif c == "#":
            break
        elif c == " ":
            words, word = words + ([word] if word is not None else []), None
        else:
            word = (word or "") + c
        i += 1
    assert not mark
    return words + ([word] if word is not None else [])


def slurm_file(pattern):
    if "\\" in pattern:
        return pattern.replace("\\", "")
    return re.sub(r"%(.)", lambda m: {"%": "%", "j": "7", "A": "7", "a": "1"}.get(m[1], m[0]), pattern)


def pbs_words(line):
    """qsub of PBS: within marks all stands for itself, outside a backslash keeps the next sign."""
    words, word, i = [], None, 0
    while i < len(line):
        c = line[i]
        if c in "\"'":
            end = line.index(c, i + 1)
            word, i = (word or "") + line[i + 1:end], end
        elif c == "\\":
            i, word = i + 1, (word or "") + line[i + 1]
        elif c == " ":
            words, word = words + ([word] if word is not None else []), None
        else:
            word = (word or "") + c
        i += 1
    return words + ([word] if word is not None else [])


def marked_words(line):
    """Grid Engine and LSF: double marks keep together; what they do with other signs is not promised."""
    words = re.findall(r'"[^"]*"|[^ "]+', line)
    assert " ".join(words) == line
    return [w.strip('"') for w in words]


def sge_file(path):
    assert not re.search(r"[,:#'\"]|\$[A-Z]", path)
    return path


def lsf_file(path):
    assert not re.search(r'[$`\\"]', path)
    return path.replace("%J", "7").replace("%I", "1")


def torque_file(path):
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {path}"], capture_output=True, text=True)
    return done.stdout[:-1]


def condor_value(text):
    assert "$$(" not in text and "$$[" not in text
    return re.sub(r"\$(\w*)\(([^)]*)\)", lambda m: {"DOLLAR": "$", "Cluster": "7", "Process": "0"}[m[2]] if not m[1] else f"<{m[0]}>", text)


def condor_words(line):
    assert line[0] == '"' and line[-1] == '"' and '"' not in line[1:-1].replace('""', "")
    return [w[1:-1].replace("''", "'") if w[0] == "'" else w for w in re.findall(r"'(?:[^']|'')*'|[^ ]+", condor_value(line[1:-1].replace('""', '"')))]


PREFIX = {"slurm": "#SBATCH ", "pbs": "#PBS ", "torque": "#PBS ", "sge": "#$ ", "lsf": "#BSUB "}
RULES = {"slurm": (slurm_words, slurm_file), "pbs": (pbs_words, str), "torque": (pbs_words, torque_file), "sge": (marked_words, sge_file), "lsf": (marked_words, lsf_file)}


def read_shell(scheduler, text):
    """(log file, queue, words of the command) as the scheduler and the shell understand the script."""
    split, name = RULES[scheduler]
    options, lines = {}, text.splitlines()
    assert lines[0] == "#!/bin/sh" and lines[-1].startswith("exec ") and all(line.startswith(PREFIX[scheduler]) for line in lines[1:-1])
    for line in lines[1:-1]:
        words = split(line[len(PREFIX[scheduler]):])
        key, value = words[0].split("=", 1) if words[0].startswith("--") else (words[0], words[1] if len(words) > 1 else "")
        assert len(words) == (1 if words[0].startswith("--") else min(2, len(words))) or words[0] == "-pe", line
        options.setdefault(key, value)
    log = name(options.get("--output", options.get("-o", "")))
    command = subprocess.run(["sh", "-c", lines[-1].replace("exec ", "printf '%s\\0' ", 1)], capture_output=True, text=True).stdout.split("\0")[:-1]
    return log, options.get("--partition", options.get("-q")), command


def read_condor(text):
    values = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    queue = values.get("+AccountingGroup", '""')
    assert queue[0] == queue[-1] == '"' and not re.search(r'["\\]', queue[1:-1])
    assert values["output"] == values["output"].strip() and " " not in values["output"]
    return condor_value(values["output"]), condor_value(queue[1:-1]), [condor_value(values["executable"]), *condor_words(values["arguments"])]


def kubernetes_word(word):
    return re.sub(r"\$\$|\$\((\w+)\)", lambda m: "$" if m[0] == "$$" else f"<{m[0]}>", word)


def read_any(scheduler, text):
    if scheduler in RULES:
        return read_shell(scheduler, text)
    if scheduler == "htcondor":
        return read_condor(text)
    job = json.loads(text)
    if scheduler == "aws-batch":
        return None, job["jobQueue"], job["containerOverrides"]["command"]
    pod = job["spec"]["template"]["spec"]
    return None, pod["priorityClassName"], [kubernetes_word(w) for w in pod["containers"][0]["command"]]


# ---- the table -------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def prepared(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quoting")
    cli.ok("phantom", folder / "a.czi", "--size", "y=64,x=64", "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "o.ome.zarr", "--prepare", "--quiet")
    return folder


def submit(cli, out, scheduler, *words):
    image = ("--image", "x") if scheduler in ("kubernetes", "aws-batch") else ()
    queue = ("--queue", "q") if "--queue" not in words else ()
    return cli("submit", out, "--scheduler", scheduler, "--parts", "1", *image, *queue, *words)


def place(prepared, name):
    """The run under a nasty name, by a link of the folder above (the real path is what scripts hold, so the folder is renamed)."""
    at = prepared.parent / "nasty" / name
    at.parent.mkdir(exist_ok=True)
    if not at.exists():
        subprocess.run(["cp", "-r", prepared, at], check=True)
    return at / "o.ome.zarr"


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_nasty_folder_is_said_or_refused(cli, prepared, scheduler):
    said = 0
    for name in NASTY:
        out = place(prepared, name)
        done = submit(cli, out, scheduler)
        if done.returncode == 2:
            assert "rename" in done.stderr and scheduler in done.stderr and done.stdout == "", (name, done.stderr)
            continue
        assert done.returncode == 0, (name, done.stderr)
        log, _, command = read_any(scheduler, done.stdout)
        assert log is None or os.path.dirname(log + ("/x" if scheduler == "sge" else "")) == f"{out}.run/log", (name, log)
        assert command[1:4] == ["work", str(out), "--part"], (name, command)
        said += 1
    assert said >= {"torque": 8, "htcondor": 20}.get(scheduler, 22), "most can be said"
    assert said == len(NASTY) or scheduler not in ("pbs", "kubernetes", "aws-batch")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_nasty_queue_or_program_is_said_or_refused(cli, prepared, scheduler):
    out = place(prepared, "plain")
    for name in NASTY:
        done = submit(cli, out, scheduler, "--queue", name, "--program", "/opt/" + name)
        if done.returncode == 2:
            assert "--queue" in done.stderr or "rename" in done.stderr, (name, done.stderr)
            continue
        _, queue, command = read_any(scheduler, done.stdout)
        assert (queue, command[0]) == (name, "/opt/" + name), name


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_control_characters_are_refused_everywhere(cli, prepared, scheduler):
    for name in CONTROLS:
        done = submit(cli, place(prepared, name), scheduler)
        assert done.returncode == 2 and "rename" in done.stderr and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stderr), done.stderr
        for option in ("--queue", "--program", "--image", "--directive", "--without", "--volume", "--name"):
            words = () if option == "--image" else ("--image", "x")
            done = cli("submit", place(prepared, "plain"), "--scheduler", scheduler, "--parts", "1", "--queue", "q", *words, option, f"a=/{name}:/b")
            assert done.returncode == 2 and option in done.stderr, (option, done.stderr)


def test_a_line_that_is_left_out_is_not_refused(cli, prepared):
    """The way out that the message names."""
    out = place(prepared, "it's a name")
    for scheduler, line in (("sge", "-o "), ("torque", "-o "), ("htcondor", "output = ")):
        assert f"--without '{line}'" in submit(cli, out, scheduler).stderr
        text = submit(cli, out, scheduler, "--without", line).stdout
        assert "/log" not in text and str(out).replace("'", {"htcondor": "''"}.get(scheduler, "'\\''")) in text
    assert submit(cli, place(prepared, "back\\slash"), "slurm", "--without", "--output=").returncode == 0


def test_the_manager_refuses_before_it_begins(cli, prepared):
    if not os.access(os.path.join(os.path.dirname(cli.path), "src", "pellucid-manager"), os.X_OK):
        pytest.skip("built without Work Queue")
    out = place(prepared, "line\nfeed")
    message = cli.fails(2, "cluster", out, "--workers", "1", "--scheduler", "slurm", "--cores", "1", "--interface", "lo", timeout=20)
    assert "line feed" in message and not os.path.exists(f"{out}.run/manager.json")


def test_the_recorded_command_can_be_typed_again(cli, prepared, tmp_path):
    words = ["convert", str(prepared / "a.czi"), str(tmp_path / "it's $(odd) \"n\\m\"*.ome.zarr"), "--prepare", "--quiet"]
    cli.ok(*words)
    recorded = json.load(open(words[2] + ".run/plan.json"))["request"]["command"]
    assert shlex.split(recorded) == ["pellucid", *words]
