"""Whose answers may reach whom: identities, sides, schemes, hosts, pools, and their spellings.

The origin shows what it was asked. What somebody gets must be what the origin would have said to
them, and be shared where it would have said the same.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from certificates import Authority
from clients import Client, Reply
from conftest import Keep, Start
from origins import Received, Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]
trusted_proxies = ["127.0.0.50/32"]

[[reverse.tls]]
hosts = ["shop.example", "other.example"]
cert = "$cert"
key = "$key"

[[reverse.route]]
hosts = ["shop.example", "other.example", "xn--bcher-kva.example"]
pool = "shop"

[[reverse.route]]
hosts = ["shop.example"]
path = "/api/"
strip_prefix = "/api"
pool = "shop"

[[reverse.route]]
hosts = ["shop.example"]
path = "/elsewhere/"
pool = "elsewhere"

[[reverse.route]]
pool = "elsewhere"

[pools.shop]
servers = ["http://127.0.0.1:$shop"]

[pools.elsewhere]
servers = ["http://127.0.0.1:$elsewhere"]
"""

KEPT = "Cache-Control: max-age=60"
FRONT: Final = "127.0.0.50"  # a proxy that is trusted


class Shop(Recording):
    """It shows which one it is, who asks, and for what. says: the lines of its answers by path."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.says: dict[str, tuple[str, ...]] = {}
        super().__init__(self._show)

    def _show(self, request: Received) -> bytes:
        said = self.says.get(request.target.partition("?")[0], (KEPT,))
        if "slow" in request.target:
            time.sleep(0.4)
        who = request.get("authorization") or request.get("cookie") or "nobody"
        lines = [line.replace("{who}", who) for line in said]
        scheme, host = request.get("x-forwarded-proto"), request.get("host")
        body = f"{self.name} {request.method} {scheme} {host} {request.target} {who}".encode()
        if request.target.endswith("/plain"):
            body = b"the same for all"
        if f"ETag: {request.get('if-none-match')}" in lines:
            return "\r\n".join(["HTTP/1.1 304 Not Modified", *lines, "", ""]).encode()
        head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *lines, "", ""]
        wire = "\r\n".join(head).encode()
        return wire + (b"" if request.method == "HEAD" else body)


@pytest.fixture(scope="module")
def shop(keep: Keep[Shop]) -> Shop:
    return keep(Shop("shop"))


@pytest.fixture(scope="module")
def elsewhere(keep: Keep[Shop]) -> Shop:
    return keep(Shop("elsewhere"))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, shop: Shop, elsewhere: Shop, authority: Authority) -> Program:
    pair = authority.issue("shop.example", "other.example")
    return start_shared(CONFIG, shop=shop.port, elsewhere=elsewhere.port, cert=pair[0], key=pair[1])


def ask(
    port: int,
    target: str,
    *lines: str,
    host: str | None = "shop.example",
    method: str = "GET",
    version: str = "HTTP/1.1",
    **options: object,
) -> Reply:
    named = [] if host is None else [f"Host: {host}"]
    head = [f"{method} {target} {version}", *named, *lines, "", ""]
    with Client(port, **options) as client:  # type: ignore[arg-type]
        return client.ask("\r\n".join(head).encode("latin-1"))


def text(reply: Reply) -> str:
    return reply.body.decode("latin-1")


# -- identities

FOR_ALL = {
    "public": "public, max-age=60",
    "s_maxage": "s-maxage=60",
    "must_revalidate": "max-age=60, must-revalidate",
}
FOR_ONE = {
    "max_age": "max-age=60",
    "private": "private, max-age=60, public",
    "no_store": "no-store",
    "proxy_revalidate": "max-age=60, proxy-revalidate",
    "immutable": "max-age=60, immutable",
}


@pytest.mark.parametrize("said", FOR_ONE.values(), ids=FOR_ONE)
def test_what_credentials_got_reaches_nobody_else(
    proxy: Program, shop: Shop, unique: str, said: str
) -> None:
    shop.says[f"/{unique}"] = (f"Cache-Control: {said}", 'ETag: "a"')
    assert text(ask(proxy.reverse, f"/{unique}", "Authorization: alice")).endswith("alice")
    assert text(ask(proxy.reverse, f"/{unique}", "Authorization: bob")).endswith("bob")
    assert text(ask(proxy.reverse, f"/{unique}")).endswith("nobody")


@pytest.mark.parametrize("said", FOR_ALL.values(), ids=FOR_ALL)
def test_what_is_said_to_be_for_all_is_shared_although_credentials_got_it(
    proxy: Program, shop: Shop, unique: str, said: str
) -> None:  # RFC 9111 §3.5
    shop.says[f"/{unique}"] = (f"Cache-Control: {said}",)
    ask(proxy.reverse, f"/{unique}", "Authorization: alice")
    assert ask(proxy.reverse, f"/{unique}", "Authorization: bob").hit


OLD = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"
CONFIRMING = {
    "credentials": (KEPT, "Authorization: alice"),
    "a_cookie": (OLD, "Cookie: alice"),
    "a_steering_field": (KEPT, "X-Original-URL: /alice"),
    "an_origin": (KEPT, "Origin: https://alice"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("said", "who"), CONFIRMING.values(), ids=CONFIRMING)
def test_a_confirmation_to_one_changes_nothing_for_others(
    proxy: Program, shop: Shop, unique: str, said: str, who: str, method: str
) -> None:
    path = f"/{unique}/plain"
    etag = ['ETag: "a"'] if method == "GET" else []
    shop.says[path] = (said, *etag, "X-For: all")
    ask(proxy.reverse, path)
    shop.says[path] = (said, *etag, "X-For: alice")
    reply = ask(proxy.reverse, path, who, "Cache-Control: no-cache", method=method)
    assert reply.get("x-for") == "alice"
    reply = ask(proxy.reverse, path)
    assert (reply.hit, reply.get("x-for")) == (True, "all")


GUESSED = {
    "old": (OLD,),
    "tagged": (OLD, 'ETag: "a"'),
    "no_cache": (OLD, "Cache-Control: no-cache"),
}


@pytest.mark.parametrize("said", GUESSED.values(), ids=GUESSED)
@pytest.mark.parametrize(
    "name", ["", "/nonexistent.css", ";.js", "%2F..%2Fstatic%2Fa.png", "%00.ico"]
)
def test_nothing_is_guessed_of_what_a_cookie_got(
    proxy: Program, shop: Shop, unique: str, said: tuple[str, ...], name: str
) -> None:
    """A page that says nothing of caches, under a name that looks like a file's."""
    path = f"/{unique}/account.php{name}"
    shop.says[path] = said
    assert text(ask(proxy.reverse, path, "Cookie: alice")).endswith("alice")
    assert text(ask(proxy.reverse, path)).endswith("nobody")


