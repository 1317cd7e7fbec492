# SPDX-License-Identifier: MIT
"""Runs whose output is on S3: a real local server behind a proxy that checks every signature and every checksum of a body, and that
may refuse, answer late, cut or lie. Every case ends in the bytes that a folder gets, or in an error that says what is to be done."""
import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
google_crc32c = pytest.importorskip("google_crc32c")
boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")

from test_remote import KEY, SECRET, Handler, Server, certificate, checksums, loopback_only, s3_server  # noqa: E402, F401
from test_run import pixels, tree  # noqa: E402

BLOCKS = ("--chunk", "z=4,y=32,x=32", "--block", "z=4,y=64,x=64")
# Odd sizes, two channels; every other command of this file runs on it.
IMAGE = "phantom:t=1,c=2,z=9,y=193,x=170;seed=5"
COMMANDS = {
    "convert": ("convert", IMAGE),
    "denoise": ("denoise", IMAGE, "--noise", "3.92,-388", "--tune", "off", "--iterations", "1"),
    "dog": ("dog", IMAGE, "--fwhm", "3,8", "--dtype", "uint16"),
    "gaussian": ("gaussian", IMAGE, "--sigma", "1.5"),
    "median": ("median", IMAGE),
    "small": ("convert", "phantom:t=1,c=1,z=9,y=130,x=100;seed=5"),
}


META = "x-amz-meta-pellucid-xxh3-128"


class Gate(Handler):
    """Stands before the S3 server. plan(handler, method, key, number) may answer in its place; every other request must be signed
    rightly, and a body must be what its hash and its checksum say."""

    def handle_expect_100(self):
        with self.server.lock:
            self.server.asked += 1
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()
        return True

    def body(self):
        n = int(self.headers.get("Content-Length") or 0)
        data = b""
        while len(data) < n:
            more = self.rfile.read(min(1 << 16, n - len(data)))
            if not more:
                return None
            data += more
        return data

    def do_GET(self):
        import http.client
        s = self.server
        key = urllib.parse.unquote(self.path)
        with s.lock:
            s.seen.append((self.command, key, time.monotonic()))
            number = len(s.seen)
            s.busy += 1
            s.most = max(s.most, s.busy)
        try:
            if s.plan and s.plan(self, self.command, key, number):
                return
            if s.delay:
                time.sleep(s.delay)
            data = self.body()
            if data is None:
                return
            why = self.wrong(data)
            if why:
                s.wrong.append((self.command, key, why))
                return self.reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            c = http.client.HTTPConnection(*s.behind)
            passed = ("range", "x-amz-checksum-crc32c", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm", META)
            headers = {n: v for n, v in self.headers.items() if n.lower() in passed and ("checksum" not in n.lower() or s.checksums)}
            headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
            if data:
                headers["Content-Length"] = str(len(data))
            c.request(self.command, self.path, body=data or None, headers=headers)
            r = c.getresponse()
            answer = r.read()
            self.send_response(r.status)
            for n, v in r.getheaders():
                if n.lower() in ("content-range", "etag") or n.lower() == META or (n.lower().startswith("x-amz-checksum") and s.checksums):
                    self.send_header(n, v)
            self.send_header("Content-Length", r.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)
            c.close()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with s.lock:
                s.busy -= 1

    do_HEAD = do_PUT = do_DELETE = do_POST = do_GET

    def wrong(self, data):
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        s = self.server
        parts = dict(p.strip().split("=", 1) for p in self.headers.get("Authorization", "x a=b").split(" ", 1)[1].split(","))
        if "Signature" not in parts:
            return "not signed"
        names = parts["SignedHeaders"].split(";")
        scheme = "https" if s.tls else "http"
        request = AWSRequest(self.command, f"{scheme}://{self.headers['Host']}{self.path}", headers={n: self.headers[n] for n in names})
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        auth = S3SigV4Auth(Credentials(*s.keys), "s3", parts["Credential"].split("/")[2])
        if auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request) != parts["Signature"]:
            return "signature"
        hashed = "UNSIGNED-PAYLOAD" if s.tls and self.command in ("PUT", "DELETE") else hashlib.sha256(data).hexdigest()
        if self.headers["x-amz-content-sha256"] != hashed:
            return "hash of the body"
        if self.command == "PUT":
            if "x-amz-checksum-crc32c" not in names:
                return "no checksum"
            if base64.b64decode(self.headers["x-amz-checksum-crc32c"]) != google_crc32c.value(data).to_bytes(4, "big"):
                return "checksum of the body"
        return None


