# SPDX-License-Identifier: MIT
"""Stores behind HTTP and S3, on the loopback only: the standard library's server with and without ranges, one that fails now and
then, hostile ones, and an S3 server whose every request is checked by the signing code of another project."""
import contextlib
import http.server
import json
import os
import re
import ssl
import subprocess
import threading
import urllib.parse
import zlib

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec  # noqa: E402

RNG = np.random.default_rng(6)


def crc(data):
    return zlib.crc32(np.ascontiguousarray(data).tobytes())


def checksums(cli, path, *words, **options):
    return [int(i["crc32"], 16) for i in cli.json("checksum", path, *words, **options)["images"]]


# ---- a server ------------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Files below a folder. server.quirks: ranges, tails (the last n bytes), heads; server.plan(path, number) may answer instead."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, 1 << 16
    cut = False

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:len(body) // 2] if self.cut else body)
        self.close_connection = self.close_connection or self.cut

    def do_GET(self):
        s = self.server
        path = urllib.parse.unquote(self.path)
        self.cut = False
        with s.lock:
            s.seen.append((self.command, path, self.headers.get("Range")))
            number = len(s.seen)
        try:
            if s.plan and s.plan(self, path, number):
                return
            file = s.root + path
            if not os.path.isfile(file):
                return self.reply(s.absent)
            with open(file, "rb") as f:
                body = f.read()
            self.serve(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def serve(self, body):
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        quirks = self.server.quirks
        if not wanted or "no-ranges" in quirks or (wanted[1] == "" and "no-tails" in quirks):
            return self.reply(200, body)
        if wanted[1] == "" and "tails-refused" in quirks:
            return self.reply(416)
        if wanted[1] == "":
            first, last = max(0, len(body) - int(wanted[2])), len(body) - 1
        else:
            first, last = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
        if first > last:
            return self.reply(416, headers=[("Content-Range", f"bytes */{len(body)}")])
        total = "*" if "no-totals" in quirks else len(body)
        self.reply(206, body[first:last + 1], [("Content-Range", f"bytes {first}-{last}/{total}")])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls = None

    def finish_request(self, request, client_address):
        """The handshake belongs to the connection's own thread."""
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.tls:
            request.close()

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def serving(root, quirks=(), plan=None, absent=404):
    server = Server(("127.0.0.1", 0), Handler)
    server.root, server.quirks, server.plan, server.absent = str(root), set(quirks), plan, absent
    server.seen, server.lock = [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AWS_", "CURL_", "SSL_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for localhost that signs itself, and the context of a server that has it."""
    folder = tmp_path_factory.mktemp("tls")
    key, file = str(folder / "key.pem"), str(folder / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file, "-days", "3", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return file, context


# ---- what is served ---------------------------------------------------------------------------------------------------


def make(path, kind):
    data = RNG.integers(0, 4000, (5, 70, 90)).astype("uint16")
    data[2] = 0
    data[:, :16, :32] = 0
    if kind == "v2":
        zarr.create_array(path, shape=data.shape, chunks=(2, 32, 32), dtype="uint16", zarr_format=2)[...] = data
        return data
    codecs = [BytesCodec(endian="little"), ZstdCodec(level=1), Crc32cCodec()]
    chunks = (2, 16, 16)
    if kind in ("end", "start", "nested"):
        codecs, chunks = [ShardingCodec(chunk_shape=chunks, codecs=codecs, index_location="start" if kind == "start" else "end")], (4, 64, 64)
    if kind == "nested":
        codecs, chunks = [ShardingCodec(chunk_shape=chunks, codecs=codecs)], (4, 128, 128)
    zarr.create(store=path, shape=data.shape, chunks=chunks, dtype="uint16", zarr_format=3, codecs=codecs, fill_value=0)[...] = data
    return data


KINDS = ["v2", "v3", "end", "start", "nested"]
QUIRKS = [(), ("no-ranges",), ("no-tails",), ("tails-refused",), ("no-totals",)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quirks", QUIRKS, ids=lambda q: "-".join(q) or "plain")
def test_pixels_over_http(cli, tmp_path, kind, quirks):
    data = make(str(tmp_path / "a b+ü%.zarr"), kind)
    with serving(tmp_path, quirks) as server:
        url = server.url + "/" + urllib.parse.quote("a b+ü%.zarr") + "/"
        assert checksums(cli, url) == [crc(data)]
        assert checksums(cli, url, "--z", "1:3", "--y", "13:40", "--x", "50:77") == [crc(data[1:3, 13:40, 50:77])]


def test_a_whole_run_over_http(cli, tmp_path):
    """Collection in, collection out; the run goes on and is verified from its plan alone."""
    store, out = str(tmp_path / "a.zarr"), str(tmp_path / "out.zarr")
    cli.ok("convert", "phantom:t=2,c=2,z=9,y=150,x=160;scenes=3;seed=4", store, "--chunk", "z=4,y=32,x=32", "--block", "z=8,y=64,x=64", "--quiet")
    whole = checksums(cli, store)
    with serving(tmp_path) as server:
        url = server.url + "/a.zarr"
        assert checksums(cli, url) == whole
        assert cli.json("info", url)["images"] == cli.json("info", store)["images"]
        cli.ok("convert", url, out, "--quiet", "--prepare")
        cli.ok("work", out, "--quiet")
        assert checksums(cli, out) == whole
        assert cli.json("verify", out, "--windows", "3")["different"] == 0


def test_neighbouring_chunks_come_together(cli, tmp_path):
    """A shard of 64 inner chunks is two requests: its index, and its chunks in one range."""
    data = RNG.integers(0, 4000, (4, 64, 64)).astype("uint16")
    zarr.create(store=str(tmp_path / "a.zarr"), shape=data.shape, chunks=data.shape, dtype="uint16", zarr_format=3,
                codecs=[ShardingCodec(chunk_shape=(4, 8, 8))])[...] = data
    with serving(tmp_path) as server:
        assert checksums(cli, server.url + "/a.zarr", "--threads", "1") == [crc(data)]
        shard = [r for r in server.seen if r[1].endswith("/c/0/0/0")]
    assert len(shard) == 2 and shard[0][2].startswith("bytes=-")


def sharded(path, shards):
    """Shards of 64 inner chunks in a row along x."""
    data = RNG.integers(0, 4000, (4, 64, 64 * shards)).astype("uint16")
    zarr.create(store=path, shape=data.shape, chunks=(4, 64, 64), dtype="uint16", zarr_format=3, codecs=[ShardingCodec(chunk_shape=(4, 8, 8))])[...] = data
    return data


def test_an_index_is_asked_for_once(cli, tmp_path):
    """A run reads 16 blocks out of each shard; the shard's index came with the first."""
    data = sharded(str(tmp_path / "a.zarr"), 3)
    with serving(tmp_path) as server:
        cli.ok("convert", server.url + "/a.zarr", tmp_path / "out.zarr", "--chunk", "z=4,y=16,x=16", "--block", "z=4,y=16,x=16", "--levels", "1",
               "--threads", "1", "--quiet")
        asked = [(path, wanted) for _, path, wanted in server.seen if "/c/" in path]
    assert checksums(cli, tmp_path / "out.zarr") == [crc(data)]
    indexes = [path for path, wanted in asked if wanted.startswith("bytes=-")]
    assert len(indexes) == len(set(indexes)) == 3 and len(asked) >= 3 + 16 * 3


def test_more_indexes_than_are_kept(cli, tmp_path):
    """What was pushed out is asked for again, and nothing is mixed up."""
    data = RNG.integers(0, 4000, (1, 8, 8 * 300)).astype("uint16")
    zarr.create(store=str(tmp_path / "a.zarr"), shape=data.shape, chunks=(1, 8, 8), dtype="uint16", zarr_format=3,
                codecs=[ShardingCodec(chunk_shape=(1, 4, 4), codecs=[BytesCodec()])])[...] = data
    with serving(tmp_path) as server:
        assert checksums(cli, server.url + "/a.zarr", "--threads", "3") == [crc(data)]


@pytest.mark.parametrize("kind", ["chunks", "shards"])
@pytest.mark.parametrize("threads", [1, 2])
def test_requests_go_out_before_they_are_needed(cli, tmp_path, kind, threads):
    """The server answers nothing until eight wait at once; and there are never more than are told."""
    if kind == "chunks":
        data = RNG.integers(0, 4000, (16, 64, 64)).astype("uint16")
        zarr.create_array(str(tmp_path / "a.zarr"), shape=data.shape, chunks=(1, 16, 16), dtype="uint16", zarr_format=3)[...] = data
    else:
        data = sharded(str(tmp_path / "a.zarr"), 24)
    state = {"waiting": 0, "most": 0, "open": False}
    enough = threading.Condition()

    def plan(handler, path, number):
        if "/c/" not in path:
            return False
        with enough:
            state["waiting"] += 1
            state["most"] = max(state["most"], state["waiting"])
            state["open"] = state["open"] or state["waiting"] >= 8
            enough.notify_all()
            assert enough.wait_for(lambda: state["open"], timeout=20)
            state["waiting"] -= 1
        return False

    with serving(tmp_path, plan=plan) as server:
        assert checksums(cli, server.url + "/a.zarr", "--threads", str(threads)) == [crc(data)]
    assert 8 <= state["most"] <= 16 + threads


def test_plates_need_no_listing_and_few_requests(cli, tmp_path):
    from test_zarr_kinds import plate
    made = plate(str(tmp_path / "p.zarr"), "0.5", ["A/1", "B/2"], 2)
    with serving(tmp_path) as server:
        url = server.url + "/p.zarr"
        assert checksums(cli, url) == [crc(d) for d in made.values()]
        server.seen.clear()
        cli.ok("info", url)
        apart = len(server.seen)
        zarr.consolidate_metadata(str(tmp_path / "p.zarr"))
        server.seen.clear()
        assert [i["name"] for i in cli.json("info", url)["images"]] == list(made)
        assert len(server.seen) == 1 + len(made) < apart  # and the document of each array, which may be newer
        assert checksums(cli, url) == [crc(d) for d in made.values()]


def test_consolidated_v2(cli, tmp_path):
    from test_zarr_kinds import plate
    made = plate(str(tmp_path / "p.zarr"), "0.4", ["A/1", "B/2"], 1)
    with serving(tmp_path) as server:
        url = server.url + "/p.zarr"
        assert checksums(cli, url) == [crc(d) for d in made.values()]
        zarr.consolidate_metadata(str(tmp_path / "p.zarr"))
        server.seen.clear()
        assert checksums(cli, url) == [crc(d) for d in made.values()]
        documents = {p for _, p, _ in server.seen if p.split("/")[-1].startswith((".z", "zarr.json"))}
        assert documents == {"/p.zarr/" + n for n in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")} | {
            p for p in documents if p.endswith("/0/s0/.zarray") or p.endswith("/0/0/.zarray")}
        assert len(documents) == 5 + len(made)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("older", ["shape", "chunks"])
def test_stale_consolidated_metadata(cli, tmp_path, version, older):
    """An image that grew (or was written anew) after its metadata were consolidated: read as the array's own document says."""
    from test_zarr_kinds import collection, pixels
    path = str(tmp_path / "a.zarr")
    collection(path, [0], version=version)
    zarr.consolidate_metadata(path)
    name = sorted(zarr.open_group(path, mode="r", use_consolidated=False)["0"].array_keys())[0]
    if older == "shape":
        array = zarr.open_array(f"{path}/0/{name}", mode="r+")
        array.resize((4, 3, 40, 50))
        array[2:] = pixels((2, 3, 40, 50))
    else:
        zarr.create_array(f"{path}/0/{name}", shape=(2, 3, 40, 50), chunks=(1, 1, 40, 7), dtype="uint16", overwrite=True,
                          zarr_format=2 if version == "0.4" else 3)[...] = pixels((2, 3, 40, 50))
    want = zarr.open_array(f"{path}/0/{name}", mode="r")[...]
    with serving(tmp_path) as server:
        url = server.url + "/a.zarr"
        assert checksums(cli, url) == [crc(want)] == checksums(cli, path)
        note, = cli.json("info", url)["images"][0]["notes"]
        assert note["kind"] == "metadata" and "consolidated" in note["text"] and f"0/{name}" in note["text"]
        zarr.consolidate_metadata(path)
        assert cli.json("info", url)["images"][0]["notes"] == []


# ---- servers in trouble -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["500", "503", "429", "cut", "drop"])
@pytest.mark.parametrize("kind", ["v3", "end"])
def test_a_server_that_fails_now_and_then(cli, tmp_path, trouble, kind):
    data = make(str(tmp_path / "a.zarr"), kind)
    failed = []

    def plan(handler, path, number):
        if number % 7 != 3:
            return False
        failed.append(path)
        if trouble == "cut":  # fewer bytes than announced
            handler.cut = True
            return False
        if trouble == "drop":
            handler.close_connection = True
        else:
            handler.reply(int(trouble), b"try later", [("Retry-After", "0")])
        return True

    with serving(tmp_path, plan=plan) as server:
        assert checksums(cli, server.url + "/a.zarr", "--threads", "2") == [crc(data)]
    assert failed


@pytest.mark.parametrize("status,code,said", [(401, 3, "401"), (403, 3, "403"), (404, 3, "no Zarr store"), (451, 3, "451")])
def test_answers_that_are_final(cli, tmp_path, status, code, said):
    with serving(tmp_path, plan=lambda h, p, n: h.reply(status) or True) as server:
        error = cli.fails(code, "info", server.url + "/a.zarr")
    assert said in error and server.url in error


def test_an_error_on_a_chunk_is_no_zero(cli, tmp_path):
    make(str(tmp_path / "a.zarr"), "v3")
    with serving(tmp_path, plan=lambda h, p, n: "/c/" in p and (h.reply(410 if "/0/0/0" in p else 400) or True)) as server:
        assert "HTTP 400" in cli.fails(3, "checksum", server.url + "/a.zarr")


def test_nobody_listens(cli):
    with serving("/nowhere") as server:
        url = server.url
    assert url in cli.fails(3, "info", url + "/a.zarr", timeout=30)


def test_403_is_absence_while_metadata_are_readable(cli, tmp_path):
    """Servers that must not list say 403 for keys that are not there; but rights that lapse on the way are no zeros."""
    data = make(str(tmp_path / "a.zarr"), "v3")
    with serving(tmp_path, absent=403) as server:
        assert checksums(cli, server.url + "/a.zarr") == [crc(data)]
        chunks = []

        def plan(handler, path, number):
            if "/c/" in path:
                chunks.append(path)
            return len(chunks) > 5 and (handler.reply(403) or True)

        server.plan = plan
        assert "403" in cli.fails(3, "checksum", server.url + "/a.zarr")


def test_redirects(cli, tmp_path):
    data = make(str(tmp_path / "a.zarr"), "end")

    def plan(handler, path, number):
        to = "/loop" + path if "endless" in path else path[4:]
        return path.startswith(("/old", "/loop", "/endless")) and (handler.reply(302, b"", [("Location", urllib.parse.quote(to))]) or True)

    with serving(tmp_path, plan=plan) as server:
        assert checksums(cli, server.url + "/old/a.zarr") == [crc(data)]
        assert "redirects" in cli.fails(3, "info", server.url + "/endless/a.zarr")
        server.plan = lambda h, p, n: h.reply(302, b"", [("Location", "file:///etc/passwd")]) or True
        cli.fails(3, "info", server.url + "/a.zarr")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_https(cli, tmp_path, certificate, variable):
    """Read from a server whose certificate is among the trusted ones; from no other, and under no other name."""
    data = make(str(tmp_path / "a.zarr"), "end")
    file, context = certificate
    with serving(tmp_path) as server:
        server.tls = context
        url = server.url.replace("http://127.0.0.1", "https://localhost") + "/a.zarr"
        assert checksums(cli, url, env={variable: file}) == [crc(data)]
        for address, env in ((url, {}), (url.replace("localhost", "127.0.0.1"), {variable: file}), (url, {variable: str(tmp_path / "none.pem")})):
            server.seen.clear()
            assert "certificate" in cli.fails(3, "info", address, env=env).lower()
            assert not server.seen


def test_https_never_leads_to_http(cli, tmp_path, certificate):
    make(str(tmp_path / "a.zarr"), "end")
    with serving(tmp_path) as plain, serving(tmp_path, plan=lambda h, p, n: h.reply(302, b"", [("Location", plain.url + p)]) or True) as server:
        server.tls = certificate[1]
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        cli.fails(3, "info", url + "/a.zarr", env=dict(SSL_CERT_FILE=certificate[0]))
        assert server.seen and not plain.seen


@pytest.mark.parametrize("announced", [False, True])
def test_huge_metadata(cli, tmp_path, announced):
    def plan(handler, path, number):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40)) if announced else handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" " * (1 << 20))
        return True

    with serving(tmp_path, plan=plan) as server:
        assert "more than" in cli.fails(3, "info", server.url + "/a.zarr")


