"""The tests' own tools, without a proxy between them: a fault here would hide faults there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from clients import FEEDS, Client, Feed, curl, get
from origins import Echo, Nginx, Received, Recording, Scripted, Squid, Talk
from websockets.sync.client import connect


def test_nginx_serves_and_counts(nginx: Nginx, unique: str, tmp_path: Path) -> None:
    body = nginx.put(f"/kept/{unique}", b"a page")
    got = curl(f"http://127.0.0.1:{nginx.port}/kept/{unique}", folder=tmp_path)
    assert (got.exit, got.status, got.body) == (0, 200, body)
    assert "max-age=3600" in got.head
    assert len(nginx.requests(f"/kept/{unique}")) == 1


def test_nginx_serves_tls(nginx: Nginx, authority: Authority, tmp_path: Path) -> None:
    url = f"https://localhost:{nginx.tls_port}/who"
    assert curl("--cacert", authority.ca, url, folder=tmp_path).body == b"nginx"
    assert curl(url, folder=tmp_path).exit == 60, "curl takes any certificate"


def test_nginx_can_be_killed_and_started_again(make_nginx: Callable[[str], Nginx]) -> None:
    nginx = make_nginx("again")
    with Client(nginx.port) as client:
        nginx.kill()
        assert client.closed()
    with pytest.raises(ConnectionRefusedError):
        get(nginx.port, "/who")
    nginx.start()
    assert get(nginx.port, "/who").body == b"again"


def test_squid_passes_on(nginx: Nginx, keep: Callable[[Squid], Squid], tmp_path: Path) -> None:
    squid = keep(Squid())
    proxy = f"http://127.0.0.1:{squid.port}"
    got = curl("--proxy", proxy, f"http://127.0.0.1:{nginx.port}/as-asked", folder=tmp_path)
    assert b"squid" in got.body
    assert str(nginx.port) in squid.requests()


@FEEDS
def test_recording_keeps_what_it_gets(recording: Recording, unique: str, feed: Feed) -> None:
    request = (
        b"POST /%b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" % unique.encode()
    )
    with Client(recording.port) as client:
        reply = client.ask(request, feed)
        assert (reply.status, reply.body) == (200, f"POST /{unique}".encode())
        assert client.ask(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").body == b"GET /2"
    (received,) = recording.asked(f"/{unique}")
    assert received.body == b"hello"
    assert received.trailers == [("x-sum", "1")]
    assert request in recording.received


def test_recording_reports_what_is_not_http() -> None:
    origin = Recording()
    with Client(origin.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        assert client.closed()
    with pytest.raises(AssertionError):
        origin.close()


def test_replies_are_read_whole(scripted: Callable[..., Scripted]) -> None:
    def script(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        talk.send(b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        talk.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    with Client(scripted(script).port) as client:
        first = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (first.interim, first.body, first.trailers) == ([103], b"abc", [("x-t", "1")])
        assert client.reply().status == 204
        last = client.reply()
        assert (last.version, last.body, last.complete) == ("1.0", b"until the end", True)
        assert client.reply().status == 0


CUT = {
    "in_the_body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "in_a_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "in_the_head": b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("wire", CUT.values(), ids=CUT)
def test_a_reply_that_ends_too_soon_is_not_complete(
    scripted: Callable[..., Scripted], wire: bytes
) -> None:
    def script(talk: Talk) -> None:
        talk.head()
        talk.send(wire)

    with Client(scripted(script).port) as client:
        assert not client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").complete


def test_websocket_echo(keep: Callable[[Echo], Echo]) -> None:
    echo = keep(Echo())
    with connect(f"ws://127.0.0.1:{echo.port}/") as websocket:
        websocket.send("back")
        assert websocket.recv() == "back"


def test_a_respond_of_ones_own(keep: Callable[[Recording], Recording]) -> None:
    def respond(request: Received) -> bytes:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    assert get(keep(Recording(respond)).port, "/").status == 404