class Bucket:
    """A bucket of its own behind a gate of its own."""
    made = 0

    def __init__(self, server, behind):
        Bucket.made += 1
        self.server, self.name = server, f"written-{Bucket.made}"
        self.client = boto3.client("s3", endpoint_url=behind, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        self.client.create_bucket(Bucket=self.name)
        self.env = dict(AWS_ENDPOINT_URL=server.url, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="eu-test-1")

    def url(self, key="out.ome.zarr"):
        return f"s3://{self.name}/{key}"

    def keys(self, prefix="out.ome.zarr/"):
        found = []
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            found += [o["Key"][len(prefix):] for o in page.get("Contents", [])]
        return found

    def tree(self, prefix="out.ome.zarr/"):
        """As tree() of a folder."""
        return {k: hashlib.sha256(self.get(prefix + k)).hexdigest() for k in self.keys(prefix)}

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def pixels(self, prefix="out.ome.zarr/"):
        return {k: v for k, v in self.tree(prefix).items() if not k.endswith(("zarr.json", ".zattrs", ".zarray", ".zgroup", ".xml"))}

    def count(self, method, part=""):
        return sum(m == method and part in k for m, k, _ in self.server.seen)


@contextlib.contextmanager
def gate(behind):
    server = Server(("127.0.0.1", 0), Gate)
    server.behind = urllib.parse.urlparse(behind).netloc.split(":")
    server.keys, server.plan, server.delay, server.checksums = (KEY, SECRET), None, 0, True
    server.seen, server.wrong, server.lock, server.busy, server.most, server.asked = [], [], threading.Lock(), 0, 0, 0
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield server
        assert not server.wrong
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bucket(s3_server):  # noqa: F811
    with gate(s3_server) as server:
        yield Bucket(server, s3_server)


@pytest.fixture(scope="module")
def local(cli, tmp_path_factory):
    """Each command's output in a folder, made once."""
    made = {}

    def make(name, *words):
        if (name, words) not in made:
            out = str(tmp_path_factory.mktemp("local") / "out.ome.zarr")
            cli.ok(*COMMANDS[name][:2], out, *COMMANDS[name][2:], *BLOCKS, *words, "--quiet")
            made[name, words] = out
        return made[name, words]

    return make


def words_of(name, url, state, *more):
    return (*COMMANDS[name][:2], url, *COMMANDS[name][2:], *BLOCKS, *more, "--state", state, "--quiet", "--threads", "2")


# ---- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "small"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_an_object_store_gets_the_bytes_of_a_folder(cli, bucket, local, tmp_path, name, version):
    state, more = str(tmp_path / "state"), ("--format", version, "--levels", "4")
    cli.ok(*words_of(name, bucket.url(), state, *more), env=bucket.env)
    there = bucket.pixels()
    assert there == pixels(local(name, *more)) and len(there) > 50
    assert set(bucket.keys()) == set(tree(local(name, *more)))
    status = cli.json("status", state)
    assert status["state"] == "done" and status["output"] == bucket.url()
    result = cli.json("verify", state, "--windows", "6", "--seed", "1", env=bucket.env)
    assert result["windows"] == 6 and result["missing"] == result["damaged"] == result["different"] == 0
    puts = [k for m, k, _ in bucket.server.seen if m == "PUT"]
    assert len(puts) == len(set(puts)) + 1, "each object once, the root's document twice: begun and complete"
    root = bucket.get("out.ome.zarr/" + ("zarr.json" if version == "0.5" else ".zattrs"))
    assert b'"complete": true' in root or b'"complete":true' in root


def test_over_tls(cli, bucket, local, tmp_path, certificate):  # noqa: F811
    """TLS and the checksum keep the body, so that it is not hashed for the signature."""
    bucket.server.tls = certificate[1]
    env = {**bucket.env, "AWS_ENDPOINT_URL": bucket.server.url.replace("http://127.0.0.1", "https://localhost"), "AWS_CA_BUNDLE": certificate[0]}
    state = str(tmp_path / "state")
    cli.ok(*words_of("small", bucket.url(), state), env=env)
    assert bucket.pixels() == pixels(local("small"))
    assert cli.json("verify", state, env=env)["damaged"] == 0
    assert "certificate" in cli.fails(3, "verify", state, env={**env, "AWS_CA_BUNDLE": ""}).lower()


def test_other_programs_read_it(cli, bucket, local, tmp_path):
    cli.ok(*words_of("convert", bucket.url("a b/ü+1%.zarr"), str(tmp_path / "state"), "--levels", "3"), env=bucket.env)
    want = zarr.open_array(local("convert", "--levels", "3") + "/1", mode="r")[...]
    plain = zarr.open_array(local("convert", "--levels", "3") + "/0", mode="r")[...]
    tensorstore = pytest.importorskip("tensorstore")
    folder = tmp_path / "down"
    for key in bucket.keys("a b/ü+1%.zarr/"):
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bucket.get("a b/ü+1%.zarr/" + key))
    got = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / "1")}}).result().read().result()
    assert np.array_equal(got, want)
    assert np.array_equal(zarr.open_array(str(folder / "0"), mode="r")[...], plain)
    s3fs = pytest.importorskip("s3fs")
    fs = s3fs.S3FileSystem(key="x", secret="x", endpoint_url="http://%s:%s" % tuple(bucket.server.behind), asynchronous=True)
    store = zarr.storage.FsspecStore(fs, path=f"{bucket.name}/a b/ü+1%.zarr", read_only=True)
    group = zarr.open_group(store, mode="r")
    assert np.array_equal(group["0"][...], plain) and np.array_equal(group["1"][...], want)
    assert group.attrs["ome"]["version"] == "0.5"
    assert checksums(cli, bucket.url("a b/ü+1%.zarr"), env=bucket.env) == checksums(cli, local("convert", "--levels", "3"))


