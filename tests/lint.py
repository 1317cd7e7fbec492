#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The house rules that a program can check; each check returns the list of its findings, one line each.

Run as a program it prints all findings and fails if there is one; tests/test_lint.py runs each check as a test.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Which folders of src/ a folder may include from, besides itself and pellucid.h. A name with a file is that header only.
MAY_INCLUDE = {
    "core": set(),
    "codec": {"core"},
    "noise": {"core"},
    "filter": {"core", "noise"},
    "zarr": {"core", "codec"},
    "source": {"core", "codec", "zarr"},
    "sink": {"core", "codec", "zarr"},
    "plan": {"core", "source/source.h", "filter/filter.h", "filter/params.h", "filter/pipeline.h", "sink/sink.h"},
    # downsample.h: the pyramid is part of every run, whatever its filter.
    "run": {"core", "plan", "source/source.h", "filter/filter.h", "filter/params.h", "filter/pipeline.h", "filter/downsample.h", "sink/sink.h",
            "noise/noise.h", "noise/spectrum.h"},
    "engine": {"core", "run/job.h", "run/ledger.h"},
}

# A format or filter is a family of files that begin with its name; families of one folder do not include each other.
FAMILIES = {"source": ("czi", "tiff", "zarr", "phantom"), "filter": ("ndsafir", "gauss", "median", "identity", "downsample")}

# file or function -> reason. A longer function or file is a finding; so is an entry here that is no longer needed.
LONG_FUNCTIONS = {}
# program outside src/ -> reason why it includes more than pellucid.h
LOOKS_INSIDE = {"bench/zarr_speed.c": "measures the Zarr reader and writer without a run around them"}
# header -> reason why it does not compile alone
TEMPLATE = "a template: compiled once for each instruction set, with its name defined before"
NOT_ALONE = {"filter/lanes.h": TEMPLATE, "filter/ndsafir_lanes.h": TEMPLATE, "filter/ndsafir_feed.h": TEMPLATE}
LONG_FILES = {}
FUNCTION_LINES = 60
FILE_LINES = 800

BANNED = {
    "strcpy": "snprintf or memcpy with a checked length", "strcat": "snprintf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "strcspn", "atoi": "strtoll with a check", "atol": "strtoll",
    "atof": "strtod with a check", "system": "posix_spawn", "rand": "a counter-based generator", "srand": "-",
    "alloca": "an arena", "tmpnam": "mkstemp", "mktemp": "mkstemp", "setjmp": "-", "longjmp": "-",
}
BANNED_IN_LIBRARY = {
    "getenv": "the library reads no environment", "secure_getenv": "the library reads no environment",
    "setenv": "-", "setlocale": "-", "printf": "the library prints nothing", "puts": "the library prints nothing",
    "putchar": "the library prints nothing", "perror": "the library prints nothing", "exit": "return an error",
    "abort": "return an error", "signal": "belongs to the program", "srandom": "-", "random": "-",
}
# Programs of their own under src/: they may print, read their environment and exit.
PROGRAMS = re.compile(r"(_main|_helper)\.c$")


