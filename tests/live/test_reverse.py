"""The reverse proxy: routes, servers, TLS on both legs, and what servers and clients are told."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable

import pytest
from certificates import Authority
from clients import Client, Reply, get
from conftest import Keep, Start
from origins import Nginx, Received, Recording, Scripted, Talk
from program import Program, free_port

CONFIG = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]
trusted_proxies = ["127.0.0.50/32"]

[[reverse.tls]]
hosts = ["one.example"]
cert = "$one_cert"
key = "$one_key"

[[reverse.tls]]
hosts = ["*.two.example"]
cert = "$two_cert"
key = "$two_key"

[[reverse.route]]
pool = "recording"

[[reverse.route]]
hosts = ["one.example"]
path = "/api/"
pool = "named"
strip_prefix = "/api"

[[reverse.route]]
hosts = ["*.one.example"]
pool = "named"

[[reverse.route]]
hosts = ["one.example"]
path = "/api/deep/"
pool = "recording"

[pools.recording]
servers = ["http://127.0.0.1:$recording"]

[pools.named]
servers = ["http://127.0.0.1:$nginx"]
"""


@pytest.fixture(scope="module")
def proxy(start_shared: Start, recording: Recording, nginx: Nginx, authority: Authority) -> Program:
    one, two = authority.issue("one.example"), authority.issue("*.two.example")
    return start_shared(
        CONFIG,
        recording=recording.port,
        nginx=nginx.port,
        one_cert=one[0],
        one_key=one[1],
        two_cert=two[0],
        two_key=two[1],
    )


def seen(recording: Recording, unique: str) -> Received:
    (received,) = (r for r in recording.requests if unique in r.target)
    return received


def test_the_most_specific_route_wins(proxy: Program) -> None:
    assert get(proxy.reverse, "/api/who", "one.example").body == b"nginx"
    assert get(proxy.reverse, "/who", "sub.one.example").body == b"nginx"
    assert get(proxy.reverse, "/who", "one.example").body == b"GET /who"
    assert get(proxy.reverse, "/api/deep/x", "one.example").body == b"GET /api/deep/x"
    assert get(proxy.reverse, "/api/who", "other.example").body == b"GET /api/who"


def test_without_a_route_it_is_404(start: Start, nginx: Nginx) -> None:
    config = """
    [reverse]
    listen = ["tcp:$reverse:interface=127.0.0.1"]
    [[reverse.route]]
    hosts = ["one.example"]
    path = "/a/"
    pool = "p"
    [pools.p]
    servers = ["http://127.0.0.1:$nginx"]
    """
    proxy = start(config, nginx=nginx.port)
    assert get(proxy.reverse, "/a/", "two.example").status in {404, 421}
    assert get(proxy.reverse, "/b/", "one.example").status == 404
    assert get(proxy.reverse, "/a/", "one.example").status == 404  # nginx's own


def test_servers_are_told_who_asks(proxy: Program, recording: Recording, unique: str) -> None:
    get(proxy.reverse, f"/{unique}", "shop.example")
    received = seen(recording, unique)
    assert received.get("host") == "shop.example"
    assert received.get("x-forwarded-for") == "127.0.0.1"
    assert received.get("x-forwarded-proto") == "http"
    assert received.get("x-forwarded-host") == "shop.example"
    forwarded = received.get("forwarded").lower()
    assert "for=127.0.0.1" in forwarded
    assert "proto=http" in forwarded
    assert "host=shop.example" in forwarded or 'host="shop.example"' in forwarded


CLAIMS = {
    "X_Forwarded_For": "203.0.113.7",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "claimed.example",
    "Forwarded": "for=203.0.113.7;proto=https;host=claimed.example",
}


def test_a_strangers_claims_are_not_believed(
    proxy: Program, recording: Recording, unique: str
) -> None:
    get(proxy.reverse, f"/{unique}", "shop.example", **CLAIMS)
    received = seen(recording, unique)
    assert received.get("x-forwarded-for") == "127.0.0.1"
    assert received.get("x-forwarded-proto") == "http"
    assert received.get("x-forwarded-host") == "shop.example"
    assert "203.0.113.7" not in received.get("forwarded")
    assert "claimed" not in received.get("forwarded")


def test_a_trusted_proxys_claims_are(proxy: Program, recording: Recording, unique: str) -> None:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in CLAIMS.items()]
    head = "\r\n".join([f"GET /{unique} HTTP/1.1", "Host: shop.example", *lines, "", ""])
    with Client(proxy.reverse, source="127.0.0.50") as client:
        assert client.ask(head.encode()).status == 200
    received = seen(recording, unique)
    hops = [hop.strip() for hop in received.get("x-forwarded-for").split(",")]
    assert hops == ["203.0.113.7", "127.0.0.50"]
    assert received.get("x-forwarded-proto") == "https"
    assert received.get("x-forwarded-host") == "claimed.example"
    (row,) = proxy.access(1, containing=unique)
    assert row["client"].startswith("203.0.113.7")