def test_vary_keeps_cookies_apart(proxy: Program, shop: Shop, unique: str) -> None:
    shop.says[f"/{unique}"] = (KEPT, "Vary: Cookie")
    for who in ("alice", "bob", "alice"):
        assert text(ask(proxy.reverse, f"/{unique}", f"Cookie: {who}")).endswith(who)
    assert ask(proxy.reverse, f"/{unique}", "Cookie: bob").hit
    assert text(ask(proxy.reverse, f"/{unique}")).endswith("nobody")


@pytest.mark.parametrize("said", ["max-age=60", "no-cache", "max-age=60, must-revalidate"])
def test_a_cookie_that_is_set_is_set_for_one(
    proxy: Program, shop: Shop, unique: str, said: str
) -> None:
    said = f"Cache-Control: {said}"
    shop.says[f"/{unique}"] = (said, 'ETag: "a"', "Set-Cookie: id=alice")
    ask(proxy.reverse, f"/{unique}", "Cookie: alice")
    shop.says[f"/{unique}"] = (said, 'ETag: "b"')
    reply = ask(proxy.reverse, f"/{unique}")
    assert (reply.get("set-cookie"), text(reply)[-6:]) == ("", "nobody")


def test_a_cookie_that_is_withheld_is_not_stored(proxy: Program, shop: Shop, unique: str) -> None:
    shop.says[f"/{unique}"] = (
        'Cache-Control: max-age=60, private="set-cookie, x-user"',
        "Set-Cookie: id=alice",
        "X-User: alice",
    )
    assert ask(proxy.reverse, f"/{unique}").get("set-cookie") == "id=alice"
    reply = ask(proxy.reverse, f"/{unique}")
    assert (reply.hit, reply.get("set-cookie"), reply.get("x-user")) == (True, "", "")


