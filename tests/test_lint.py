# SPDX-License-Identifier: MIT
"""Each house rule as a test, and a made-up house that breaks every rule, so that a check that sees nothing fails."""
import os

import lint
import pytest

BUILD = os.environ.get("PELLUCID_BUILD", os.path.join(lint.ROOT, "build"))


@pytest.mark.parametrize("check", lint.CHECKS, ids=lambda c: c.__name__)
def test_house(check):
    found = check(lint.ROOT, BUILD)
    assert not found, "\n" + "\n".join(found)


def put(folder, path, text):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("path, target", [
    ("src/core/a.c", "codec/zstd.h"), ("src/source/czi.c", "sink/sink.h"), ("src/source/czi.c", "source/tiff_tags.h"),
    ("src/engine/threads.c", "filter/filter.h"), ("src/plan/plan.c", "filter/ndsafir.h"), ("src/run/job.c", "engine/engine.h"),
    ("src/filter/gauss.c", "source/source.h"), ("cli/verb_a.c", "core/error.h"), ("src/new/a.c", "core/error.h"),
    ("dashboard/page.c", "run/run.h"), ("dashboard/page.c", "cli.h"), ("src/run/work.c", "dashboard/dashboard.h"),
])
def test_wrong_direction_is_found(tmp_path, path, target):
    put(tmp_path, path, f'#include "{target}"\n')
    assert len(lint.check_include_directions(str(tmp_path))) == 1


@pytest.mark.parametrize("path, target", [
    ("src/core/a.c", "core/error.h"), ("src/source/czi.c", "source/czi_xml.h"), ("src/source/source.c", "source/source.h"),
    ("src/engine/threads.c", "run/job.h"), ("src/api.c", "filter/ndsafir.h"), ("cli/verb_a.c", "pellucid.h"), ("dashboard/page.c", "pellucid.h"),
])
def test_right_direction_passes(tmp_path, path, target):
    put(tmp_path, path, f'#include "{target}"\n')
    assert lint.check_include_directions(str(tmp_path)) == []


def test_long_function_is_found(tmp_path):
    body = "    a++;\n" * 61
    put(tmp_path, "src/core/a.c", f"int f(int a)\n{{\n{body}}}\n\nstatic void g(int a,\n              int b)\n{{\n{body}}}\n")
    found = lint.check_lengths(str(tmp_path))
    assert len(found) == 2 and "f has 61" in found[0] and "g has 61" in found[1]


def test_long_file_is_found(tmp_path):
    put(tmp_path, "src/core/a.c", "\n" * 801)
    assert len(lint.check_lengths(str(tmp_path))) == 1


def test_banned_calls_are_found(tmp_path):
    put(tmp_path, "src/core/a.c", 'void f(void)\n{\n    strcpy(a, b); /* sprintf(x) */\n    g("atoi(");\n    printf("");\n}\n')
    put(tmp_path, "cli/a.c", "void f(void)\n{\n    printf(a);\n    x = atoi(b);\n}\n")
    assert [f.split(": ")[1] for f in lint.check_banned_calls(str(tmp_path))] == ["strcpy", "printf", "atoi"]


def test_cluster_library_elsewhere_is_found(tmp_path):
    put(tmp_path, "src/engine/threads.c", "#include <work_queue.h>\n")
    put(tmp_path, "src/engine/workqueue_main.c", "#include <work_queue.h>\n")
    assert lint.check_cluster_library_apart(str(tmp_path)) == ["src/engine/threads.c: names a header of CCTools"]


def test_openssl_elsewhere_is_found(tmp_path):
    put(tmp_path, "src/engine/threads.c", "#include <openssl/ssl.h>\n")
    put(tmp_path, "src/engine/tls_channel.c", "#include <openssl/ssl.h>\n")
    assert lint.check_tls_apart(str(tmp_path)) == ["src/engine/threads.c: names a header of OpenSSL"]


def test_text_rules_are_found(tmp_path):
    put(tmp_path, "src/core/a.c", "int a;\t\nint b; \n\n")
    assert len(lint.check_text(str(tmp_path))) == 5


def test_header_that_needs_another_is_found(tmp_path):
    put(tmp_path, "include/pellucid.h", "typedef int pel_a;\n")
    put(tmp_path, "src/core/a.h", "#ifndef A_H\n#define A_H\nstatic inline size_t f(void) { return 0; }\n#endif\n")
    found = lint.check_headers_alone(str(tmp_path))
    assert any("core/a.h" in f for f in found)
    assert not any("pellucid.h alone with gcc: error" in f for f in found)