def test_collections_and_an_input_on_s3_too(cli, bucket, tmp_path):
    """Three scenes from one address to another; the second run is named by nothing but the place of its books."""
    image = "phantom:t=2,c=1,z=5,y=70,x=90;scenes=3;seed=4"
    small = ("--chunk", "z=2,y=32,x=32", "--block", "z=4,y=64,x=64", "--levels", "3", "--quiet")
    cli.ok("convert", image, bucket.url("first.zarr"), *small, env=bucket.env, cwd=tmp_path)
    assert (tmp_path / "first.zarr.run/plan.json").is_file()
    cli.ok("convert", bucket.url("first.zarr"), bucket.url("second.zarr"), *small, "--prepare", env=bucket.env, cwd=tmp_path)
    cli.ok("work", bucket.url("second.zarr"), "--quiet", env=bucket.env, cwd=tmp_path)
    assert bucket.pixels("second.zarr/") == bucket.pixels("first.zarr/")
    cli.ok("convert", image, tmp_path / "local.zarr", *small)
    assert bucket.pixels("second.zarr/") == pixels(tmp_path / "local.zarr")
    assert cli.json("verify", bucket.url("second.zarr"), "--windows", "4", env=bucket.env, cwd=tmp_path)["different"] == 0
    plan = (tmp_path / "second.zarr.run/plan.json").read_text() + (tmp_path / "first.zarr.run/index.html").read_text()
    assert SECRET not in plan and KEY not in plan


def test_empty_blocks_are_no_objects(cli, bucket, tmp_path):
    data = np.zeros((4, 64, 96), "uint16")
    data[0, 3, 70] = 9
    zarr.create_array(str(tmp_path / "in.zarr"), shape=data.shape, chunks=(2, 32, 32), dtype="uint16", zarr_format=3)[...] = data
    for version in ("0.5", "0.4"):
        name = f"{version}.zarr"
        cli.ok("convert", tmp_path / "in.zarr", bucket.url(name), "--chunk", "z=2,y=32,x=32", "--block", "z=2,y=32,x=32", "--levels", "1",
               "--format", version, "--state", tmp_path / name, "--quiet", env=bucket.env)
        chunks = [k for k in bucket.keys(name + "/") if k.startswith("0/") and "." not in k]
        assert chunks == ["0/c/0/0/0/0/2" if version == "0.5" else "0/0/0/0/0/2"]
        assert checksums(cli, bucket.url(name), env=bucket.env) == checksums(cli, tmp_path / "in.zarr")


# ---- kills, parts, repairs ---------------------------------------------------------------------------------------------


def records(state):
    folder = os.path.join(state, "ledger")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    lines = [json.loads(line[9:]) for n in names for line in open(os.path.join(folder, n)) if line.endswith("\n")]
    return [r for r in lines if r["job"] >= 0]


