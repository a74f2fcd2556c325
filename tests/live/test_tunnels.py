"""Tunnels: CONNECT and Upgrade, through each proxy that can have them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from clients import Client, curl
from conftest import Keep, Start
from origins import Echo, Nginx, Recording, Scripted, Talk
from program import Program, until
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]

[[reverse.tls]]
hosts = ["localhost"]
cert = "$cert"
key = "$key"

[[reverse.route]]
hosts = ["recording.example"]
pool = "recording"

[[reverse.route]]
pool = "echo"

[pools.echo]
servers = ["http://127.0.0.1:$echo"]

[pools.recording]
servers = ["http://127.0.0.1:$recording"]
"""
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
def echo(keep: Keep[Echo]) -> Echo:
    return keep(Echo())


@pytest.fixture(scope="module")
def proxy(start_shared: Start, echo: Echo, recording: Recording, authority: Authority) -> Program:
    cert, key = authority.issue("localhost")
    return start_shared(CONFIG, echo=echo.port, recording=recording.port, cert=cert, key=key)


def connect_to(proxy: Program, port: int, early: bytes = b"") -> Client:
    client = Client(proxy.forward)
    target = b"127.0.0.1:%d" % port
    reply = client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n%b" % (target, target, early))
    assert reply.status == 200
    # RFC 9110 §9.3.6: a 2xx to CONNECT has no framing fields.
    assert not {"content-length", "transfer-encoding"} & {name for name, _ in reply.fields}
    return client


def test_curl_over_connect_through_tls(
    proxy: Program, nginx: Nginx, authority: Authority, unique: str, tmp_path: Path
) -> None:
    body = nginx.put(f"/kept/{unique}", bytes(range(256)) * 4096)
    way = ("--proxy", f"http://127.0.0.1:{proxy.forward}", "--cacert", authority.ca)
    url = f"https://localhost:{nginx.tls_port}/kept/{unique}"
    got = curl(*way, url, folder=tmp_path)
    assert (got.exit, got.status, got.body) == (0, 200, body)
    (row,) = proxy.access(1, method="CONNECT", url=f"localhost:{nginx.tls_port}")
    assert row["side"] == "forward"


def test_a_websocket_through_the_reverse_proxy(proxy: Program) -> None:
    with connect(f"ws://127.0.0.1:{proxy.reverse}/", proxy=None) as websocket:
        for message in ("one", b"\0" * 100_000, "three"):
            websocket.send(message)
            assert websocket.recv() == message


def test_a_websocket_through_the_reverse_proxys_tls(proxy: Program, authority: Authority) -> None:
    url = f"wss://localhost:{proxy.tls}/"
    with connect(url, ssl=authority.client_context(), proxy=None) as websocket:
        websocket.send("over TLS")
        assert websocket.recv() == "over TLS"


def test_a_websocket_through_connect(proxy: Program, echo: Echo) -> None:
    way = f"http://127.0.0.1:{proxy.forward}"
    with connect(f"ws://127.0.0.1:{echo.port}/", proxy=way) as websocket:
        websocket.send("tunnelled")
        assert websocket.recv() == "tunnelled"


def test_a_websocket_by_upgrade_through_the_forward_proxy(proxy: Program, echo: Echo) -> None:
    authority = b"127.0.0.1:%d" % echo.port
    head = b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n" % (authority, authority)
    message = Frame(Opcode.TEXT, b"upgraded").serialize(mask=True)
    with Client(proxy.forward) as client:
        reply = client.ask(head + UPGRADE)
        assert reply.status == 101
        assert reply.get("upgrade").lower() == "websocket"
        client.send(message)
        assert client.read(10) == Frame(Opcode.TEXT, b"upgraded").serialize(mask=False)


def test_an_upgrade_that_is_not_taken_is_a_request(proxy: Program, recording: Recording) -> None:
    with Client(proxy.reverse) as client:
        head = b"GET /%b HTTP/1.1\r\nHost: recording.example\r\n"
        assert client.ask(head % b"no-upgrade" + UPGRADE).body == b"GET /no-upgrade"
        assert client.ask(head % b"after-it" + b"\r\n").body == b"GET /after-it"


def test_an_upgrade_with_a_body_is_not_taken_and_the_body_is_framed(
    proxy: Program, recording: Recording, unique: str
) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: recording.example\r\n\r\n"
    head = f"POST /{unique} HTTP/1.1\r\nHost: recording.example\r\n"
    head += f"Content-Length: {len(smuggled)}\r\n"
    with Client(proxy.reverse) as client:
        reply = client.ask(head.encode() + UPGRADE + smuggled)
        assert reply.body == f"POST /{unique}".encode()
    (received,) = recording.asked(f"/{unique}")
    assert received.body == smuggled
    assert received.get("upgrade") == ""
    assert recording.asked("/smuggled") == []


def echo_until_end(talk: Talk) -> None:
    """Reads to the end, only then answers: works when a half-close gets through."""
    got = b""
    while data := talk.read():
        got += data
    talk.send(got[::-1])


@pytest.mark.parametrize("size", [0, 1, 300_000, 5_000_000])
def test_half_close_by_the_client(
    proxy: Program, scripted: Callable[..., Scripted], size: int
) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)
    with connect_to(proxy, scripted(echo_until_end).port) as client:
        client.send(data)
        client.end_sending()
        assert client.rest() == data[::-1]


def test_half_close_by_the_server(proxy: Program, scripted: Callable[..., Scripted]) -> None:
    later: list[bytes] = []

    def script(talk: Talk) -> None:
        talk.send(b"all I have")
        talk.socket.shutdown(socket.SHUT_WR)
        while data := talk.read():
            later.append(data)

    with connect_to(proxy, scripted(script).port) as client:
        assert client.rest() == b"all I have"
        client.send(b"still ")
        client.send(b"heard")
        client.end_sending()
        until(lambda: b"".join(later) == b"still heard")


def test_what_comes_with_the_connect_is_not_lost(
    proxy: Program, scripted: Callable[..., Scripted]
) -> None:
    with connect_to(proxy, scripted(echo_until_end).port, early=b"too early") as client:
        client.end_sending()
        assert client.rest() == b"ylrae oot"


def test_a_server_that_speaks_first(proxy: Program, scripted: Callable[..., Scripted]) -> None:
    with connect_to(proxy, scripted(lambda talk: talk.send(b"220 hello\r\n")).port) as client:
        assert client.rest() == b"220 hello\r\n"


def test_a_refused_tunnel_is_an_answer(proxy: Program) -> None:
    with Client(proxy.forward) as client:
        reply = client.ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
    assert reply.status == 502
    assert "connection_refused" in reply.get("proxy-status")


def test_connect_goes_where_it_may(start: Start, nginx: Nginx) -> None:
    config = """
    [forward]
    listen = ["tcp:$forward:interface=127.0.0.1"]
    allow_private = ["127.0.0.0/8"]
    connect_ports = [443, $tls_port]
    """
    proxy = start(config, tls_port=nginx.tls_port)
    connect_to(proxy, nginx.tls_port or 0).socket.close()
    with Client(proxy.forward) as client:
        target = b"127.0.0.1:%d" % nginx.port
        reply = client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    assert reply.status == 403


def test_the_reverse_proxy_opens_no_tunnel(proxy: Program, echo: Echo) -> None:
    target = b"127.0.0.1:%d" % echo.port
    with Client(proxy.reverse) as client:
        reply = client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    assert reply.status in {400, 405}