CONFIRMED = {
    "max_age_0": "max-age=0",
    "no_cache": "no-cache, max-age=60",
    "s_maxage_0": "s-maxage=0",
}


@pytest.mark.parametrize("said", CONFIRMED.values(), ids=CONFIRMED)
def test_what_is_to_be_confirmed_to_each_is_fetched_by_each(
    proxy: Program, shop: Shop, unique: str, said: str
) -> None:
    path = f"/slow/{unique}"
    shop.says[path] = (f"Cache-Control: {said}", 'ETag: "{who}"')
    people = [f"p{number}" for number in range(5)]

    def get(who: str) -> str:
        return text(ask(proxy.reverse, path, f"Cookie: {who}"))

    with ThreadPoolExecutor(len(people)) as pool:
        assert [each.split()[-1] for each in pool.map(get, people)] == people


# -- who answers, and for what

#: What asks first, what asks then (target and Host), and whether that may be a hit. {u}: unique.
Asked = tuple[str, str | None]
SAME: dict[str, tuple[Asked, Asked]] = {
    "host_in_another_case": (("/{u}", "SHOP.Example"), ("/{u}", "shop.example")),
    "host_with_a_dot": (("/{u}", "shop.example."), ("/{u}", "shop.example")),
    "default_port": (("/{u}", "shop.example:80"), ("/{u}", "shop.example")),
    "port_with_zeros": (("/{u}", "shop.example:00080"), ("/{u}", "shop.example")),
    "port_left_empty": (("/{u}", "shop.example:"), ("/{u}", "shop.example")),
    "port_of_ours": (("/{u}", "shop.example:$reverse"), ("/{u}", "shop.example")),
    "host_escaped": (("/{u}", "sh%6fp.example"), ("/{u}", "shop.example")),
    "host_in_letters": (("/{u}", "b\xc3\xbccher.example"), ("/{u}", "xn--bcher-kva.example")),
    "absolute_form": (("HTTP://SHOP.example:80/{u}", "shop.example"), ("/{u}", "shop.example")),
    "absolute_form_beside_another_host": (
        ("http://shop.example/{u}", "other.example"),
        ("/{u}", "shop.example"),
    ),
    "escaped_letter": (("/%7B%75/../{u}", "shop.example"), ("/{u}", "shop.example")),
    "dot_segments": (("/a/%2e%2e/./{u}", "shop.example"), ("/{u}", "shop.example")),
    "slashes": (("//{u}", "shop.example"), ("/{u}", "shop.example")),
    "digits_in_lower_case": (("/{u}%2f", "shop.example"), ("/{u}%2F", "shop.example")),
    "address_in_hex": (("/{u}", "0x7f.1"), ("/{u}", "127.0.0.1")),
    "address_in_ipv6": (("/{u}", "[0:0:0:0:0:0:0:1]"), ("/{u}", "[::1]")),
    "address_mapped": (("/{u}", "[::ffff:7f00:1]"), ("/{u}", "[::FFFF:127.0.0.1]")),
}
OTHER: dict[str, tuple[Asked, Asked]] = {
    "another_host": (("/{u}", "other.example"), ("/{u}", "shop.example")),
    "another_host_in_the_target": (
        ("http://other.example/{u}", "shop.example"),
        ("/{u}", "shop.example"),
    ),
    "another_port": (("/{u}", "shop.example:81"), ("/{u}", "shop.example")),
    "a_made_up_host": (("/{u}", "evil.example"), ("/{u}", "shop.example")),
    "a_host_below": (("/{u}", "evil.shop.example"), ("/{u}", "shop.example")),
    "mapped_address": (("/{u}", "[::ffff:127.0.0.1]"), ("/{u}", "127.0.0.1")),
    "no_host": (("/{u}", None), ("/{u}", "shop.example")),
    "another_pool": (("/elsewhere/{u}", "shop.example"), ("/{u}", "shop.example")),
    "another_pool_by_dots": (("/elsewhere/../{u}/a", "shop.example"), ("/{u}", "shop.example")),
    "below_a_prefix": (("/api/{u}", "shop.example"), ("/{u}", "shop.example")),
    "prefix_of_a_prefix": (("/api/api/{u}", "shop.example"), ("/api/{u}", "shop.example")),
    "prefix_escaped": (("/api%2F{u}", "shop.example"), ("/api/{u}", "shop.example")),
    "out_of_a_prefix": (("/api/..;/{u}", "shop.example"), ("/{u}", "shop.example")),
    "backslash": (("/api\\{u}", "shop.example"), ("/api/{u}", "shop.example")),
    "query_in_the_path": (("/{u}%3Fa", "shop.example"), ("/{u}?a", "shop.example")),
    "semicolon": (("/{u};a", "shop.example"), ("/{u}", "shop.example")),
    "slash_escaped": (("/a%2F{u}", "shop.example"), ("/a/{u}", "shop.example")),
    "slash_at_the_end": (("/{u}/", "shop.example"), ("/{u}", "shop.example")),
    "dot_at_the_end": (("/{u}.", "shop.example"), ("/{u}", "shop.example")),
    "nul": (("/{u}%00", "shop.example"), ("/{u}", "shop.example")),
    "escape_escaped": (("/a/%252e%252e/{u}", "shop.example"), ("/{u}", "shop.example")),
    "case": (("/{u}/A", "shop.example"), ("/{u}/a", "shop.example")),
}
PAIRS = {
    **{f"same_{name}": (*pair, True) for name, pair in SAME.items()},
    **{f"other_{name}": (*pair, False) for name, pair in OTHER.items()},
}


