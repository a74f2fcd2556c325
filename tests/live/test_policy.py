"""One filter policy for both proxies, and no spelling that slips by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import Client, Reply, curl
from conftest import Keep, Start
from origins import Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8", "::1/128"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "all"

[pools.all]
servers = ["http://127.0.0.1:$origin"]

[[policy.rule]]
name = "blocked-host"
when = { host = [".blocked.example", "xn--bcher-kva.example", "127.0.0.9", "[::9]"] }
action = "deny"

[[policy.rule]]
name = "blocked-path"
when = { path = "/c/forbidden/" }
unless = { method = "HEAD" }
action = "deny"
status = 451

[[policy.rule]]
name = "blocked-url"
when = { url = '^http://[^/]*/.*[?].*secret=1' }
action = "deny"

[[policy.rule]]
name = "blocked-method"
when = { method = ["DELETE", "PURGE"] }
action = "deny"
status = 405

[[policy.rule]]
name = "blocked-port"
side = "forward"
when = { port = 25 }
action = "deny"

[[policy.rule]]
name = "moved"
when = { host = "moved.example" }
action = "redirect"
location = "https://new.example/why"

[[policy.rule]]
name = "blocked-client"
when = { client = "127.0.0.77/32" }
action = "deny"

[[policy.rule]]
name = "reverse-only"
side = "reverse"
when = { path = "/reverse-only/" }
action = "deny"
"""

#: Ways to write a blocked host; each must be refused on both sides.
HOSTS = {
    "plain": "blocked.example",
    "upper_case": "BLOCKED.EXAMPLE",
    "mixed_case": "BlOcKeD.eXaMpLe",
    "trailing_dot": "blocked.example.",
    "upper_case_and_dot": "BLOCKED.example.",
    "below": "www.blocked.example",
    "far_below": "a.b.c.blocked.example",
    "below_with_dot": "www.blocked.example.",
    "default_port": "blocked.example:80",
    "dot_and_default_port": "blocked.example.:80",
    "empty_port": "blocked.example:",
    "other_port": "blocked.example:8080",
    "leading_zeros_in_port": "blocked.example:00080",
    "a_label": "xn--bcher-kva.example",
    "a_label_upper_case": "XN--BCHER-KVA.example",
    "u_label_utf8": "b\xc3\xbccher.example",
    "u_label_upper_utf8": "B\xc3\x9cCHER.example",
    "u_label_decomposed": "bu\xcc\x88cher.example",
    "percent_encoded": "%62locked.example",
    "percent_encoded_dot": "blocked%2Eexample",
    "percent_encoded_utf8": "b%C3%BCcher.example",
    "fullwidth": "\xef\xbd\x82locked.example",
    "ideographic_stop": "blocked\xe3\x80\x82example",
    "fullwidth_stop": "blocked\xef\xbc\x8eexample",
    "address": "127.0.0.9",
    "address_octal": "0177.0.0.011",
    "address_hex": "0x7f.0.0.9",
    "address_number": "2130706441",
    "address_hex_number": "0x7f000009",
    "address_short": "127.9",
    "address_with_dot": "127.0.0.9.",
    "ipv6": "[::9]",
    "ipv6_long": "[0:0:0:0:0:0:0:9]",
    "ipv6_zeros": "[0000:0000::0009]",
    "ipv6_dotted": "[::0.0.0.9]",
}
#: What may be said instead of the rule's own status: that it is no host at all.
NO_HOST = {400, 421}

