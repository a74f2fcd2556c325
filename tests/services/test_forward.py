"""The forward proxy: whom it serves, where it goes, and what it tells servers of its clients."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from attrs import evolve

from road import FRESH, Play
from twistproxy.wire import Peer

GET = "GET http://a.test/ HTTP/1.1"
INSIDE = Peer("10.1.2.3", 50000, 3128)

ROUTE = """
[reverse]
[[reverse.route]]
hosts = ["shop.test", "*.shop.test"]
path = "/s/"
pool = "shop"
[[reverse.route]]
path = "/any/"
pool = "shop"
[pools.shop]
servers = ["http://one.test:9001"]
"""


def forward(**keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(["[forward]", *lines, ""])


# -- whom it serves -------------------------------------------------------------------------------

WELCOME = {
    "loopback": ("127.0.0.9", True),
    "loopback_6": ("::1", True),
    "inside": ("10.1.2.3", False),
    "outside": ("192.0.2.1", False),
    "zone": ("fe80::1%eth0", False),
    "unix_socket": ("", True),
}


@pytest.mark.parametrize(("address", "welcome"), WELCOME.values(), ids=WELCOME)
def test_clients(address: str, welcome: bool) -> None:
    play = Play()
    play.ask(GET, peer=Peer(address, 1, 3128))
    if welcome:
        play.did("dial a.test:80")
    else:
        assert play.done[0] == "403"
        play.over(status=403, error="http_request_denied", rule="clients", client=address)


def test_new_clients_after_a_reload() -> None:
    play = Play()
    play.ask(GET, peer=INSIDE)
    assert play.forward is not None
    config = evolve(play.forward.config, clients=(ip_network("10.0.0.0/8"),))
    play.forward.configure(config, play.judge)
    play.done.clear()
    play.ask(GET, peer=INSIDE)
    play.did("dial a.test:80")


# -- where it goes --------------------------------------------------------------------------------

REFUSED = {
    "origin_form": ("GET / HTTP/1.1", 400),
    "asterisk": ("GET * HTTP/1.1", 400),
    "other_scheme": ("GET ftp://a.test/ HTTP/1.1", 400),
    "user": ("GET http://me@a.test/ HTTP/1.1", 400),
    "no_host": ("GET http:///x HTTP/1.1", 400),
    "connect_without_port": ("CONNECT a.test HTTP/1.1", 400),
    "connect_to_a_url": ("CONNECT http://a.test/ HTTP/1.1", 400),
    "connect_port": ("CONNECT a.test:25 HTTP/1.1", 403),
}


@pytest.mark.parametrize(("line", "status"), REFUSED.values(), ids=REFUSED)
def test_targets_that_are_refused(line: str, status: int) -> None:
    play = Play()
    play.ask(line, "Host: a.test", to="forward")
    assert play.done[0] == str(status)
    play.over(status=status, server=None, target=None)


def test_who_opens_it_as_a_page_is_told_what_it_is() -> None:
    play = Play()
    play.ask("GET / HTTP/1.1", "Accept: text/html", to="forward")
    assert b"This is a forward proxy" in play.body


CONNECT_PORTS = {
    "default": ("[forward]\n", 443, True),
    "other": ("[forward]\n", 8443, False),
    "listed": (forward(connect_ports=[22]), 22, True),
    "not_listed": (forward(connect_ports=[22]), 443, False),
    "any": (forward(connect_ports="any"), 25, True),
}


@pytest.mark.parametrize(("config", "port", "open_"), CONNECT_PORTS.values(), ids=CONNECT_PORTS)
def test_connect_ports(config: str, port: int, open_: bool) -> None:
    play = Play(config)
    play.ask(f"CONNECT a.test:{port} HTTP/1.1")
    if open_:
        play.did(f"dial a.test:{port}")
    else:
        assert play.field("Proxy-Status") == (
            'twistproxy; error=http_request_denied; details="rule connect_ports"'
        )
        play.over(status=403, rule="connect_ports")


PLACES = {
    "port": ("http://a.test:8080/", "a.test:8080"),
    "https": ("https://a.test/", "a.test:443"),
    "ipv4": ("http://0x7f.1/", "127.0.0.1:80"),
    "ipv6": ("http://[::0001]:81/", "[::1]:81"),
    "name": ("http://A.Test./", "a.test:80"),
}


@pytest.mark.parametrize(("url", "place"), PLACES.values(), ids=PLACES)
def test_it_goes_where_the_url_says(url: str, place: str) -> None:
    play = Play()
    play.ask(f"GET {url} HTTP/1.1", "Host: other.test")
    play.did(f"dial {place}")


def test_an_address_is_judged() -> None:
    play = Play()
    play.private = {"127.0.0.1"}
    play.ask("GET http://127.1/ HTTP/1.1")
    assert play.done[:2] == ["dial 127.0.0.1:80", "502"]
    play.over(error="destination_ip_prohibited")


def test_options_of_the_proxy_itself() -> None:
    play = Play()
    play.ask("OPTIONS * HTTP/1.1", to="forward")
    play.did("200", "end")
    assert "CONNECT" in (play.field("Allow") or "")
    play.over(status=200, error=None, server=None)


# -- hand-over ------------------------------------------------------------------------------------

OURS = {
    "host": "http://shop.test/s/",
    "wildcard": "http://a.shop.test/s/",
    "https": "https://shop.test/s/",
    "spelling": "http://SHOP.test./x/..//%73/",
    "our_port": "http://shop.test:8080/s/",
    "our_tls_port": "https://shop.test:8443/s/",
}
NOT_OURS = {
    "other_host": "http://a.test/any/",
    "other_port": "http://shop.test:81/s/",
    "below_exact": "http://notshop.test/s/",
}


@pytest.mark.parametrize("url", OURS.values(), ids=OURS)
def test_what_a_route_names_is_handed_over(url: str) -> None:
    play = Play(ROUTE + "[forward]")
    play.ask(f"GET {url} HTTP/1.1")
    play.did("dial one.test:9001")
    play.connect()
    play.did("one.test:9001#1 GET /s/ HTTP/1.1")
    play.answer("200 OK", FRESH, body=b"ours")
    host = "a.shop.test" if "a.shop" in url else "shop.test"
    scheme = url.partition(":")[0]
    play.over(status=200, side="forward", target=f"{scheme}://{host}/s/")
    play.done.clear()
    # Whatever the port of ours, it is one object.
    play.ask("GET /s/ HTTP/1.1", f"Host: {host}", peer=Peer("192.0.2.1", 1, 1, scheme == "https"))
    play.did("200", "body ours", "end")


@pytest.mark.parametrize("url", NOT_OURS.values(), ids=NOT_OURS)
def test_what_no_route_names_is_not(url: str) -> None:
    play = Play(ROUTE + "[forward]")
    play.ask(f"GET {url} HTTP/1.1")
    assert "one.test" not in play.done[0]


def test_a_named_host_has_no_other_paths() -> None:
    play = Play(ROUTE + "[forward]")
    play.ask("GET http://shop.test/else HTTP/1.1")
    play.over(status=404, side="forward", server=None)


def test_connect_is_never_handed_over() -> None:
    play = Play(ROUTE + "[forward]")
    play.ask("CONNECT shop.test:443 HTTP/1.1")
    play.did("dial shop.test:443")


def test_without_a_reverse_proxy_nothing_is_ours() -> None:
    play = Play()
    play.ask("GET http://shop.test/s/ HTTP/1.1")
    play.did("dial shop.test:80")


@pytest.mark.parametrize("anonymity", ["elite", "anonymous", "transparent"])
def test_our_servers_learn_of_a_client_what_anonymity_allows(anonymity: str) -> None:
    play = Play(ROUTE + forward(anonymity=anonymity))
    play.ask("GET http://shop.test/s/ HTTP/1.1", "X-Forwarded-For: 192.0.2.66")
    play.connect()
    named = "127.0.0.1" if anonymity == "transparent" else None
    assert play.asked("x-forwarded-for") == named
    assert play.asked("forwarded") == f"for={named or 'unknown'};host=shop.test;proto=http"
    assert play.asked("x-forwarded-host") == "shop.test"


# -- what servers are told ------------------------------------------------------------------------


def test_the_path_is_sent_as_it_came_and_the_host_as_it_is_meant() -> None:
    play = Play()
    play.ask("GET http://A.test:80//x/../%61?q=%zz HTTP/1.1", "Host: evil.test")
    play.connect()
    play.did("dial a.test:80", "a.test:80#1 GET //x/../%61?q=%zz HTTP/1.1")
    assert play.asked("host") == "a.test"


def test_what_is_spelt_otherwise_is_another_object() -> None:
    play = Play()
    play.exchange("GET http://a.test/%61 HTTP/1.1", FRESH, body=b"1")
    play.ask("GET http://a.test/a HTTP/1.1")
    play.did("a.test:80#1 GET /a HTTP/1.1")


WHOLE = {
    "options": ("OPTIONS http://a.test HTTP/1.1", "OPTIONS * HTTP/1.1"),
    "options_of_a_page": ("OPTIONS http://a.test/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
    "get": ("GET http://a.test HTTP/1.1", "GET / HTTP/1.1"),
    "query": ("GET http://a.test?x HTTP/1.1", "GET /?x HTTP/1.1"),
}


@pytest.mark.parametrize(("asked", "sent"), WHOLE.values(), ids=WHOLE)
def test_a_url_without_a_path(asked: str, sent: str) -> None:
    play = Play()
    play.ask(asked)
    play.connect()
    play.did("dial a.test:80", f"a.test:80#1 {sent}")


def test_a_parent_gets_a_url_without_a_path_as_it_came() -> None:
    play = Play(forward() + '[[forward.parent]]\nname = "p"\nurl = "http://p.test:1"\n')
    play.ask("OPTIONS http://a.test HTTP/1.1")
    play.connect()
    play.did("dial p.test:1", "p.test:1#1 OPTIONS http://a.test HTTP/1.1")


#: anonymity: what is added to Via and X-Forwarded-For of the request, and to Via of the answer
TOLD = {
    "elite": (None, None, None),
    "anonymous": ("1.1 twistproxy-us", None, "1.0 twistproxy-us"),
    "transparent": ("1.1 twistproxy-us", "127.0.0.1", "1.0 twistproxy-us"),
}


@pytest.mark.parametrize("anonymity", TOLD)
def test_anonymity(anonymity: str) -> None:
    via, client, answer_via = TOLD[anonymity]
    play = Play(forward(anonymity=anonymity))
    play.ask(GET)
    play.connect()
    assert (play.asked("via"), play.asked("x-forwarded-for")) == (via, client)
    for name in ("forwarded", "x-forwarded-host", "x-forwarded-proto"):
        assert play.asked(name) is None
    play.wire.says(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert play.field("via") == answer_via


def test_what_is_there_is_added_to() -> None:
    play = Play(forward(anonymity="transparent"))
    play.ask(GET, "Via: 1.0 mine", "X-Forwarded-For: 10.0.0.1")
    play.connect()
    assert play.asked("via") == "1.0 mine, 1.1 twistproxy-us"
    assert play.asked("x-forwarded-for") == "10.0.0.1, 127.0.0.1"
    play.answer("200 OK", "Via: 1.1 theirs")
    assert play.field("via") == "1.1 theirs, 1.1 twistproxy-us"


def test_elite_changes_nothing_that_the_client_says_of_itself() -> None:
    play = Play()
    play.ask(GET, "Via: 1.0 mine", "User-Agent: me")
    play.connect()
    assert (play.asked("via"), play.asked("user-agent")) == ("1.0 mine", "me")


def test_a_client_without_an_address_is_not_named() -> None:
    play = Play(forward(anonymity="transparent"))
    play.ask(GET, peer=Peer("", 0, 0))
    play.connect()
    assert play.asked("x-forwarded-for") is None


def test_via_is_of_what_came_through_us() -> None:
    play = Play(forward(anonymity="anonymous"))
    play.exchange(GET, FRESH)
    play.ask(GET)
    assert play.field("via") == "1.1 twistproxy-us"  # a hit, too
    play.ask("GET http://b.test/ HTTP/1.1")
    play.refuse()
    assert play.field("via") is None  # our own page
    play.ask("OPTIONS * HTTP/1.1", to="forward")
    assert play.field("via") is None
    play.ask("CONNECT b.test:443 HTTP/1.1")
    play.connect()
    assert play.field("via") is None


# -- what clients are told ------------------------------------------------------------------------


def test_the_rule_is_told_with_every_answer() -> None:
    rule = '[[policy.rule]]\nname = "fine"\nwhen = { host = "a.test" }\naction = "allow"\n'
    play = Play(forward() + rule)
    play.exchange(GET, FRESH)
    assert play.field("Proxy-Status") == 'twistproxy; details="rule fine"'
    play.ask(GET)
    assert play.field("Proxy-Status") == 'twistproxy; details="rule fine"'
    play.ask("CONNECT a.test:443 HTTP/1.1")
    play.connect()
    assert play.field("Proxy-Status") == 'twistproxy; details="rule fine"'


def test_a_parents_proxy_status_stays() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("502 No", "Proxy-Status: parent; error=dns_error")
    assert play.field("Proxy-Status") == (
        'parent; error=dns_error, twistproxy; details="rule default"'
    )


def test_what_servers_are_is_no_secret_here() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    page = b"<hr><center>nginx</center>"
    play.answer("404 No", "Server: nginx", "Content-Type: text/html", body=page)
    assert (play.field("Server"), play.body) == ("nginx", page)


def test_one_other_try() -> None:
    play = Play()
    play.ask(GET)
    play.connect().closes()
    assert play.done[-3] == "502"
    play.over(status=502, error="connection_terminated")


def test_the_time_a_server_has() -> None:
    play = Play(forward() + "[timeouts]\nserver = '2s'")
    play.ask(GET)
    play.connect()
    play.after(1.5)
    assert play.done[-1].endswith("HTTP/1.1")
    play.after(1)
    play.over(status=504, error="http_response_timeout")