def sources(root, *folders, ends=(".c", ".h")):
    for folder in folders:
        for at, dirs, names in sorted(os.walk(os.path.join(root, folder))):
            dirs.sort()
            for name in sorted(names):
                if name.endswith(ends):
                    yield os.path.relpath(os.path.join(at, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def code_only(text):
    """Comments and the insides of literals blanked, lines kept."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: blank(m) if m.group()[0] == "/" else m.group()[0] + blank(m)[1:-1] + m.group()[-1],
                  text, flags=re.S)


def includes(root, path):
    """(line number, name) of the quoted includes."""
    for number, line in enumerate(read(root, path).split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m:
            yield number, m[1]


def family(folder, name):
    return next((f for f in FAMILIES.get(folder, ()) if name == f or re.match(f + r"[._]", name)), None)


def allowed(folder, name, target):
    if "/" not in target:
        return target == "pellucid.h" or os.path.dirname(target) == ""
    room, file = target.split("/", 1)
    if room == folder:
        mine, theirs = family(folder, name), family(folder, file)
        return theirs is None or mine == theirs
    permitted = MAY_INCLUDE.get(folder, set())
    return room in permitted or target in permitted


def check_include_directions(root, build=None):
    found = []
    for path in sources(root, "src"):
        parts = path.split("/")
        for number, target in includes(root, path):
            if target.startswith("cli/") or target == "api.c" or target.endswith(".c") and "kernel" not in target:
                found.append(f"{path}:{number}: includes {target}")
            elif len(parts) > 2 and parts[1] not in MAY_INCLUDE:
                found.append(f"{path}:{number}: the folder has no rule in tests/lint.py")
            elif len(parts) > 2 and not allowed(parts[1], parts[-1], target):
                found.append(f"{path}:{number}: {parts[1]} must not include {target}")
    for path in sources(root, "cli", "bench", "demo", "dashboard"):
        if path in LOOKS_INSIDE:
            continue
        for number, target in includes(root, path):
            if "/" in target:
                found.append(f"{path}:{number}: only pellucid.h and own headers, not {target}")
            elif path.startswith("dashboard/") and target != "pellucid.h" and not os.path.exists(os.path.join(root, "dashboard", target)):
                found.append(f"{path}:{number}: the dashboard knows pellucid.h and itself, not {target}")
    return found


def check_symbols(root, build=None):
    """The shared library exports pel_ names only, and none of the zone pel__."""
    library = os.path.join(build or os.path.join(root, "build"), "src", "libpellucid.so")
    if not os.path.exists(library):
        return [f"{library}: not built"]
    names = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    exported = [line.split()[-1].split("@")[0] for line in names.splitlines()]
    found = [f"{n}: exported by the library" for n in exported if not n.startswith("pel_") or n.startswith("pel__")]
    header = read(root, "include/pellucid.h")
    declared = set(re.findall(r"\b(pel_\w+)\s*\(", code_only(header)))
    found += [f"{n}: exported, not in pellucid.h" for n in exported if n.startswith("pel_") and n not in declared]
    return found + ([] if exported else ["the library exports nothing"])


def check_cluster_library_apart(root, build=None):
    """CCTools (GPL v2, and it ends the process on some errors) is in pellucid-manager and nowhere else."""
    found = [f"{path}: names a header of CCTools" for path in sources(root, "src", "cli", "dashboard", "include")
             if not os.path.basename(path).startswith("workqueue")
             and re.search(r'#\s*include\s*[<"][^>"]*(work_queue|dttools|cctools)', read(root, path))]
    return found + check_needed(root, build, "work_queue|dttools", "pellucid", "src/libpellucid.so")


def check_needed(root, build, libraries, *programs):
    """Programs of the build that link what they must not."""
    found = []
    for name in programs:
        binary = os.path.join(build or os.path.join(root, "build"), name)
        if os.path.exists(binary):
            needed = subprocess.run(["readelf", "-d", binary], check=True, capture_output=True, text=True).stdout
            found += [f"{name}: {line.strip()}" for line in needed.splitlines() if re.search(f"NEEDED.*({libraries})", line)]
    return found


def check_tls_apart(root, build=None):
    """OpenSSL is in pellucid-tls and nowhere else."""
    found = [f"{path}: names a header of OpenSSL" for path in sources(root, "src", "cli", "dashboard", "include")
             if not os.path.basename(path).startswith("tls_") and re.search(r'#\s*include\s*[<"]openssl/', read(root, path))]
    return found + check_needed(root, build, "libssl|libcrypto", "pellucid", "src/libpellucid.so", "src/pellucid-manager")


FUNCTION = re.compile(r"^(?!typedef|struct|enum|union|#|static const \w+ \w+\[)[A-Za-z_][^;{}=]*\)\s*\n\{\n(.*?)^\}", re.M | re.S)


def functions(text):
    """(name, first line, lines) of each function; a function's brace stands alone on its line."""
    text = code_only(text)
    for m in FUNCTION.finditer(text):
        head = m.group().split("\n{", 1)[0]
        name = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\(\(.*?\)\)\)?", "", head))
        body = m.group(1).count("\n")
        yield name[1] if name else "?", text.count("\n", 0, m.start()) + 1, body


def check_lengths(root, build=None):
    found = []
    long_functions, long_files = dict(LONG_FUNCTIONS), dict(LONG_FILES)
    for path in sources(root, "src", "cli", "dashboard", "include"):
        text = read(root, path)
        lines = text.count("\n")
        if lines > FILE_LINES and not long_files.pop(path, None):
            found.append(f"{path}: {lines} lines, at most {FILE_LINES}")
        for name, line, length in functions(text):
            if length > FUNCTION_LINES and not long_functions.pop(f"{path}:{name}", None):
                found.append(f"{path}:{line}: {name} has {length} lines, at most {FUNCTION_LINES}")
    return found + [f"tests/lint.py: {k} needs no exception any more" for k in [*long_functions, *long_files]]


def check_banned_calls(root, build=None):
    found = []
    for path in sources(root, "src", "cli", "dashboard"):
        banned = dict(BANNED)
        if not path.startswith("cli/") and not PROGRAMS.search(path):
            banned.update(BANNED_IN_LIBRARY)
        calls = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
        for number, line in enumerate(code_only(read(root, path)).split("\n"), 1):
            for m in calls.finditer(line):
                found.append(f"{path}:{number}: {m[1]}: {banned[m[1]]}")
    return found


def check_text(root, build=None):
    """Licence line first, no tabs, no trailing blanks, one newline at the end."""
    found = []
    for path in sources(root, "src", "cli", "dashboard", "include", "tests", "bench", ends=(".c", ".h", ".py", ".build", ".sh")):
        text = read(root, path)
        if path.endswith((".c", ".h", ".py", ".sh")) and "SPDX-License-Identifier: MIT" not in text[:160]:
            found.append(f"{path}: no SPDX-License-Identifier: MIT at the top")
        if not text.endswith("\n") or text.endswith("\n\n"):
            found.append(f"{path}: must end with one newline")
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line:
                found.append(f"{path}:{number}: tab")
            if line != line.rstrip():
                found.append(f"{path}:{number}: trailing blank")
    return found


def compile_alone(root, header, compiler, flags):
    with tempfile.TemporaryDirectory() as folder:
        main = os.path.join(folder, "alone.c" if compiler != "g++" else "alone.cpp")
        with open(main, "w", encoding="utf-8") as f:
            f.write(f'#include "{header}"\n#include "{header}"\n')
        command = [compiler, *flags, "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-function",
                   "-I", os.path.join(root, "include"), "-I", os.path.join(root, "src"), main]
        return subprocess.run(command, capture_output=True, text=True)


def check_headers_alone(root, build=None):
    """Each header compiles by itself and twice; pellucid.h in C and in C++, pedantically."""
    found = []
    try:
        libraries = subprocess.run(["pkg-config", "--cflags", "json-c"], capture_output=True, text=True).stdout.split()
    except FileNotFoundError:
        libraries = []
    strict = ["-Werror", "-pedantic"]
    jobs = [("pellucid.h", "gcc", ["-std=c17", *strict]), ("pellucid.h", "g++", ["-std=c++17", *strict])]
    jobs += [(h[len("src/"):], "gcc", ["-std=gnu17", "-D_GNU_SOURCE", "-Werror", *libraries]) for h in sources(root, "src", ends=(".h",))
             if h[len("src/"):] not in NOT_ALONE]
    jobs += [(h, "gcc", ["-std=gnu17", "-D_GNU_SOURCE", "-Werror", "-I", root, *libraries]) for h in sources(root, "dashboard", ends=(".h",))]
    for header, compiler, flags in jobs:
        try:
            done = compile_alone(root, header, compiler, flags)
        except FileNotFoundError:
            continue  # no such compiler here
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["?"]
            found.append(f"{header} alone with {compiler}: {lines[0]}")
    return found


CHECKS = (check_include_directions, check_symbols, check_cluster_library_apart, check_tls_apart, check_lengths, check_banned_calls, check_text, check_headers_alone)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    args = parser.parse_args()
    found = [f for check in CHECKS for f in check(ROOT, args.build)]
    print("\n".join(found) if found else "lint: nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
