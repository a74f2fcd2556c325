"""Chains with another proxy: Squid behind us, Squid before us."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority
from clients import Client, curl, get
from conftest import Keep, Start
from origins import Nginx, Scripted, Squid, Talk
from program import Program, free_port

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"
"""
PARENT = """
[[forward.parent]]
name = "squid"
url = "http://127.0.0.1:$parent"
"""


@pytest.fixture(scope="module")
def squid(keep: Keep[Squid]) -> Squid:
    return keep(Squid())


@pytest.fixture(scope="module")
def through_squid(start_shared: Start, squid: Squid) -> Program:
    return start_shared(CONFIG + PARENT, parent=squid.port)


def way(port: int) -> tuple[str, str]:
    return "--proxy", f"http://127.0.0.1:{port}"


def test_twistproxy_squid_nginx(
    through_squid: Program, squid: Squid, nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    body = nginx.put(f"/fresh/{unique}", b"by two proxies" * 1000)
    url = f"http://127.0.0.1:{nginx.port}/fresh/{unique}"
    got = curl(*way(through_squid.forward), url, folder=tmp_path)
    assert (got.status, got.body) == (200, body)
    assert url in squid.requests()


def test_twistproxy_squid_nginx_by_connect(
    through_squid: Program, nginx: Nginx, authority: Authority, tmp_path: Path
) -> None:
    url = f"https://localhost:{nginx.tls_port}/who"
    got = curl(*way(through_squid.forward), "--cacert", authority.ca, url, folder=tmp_path)
    assert (got.exit, got.body) == (0, b"nginx")


def test_squid_twistproxy_nginx(
    start: Start, keep: Keep[Squid], nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    proxy = start(CONFIG)
    before = keep(Squid(parent=proxy.forward))
    body = nginx.put(f"/fresh/{unique}", b"by two proxies" * 1000)
    url = f"http://127.0.0.1:{nginx.port}/fresh/{unique}"
    got = curl(*way(before.port), url, folder=tmp_path)
    assert (got.status, got.body) == (200, body)
    assert proxy.access(1, url=url, status=200)


def test_squid_twistproxy_nginx_by_connect(
    start: Start, keep: Keep[Squid], nginx: Nginx, authority: Authority, tmp_path: Path
) -> None:
    proxy = start(CONFIG)
    before = keep(Squid(parent=proxy.forward))
    url = f"https://localhost:{nginx.tls_port}/who"
    got = curl(*way(before.port), "--cacert", authority.ca, url, folder=tmp_path)
    assert (got.exit, got.body) == (0, b"nginx")
    assert proxy.access(1, method="CONNECT")


def test_a_parent_gets_the_absolute_form_and_its_credentials(
    start: Start, keep: Keep[Scripted]
) -> None:
    heads: list[bytes] = []

    def script(talk: Talk) -> None:
        heads.append(talk.head())
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    parent = keep(Scripted(script))
    with_secret = PARENT.replace("127.0.0.1", "user:secret@127.0.0.1")
    proxy = start(CONFIG + with_secret, parent=parent.port)
    assert get(proxy.forward, "http://far.example/a", "far.example").body == b"ok"
    assert heads[0].startswith(b"GET http://far.example/a HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpzzwnyzxq=" in heads[0].lower()
    assert "secret" not in proxy.log
    proxy.access(1, url="http://far.example/a")
    assert "secret" not in (proxy.folder / "access.log").read_text()


def test_hosts_choose_who_leaves_through_the_parent(
    start: Start, squid: Squid, nginx: Nginx, unique: str
) -> None:
    proxy = start(CONFIG + PARENT + 'hosts = ["localhost"]\n', parent=squid.port)
    nginx.put(f"/fresh/{unique}", b"x")
    direct = f"http://127.0.0.1:{nginx.port}/fresh/{unique}"
    by_parent = f"http://localhost:{nginx.port}/fresh/{unique}"
    assert get(proxy.forward, direct, f"127.0.0.1:{nginx.port}").status == 200
    assert get(proxy.forward, by_parent, f"localhost:{nginx.port}").status == 200
    assert by_parent in squid.requests()
    assert direct not in squid.requests()


@pytest.mark.parametrize(("fail", "status"), [("closed", 502), ("open", 200)])
def test_a_parent_that_is_down(start: Start, nginx: Nginx, fail: str, status: int) -> None:
    proxy = start(CONFIG + PARENT + f'fail = "{fail}"\n', parent=free_port())
    url = f"http://127.0.0.1:{nginx.port}/who"
    assert get(proxy.forward, url, f"127.0.0.1:{nginx.port}").status == status
    target = b"127.0.0.1:%d" % nginx.port
    with Client(proxy.forward) as client:
        reply = client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    assert reply.status == status


def test_a_loop_is_noticed(start: Start) -> None:
    """A URL that leads back to our own listener, by address and by name."""
    proxy = start(CONFIG.replace('["127.0.0.0/8"]', "true"))
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{proxy.forward}/"
        reply = get(proxy.forward, url, f"{host}:{proxy.forward}")
        assert reply.status == 502
        assert "proxy_loop_detected" in reply.get("proxy-status")
    with Client(proxy.forward) as client:
        target = b"127.0.0.1:%d" % proxy.forward
        reply = client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    assert reply.status == 502
