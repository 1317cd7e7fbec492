# SPDX-License-Identifier: MIT
"""What `make install` puts down is enough: the program runs, a program of somebody else builds with header, library and
pkg-config file and gets the same numbers."""
import os
import re
import shutil
import subprocess

import pytest

BUILD = os.environ.get("PELLUCID_BUILD", os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build"))

PROGRAM = r"""
#include <inttypes.h>
#include <pellucid.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    pel_error err = {0};
    pel_source *source = NULL;
    uint32_t crc = 0;
    if (!pel_source_open(&source, argv[argc - 1], NULL, &err) || !pel_checksum(&crc, source, 0, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%08" PRIx32 "\n", crc);
    pel_source_destroy(source);
    return 0;
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder into which the build was installed; its usr/local is the prefix."""
    if "PELLUCID_SANITIZED" in os.environ:
        pytest.skip("a build with sanitizers is not installed")
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", str(root)], check=True)
    found = list(root.glob("**/bin/pellucid"))
    assert len(found) == 1
    return found[0].parent.parent


def test_program_runs_where_it_is_installed(cli, installed):
    program = installed / "bin" / "pellucid"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == cli.ok("--version")


@pytest.mark.parametrize("compiler, name", [("cc", "a.c"), ("c++", "a.cpp")])
def test_others_build_with_it(cli, installed, tmp_path, compiler, name):
    (tmp_path / name).write_text(PROGRAM)
    pc = next(installed.glob("**/pellucid.pc"))
    prefix = next(line.split("=")[1].strip() for line in pc.read_text().splitlines() if line.startswith("prefix="))
    sysroot = str(installed)[:-len(prefix)]
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": sysroot}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "pellucid"], env=env, capture_output=True, text=True, check=True).stdout
    library = next(installed.glob("**/libpellucid.so")).parent
    try:
        subprocess.run([compiler, "-Wall", "-Werror", str(tmp_path / name), "-o", str(tmp_path / "a"), *flags.split(),
                        f"-Wl,-rpath,{library}"], check=True)
    except FileNotFoundError:
        pytest.skip(f"no {compiler} here")
    image = "phantom:z=3,y=50,x=60;seed=4"
    crc = subprocess.run([tmp_path / "a", image], capture_output=True, text=True, check=True).stdout.strip()
    assert crc == cli.json("checksum", image)["images"][0]["crc32"]


def test_tiles_in_jpeg_xr_are_decoded_by_the_installed_program(installed, shared):
    """Its helper is found beside it, too."""
    helpers = list(installed.glob("**/pellucid-jxr"))
    if not helpers:
        pytest.skip("this build reads no JPEG XR")
    program = installed / "bin" / "pellucid"
    subprocess.run([program, "checksum", os.path.join(shared, "czi", "syn_gray16_jxr.czi")], capture_output=True, check=True)


def test_the_image_holds_every_library(installed):
    """packaging/Dockerfile names the package of each library that the installed programs want."""
    if not shutil.which("dpkg-query") or not shutil.which("readelf"):
        pytest.skip("no Debian here")
    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "packaging", "Dockerfile")) as f:
        named = set(f.read().split("FROM debian:bookworm-slim")[1].split())
    programs = [p for p in installed.glob("**/*") if p.is_file() and os.access(p, os.X_OK) and p.name != "pellucid-manager"]
    wanted = set()
    for p in programs:
        wanted |= set(re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", p], capture_output=True, text=True).stdout))
    assert "libjson-c.so.5" in wanted
    for library in wanted:
        found = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True).stdout
        packages = set(re.findall(r"^([^:, ]+)", found, re.M))
        assert not packages or packages & (named | {"libc6", "libgcc-s1", "libpellucid"}), (library, packages)
