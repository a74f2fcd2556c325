from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import Clock
from twisted.web.iweb import IAgent
from zope.interface import implementer

from twistproxy.lists.fetch import HEAD, IDLE, TOTAL, Fetched, NotFetched, agent, fetch

URL = "http://lists.example/list"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


def why(failure: Any) -> str:
    assert failure.check(NotFetched), failure
    return str(failure.value)


def test_a_list_is_in_the_file(server: Any, path: Path) -> None:
    server.has("/list", b"ads.example\n" * 99_999, 'ETag: "7"', "Last-Modified: yesterday")
    got = server.until(fetch(Clock(), server.agent, URL, path, Fetched()))
    assert got == Fetched('"7"', "yesterday")
    assert path.read_bytes() == b"ads.example\n" * 99_999
    assert path.stat().st_mode & 0o777 == 0o600
    assert "if-" not in server.asked[0].lower()
    assert "user-agent: twistproxy/" in server.asked[0].lower()


def test_what_is_packed_stays_so(server: Any, path: Path) -> None:
    packed = gzip.compress(b"ads.example\n")
    server.has("/list", packed, "Content-Encoding: gzip")
    assert server.until(fetch(Clock(), server.agent, URL, path, Fetched())) == Fetched()
    assert path.read_bytes() == packed
    assert "accept-encoding: gzip" in server.asked[0].lower()


def test_what_has_not_changed_is_not_sent(server: Any, path: Path) -> None:
    server.answers["/list"] = b'HTTP/1.1 304 Not Modified\r\nETag: "7"\r\n\r\n'
    before = Fetched('"7"', "yesterday")
    assert server.until(fetch(Clock(), server.agent, URL, path, before)) is None
    assert 'if-none-match: "7"' in server.asked[0].lower()
    assert "if-modified-since: yesterday" in server.asked[0].lower()
    assert not path.exists()


def test_redirects_are_followed(server: Any, path: Path) -> None:
    server.has("/list", b"moved", "Location: /b?c", status="302 Found")
    server.has("/b?c", b"", "Location: http://other.example/d", status="308 Permanent Redirect")
    server.has("/d", b"ads.example\n")
    assert server.until(fetch(Clock(), server.agent, URL, path, Fetched())) == Fetched()
    assert path.read_bytes() == b"ads.example\n"
    assert len(server.asked) == 3


