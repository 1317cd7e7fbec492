# SPDX-License-Identifier: MIT
"""pellucid-tls by itself: what it lets through, whom it refuses, and how it begins and ends. The counterparts are sockets of our own and the
`openssl` program, which was not written by us, with a key that is derived here."""
import contextlib
import hashlib
import hmac
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

SECRET = "5e" * 32
OTHER = "a7" * 32


def tls_program(cli):
    folder = os.path.dirname(cli.path)
    for name in ("pellucid-tls", "src/pellucid-tls"):
        if os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    pytest.skip("built without OpenSSL (libssl-dev)")


def derived(secret):
    """RFC 5869, one block, in hexadecimal: what `openssl -psk` wants."""
    first = hmac.new(b"pellucid tls 1", secret.encode(), hashlib.sha256).digest()
    return hmac.new(first, b"pre-shared key" + b"\1", hashlib.sha256).hexdigest()


class Tls:
    def __init__(self, cli, folder):
        self.program, self.folder, self.processes = tls_program(cli), folder, []

    def key(self, secret=SECRET):
        path = self.folder / f"password-{secret[:4]}"
        path.write_text(secret)
        return str(path)

    def start(self, *words, **options):
        p = subprocess.Popen([self.program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.processes.append(p)
        return p

    def front(self, to, *words, secret=SECRET):
        """Process and port of a front before a port of this machine."""
        p = self.start("front", "--key", self.key(secret), "--address", "127.0.0.1", "--port", 0, "--to", to, *words)
        line = p.stdout.readline()
        assert line.startswith("port "), p.communicate()[1]
        return p, int(line.split()[1])

    def worker(self, port, *command, secret=SECRET):
        return self.start("worker", "--key", self.key(secret), "--address", "127.0.0.1", "--port", port, "--", *command)

    def gate(self, port, secret=SECRET):
        """Process and local port of one before a worker that does nothing."""
        told = self.folder / f"told-{len(self.processes)}"
        p = self.worker(port, "/bin/sh", "-c", f'echo "$2" > {told}.new; mv {told}.new {told}; exec sleep 1000', "sh", secret=secret)
        while not told.exists():
            assert p.poll() is None, p.communicate()[1]
            time.sleep(0.01)
        return p, int(told.read_text())

    def end(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.communicate()


@pytest.fixture
def tls(cli, tmp_path):
    t = Tls(cli, tmp_path)
    yield t
    t.end()


class Server:
    """What stands for a manager: calls answer(connection) in a thread for each connection."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections, self.answer = self.socket.getsockname()[1], 0, answer
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                self.connections += 1
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.answer(connection)


def read_all(connection):
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def backwards(connection):
    """Hears all, to the end of that direction, then says it backwards."""
    connection.sendall(read_all(connection)[::-1])


def call(port):
    return socket.create_connection(("127.0.0.1", port), timeout=300)


def ask(port, data):
    """What comes back, to its end, for data and an end."""
    with call(port) as s:
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        answer = read_all(s)
        sender.join()
        return answer


def openssl(*words, data="", **options):
    if not shutil.which("openssl"):
        pytest.skip("no openssl program")
    return subprocess.run(["openssl", *words], input=data, capture_output=True, text=True, errors="replace", timeout=300, **options)


# ---- what goes through


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 3_000_001])
def test_bytes_and_both_ends_go_through(tls, size):
    server = Server(backwards)
    _, gate = tls.gate(tls.front(server.port)[1])
    data = random.Random(size).randbytes(size)
    assert ask(gate, data) == data[::-1]


def test_many_connections_at_once(tls):
    server = Server(backwards)
    _, gate = tls.gate(tls.front(server.port)[1])
    choose = random.Random(1)
    data = [choose.randbytes(choose.randrange(200_000)) for _ in range(40)]
    answers = [None] * len(data)
    threads = [threading.Thread(target=lambda k=k: answers.__setitem__(k, ask(gate, data[k]))) for k in range(len(data))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [d[::-1] for d in data] and server.connections == 40


def test_both_talk_at_once(tls):
    """More each way than all buffers hold, nobody waits for the other."""
    def talk(connection):
        t = threading.Thread(target=lambda: (connection.sendall(b"down" * 1_000_000), connection.shutdown(socket.SHUT_WR)))
        t.start()
        heard.append(read_all(connection))
        t.join()

    heard = []
    server = Server(talk)
    _, gate = tls.gate(tls.front(server.port)[1])
    assert ask(gate, b"up" * 2_000_000) == b"down" * 1_000_000
    while not heard:
        time.sleep(0.01)
    assert heard == [b"up" * 2_000_000]


def test_an_answer_before_a_question(tls):
    server = Server(lambda c: (c.sendall(b"hello"), read_all(c)))
    _, gate = tls.gate(tls.front(server.port)[1])
    with call(gate) as s:
        assert s.recv(5) == b"hello"


def test_who_does_not_listen_costs_no_memory(tls):
    go = threading.Event()
    server = Server(lambda c: (go.wait(), backwards(c)))
    front, port = tls.front(server.port)
    worker, gate = tls.gate(port)
    sent, data = 0, bytes(1 << 16)
    with call(gate) as s:
        s.setblocking(False)
        while sent < 1 << 30 and select.select([], [s], [], 1)[1]:
            sent += s.send(data)
        assert sent < 1 << 28, "it takes whatever is said to one who does not listen"
        for p in (front, worker):
            with open(f"/proc/{p.pid}/status") as f:
                peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
            assert peak < 32 << 10 or "PELLUCID_SANITIZED" in os.environ, f"{peak} KiB"
        go.set()
        s.setblocking(True)
        s.shutdown(socket.SHUT_WR)
        assert len(read_all(s)) == sent


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_connection_that_breaks_is_no_end(tls):
    """Whoever hears half of something must not take it for all."""
    server = Server(lambda c: (c.sendall(b"half of"), c.recv(1), reset(c)))
    front, port = tls.front(server.port)
    worker, gate = tls.gate(port)
    for victim in (None, front):
        with call(gate) as s:
            assert s.recv(100) == b"half of"
            if victim:
                victim.kill()
            else:
                s.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                assert s.recv(100) == b"", "reset"
                pytest.fail("it was taken for an end")
    with pytest.raises(ConnectionResetError), call(gate) as s: # the reset may come before the call is through
        s.recv(1)
        pytest.fail("nobody is there, and it was taken for an end")


# ---- who is refused


def test_a_client_of_somebody_elses_make_gets_in_with_the_key(tls):
    """The derivation and the protocol are what the page says: the control for what follows."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl program")
    server = Server(lambda c: c.sendall(c.recv(100)[::-1]))
    _, port = tls.front(server.port)
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-psk_identity", "pellucid-1", "-psk", derived(SECRET), "-quiet"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"olleh")
    p.stdin.flush()
    assert p.stdout.read() == b"hello", p.stderr.read()
    p.communicate()
    assert server.connections == 1


@pytest.mark.parametrize("words, why", [
    (("-tls1_3",), "it has no key of this run"),
    (("-tls1_3", "-psk_identity", "pellucid-1", "-psk", derived(OTHER)), "it has the key of another run"),
    (("-tls1_3", "-psk_identity", "somebody", "-psk", derived(SECRET)), "it has no key of this run"),
    (("-tls1_2", "-psk_identity", "pellucid-1", "-psk", derived(SECRET)), "it speaks an older TLS than 1.3"),
    (("-tls1_3", "-allow_no_dhe_kex", "-groups", "ffdhe8192", "-psk_identity", "pellucid-1", "-psk", derived(OTHER)), "refused"),
], ids=["no key", "other key", "other name", "older", "other key, odd words"])
def test_who_has_no_key_is_refused_and_the_manager_does_not_hear_of_it(tls, words, why):
    server = Server(backwards)
    front, port = tls.front(server.port)
    done = openssl("s_client", "-connect", f"127.0.0.1:{port}", *words, "-quiet", "-no_ign_eof", data="olleh")
    assert done.returncode != 0 and "hello" not in done.stdout
    assert why in front.stderr.readline()
    assert server.connections == 0


@pytest.mark.parametrize("said", [b"workqueue 10 node1 linux x86_64 8.0.0\n", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70000), bytes(100)])
def test_who_does_not_speak_tls_is_refused(tls, said):
    server = Server(backwards)
    front, port = tls.front(server.port)
    with call(port) as s, contextlib.suppress(ConnectionError):
        s.sendall(said)
        assert len(read_all(s)) < 100
    assert "refused a connection from 127.0.0.1" in front.stderr.readline()
    assert server.connections == 0


def test_garbage_after_the_handshake_breaks_the_connection_only(tls):
    """A byte is turned on its way: the pair ends with a reset on both sides, other connections go on."""
    server = Server(backwards)
    _, port = tls.front(server.port)

    def disturb(connection):
        with call(port) as on:
            connection.setblocking(False)
            on.setblocking(False)
            seen = 0
            while True:
                for a, b in ((connection, on), (on, connection)):
                    with contextlib.suppress(BlockingIOError):
                        data = a.recv(1 << 16)
                        if not data:
                            return
                        if a is connection:
                            seen += len(data)
                            if len(data) > 1000 and seen > 2000:
                                data = data[:500] + bytes([data[500] ^ 1]) + data[501:]
                        b.setblocking(True)
                        b.sendall(data)
                        b.setblocking(False)
                select.select([connection, on], [], [])

    _, gate = tls.gate(Server(disturb).port)
    with pytest.raises(ConnectionError):
        answer = ask(gate, bytes(100_000))
        pytest.fail(f"{len(answer)} bytes, and an end")
    _, good = tls.gate(port)
    assert ask(good, b"abc") == b"cba"


def s_server(*words):
    """openssl as a server that says lines backwards, and its port; what it heard is in what it says."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl program")
    for _ in range(50):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        p = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if any("ACCEPT" in line for line in iter(p.stdout.readline, "")):
            return p, port
        p.communicate()
    pytest.fail("openssl did not listen")


@pytest.mark.parametrize("kind, why", [("same", None), ("other", "does not accept the key"), ("certificate", "it does not accept the key of this run, or has none"),
                                       ("older", "older TLS"), ("plain", "does not speak TLS"), ("nobody", "Connection refused"), ("silent", "hands in time")])
def test_a_server_without_the_key_is_refused_and_told_nothing(tls, tmp_path, kind, why):
    """The other direction: a worker says nothing to somebody who stands where its manager was."""
    words = {"same": ("-nocert", "-tls1_3", "-psk_identity", "pellucid-1", "-psk", derived(SECRET)),
             "other": ("-nocert", "-tls1_3", "-psk_identity", "pellucid-1", "-psk", derived(OTHER))}
    if kind in ("certificate", "older"):
        pem = str(tmp_path / "pem")
        assert openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", pem, "-out",
                       pem + ".crt").returncode == 0
        words[kind] = ("-key", pem, "-cert", pem + ".crt", *(["-tls1_2"] if kind == "older" else []))
    heard, p = [], None
    if kind in words:
        p, port = s_server(*words[kind])
    elif kind == "nobody":
        taken = socket.socket()  # it has the port, and does not listen
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    else:
        port = Server(lambda c: (heard.append(c.recv(1 << 16)), c.sendall(b"220 hello\r\n" * 100) if kind == "plain" else c.recv(1))).port
    told = tmp_path / "told"
    worker = tls.start("worker", "--key", tls.key(), "--address", "127.0.0.1", "--port", port, "--shake-ms", 300 if kind == "silent" else 100000, "--", "/bin/sh", "-c",
                       f'echo "$2" > {told}.new; mv {told}.new {told}; exec sleep 1000', "sh")
    while not told.exists():
        time.sleep(0.01)
    if why is None:
        with call(int(told.read_text())) as s:
            s.sendall(b"secret\n")
            assert s.recv(100) == b"terces\n"
    else:  # it may be sent away as soon as it has called
        with pytest.raises((ConnectionResetError, BrokenPipeError)), call(int(told.read_text())) as s:
            s.sendall(b"secret\n")
            pytest.fail(f"{s.recv(100)}: it was taken for an answer")
        assert why in worker.stderr.readline()
    if p:
        p.terminate()
        assert "secret" not in p.communicate()[0]
    assert not any(b"secret" in h for h in heard)


def test_silent_strangers_are_sent_away_and_keep_nobody_out(tls):
    """More of them than may shake hands at once; each new one pushes the oldest out, and time does away with the others."""
    server = Server(backwards)
    front, port = tls.front(server.port, "--shake-ms", 100000)
    strangers = [call(port) for _ in range(300)]
    _, gate = tls.gate(port)
    assert ask(gate, b"abc") == b"cba"
    with contextlib.suppress(ConnectionResetError):
        assert strangers[0].recv(1) == b"", "pushed out"
    assert "too many others" in front.stderr.readline()
    front, port = tls.front(server.port, "--shake-ms", 100)
    with call(port) as s, contextlib.suppress(ConnectionResetError):
        assert s.recv(1) == b""
    assert "did not shake hands in time" in front.stderr.readline()
    for s in strangers:
        s.close()


def test_complaints_do_not_fill_a_disk(tls):
    server = Server(backwards)
    front, port = tls.front(server.port)
    for _ in range(200):
        with call(port) as s, contextlib.suppress(ConnectionError):
            s.sendall(b"x" * 100)
            read_all(s)
    front.terminate()
    assert front.communicate()[1].count("\n") < 20


def test_only_processes_of_the_same_user_come_in_beside_a_worker(tls):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("another user can be played by root only")
    server = Server(lambda c: c.sendall(b"welcome"))
    worker, gate = tls.gate(tls.front(server.port)[1])
    code = f"import socket; s = socket.create_connection(('127.0.0.1', {gate})); print(s.recv(100))"
    who = [sys.executable, "-c", code]
    assert "welcome" in subprocess.run(who, capture_output=True, text=True).stdout
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", *who], capture_output=True, text=True)
    assert "welcome" not in done.stdout and server.connections == 1
    assert "somebody else on this machine" in worker.stderr.readline()


# ---- beginning and end


def test_it_ends_as_its_worker_does(tls):
    server = Server(backwards)
    _, port = tls.front(server.port)
    assert tls.worker(port, "/bin/sh", "-c", "exit 7").wait() == 7
    assert tls.worker(port, "/bin/sh", "-c", "kill -9 $$").wait() == -9
    p = tls.worker(port, "/no/such/program")
    assert p.wait() == 127 and "/no/such/program: No such file" in p.communicate()[1]
    assert tls.worker(port, sys.executable, "-c", f"import sys; sys.exit(sys.argv[1:] != ['a b', '127.0.0.1', sys.argv[-1]] or int(sys.argv[-1]) == {port})", "a b").wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_are_the_workers(tls, tmp_path, number):
    """Which says goodbye in its own time: what it says then still arrives."""
    heard = []
    server = Server(lambda c: heard.append(read_all(c)))
    ready = tmp_path / "ready"
    p = tls.worker(tls.front(server.port)[1], sys.executable, "-c", f"""
import signal, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def end(number, frame):
    time.sleep(0.2)
    s.sendall(b"goodbye" * 1000)
    sys.exit(number)
signal.signal({int(number)}, end)
open({str(ready)!r}, "w").close()
while True:
    signal.pause()
""")
    while not ready.exists():
        time.sleep(0.01)
    p.send_signal(number)
    assert p.wait() == number
    while not heard:
        time.sleep(0.01)
    assert heard == [b"goodbye" * 1000]


def test_killed_it_takes_its_worker_along(tls, tmp_path):
    ready, gone = tmp_path / "ready", tmp_path / "gone"
    server = Server(backwards)
    p = tls.worker(tls.front(server.port)[1], "/bin/sh", "-c", f"trap 'touch {gone}; exit' TERM; touch {ready}; while :; do sleep 0.05; done")
    while not ready.exists():
        time.sleep(0.01)
    p.kill()
    while not gone.exists():
        time.sleep(0.01)


def test_a_front_that_is_told_to_end_lets_what_is_under_way_end(tls):
    go = threading.Event()
    server = Server(lambda c: (c.sendall(b"x"), go.wait(), c.sendall(b"y" * 100_000)))
    front, port = tls.front(server.port)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):  # for the manager, whose group it is in
        front.send_signal(number)
    _, gate = tls.gate(port)
    with call(gate) as s:
        assert s.recv(1) == b"x"
        front.terminate()
        go.set()
        assert len(read_all(s)) == 100_000
    assert front.wait() == 0
    with pytest.raises(OSError):
        call(port)


def test_port_that_is_taken(tls):
    server = Server(backwards)
    with socket.create_server(("127.0.0.5", 0)) as taken:  # where nobody else takes a port that was set free
        port = taken.getsockname()[1]
        words = ("front", "--key", tls.key(), "--address", "127.0.0.5", "--port", port, "--to", server.port)
        p = tls.start(*words)
        line = p.stdout.readline()
        assert line.startswith("port ") and line != f"port {port}\n"
        p = tls.start(*words, "--exactly")
        assert p.stdout.readline() == "" and p.wait() == 1 and f"port {port}: Address already in use" in p.communicate()[1]
    p = tls.start(*words, "--exactly")
    assert p.stdout.readline() == f"port {port}\n"


@pytest.mark.parametrize("words", [(), ("else",), ("front",), ("front", "--key", "k", "--address", "127.0.0.1", "--port", "0"),
                                   ("front", "--key", "k", "--address", "127.0.0.1", "--port", "70000", "--to", "9"), ("worker", "--key", "k", "--address", "1.2.3.4", "--port", "9"),
                                   ("worker", "--key", "k", "--address", "1.2.3.4", "--port", "0", "--", "true")])
def test_wrong_words(tls, words):
    p = tls.start(*words)
    assert p.wait() == 2 and "pellucid cluster --tls" in p.communicate()[1]


def test_password_that_is_none(tls, tmp_path):
    for content, why in ((None, "cannot read the password"), (b"", "found 0 bytes"), (b"x" * 31, "found 31 bytes"), (b"x" * 5000, "expected a password")):
        path = tmp_path / "password"
        if content is not None:
            path.write_bytes(content)
        p = tls.start("front", "--key", path, "--address", "127.0.0.1", "--port", 0, "--to", 9)
        assert p.wait() == 1 and why in p.communicate()[1]
    p = tls.start("front", "--key", tls.key(), "--address", "not-an-address", "--port", 0, "--to", 9)
    assert p.wait() == 1 and "expected four numbers" in p.communicate()[1]