def test_fields_of_a_connection_stay_on_it(
    proxy: Program, recording: Recording, unique: str
) -> None:
    fields = {
        "Connection": "X-Mine, keep-alive",
        "X_Mine": "1",
        "Keep_Alive": "timeout=5",
        "Proxy_Connection": "keep-alive",
        "Proxy_Authorization": "Basic YTpi",
        "TE": "trailers",
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"GET /{unique} HTTP/1.1", "Host: a", *lines, "", ""])
    with Client(proxy.reverse) as client:
        client.ask(head.encode())
    received = seen(recording, unique)
    for name in ("x-mine", "keep-alive", "proxy-connection", "proxy-authorization"):
        assert received.get(name) == "", name


def tls_ask(proxy: Program, authority: Authority, name: str, host: str, path: str) -> Reply:
    with Client(proxy.tls, tls=authority.client_context(), server_name=name) as client:
        return client.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def test_certificates_by_sni(
    proxy: Program, recording: Recording, authority: Authority, unique: str
) -> None:
    assert tls_ask(proxy, authority, "one.example", "one.example", f"/{unique}").status == 200
    received = seen(recording, unique)
    assert received.get("x-forwarded-proto") == "https"
    assert tls_ask(proxy, authority, "a.two.example", "a.two.example", "/").status == 200


def test_a_name_without_certificate_is_no_connection(proxy: Program, authority: Authority) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls_ask(proxy, authority, "three.example", "three.example", "/")


def test_a_host_of_another_certificate_is_misdirected(proxy: Program, authority: Authority) -> None:
    assert tls_ask(proxy, authority, "one.example", "a.two.example", "/").status == 421


def test_alpn(proxy: Program, authority: Authority) -> None:
    context = authority.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Client(proxy.tls, tls=context, server_name="one.example") as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        assert client.socket.selected_alpn_protocol() == "http/1.1"


def test_plain_text_on_the_tls_listener_disturbs_nobody(
    proxy: Program, authority: Authority
) -> None:
    with Client(proxy.tls) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
        client.rest()
    assert tls_ask(proxy, authority, "one.example", "one.example", "/").status == 200