OK = b"HTTP/1.1 200 OK\r\n"
FAILURES = {
    # the answer, whether the connection closes behind it, what is told
    "error": (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\noh", False, "the answer was 500"),
    "error_without_end": (b"HTTP/1.1 503 Oh\r\n\r\noh", False, "the answer was 503"),
    "not_found": (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", False, "the answer was 404"),
    "no_content": (b"HTTP/1.1 204 No\r\n\r\n", False, "the answer was 204"),
    "304_unasked": (b"HTTP/1.1 304 No\r\n\r\n", False, "the answer was 304"),
    "nowhere": (b"HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n", False, "the answer was 302"),
    "loop": (
        b"HTTP/1.1 302 No\r\nContent-Length: 0\r\nLocation: /list\r\n\r\n",
        False,
        "it is redirected more than 5 times",
    ),
    "to_a_file": (
        b"HTTP/1.1 302 No\r\nContent-Length: 0\r\nLocation: file:///etc/passwd\r\n\r\n",
        False,
        "it is redirected from http:// to file://",
    ),
    "cut_off": (OK + b"Content-Length: 50\r\n\r\nads.example\n", True, "it is cut off"),
    "chunk_cut_off": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nads", True, "it is cut off"),
    "too_large": (OK + b"Content-Length: 5000\r\n\r\n" + b"a" * 5000, False, "it is too large"),
    "too_large_in_chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b"a" * 4096 + b"\r\n",
        False,
        "it is too large",
    ),
    "no_http": (b"220 mail.example ESMTP\r\n", True, "the answer is not HTTP"),
    "nothing": (b"", True, "the connection was closed without an answer"),
}


@pytest.mark.parametrize(("answer", "closes", "text"), FAILURES.values(), ids=FAILURES)
def test_failures_say_why(answer: bytes, closes: bool, text: str, server: Any, path: Path) -> None:
    server.answers["/list"] = answer
    if closes:
        server.closes.add("/list")
    clock = Clock()
    told = why(server.until(fetch(clock, server.agent, URL, path, Fetched(), most=4000)))
    assert text in told
    assert clock.getDelayedCalls() == []


def test_from_https_to_http_nobody_is_led(path: Path) -> None:
    @implementer(IAgent)
    class Leading:
        def request(self, method: bytes, uri: bytes, *more: Any, **others: Any) -> Deferred[Any]:
            return succeed(_Answer(302, {"location": ["http://a.example/"]}))

    found: list[Any] = []
    fetch(Clock(), Leading(), "https://a.example/", path, Fetched()).addErrback(found.append)
    assert why(found[0]) == "it is redirected from https:// to http://"


class _Answer:
    """As much of a response as is looked at."""

    request = None
    length = 0

    def __init__(self, code: int, fields: dict[str, list[str]]) -> None:
        from twisted.web.http_headers import Headers

        self.code = code
        self.headers = Headers(fields)

    def deliverBody(self, protocol: Any) -> None:
        pass


HANGS = {
    "without_a_head": (b"", HEAD, "there was no answer in time"),
    "within_a_head": (OK + b"Content-", HEAD, "there was no answer in time"),
    "within_a_body": (OK + b"Content-Length: 9\r\n\r\na", IDLE, "no more of it came for 30 s"),
}


@pytest.mark.parametrize(("answer", "seconds", "text"), HANGS.values(), ids=HANGS)
def test_who_hangs_is_left(
    answer: bytes, seconds: float, text: str, server: Any, path: Path
) -> None:
    server.answers["/list"] = answer
    clock = Clock()
    done = fetch(clock, server.agent, URL, path, Fetched())
    server.machine.until(lambda: server.asked)
    server.machine.turns()
    clock.advance(seconds - 1)
    assert not done.called
    clock.advance(1)
    assert why(server.until(done)) == text
    assert clock.getDelayedCalls() == []


def test_who_sends_for_ever_is_left(server: Any, path: Path) -> None:
    server.answers["/list"] = OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    clock = Clock()
    done = fetch(clock, server.agent, URL, path, Fetched())
    server.machine.until(lambda: path.exists())
    server.machine.turns()
    (connection,) = [reader for reader in server.machine.watched if hasattr(reader, "server")] or [
        None
    ]
    assert connection is not None
    for _ in range(int(TOTAL // 20)):
        assert not done.called
        before = connection.protocol
        before.transport.write(b"1\r\na\r\n")
        server.machine.turns()
        clock.advance(20)
    assert why(server.until(done)) == "there was no end of it in time"


def test_a_fetch_can_be_given_up(server: Any, path: Path) -> None:
    server.answers["/list"] = OK + b"Content-Length: 9\r\n\r\na"
    clock = Clock()
    done = fetch(clock, server.agent, URL, path, Fetched())
    server.machine.until(lambda: path.exists())
    done.cancel()
    assert why(server.until(done))
    assert clock.getDelayedCalls() == []


def test_a_full_disk(server: Any, tmp_path: Path) -> None:
    server.has("/list", b"ads.example\n")
    told = why(server.until(fetch(Clock(), server.agent, URL, tmp_path, Fetched())))
    assert told == "it can't be kept: Is a directory"
    server.has("/list", b"a" * 100_000)
    full = Path("/dev/full")
    told = why(server.until(fetch(Clock(), server.agent, URL, full, Fetched())))
    assert told == "it can't be kept: No space left on device"


NO_CONNECTION = {
    "refused": (ConnectError(111), "the server doesn't answer"),
    "no_name": (DNSLookupError("x"), "there is no host of that name"),
    "others": (RuntimeError("odd"), "RuntimeError: odd"),
}


@pytest.mark.parametrize(("error", "text"), NO_CONNECTION.values(), ids=NO_CONNECTION)
def test_no_connection(error: Exception, text: str, path: Path) -> None:
    @implementer(IAgent)
    class Nowhere:
        def request(self, *arguments: Any, **more: Any) -> Deferred[Any]:
            return fail(error)

    found: list[Any] = []
    fetch(Clock(), Nowhere(), URL, path, Fetched()).addErrback(found.append)
    assert why(found[0]) == text


def test_connections_are_not_kept() -> None:
    assert agent(Clock())._pool.persistent is False  # type: ignore[attr-defined]