def test_kill_9_and_the_same_command_again(cli, bucket, local, tmp_path):
    state = str(tmp_path / "state")
    words = words_of("denoise", bucket.url(), state, "--levels", "4")
    for n in (0, 3, 15, 30):
        p = subprocess.Popen([cli.path, *words], env={**os.environ, **bucket.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while p.poll() is None and len(records(state)) < n + (n == 0 and len(bucket.server.seen) < 5):
            time.sleep(0.002)
        p.send_signal(signal.SIGKILL)
        p.communicate()
    cli.ok(*words, env=bucket.env)
    assert bucket.pixels() == pixels(local("denoise", "--levels", "4"))
    done = [r["job"] for r in records(state) if r["ok"]]
    assert len(done) == len(set(done)), "a finished block was computed twice"
    assert cli.json("verify", state, "--windows", "5", "--seed", "3", env=bucket.env)["different"] == 0


def test_parts_at_once(cli, bucket, local, tmp_path):
    state = str(tmp_path / "state")
    cli.ok(*words_of("denoise", bucket.url(), state, "--levels", "4", "--prepare"), env=bucket.env)
    assert cli.json("plan", *words_of("denoise", bucket.url(), state, "--levels", "4"), "--no-timing", env=bucket.env)["resumed"]
    parts = [subprocess.Popen([cli.path, "work", state, "--part", f"{k}/3", "--quiet", "--threads", "1"], env={**os.environ, **bucket.env},
                              stderr=subprocess.PIPE) for k in (1, 2, 3)]
    for p in parts:
        assert p.wait() == 0, p.stderr.read()
        p.stderr.close()
    assert cli.json("status", state)["state"] == "done"
    assert bucket.pixels() == pixels(local("denoise", "--levels", "4"))


def test_a_block_done_twice_is_the_same_object(cli, bucket, local, tmp_path):
    state = str(tmp_path / "state")
    cli.ok(*words_of("convert", bucket.url(), state, "--prepare"), env=bucket.env)
    cli.ok("block", state, "--blocks", "0-3", "--quiet", env=bucket.env)
    before = bucket.tree()
    shutil.rmtree(os.path.join(state, "ledger"))
    cli.ok("block", state, "--blocks", "0-3", "--quiet", env=bucket.env)
    assert bucket.tree() == before
    cli.ok("work", state, "--quiet", env=bucket.env)
    assert bucket.pixels() == pixels(local("convert"))


@pytest.mark.parametrize("vouched", [True, False], ids=["with-checksums", "without-checksums"])
@pytest.mark.parametrize("harm", ["deleted", "shorter", "same-length"])
def test_harm_is_found_and_repaired(cli, bucket, local, tmp_path, harm, vouched):
    """A server that keeps checksums proves an object by a HEAD; of one that does not it is read again."""
    state = str(tmp_path / "state")
    bucket.server.checksums = vouched
    words = words_of("gaussian", bucket.url(), state, "--levels", "4")
    cli.ok(*words, env=bucket.env)
    key = "out.ome.zarr/0/c/0/1/1/2/1"
    data = bucket.get(key)
    whole = {"shorter": data[:-1], "same-length": data[:40] + bytes([data[40] ^ 1]) + data[41:]}
    if harm == "deleted":
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    else:
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=whole[harm])
    found = cli("verify", state, "--json", "--windows", "0", env=bucket.env)
    result = json.loads(found.stdout)
    assert found.returncode == 1 and result["missing" if harm == "deleted" else "damaged"] == 1 and "0/c/0/1/1/2/1" in result["first"]
    cli.ok("work", state, "--quiet", env=bucket.env)
    assert bucket.pixels() == pixels(local("gaussian", "--levels", "4"))
    assert cli.json("verify", state, "--windows", "3", env=bucket.env)["damaged"] == 0


@pytest.mark.parametrize("how", ["copies", "stripped", "bodies", "lying"])
def test_exchanged_objects_are_found_without_their_lengths(cli, bucket, local, tmp_path, how):
    """Whole uncompressed shards all have one length, and so one CRC-32C that the server keeps. A server's copy brings the digest
    of another key along; an object without one is read."""
    state = str(tmp_path / "state")
    more = ("--levels", "1", "--codec", "none")
    cli.ok(*words_of("convert", bucket.url(), state, *more), env=bucket.env)
    keys = [f"out.ome.zarr/0/c/0/0/0/0/{k}" for k in (0, 1)]
    bodies = [bucket.get(k) for k in keys]
    heads = [bucket.client.head_object(Bucket=bucket.name, Key=k, ChecksumMode="ENABLED") for k in keys]
    assert len(bodies[0]) == len(bodies[1]) and bodies[0] != bodies[1]
    assert heads[0]["ChecksumCRC32C"] == heads[1]["ChecksumCRC32C"] and heads[0]["Metadata"] != heads[1]["Metadata"]
    def put(key, body, metadata):
        crc = base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, Metadata=metadata, ChecksumCRC32C=crc)

    if how == "copies":
        for source, to in ((keys[0], "aside"), (keys[1], keys[0]), ("aside", keys[1])):
            bucket.client.copy_object(Bucket=bucket.name, Key=to, CopySource={"Bucket": bucket.name, "Key": source})
    elif how == "stripped":  # as they were, by a program that knows nothing of the digest
        for key, body in zip(keys, bodies):
            put(key, body, {})
    else:  # also: a body that changed behind the metadata of its own place, as no server does; verify reads
        for key, body, head in zip(keys, reversed(bodies), heads):
            put(key, body, head["Metadata"] if how == "lying" else {})
    found = json.loads(cli("verify", state, "--json", "--windows", "0", env=bucket.env).stdout)
    assert found["damaged"] == (0 if how == "stripped" else 2) and found["missing"] == 0
    if how == "lying":
        return
    before, stored = bucket.count("GET", "/0/c/"), bucket.count("PUT", "/0/c/")
    cli.ok("work", state, "--quiet", env=bucket.env)
    assert (bucket.count("GET", "/0/c/") > before) == (how != "copies")
    assert (bucket.count("PUT", "/0/c/") > stored) == (how != "stripped"), "what is right is not stored again"
    assert bucket.pixels() == pixels(local("convert", *more))


