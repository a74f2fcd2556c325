"""The reverse proxy: which pool a request leads to, what servers are told, what clients are not."""

from __future__ import annotations

import pytest

from road import DATE, FRESH, Play
from twistproxy.wire import Peer

#: A client, and one that comes through a proxy we trust.
CLIENT = Peer("192.0.2.7", 50000, 8080)
TRUSTED = Peer("10.0.0.1", 50000, 8080)

HEAD = """
[reverse]
trusted_proxies = ["10.0.0.0/8"]
"""
NAMED = """
[[reverse.route]]
hosts = ["shop.test"]
pool = "shop"
[pools.shop]
servers = ["http://one.test:9001"]
"""
ANY = """
[[reverse.route]]
pool = "any"
[pools.any]
servers = ["http://any.test:9009"]
"""
SITE = HEAD + NAMED


def asked(line: str, *fields: str, config: str = SITE, peer: Peer = CLIENT) -> Play:
    """A play in which a server was asked."""
    play = Play(config)
    play.ask(line, *fields, to="reverse", peer=peer)
    play.connect()
    return play


# -- which pool -----------------------------------------------------------------------------------


def test_a_route_leads_to_a_pool() -> None:
    play = asked("GET / HTTP/1.1", config=SITE + ANY)
    play.did("dial one.test:9001", "one.test:9001#1 GET / HTTP/1.1")
    play = asked("GET / HTTP/1.1", "Host: a.test", config=SITE + ANY)
    play.did("dial any.test:9009", "any.test:9009#1 GET / HTTP/1.1")


@pytest.mark.parametrize("upgrade", [(), ("Connection: Upgrade", "Upgrade: x")])
def test_without_a_route_it_is_404(upgrade: tuple[str, ...]) -> None:
    play = Play(SITE)
    play.ask("GET /x HTTP/1.1", "Host: a.test", *upgrade)
    assert play.done[0] == "404"
    play.over(status=404, error="http_request_error", server=None, target="http://a.test/x")


def test_http_1_0_without_a_host_is_for_a_route_for_any() -> None:
    play = Play(SITE)
    play.ask("GET / HTTP/1.0")
    play.over(status=404)
    play = asked("GET /x HTTP/1.0", config=SITE + ANY)
    play.did("dial any.test:9009", "any.test:9009#1 GET /x HTTP/1.1")
    assert play.asked("host") == "any.test:9009"
    play.answer("200 OK", FRESH)
    play.ask("GET /x HTTP/1.0")
    play.over(status=200, cached="hit")


REFUSED = {
    "connect": ("CONNECT shop.test:443 HTTP/1.1", "shop.test", 405),
    "asterisk": ("GET * HTTP/1.1", "shop.test", 400),
    "bad_host": ("GET / HTTP/1.1", "shop..test", 400),
    "empty_host": ("GET / HTTP/1.0", "", 400),
    "bad_escape": ("GET /%zz HTTP/1.1", "shop.test", 400),
    "no_url": ("GET shop.test/ HTTP/1.1", "shop.test", 400),
    "https_without_tls": ("GET https://shop.test/ HTTP/1.1", "shop.test", 400),
}


@pytest.mark.parametrize(("line", "host", "status"), REFUSED.values(), ids=REFUSED)
def test_targets_that_are_refused(line: str, host: str, status: int) -> None:
    play = Play(SITE)
    play.ask(line, f"Host: {host}", to="reverse", peer=CLIENT)
    assert play.done[0] == str(status)
    assert (play.field("Allow") is not None) is (status == 405)
    play.over(status=status, error="http_request_error", client="192.0.2.7", server=None)


def test_options_of_the_proxy_itself() -> None:
    play = Play(SITE)
    play.ask("OPTIONS * HTTP/1.1")
    play.did("200", "end")
    assert "CONNECT" not in (play.field("Allow") or "")
    assert play.field("Date") == DATE
    play.over(status=200, error=None, server=None)


def test_options_of_a_whole_server() -> None:
    play = asked("OPTIONS http://shop.test HTTP/1.1")
    play.did("dial one.test:9001", "one.test:9001#1 OPTIONS * HTTP/1.1")


SNI = {
    "same": ("shop.test", "shop.test", 200),
    "same_certificate": ("www.shop.test", "shop.test", 200),
    "other_certificate": ("other.test", "shop.test", 421),
    "no_sni": (None, "shop.test", 200),
    "spelling": ("shop.test", "SHOP.test.:8443", 200),
}


@pytest.mark.parametrize(("sni", "host", "status"), SNI.values(), ids=SNI)
def test_misdirected(sni: str | None, host: str, status: int) -> None:
    play = Play(SITE)
    assert play.reverse is not None
    play.reverse.same_certificate = lambda one, other: one.endswith(other)
    play.ask("GET / HTTP/1.1", f"Host: {host}", peer=Peer("192.0.2.7", 1, 8443, True, sni))
    if status == 421:
        assert play.done[0] == "421"
        play.over(status=421)
    else:
        play.did("dial one.test:9001")


