# SPDX-License-Identifier: MIT
"""The page that a run keeps beside its output, and `report`, which makes the same on demand."""
import html.parser
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

LIMIT_BYTES = 200_000
VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Fails on tags that do not nest, scripts, and anything fetched from elsewhere; keeps the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.words, self.tags, self.metas = [], [], [], []
        assert text.startswith("<!DOCTYPE html>")
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert tag not in ("script", "iframe", "link", "object")
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            value = attrs.get(name, "")
            assert "//" not in value.split(",")[0] and not value.startswith("javascript:"), value
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"[\s\u202f]+", lambda m: "" if "\u202f" in m.group() else " ", " ".join(self.words))

    def refreshes(self):
        return any(tag == "meta" and attrs.get("http-equiv") == "refresh" for tag, attrs in self.tags)


def load(path):
    with open(path, encoding="utf-8") as f:  # strict: what is no UTF-8 fails
        text = f.read()
    assert len(text.encode()) < LIMIT_BYTES
    return Page(text)


def own_page(output):
    return load(str(output) + ".run/index.html")


def look(cli, output):
    """`status --json`, whose exit code is 1 until the run is done."""
    return json.loads(cli("status", output, "--json").stdout)


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc32c_table()


def record(**members):
    text = json.dumps(members, separators=(",", ":")).encode()
    crc = 0xFFFFFFFF
    for b in text:
        crc = TABLE[(crc ^ b) & 255] ^ crc >> 8
    return b"%08x %s\n" % (crc ^ 0xFFFFFFFF, text)


def done(job, at, seconds=1.0, host="n1", rss=50_000_000):
    return record(job=job, at=at, host=host, pid=7, attempt=1, ok=True, files=[], voxels=64, clipped=0, min=0, max=1, mean=0.5,
                  seconds=seconds, rss=rss)


def failed(job, at, error, host="n1", attempt=1):
    return record(job=job, at=at, host=host, pid=7, attempt=attempt, ok=False, error=error)