def test_objects_and_ledger_of_another_run_do_not_pass(cli, bucket, local, tmp_path):
    """Even of the same pixels: what a server keeps of them, and what the records say, is of their own run."""
    state, other = str(tmp_path / "state"), str(tmp_path / "other")
    more = ("--levels", "1")
    cli.ok(*words_of("convert", bucket.url(), state, *more), env=bucket.env)
    cli.ok(*words_of("convert", bucket.url("other.ome.zarr"), other, *more), env=bucket.env)
    key = "0/c/0/0/0/0/0"
    metas = [bucket.client.head_object(Bucket=bucket.name, Key=f"{out}.ome.zarr/{key}")["Metadata"]["pellucid-xxh3-128"] for out in ("out", "other")]
    assert bucket.get(f"out.ome.zarr/{key}") == bucket.get(f"other.ome.zarr/{key}") and metas[0] != metas[1]
    for name in bucket.keys("other.ome.zarr/"):
        bucket.client.copy_object(Bucket=bucket.name, Key=f"out.ome.zarr/{name}", CopySource={"Bucket": bucket.name, "Key": f"other.ome.zarr/{name}"})
    shutil.rmtree(state + "/ledger")
    shutil.copytree(other + "/ledger", state + "/ledger")
    done = cli("verify", state, "--json", "--windows", "0", env=bucket.env)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["missing"] > 0 and "of another run" in found["first"]
    bucket.client.delete_object(Bucket=bucket.name, Key="out.ome.zarr/zarr.json")  # which says whose the output is
    cli.ok("work", state, "--quiet", env=bucket.env)
    assert bucket.pixels() == pixels(local("convert", *more))
    assert bucket.client.head_object(Bucket=bucket.name, Key=f"out.ome.zarr/{key}")["Metadata"]["pellucid-xxh3-128"] == metas[0]
    assert cli.json("verify", state, "--windows", "0", env=bucket.env)["damaged"] == 0


# ---- documents ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_documents_are_audited_and_mended(cli, bucket, local, tmp_path, version):
    state, more = str(tmp_path / "state"), ("--levels", "3", "--format", version)
    words = words_of("small", bucket.url(), state, *more)
    cli.ok(*words, env=bucket.env)
    before = bucket.tree()
    root, level = ("zarr.json", "1/zarr.json") if version == "0.5" else (".zattrs", "1/.zarray")
    whole = bucket.get("out.ome.zarr/" + level)
    for name, body in ((root, None), (root, b""), (level, None), (level, whole.replace(b"[", b"[ 1,", 1))):
        if body is None:
            bucket.client.delete_object(Bucket=bucket.name, Key="out.ome.zarr/" + name)
        else:
            bucket.client.put_object(Bucket=bucket.name, Key="out.ome.zarr/" + name, Body=body)
        found = cli("verify", state, "--json", "--windows", "0", env=bucket.env)
        result = json.loads(found.stdout)
        assert found.returncode == 1 and result["missing" if body is None else "damaged"] == 1 and name in result["first"], result
        cli.ok(*words, env=bucket.env)
        assert bucket.tree() == before
    assert cli.json("verify", state, "--windows", "0", env=bucket.env)["documents"] == len(set(before) - set(bucket.pixels()))