def shard_with(tmp_path, change):
    make(str(tmp_path / "a.zarr"), "end")
    file = tmp_path / "a.zarr/c/0/0/0"
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"", lambda b: b[:7], lambda b: b[:100] + b"\0" + b[101:],
                                    lambda b: b[1:]], ids=["short", "empty", "tiny", "flipped", "shifted"])
@pytest.mark.parametrize("quirks", QUIRKS, ids=lambda q: "-".join(q) or "plain")
def test_damaged_shards(cli, tmp_path, change, quirks):
    shard_with(tmp_path, change)
    with serving(tmp_path, quirks) as server:
        assert "/c/0/0/0" in cli.fails(3, "checksum", server.url + "/a.zarr")


@pytest.mark.parametrize("lie", ["bytes 5-9/100", "bytes 0-0/1", "bytes 9-1/2", "nonsense", "bytes 0-9223372036854775807/1", ""])
def test_ranges_that_were_not_asked_for(cli, tmp_path, lie):
    make(str(tmp_path / "a.zarr"), "start")

    def plan(handler, path, number):
        return handler.headers.get("Range") is not None and (handler.reply(206, b"12345", [("Content-Range", lie)] if lie else []) or True)

    with serving(tmp_path, plan=plan) as server:
        cli.fails(3, "checksum", server.url + "/a.zarr", timeout=20)


