"""The forward proxy: every way to frame a message, both versions, and whom it serves and asks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import FEEDS, Client, Feed, Reply, curl, get
from conftest import Keep, Start
from origins import Nginx, Received, Recording, Scripted, Talk
from program import Program, free_port

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8", "::1/128"]
clients = ["127.0.0.0/30"]

[limits]
body = "2MiB"
pipelined = 4
"""


@pytest.fixture(scope="module")
def proxy(start_shared: Start) -> Program:
    return start_shared(CONFIG)


def head(method: str, port: int, target: str, *lines: str, version: str = "1.1") -> bytes:
    authority = f"127.0.0.1:{port}"
    start = f"{method} http://{authority}{target} HTTP/{version}"
    return "\r\n".join([start, f"Host: {authority}", *lines, "", ""]).encode("latin-1")


def ask(proxy: Program, port: int, target: str = "/", *lines: str, method: str = "GET") -> Reply:
    with Client(proxy.forward) as client:
        return client.ask(head(method, port, target, *lines))


def seen(recording: Recording, unique: str) -> Received:
    (received,) = (r for r in recording.requests if unique in r.target)
    return received


def test_curl_gets_a_page(proxy: Program, nginx: Nginx, unique: str, tmp_path: Path) -> None:
    body = nginx.put(f"/fresh/{unique}", bytes(range(256)) * 5000)
    way = ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    got = curl(*way, f"http://127.0.0.1:{nginx.port}/fresh/{unique}", folder=tmp_path)
    assert (got.exit, got.status, got.body) == (0, 200, body)


def test_curl_finds_names(proxy: Program, nginx: Nginx, tmp_path: Path) -> None:
    way = ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    url = f"http://localhost:{nginx.port}/who"
    assert curl(*way, url, folder=tmp_path).body == b"nginx"
    missing = curl(*way, "http://no-such-host.invalid/", folder=tmp_path)
    assert missing.status in {502, 504}
    assert "dns_" in missing.head