def test_without_a_host_nothing_is_misdirected() -> None:
    play = Play(SITE + ANY)
    assert play.reverse is not None
    play.reverse.same_certificate = lambda one, other: False
    play.ask("GET / HTTP/1.0", peer=Peer("192.0.2.7", 1, 8443, True, "shop.test"))
    play.did("dial any.test:9009")


# -- what servers are told ------------------------------------------------------------------------


def test_the_normal_form_is_sent_on() -> None:
    play = asked("GET //c/./%66orbidden/../x?a=%7e HTTP/1.1", "Host: SHOP.test.:80")
    assert play.done[1] == "one.test:9001#1 GET /c/x?a=~ HTTP/1.1"
    assert play.asked("host") == "shop.test"


def test_a_port_of_ours_is_another_way_to_the_same() -> None:
    """No server learns which one it was: its answer is kept for the others, too."""
    play = asked("GET / HTTP/1.1", "Host: shop.test:8080")
    assert (play.asked("host"), play.asked("x-forwarded-host")) == ("shop.test", "shop.test")
    play.answer("302 Found", FRESH, "Location: http://shop.test/there", body=b"one")
    assert play.field("Location") == "http://shop.test:8080/there"
    play.over(target="http://shop.test/")
    play.ask("GET / HTTP/1.1", "Host: shop.test")
    assert play.field("Location") == "http://shop.test/there"
    play.over(cached="hit")


@pytest.mark.parametrize("there", ["/x", "http://shop.test.evil/", "https://shop.test/", "x:"])
def test_a_server_that_sends_its_client_elsewhere_is_taken_at_its_word(there: str) -> None:
    play = asked("GET / HTTP/1.1", "Host: shop.test:8080")
    play.answer("302 Found", f"Location: {there}", "Content-Length: 0")
    assert play.field("Location") == there


def test_the_target_says_which_host_not_the_field_beside_it() -> None:
    """Else an answer for one host would be kept as another's."""
    play = asked("GET http://shop.test/x HTTP/1.1", "Host: evil.test", config=SITE + ANY)
    play.did("dial one.test:9001", "one.test:9001#1 GET /x HTTP/1.1")
    assert (play.asked("host"), play.asked("x-forwarded-host")) == ("shop.test", "shop.test")


def test_who_asked() -> None:
    claims = ("X-Forwarded-For: 203.0.113.1", "X-Forwarded-Proto: https", "X-Real-IP: 203.0.113.1")
    play = asked("GET / HTTP/1.1", *claims)
    assert play.asked("x-forwarded-for") == "192.0.2.7"
    assert play.asked("x-forwarded-proto") == "http"
    assert play.asked("x-real-ip") is None
    assert play.asked("forwarded") == "for=192.0.2.7;host=shop.test;proto=http"
    assert play.asked("via") == "1.1 twistproxy-us"
    play.answer("200 OK")
    play.over(client="192.0.2.7", target="http://shop.test/")


def test_who_asked_a_proxy_that_is_trusted() -> None:
    told = ("X-Forwarded-For: 203.0.113.1", "X-Forwarded-Proto: https")
    play = asked("GET / HTTP/1.1", *told, peer=TRUSTED)
    assert play.asked("x-forwarded-for") == "203.0.113.1, 10.0.0.1"
    assert play.asked("x-forwarded-proto") == "https"
    assert play.asked("x-forwarded-host") == "shop.test"
    play.answer("200 OK")
    play.over(client="203.0.113.1", target="https://shop.test/")


def test_what_a_trusted_proxy_calls_us_keeps_answers_apart() -> None:
    """The server is told, so its answer may be made for that name."""
    play = Play(SITE)
    play.ask("GET / HTTP/1.1", "X-Forwarded-Host: made-up.test", peer=TRUSTED)
    play.connect()
    assert play.asked("x-forwarded-host") == "made-up.test"
    play.answer("301 Go", FRESH, "Location: https://made-up.test/")
    play.done.clear()
    play.ask("GET / HTTP/1.1", peer=TRUSTED)
    play.did("one.test:9001#1 GET / HTTP/1.1")


def test_what_was_asked_by_https_is_not_kept_for_http() -> None:
    """A server that redirects from one to the other would send its clients in circles."""
    play = Play(SITE)
    play.ask("GET / HTTP/1.1", "X-Forwarded-Proto: http", peer=TRUSTED)
    play.connect()
    play.answer("301 Go", FRESH, "Location: https://shop.test/")
    play.done.clear()
    play.ask("GET / HTTP/1.1", "X-Forwarded-Proto: https", peer=TRUSTED)
    play.did("one.test:9001#1 GET / HTTP/1.1")


def test_tls_is_https() -> None:
    play = asked("GET / HTTP/1.1", peer=Peer("192.0.2.7", 1, 8443, True, "shop.test"))
    assert play.asked("x-forwarded-proto") == "https"
    play.answer("200 OK")
    play.over(target="https://shop.test/")