@pytest.mark.parametrize("url", ["http://", "http://user:secret@127.0.0.1/a.zarr", "http://127.0.0.1/a.zarr?key=1", "s3://", "s3:///x",
                                 "s3://a b/x"])
def test_addresses_that_cannot_be(cli, url):
    error = cli.fails(2, "info", url)
    assert "secret" not in error


# ---- S3 ---------------------------------------------------------------------------------------------------------------


KEY, SECRET = "AKIAEXAMPLE", "not+a/real secret"


@pytest.fixture(scope="module")
def s3_server():
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://%s:%d" % server.get_host_and_port()
    server.stop()


class Verifier(Handler):
    """Stands before the S3 server: recomputes every signature with botocore and lets only right ones through."""

    def do_GET(self):
        import http.client

        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        s = self.server
        given = self.headers.get("Authorization", "")
        with s.lock:
            s.seen.append((self.command, self.path, self.headers.get("Range")))
        if s.keys:
            parts = dict(p.strip().split("=", 1) for p in given.split(" ", 1)[1].split(","))
            names = parts["SignedHeaders"].split(";")
            region = parts["Credential"].split("/")[2]
            request = AWSRequest(self.command, f"http://{self.headers['Host']}{self.path}", headers={n: self.headers[n] for n in names})
            request.context["timestamp"] = self.headers["X-Amz-Date"]
            auth = S3SigV4Auth(Credentials(*s.keys), "s3", region)
            text = auth.canonical_request(request)
            want = auth.signature(auth.string_to_sign(request, text), request)
            needed = {"host", "x-amz-content-sha256", "x-amz-date"} | ({"x-amz-security-token"} if s.keys[2] else set())
            if want != parts["Signature"] or not needed <= set(names) or region != s.region:
                s.wrong.append((self.path, text))
                return self.reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        elif given:
            s.wrong.append((self.path, given))
        host, port = urllib.parse.urlparse(s.behind).netloc.split(":")
        c = http.client.HTTPConnection(host, int(port))
        c.request(self.command, self.path, headers={n: v for n, v in self.headers.items() if n.lower() in ("range", "authorization", "x-amz-date",
                                                                                                        "x-amz-content-sha256")})
        r = c.getresponse()
        body = r.read()
        self.send_response(r.status)
        for n, v in r.getheaders():
            if n.lower() in ("content-range", "etag"):
                self.send_header(n, v)
        self.send_header("Content-Length", r.getheader("Content-Length") if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        c.close()

    do_HEAD = do_GET


@contextlib.contextmanager
def s3(behind, keys=None, region="us-east-1"):
    server = Server(("127.0.0.1", 0), Verifier)
    server.behind, server.keys, server.region = behind, keys, region
    server.seen, server.wrong, server.lock = [], [], threading.Lock()
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


def upload(url, bucket, key, folder, acl="private"):
    import boto3
    client = boto3.client("s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    for at, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(at, name)
            client.upload_file(file, bucket, f"{key}/{os.path.relpath(file, folder)}", ExtraArgs={"ACL": acl})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("token", [None, "a/temporary+token=="])
def test_signed_requests_to_s3(cli, tmp_path, s3_server, kind, token):
    data = make(str(tmp_path / "a.zarr"), kind)
    bucket = f"bucket-{kind}-{'token' if token else 'key'}"
    upload(s3_server, bucket, "some folder/ü+1%/a.zarr", str(tmp_path / "a.zarr"))
    with s3(s3_server, (KEY, SECRET, token), "eu-test-2") as server:
        env = dict(AWS_ENDPOINT_URL=server.url, AWS_REGION="eu-test-2", AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET,
                   **({"AWS_SESSION_TOKEN": token} if token else {}))
        url = f"s3://{bucket}/some folder/ü+1%/a.zarr"
        assert checksums(cli, url, env=env) == [crc(data)]
        assert checksums(cli, url + "/", "--z", "1:3", "--y", "13:40", env=env) == [crc(data[1:3, 13:40])]
        if token:
            return
        out = str(tmp_path / "out.zarr")
        cli.ok("convert", url, out, "--quiet", "--prepare", env=env)
        cli.ok("work", out, "--quiet", env=env)
        assert checksums(cli, out) == [crc(data)]
        plan = json.dumps(json.load(open(out + ".run/plan.json")))
        assert SECRET not in plan and KEY not in plan


def test_a_wrong_secret(cli, tmp_path, s3_server):
    make(str(tmp_path / "a.zarr"), "v3")
    upload(s3_server, "bucket-wrong", "a.zarr", str(tmp_path / "a.zarr"))
    with s3(s3_server, (KEY, SECRET, None)) as server:
        env = dict(AWS_ENDPOINT_URL=server.url, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY="something else")
        error = cli.fails(3, "info", "s3://bucket-wrong/a.zarr", env=env)
        assert "SignatureDoesNotMatch" in error and "something else" not in error
        server.wrong.clear()


def test_anonymous_s3(cli, tmp_path, s3_server):
    data = make(str(tmp_path / "a.zarr"), "end")
    upload(s3_server, "bucket-open", "a.zarr", str(tmp_path / "a.zarr"), "public-read")
    upload(s3_server, "bucket-open", "b.zarr", str(tmp_path / "a.zarr"))
    with s3(s3_server) as server:
        assert checksums(cli, "s3://bucket-open/a.zarr", env=dict(AWS_ENDPOINT_URL=server.url)) == [crc(data)]
        assert "403" in cli.fails(3, "info", "s3://bucket-open/b.zarr", env=dict(AWS_ENDPOINT_URL=server.url))


def test_a_bucket_that_is_not_there(cli, s3_server):
    error = cli.fails(3, "info", "s3://no-such-bucket/a.zarr", env=dict(AWS_ENDPOINT_URL=s3_server))
    assert "no Zarr store" in error
