"""Clients: raw sockets judged by h11, curl, OpenSSH.

h11 is the judge of what comes back: what it can't parse is not HTTP.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h11
import pytest
from attrs import define, field
from program import PATIENCE, in_ci

PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "nginx": "nginx-light",
    "squid": "squid",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


def need(program: str) -> str:
    """The path of a program; without it the test is skipped, in CI it fails."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        message = f"{program} is missing: apt-get install {PACKAGES[program]}"
        pytest.fail(message) if in_ci() else pytest.skip(message)
    return found


Feed = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """Each byte alone; of long data only the last thousand."""
    if head := data[:-1000]:
        yield head
    for i in range(len(head), len(data)):
        yield data[i : i + 1]


FEEDS = pytest.mark.parametrize("feed", [whole, byte_by_byte])


@define
class Reply:
    """A response. status 0: the connection was closed or reset before one came."""

    status: int = 0
    fields: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(factory=list)
    interim: list[int] = field(factory=list)
    version: str = ""
    complete: bool = False

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str) -> str:
        return ", ".join(self.all(name))

    @property
    def hit(self) -> bool:
        """Whether a cache says it answered (RFC 9211)."""
        return "; hit" in self.get("cache-status").replace(";hit", "; hit")


def _texts(fields: object) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode("latin-1")) for name, value in fields]  # type: ignore


class Client:
    """One connection, on which bytes are sent as they are and replies read."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = PATIENCE,
        source: str | None = None,
    ) -> None:
        self.socket = socket.create_connection(
            (host, port), timeout, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        self.unread = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, feed: Feed = whole, stop_when_answered: bool = True) -> None:
        """Send; by itself it stops when the peer answers, which then may not read on."""
        try:
            for piece in feed(data):
                self.socket.sendall(piece)
                if len(piece) == 1:
                    # Long enough for a peer on the other core to read it alone.
                    time.sleep(0.0002)
                    if stop_when_answered and select.select([self.socket], [], [], 0)[0]:
                        return
        except (BrokenPipeError, ConnectionResetError):
            return

    def _more(self, size: int = 1 << 16) -> bytes:
        try:
            return self.socket.recv(size)
        except ConnectionResetError:
            return b""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        while len(self.unread) < size and (data := self._more()):
            self.unread += data
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    def rest(self) -> bytes:
        """All until the peer closes."""
        pieces = [self.unread]
        while data := self._more():
            pieces.append(data)
        self.unread = b""
        return b"".join(pieces)

    def closed(self) -> bool:
        """Whether the peer closes now and sends nothing before."""
        return self.rest() == b""

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reply(self, method: str = "GET") -> Reply:
        """The next response, interim ones noted. h11 raises for what is not HTTP."""
        judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        # The judge must know the method; and without an Upgrade it would refuse a 101.
        upgrade = [("Connection", "upgrade"), ("Upgrade", "x")] if method != "CONNECT" else []
        judge.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *upgrade]))
        judge.send(h11.EndOfMessage())
        if self.unread:
            judge.receive_data(self.unread)
        reply = Reply()
        body = []
        ended = False
        while True:
            try:
                event = judge.next_event()
            except h11.RemoteProtocolError:
                if ended:
                    break  # within the message
                raise
            if event is h11.NEED_DATA:
                data = self._more()
                ended = not data
                judge.receive_data(data)
            elif isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                reply.interim.append(event.status_code)
            elif isinstance(event, h11.Response | h11.InformationalResponse):
                reply.status = event.status_code
                reply.fields = _texts(event.headers)
                reply.version = event.http_version.decode()
                if event.status_code == 101 or (method == "CONNECT" and event.status_code < 300):
                    reply.complete = True
                    break
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                reply.trailers = _texts(event.headers)
                reply.complete = True
                break
            else:
                break
        self.unread = judge.trailing_data[0]
        reply.body = b"".join(body)
        return reply

    def ask(self, request: bytes, feed: Feed = whole) -> Reply:
        """Send a request and read its reply."""
        self.send(request, feed)
        method = request.partition(b" ")[0]
        # Others have responses like those of GET, and some no method that h11 would take.
        return self.reply(method.decode() if method in (b"HEAD", b"CONNECT") else "GET")


def get(port: int, target: str, host: str = "localhost", **fields: str) -> Reply:
    """One GET on a connection of its own; keywords are fields, ``_`` for ``-``."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    with Client(port) as client:
        return client.ask("\r\n".join([*lines, "", ""]).encode("latin-1"))


@define
class Curl:
    """What curl got: the last response's head and body, and its exit status."""

    exit: int
    status: int
    head: str
    body: bytes

    @property
    def hit(self) -> bool:
        return any(
            line.lower().startswith("cache-status:") and "; hit" in line.replace(";hit", "; hit")
            for line in self.head.splitlines()
        )


def curl(*options: object, folder: Path, timeout: float = PATIENCE) -> Curl:
    """Run curl; environment and ~/.curlrc don't count. folder: for what it writes."""
    head, body = folder / "curl-head", folder / "curl-body"
    head.unlink(missing_ok=True)
    body.unlink(missing_ok=True)
    command = [need("curl"), "--disable", "--silent", "--show-error", "--max-time", str(timeout)]
    command += ["--dump-header", str(head), "--output", str(body), "--write-out", "%{http_code}"]
    done = subprocess.run(
        [*command, *map(str, options)],
        capture_output=True,
        text=True,
        timeout=timeout + 5,
        env={"PATH": os.environ["PATH"]},
    )
    return Curl(
        done.returncode,
        int(done.stdout or 0),
        head.read_text("latin-1") if head.exists() else "",
        body.read_bytes() if body.exists() else b"",
    )


def make_ssh_key(file: Path) -> Path:
    """A key pair; the private half's path."""
    make = [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)]
    subprocess.run(make, check=True, timeout=PATIENCE)
    return file


def ssh(
    port: int, key: Path, *command: str, typed: str = "", terminal: bool = False, user: str = "any"
) -> subprocess.CompletedProcess[str]:
    """OpenSSH's client. typed: what is on its standard input, all there from the start."""
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "LogLevel=ERROR"]
    options += ["StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={key.parent}/known_hosts"]
    options += ["ConnectTimeout=10", f"IdentityFile={key}"]
    line = [need("ssh"), "-F", "none", "-p", str(port), *(["-tt"] if terminal else ["-T"])]
    line += [part for option in options for part in ("-o", option)]
    return subprocess.run(
        [*line, f"{user}@127.0.0.1", *command],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
    )