PREFIX = """
[reverse]
[[reverse.route]]
path = "{path}"
strip_prefix = "{prefix}"
pool = "any"
[pools.any]
servers = ["http://any.test"]
"""
STRIPPED = {
    "below": ("/api", "/api", "/api/x/y?q", "/x/y?q"),
    "itself": ("/api", "/api", "/api", "/"),
    "itself_and_a_slash": ("/api/", "/api/", "/api/", "/"),
    "query": ("/api", "/api", "/api?q", "/?q"),
    "not_whole_segments": ("/api", "/api", "/apix/y", "/apix/y"),
    "nor_a_way_out": ("/api", "/api", "/api../secret", "/api../secret"),
    "slash": ("/", "/", "/x", "/x"),
    "part_of_the_route": ("/a/b/", "/a", "/a/b/c", "/b/c"),
    "any_spelling": ("/ü/", "/ü/", "/%c3%bc/x", "/x"),
    "half_an_escape": ("/%c3%bc/", "/%c", "/%c3%bc/x", "/%C3%BC/x"),
}


@pytest.mark.parametrize(("path", "prefix", "came", "sent"), STRIPPED.values(), ids=STRIPPED)
def test_strip_prefix(path: str, prefix: str, came: str, sent: str) -> None:
    play = asked(f"GET {came} HTTP/1.1", config=PREFIX.format(path=path, prefix=prefix))
    assert play.done[1] == f"any.test:80#1 GET {sent} HTTP/1.1"


def test_a_routes_own_time_and_tries() -> None:
    own = 'pool = "shop"\ntimeout = "2s"\nretries = 0'
    two = '["http://one.test:9001", "http://two.test:9002"]'
    config = SITE.replace('pool = "shop"', own).replace('["http://one.test:9001"]', two)
    play = asked("GET / HTTP/1.1", config=config)
    play.after(1.5)
    assert play.done[-1].endswith("HTTP/1.1")
    play.after(1)
    assert "dial two.test:9002" not in play.done
    play.over(status=504, error="http_response_timeout")


# -- what clients are not told --------------------------------------------------------------------

TRACES = (
    "Server: nginx", "X-Powered-By: PHP", "Via: 1.1 inner", "X-Varnish: 7", "X-AspNet-Version: 4",
    "Cache-Status: inner; hit", "Proxy-Status: inner; next-hop=10.0.0.5",
)  # fmt: skip


@pytest.mark.parametrize("cloak", [True, False])
def test_cloak(cloak: bool) -> None:
    config = SITE.replace("[reverse]", f"[reverse]\ncloak = {str(cloak).lower()}")
    play = asked("GET / HTTP/1.1", config=config)
    play.answer("200 OK", *TRACES, FRESH, "X-Mine: 1")
    for status in ("fwd=uri-miss; fwd-status=200; stored", "hit; ttl=60"):
        for trace in TRACES:
            name, _, value = trace.partition(": ")
            assert (value in (play.field(name) or "")) is not cloak, name
        assert (play.field("Cache-Status") or "").endswith(f"twistproxy; {status}")
        assert play.field("X-Mine") == "1"
        play.ask("GET / HTTP/1.1")


def test_an_error_of_ours_names_no_server() -> None:
    play = Play(SITE)
    play.ask("GET / HTTP/1.1", "Accept: text/html")
    play.refuse()
    assert play.field("Proxy-Status") == "twistproxy; error=connection_refused"
    assert b"one.test" not in play.body
    play.over(status=502, server="http://one.test:9001")


def test_an_upgrade_is_cloaked_as_well() -> None:
    play = asked("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: tea")
    play.wire.says(
        b"HTTP/1.1 101 Go\r\nServer: nginx\r\nConnection: Upgrade\r\nUpgrade: tea\r\n\r\n"
    )
    assert (play.response.status, play.field("Server")) == (101, None)


def test_no_proxy_status_outside_where_nothing_went_wrong() -> None:
    play = asked("GET / HTTP/1.1")
    play.answer("200 OK")
    assert play.field("Proxy-Status") is None
    assert play.field("Via") is None


@pytest.mark.parametrize("prefix", ["", 'strip_prefix = "/api"\n'], ids=["plain", "stripped"])
def test_a_redirect_to_the_server_itself_leads_here(prefix: str) -> None:
    """Whether it comes from the server or from the cache."""
    play = Play(SITE.replace('pool = "shop"\n', f'pool = "shop"\n{prefix}'))
    play.ask("GET /api/x HTTP/1.1")
    play.connect()
    play.answer("302 Found", FRESH, "Location: http://one.test:9001/y", "Content-Length: 0")
    for _ in range(2):
        assert play.field("Location") == f"http://shop.test{'/api' if prefix else ''}/y"
        play.ask("GET /api/x HTTP/1.1")
    play.over(cached="hit")


def test_the_cloak_hides_servers_in_interim_answers_too() -> None:
    play = asked("GET / HTTP/1.1")
    play.wire.says(b"HTTP/1.1 103 Early Hints\r\nServer: nginx\r\nLink: </a>\r\n\r\n")
    assert play.done[-1] == "interim 103"
    assert (play.field("server"), play.field("link")) == (None, "</a>")
