# SPDX-License-Identifier: MIT
"""A run from the first command to the audit, and everything that may befall it: every case ends in the same bytes."""
import glob
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest

NOISE = ("--noise", "3.92,-388")
# Small blocks, so that a small image has many of them; settings that keep it quick.
FAST = (*NOISE, "--tune", "off", "--iterations", "2", "--threads", "2")
BLOCKS = ("--chunk", "z=4,y=32,x=32", "--block", "z=4,y=64,x=64")


@pytest.fixture(scope="session")
def embryo(cli, tmp_path_factory):
    """A mosaic with odd sizes: 2 channels, 9 planes, ragged blocks of one voxel on y."""
    path = tmp_path_factory.mktemp("embryo") / "embryo.czi"
    cli.ok("phantom", path, "--size", "c=2,z=9,y=193,x=170", "--tiles", "y=80,x=90", "--overlap", "10", "--compression", "zstd1",
           "--quiet")
    return str(path)


def tree(folder):
    """Relative path -> digest of every file under a folder."""
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = hashlib.sha256(f.read()).hexdigest()
    return found


def pixels(folder):
    """As tree(), without the metadata documents (they hold the command as typed)."""
    return {k: v for k, v in tree(folder).items() if not k.endswith(("zarr.json", ".zattrs", ".zarray", ".zgroup", ".xml"))}


def records(output):
    """Every line of the ledger about a job as an object."""
    lines = [json.loads(line[9:]) for name in sorted(glob.glob(f"{output}.run/ledger/*.jsonl")) for line in open(name) if line.endswith("\n")]
    return [r for r in lines if r["job"] >= 0]