def test_strays_are_found_behind_a_thousand_keys(cli, bucket, tmp_path):
    import concurrent.futures
    state = str(tmp_path / "state")
    cli.ok(*words_of("small", bucket.url(), state, "--levels", "1"), env=bucket.env)
    with concurrent.futures.ThreadPoolExecutor(8) as crew:
        list(crew.map(lambda k: bucket.client.put_object(Bucket=bucket.name, Key=f"out.ome.zarr/labels/{k:04d} &+", Body=b""), range(1001)))
    assert cli.json("verify", state, "--windows", "0", env=bucket.env)["strays"] == 0
    bucket.client.put_object(Bucket=bucket.name, Key="out.ome.zarr/notes <1>.txt", Body=b"x")
    bucket.client.put_object(Bucket=bucket.name, Key="out.ome.zarr/0/c/0/0/0/0/9", Body=b"x")
    found = cli("verify", state, "--json", "--windows", "0", env=bucket.env)
    result = json.loads(found.stdout)
    assert found.returncode == 1 and result["strays"] == 2 and result["missing"] == result["damaged"] == 0 and not result["unlisted"]
    bucket.server.plan = lambda h, m, k, n: "list-type" in k and (error("AccessDenied")(h) or True)
    assert "server does not list" in cli.ok("verify", state, "--windows", "0", env=bucket.env)


# ---- servers in trouble -----------------------------------------------------------------------------------------------


def error(code, status=403, early=False):
    """Says so when it has the body; or at once, and hangs up."""

    def answer(handler):
        if early:
            handler.close_connection = True
        else:
            handler.body()
        handler.reply(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    return answer


def cut(handler):
    """The connection ends in the middle of the body."""
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0) // 2)
    handler.close_connection = True


def deaf(handler):
    """Takes the body, says nothing."""
    handler.body()
    handler.close_connection = True


TROUBLE = {"500": error("InternalError", 500), "503": error("SlowDown", 503), "429": error("TooManyRequests", 429), "cut": cut, "deaf": deaf, "early": error("SlowDown", 503, True),
           "digest": error("BadDigest", 400), "timeout": error("RequestTimeout", 400)}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_that_passes(cli, bucket, local, tmp_path, trouble, version):
    """Every ninth request fails; what is told as a body's fault only where there is one."""
    failed = []

    def plan(handler, method, key, number):
        if number % 9 != 4 or (trouble in ("digest", "timeout") and method != "PUT"):
            return False
        failed.append((method, key))
        TROUBLE[trouble](handler)
        return True

    bucket.server.plan = plan
    cli.ok(*words_of("small", bucket.url(), str(tmp_path / "state"), "--format", version), env=bucket.env)
    assert bucket.pixels() == pixels(local("small", "--format", version))
    assert sum(m == "PUT" for m, _ in failed) >= 2


def test_an_answer_that_is_lost_is_the_same_object_again(cli, bucket, local, tmp_path):
    """The server has stored it, and we never hear of it."""
    lost = set()

    def plan(handler, method, key, number):
        if method != "PUT" or key in lost:
            return False
        lost.add(key)
        length = int(handler.headers["Content-Length"])
        bucket.client.put_object(Bucket=bucket.name, Key=key.split("/", 2)[2], Body=handler.rfile.read(length))
        handler.close_connection = True
        return True

    bucket.server.plan = plan
    cli.ok(*words_of("small", bucket.url(), str(tmp_path / "state"), "--levels", "1"), env=bucket.env)
    assert bucket.pixels() == pixels(local("small", "--levels", "1"))


FINAL = {
    "AccessDenied": (403, "access denied"),
    "QuotaExceeded": (403, "no space left"),
    "XMinioStorageFull": (507, "no space left"),
    "EntityTooLarge": (400, "smaller blocks"),
    "SlowDown": (503, "6 attempts"),
}


@pytest.mark.parametrize("code", FINAL)
def test_a_chunk_that_cannot_be_stored_is_never_a_silent_hole(cli, bucket, local, tmp_path, code):
    state, words = str(tmp_path / "state"), words_of("small", bucket.url(), str(tmp_path / "state"), "--levels", "1")
    bucket.server.plan = lambda h, m, k, n: m == "PUT" and "/0/c/0/0/0/" in k and (error(code, FINAL[code][0])(h) or True)
    said = cli.fails(1, *words, env=bucket.env)
    assert f"HTTP {FINAL[code][0]} {code}" in said and FINAL[code][1] in said and "/0/c/0/0/0/" in said
    assert SECRET not in said
    status = json.loads(cli("status", state, "--json").stdout)
    assert status["state"] != "done" and status["failed"] > 0
    assert not any(k.startswith("0/c/0/0/0/") for k in bucket.keys())
    bucket.server.plan = None
    cli.ok(*words, env=bucket.env)
    assert bucket.pixels() == pixels(local("small", "--levels", "1"))