def write_ledger(output, lines, name="n1-7-1.jsonl"):
    """The records, as those of this run."""
    folder = str(output) + ".run/ledger"
    with open(str(output) + ".run/plan.json", encoding="utf-8") as f:
        number = json.load(f)["run"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.writelines(record(**json.loads(line[9:]), run=number) for line in lines)


def prepared(cli, folder, size, chunk, name="out.ome.zarr", **options):
    """A run with a plan and no block done, over an image that is computed."""
    image = cli.ok("phantom", "--computed", "--size", size).strip()
    output = folder / name
    cli.ok("convert", image, output, "--chunk", chunk, "--block", chunk, "--prepare", "--quiet")
    return output


NOW = 1_795_449_430_000_000


@pytest.fixture(scope="module")
def finished(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    image = folder / "in.czi"
    cli.ok("phantom", image, "--size", "c=2,z=6,y=300,x=300")
    cli.ok("denoise", image, folder / "out.ome.zarr", "--chunk", "z=6,y=64,x=64", "--block", "z=6,y=128,x=128", "--tune", "off", "--memory", "500M", "--quiet")
    return folder / "out.ome.zarr"


def test_finished_run_has_its_page(cli, finished):
    page = own_page(finished)
    status = look(cli, finished)
    assert status["state"] == "done" and not page.refreshes()
    assert f"{status['blocks_done']} of {status['blocks_total']}" in page.text
    assert status["pyramid_total"] == 0 or f"{status['pyramid_done']} of {status['pyramid_total']}" in page.text
    assert status["input"] in page.text and "100 %" in page.text and "no block has failed" in page.text.lower()
    plan = json.load(open(str(finished) + ".run/plan.json", encoding="utf-8"))
    assert plan["request"]["command"] in page.text
    for name, value in plan["settings"].items():
        assert name == "noise" or (name in page.text and value in page.text), name
    assert len([1 for n in plan["noise"][0] if f"{n['r2']:.3f}" in page.text]) == 2


def test_preview_shows_each_channel(cli, finished):
    if "picture" not in cli.ok("help"):
        pytest.skip("built without libpng")
    pictures = [attrs["src"] for tag, attrs in own_page(finished).tags if tag == "img"]
    assert len(pictures) == 2
    assert all(p.startswith("data:image/png;base64,iVBOR") for p in pictures) and pictures[0] != pictures[1]


def test_links_lead_to_neighbours(finished):
    links = [attrs["href"] for tag, attrs in own_page(finished).tags if tag == "a"]
    assert "plan.json" in links and "status.json" in links
    for link in links:
        assert os.path.exists(os.path.join(str(finished) + ".run", link)), link


def content(path):
    """The page without what differs by its place and time of writing."""
    text = open(path, encoding="utf-8").read()
    text = re.sub(r"<footer>.*?</footer>", "", text, flags=re.S)
    return re.sub(r"<p>(<a href=\"plan|Plan, ledger).*?</p>", "", text)


def test_report_is_the_same_page(cli, finished, tmp_path):
    cli.ok("report", finished, "-o", tmp_path / "page.html")
    assert content(tmp_path / "page.html") == content(str(finished) + ".run/index.html")
    load(tmp_path / "page.html")
    os.remove(str(finished) + ".run/index.html")
    assert cli.ok("report", finished).strip() == f"{finished}.run/index.html"
    assert content(tmp_path / "page.html") == content(str(finished) + ".run/index.html")


def test_report_leaves_nothing_else(cli, finished):
    before = sorted(os.listdir(str(finished) + ".run"))
    cli.ok("report", str(finished) + "/")
    assert sorted(os.listdir(str(finished) + ".run")) == before


def test_report_refusals(cli, finished, tmp_path):
    assert "no run" in cli.fails(3, "report", tmp_path / "nothing.ome.zarr")
    assert "does not exist" in cli.fails(2, "report", finished, "--output", tmp_path / "no" / "such" / "page.html")


def test_prepared_run_has_a_page(cli, tmp_path):
    page = own_page(prepared(cli, tmp_path, "y=64,x=64", "y=16,x=16"))
    assert "planned" in page.text and "0 of 16" in page.text and not page.refreshes()


def test_page_while_it_runs(cli, tmp_path):
    """Stopped with SIGSTOP, so that the run is caught at work."""
    image = cli.ok("phantom", "--computed", "--size", "t=8,z=8,y=256,x=256").strip()
    output = tmp_path / "out.ome.zarr"
    run = subprocess.Popen([cli.path, "denoise", image, str(output), "--noise", "3.92,-388", "--tune", "off", "--threads", "1", "--block", "t=1,z=8,y=128,x=128",
                            "--chunk", "t=1,z=8,y=64,x=64", "--memory", "500M", "--quiet"])
    try:
        path = str(output) + ".run/index.html"
        while run.poll() is None and not os.path.exists(path):
            time.sleep(0.02)
        assert run.poll() is None, "the run ended before it could be looked at: make it larger"
        os.kill(run.pid, signal.SIGSTOP)
        live = own_page(output)
        assert live.refreshes() and "running" in live.text
        cli.ok("report", output)
        now = own_page(output)
        status = look(cli, output)
        assert now.refreshes() and f"{status['blocks_done']} of {status['blocks_total']}" in now.text and "1 at work" in now.text
        assert str(run.pid) in now.text
        cli.ok("report", output, "--output", tmp_path / "copy.html")
        assert not load(tmp_path / "copy.html").refreshes()
    finally:
        os.kill(run.pid, signal.SIGCONT)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 4
    last = own_page(output)
    assert "interrupted" in last.text and not last.refreshes()
    assert not [n for n in os.listdir(str(output) + ".run") if n.startswith(".tmp-")]


def test_failed_run_shows_the_reason(cli, tmp_path):
    image, output = tmp_path / "in.czi", tmp_path / "out.ome.zarr"
    cli.ok("phantom", image, "--size", "z=4,y=256,x=256", "--tiles", "y=64,x=64", "--compression", "zstd1")
    data = bytearray(image.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 600] = b"\xa5" * 600
    image.write_bytes(data)
    cli.fails(1, "convert", image, output, "--chunk", "z=4,y=64,x=64", "--block", "z=4,y=64,x=64", "--quiet")
    page, status = own_page(output), look(cli, output)
    assert status["failed"] > 0 and "incomplete" in page.text and f"Failures {status['failed']}" in page.text
    text = cli("status", output).stdout
    errors = re.findall(r"failed +attempt \d+ on \S+: (.*)", text)
    assert errors and all(e in page.text for e in errors)
    assert any(tag == "path" and attrs.get("class") == "f" for tag, attrs in page.tags)


def test_failures_newest_first_and_bounded(cli, tmp_path):
    output = prepared(cli, tmp_path, "y=64,x=64", "y=8,x=8")
    write_ledger(output, [failed(n, NOW + 1000 * n, f"reason {n}.", attempt=n + 1) for n in range(64)])
    cli.ok("report", output)
    page = own_page(output)
    shown = [int(n) for n in re.findall(r"reason (\d+)\.", page.text)]
    assert shown == list(range(63, 63 - len(shown), -1)) and 10 <= len(shown) < 64
    assert "Failures 64" in page.text


HOSTILE = "<script>alert(1)</script>&amp;\"'--><b>"


def test_hostile_names_are_text(cli, tmp_path):
    folder = tmp_path / "a&b <i>"
    folder.mkdir()
    output = prepared(cli, folder, "c=2,y=64,x=64", "y=16,x=16", name="<img src=x onerror=alert(1)>.ome.zarr")
    plan = str(output) + ".run/plan.json"
    document = json.load(open(plan, encoding="utf-8"))
    document["request"]["command"] = HOSTILE
    document["input"]["path"] = HOSTILE
    document["program"] = HOSTILE
    document["settings"][HOSTILE] = HOSTILE
    document["images"][0]["name"] = HOSTILE
    document["noise"] = [[{"gain": 1.0, "offset": 2.0, "r2": 0.5, "pairs": 3, "remark": HOSTILE}]]
    json.dump(document, open(plan, "w", encoding="utf-8"))
    write_ledger(output, [done(0, NOW, host=HOSTILE), failed(1, NOW, HOSTILE, host=HOSTILE)])
    os.makedirs(str(output) + ".run/workers", exist_ok=True)
    for name in ("<script>alert(1)<,1.json", b"\xff\xfe<b>,2.json"):
        with open(os.path.join(os.fsencode(str(output)), b"..", os.path.basename(os.fsencode(str(output))) + b".run", b"workers",
                               os.fsencode(name)), "w", encoding="utf-8") as f:
            f.write("{\"threads\": \"many\", \"seconds\": [1]")
    cli.ok("report", output)
    page = own_page(output)  # no tag of theirs is a tag of the page
    assert page.text.count("<script>alert(1)</script>&amp;\"'--><b>") >= 7
    assert "<img src=x onerror=alert(1)>" in page.text and "\ufffd" in page.text
    assert not [1 for tag, _ in page.tags if tag in ("i", "script")][1:]  # one <i> is the bar's


@pytest.mark.parametrize("text", ["", "{", "[]", "{\"pellucid_plan\": 1}", "{\"pellucid_plan\":1,\"settings\":{},\"images\":[{}],\"input\":{},\"request\":{}}"])
def test_damaged_plan_is_refused(cli, tmp_path, text):
    output = prepared(cli, tmp_path, "y=64,x=64", "y=16,x=16")
    with open(str(output) + ".run/plan.json", "w", encoding="utf-8") as f:
        f.write(text)
    assert "plan.json" in cli.fails(3, "report", output)


@pytest.fixture(scope="module")
def large(cli, tmp_path_factory):
    """40 000 blocks, states and hosts as bad for the size of the page as they get."""
    folder = tmp_path_factory.mktemp("large")
    output = prepared(cli, folder, "t=4,y=800,x=800", "t=1,c=1,z=1,y=8,x=8")
    lines = []
    for n in range(0, 40_000):
        if n * 7 % 5 == 0:
            continue
        host = f"node-with-a-long-name-{n % 40:03d}.cluster.example.org"
        lines.append(failed(n, NOW + n, "e" * 300 + f" {n}", host) if n % 97 == 0 else
                     done(n, NOW + n, 1 + n % 13 / 10 + (40 if n == 20_001 else 0), host, rss=n * 1000))
    write_ledger(output, lines)
    return output


def test_large_run_fits(cli, large):
    cli.ok("report", large)
    page, status = own_page(large), look(cli, large)
    assert status["blocks_total"] == 40_000 and status["blocks_done"] > 30_000
    assert f"{status['blocks_done']} of {status['blocks_total']}" in page.text
    assert "20001" in page.text  # the straggler


def test_large_map_covers_the_image(large, cli):
    """Stretches of all looks together are as long as the panels are large."""
    cli.ok("report", large)
    text = open(str(large) + ".run/index.html", encoding="utf-8").read()
    panels = re.findall(r'<svg role="img" aria-label="blocks [^>]*viewBox="0 0 (\d+) (\d+)"[^>]*>(.*?)</svg>', text)
    assert len(panels) == 4
    for width, height, inside in panels:
        drawn = sum(int(n) for d in re.findall(r'<path class="[ohdf]" d="([^"]*)"', inside) for n in re.findall(r"h(\d+)", d))
        assert drawn == int(width) * int(height)


@pytest.mark.parametrize("size, chunk", [("t=300,c=3,z=8,y=16,x=16", "t=1,z=1,y=8,x=8"), ("t=1,y=8,x=30000", "y=8,x=1"),
                                         ("z=3000,y=8,x=8", "z=1,y=8,x=8"), ("y=1,x=1", "y=1,x=1")])
def test_maps_of_odd_shapes(cli, tmp_path, size, chunk):
    output = prepared(cli, tmp_path, size, chunk)
    cli.ok("report", output)
    own_page(output)


def test_many_images(cli, tmp_path):
    image, output = tmp_path / "in.czi", tmp_path / "out.ome.zarr"
    cli.ok("phantom", image, "--size", "y=32,x=32", "--scenes", "40")
    cli.ok("convert", image, output, "--quiet")
    page = own_page(output)
    assert "40 of 40" in page.text and "1 image a cell" in page.text


def test_page_that_cannot_be_written_stops_nobody(cli, tmp_path):
    image, output = tmp_path / "in.czi", tmp_path / "out.ome.zarr"
    cli.ok("phantom", image, "--size", "y=64,x=64")
    os.makedirs(str(output) + ".run/index.html/in-the-way")
    cli.ok("convert", image, output, "--quiet")
    assert look(cli, output)["state"] == "done"
    assert not [n for n in os.listdir(str(output) + ".run") if n.startswith(".tmp-")]
    assert "index.html" in cli.fails(1, "report", output)
    shutil.rmtree(str(output) + ".run/index.html")
    cli.ok("report", output)
    own_page(output)


def test_shares_keep_the_page(cli, tmp_path):
    output = prepared(cli, tmp_path, "y=64,x=64", "y=16,x=16")
    cli.ok("block", output, "--blocks", "3,7-9", "--quiet")
    assert "4 of 16" in own_page(output).text
    cli.ok("work", output, "--part", "1/2", "--quiet")
    assert "running" not in own_page(output).text
    cli.ok("work", output, "--part", "2/2", "--quiet")
    assert "done" in own_page(output).text and "16 of 16" in own_page(output).text


def test_watch_ends_when_nobody_works(cli, finished, large):
    """Not on a terminal: no cursor is moved, and texts of files move none either."""
    shown = cli.ok("status", finished, "--watch")
    status = look(cli, finished)
    assert f"{status['blocks_done']} of {status['blocks_total']} blocks" in shown and "100.0 %" in shown and "slowest" in shown
    assert "\033" not in shown
    shown = cli("status", large, "--watch").stdout
    assert "block 20001 " in shown and "failed    attempt 1 on node-" in shown and "more: --failures" in shown


def test_watch_obeys_no_text(cli, tmp_path):
    output = prepared(cli, tmp_path, "y=64,x=64", "y=16,x=16")
    write_ledger(output, [failed(1, NOW, "\033[2Jgone\r\nnew line", host="a\033b")])
    shown = cli("status", output, "--watch").stdout.split("\n" + str(output))[0]
    assert "\033" not in shown and "?[2Jgone??new line" in shown


@pytest.mark.parametrize("state, age, running", [("running", 0, True), ("finishing", 5, True), ("running", 3600, False), ("done", 0, False)])
def test_manager_of_a_cluster(cli, tmp_path, state, age, running):
    output = prepared(cli, tmp_path, "y=64,x=64", "y=16,x=16")
    manager = {"state": state, "at": int(time.time()) - age, "host": "<b>n9</b>", "port": 9123, "workers": 17, "tasks_running": 5,
               "blocks_waiting": 11, "given_up": [{"block": 3, "failures": 4, "host": "n1", "error": "no"}], "hosts_avoided": ["<i>n4"]}
    with open(str(output) + ".run/manager.json", "w", encoding="utf-8") as f:
        json.dump(manager, f)
    cli.ok("report", output)
    page = own_page(output)
    assert "<b>n9</b>" in page.text and "hosts avoided: <i>n4" in page.text and "3 (4 failures)" in page.text
    assert page.refreshes() == running and ("17 workers connected" in page.text) == running