def asked(proxy: Program, unique: str, what: Asked) -> Reply:
    target, host = (
        part and part.replace("{u}", unique).replace("$reverse", str(proxy.reverse))
        for part in what
    )
    assert target
    return ask(proxy.reverse, target, host=host, version="HTTP/1.1" if host else "HTTP/1.0")


@pytest.mark.parametrize(("first", "then", "same"), PAIRS.values(), ids=PAIRS)
def test_spellings(proxy: Program, unique: str, first: Asked, then: Asked, same: bool) -> None:
    alone = text(asked(proxy, f"{unique}a", then)).replace(f"{unique}a", unique)
    assert asked(proxy, unique, first).status == 200
    reply = asked(proxy, unique, then)
    assert (reply.hit, text(reply)) == (same, alone)


REFUSED = {
    "user": ("http://evil@shop.example/{u}", "shop.example"),
    "user_in_host": ("/{u}", "evil@shop.example"),
    "two_ports": ("/{u}", "shop.example:80:81"),
    "port_that_is_none": ("/{u}", "shop.example:evil"),
    "port_too_large": ("/{u}", "shop.example:65616"),  # 80 in sixteen bits
    "two_hosts_in_one": ("/{u}", "shop.example, evil.example"),
    "path_in_host": ("/{u}", "shop.example/evil"),
    "space_in_host": ("/{u}", "shop.example evil"),
    "fragment": ("/{u}#evil", "shop.example"),
    "zone": ("/{u}", "[::1%25eth0]"),
    "nothing": ("/{u}", ""),
}