#: Ways to write /c/forbidden/.
PATHS = {
    "plain": "/c/forbidden/",
    "below": "/c/forbidden/page",
    "with_query": "/c/forbidden/?a=b",
    "percent_encoded": "/c/%66orbidden/",
    "percent_encoded_lower": "/%63/forbidden/",
    "all_encoded": "/%63/%66%6F%72%62%69%64%64%65%6e/",
    "two_slashes": "//c/forbidden/",
    "two_slashes_within": "/c//forbidden/",
    "two_slashes_and_dot": "//c/./forbidden/",
    "many_slashes": "////c///forbidden///",
    "dot": "/./c/forbidden/",
    "dot_within": "/c/./forbidden/",
    "dot_dot": "/x/../c/forbidden/",
    "dot_dot_within": "/c/x/../forbidden/",
    "dot_dot_beyond_root": "/../../c/forbidden/",
    "dot_dot_encoded": "/x/%2e%2e/c/forbidden/",
    "dot_dot_half_encoded": "/x/.%2E/c/forbidden/",
    "dot_encoded": "/c/%2e/forbidden/",
    "slashes_and_dot_dot": "/x//../c/forbidden/",
    "dot_dot_after": "/c/forbidden/x/..",
    "unreserved_tilde_free": "/c/forbidde%6e/",
}


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording())


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording) -> Program:
    return start_shared(CONFIG, origin=origin.port)


def forward(proxy: Program, host: str, path: str, method: str = "GET") -> Reply:
    head = f"{method} http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with Client(proxy.forward) as client:
        return client.ask(head.encode("latin-1"))


def reverse(proxy: Program, host: str, path: str, method: str = "GET") -> Reply:
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with Client(proxy.reverse) as client:
        return client.ask(head.encode("latin-1"))


def connect(proxy: Program, authority: str) -> Reply:
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    with Client(proxy.forward) as client:
        return client.ask(head.encode("latin-1"))


SIDES = pytest.mark.parametrize("ask", [forward, reverse])


def test_what_no_rule_names_passes(proxy: Program, origin: Recording, unique: str) -> None:
    assert reverse(proxy, "other.example", f"/{unique}").status == 200
    assert forward(proxy, f"127.0.0.1:{origin.port}", f"/{unique}").status == 200


@SIDES
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_blocked_host_however_it_is_spelt(
    proxy: Program, origin: Recording, ask: object, host: str
) -> None:
    before = len(origin.requests)
    reply = ask(proxy, host, "/")  # type: ignore[operator]
    assert reply.status in {403} | NO_HOST
    if host in ("blocked.example", "BLOCKED.example.", "www.blocked.example", "127.0.0.9"):
        assert reply.status == 403
    assert len(origin.requests) == before


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_tunnel_to_a_blocked_host_however_it_is_spelt(proxy: Program, host: str) -> None:
    _, colon, port = host.rpartition(":")
    authority = host if colon and (port.isdigit() or not port) else f"{host}:443"
    reply = connect(proxy, authority)
    assert reply.status in {403} | NO_HOST
    if host in ("blocked.example", "BLOCKED.example.", "www.blocked.example", "127.0.0.9"):
        assert reply.status == 403


@SIDES
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_blocked_path_however_it_is_spelt(
    proxy: Program, origin: Recording, ask: object, path: str
) -> None:
    before = len(origin.requests)
    host = f"127.0.0.1:{origin.port}"
    assert ask(proxy, host, path).status == 451  # type: ignore[operator]
    assert len(origin.requests) == before


@SIDES
@pytest.mark.parametrize("path", ["/c/forbidden%2Fx", "/c%2Fforbidden/", "/c/forbidden-not/"])
def test_what_only_looks_like_it_passes(
    proxy: Program, origin: Recording, ask: object, path: str
) -> None:
    host = f"127.0.0.1:{origin.port}"
    assert ask(proxy, host, path).status == 200  # type: ignore[operator]


def test_each_side_sends_on_its_own_form(proxy: Program, origin: Recording, unique: str) -> None:
    """The reverse proxy sends the form that rules saw, the forward proxy the path as received."""
    written = f"//a/./%7Eb/{unique}/%2F/../c"
    reverse(proxy, "other.example", written)
    assert origin.requests[-1].target == f"/a/~b/{unique}/c"
    forward(proxy, f"127.0.0.1:{origin.port}", written)
    assert origin.requests[-1].target == written