def test_keys_and_buckets_that_are_not(cli, bucket, tmp_path):
    words = words_of("small", bucket.url(), str(tmp_path / "state"))
    wrong = dict(bucket.env, AWS_SECRET_ACCESS_KEY="something else")
    said = cli.fails(3, *words, env=wrong)
    assert "SignatureDoesNotMatch" in said and "AWS_SECRET_ACCESS_KEY" in said and "something else" not in said
    bucket.server.wrong.clear()
    said = cli.fails(3, *words_of("small", "s3://no-such-bucket/out.zarr", str(tmp_path / "other")), env=bucket.env)
    assert "NoSuchBucket" in said and "make it first" in said
    assert bucket.count("PUT") == 0 and not (tmp_path / "state").exists()


def test_rights_that_lapse_on_the_way(cli, bucket, tmp_path):
    """403 on what is looked for is absence only while the store can be read."""
    state = str(tmp_path / "state")
    cli.ok(*words_of("small", bucket.url(), state, "--levels", "1"), env=bucket.env)
    bucket.server.plan = lambda h, m, k, n: m in ("HEAD", "GET") and (error("AccessDenied")(h) or True)
    assert "403" in cli.fails(3, "verify", state, env=bucket.env)


def test_a_server_that_does_not_list(cli, bucket, local, tmp_path):
    """No right to list: 403 to that, and to everything that is not there."""

    there = set()

    def plan(handler, method, key, number):
        if method == "PUT":
            there.add(key)
        return method in ("GET", "HEAD") and key not in there and (error("AccessDenied")(handler) or True)

    bucket.server.plan = plan
    state = str(tmp_path / "state")
    cli.ok(*words_of("small", bucket.url(), state, "--levels", "3"), env=bucket.env)
    assert bucket.pixels() == pixels(local("small", "--levels", "3"))
    bucket.client.delete_object(Bucket=bucket.name, Key="out.ome.zarr/0/c/0/0/1/2/1")
    there.remove(f"/{bucket.name}/out.ome.zarr/0/c/0/0/1/2/1")
    assert json.loads(cli("verify", state, "--json", env=bucket.env).stdout)["missing"] == 1
    cli.ok("work", state, "--quiet", env=bucket.env)
    assert bucket.pixels() == pixels(local("small", "--levels", "3"))


def test_connections_and_memory_are_bounded(cli, bucket, tmp_path):
    bucket.server.delay = 0.01
    for version in ("0.5", "0.4"):
        state = str(tmp_path / version)
        cli.ok(*words_of("small", bucket.url(version + ".zarr"), state, "--format", version, "--memory", "100M"), env=bucket.env)
        status = cli.json("status", state)
        if not os.environ.get("PELLUCID_SANITIZED"):
            assert 0 < status["memory_peak"] <= status["memory_promised"] <= 100 << 20
    assert 8 <= bucket.server.most <= 16 + 2


def test_large_bodies_ask_first(cli, bucket, tmp_path):
    """From a mebibyte on the server may refuse before the body is sent."""
    bodies = []

    def plan(handler, method, key, number):
        if method == "PUT" and "/c/" in key:
            bodies.append(int(handler.headers["Content-Length"]))
        return False

    bucket.server.plan = plan
    cli.ok("convert", "phantom:t=1,c=1,z=16,y=512,x=512;seed=1", bucket.url(), "--codec", "none", "--levels", "1", "--chunk", "z=8,y=128,x=128",
           "--block", "z=16,y=512,x=512", "--state", tmp_path / "state", "--quiet", env=bucket.env)
    assert len(bodies) == 1 and bodies[0] > 8 << 20 and bucket.server.asked >= 1


# ---- what is ours and what is not ---------------------------------------------------------------------------------------


def test_what_is_not_ours_is_not_touched(cli, bucket, tmp_path):
    bucket.client.put_object(Bucket=bucket.name, Key="out.ome.zarr/notes & <more>.txt", Body=b"mine")
    for more in ((), ("--fresh",)):
        said = cli.fails(2, *words_of("small", bucket.url(), str(tmp_path / "state")), *more, env=bucket.env)
        assert "notes & <more>.txt" in said
    bucket.client.put_object(Bucket=bucket.name, Key="out.ome.zarr2/x", Body=b"a neighbour")
    bucket.client.delete_object(Bucket=bucket.name, Key="out.ome.zarr/notes & <more>.txt")
    cli.ok(*words_of("small", bucket.url(), str(tmp_path / "state"), "--levels", "1"), env=bucket.env)
    before = bucket.tree()
    said = cli.fails(2, *words_of("gaussian", bucket.url(), str(tmp_path / "state"), "--levels", "1"), env=bucket.env)
    assert "filter was" in said and bucket.tree() == before
    cli.ok(*words_of("gaussian", bucket.url(), str(tmp_path / "state"), "--levels", "1", "--fresh"), env=bucket.env)
    assert bucket.keys("out.ome.zarr2/") == ["x"]
    assert cli.json("verify", tmp_path / "state", "--windows", "2", env=bucket.env)["missing"] == 0