@pytest.fixture(scope="session")
def undisturbed(cli, embryo, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("undisturbed") / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    return out


def start(cli, *words, **options):
    return subprocess.Popen([cli.path, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for_records(output, n, process):
    """Until n blocks are in the ledger, or the process has ended."""
    while process.poll() is None and len(records(output)) < n:
        time.sleep(0.002)


def test_result_is_audited_and_has_no_seams(cli, undisturbed):
    status = cli.json("status", undisturbed)
    assert status["state"] == "done" and status["failed"] == 0
    assert status["blocks_done"] == status["blocks_total"] == 2 * 3 * 4 * 3
    result = cli.json("verify", undisturbed, "--windows", "60", "--seed", "1")
    assert result["windows"] == 60 and result["voxels"] > 10000
    assert result["missing"] == result["damaged"] == result["different"] == 0


def test_denoised_is_nearer_to_the_truth(cli, embryo, undisturbed, tmp_path):
    truth = cli.ok("phantom", "--computed", "--size", "c=2,z=9,y=193,x=170").strip().replace("phantom:", "phantom-truth:", 1)
    before = cli("compare", truth, embryo, "--peak", "65535", "--json")
    after = cli("compare", truth, undisturbed, "--peak", "65535", "--json")
    before, after = (json.loads(x.stdout)["images"][0]["psnr"] if "images" in json.loads(x.stdout) else json.loads(x.stdout)["psnr"]
                     for x in (before, after))
    assert after > before + 5


@pytest.mark.parametrize("block", ["z=4,y=32,x=32", "z=8,y=96,x=192", "z=12,y=224,x=192"])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_same_bits_for_any_block_and_thread_count(cli, embryo, undisturbed, tmp_path, block, threads):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *FAST[:-1], threads, "--chunk", "z=4,y=32,x=32", "--block", block, "--quiet")
    assert cli("compare", undisturbed, out).returncode == 0


def test_pyramid_does_not_depend_on_blocks(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *FAST, "--chunk", "z=4,y=32,x=32", "--block", "z=12,y=224,x=192", "--levels", "3", "--quiet")
    other = str(tmp_path / "other.ome.zarr")
    cli.ok("denoise", embryo, other, *FAST, *BLOCKS, "--levels", "3", "--quiet")
    for level in (1, 2):
        assert cli.ok("checksum", out, "--level", level).split()[0] == cli.ok("checksum", other, "--level", level).split()[0]


def test_kill_9_and_the_same_command_again(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    for n in (1, 5, 20, 40):
        p = start(cli, *words)
        wait_for_records(out, n, p)
        p.kill()
        p.communicate()
        done_before = {r["job"] for r in records(out) if r["ok"]}
        status = cli("status", out)
        assert status.returncode == (0 if len(done_before) == 80 else 1) and (status.returncode == 0 or "ended without a word" in status.stdout), status.stdout
    cli.ok(*words)
    assert pixels(out) == pixels(undisturbed)
    done = [r["job"] for r in records(out) if r["ok"]]
    assert len(done) == len(set(done)), "a finished block was computed twice"
    assert not glob.glob(f"{out}/**/.tmp-*", recursive=True) and not glob.glob(f"{out}/.tmp-*")
    assert cli.json("verify", out, "--windows", "10", "--seed", "3")["different"] == 0


def test_torn_last_record_is_no_record(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(undisturbed, out)
    shutil.copytree(undisturbed + ".run", out + ".run")
    ledger = glob.glob(f"{out}.run/ledger/*.jsonl")[0]
    jobs = [line for line in open(ledger) if '{"job":-1,' not in line]  # the last one is of the documents
    open(ledger, "w").write("".join(jobs)[:-7])
    assert json.loads(cli("status", out, "--json").stdout)["state"] == "interrupted"
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    assert pixels(out) == pixels(undisturbed)


def test_damaged_ledger_record_is_not_believed(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(undisturbed, out)
    shutil.copytree(undisturbed + ".run", out + ".run")
    ledger = glob.glob(f"{out}.run/ledger/*.jsonl")[0]
    lines = open(ledger).read().splitlines(True)
    lines[3] = lines[3].replace('"voxels":', '"voxelz":')
    open(ledger, "w").writelines(lines)
    before = len(records(out))
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    assert len(records(out)) == before + 1
    assert pixels(out) == pixels(undisturbed)


def test_ctrl_c_ends_cleanly_with_code_4(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", embryo, out, *FAST[:-1], "1", *BLOCKS, "--quiet")
    p = start(cli, *words)
    wait_for_records(out, 3, p)
    p.send_signal(signal.SIGINT)
    _, message = p.communicate(timeout=60)
    assert p.returncode == 4, message
    assert "the same command" in message
    assert not glob.glob(f"{out}/**/.tmp-*", recursive=True)
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["state"] == "interrupted" and "Ctrl-C" in status["reason"]
    assert "interrupted: stopped by Ctrl-C" in cli("status", out).stdout and "stopped by Ctrl-C" in open(out + ".run/index.html").read()
    cli.ok(*words)
    assert pixels(out) == pixels(undisturbed)
    assert json.loads(cli("status", out, "--json").stdout)["reason"] == ""


def test_changed_settings_are_named_and_refused(cli, embryo, undisturbed):
    before = tree(undisturbed)
    message = cli.fails(2, "denoise", embryo, undisturbed, *NOISE, "--tune", "off", "--iterations", "3", "--p-value", "0.05", *BLOCKS)
    assert "iterations was 2, now 3" in message and "p-value was 0.01, now 0.05" in message and "--fresh" in message
    message = cli.fails(2, "denoise", embryo, undisturbed, "--noise", "4,-388", "--tune", "off", "--iterations", "2")
    assert "noise was 3.9199999999999999,-388" in message
    message = cli.fails(2, "denoise", embryo, undisturbed, *FAST, "--block", "z=8,y=64,x=64")
    assert "block was z=4,y=64,x=64, now z=8,y=64,x=64" in message
    assert tree(undisturbed) == before


def test_other_memory_and_threads_go_on_with_the_same_run(cli, embryo, undisturbed):
    before, n = tree(undisturbed), len(records(undisturbed))
    cli.ok("denoise", embryo, undisturbed, *FAST[:-1], "1", "--memory", "900M", "--quiet")
    assert tree(undisturbed) == before and len(records(undisturbed)) == n


def test_changed_input_is_refused(cli, embryo, tmp_path):
    czi, out = str(tmp_path / "a.czi"), str(tmp_path / "out.ome.zarr")
    shutil.copy(embryo, czi)
    cli.ok("denoise", czi, out, *FAST, "--quiet")
    os.utime(czi, (1, 1))
    assert "input was" in cli.fails(2, "denoise", czi, out, *FAST, "--quiet")


def test_fresh_begins_anew_but_never_removes_what_is_not_ours(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *FAST, "--quiet")
    cli.ok("denoise", embryo, out, *NOISE, "--tune", "off", "--iterations", "1", "--quiet", "--fresh")
    assert cli.json("status", out)["state"] == "done"
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "photo.jpg").write_text("x")
    assert "exists" in cli.fails(2, "denoise", embryo, foreign, *FAST, "--quiet")
    assert cli("denoise", embryo, foreign, *FAST, "--quiet", "--fresh").returncode == 2
    assert (foreign / "photo.jpg").read_text() == "x"


def test_two_at_once_the_second_is_refused(cli, embryo, undisturbed, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", embryo, out, *FAST[:-1], "1", *BLOCKS, "--quiet")
    first = start(cli, *words)
    wait_for_records(out, 1, first)
    first.send_signal(signal.SIGSTOP)
    message = cli.fails(2, *words)
    assert "is working on this output" in message and str(first.pid) in message
    assert json.loads(cli("status", out, "--json").stdout)["state"] == "running"
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert pixels(out) == pixels(undisturbed)


def limit_file_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))


def test_disk_full_is_told_and_repaired(cli, embryo, undisturbed, tmp_path):
    """A limit on file size stands for the full disk: writes fail in the middle of a shard."""
    out = str(tmp_path / "out.ome.zarr")
    words = ("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    done = cli(*words, preexec_fn=limit_file_size)
    assert done.returncode == 1, done.stderr
    assert "block" in done.stderr and "cannot write" in done.stderr and "File too large" in done.stderr
    assert not glob.glob(f"{out}/**/.tmp-*", recursive=True)
    assert cli("status", out).returncode == 1
    cli.ok(*words)
    assert pixels(out) == pixels(undisturbed)


def test_damaged_tile_fails_its_blocks_only(cli, embryo, undisturbed, tmp_path):
    czi, out = str(tmp_path / "a.czi"), str(tmp_path / "out.ome.zarr")
    shutil.copy2(embryo, czi)
    whole = open(czi, "rb").read()
    stamp = os.stat(czi)
    frame = whole.index(b"\x28\xb5\x2f\xfd", len(whole) // 2)  # a zstd frame in the middle of the file
    with open(czi, "r+b") as f:
        f.seek(frame + 2)
        f.write(b"\0\0\0\0\0\0")
    os.utime(czi, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    words = ("denoise", czi, out, *FAST, *BLOCKS, "--quiet")
    message = cli.fails(1, *words)
    assert "block" in message and "tile" in message and "failed" in message
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["state"] == "incomplete" and 0 < status["failed"] < status["blocks_total"] / 2
    assert status["blocks_done"] + status["failed"] == status["blocks_total"]
    with open(czi, "r+b") as f:
        f.seek(frame + 2)
        f.write(whole[frame + 2:frame + 8])
    os.utime(czi, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    cli.ok(*words)
    assert pixels(out) == pixels(undisturbed)


@pytest.mark.parametrize("harm", ["flip", "remove", "truncate"])
def test_audit_finds_harm_and_the_same_command_repairs(cli, embryo, undisturbed, tmp_path, harm):
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(undisturbed, out)
    shutil.copytree(undisturbed + ".run", out + ".run")
    victim = sorted(glob.glob(f"{out}/0/c/*/*/*/*/*"))[7]
    if harm == "flip":
        with open(victim, "r+b") as f:
            f.seek(100)
            byte = f.read(1)
            f.seek(100)
            f.write(bytes([byte[0] ^ 1]))
    elif harm == "remove":
        os.remove(victim)
    else:
        os.truncate(victim, os.path.getsize(victim) - 1)
    done = cli("verify", out, "--windows", "4")
    assert done.returncode == 1 and "1 missing" in done.stdout or "1 damaged" in done.stdout
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")  # a flipped bit is found by the audit, and its block done again
    assert pixels(out) == pixels(undisturbed)


def test_a_wrong_voxel_is_a_seam(cli, embryo, tmp_path):
    """verify must be able to fail: pixels written with other settings, ledger, number of the run and all, are found by recomputation."""
    one, two = str(tmp_path / "one.ome.zarr"), str(tmp_path / "two.ome.zarr")
    cli.ok("denoise", embryo, one, *FAST, *BLOCKS, "--quiet")
    cli.ok("denoise", embryo, two, *NOISE, "--tune", "off", "--iterations", "1", "--threads", "2", *BLOCKS, "--quiet")
    shutil.rmtree(two + ".run/ledger")
    shutil.copytree(one + ".run/ledger", two + ".run/ledger")
    shutil.rmtree(two)
    shutil.copytree(one, two)
    plans = [json.load(open(f"{out}.run/plan.json")) for out in (one, two)]
    json.dump({**plans[1], "run": plans[0]["run"]}, open(f"{two}.run/plan.json", "w"))
    done = cli("verify", two, "--windows", "5", "--seed", "5")
    assert done.returncode == 1 and ", 0 differ" not in done.stdout


def test_what_cannot_fit_is_refused_with_the_limit_that_would_do(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    message = cli.fails(2, "denoise", embryo, out, *FAST, "--memory", "31M")
    assert "give --memory" in message
    enough = message.split("--memory ")[1].split(",")[0].split()[0]
    assert not os.path.exists(out) and not os.path.exists(out + ".run")
    cli.ok("plan", "denoise", embryo, out, *FAST, "--memory", enough, "--no-timing")
    assert not os.path.exists(out) and not os.path.exists(out + ".run")


def test_plan_says_what_happens(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    plan = cli.json("plan", "denoise", embryo, out, *FAST, *BLOCKS)
    assert plan["blocks"] == 72 and plan["memory_promised"] <= plan["memory_limit"]
    assert plan["seconds_estimated"] > 0 and plan["halo_read"] > 1
    text = cli.ok("plan", "denoise", embryo, out, *FAST, *BLOCKS, "--no-timing")
    assert "  sweep    none: cut along " in text and "computes its halo anew" in text
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    files = [k for k in pixels(out)]
    assert len(files) <= plan["files"]


def test_wrong_words_are_refused_before_anything_is_written(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    for words, part in [(("--noise", "x"), "noise"), (("--noise", "1,2;3,4;5,6"), "3 models"), (("--p-value", "2"), "p-value"),
                        (("--block", "y=48", "--chunk", "y=32"), "whole chunks"), (("--codec", "lzma"), "lzma"), (("--dtype", "uint7"), "uint7"),
                        (("--format", "0.3"), "0.3")]:
        noise = () if words[0] == "--noise" else NOISE
        assert part in cli.fails(2, "denoise", embryo, out, *words, "--iterations", "1", *noise), words
        assert not os.path.exists(out) and not os.path.exists(out + ".run")
    cli.fails(3, "denoise", tmp_path / "none.czi", out, *NOISE)


def test_convert_keeps_every_value(cli, embryo, tmp_path):
    for version, codec in [("0.5", "blosc:zstd:1:shuffle"), ("0.4", "zstd:1"), ("0.4", "none"), ("0.5", "gzip:1")]:
        out = str(tmp_path / f"{version}-{codec.split(':')[0]}.ome.zarr")
        cli.ok("convert", embryo, out, "--format", version, "--codec", codec, "--memory", "200M", "--quiet")
        assert cli("compare", embryo, out).returncode == 0


def test_narrower_type_saturates_and_is_counted(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("convert", embryo, out, "--dtype", "uint8", "--quiet")
    status = cli.json("status", out)
    assert 0 < status["clipped"] < status["voxels"]
    low = json.loads(cli("compare", embryo, out, "--json").stdout)
    assert max(low["b_range"] if "b_range" in low else [255]) <= 255


def prepare(cli, embryo, tmp_path):
    out = str(tmp_path / "out.ome.zarr")
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--prepare", "--quiet")
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["state"] == "planned" and status["blocks_done"] == 0 and status["memory_promised"] > 0
    return out


def test_parts_at_once_without_a_manager(cli, embryo, undisturbed, tmp_path):
    out = prepare(cli, embryo, tmp_path)
    parts = [start(cli, "work", out, "--part", f"{k}/4", "--threads", "1", "--quiet") for k in (1, 2, 3, 4)]
    for p in parts:
        _, message = p.communicate(timeout=200)
        assert p.returncode == 0, message
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["state"] == "done" and status["memory_promised"] > 0
    assert pixels(out) == pixels(undisturbed)
    done = [r["job"] for r in records(out) if r["ok"]]
    assert len(done) == len(set(done))
    assert len({r["pid"] for r in records(out)}) == 4


def test_the_last_part_finishes(cli, embryo, undisturbed, tmp_path):
    out = prepare(cli, embryo, tmp_path)
    for k in (2, 3):
        cli.ok("work", out, "--part", f"{k}/3", "--quiet")
        assert json.loads(cli("status", out, "--json").stdout)["state"] == "interrupted"
    slurm = {"SLURM_ARRAY_TASK_ID": "10", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_MAX": "12"}
    assert "every file audited" in cli("work", out, "--part", "auto", env=slurm).stderr
    assert cli.json("status", out)["state"] == "done"
    assert pixels(out) == pixels(undisturbed)


def test_a_killed_part_is_done_again_by_the_same_command(cli, embryo, undisturbed, tmp_path):
    out = prepare(cli, embryo, tmp_path)
    p = start(cli, "work", out, "--part", "1/2", "--threads", "1", "--quiet")
    wait_for_records(out, 5, p)
    p.kill()
    p.communicate()
    cli.ok("work", out, "--part", "2/2", "--quiet")
    cli.ok("work", out, "--part", "1/2", "--quiet")
    assert cli.json("status", out)["state"] == "done"
    assert pixels(out) == pixels(undisturbed)


def test_parts_and_whole_exclude_each_other_and_may_follow(cli, embryo, undisturbed, tmp_path):
    out = prepare(cli, embryo, tmp_path)
    p = start(cli, "work", out, "--part", "1/2", "--threads", "1", "--quiet")
    wait_for_records(out, 1, p)
    p.send_signal(signal.SIGSTOP)
    assert "is working on this output" in cli.fails(2, "work", out, "--quiet")
    assert json.loads(cli("status", out, "--json").stdout)["state"] == "running"
    p.send_signal(signal.SIGCONT)
    p.communicate(timeout=100)
    cli.ok("denoise", embryo, out, *FAST, *BLOCKS, "--quiet")
    assert pixels(out) == pixels(undisturbed)


def test_blocks_by_number(cli, embryo, undisturbed, tmp_path):
    out = prepare(cli, embryo, tmp_path)
    cli.ok("block", out, "--blocks", "3,7-9", "--quiet")
    cli.ok("block", out, "--blocks", "7-8", "--quiet")
    assert sorted(r["job"] for r in records(out) if r["ok"]) == [3, 7, 8, 9]
    assert "expected 0 to 71" in cli.fails(2, "block", out, "--blocks", "72")
    cli.ok("block", out, "--blocks", "0-71", "--finish", "--quiet")
    assert cli.json("status", out)["state"] == "done"
    assert pixels(out) == pixels(undisturbed)


def test_no_block_is_begun_that_time_does_not_allow(cli, embryo, undisturbed, tmp_path):
    """One millisecond: after the first blocks have told how long one takes, nothing more is begun."""
    out = prepare(cli, embryo, tmp_path)
    done = cli("work", out, "--seconds", "0.001", "--quiet")
    assert done.returncode == 4 and "for want of time" in done.stderr
    assert 0 <= len(records(out)) < 72
    cli.ok("work", out, "--seconds", "100000", "--quiet")
    assert pixels(out) == pixels(undisturbed)


def test_part_words_that_cannot_be(cli, undisturbed):
    for part in ("0/4", "5/4", "x", "3", "1/0"):
        assert "part" in cli.fails(2, "work", undisturbed, "--part", part)
    clean = {k: "" for k in ("SLURM_ARRAY_TASK_ID", "SGE_TASK_ID", "LSB_JOBINDEX", "PBS_ARRAY_INDEX")}
    assert "no array index" in cli.fails(2, "work", undisturbed, "--part", "auto", env=clean)


@pytest.mark.parametrize("change", ["block", "shape", "shard", "owned", "huge", "text", "cut", "empty"])
def test_a_changed_plan_is_refused_not_believed(cli, embryo, undisturbed, tmp_path, change):
    out = str(tmp_path / "out.ome.zarr")
    shutil.copytree(undisturbed, out)
    shutil.copytree(undisturbed + ".run", out + ".run")
    path = out + ".run/plan.json"
    plan = json.load(open(path))
    image = plan["images"][0]
    if change == "block":
        image["block"][4] = 96
    elif change == "shape":
        image["shape"][3] += 1
    elif change == "shard":
        image["levels"][0]["shard"][2] = 1
    elif change == "owned":
        image["owned_levels"] = 20
    elif change == "huge":
        image["shape"] = [1 << 47] * 5
    elif change == "text":
        image["levels"][0]["chunk"] = "no"
    text = json.dumps(plan)
    with open(path, "w") as f:
        f.write("" if change == "empty" else text[:len(text) // 2] if change == "cut" else text)
    done = cli("denoise", embryo, out, *FAST, "--quiet")
    assert done.returncode in (2, 3) and "plan.json" in done.stderr
    assert cli("status", out).returncode in (0, 1, 3)
    assert cli("verify", out, "--windows", "1").returncode in (1, 2, 3)


def test_bench_tells_speeds_and_writes_nothing(cli, embryo, tmp_path):
    rows = cli.json("bench", embryo, *NOISE, "--threads", "2", "--tune", "off", cwd=tmp_path)
    assert [r["quality"] for r in rows] == ["fast", "standard", "strong"]
    assert all(r["voxels_per_second"] > 0 and r["seconds"] > 0 for r in rows)
    assert os.listdir(tmp_path) == []


def test_bench_tells_what_comes_before_the_work(cli, tmp_path):
    """Noise and tuning, as denoise does them; how long they take is told beside the run's own time."""
    rows = cli.json("bench", "phantom:z=1,y=100,x=100;noise=2,-191", cwd=tmp_path)
    assert all(r["seconds_settled"] > 0 for r in rows)
    assert 'tune: found on, expected auto or off' in cli.fails(2, "bench", "phantom:z=1,y=100,x=100", "--tune", "on", cwd=tmp_path)
    assert cli.json("plan", "denoise", "phantom:z=1,y=100,x=100;noise=2,-191", "no.ome.zarr", cwd=tmp_path)["seconds_settled"] > 0


def test_a_block_is_told_as_long_as_the_axis_not_as_its_chunks(cli, tmp_path):
    plan = cli.json("plan", "denoise", "phantom:z=35,y=300,x=300", str(tmp_path / "out.ome.zarr"), "--noise", "3.92,-388", "--tune", "off",
                    "--no-timing")
    assert plan["chunk"]["z"] == 32 and plan["block"]["z"] == 35