@SIDES
def test_unless_vetoes(proxy: Program, origin: Recording, ask: object) -> None:
    host = f"127.0.0.1:{origin.port}"
    assert ask(proxy, host, "/c/forbidden/", "HEAD").status == 200  # type: ignore[operator]


@SIDES
def test_url_method_and_redirect(proxy: Program, origin: Recording, ask: object) -> None:
    host = f"127.0.0.1:{origin.port}"
    assert ask(proxy, host, "/a?x&secret=1").status == 403  # type: ignore[operator]
    assert ask(proxy, host, "/a?x&secret=0").status == 200  # type: ignore[operator]
    assert ask(proxy, host, "/a", "DELETE").status == 405  # type: ignore[operator]
    assert ask(proxy, host, "/a", "OPTIONS").status == 200  # type: ignore[operator]
    moved = ask(proxy, "moved.example", "/a")  # type: ignore[operator]
    assert moved.status in {302, 303, 307}
    assert moved.get("location") == "https://new.example/why"


def test_port_and_client(proxy: Program, origin: Recording) -> None:
    assert connect(proxy, "127.0.0.1:25").status == 403
    for port in (proxy.forward, proxy.reverse):
        with Client(port, source="127.0.0.77") as client:
            url = f"http://127.0.0.1:{origin.port}/" if port == proxy.forward else "/"
            request = f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\n\r\n"
            assert client.ask(request.encode()).status == 403


def test_side(proxy: Program, origin: Recording) -> None:
    host = f"127.0.0.1:{origin.port}"
    assert reverse(proxy, host, "/reverse-only/").status == 403
    assert forward(proxy, host, "/reverse-only/").status == 200


def test_curl_is_refused_by_both_and_on_connect(proxy: Program, tmp_path: Path) -> None:
    way = ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    assert curl(*way, "http://blocked.example/", folder=tmp_path).status == 403
    name = ("-H", "Host: blocked.example")
    reverse_url = f"http://127.0.0.1:{proxy.reverse}/"
    assert curl(*name, reverse_url, folder=tmp_path).status == 403
    tunnel = curl(*way, "https://blocked.example/", folder=tmp_path)
    assert tunnel.exit == 56  # CURLE_RECV_ERROR: the proxy did not open the tunnel
    assert " 403 " in tunnel.head.splitlines()[0] + " "


def test_the_log_names_the_rule_of_each_verdict(
    proxy: Program, origin: Recording, unique: str
) -> None:
    forward(proxy, "blocked.example", f"/{unique}")
    reverse(proxy, "blocked.example", f"/{unique}")
    rows = proxy.access(2, containing=unique, rule="blocked-host", status=403)
    assert {row["side"] for row in rows} == {"forward", "reverse"}


def test_the_forward_side_names_the_rule_and_the_reverse_side_does_not(proxy: Program) -> None:
    assert "blocked-host" in forward(proxy, "blocked.example", "/").get("proxy-status")
    reply = reverse(proxy, "blocked.example", "/")
    assert "blocked-host" not in str(reply.fields) + reply.body.decode()


def test_an_error_fits_its_reader(proxy: Program) -> None:
    def ask(accept: str) -> Reply:
        head = f"GET http://blocked.example/ HTTP/1.1\r\nHost: blocked.example\r\n{accept}\r\n"
        with Client(proxy.forward) as client:
            return client.ask(head.encode())

    assert ask("Accept: text/html,*/*;q=0.8\r\n").get("content-type").startswith("text/html")
    assert ask("").get("content-type").startswith("application/problem+json")


ALLOW_LIST = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[policy]
default = "deny"

[[policy.rule]]
name = "the-origin"
when = { host = "127.0.0.1" }
action = "allow"
"""


def test_an_allow_list(start: Start, origin: Recording) -> None:
    proxy = start(ALLOW_LIST)
    assert forward(proxy, f"127.0.0.1:{origin.port}", "/").status == 200
    assert forward(proxy, f"localhost:{origin.port}", "/").status == 403