def test_books_belong_to_one_output(cli, bucket, tmp_path):
    state = str(tmp_path / "state")
    words = words_of("small", bucket.url(), state, "--levels", "1")
    cli.ok(*words, env=bucket.env)
    for other in (bucket.url("other.zarr"), str(tmp_path / "other.zarr")):
        for more in ((), ("--fresh",)):
            assert "output" in cli.fails(2, *words_of("small", other, state, "--levels", "1"), *more, env=bucket.env)
    assert json.loads(cli("status", state, "--json").stdout)["state"] == "done"
    # the same last part in another bucket or folder has the same usual place of its books
    cli.ok("convert", IMAGE, bucket.url("a/x.zarr"), *BLOCKS, "--levels", "1", "--quiet", env=bucket.env, cwd=tmp_path)
    assert "output" in cli.fails(2, "convert", IMAGE, bucket.url("b/x.zarr"), *BLOCKS, "--levels", "1", "--quiet", env=bucket.env, cwd=tmp_path)
    assert "another output" in cli.fails(2, "status", bucket.url("b/x.zarr"), cwd=tmp_path)
    cli.ok("status", bucket.url("a/x.zarr"), cwd=tmp_path)


@pytest.mark.parametrize("name", ["deep/in.ome.zarr", "deep/plain"])
def test_an_output_is_apart_from_its_input_on_s3(cli, bucket, tmp_path, name):
    """By what both lead to: the store around a level, also where no name says that it is one, and with slashes at the end."""
    cli.ok("convert", "phantom:t=1,c=1,z=2,y=300,x=300", bucket.url(name), "--levels", "2", "--quiet", "--state", tmp_path / "first", env=bucket.env)
    before = bucket.tree(name + "/")
    for source, out in ((name, name), (name + "/0", name), (name + "/0", name + "/1"), (name + "/0/", name + "/smooth"), (name, name + "/smooth/deeper"),
                        (name, "deep"), (name, name + "/")):
        for more in ((), ("--fresh",)):
            said = cli.fails(2, "convert", bucket.url(source), bucket.url(out), "--state", tmp_path / "second", *more, env=bucket.env, cwd=tmp_path)
            assert "the input" in said, said
    assert bucket.tree(name + "/") == before and sorted(os.listdir(tmp_path)) == ["first"]
    cli.ok("convert", bucket.url(name + "/0"), bucket.url("deep/other"), "--quiet", "--state", tmp_path / "second", env=bucket.env)
    assert bucket.tree(name + "/") == before


def test_a_folder_with_books_elsewhere(cli, tmp_path):
    """--state serves a local output, too; the books know where it is from any folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    cli.ok(*words_of("small", "out.zarr", "../there/books", "--prepare"), cwd=tmp_path / "here")
    cli.ok("work", tmp_path / "there/books", "--quiet", cwd="/")
    assert cli.json("verify", "there/books/", "--windows", "3", cwd=tmp_path)["different"] == 0
    assert sorted(os.listdir(tmp_path / "here")) == ["out.zarr"]
    page = cli.ok("report", tmp_path / "there/books").strip()
    assert page == str(tmp_path / "there/books/index.html") and "out.zarr" in open(page).read()


@pytest.mark.parametrize("out,more,said", [
    ("http://127.0.0.1:9/out.zarr", (), "nothing can be written"), ("s3://b/out.zarr", ("--state", "s3://b/books"), "local folder"),
    ("s3://", (), "s3://BUCKET/KEY")])
def test_places_that_cannot_be(cli, tmp_path, out, more, said):
    assert said in cli.fails(2, "convert", IMAGE, out, *more, cwd=tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_object_has_a_most(cli, bucket, tmp_path):
    image = "phantom:t=1,c=1,z=2048,y=2048,x=2048;seed=1"
    words = ("plan", "convert", image, bucket.url(), "--no-timing", "--dtype", "float32", "--memory", "300G", "--chunk", "z=64,y=64,x=64")
    assert "choose a smaller one" in cli.fails(2, *words, "--block", "z=1024,y=1024,x=2048", env=bucket.env)
    cli.ok(*words, "--block", "z=512,y=1024,x=1024", env=bucket.env)