def test_curl_uploads(proxy: Program, recording: Recording, unique: str, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(bytes(range(256)) * 4096)
    way = ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    url = f"http://127.0.0.1:{recording.port}/{unique}"
    # Of a mebibyte curl asks first: Expect: 100-continue.
    assert curl(*way, "--upload-file", file, url, folder=tmp_path).status == 200
    assert seen(recording, unique).body == file.read_bytes()
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")
    assert curl(*way, *chunked, "-T", file, url + "-chunked", folder=tmp_path).status == 200
    assert seen(recording, unique + "-chunked").body == file.read_bytes()


def test_ipv6(proxy: Program, keep: Keep[Recording]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        origin = keep(Recording(host="::1"))
    except OSError:
        pytest.skip("no ::1 on this machine")
    authority = f"[::1]:{origin.port}"
    with Client(proxy.forward) as client:
        request = f"GET http://{authority}/6 HTTP/1.1\r\nHost: {authority}\r\n\r\n"
        assert client.ask(request.encode()).body == b"GET /6"
    assert origin.requests[0].get("host") == authority


def test_connections_are_kept_on_both_legs(proxy: Program, keep: Keep[Recording]) -> None:
    origin = keep(Recording())
    with Client(proxy.forward) as client:
        for i in range(20):
            assert client.ask(head("GET", origin.port, f"/{i}")).body == f"GET /{i}".encode()
    assert len(origin.talks) == 1


@FEEDS
@pytest.mark.parametrize("count", [2, 4, 40])
def test_pipelined_requests_are_answered_in_order(
    proxy: Program, recording: Recording, feed: Feed, count: int
) -> None:
    """Also more than may wait (limits.pipelined): those are read later."""
    with Client(proxy.forward) as client:
        wire = b"".join(head("GET", recording.port, f"/{i}") for i in range(count))
        client.send(wire, feed, stop_when_answered=False)
        for i in range(count):
            assert client.reply().body == f"GET /{i}".encode()


def test_100_continue_is_asked_of_the_server(
    proxy: Program, recording: Recording, unique: str
) -> None:
    lines = ("Expect: 100-continue", "Content-Length: 5")
    with Client(proxy.forward) as client:
        client.send(head("POST", recording.port, f"/{unique}", *lines))
        assert client.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert client.reply("POST").status == 200
    assert seen(recording, unique).body == b"hello"


def test_a_server_that_refuses_instead_of_100(
    proxy: Program, scripted: Callable[..., Scripted]
) -> None:
    def refuse(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    lines = ("Expect: 100-continue", "Content-Length: 5")
    with Client(proxy.forward) as client:
        reply = client.ask(head("POST", scripted(refuse).port, "/", *lines))
        assert (reply.status, reply.interim) == (417, [])


def test_interim_responses_pass(proxy: Program, scripted: Callable[..., Scripted]) -> None:
    def script(talk: Talk) -> None:
        talk.head()
        for link in (b"a", b"b"):
            talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </%b>\r\n\r\n" % link)
            time.sleep(0.05)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = scripted(script)
    reply = ask(proxy, origin.port)
    assert (reply.interim, reply.status, reply.body) == ([103, 103], 200, b"ok")
    # A client of HTTP/1.0 knows none (RFC 9110 §15.2).
    with Client(proxy.forward) as client:
        client.send(head("GET", origin.port, "/", version="1.0"))
        assert client.rest().startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))


def test_trailers_pass(proxy: Program, scripted: Callable[..., Scripted]) -> None:
    def script(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        talk.send(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")

    reply = ask(proxy, scripted(script).port, "/", "TE: trailers")
    assert reply.body == b"ok"
    assert reply.trailers == [("x-sum", "1")]
    assert not reply.all("x-sum")


RESPONSES = {
    "sized": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"abc",
    ),
    "until_close": (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
    "until_close_1_0": (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
    "sized_1_0": (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "no_content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not_modified": (b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', b""),
}


@FEEDS
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("wire", "body"), RESPONSES.values(), ids=RESPONSES)
def test_each_framing_reaches_each_version(
    proxy: Program,
    scripted: Callable[..., Scripted],
    wire: bytes,
    body: bytes,
    version: str,
    feed: Feed,
) -> None:
    def script(talk: Talk) -> None:
        talk.head()
        talk.send(wire, feed)

    with Client(proxy.forward) as client:
        reply = client.ask(head("GET", scripted(script).port, "/", version=version))
        assert reply.complete
        assert reply.body == body
        assert reply.status == int(wire.split()[1])
        if version == "1.0":
            assert not reply.get("transfer-encoding")
            assert client.rest() == b""
        else:
            assert reply.version == "1.1"


@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_head_has_no_body(proxy: Program, scripted: Callable[..., Scripted], length: str) -> None:
    def script(talk: Talk) -> None:
        while talk.head():
            talk.send(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())

    port = scripted(script).port
    with Client(proxy.forward) as client:
        for _ in range(3):
            reply = client.ask(head("HEAD", port, "/"))
            assert (reply.status, reply.body, reply.complete) == (200, b"", True)
            if length.startswith("Content"):
                assert reply.get("content-length") == "1000"


def test_unknown_methods_pass(proxy: Program, recording: Recording) -> None:
    for method in ("BREW", "M-SEARCH", "PROPFIND", "X" * 30):
        assert ask(proxy, recording.port, "/", method=method).body == f"{method} /".encode()


def test_options_asterisk(proxy: Program, recording: Recording) -> None:
    """In absolute form without a path it is for the server as a whole (RFC 9112 §3.2.4)."""
    assert ask(proxy, recording.port, "", method="OPTIONS").body == b"OPTIONS *"
    assert ask(proxy, recording.port, "/", method="OPTIONS").body == b"OPTIONS /"
    with Client(proxy.forward) as client:
        reply = client.ask(b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert reply.status in {200, 204, 400, 405}


def test_max_forwards(proxy: Program, recording: Recording, unique: str) -> None:
    """0: we answer ourselves (RFC 9110 §7.6.2)."""
    reply = ask(proxy, recording.port, f"/{unique}", "Max-Forwards: 0", method="OPTIONS")
    assert reply.status in {200, 204, 405}
    assert [r for r in recording.requests if unique in r.target] == []
    ask(proxy, recording.port, f"/{unique}", "Max-Forwards: 3", method="OPTIONS")
    assert seen(recording, unique).get("max-forwards") == "2"


def test_the_host_is_that_of_the_url(proxy: Program, recording: Recording, unique: str) -> None:
    with Client(proxy.forward) as client:
        url = f"http://127.0.0.1:{recording.port}/{unique}"
        client.ask(f"GET {url} HTTP/1.1\r\nHost: other.example\r\n\r\n".encode())
    received = [r for r in recording.requests if unique in r.target]
    assert [r.get("host") for r in received] in ([f"127.0.0.1:{recording.port}"], [])


ANONYMITY = {
    "elite": (False, False),
    "anonymous": (True, False),
    "transparent": (True, True),
}


@pytest.mark.parametrize(("level", "tells"), ANONYMITY.items(), ids=ANONYMITY)
def test_anonymity(
    start: Start, recording: Recording, unique: str, level: str, tells: tuple[bool, bool]
) -> None:
    names_proxy, names_client = tells
    proxy = start(CONFIG.replace("clients", f'anonymity = "{level}"\nclients'))
    own = ("Proxy-Connection: keep-alive", "Proxy-Authorization: Basic YTpi")
    reply = ask(proxy, recording.port, f"/{unique}", "User-Agent: mine", *own)
    assert reply.status == 200
    received = seen(recording, unique)
    assert bool(received.get("via")) is names_proxy
    text = str(received.fields)
    assert ("127.0.0.1'" in text or "for=127.0.0.1" in text) is names_client
    assert received.get("user-agent") == "mine"
    assert not received.get("proxy-connection")
    assert not received.get("proxy-authorization")
    if level == "elite":
        assert "proxy" not in text.lower()
        assert {name for name, _ in received.fields} <= {"host", "user-agent", "connection"}
    else:
        # A pseudonym, and not the name of this machine (RFC 9110 §7.6.3).
        assert received.get("via").startswith("1.1 ")
        assert socket.gethostname() not in received.get("via")


def test_private_addresses_are_refused(start: Start, recording: Recording) -> None:
    proxy = start(CONFIG.replace('allow_private = ["127.0.0.0/8", "::1/128"]\n', ""))
    before = len(recording.talks)
    hosts = [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ]
    hosts += ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[2002:7f00:1::]", "[::127.0.0.1]"]
    hosts += ["169.254.169.254", "10.0.0.1", "192.168.0.1", "100.64.0.1", "224.0.0.1", "[fe80::1]"]
    for host in hosts:
        authority = f"{host}:{recording.port}"
        reply = get(proxy.forward, f"http://{authority}/", authority)
        assert reply.status in {400, 403, 502}, (host, reply)
        with Client(proxy.forward) as client:
            tunnel = f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
            assert client.ask(tunnel.encode()).status in {400, 403, 502}, host
    assert len(recording.talks) == before
    reply = get(proxy.forward, f"http://localhost:{recording.port}/", "localhost")
    assert "destination_ip_prohibited" in reply.get("proxy-status")


def test_our_own_listeners_are_never_private_enough(start: Start) -> None:
    config = CONFIG.replace('["127.0.0.0/8", "::1/128"]', "true")
    config += '[admin]\nlisten = "tcp:$admin:interface=127.0.0.1"\n'
    proxy = start(config)
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        authority = f"{host}:{proxy.admin}"
        reply = get(proxy.forward, f"http://{authority}/livez", authority)
        assert reply.status in {400, 403, 502}, host


def test_clients_who_may_not(proxy: Program, recording: Recording) -> None:
    with Client(proxy.forward, source="127.0.0.9") as client:
        assert client.ask(head("GET", recording.port, "/")).status in {403, 0}
    with Client(proxy.forward, source="127.0.0.2") as client:
        assert client.ask(head("GET", recording.port, "/")).status == 200


def test_connect_ports_default_to_443(proxy: Program, recording: Recording) -> None:
    with Client(proxy.forward) as client:
        target = f"127.0.0.1:{recording.port}"
        reply = client.ask(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert reply.status == 403


def test_a_body_over_the_limit(proxy: Program, recording: Recording) -> None:
    reply = ask(proxy, recording.port, "/", "Content-Length: 2097153", method="POST")
    assert reply.status == 413


def test_errors_are_those_of_rfc_9209(proxy: Program) -> None:
    refused = ask(proxy, free_port())
    assert refused.status == 502
    assert "connection_refused" in refused.get("proxy-status")


def test_a_page_asked_of_it_as_of_a_server(proxy: Program) -> None:
    """What a person sees who opens the proxy's port in a browser."""
    reply = get(proxy.forward, "/", f"127.0.0.1:{proxy.forward}", Accept="text/html")
    assert reply.status == 400
    assert "forward proxy" in reply.body.decode()


def test_a_client_that_leaves_ends_the_fetch(
    proxy: Program, scripted: Callable[..., Scripted]
) -> None:
    left = []

    def endless(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n\r\n")
        try:
            while True:
                talk.send(bytes(1 << 16))
        except OSError as gone:
            left.append(gone)

    origin = scripted(endless)
    with Client(proxy.forward) as client:
        client.send(head("GET", origin.port, "/"))
        client.read(100_000)
    end = time.monotonic() + 10
    while not left:
        assert time.monotonic() < end, "the server still sends"
        time.sleep(0.05)


def test_https_urls_are_fetched_over_tls_or_refused(proxy: Program, nginx: Nginx) -> None:
    """An https URL in absolute form: never fetched in clear text."""
    authority = f"localhost:{nginx.tls_port}"
    reply = get(proxy.forward, f"https://{authority}/who", authority)
    # The authority of these tests is unknown to the system.
    assert reply.status in {400, 403, 501, 502}