ROUTE = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
[[reverse.route]]
pool = "p"
[pools.p]
"""


def test_servers_over_tls(start: Start, nginx: Nginx, authority: Authority) -> None:
    tls = f'tls = {{ ca = "{authority.ca}", server_name = "localhost" }}\n'
    servers = 'servers = ["https://127.0.0.1:$port"]\n'
    proxy = start(ROUTE + servers + tls, port=nginx.tls_port)
    for _ in range(3):
        assert get(proxy.reverse, "/who").body == b"nginx"


UNVERIFIED = {
    "unknown_authority": "",
    "another_name": 'tls = { ca = "$ca", server_name = "other.example" }\n',
}


@pytest.mark.parametrize("tls", UNVERIFIED.values(), ids=UNVERIFIED)
def test_a_server_that_is_not_who_it_should_be(
    start: Start, nginx: Nginx, authority: Authority, tls: str
) -> None:
    servers = 'servers = ["https://localhost:$port"]\n'
    proxy = start(ROUTE + servers + tls, port=nginx.tls_port, ca=authority.ca)
    assert get(proxy.reverse, "/who").status == 502
    (row,) = proxy.access(1)
    assert "tls_certificate_error" in str(row)


def test_an_expired_certificate(start: Start, authority: Authority, keep: Keep[Recording]) -> None:
    origin = keep(Recording(tls=authority.server_context("localhost", days=-1)))
    tls = f'tls = {{ ca = "{authority.ca}" }}\n'
    proxy = start(ROUTE + 'servers = ["https://localhost:$port"]\n' + tls, port=origin.port)
    assert get(proxy.reverse, "/").status == 502


def test_verification_can_be_switched_off(start: Start, nginx: Nginx) -> None:
    servers = 'servers = ["https://localhost:$port"]\ntls = { verify = false }\n'
    proxy = start(ROUTE + servers, port=nginx.tls_port)
    assert get(proxy.reverse, "/who").body == b"nginx"


def test_weights_share_smoothly(start: Start, make_nginx: Callable[[str], Nginx]) -> None:
    heavy, light = make_nginx("heavy"), make_nginx("light")
    servers = 'servers = [{ url = "http://127.0.0.1:$heavy", weight = 3 }, '
    servers += '"http://127.0.0.1:$light"]\n'
    proxy = start(ROUTE + servers, heavy=heavy.port, light=light.port)
    order = [get(proxy.reverse, "/who").body.decode() for _ in range(16)]
    assert Counter(order) == {"heavy": 12, "light": 4}
    # Smooth: no four in a row of the heavy one.
    assert "heavy" * 4 not in "".join(order)


def test_a_backup_waits(start: Start, make_nginx: Callable[[str], Nginx]) -> None:
    first, backup = make_nginx("first"), make_nginx("backup")
    servers = 'servers = ["http://127.0.0.1:$first", '
    servers += '{ url = "http://127.0.0.1:$backup", backup = true }]\n'
    proxy = start(ROUTE + servers, first=first.port, backup=backup.port)
    assert {get(proxy.reverse, "/who").body for _ in range(6)} == {b"first"}
    first.kill()
    assert {get(proxy.reverse, "/who").body for _ in range(6)} == {b"backup"}


def test_a_refused_server_is_skipped_at_once(
    start: Start, make_nginx: Callable[[str], Nginx]
) -> None:
    nginx = make_nginx("alive")
    servers = 'servers = ["http://127.0.0.1:$dead", "http://127.0.0.1:$alive"]\n'
    proxy = start(ROUTE + servers, dead=free_port(), alive=nginx.port)
    began = time.monotonic()
    assert [get(proxy.reverse, "/who").status for _ in range(10)] == [200] * 10
    assert time.monotonic() - began < 5
    # What was never sent may be sent elsewhere, whatever its method.
    with Client(proxy.reverse) as client:
        post = b"POST /who HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        assert client.ask(post).status in {200, 405}


def hang_up(talk: Talk) -> None:
    talk.head()


METHODS = {"GET": 200, "HEAD": 200, "PUT": 200, "DELETE": 200, "POST": 502, "PATCH": 502}


@pytest.mark.parametrize(("method", "status"), METHODS.items(), ids=METHODS)
def test_only_what_may_be_repeated_is_retried(
    start: Start,
    scripted: Callable[..., Scripted],
    recording: Recording,
    unique: str,
    method: str,
    status: int,
) -> None:
    broken = scripted(hang_up)
    servers = 'servers = ["http://127.0.0.1:$broken", "http://127.0.0.1:$sound"]\n'
    proxy = start(ROUTE + servers, broken=broken.port, sound=recording.port)
    with Client(proxy.reverse) as client:
        head = f"{method} /{unique} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        statuses = {client.ask(head.encode()).status}
    assert statuses == {status}
    assert len(broken.talks) == 1, "the broken server was not asked first"


def test_a_kept_connection_that_the_server_closed_is_no_error(
    start: Start, scripted: Callable[..., Scripted]
) -> None:
    """The race of every keep-alive: closed by the server just as we send the next request."""

    def one_each(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok")

    proxy = start(ROUTE + 'servers = ["http://127.0.0.1:$port"]\n', port=scripted(one_each).port)
    with Client(proxy.reverse) as client:
        for _ in range(50):
            assert client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"ok"


def test_server_connections_are_kept(start: Start, keep: Keep[Recording]) -> None:
    origin = keep(Recording())
    proxy = start(ROUTE + 'servers = ["http://127.0.0.1:$port"]\n', port=origin.port)
    for _ in range(10):
        assert get(proxy.reverse, "/").status == 200
    assert len(origin.talks) == 1


def naming(request: Received) -> bytes:
    """A server that tells what it is, and has its own page for errors."""
    status = b"500 Oh No" if request.target == "/error" else b"200 OK"
    body = b"Tomcat 5 stack trace" if request.target == "/error" else b"page"
    fields = b"Server: Tomcat/5\r\nX-Powered-By: Java\r\nVia: 1.1 inner\r\nX-AspNet-Version: 4\r\n"
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


@pytest.mark.parametrize("cloak", [True, False])
def test_cloak(start: Start, keep: Keep[Recording], cloak: bool) -> None:
    origin = keep(Recording(naming))
    text = ROUTE.replace("[reverse]", f"[reverse]\ncloak = {str(cloak).lower()}")
    proxy = start(text + 'servers = ["http://127.0.0.1:$port"]\n', port=origin.port)
    page = get(proxy.reverse, "/page")
    error = get(proxy.reverse, "/error")
    assert (page.status, page.body, error.status) == (200, b"page", 500)
    told = f"{page.fields} {error.fields} {error.body!r}"
    for trace in ("Tomcat", "Java", "inner"):
        assert (trace in told) is not cloak
    if cloak:
        assert str(origin.port) not in told


def test_a_servers_error_names_no_server_to_clients(start: Start) -> None:
    port = free_port()
    proxy = start(ROUTE + 'servers = ["http://127.0.0.1:$port"]\n', port=port)
    reply = get(proxy.reverse, "/", Accept="text/html")
    assert reply.status in {502, 503}
    assert str(port) not in str(reply.fields) + reply.body.decode()


def test_max_connections_holds(start: Start, scripted: Callable[..., Scripted]) -> None:
    def slow(talk: Talk) -> None:
        while True:
            talk.head()
            time.sleep(0.3)
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = scripted(slow)
    servers = 'servers = [{ url = "http://127.0.0.1:$port", max_connections = 2 }]\n'
    proxy = start(ROUTE + servers, port=origin.port)
    clients = [Client(proxy.reverse) for _ in range(6)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    statuses = {client.reply().status for client in clients}
    for client in clients:
        client.socket.close()
    assert statuses <= {200, 503}
    assert 200 in statuses
    assert len(origin.talks) <= 2