@pytest.mark.parametrize("what", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_not_asked(
    proxy: Program, shop: Shop, unique: str, what: Asked
) -> None:
    before = len(shop.requests)
    assert asked(proxy, unique, what).status == 400
    assert len(shop.requests) == before


@pytest.mark.parametrize("lines", [("Host: evil.example",), ("host: shop.example",)])
def test_two_host_fields_are_refused(proxy: Program, unique: str, lines: tuple[str]) -> None:
    assert ask(proxy.reverse, f"/{unique}", *lines).status == 400


def test_schemes_are_apart(proxy: Program, authority: Authority, unique: str) -> None:
    tls = {"tls": authority.client_context(), "server_name": "shop.example"}
    secure = ask(proxy.tls, f"/{unique}", **tls)
    plain = ask(proxy.reverse, f"/{unique}")
    assert (plain.hit, text(plain).split()[2]) == (False, "http")
    assert text(secure).split()[2] == "https"
    assert ask(proxy.tls, f"/{unique}", **tls).hit
    # Whoever says http on a connection with TLS is told what http has.
    assert ask(proxy.tls, f"http://shop.example/{unique}", **tls).body == plain.body


def test_what_a_trusted_proxy_tells_is_in_the_key(proxy: Program, unique: str) -> None:
    told = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"]
    named = [told[0], "X-Forwarded-Host: evil.example"]
    assert text(ask(proxy.reverse, f"/{unique}", *told, source=FRONT)).split()[2] == "https"
    ask(proxy.reverse, f"/{unique}", *named, source=FRONT)
    plain = ask(proxy.reverse, f"/{unique}")
    assert (plain.hit, text(plain).split()[2]) == (False, "http")
    for lines in (told, named):
        assert ask(proxy.reverse, f"/{unique}", *lines, source=FRONT).hit
        # From anybody else it is worth nothing.
        assert ask(proxy.reverse, f"/{unique}", *lines).body == plain.body


# -- the two sides


def test_the_sides_share_what_a_route_answers(proxy: Program, unique: str) -> None:
    url = f"http://shop.example/{unique}"
    first = ask(proxy.forward, url)
    then = ask(proxy.reverse, f"/{unique}")
    assert (then.hit, then.body) == (True, first.body)
    # In the spelling in which the route's servers are asked.
    assert ask(proxy.forward, f"http://SHOP.example:80/a/../%{ord(unique[0]):x}{unique[1:]}").hit


@pytest.mark.parametrize("spelled", ["/{u}/../{u}", "//{u}", "/%2e/{u}", "/./{u}"])
def test_what_the_forward_side_sent_is_its_key(
    proxy: Program, shop: Shop, unique: str, spelled: str
) -> None:
    site = f"http://127.0.0.1:{shop.port}"
    spelled = spelled.replace("{u}", unique)
    assert f" {spelled} " in text(ask(proxy.forward, site + spelled))
    reply = ask(proxy.forward, f"{site}/{unique}")
    assert (reply.hit, f" /{unique} " in text(reply)) == (False, True)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "0x7f.1:{port}", "LOCALHOST:{port}"])
def test_a_host_that_was_made_up_on_the_reverse_side_is_no_hit_on_the_forward_side(
    proxy: Program, shop: Shop, unique: str, host: str
) -> None:
    host = host.replace("{port}", str(shop.port))
    assert text(ask(proxy.reverse, f"/{unique}", host=host)).startswith("elsewhere")
    reply = ask(proxy.forward, f"http://{host}/{unique}", host=host)
    assert (reply.hit, text(reply).split()[0]) == (False, "shop")


def test_the_host_field_of_the_forward_side_is_that_of_its_target(
    proxy: Program, shop: Shop, unique: str
) -> None:
    site = f"127.0.0.1:{shop.port}"
    assert f" {site} " in text(ask(proxy.forward, f"http://{site}/{unique}", host="evil.example"))
    reply = ask(proxy.forward, f"http://{site}/{unique}", host=site)
    assert (reply.hit, f" {site} " in text(reply)) == (True, True)


def test_another_origin_of_that_name_is_another_on_the_forward_side(
    proxy: Program, shop: Shop, elsewhere: Shop, unique: str
) -> None:
    for site in (shop, elsewhere):
        reply = ask(proxy.forward, f"http://127.0.0.1:{site.port}/{unique}")
        assert (reply.hit, text(reply).split()[0]) == (False, site.name)


# -- what origins say of caches


def test_what_an_origin_says_of_its_caches_is_not_taken_for_ours(
    proxy: Program, shop: Shop, unique: str
) -> None:
    site = f"http://127.0.0.1:{shop.port}"
    shop.says[f"/{unique}"] = (
        "Cache-Control: max-age=60",
        "Cache-Status: twistproxy; hit",
        "Age: 10",
        "Via: 1.1 evil",
    )
    for port, target in ((proxy.forward, f"{site}/{unique}"), (proxy.reverse, f"/{unique}")):
        fetched, kept = ask(port, target), ask(port, target)
        ours = [reply.all("cache-status")[-1].rpartition(", ")[2] for reply in (fetched, kept)]
        assert "fwd=uri-miss" in ours[0]
        assert ours[1].startswith("twistproxy; hit; ttl=")
        assert kept.get("age").isdigit()
        assert int(kept.get("age")) >= 10
