"""Large bodies that nobody keeps: from socket to socket in the kernel, and whole at the end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import selectors
import socket
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from clients import Client, curl
from conftest import Keep, Start
from origins import Gone, Scripted, Talk
from program import Program, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]

[[reverse.tls]]
hosts = ["localhost"]
cert = "$cert"
key = "$key"

[[reverse.route]]
pool = "all"

[pools.all]
servers = ["http://127.0.0.1:$origin"]
"""
SIZE = 20_000_000
#: What goes through Python: a first read, and what of an upload is kept to ask again with.
READ = 1_000_000
SIDES = pytest.mark.parametrize("side", ["forward", "reverse"])


def pattern(size: int) -> bytes:
    """Bytes that tell where they belong."""
    return b"".join(b"%015d\n" % i for i in range(size // 16 + 1))[:size]


BODY = pattern(SIZE)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Bodies:
    """A server: GET /SIZE, /SIZE/close, /SIZE/cut and /SIZE/reset (after half of it);
    PUT answers with the digest of what it read, PUT /reset resets after a megabyte.

    put: bytes of bodies, by path.
    """

    def __init__(self) -> None:
        self.put: Counter[str] = Counter()

    def __call__(self, talk: Talk) -> None:
        while True:
            head = talk.head().decode("latin-1")
            method, path, _ = head.split(" ", 2)
            if method == "PUT":
                self._read(talk, path, head)
            elif self._send(talk, path):
                return

    def _send(self, talk: Talk, path: str) -> bool:
        """Whether that was the last."""
        _, size, *how = path.partition("?")[0].split("/")
        body = BODY[: int(size)]
        close = "Connection: close\r\n" if how == ["close"] else ""
        head = "HTTP/1.1 200 OK\r\n%sCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
        talk.send((head % (close, len(body))).encode())
        if how in ([], ["close"]):
            talk.send(body)
            return bool(how)
        talk.send(body[: len(body) // 2])
        if how == ["reset"]:
            talk.reset()
        return True

    def _read(self, talk: Talk, path: str, head: str) -> None:
        found = re.search(r"(?i)content-length: (\d+)", head)
        assert found
        left, digest = int(found[1]), hashlib.sha256()
        while left:
            data = talk.read(min(left, 1 << 18))
            if not data:
                raise Gone
            talk.record.clear()
            digest.update(data)
            left -= len(data)
            self.put[path] += len(data)
            if path == "/reset" and self.put[path] > READ:
                talk.reset()
                raise Gone
        text = digest.hexdigest()
        talk.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


@pytest.fixture(scope="module")
def bodies() -> Bodies:
    return Bodies()


@pytest.fixture(scope="module")
def origin(keep: Keep[Scripted], bodies: Bodies) -> Scripted:
    return keep(Scripted(bodies))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Scripted, authority: Authority) -> Program:
    cert, key = authority.issue("localhost")
    return start_shared(CONFIG, origin=origin.port, cert=cert, key=key)


def snapshot(proxy: Program) -> Any:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(proxy.folder / "var/admin.sock"))
        client.sendall(b"GET /snapshot HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class Splice:
    """By how much the figures have grown since."""

    def __init__(self, proxy: Program) -> None:
        self._proxy = proxy
        self._before = snapshot(proxy)["splice"]

    def __getattr__(self, name: str) -> int:
        return int(snapshot(self._proxy)["splice"][name]) - self._before[name]


@pytest.fixture
def splice(proxy: Program) -> Splice:
    return Splice(proxy)


def way(proxy: Program, side: str) -> tuple[str, ...]:
    """For curl."""
    if side == "forward":
        return ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    return ("--connect-to", f"::127.0.0.1:{proxy.reverse}")


def url(proxy: Program, path: object) -> str:
    return f"http://127.0.0.1:{proxy.names['origin']}/{path}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@SIDES
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_a_download(
    proxy: Program, splice: Splice, side: str, version: str, tmp_path: Path
) -> None:
    got = curl(version, *way(proxy, side), url(proxy, SIZE), folder=tmp_path)
    assert (got.exit, got.status, digest(got.body)) == (0, 200, DIGEST)
    assert SIZE - READ < splice.spliced <= SIZE
    assert splice.copied == 0
    proxy.access(1, side=side, method="GET", bytes_out=SIZE, error=None)


@SIDES
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_an_upload(
    proxy: Program, splice: Splice, side: str, version: str, unique: str, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY)
    put = ("--upload-file", file, "--header", "Expect:")
    got = curl(version, *way(proxy, side), *put, url(proxy, unique), folder=tmp_path)
    assert (got.exit, got.status, got.body.decode()) == (0, 200, DIGEST)
    assert SIZE - READ < splice.spliced <= SIZE
    assert splice.copied == 0
    proxy.access(1, containing=unique, side=side, bytes_in=SIZE, bytes_out=64, error=None)


def test_over_tls_they_are_the_same(
    proxy: Program, splice: Splice, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY)
    here = ("--cacert", authority.ca, "--connect-to", f"::127.0.0.1:{proxy.tls}")
    got = curl(*here, f"https://localhost/{SIZE}", folder=tmp_path)
    assert (got.exit, got.status, digest(got.body)) == (0, 200, DIGEST)
    put = ("--upload-file", file, "--header", "Expect:")
    got = curl(*here, *put, "https://localhost/over-tls", folder=tmp_path)
    assert (got.exit, got.status, got.body.decode()) == (0, 200, DIGEST)
    assert splice.spliced == 0


def read_body(client: Client, size: int) -> bytes:
    """A head and so many bytes after it."""
    head, _, rest = client.unread.partition(b"\r\n\r\n")
    while b"\r\n\r\n" not in client.unread:
        client.unread += client.socket.recv(1 << 16)
        head, _, rest = client.unread.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    pieces, count = [rest], len(rest)
    while count < size:
        data = client.socket.recv(1 << 20)
        assert data
        pieces.append(data)
        count += len(data)
    data = b"".join(pieces)
    client.unread = data[size:]
    return data[:size]


def test_the_connections_are_used_again(proxy: Program, origin: Scripted, splice: Splice) -> None:
    upload = b"PUT /again HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
    download = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
    with Client(proxy.reverse, timeout=60) as client:
        client.send(download % 10)
        assert read_body(client, 10) == BODY[:10]
        before = len(origin.talks)
        for _ in range(3):
            client.send(download % SIZE)
            assert digest(read_body(client, SIZE)) == DIGEST
            # Pipelined: the second is in the socket behind a body that passes it by.
            client.send(upload + BODY + download % SIZE, stop_when_answered=False)
            assert read_body(client, 64).decode() == DIGEST
            assert digest(read_body(client, SIZE)) == DIGEST
            client.send(download % 10)
            assert read_body(client, 10) == BODY[:10]
        assert client.unread == b""
    assert len(origin.talks) == before
    assert splice.spliced > 9 * (SIZE - READ)


def over_tls(proxy: Program, authority: Authority) -> Client:
    context = authority.client_context()
    return Client(proxy.tls, tls=context, server_name="localhost", timeout=60)


def test_tls_connections_are_used_again(
    proxy: Program, origin: Scripted, authority: Authority
) -> None:
    upload = b"PUT /again HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % SIZE
    download = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with over_tls(proxy, authority) as client:
        client.send(download % 10)
        assert read_body(client, 10) == BODY[:10]
        before = len(origin.talks)
        for _ in range(2):
            client.send(download % SIZE)
            assert digest(read_body(client, SIZE)) == DIGEST
            client.send(upload + BODY + download % 10)
            assert read_body(client, 64).decode() == DIGEST
            assert read_body(client, 10) == BODY[:10]
        assert client.unread == b""
    assert len(origin.talks) == before


def test_a_tls_client_without_a_goodbye_in_the_middle_of_its_upload(
    proxy: Program, bodies: Bodies, authority: Authority, unique: str
) -> None:
    with over_tls(proxy, authority) as client:
        head = f"PUT /{unique} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n"
        client.send(head.encode() + BODY[: SIZE // 2])
        until(lambda: bodies.put[f"/{unique}"] == SIZE // 2)
        socket.socket.shutdown(client.socket, socket.SHUT_WR)  # of TCP only
        (row,) = proxy.access(1, containing=unique)
    assert (row["bytes_in"], row["error"]) == (SIZE // 2, "client_lost")


def test_a_tls_client_without_a_goodbye_in_the_middle_of_its_download(
    proxy: Program, authority: Authority, unique: str
) -> None:
    with over_tls(proxy, authority) as client:
        client.send(f"GET /{SIZE}?{unique} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.read(READ)
        socket.socket.shutdown(client.socket, socket.SHUT_WR)
        client.rest()
    (row,) = proxy.access(1, containing=unique)
    assert row["error"] == "client_lost"
    assert READ - 1000 < row["bytes_out"] < SIZE


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_server_that_dies_on_a_download(
    proxy: Program, splice: Splice, how: str, unique: str
) -> None:
    with Client(proxy.reverse) as client:
        client.send(f"GET /{SIZE}/{how}?{unique} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        reply = client.reply()
    assert reply.status == 200
    assert not reply.complete
    assert BODY.startswith(reply.body)
    if how == "cut":
        assert len(reply.body) == SIZE // 2
    (row,) = proxy.access(1, containing=unique)
    assert row["error"] == "http_response_incomplete"
    assert len(reply.body) <= row["bytes_out"] <= SIZE // 2
    until(lambda: splice.now == 0)


def test_a_server_that_dies_on_an_upload(proxy: Program, splice: Splice) -> None:
    with Client(proxy.reverse) as client:
        client.send(b"PUT /reset HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        client.socket.settimeout(0.2)  # as curl does, it looks for an answer while it sends
        for at in range(0, SIZE, 1 << 16):
            try:
                client.socket.sendall(BODY[at : at + (1 << 16)])
            except OSError:
                break
        client.socket.settimeout(20)
        assert client.reply().status == 502
    until(lambda: splice.now == 0)


def reset(client: Client) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def test_a_client_that_is_reset_on_a_download(proxy: Program, splice: Splice, unique: str) -> None:
    client = Client(proxy.reverse)
    client.send(f"GET /{SIZE}?{unique} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    client.read(READ)
    reset(client)
    (row,) = proxy.access(1, containing=unique)
    assert row["error"] == "client_lost"
    assert READ - 1000 < row["bytes_out"] < SIZE
    until(lambda: splice.now == 0)


@pytest.mark.parametrize("end", [reset, Client.end_sending])
def test_a_client_that_ends_in_the_middle_of_its_upload(
    proxy: Program,
    bodies: Bodies,
    splice: Splice,
    end: Callable[[Client], None],
    unique: str,
) -> None:
    client = Client(proxy.reverse)
    head = f"PUT /{unique} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    client.send(head.encode() + BODY[: SIZE // 2])
    until(lambda: bodies.put[f"/{unique}"] == SIZE // 2)
    end(client)
    (row,) = proxy.access(1, containing=unique)
    assert row["bytes_in"] == SIZE // 2
    if end is reset:
        assert row["error"] == "client_lost"
    else:
        assert client.reply().status == 400
        client.socket.close()
    until(lambda: splice.now == 0)


def descriptors(proxy: Program) -> Counter[str]:
    """How many of each kind the program has."""
    folder = f"/proc/{proxy.process.pid}/fd"
    kinds: Counter[str] = Counter()
    for name in os.listdir(folder):
        try:
            kinds[os.readlink(f"{folder}/{name}").partition(":")[0]] += 1
        except FileNotFoundError:
            continue
    return kinds


def test_no_descriptor_is_left_by_downloads_that_end_in_every_way(proxy: Program) -> None:
    size = 2_000_000
    with Client(proxy.reverse) as client:  # what is opened once
        client.send(f"GET /{size}/close HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_body(client, size)
    before = until(lambda: at_rest(proxy))
    kinds = ["close", "close", "cut", "reset"]
    lengths: Counter[str] = Counter()
    with selectors.DefaultSelector() as selector:
        left = {}
        for number in range(200):
            client = Client(proxy.reverse)
            how = kinds[number % 4]
            client.send(f"GET /{size}/{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            selector.register(client.socket, selectors.EVENT_READ, client)
            left[client] = [how, 0, number % 8 == 0]
        while left:
            for key, _ in selector.select(20):
                client = key.data
                state = left[client]
                try:
                    data = client.socket.recv(1 << 18)
                except ConnectionResetError:
                    data = b""
                state[1] += len(data)
                if not data or state[1] > size or (state[2] and state[1] > READ):
                    selector.unregister(client.socket)
                    lengths[state[0]] += state[1] > size
                    reset(client) if state[2] else client.socket.close()
                    del left[client]
    assert lengths["cut"] == lengths["reset"] == 0
    assert lengths["close"] == 75  # all but those that were reset by us

    def as_before() -> bool:
        now = at_rest(proxy)
        return now is not None and now["socket"] == before["socket"]

    until(as_before, why=f"{descriptors(proxy)}, before: {before}")
    # What idles is bounded.
    pipes = snapshot(proxy)["splice"]["pipes"]
    assert pipes <= 16
    assert descriptors(proxy)["pipe"] - before["pipe"] <= 2 * pipes


def at_rest(proxy: Program) -> Counter[str] | None:
    """Its descriptors, once nothing is under way and the next who asks is the only one."""
    figures = snapshot(proxy)
    if figures["exchanges"]["active"] or figures["splice"]["now"]:
        return None
    return descriptors(proxy) if figures["connections"]["clients"] == 0 else None
