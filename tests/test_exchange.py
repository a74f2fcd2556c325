"""The road: scripts of what happens and what is then done, phase by phase."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock

from cycles import no_cycles
from road import DATE, FRESH, NOW, Client, Play, answer, configured, counted
from twistproxy.cache.flights import PATIENCE
from twistproxy.cache.slices import SLICE
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.exchange import REPLAYED, Exchange
from twistproxy.http import errors
from twistproxy.http.dates import format_date
from twistproxy.net.dial import Reason
from twistproxy.road import Identity
from twistproxy.wire import Peer

URL = "http://a.test/"
GET = f"GET {URL} HTTP/1.1"

SHOP = """
[reverse]
cloak = false
[[reverse.route]]
hosts = ["shop.test"]
pool = "shop"
[pools.shop]
servers = ["http://one.test", "http://two.test"]
"""
BOTH = SHOP + "[forward]\n"
ONE_SERVER = SHOP.replace(', "http://two.test"', "")
PARENT = """
[forward]
[[forward.parent]]
name = "out"
url = "http://us:secret@parent.test:8888"
fail = "%s"
"""
CLOSED, OPEN = PARENT % "closed", PARENT % "open"


def rules(*rules: str, default: str = "allow") -> str:
    tables = "".join(f"[[policy.rule]]\n{rule}\n" for rule in rules)
    return f'[policy]\ndefault = "{default}"\n{tables}'


# -- a whole exchange -----------------------------------------------------------------------------


def test_a_miss_from_head_to_end() -> None:
    play = Play()
    play.ask(GET, "Accept: */*")
    play.did("dial a.test:80")
    play.connect()
    play.did("a.test:80#1 GET / HTTP/1.1")
    play.after(0.5)
    play.answer("200 OK", "Content-Type: text/plain", body=b"hello")
    play.did("200", "body hello", "end")
    assert play.field("Date") == format_date(NOW + 0.5).decode()
    assert play.field("Content-Type") == "text/plain"
    assert play.field("Cache-Status") == (
        "twistproxy; fwd=uri-miss; fwd-status=200; detail=no-freshness"
    )
    play.over(
        status=200, error=None, rule="default", cached="miss", server="http://a.test:80",
        side="forward", bytes_in=0, bytes_out=5, waited=0.5, target=URL,
    )  # fmt: skip


def test_a_body_comes_as_it_is_sent() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.wire.says(b"HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n")
    play.did("dial a.test:80", "a.test:80#1 GET / HTTP/1.1", "200")
    assert (play.length, play.field("Date"), play.field("Transfer-Encoding")) == (
        None,
        "then",
        None,
    )
    play.wire.says(b"2\r\nhe\r\n3\r\nllo\r\n")
    play.did("body hello")
    play.wire.says(b"0\r\n\r\n")
    play.did("end")
    play.over(bytes_out=5)


def test_trailers_are_passed_on() -> None:
    play = Play()
    client = play.ask(GET)
    play.connect()
    play.wire.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\n\r\n")
    assert client.trailers is not None
    assert client.trailers.get(b"x-sum") == b"7"


def test_a_connection_is_used_again() -> None:
    play = Play()
    play.exchange(GET)
    play.ask(GET)
    play.did("a.test:80#1 GET / HTTP/1.1")
    play.answer("200 OK")
    play.over(status=200)


def test_a_close_delimited_answer() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("200 OK", body=b"he", whole=False)
    play.done.clear()
    play.wire.says(b"llo")
    play.wire.closes()
    play.did("body llo", "end")
    play.over(status=200, error=None)


def test_204_has_no_length() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("204 No Content", "Content-Length: 0")
    assert play.field("Content-Length") is None
    play.over(status=204)


def test_fields_of_the_connection_stay_on_it() -> None:
    play = Play()
    play.ask(
        GET, "Connection: close, X-Mine", "X-Mine: 1", "Proxy-Authorization: Basic x", "TE: gzip"
    )
    play.connect()
    for name in ("connection", "x-mine", "proxy-authorization", "te"):
        assert play.asked(name) is None
    play.answer("200 OK", "Connection: X-Theirs", "X-Theirs: 1", "Keep-Alive: timeout=5")
    for name in ("connection", "x-theirs", "keep-alive"):
        assert play.field(name) is None


def test_neither_deferred_nor_delayed_call_where_all_is_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = Play(ONE_SERVER + "[forward]")
    play.exchange("GET http://a.test/hit HTTP/1.1", FRESH, body=b"kept")
    play.exchange("GET / HTTP/1.1")
    waiting = counted(
        monkeypatch, (Deferred, "__init__"), (Clock, "callLater"), (MemoryStore, "get")
    )
    with waiting as calls:
        play.ask("GET http://a.test/hit HTTP/1.1")
        play.did("200", "body kept", "end")
        play.ask("GET http://a.test/miss HTTP/1.1")
        play.answer("200 OK", FRESH, body=b"m")
        play.ask("GET /miss HTTP/1.1")
        play.answer("200 OK", body=b"m")
    assert set(calls) == {"MemoryStore.get"}
    play.over(status=200)


def test_no_cycle_keeps_what_is_over() -> None:
    play = Play(
        BOTH.replace("cloak = false", "")
        + rules('name = "no"\nwhen = { path = "/no" }\naction = "deny"')
    )
    gc.collect()
    gc.disable()
    try:
        play.exchange(GET, FRESH, body=b"x" * (2 * SLICE))
        play.ask(GET)  # a hit
        play.ask("GET /no HTTP/1.1")
        play.ask("GET / HTTP/1.1")
        play.connect().closes()  # without an answer
        play.refuse()
        play.ask("GET / HTTP/1.1")
        play.connect()
        play.answer("500 No", body=b"<hr><center>nginx</center>")
        tunnel = play.ask("CONNECT a.test:443 HTTP/1.1")
        play.connect()
        assert tunnel.wire is not None
        tunnel.wire.dies()
        play.ask("CONNECT a.test:443 HTTP/1.1")
        play.refuse()
        play.ask("CONNECT a.test:443 HTTP/1.1").goes()
        play.over(error="client_lost")
        del tunnel
        assert [each for each in gc.get_objects() if isinstance(each, Exchange)] == []
    finally:
        gc.enable()


# -- admit ----------------------------------------------------------------------------------------

DENY_A = 'name = "no-a"\nwhen = { host = "a.test" }\naction = "deny"'
DENY_SHOP = 'name = "closed"\nside = "%s"\nwhen = { host = "shop.test" }\naction = "deny"'
REDIRECT = (
    'name = "why"\nwhen = { host = ["a.test", "shop.test"] }\n'
    'action = "redirect"\nstatus = 307\nlocation = "https://intra.test/why"'
)


def test_denied_on_the_forward_side() -> None:
    play = Play("[forward]\n" + rules(DENY_A))
    play.ask(GET)
    body = json.loads(play.body)
    play.did("403", f"body {len(play.body)} bytes", "end")
    assert body["detail"] == "a.test is not allowed here."
    assert body["rule"] == "no-a"
    assert play.field("Proxy-Status") == (
        'twistproxy; error=http_request_denied; details="rule no-a"'
    )
    assert play.field("Date") == DATE
    assert play.field("Cache-Control") == "no-store"
    assert play.road.counts.errors == 0
    play.over(status=403, error="http_request_denied", rule="no-a", cached=None, target=URL)


def test_a_denied_connect() -> None:
    play = Play("[forward]\n" + rules(DENY_A))
    play.ask("CONNECT a.test:443 HTTP/1.1")
    assert play.done[0] == "403"
    play.over(status=403, rule="no-a", target="a.test:443")


def test_denied_on_the_reverse_side() -> None:
    play = Play(SHOP.replace("cloak = false", "") + rules(DENY_SHOP % "reverse"))
    play.ask("GET / HTTP/1.1")
    assert play.done[0] == "403"
    assert "rule" not in json.loads(play.body)
    assert play.field("Proxy-Status") == "twistproxy; error=http_request_denied"
    play.over(status=403, rule="closed", side="reverse")


@pytest.mark.parametrize("ask", [GET, "GET / HTTP/1.1"], ids=["forward", "reverse"])
def test_redirected(ask: str) -> None:
    play = Play(BOTH + rules(REDIRECT))
    play.ask(ask)
    assert play.done[0] == "307"
    assert play.field("Location") == "https://intra.test/why"
    play.over(status=307, rule="why", error=None)


HANDED_OVER = "GET http://shop.test/ HTTP/1.1"


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_either_side_may_deny_what_is_handed_over(side: str) -> None:
    play = Play(BOTH.replace("cloak = false", "") + rules(DENY_SHOP % side))
    play.ask(HANDED_OVER)
    # Inside, a rule is no secret, even where the servers are.
    assert play.field("Proxy-Status") == (
        'twistproxy; error=http_request_denied; details="rule closed"'
    )
    play.over(status=403, rule="closed", side="forward")


def test_both_sides_are_asked_and_the_last_named_rule_is_told() -> None:
    named = 'name = "%s"\nside = "%s"\nwhen = { host = "shop.test" }\naction = "allow"'
    play = Play(BOTH + rules(named % ("inside", "forward"), default="allow"))
    play.ask(HANDED_OVER)
    play.connect()
    play.answer("200 OK")
    assert play.field("Proxy-Status") == 'twistproxy; details="rule inside"'
    play.over(rule="inside")
    play = Play(BOTH + rules(named % ("inside", "forward"), named % ("outside", "reverse")))
    play.ask(HANDED_OVER)
    play.connect()
    play.answer("200 OK")
    play.over(rule="outside")


def test_a_denial_by_default_is_named_so_after_a_rule_that_allowed() -> None:
    allowed = 'name = "inside"\nside = "forward"\nwhen = { host = "shop.test" }\naction = "allow"'
    play = Play(BOTH + rules(allowed, default="deny"))
    play.ask(HANDED_OVER)
    play.over(status=403, rule="default")


def test_our_own_name_in_via_is_a_loop() -> None:
    play = Play()
    play.ask(GET, "Via: 1.1 other, 1.1 twistproxy-us")
    assert play.done[0] == "502"
    assert play.road.counts.errors == 1
    play.over(status=502, error="proxy_loop_detected")


EXPECTED = {
    "100": ("100-Continue", None),
    "other": ("200-ok", 417),
    "two": ("100-continue, x", 417),
}


@pytest.mark.parametrize(("value", "status"), EXPECTED.values(), ids=EXPECTED)
def test_expect(value: str, status: int | None) -> None:
    play = Play()
    play.ask(f"POST {URL} HTTP/1.1", f"Expect: {value}", "Content-Length: 5")
    if status:
        assert play.done[0] == "417"
        play.over(status=417, error="http_request_error")
    else:
        play.did("pause", "dial a.test:80")
        play.connect()
        assert play.asked("expect") == value


def test_expect_of_http_1_0_is_nothing() -> None:
    play = Play()
    play.ask(f"POST {URL} HTTP/1.0", "Expect: what", "Content-Length: 0")
    play.connect()
    assert play.asked("expect") is None


MAX_FORWARDS = {"3": "2", "1": "0", "x": "x"}


@pytest.mark.parametrize(("told", "passed"), MAX_FORWARDS.items(), ids=MAX_FORWARDS)
@pytest.mark.parametrize("target", [URL, "/"], ids=["forward", "reverse"])
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_counts_down(method: str, target: str, told: str, passed: str) -> None:
    play = Play(BOTH)
    play.ask(f"{method} {target} HTTP/1.1", f"Max-Forwards: {told}")
    play.connect()
    assert play.asked("max-forwards") == passed


def test_max_forwards_of_another_method_is_none_of_our_business() -> None:
    play = Play()
    play.ask(GET, "Max-Forwards: 0")
    play.connect()
    assert play.asked("max-forwards") == "0"


@pytest.mark.parametrize("target", [URL, "/"], ids=["forward", "reverse"])
def test_a_trace_that_ends_here_shows_the_request_without_secrets(target: str) -> None:
    play = Play(BOTH)
    play.ask(f"TRACE {target} HTTP/1.1", "Host: shop.test", "Max-Forwards: 0", "Cookie: s", "X: y")
    assert (play.field("Content-Type"), play.field("Date")) == ("message/http", DATE)
    assert play.body.startswith(f"TRACE {target} HTTP/1.1\r\n".encode())
    assert b"X: y\r\n" in play.body
    assert b"Cookie" not in play.body
    play.over(status=200, error=None, server=None)


@pytest.mark.parametrize("target", [URL, "/"], ids=["forward", "reverse"])
def test_options_that_ends_here(target: str) -> None:
    play = Play(BOTH)
    play.ask(f"OPTIONS {target} HTTP/1.1", "Max-Forwards: 0")
    play.did("200", "end")
    assert ("CONNECT" in (play.field("Allow") or "")) is (target == URL)
    play.over(status=200)


def test_who_is_denied_learns_nothing_by_max_forwards() -> None:
    play = Play("[forward]\n" + rules(DENY_A))
    play.ask(f"TRACE {URL} HTTP/1.1", "Max-Forwards: 0")
    play.over(status=403, rule="no-a")


# -- look up --------------------------------------------------------------------------------------


def test_a_hit() -> None:
    play = Play()
    play.exchange(GET, FRESH, "Content-Type: text/plain", body=b"hello")
    play.after(10)
    play.ask(GET)
    play.did("200", "body hello", "end")
    assert (play.field("Age"), play.field("Date")) == ("10", DATE)
    assert (play.length, play.field("Content-Type")) == (5, "text/plain")
    assert play.field("Cache-Status") == "twistproxy; hit; ttl=50"
    play.over(status=200, cached="hit", server=None, bytes_out=5, waited=0.0)


def test_head_from_a_stored_get() -> None:
    play = Play()
    play.exchange(GET, FRESH, body=b"hello")
    play.ask(f"HEAD {URL} HTTP/1.1")
    play.did("200", "end")
    assert (play.field("Content-Length"), play.length) == ("5", 0)
    play.over(cached="hit", bytes_out=0)


def test_head_from_a_stored_204_has_no_length() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("204 No Content", FRESH)
    play.ask(f"HEAD {URL} HTTP/1.1")
    assert (play.response.status, play.field("Content-Length")) == (204, None)
    play.over(cached="hit")


def test_the_clients_own_condition_is_judged_here() -> None:
    play = Play()
    play.exchange(GET, FRESH, 'ETag: "1"', "Content-Type: a/b", body=b"hello")
    play.ask(GET, 'If-None-Match: "1"')
    play.did("304", "end")
    assert (play.field("ETag"), play.field("Content-Type")) == ('"1"', None)
    play.over(status=304, cached="hit")
    play.ask(GET, 'If-None-Match: "2"')
    play.did("200", "body hello", "end")


def test_only_if_cached() -> None:
    play = Play()
    play.ask(GET, "Cache-Control: only-if-cached")
    assert play.done[0] == "504"
    play.over(status=504, cached="miss", server=None)
    play.exchange(GET, FRESH, body=b"hello")
    play.ask(GET, "Cache-Control: only-if-cached")
    play.did("200", "body hello", "end")


STALE = ("Cache-Control: max-age=5", 'ETag: "1"')


def test_stale_is_confirmed() -> None:
    play = Play()
    play.exchange(GET, *STALE, body=b"hello")
    play.after(10)
    play.ask(GET, 'If-None-Match: "0"')
    assert play.asked("if-none-match") == '"1"'
    play.answer("304 Not Modified", *STALE, f"Date: {format_date(NOW + 10).decode()}")
    play.did("a.test:80#1 GET / HTTP/1.1", "200", "body hello", "end")
    assert play.field("Cache-Status") == "twistproxy; fwd=stale; fwd-status=304; ttl=5"
    play.over(status=200, cached="stale", server="http://a.test:80")
    play.ask(GET)
    play.did("200", "body hello", "end")
    play.over(cached="hit")


def test_stale_is_replaced() -> None:
    play = Play()
    play.exchange(GET, *STALE, body=b"hello")
    play.after(10)
    play.ask(GET)
    play.answer("200 OK", FRESH, body=b"new")
    play.ask(GET)
    play.did("a.test:80#1 GET / HTTP/1.1", "200", "body new", "end", "200", "body new", "end")


# -- parts --

LETTERS = b"abcdefghijklmnopqrstuvwxyz"


def test_a_part_of_what_is_stored() -> None:
    play = Play()
    play.exchange(GET, FRESH, "Content-Type: text/plain", body=LETTERS)
    play.ask(GET, "Range: bytes=2-4")
    play.did("206", "body cde", "end")
    assert play.field("Content-Range") == "bytes 2-4/26"
    assert play.length == 3
    play.ask(GET, "Range: bytes=26-")
    assert (play.response.status, play.length) == (416, 0)
    assert play.field("Content-Range") == "bytes */26"
    play.ask(GET, "Range: bytes=2-4", 'If-Range: "other"')
    assert (play.response.status, play.body) == (200, LETTERS)
    play.over(cached="hit")


def test_several_parts_of_what_is_stored() -> None:
    play = Play()
    play.exchange(GET, FRESH, "Content-Type: text/plain", body=LETTERS)
    play.ask(GET, "Range: bytes=-2,0-1")
    assert play.length == len(play.body)
    assert play.body.replace(boundary(play), b"!").split(b"\r\n") == [
        b"--!",
        b"Content-Type: text/plain",
        b"Content-Range: bytes 24-25/26",
        b"",
        b"yz",
        b"--!",
        b"Content-Type: text/plain",
        b"Content-Range: bytes 0-1/26",
        b"",
        b"ab",
        b"--!--",
        b"",
    ]


def boundary(play: Play) -> bytes:
    kind, _, value = (play.field("Content-Type") or "").partition("; boundary=")
    assert kind == "multipart/byteranges"
    return value.encode()


def brings(play: Play, part: str) -> None:
    """The server that was asked last answers with a part of the alphabet."""
    first, last = map(int, part.split("-"))
    told = f"Content-Range: bytes {part}/26"
    play.answer("206 Partial", FRESH, 'ETag: "1"', told, body=LETTERS[first : last + 1])


def test_parts_are_put_together() -> None:
    play = Play()
    for part in ("0-9", "20-25", "5-19"):
        play.ask(GET, f"Range: bytes={part}")
        if play._dials:
            play.connect()
        assert play.asked("range") == f"bytes={part}"
        brings(play, part)
        brought = play.body
        play.ask(GET, f"Range: bytes={part}")
        assert (play.response.status, play.body) == (206, brought)
        play.over(cached="hit")
    play.ask(GET)
    play.over(cached="hit")
    assert (play.response.status, play.body) == (200, LETTERS)
    assert play.cache.snapshot()["objects"] == 1


def test_a_part_does_not_answer_for_the_whole() -> None:
    play = Play()
    play.ask(GET, "Range: bytes=0-9")
    play.connect()
    brings(play, "0-9")
    play.ask(GET)
    play.answer("200 OK", FRESH, 'ETag: "1"', body=LETTERS)
    assert (play.field("Cache-Status") or "").startswith("twistproxy; fwd=partial; fwd-status=200")
    play.over(cached="miss")


def test_put_together_they_have_the_fields_of_both() -> None:
    play = Play()
    for part, field in (("0-9", "X-A: old"), ("10-25", "X-B: new")):
        play.ask(GET, f"Range: bytes={part}")
        if play._dials:
            play.connect()
        first, last = map(int, part.split("-"))
        told = f"Content-Range: bytes {part}/26"
        body = LETTERS[first : last + 1]
        play.answer("206 Partial", FRESH, 'ETag: "1"', told, field, body=body)
    play.ask(GET)
    assert (play.field("X-A"), play.field("X-B"), play.body) == ("old", "new", LETTERS)


# -- what lies in a file --


class InFile:
    def __init__(self, path: Path, offset: int) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.offset = offset

    def __del__(self) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return 26

    def fileno(self) -> int:
        return self._file


FROM_A_FILE = {
    "whole": ((), 200, LETTERS),
    "part": (("Range: bytes=2-4",), 206, b"cde"),
    "head": ((), 200, b""),
}


@pytest.mark.parametrize(("fields", "status", "body"), FROM_A_FILE.values(), ids=FROM_A_FILE)
@pytest.mark.parametrize("offset", [0, 7])
def test_out_of_a_file(
    tmp_path: Path, fields: tuple[str, ...], status: int, body: bytes, offset: int
) -> None:
    play = Play()
    play.exchange(GET, FRESH, body=LETTERS)
    path = tmp_path / "body"
    path.write_bytes(bytes(offset) + LETTERS)
    (stored,) = play.cache._memory
    stored.fill(InFile(path, offset))
    play.ask(GET.replace("GET", "GET" if body else "HEAD"), *fields)
    assert (play.response.status, play.body) == (status, body)
    play.over(cached="hit", bytes_out=len(body))


def test_several_parts_out_of_a_file(tmp_path: Path) -> None:
    play = Play()
    play.exchange(GET, FRESH, body=LETTERS)
    play.ask(GET, "Range: bytes=0-1,3-4")
    in_memory = play.body.replace(boundary(play), b"!")
    (tmp_path / "body").write_bytes(LETTERS)
    (stored,) = play.cache._memory
    stored.fill(InFile(tmp_path / "body", 0))
    play.ask(GET, "Range: bytes=0-1,3-4")
    assert play.body.replace(boundary(play), b"!") == in_memory
    play.over(bytes_out=play.length)


def test_a_file_that_was_cut_off_is_lost_and_breaks_the_answer_off(tmp_path: Path) -> None:
    play = Play()
    play.exchange(GET, FRESH, body=LETTERS)
    (tmp_path / "body").write_bytes(LETTERS[:9])
    (stored,) = play.cache._memory
    stored.fill(InFile(tmp_path / "body", 0))
    client = play.ask(GET)
    assert client.ended == "broken off"
    play.over()
    assert play.cache.snapshot()["objects"] == 0


# -- QUERY --

QUERY = f"QUERY {URL} HTTP/1.1"


def queries(play: Play, content: bytes, *fields: str) -> Client:
    client = play.ask(QUERY, f"Content-Length: {len(content)}", *fields)
    client.sends(content)
    client.ends()
    return client


def test_a_querys_content_is_in_its_key() -> None:
    play = Play()
    queries(play, b"blue")
    play.connect()
    play.answer("200 OK", FRESH, body=b"sky")
    play.done.clear()
    assert queries(play, b"blue").got == b"sky"
    play.over(cached="hit")
    queries(play, b"red")
    play.answer("200 OK", FRESH, body=b"rose")
    assert queries(play, b"red").got == b"rose"
    play.over(cached="hit")
    play.ask(GET)
    play.answer("200 OK", body=b"got")
    play.over(cached="miss")
    play.ask("DELETE http://a.test/ HTTP/1.1")
    play.answer("200 OK")
    assert queries(play, b"blue").status == 0, "it is outdated, too"


def test_a_query_too_long_for_a_key_is_sent_on() -> None:
    play = Play()
    client = play.ask(QUERY, f"Content-Length: {REPLAYED + 10}")
    client.sends(bytes(REPLAYED))
    play.done.clear()
    client.sends(b"0123456789")
    play.connect()
    client.ends()
    play.answer("200 OK", FRESH, body=b"sky")
    play.over(cached="bypass", bytes_in=REPLAYED + 10)
    assert play.cache.snapshot()["objects"] == 0


# -- many ask for the same --


def asks(play: Play, count: int, *fields: str) -> list[Client]:
    return [play.ask(GET, *fields) for _ in range(count)]


def test_many_misses_are_one_fetch() -> None:
    play = Play()
    clients = asks(play, 50)
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Content-Length: 10", whole=False) + b"hello")
    late = play.ask(GET)
    assert [client.got for client in (*clients, late)] == [b"hello"] * 51
    assert play.field("Cache-Status") == "twistproxy; fwd=uri-miss; fwd-status=200; collapsed"
    wire.says(b"world")
    assert {(each.status, each.got, each.ended) for each in (*clients, late)} == {
        (200, b"helloworld", "whole")
    }
    assert [what for what in play.done if "GET" in what] == ["a.test:80#1 GET / HTTP/1.1"]
    assert play.cache.snapshot()["collapsed"] == 50
    play.over(cached="collapsed", server=None, bytes_out=10)
    play.ask(GET)
    play.over(cached="hit")


def test_without_collapse_each_fetches() -> None:
    play = Play("[cache]\ncollapse = false\n[forward]")
    asks(play, 3)
    for _ in range(3):
        play.connect()
        play.answer("200 OK", FRESH)
    play.over(cached="miss")


OWN = {
    "authorization": "Authorization: Basic eDp5",
    "no-cache": "Cache-Control: no-cache",
    "range": "Range: bytes=0-1",
    "pragma": "Pragma: no-cache",
}


@pytest.mark.parametrize("field", OWN.values(), ids=OWN)
def test_who_wants_what_is_its_own_waits_for_nobody(field: str) -> None:
    play = Play()
    play.ask(GET)
    play.ask(GET, field)
    play.did("dial a.test:80", "dial a.test:80")


def test_what_is_for_one_only_sends_the_others_off_in_waves() -> None:
    play = Play()
    clients = asks(play, 12)
    waves = []
    while not all(client.ended for client in clients):
        while play._dials:
            play.connect()
        asked = {what.split()[0] for what in play.done if " GET " in what}
        play.done.clear()
        waves.append(len(asked))
        for wire in play.wires:
            if wire.name in asked:
                wire.says(answer("200 OK", "Cache-Control: private", body=b"own"))
    assert waves == [1, 2, 4, 5]
    assert {client.got for client in clients} == {b"own"}
    play.over(cached="miss")
    # For a while nobody waits for it any more.
    play.done.clear()
    asks(play, 3)
    assert len([what for what in play.done if " GET " in what or "dial" in what]) == 3


def test_who_left_a_wave_asks_nobody_and_holds_up_nobody() -> None:
    play = Play()
    clients = asks(play, 5)
    wire = play.connect()
    wire.says(answer("200 OK", "Cache-Control: private", body=b"own"))
    clients[3].goes()
    while play._dials:
        play.connect().says(answer("200 OK", "Cache-Control: private", body=b"own"))
    assert len([what for what in play.done if " GET " in what]) == 4


def test_who_may_get_a_304_is_not_waited_for() -> None:
    play = Play()
    play.ask(GET, "If-None-Match: *")
    play.ask(GET)
    other = play.ask(GET, "If-None-Match: *")
    play.did("dial a.test:80", "dial a.test:80")
    play.connect().says(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    play.connect().says(answer("200 OK", FRESH, 'ETag: "1"', body=b"hello"))
    assert other.status == 304
    play.over()


def test_what_each_has_to_confirm_is_not_shared() -> None:
    play = Play()
    clients = asks(play, 3)
    play.connect().says(answer("200 OK", "Cache-Control: no-cache", 'ETag: "1"', body=b"own"))
    assert [client.got for client in clients] == [b"own", b"", b""]


def test_other_variants_are_fetched_for_themselves() -> None:
    play = Play()
    one, other, same = (play.ask(GET, f"Accept: {kind}") for kind in ("a", "b", "a"))
    play.connect().says(answer("200 OK", FRESH, "Vary: Accept", body=b"for a"))
    assert (one.got, same.got, other.got) == (b"for a", b"for a", b"")
    play.connect().says(answer("200 OK", FRESH, "Vary: Accept", body=b"for b"))
    assert other.got == b"for b"
    play.over(cached="miss")


def test_a_failure_is_everybodys() -> None:
    play = Play()
    clients = asks(play, 3)
    play.refuse()
    assert [client.status for client in clients] == [502] * 3
    play.over(error="connection_refused")


def test_a_body_that_breaks_off_does_so_for_everybody() -> None:
    play = Play()
    clients = asks(play, 3)
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Content-Length: 10", whole=False) + b"hello")
    wire.dies()
    assert {(client.got, client.ended) for client in clients} == {(b"hello", "broken off")}
    play.over()
    assert play.cache.snapshot()["objects"] == 0


@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_who_came_first_may_leave(when: str) -> None:
    play = Play()
    first, *others = asks(play, 3)
    if when == "before the head":
        first.goes()
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Content-Length: 10", whole=False) + b"hello")
    if when == "in the body":
        first.goes()
    wire.says(b"world")
    assert {(client.got, client.ended) for client in others} == {(b"helloworld", "whole")}
    assert [line.error for line in play.lines].count("client_lost") == 1
    play.over()
    assert play.cache.snapshot()["objects"] == 1


def test_who_waits_may_leave() -> None:
    play = Play()
    first, second, third = asks(play, 3)
    second.goes()
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Content-Length: 10", whole=False) + b"hello")
    third.goes()
    wire.says(b"world")
    assert (first.got, first.ended) == (b"helloworld", "whole")
    play.over()


def test_when_all_leave_nothing_is_fetched() -> None:
    play = Play()
    first, second = asks(play, 2)
    play.connect()
    second.goes()
    first.goes()
    play.over(error="client_lost")


def test_a_slow_reader_holds_up_nobody_while_it_is_stored() -> None:
    play = Play()
    slow = play.ask(GET, stalls_at=1)
    quick = play.ask(GET)
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, f"Content-Length: {3 * SLICE}", whole=False))
    for _ in range(3):
        assert wire.producerState == "producing"
        wire.says(bytes(SLICE))
    assert (len(quick.got), quick.ended) == (3 * SLICE, "whole")
    assert len(slow.got) == SLICE
    slow.reads()
    assert (len(slow.got), slow.ended) == (3 * SLICE, "whole")
    play.over(cached="collapsed") if slow.status == 0 else play.over()


def test_what_is_stored_no_longer_goes_at_the_slowest_ones_pace() -> None:
    play = Play(f"[cache]\nmax_object = {2 * SLICE}\n[forward]")
    quick = play.ask(GET)
    slow = play.ask(GET, stalls_at=1)
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Transfer-Encoding: chunked", whole=False))
    for _ in range(4):
        wire.says(b"%x\r\n" % SLICE + bytes(SLICE) + b"\r\n")
    assert wire.producerState == "paused", "nobody keeps what the slow one has yet to take"
    assert len(quick.got) == 4 * SLICE
    late = play.ask(GET)
    assert late.status == 0, "its first bytes are gone: it goes on its own"
    slow.reads()
    assert wire.producerState == "producing"
    wire.says(b"0\r\n\r\n")
    assert {(len(each.got), each.ended) for each in (quick, slow)} == {(4 * SLICE, "whole")}
    late.goes()
    play.over()
    assert play.cache.snapshot()["objects"] == 0


class Files:
    """Stands for a store that takes bodies bit by bit; nothing is ever found in it."""

    small = 0
    open = True

    def draft(self, stored: object, length: int | None) -> Files:
        return self

    def write(self, data: bytes) -> None: ...
    def abandon(self) -> None: ...

    def finish(self, instead_of: object = ()) -> None: ...

    def get(self, key: object) -> tuple[()]:
        return ()

    def remove(self, key: object) -> int:
        return 0

    def snapshot(self) -> dict[str, object]:
        return {}


@pytest.mark.parametrize("seconds", [9, 11])
def test_nobody_waits_long_for_what_goes_to_a_file_at_anothers_pace(seconds: int) -> None:
    play = Play('[cache]\nmemory = "16KiB"\n[timeouts]\nbody = "1m"\n[forward]')
    files: Any = Files()
    play.cache.tiers.use({"disk": files}, files)
    slow = play.ask(GET, stalls_at=1)
    other = play.ask(GET)
    wire = play.connect()
    wire.says(answer("200 OK", FRESH, "Content-Length: 100000", whole=False) + b"a")
    assert (slow.got, other.got) == (b"a", b"")
    play.done.clear()
    play.after(seconds)
    assert ("dial a.test:80" in play.done) is (seconds > PATIENCE)


def test_who_shares_a_fetch_leaves_nothing_behind() -> None:
    play = Play()
    play.exchange(GET, FRESH)
    with no_cycles():
        first, *others = [play.ask("GET http://a.test/shared HTTP/1.1") for _ in range(4)]
        first.goes()
        wire = play.wire
        wire.says(answer("200 OK", FRESH, "Content-Length: 10", whole=False) + b"hello")
        others.append(play.ask("GET http://a.test/shared HTTP/1.1"))
        wire.says(b"world")
        assert {client.got for client in others} == {b"helloworld"}
        del first, others, wire
        play.done.clear()
        play.lines.clear()


# -- stale --


def test_stale_is_served_while_it_is_confirmed() -> None:
    play = Play()
    allowed = ("Cache-Control: max-age=5, stale-while-revalidate=60", 'ETag: "1"')
    play.exchange(GET, *allowed, body=b"hello")
    play.after(10)
    clients = asks(play, 3)
    assert [client.got for client in clients] == [b"hello"] * 3
    assert play.field("Cache-Status") == "twistproxy; hit; ttl=-5; detail=stale-while-revalidate"
    assert [what for what in play.done if " GET " in what] == ["a.test:80#1 GET / HTTP/1.1"]
    assert play.asked("if-none-match") == '"1"'
    play.answer("304 Not Modified", *allowed, f"Date: {format_date(NOW + 10).decode()}")
    play.over(cached="hit")
    play.ask(GET)
    assert play.field("Cache-Status") == "twistproxy; hit; ttl=5"
    assert play.road.counts.background == 1


FAILURES = {"refused": None, "500": "500 No", "502": "502 No", "503": "503 No", "504": "504 No"}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_stale_stands_for_an_error(failure: str | None) -> None:
    play = Play("[cache]\ngrace = 0\n[forward]")
    play.exchange(GET, "Cache-Control: max-age=5, stale-if-error=60", 'ETag: "1"', body=b"hello")
    play.wire.dies()
    play.after(10)
    clients = asks(play, 2)
    if failure is None:
        play.refuse()
    else:
        play.connect()
        play.answer(failure, body=b"sorry")
    assert [(client.status, client.got) for client in clients] == [(200, b"hello")] * 2
    assert "ttl=-5; detail=stale-if-error" in (play.field("Cache-Status") or "")
    play.over(cached="stale")
    play.after(60)
    play.ask(GET)
    play.refuse()
    play.over(status=502)


@pytest.mark.parametrize(("grace", "status"), [("1h", 200), ("0", 502)])
def test_while_no_server_is_up_stale_is_served_for_a_while(grace: str, status: int) -> None:
    play = Play(f'[cache]\ngrace = "{grace}"\n[forward]')
    play.exchange(GET, *STALE, body=b"hello")
    play.wire.dies()
    play.after(10)
    play.ask(GET)
    play.refuse()
    play.over(status=status)


@pytest.mark.parametrize("said", ["must-revalidate", "proxy-revalidate", "s-maxage=5", "no-cache"])
def test_what_may_not_be_stale_is_not_served_so(said: str) -> None:
    play = Play()
    play.exchange(GET, f"Cache-Control: max-age=5, {said}, stale-if-error=60", 'ETag: "1"')
    play.wire.dies()
    play.after(10)
    play.ask(GET)
    play.refuse()
    play.over(status=504)


SAID_LATER = {
    "no-store": (("200 OK", "Cache-Control: no-store"), 0),
    "private": (("404 Not Found", "Cache-Control: private"), 0),
    "a client's own": (("403 Forbidden", "Cache-Control: no-store"), 1),
}


@pytest.mark.parametrize(("answer", "left"), SAID_LATER.values(), ids=SAID_LATER)
def test_what_is_not_for_a_cache_any_more_leaves_it(answer: tuple[str, ...], left: int) -> None:
    play = Play()
    play.exchange(GET, "Cache-Control: max-age=5, stale-while-revalidate=60")
    play.after(10)
    play.ask(GET)
    play.answer(*answer)
    assert play.cache.snapshot()["objects"] == left


@pytest.mark.parametrize("idle", [1, 2])
def test_a_304_of_something_else_is_asked_again_without_our_condition(idle: int) -> None:
    play = Play()
    for n in range(idle):
        play.ask(f"GET http://a.test/other{n} HTTP/1.1")
    for _ in range(idle):
        play.connect()
    for wire in play.wires:
        wire.says(answer("200 OK"))
    play.exchange(GET, *STALE, body=b"hello")
    play.after(10)
    play.ask(GET, "If-Modified-Since: then")
    first = play.wire
    play.answer("304 Not Modified", 'ETag: "2"')
    # The same connection: it is free by now.
    play.did(f"{first.name} GET / HTTP/1.1", f"{first.name} GET / HTTP/1.1")
    assert play.asked("if-none-match") is None
    assert play.asked("if-modified-since") == "then"
    play.answer("200 OK", FRESH, body=b"new")
    play.did("200", "body new", "end")
    play.over(status=200, cached="stale")


def test_without_a_validator_a_304_is_for_the_client() -> None:
    play = Play()
    play.exchange(GET, "Cache-Control: max-age=5", body=b"hello")
    play.after(10)
    play.ask(GET, 'If-None-Match: "7"')
    assert play.asked("if-none-match") == '"7"'
    play.answer("304 Not Modified", 'ETag: "7"')
    play.did("a.test:80#1 GET / HTTP/1.1", "304", "end")
    play.over(status=304, cached="stale")


def test_the_clients_304_passes() -> None:
    play = Play()
    play.ask(GET, 'If-None-Match: "7"')
    play.connect()
    play.answer("304 Not Modified", 'ETag: "7"')
    assert play.done[-2:] == ["304", "end"]
    play.over(status=304, cached="miss")


def test_a_large_hit_goes_out_in_slices_as_the_client_reads() -> None:
    play = Play()
    body = bytes(range(256)) * (4 * SLICE // 256) + b"!"
    play.exchange(GET, FRESH, body=body)
    # It stalls while it is answered in the call that asked: it can't say so before that returns.
    client = play.ask(GET, stalls_at=SLICE)
    piece = f"body {SLICE} bytes"
    play.did("200", piece)
    assert play.length == len(body)
    client.reads(stalls_at=2 * SLICE)
    play.did(piece, piece)
    client.reads()
    play.did(piece, "body !", "end")
    assert play.body == body
    play.over(status=200, cached="hit", bytes_out=len(body))


def test_a_client_that_leaves_a_large_hit() -> None:
    play = Play()
    play.exchange(GET, FRESH, body=b"x" * (3 * SLICE))
    play.ask(GET, stalls_at=SLICE).goes()
    play.over(status=200, error="client_lost", bytes_out=SLICE)


def test_what_either_side_fetched_is_a_hit_through_the_other() -> None:
    play = Play(BOTH)
    play.exchange(HANDED_OVER, FRESH, body=b"one")
    play.ask("GET / HTTP/1.1", "Host: shop.test:8080")
    play.did("200", "body one", "end")
    play.over(cached="hit", side="reverse")


def test_a_made_up_host_poisons_nobody() -> None:
    play = Play(BOTH.replace('hosts = ["shop.test"]', ""))
    play.ask("GET / HTTP/1.1", "Host: a.test")
    play.connect()
    play.answer("200 OK", FRESH, body=b"made up")
    play.done.clear()
    play.ask(GET)
    play.did("dial a.test:80")


# -- fetch ----------------------------------------------------------------------------------------


def test_a_refused_server_is_skipped_at_once_and_left_alone() -> None:
    play = Play(SHOP)
    play.ask("POST / HTTP/1.1", "Content-Length: 0")  # whatever the method
    play.refuse()
    play.connect()
    play.did("dial one.test:80", "dial two.test:80", "two.test:80#1 POST / HTTP/1.1")
    play.answer("200 OK")
    play.over(status=200, error=None, server="http://two.test:80")
    play.done.clear()
    play.exchange("GET /x HTTP/1.1")
    play.exchange("GET /x HTTP/1.1")
    assert all(wire.place == "two.test:80" for wire in play.wires)


def test_all_servers_are_down() -> None:
    play = Play(SHOP)
    play.ask("GET / HTTP/1.1")
    play.refuse()
    play.refuse(Reason.TIMEOUT)
    play.did("dial one.test:80", "dial two.test:80", "504", f"body {len(play.body)} bytes", "end")
    play.over(status=504, error="connection_timeout", server="http://two.test:80", waited=0.0)


def test_a_pool_that_offers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(SHOP)
    pool = play.road.generation.pools["shop"]
    monkeypatch.setattr(pool, "_first", pool._backup)
    play.ask("GET / HTTP/1.1")
    assert b"pool shop" in play.body
    play.over(status=503, error="destination_unavailable", server=None)


def test_an_idle_connection_found_dead_says_nothing_of_its_server() -> None:
    play = Play(ONE_SERVER)
    play.exchange("GET / HTTP/1.1")
    play.ask("GET /x HTTP/1.1")
    play.wire.closes()
    play.did("one.test:80#1 GET /x HTTP/1.1", "dial one.test:80")
    play.connect()
    play.answer("200 OK")
    play.did("one.test:80#2 GET /x HTTP/1.1", "200", "end")
    assert play.road.counts.retried == 1
    (server,) = play.road.generation.pools["shop"].servers
    assert server.failures == 0
    play.over(status=200)


def test_an_idle_connection_of_each_server_found_dead_costs_no_try() -> None:
    play = Play(SHOP.replace("[pools", "retries = 0\n[pools"))
    play.exchange("GET / HTTP/1.1")
    play.exchange("GET / HTTP/1.1")
    play.ask("GET /x HTTP/1.1")
    play.wire.closes()
    play.refuse()  # now it is really down
    play.wire.closes()
    play.connect()
    play.answer("200 OK")
    assert [entry for entry in play.done if not entry.endswith("closed")] == [
        "one.test:80#1 GET /x HTTP/1.1", "dial one.test:80", "two.test:80#1 GET /x HTTP/1.1",
        "dial two.test:80", "two.test:80#2 GET /x HTTP/1.1", "200", "end",
    ]  # fmt: skip
    play.over(status=200)


def test_nor_does_the_connection_that_takes_its_place_count_as_a_second_try() -> None:
    play = Play(SHOP.replace("[pools", "retries = 1\n[pools"))
    play.exchange("GET / HTTP/1.1")
    play.exchange("GET / HTTP/1.1")
    play.ask("GET /x HTTP/1.1")
    play.wire.closes()
    play.connect().closes()
    assert play.done[-1] == "two.test:80#1 GET /x HTTP/1.1"


def test_a_server_that_dies_unanswered_is_followed_by_another() -> None:
    play = Play(SHOP)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.wire.dies()
    play.did("dial one.test:80", "one.test:80#1 GET / HTTP/1.1", "dial two.test:80")
    play.connect()
    play.answer("200 OK")
    play.over(status=200, server="http://two.test:80")
    assert play.road.generation.pools["shop"].servers[0].failures == 1


def test_a_silent_server_is_followed_by_another() -> None:
    play = Play(SHOP)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.after(31)
    play.did(
        "dial one.test:80", "one.test:80#1 GET / HTTP/1.1", "one.test:80#1 aborted",
        "dial two.test:80",
    )  # fmt: skip
    play.connect()
    play.after(31)
    assert "504" in play.done
    play.over(status=504, error="http_response_timeout", waited=0.0)


def test_once_a_byte_has_come_nothing_is_repeated() -> None:
    play = Play(SHOP)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.wire.says(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    play.wire.dies()
    assert play.done[-3:-1] == ["502", f"body {len(play.body)} bytes"]
    play.over(status=502, error="http_response_incomplete")


NOT_REPEATED = {"POST": 502, "PATCH": 502, "BREW": 502, "PUT": None, "DELETE": None, "HEAD": None}


@pytest.mark.parametrize(("method", "status"), NOT_REPEATED.items(), ids=NOT_REPEATED)
@pytest.mark.parametrize("idle", [False, True], ids=["new", "idle"])
def test_only_the_idempotent_is_repeated(method: str, status: int | None, idle: bool) -> None:
    play = Play(SHOP)
    if idle:
        play.exchange("GET / HTTP/1.1")
        play.exchange("GET / HTTP/1.1")
    play.ask(f"{method} / HTTP/1.1", "Content-Length: 0")
    if not idle:
        play.connect()
    play.done.clear()
    play.wire.closes()
    if status:
        assert play.done[0] == "502"
        play.over(status=502, error="connection_terminated")
    else:
        assert play.done[0] == f"dial {'one' if idle else 'two'}.test:80"


def test_the_number_of_tries_is_bounded() -> None:
    servers = ", ".join(f'"http://s{i}.test"' for i in range(9))
    play = Play(SHOP.replace('"http://one.test", "http://two.test"', servers))
    play.ask("GET / HTTP/1.1")
    for _ in range(3):  # a route's retries are 2
        play.connect().closes()
    assert play.done[-3] == "502"
    assert play.road.counts.retried == 2
    play.over(status=502, error="connection_terminated")


def test_a_body_is_sent_once_the_server_is_there() -> None:
    play = Play()
    client = play.ask(f"POST {URL} HTTP/1.1", "Content-Length: 5")
    play.did("pause", "dial a.test:80")
    play.connect()
    play.did("a.test:80#1 POST / HTTP/1.1", "resume")
    client.sends(b"he")
    client.sends(b"llo")
    client.ends()
    play.did("a.test:80#1 body he", "a.test:80#1 body llo")
    play.answer("201 Created")
    play.over(status=201, bytes_in=5)


def test_chunks_and_trailers_are_sent_on() -> None:
    play = Play()
    client = play.ask(f"POST {URL} HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    play.connect()
    client.sends(b"hello")
    client.ends("X-Sum: 7")
    assert play.done[-2:] == [
        "a.test:80#1 body 5\r\nhello\r\n",
        "a.test:80#1 body 0\r\nX-Sum: 7\r\n\r\n",
    ]


def test_a_body_is_replayed() -> None:
    play = Play(SHOP)
    client = play.ask("PUT / HTTP/1.1", f"Content-Length: {REPLAYED + 1}")
    play.connect()
    client.sends(b"x" * REPLAYED)
    play.done.clear()
    play.wire.dies()
    play.did("pause", "dial two.test:80")
    play.connect()
    play.did("two.test:80#1 PUT / HTTP/1.1", f"two.test:80#1 body {REPLAYED} bytes", "resume")
    client.sends(b"y")
    client.ends()
    play.answer("200 OK")
    play.did("two.test:80#1 body y", "200", "end")
    play.over(status=200, bytes_in=REPLAYED + 1)


def test_a_whole_body_is_replayed_whole() -> None:
    play = Play(SHOP)
    client = play.ask("PUT / HTTP/1.1", "Transfer-Encoding: chunked")
    play.connect()
    client.sends(b"hello")
    client.ends("X-Sum: 7")
    play.done.clear()
    play.wire.dies()
    play.connect()
    play.did(
        "dial two.test:80", "two.test:80#1 PUT / HTTP/1.1", "two.test:80#1 body 5\r\nhello\r\n",
        "two.test:80#1 body 0\r\nX-Sum: 7\r\n\r\n",
    )  # fmt: skip


def test_a_body_too_large_to_be_kept_is_not_replayed() -> None:
    play = Play(SHOP)
    client = play.ask("PUT / HTTP/1.1", f"Content-Length: {REPLAYED + 2}")
    play.connect()
    client.sends(b"x" * (REPLAYED + 1))
    play.done.clear()
    play.wire.dies()
    assert play.done[0] == "502"
    play.over(status=502, error="connection_terminated")


def test_a_server_that_does_not_read_pauses_the_client() -> None:
    play = Play()
    client = play.ask(f"POST {URL} HTTP/1.1", "Content-Length: 9")
    play.connect()
    play.done.clear()
    play.wire.stalls()
    play.did("pause")
    play.wire.reads()
    play.did("resume")
    client.sends(b"x" * 9)
    client.ends()
    play.wire.stalls()  # there is nothing left to pause
    play.wire.reads()
    play.did("a.test:80#1 body xxxxxxxxx")


def test_a_client_that_does_not_read_pauses_the_server() -> None:
    play = Play()
    client = play.ask(GET)
    play.connect()
    play.answer("200 OK", "Content-Length: 9", body=b"123")
    play.done.clear()
    client.stalls()
    play.did("a.test:80#1 paused")
    client.reads()
    play.wire.says(b"456789")
    play.did("a.test:80#1 resumed", "body 456789", "end")
    play.over(status=200)


def test_a_server_asked_for_a_client_that_does_not_read_is_paused_at_once() -> None:
    play = Play()
    client = play.ask(GET)
    client.stalls()
    play.connect()
    play.did("dial a.test:80", "a.test:80#1 GET / HTTP/1.1", "a.test:80#1 paused")
    client.reads()
    play.answer("200 OK")
    play.over(status=200)


FULL = ONE_SERVER.replace('"http://one.test"', '{ url = "http://one.test", max_connections = 1 }')


def test_a_full_server_takes_no_more() -> None:
    play = Play(FULL)
    first = play.ask("GET /1 HTTP/1.1")
    play.ask("GET /2 HTTP/1.1")
    assert play.done[1] == "503"
    assert play.lines[-1].error == "connection_limit_reached"
    assert play.lines[-1].server is None
    first.goes()
    play.over(error="client_lost")


def test_a_full_server_is_passed_over() -> None:
    play = Play(FULL.replace(" }]", ' }, "http://two.test"]'))
    play.ask("GET /1 HTTP/1.1")
    play.ask("GET /2 HTTP/1.1")
    play.ask("GET /3 HTTP/1.1")
    play.did("dial one.test:80", "dial two.test:80", "dial two.test:80")


UNREACHABLE = {
    Reason.DNS_TIMEOUT: (504, "dns_timeout"),
    Reason.DNS_ERROR: (502, "dns_error"),
    Reason.PROHIBITED: (502, "destination_ip_prohibited"),
    Reason.LOOP: (502, "proxy_loop_detected"),
    Reason.REFUSED: (502, "connection_refused"),
    Reason.TIMEOUT: (504, "connection_timeout"),
    Reason.UNROUTABLE: (502, "destination_ip_unroutable"),
    Reason.TLS_PROTOCOL: (502, "tls_protocol_error"),
    Reason.TLS_CERTIFICATE: (502, "tls_certificate_error"),
}


@pytest.mark.parametrize(
    ("reason", "told"), UNREACHABLE.items(), ids=lambda x: getattr(x, "name", "")
)
def test_an_unreachable_server_is_told_by_its_name(reason: Reason, told: tuple[int, str]) -> None:
    play = Play()
    play.ask(GET)
    play.refuse(reason)
    status, error = told
    assert (play.field("Proxy-Status") or "").startswith(f"twistproxy; error={error}")
    play.over(status=status, error=error, server="http://a.test:80")


BROKEN = {
    "not_http": (b"SSH-2.0-OpenSSH_9\r\n", "http_protocol_error"),
    "two_lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "http_protocol_error",
    ),
    "coding": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "http_response_transfer_coding",
    ),
    "unasked_switch": (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", "http_upgrade_failed"),
    "head_too_large": (
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "http_response_header_section_size",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "error"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none(wire: bytes, error: str) -> None:
    play = Play()
    play.ask(GET)
    play.connect().says(wire)
    assert "502" in play.done
    play.over(status=502, error=error)


def test_interim_answers_pass() -> None:
    play = Play()
    play.ask(f"POST {URL} HTTP/1.1", "Expect: 100-continue", "Content-Length: 0")
    play.connect()
    play.done.clear()
    play.wire.says(b"HTTP/1.1 100 Continue\r\n\r\n")
    play.wire.says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n")
    assert (play.field("Link"), play.field("Connection")) == ("</a>", None)
    play.answer("200 OK")
    play.did("interim 100", "interim 103", "200", "end")
    play.over(status=200)


def test_an_answer_before_the_request_is_whole() -> None:
    play = Play()
    client = play.ask(f"POST {URL} HTTP/1.1", "Content-Length: 9")
    play.connect()
    client.sends(b"123")
    play.done.clear()
    play.answer("413 Too Much", body=b"no")
    play.did("413", "body no", "a.test:80#1 aborted", "end")
    play.over(status=413, error=None, bytes_in=3)


def test_a_bug_of_ours_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    play.ask(GET)
    monkeypatch.setattr(type(play.forward), "request", lambda *_: 1 / 0)
    play.connect()
    assert "500" in play.done
    play.over(status=500, error="proxy_internal_error")


# -- parents --------------------------------------------------------------------------------------


def test_through_a_parent() -> None:
    play = Play(CLOSED)
    play.ask("GET http://a.test/x?y HTTP/1.1")
    play.did("dial parent.test:8888")
    play.connect()
    play.did("parent.test:8888#1 GET http://a.test/x?y HTTP/1.1")
    assert play.asked("proxy-authorization") == "Basic dXM6c2VjcmV0"
    assert play.asked("host") == "a.test"
    play.answer("200 OK")
    play.over(status=200, server="http://parent.test:8888")


def test_a_parent_that_fails_closed() -> None:
    play = Play(CLOSED)
    play.ask(GET)
    play.refuse()
    assert play.done[1] == "502"
    assert b"secret" not in play.body
    play.over(status=502, error="connection_refused")


def test_a_parent_that_fails_open() -> None:
    play = Play(OPEN)
    play.ask(GET)
    play.refuse()
    play.did("dial parent.test:8888", "dial a.test:80")
    play.connect()
    play.did("a.test:80#1 GET / HTTP/1.1")
    assert play.asked("proxy-authorization") is None
    play.answer("200 OK")
    play.over(status=200)


def test_the_challenge_of_a_parent_is_for_us() -> None:
    play = Play(CLOSED)
    play.ask(GET)
    play.connect()
    play.answer("407 Who", "Proxy-Authenticate: Basic", body=b"who?")
    assert (play.response.status, play.field("Proxy-Authenticate")) == (500, None)
    play.over(status=500, error="proxy_configuration_error")


@pytest.mark.parametrize("fail", ["closed", "open"])
def test_a_literal_address_is_judged_before_a_parent_gets_it(fail: str) -> None:
    play = Play(PARENT % fail)
    play.private, play.loops = {"10.0.0.1"}, {"::1"}
    play.ask("GET http://10.0.0.1/ HTTP/1.1")
    play.over(status=502, error="destination_ip_prohibited", server=None)
    play.ask("CONNECT [::1]:443 HTTP/1.1")
    play.over(status=502, error="proxy_loop_detected", server=None)
    play.ask("GET http://192.0.2.1/ HTTP/1.1")
    assert play.done[-1] == "dial parent.test:8888"


# -- store ----------------------------------------------------------------------------------------

UNSAFE = {
    "itself": ("http://a.test/x", "http://a.test/x", ()),
    "location": ("http://a.test/x", "http://a.test/new", ("Location: /new",)),
    "content_location": ("http://a.test/x", "http://a.test/new", ("Content-Location: new",)),
    "spelling": ("http://a.test/x", "http://a.test/new", ("Location: http://A.test:80/new",)),
    "route": ("/x", "/new", ("Location: http://shop.test//%6eew",)),
    "other_route": ("/x", "/other/new", ("Location: ../other/new",)),
}
KEPT = {
    "failed": ("http://a.test/x", "http://a.test/x", ()),
    "other_site": ("http://a.test/x", "http://b.test/new", ("Location: http://b.test/new",)),
    "no_url": ("http://a.test/x", "http://a.test/new", ("Location: http://a.test:x/new",)),
}
TWO_POOLS = (
    BOTH
    + """
[pools.other]
servers = ["http://three.test"]
[[reverse.route]]
hosts = ["shop.test"]
path = "/other/"
pool = "other"
"""
)


@pytest.mark.parametrize(("unsafe", "kept", "fields"), UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_method_outdates(unsafe: str, kept: str, fields: tuple[str, ...]) -> None:
    play = Play(TWO_POOLS)
    play.exchange(f"GET {kept} HTTP/1.1", FRESH)
    play.after(1)
    play.ask(f"POST {unsafe} HTTP/1.1", "Content-Length: 0")
    if not play.done[0].endswith("HTTP/1.1"):
        play.connect()
    play.answer("200 OK", *fields)
    play.ask(f"GET {kept} HTTP/1.1", "Cache-Control: only-if-cached")
    play.over(status=504)


@pytest.mark.parametrize(("unsafe", "kept", "fields"), KEPT.values(), ids=KEPT)
def test_what_an_unsafe_method_does_not_outdate(
    unsafe: str, kept: str, fields: tuple[str, ...]
) -> None:
    play = Play(TWO_POOLS)
    play.exchange(f"GET {kept} HTTP/1.1", FRESH)
    play.after(1)
    play.ask(f"POST {unsafe} HTTP/1.1", "Content-Length: 0")
    if not play.done[0].endswith("HTTP/1.1"):
        play.connect()
    play.answer("200 OK" if fields else "500 No", *fields)
    play.ask(f"GET {kept} HTTP/1.1", "Cache-Control: only-if-cached")
    play.over(status=200)


def test_an_upgrade_that_was_not_taken_is_not_kept_but_outdates() -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: tea")
    play = Play()
    play.exchange(GET, FRESH, body=b"old")
    play.after(1)
    play.ask(GET, *upgrade)
    play.answer("200 OK", FRESH, body=b"no tea")
    assert play.field("Cache-Status") == "twistproxy; fwd=bypass; detail=upgrade"
    play.ask(GET)
    assert play.body == b"old"
    play.ask(f"POST {URL} HTTP/1.1", *upgrade)
    play.answer("200 OK")
    play.ask(GET, "Cache-Control: only-if-cached")
    play.over(status=504)


def test_what_comes_in_pieces_is_kept_whole() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("200 OK", FRESH, "Content-Length: 9", body=b"123")
    play.ask(GET, "Cache-Control: only-if-cached")
    assert play.lines[-1].status == 504  # not before it is whole
    play.wire.says(b"456")
    play.wire.says(b"789")
    play.ask(GET)
    assert play.body == b"123456789"
    play.over(status=200, cached="hit")


def test_a_broken_answer_is_not_kept() -> None:
    play = Play()
    play.ask(GET)
    play.connect()
    play.answer("200 OK", FRESH, "Content-Length: 9", body=b"123")
    play.done.clear()
    play.wire.closes()
    play.did("break off")
    play.over(status=200, error="http_response_incomplete", bytes_out=3)
    assert play.cache.snapshot()["objects"] == 0


def test_what_a_client_left_is_not_kept() -> None:
    play = Play()
    client = play.ask(GET)
    play.connect()
    play.answer("200 OK", FRESH, "Content-Length: 9", body=b"123")
    play.done.clear()
    client.goes()
    play.did("a.test:80#1 aborted")
    play.over(status=200, error="client_lost", bytes_out=3)
    assert play.cache.snapshot()["objects"] == 0


# -- reply ----------------------------------------------------------------------------------------


def test_a_browser_gets_a_page() -> None:
    play = Play()
    play.ask(GET, "Accept: text/html")
    play.refuse()
    assert play.field("Content-Type") == "text/html; charset=utf-8"
    assert play.field("Content-Length") == str(len(play.body))
    assert b"http://a.test:80 refused" in play.body
    assert b"id-1" in play.body


def test_a_program_gets_problem_details() -> None:
    play = Play()
    play.ask(GET)
    play.refuse()
    assert play.field("Content-Type") == "application/problem+json"
    told = json.loads(play.body)
    assert (told["status"], told["error"]) == (502, "connection_refused")
    assert play.field("Cache-Status") == "twistproxy; fwd=uri-miss; detail=connection_refused"


def test_an_error_for_head_has_no_body() -> None:
    play = Play()
    play.ask(f"HEAD {URL} HTTP/1.1")
    play.refuse()
    play.did("dial a.test:80", "502", "end")
    assert int(play.field("Content-Length") or "") > 0
    play.over(status=502, bytes_out=0)


def test_what_is_no_request_is_told_so() -> None:
    play = Play(BOTH)
    for door in ("forward", "reverse"):
        play.refuse_head(errors.HEAD_TOO_LARGE.about(limit="9 bytes"), door)
        assert play.done[0] == "431"
        play.over(status=431, error="http_request_error", side=door, method="-", target=None)
        play.done.clear()


@pytest.mark.parametrize("door", ["forward", "reverse"])
def test_every_answer_has_a_cache_status_and_a_date(door: str) -> None:
    play = Play(BOTH)
    play.ask("OPTIONS * HTTP/1.1", to=door)
    assert (play.field("Cache-Status"), play.field("Date")) == ("twistproxy", DATE)


NGINX = b"<html><head><title>404</title></head><hr><center>nginx/1.22.1</center></body></html>"
OURS = b"<html>There is no such shoe. We run on good soles.</html>"
HTML = "Content-Type: text/html"
CLOAKED = ONE_SERVER.replace("cloak = false", "")


def test_a_servers_own_page_is_replaced_and_the_rest_of_its_answer_is_not() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.done.clear()
    play.answer(
        "401 Who", HTML, "Server: nginx/1.22.1", "WWW-Authenticate: Basic", 'ETag: "1"', body=NGINX
    )
    play.did("401", f"body {len(play.body)} bytes", "end")  # and the connection is kept
    assert json.loads(play.body)["status"] == 401
    assert play.field("WWW-Authenticate") == "Basic"
    assert (play.field("Server"), play.field("ETag")) == (None, None)
    assert play.field("Content-Length") == str(len(play.body))
    assert play.field("Cache-Control") == "no-store"
    play.over(status=401, error=None, server="http://one.test:80", bytes_out=len(play.body))


def test_an_applications_own_page_is_not() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.answer("404 Not Found", HTML, "Server: nginx/1.22.1", 'ETag: "1"', body=OURS)
    assert (play.body, play.field("ETag"), play.field("Server")) == (OURS, '"1"', None)
    play.over(status=404, bytes_out=len(OURS))


def test_a_page_that_comes_in_pieces_is_held_until_it_is_whole() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.done.clear()
    play.wire.says(
        b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for i in range(0, len(NGINX), 10):
        part = NGINX[i : i + 10]
        play.wire.says(b"%x\r\n%b\r\n" % (len(part), part))
    play.did()
    play.wire.says(b"0\r\n\r\n")
    play.did("404", f"body {len(play.body)} bytes", "end")
    assert b"nginx" not in play.body
    play.over(status=404)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_long_page_is_held_no_longer_than_needed(framing: str) -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.done.clear()
    page = OURS + b"x" * 9000
    if framing == "length":
        play.answer("404 No", HTML, f"Content-Length: {len(page)}", body=page[:10])
        play.did("404", "body <html>Ther")
        play.wire.says(page[10:])
        play.did("body 9047 bytes", "end")
    else:
        play.answer("404 No", HTML, "Transfer-Encoding: chunked", body=b"%x\r\n" % len(page))
        play.wire.says(page[:8000])
        play.did()
        play.wire.says(page[8000:])
        play.did("404", "body 9057 bytes")
        play.wire.says(b"\r\n0\r\n\r\n")
        play.did("end")
    assert play.body == page
    play.over(status=404, bytes_out=len(page))


def test_a_failures_page_is_replaced_whatever_it_says_and_however_long() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.done.clear()
    play.answer("503 Busy", HTML, "Retry-After: 9", "Content-Length: 100000", body=b"Traceback")
    play.did("one.test:80#1 aborted", "503", f"body {len(play.body)} bytes", "end")
    assert (b"Traceback" in play.body, play.field("Retry-After")) == (False, "9")
    play.over(status=503, error=None)


def test_a_held_page_that_breaks_off_is_an_error_with_a_page() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.answer("404 No", HTML, "Content-Length: 99", body=b"<html>")
    play.done.clear()
    play.wire.closes()
    assert play.done[0] == "502"
    play.over(status=502, error="http_response_incomplete")


def test_a_client_that_leaves_while_a_page_is_held() -> None:
    play = Play(CLOAKED)
    client = play.ask("GET / HTTP/1.1")
    play.connect()
    play.answer("404 No", HTML, "Content-Length: 99", body=b"<html>")
    client.goes()
    play.over(status=0, error="client_lost")


def test_an_error_that_is_no_page_passes() -> None:
    play = Play(CLOAKED)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.answer("500 No", "Content-Type: application/json", body=b'{"error": 7}')
    assert play.body == b'{"error": 7}'


def test_a_stored_page_of_a_server_is_replaced_as_well() -> None:
    play = Play(CLOAKED)
    for cached in ("miss", "hit"):
        play.ask("GET / HTTP/1.1")
        if cached == "miss":
            play.connect()
            play.answer("404 No", HTML, FRESH, body=NGINX)
        assert b"nginx" not in play.body
        play.over(status=404, cached=cached)


def test_without_a_cloak_pages_pass() -> None:
    play = Play(ONE_SERVER)
    play.ask("GET / HTTP/1.1")
    play.connect()
    play.answer("404 No", HTML, "Server: nginx", body=NGINX)
    assert (play.body, play.field("Server")) == (NGINX, "nginx")


# -- tunnels --------------------------------------------------------------------------------------

CONNECT = "CONNECT a.test:443 HTTP/1.1"


def test_connect() -> None:
    play = Play()
    client = play.ask(CONNECT)
    play.did("dial a.test:443")
    wire = play.connect()
    play.did("tunnel 200")
    assert play.field("Cache-Status") == "twistproxy; fwd=bypass; detail=tunnel"
    assert client.wire is not None
    client.wire.says(b"hello")
    wire.says(b"hi")
    play.did("a.test:443#1 body hello", "client body hi")
    assert (play.road.counts.tunnels, play.road.counts.active) == (1, 1)
    client.wire.dies()
    play.did("a.test:443#1 aborted")
    play.over(
        status=200, error="tunnel_reset", server="a.test:443", bytes_in=5, bytes_out=2, cached=None
    )


def test_a_server_may_speak_first() -> None:
    play = Play()
    play.ask(CONNECT)
    wire = play.connect()
    wire.says(b"220 hello")
    play.did("dial a.test:443", "tunnel 200", "client body 220 hello")


def test_a_tunnel_that_ends_well() -> None:
    play = Play()
    client = play.ask(CONNECT)
    wire = play.connect()
    assert client.wire is not None
    wire.closes()
    client.wire.closes()
    play.over(status=200, error=None)


def test_a_tunnel_that_nobody_uses() -> None:
    play = Play("[forward]\n[timeouts]\ntunnel_idle = '5s'")
    play.ask(CONNECT)
    play.connect()
    play.after(6)
    play.over(status=200, error="tunnel_idle")


def test_a_tunnel_that_is_broken_off() -> None:
    play = Play()
    play.ask(CONNECT)
    play.connect()
    (exchange,) = play.road.exchanges
    play.done.clear()
    exchange.abort()
    play.after(0.25)
    play.did("client aborted", "a.test:443#1 aborted")
    play.over(status=200, error="tunnel_aborted")


def test_connect_refused() -> None:
    play = Play()
    play.ask(CONNECT)
    play.refuse()
    play.did("dial a.test:443", "502", f"body {len(play.body)} bytes", "end")
    assert play.road.counts.tunnels == 0
    play.over(status=502, error="connection_refused")


def test_connect_through_a_parent() -> None:
    play = Play(CLOSED)
    client = play.ask(CONNECT, "User-Agent: x")
    play.connect()
    play.did("dial parent.test:8888", "parent.test:8888#1 CONNECT a.test:443 HTTP/1.1")
    assert play.asked("proxy-authorization") == "Basic dXM6c2VjcmV0"
    wire = play.wire
    # A length of it means nothing, and the first bytes of the tunnel may come with it.
    wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi")
    play.did("tunnel 200", "client body hi")
    assert play.field("Content-Length") is None
    assert client.wire is not None
    client.wire.says(b"hello")
    play.did("parent.test:8888#1 body hello")
    client.wire.dies()
    play.over(status=200, server="http://parent.test:8888", bytes_in=5, bytes_out=2)


def test_a_parent_that_does_not_take_the_connect() -> None:
    play = Play(CLOSED)
    play.ask(CONNECT)
    play.connect()
    play.answer("503 Not now", body=b"later")
    assert play.done[-3:] == ["503", "body later", "end"]
    play.over(status=503, error=None)
    play.ask(CONNECT)
    play.answer("407 Who")
    play.over(status=500, error="proxy_configuration_error")


def test_connect_goes_direct_where_the_parent_may_be_left_out() -> None:
    play = Play(OPEN)
    play.ask(CONNECT)
    play.refuse()
    play.connect()
    play.did("dial parent.test:8888", "dial a.test:443", "tunnel 200")


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize("target", [URL, "/"], ids=["forward", "reverse"])
def test_an_upgrade(target: str) -> None:
    play = Play(BOTH.replace(', "http://two.test"', ""))
    client = play.ask(f"GET {target} HTTP/1.1", *UPGRADE)
    play.connect()
    assert (play.asked("connection"), play.asked("upgrade")) == ("Upgrade", "websocket")
    play.done.clear()
    play.wire.says(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"
    )
    play.did("tunnel 101", "client body hi")
    assert (play.field("connection"), play.field("upgrade")) == ("Upgrade", "websocket")
    assert play.field("Cache-Status") == "twistproxy; fwd=bypass; detail=upgrade"
    assert client.wire is not None
    client.wire.says(b"hello")
    play.did(f"{play.wire.name} body hello")
    play.wire.dies()
    play.over(status=101, error="tunnel_reset", bytes_in=5, bytes_out=2)


def test_a_tunnel_that_comes_too_late_for_its_client() -> None:
    play = Play()
    client = play.ask(GET, *UPGRADE)
    play.connect()
    client.closing = True
    play.wire.says(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    play.done.clear()
    client.goes()
    play.did("a.test:80#1 aborted")
    play.over(status=101, error="client_lost")


def test_an_upgrade_that_is_declined() -> None:
    play = Play()
    play.ask(GET, *UPGRADE)
    play.connect()
    play.answer("200 OK", "Upgrade: h2c", "Connection: Upgrade", body=b"no")
    assert play.done[-3:] == ["200", "body no", "end"]
    assert (play.field("connection"), play.field("upgrade")) == (None, None)
    play.over(status=200, cached="bypass", error=None)


@pytest.mark.parametrize("upgrade", [(), ("Upgrade: h2c",), ("Upgrade: websocket, tea",)])
def test_a_server_that_switches_to_what_nobody_asked_for(upgrade: tuple[str, ...]) -> None:
    play = Play()
    play.ask(GET, *UPGRADE)
    play.connect()
    play.done.clear()
    head = "\r\n".join(
        ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", *upgrade, "", ""]
    )
    play.wire.says(head.encode())
    play.did("a.test:80#1 aborted", "502", f"body {len(play.body)} bytes", "end")
    play.over(status=502, error="http_upgrade_failed")


def test_an_upgrade_with_a_body_is_not_offered() -> None:
    play = Play()
    play.ask(f"POST {URL} HTTP/1.1", *UPGRADE, "Content-Length: 5")
    play.connect()
    assert play.asked("upgrade") is None


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [GET, CONNECT, "GET / HTTP/1.1"], ids=["get", "connect", "reverse"])
def test_a_client_that_leaves_while_we_dial(ask: str) -> None:
    play = Play(BOTH)
    client = play.ask(ask)
    (dial,) = play.done
    play.done.clear()
    client.goes()
    play.did(dial.replace("dial", "cancel"))
    play.over(status=0, error="client_lost")


def test_a_client_that_leaves_before_the_answer() -> None:
    play = Play(CLOSED)
    for ask in (GET, CONNECT):
        client = play.ask(ask)
        play.connect()
        play.done.clear()
        client.goes()
        play.did(f"{play.wire.name} aborted")
        play.over(status=0, error="client_lost")


def test_a_client_that_leaves_within_its_request() -> None:
    play = Play()
    client = play.ask(f"PUT {URL} HTTP/1.1", "Content-Length: 9")
    play.connect()
    client.sends(b"123")
    client.goes()
    assert play.done[-1] == "a.test:80#1 aborted"
    play.over(status=0, error="client_lost", bytes_in=3)


def test_a_client_that_leaves_between_two_servers() -> None:
    play = Play(SHOP)
    client = play.ask("GET / HTTP/1.1")
    play.connect().dies()
    play.done.clear()
    client.goes()
    play.did("cancel two.test:80")
    play.over(status=0, error="client_lost")


def test_a_body_that_breaks_off_is_answered() -> None:
    play = Play()
    client = play.ask(f"PUT {URL} HTTP/1.1", "Content-Length: 9")
    play.connect()
    client.sends(b"123")
    play.done.clear()
    client.breaks(errors.REQUEST_TIMEOUT)
    play.did("a.test:80#1 aborted", "408", f"body {len(play.body)} bytes", "end")
    play.over(status=408, error="http_request_error")


def test_a_body_that_breaks_off_after_its_answer_began() -> None:
    play = Play()
    client = play.ask(f"PUT {URL} HTTP/1.1", "Content-Length: 9")
    play.connect()
    play.answer("200 OK", "Content-Length: 5", body=b"he")
    play.done.clear()
    client.breaks(errors.REQUEST_TIMEOUT)
    play.did("a.test:80#1 aborted", "break off")
    play.over(status=200, error="http_request_error")


@pytest.mark.parametrize("ask", [GET, CONNECT], ids=["get", "connect"])
@pytest.mark.parametrize("connected", [False, True], ids=["dialling", "asked"])
def test_an_exchange_is_broken_off(ask: str, connected: bool) -> None:
    play = Play(CLOSED if connected else "[forward]")
    play.ask(ask)
    if connected:
        play.connect()
    (exchange,) = play.road.exchanges
    play.done.clear()
    exchange.abort()
    play.after(0.25)
    assert sorted(entry.partition(" ")[0] for entry in play.done) == (
        ["abort", "parent.test:8888#1"] if connected else ["abort", "cancel"]
    )
    play.over(status=0, error="aborted")


def test_an_exchange_keeps_the_generation_it_began_with() -> None:
    play = Play(SHOP)
    play.ask("GET / HTTP/1.1")
    before = play.road.generation
    play.road.generation = play.compile(configured(SHOP.replace("shop.test", "new.test")))
    play.refuse()
    play.connect()
    play.answer("200 OK")
    play.over(status=200, server="http://two.test:80")
    assert before is not play.road.generation
    play.ask("GET / HTTP/1.1")
    play.over(status=404)


def test_who_is_told_of_an_exchange_is_told_where_it_came_from() -> None:
    play = Play()
    play.ask(GET, peer=Peer("127.0.0.9", 1, 3128))
    play.refuse()
    play.over(client="127.0.0.9", side="forward")


# -- rules that continue, or wait -----------------------------------------------------------------

FORWARD = "[forward]\n"
TEAM = """
name = "team"
action = "continue"
when = { host = "a.test" }
set_request = { X-Team = "build" }
remove_request = ["Referer"]
set_response = { X-Frame-Options = "DENY" }
remove_response = ["Server"]
"""
NO_VIDEO = 'name = "no-video"\naction = "deny"\nwhen = { content_type = "video/*" }'
ONLY_TEXT = 'name = "text"\naction = "allow"\nwhen = { content_type = "text/*" }'
INSIDE = 'name = "inside"\naction = "deny"\nwhen = { resolved = "10.0.0.0/8" }'


def test_what_a_rule_edits_reaches_server_and_client_and_hits_too() -> None:
    play = Play(FORWARD + rules(TEAM))
    for kind in ("miss", "hit", "hit"):
        play.ask(GET, "Referer: http://b.test/", "X-Team: other")
        if kind == "miss":
            play.connect()
            assert (play.asked("X-Team"), play.asked("Referer")) == ("build", None)
            play.answer("200 OK", FRESH, "Server: x", "X-Frame-Options: y", body=b"hello")
        assert (play.field("X-Frame-Options"), play.field("Server")) == ("DENY", None)
        play.over(cached=kind, rule="default")


def test_what_is_stored_is_what_the_server_said() -> None:
    play = Play(FORWARD + rules(TEAM))
    play.exchange(GET, FRESH, "Server: x")
    play.reload(FORWARD)
    play.ask(GET)
    play.over(cached="hit")
    assert (play.field("X-Frame-Options"), play.field("Server")) == (None, "x")


def test_an_answer_to_credentials_that_a_rule_gave_is_for_nobody_else() -> None:
    secret = 'name = "key"\naction = "continue"\nset_request = { X-Api-Key = "s" }'
    play = Play(FORWARD + rules(secret))
    for _ in range(2):
        play.exchange(GET, FRESH)
        play.over(cached="miss")
    assert play.field("Cache-Status") == (
        "twistproxy; fwd=uri-miss; fwd-status=200; detail=authorization"
    )


def test_a_url_is_rewritten() -> None:
    rule = r"""
name = "moved"
action = "continue"
rewrite = { url = '^http://a\.test/(.*)', to = 'http://b.test:81/new/\1' }
"""
    play = Play(FORWARD + rules(rule))
    play.ask("GET http://a.test/x?q HTTP/1.1")
    play.connect()
    play.did("dial b.test:81", "b.test:81#1 GET /new/x?q HTTP/1.1")
    assert play.asked("Host") == "b.test:81"
    play.answer("200 OK", FRESH, body=b"hello")
    play.ask("GET http://b.test:81/new/x?q HTTP/1.1")
    play.over(cached="hit")


def test_a_url_is_rewritten_on_the_reverse_side_to_another_route() -> None:
    rule = r"""
name = "moved"
action = "continue"
rewrite = { url = '^http://shop\.test/old/', to = 'http://news.test/' }
"""
    more = '[[reverse.route]]\nhosts = ["news.test"]\npool = "news"\n'
    pools = '[pools.news]\nservers = ["http://three.test"]\n'
    play = Play(SHOP.replace("[pools.shop]", more + "[pools.shop]") + pools + rules(rule))
    play.ask("GET /old/x HTTP/1.1", "Host: shop.test")
    play.connect()
    play.did("dial three.test:80", "three.test:80#1 GET /x HTTP/1.1")
    assert play.asked("Host") == "news.test"
    play.answer("200 OK", "Location: http://news.test/y")
    assert play.field("Location") == "http://shop.test/y"
    play.over(status=200)


def test_what_is_rewritten_to_no_url_is_an_error() -> None:
    rule = 'name = "broken"\naction = "continue"\nrewrite = { url = "^http://a", to = "ftp://a" }'
    play = Play(FORWARD + rules(rule))
    play.ask(GET)
    assert play.response.status >= 400
    play.over(rule="broken")


def test_a_shadow_only_counts() -> None:
    play = Play(FORWARD + rules('name = "try"\naction = "deny"\nshadow = true'))
    play.exchange(GET)
    play.over(status=200, rule="default")
    assert play.road.generation.policy.snapshot()["rules"][0]["hits"] == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_response_of_a_denied_kind_does_not_reach_the_client(times: int) -> None:
    play = Play(FORWARD + rules(NO_VIDEO))
    for _ in range(times):
        play.ask(GET)
        play.connect()
        play.answer("200 OK", "Content-Type: video/mp4", FRESH, body=b"hello", whole=False)
        play.over(status=403, rule="no-video", error="http_request_denied")
    assert play.cache.snapshot()["objects"] == 0


def test_a_stored_response_is_judged_again() -> None:
    play = Play(FORWARD)
    play.exchange(GET, "Content-Type: video/mp4", FRESH)
    play.reload(FORWARD + rules(NO_VIDEO))
    play.ask(GET)
    play.over(status=403, rule="no-video", cached="hit")


def test_those_who_wait_for_the_same_are_judged_too() -> None:
    spared = NO_VIDEO + '\nunless = { method = "GET", header = { X-Spared = "1" } }'
    play = Play(FORWARD + rules(spared))
    one, other = play.ask(GET, "X-Spared: 1"), play.ask(GET)
    play.connect()
    play.answer("200 OK", "Content-Type: video/mp4", FRESH, body=b"hello")
    assert (one.status, other.status) == (200, 403)
    play.over()


def test_an_allow_list_of_kinds() -> None:
    play = Play(FORWARD + rules(ONLY_TEXT, default="deny"))
    for kind, status in {"text/plain": 200, "video/mp4": 403}.items():
        play.ask(GET)
        if not play.wires:
            play.connect()
        play.answer("200 OK", f"Content-Type: {kind}", body=b"hello")
        play.over(status=status, rule="text" if status == 200 else "default")


def test_a_tunnel_is_of_no_kind() -> None:
    play = Play(FORWARD + rules(ONLY_TEXT, default="deny"))
    play.ask("CONNECT a.test:443 HTTP/1.1")
    play.over(status=403, rule="default", server=None)


def test_an_upgrade_is_of_no_kind() -> None:
    play = Play(FORWARD + rules(ONLY_TEXT, default="deny"))
    play.ask(GET, "Connection: upgrade", "Upgrade: websocket")
    play.connect()
    play.wire.says(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    play.over(status=403, rule="default")


def test_nothing_is_said_early_of_what_may_be_denied() -> None:
    play = Play(FORWARD + rules(NO_VIDEO))
    play.ask(GET)
    play.connect()
    play.wire.says(b"HTTP/1.1 103 Early Hints\r\nLink: </v.mp4>\r\n\r\n")
    play.answer("200 OK", "Content-Type: video/mp4", body=b"hello")
    play.did("dial a.test:80", "a.test:80#1 GET / HTTP/1.1", "a.test:80#1 aborted",
             "403", f"body {len(play.body)} bytes", "end")  # fmt: skip
    play.over(rule="no-video")


def test_what_is_judged_by_its_kind_is_asked_for_whole() -> None:
    play = Play(FORWARD + rules(NO_VIDEO))
    play.ask(GET, 'If-None-Match: "1"', "If-Modified-Since: then")
    play.connect()
    assert (play.asked("If-None-Match"), play.asked("If-Modified-Since")) == (None, None)
    play.answer("200 OK", "Content-Type: text/plain", body=b"hello")
    play.over(status=200)


def test_who_is_denied_anyway_asks_nobody() -> None:
    play = Play(FORWARD + rules(NO_VIDEO, default="deny"))
    play.ask(GET)
    play.over(status=403, rule="default", server=None)


ADDRESSES = {
    "inside": (("192.0.2.1", "10.1.2.3"), 403, "inside"),
    "outside": (("192.0.2.1",), 200, "default"),
}


@pytest.mark.parametrize(("addresses", "status", "rule"), ADDRESSES.values(), ids=ADDRESSES)
def test_a_rule_that_asks_for_addresses_waits_for_them(
    addresses: tuple[str, ...], status: int, rule: str
) -> None:
    play = Play(FORWARD + rules(INSIDE))
    client = play.ask(f"POST {URL} HTTP/1.1", "Content-Length: 5")
    play.did("pause", "look up a.test")
    play.looked_up.callback(addresses)
    if status == 200:
        play.connect()
        client.sends(b"hello")
        client.ends()
        play.answer("200 OK")
    play.over(status=status, rule=rule)


def test_without_addresses_there_is_an_error() -> None:
    play = Play(FORWARD + rules(INSIDE))
    play.ask(GET)
    play.looked_up.errback(DNSLookupError("no"))
    play.over(status=502, error="dns_error")


def test_who_leaves_meanwhile_looks_nothing_up() -> None:
    play = Play(FORWARD + rules(INSIDE))
    client = play.ask(GET)
    client.goes()
    play.did("look up a.test", "cancel a.test")
    play.over(error="client_lost")


def test_who_asks_is_known_to_rules() -> None:
    staff = 'name = "staff"\naction = "allow"\nwhen = { user = "ann", group = "night" }'
    play = Play(FORWARD + rules(staff, default="deny"))
    for who, status in {
        Identity("ann", frozenset({"night", "day"})): 200,
        Identity("ann", frozenset({"day"})): 403,
        Identity("bob", frozenset({"night"})): 403,
        Identity(): 403,
    }.items():
        play.road.identify = lambda exchange, who=who: who  # type: ignore[misc]
        play.ask(GET)
        if status == 200:
            play.connect()
            play.answer("200 OK")
        play.over(status=status)


# -- limits, and asking an operator ---------------------------------------------------------------

TWO = 'name = "two"\naction = "continue"\nrate = { limit = "1/s", burst = 2 }'
ONE_AT_ONCE = 'name = "one"\naction = "continue"\nconcurrency = { limit = 1 }'
BYTES = 'name = "bytes"\naction = "continue"\nquota = { bytes = 10, per = "day" }'
ASK = 'name = "new"\naction = "ask"\nask = { timeout = "30s" }'


def test_one_too_many_is_told_when_to_come_again() -> None:
    play = Play(FORWARD + rules(TWO))
    for _ in range(2):
        play.exchange(GET)
    play.ask(GET)
    play.over(status=429, rule="two", server=None, error="http_request_denied")
    assert play.field("Retry-After") == "1"
    play.after(1)
    play.exchange(GET)
    play.over(status=200)


@pytest.mark.parametrize("end", ["answered", "left", "failed"])
def test_so_many_at_once(end: str) -> None:
    play = Play(FORWARD + rules(ONE_AT_ONCE))
    first = play.ask(GET)
    assert play.ask("GET http://b.test/ HTTP/1.1").status == 429
    if end == "answered":
        play.connect()
        play.answer("200 OK")
    elif end == "left":
        first.goes()
    else:
        play.refuse()
    play.exchange("GET http://c.test/ HTTP/1.1")
    play.over(status=200)


def test_a_quota_of_bytes_counts_what_went() -> None:
    play = Play(FORWARD + rules(BYTES))
    for n in range(2):
        play.ask(f"GET http://a.test/{n} HTTP/1.1")
        if not n:
            play.connect()
        play.answer("200 OK", body=b"12345")
    play.ask(GET)
    play.over(status=429, rule="bytes")
    assert int(play.field("Retry-After") or 0) > 0


def test_a_quota_ends_what_takes_long() -> None:
    play = Play(FORWARD + rules(BYTES))
    play.ask(GET)
    play.connect()
    play.answer("200 OK", "Content-Length: 100", body=b"123456789")
    (exchange,) = play.road.exchanges
    exchange.spend()
    play.wire.says(b"0")
    exchange.spend()
    play.after(0.25)
    play.over(error="http_request_denied", rule="bytes")


def test_a_rewritten_request_counts_for_what_it_was() -> None:
    rule = """
name = "one"
action = "continue"
concurrency = { limit = 1, by = "host" }
rewrite = { url = "http://a.test/", to = "http://b.test/" }
"""
    play = Play(FORWARD + rules(rule))
    for _ in range(2):
        play.exchange(GET)
        play.over(status=200)


WORDS = {"once": 200, "hour": 200, "always": 200, "no": 403, "never": 403}


@pytest.mark.parametrize(("word", "status"), WORDS.items(), ids=WORDS)
def test_an_operator_answers(word: Any, status: int) -> None:
    play = Play(FORWARD + rules(ASK))
    client = play.ask(f"POST {URL} HTTP/1.1", "Content-Length: 5")
    play.did("pause")
    (asked,) = play.parked.inquiries()
    play.parked.answer(asked.number, word)
    play.after(0.25)
    if status == 200:
        play.connect()
        client.sends(b"hello")
        client.ends()
        play.answer("200 OK")
    play.over(status=status, rule="new")
    stands = word in ("hour", "always", "never")
    play.ask(GET)
    assert len(play.parked) == (not stands)


def test_nobody_answers_in_time() -> None:
    play = Play(FORWARD + rules(ASK))
    play.ask(GET)
    play.after(31)
    play.over(status=403, rule="new", server=None)
    assert b"operator" in play.body


def test_who_leaves_is_asked_no_more() -> None:
    play = Play(FORWARD + rules(ASK))
    play.ask(GET).goes()
    play.over(error="client_lost")
    assert len(play.parked) == 0


def test_another_policy_decides_about_those_who_wait() -> None:
    play = Play(FORWARD + rules(ASK))
    client = play.ask(GET)
    play.reload(FORWARD + rules('name = "yes"\naction = "allow"'))
    play.parked.reconsider()
    play.after(0.25)
    play.connect()
    play.answer("200 OK")
    assert client.status == 200
    play.over(rule="yes")


def test_a_tunnel_that_waits_dials_nobody() -> None:
    play = Play(FORWARD + rules(ASK))
    play.ask("CONNECT a.test:443 HTTP/1.1")
    play.did()
    (asked,) = play.parked.inquiries()
    play.parked.answer(asked.number, "once")
    play.after(0.25)
    play.did("dial a.test:443")


# -- bandwidth -------------------------------------------------------------------------------------

SLOW = """
[forward]
connect_ports = "any"
[[policy.rule]]
name = "slow"
when = { host = [".slow.test"] }
action = "continue"
bandwidth = { limit = "1MiB/s", by = "client" }
[[policy.rule]]
name = "slow videos"
when = { content_type = ["video/*"] }
action = "continue"
bandwidth = { limit = "1MiB/s", by = "client" }
"""
MIB = 1 << 20


def paced(play: Play, seconds: float) -> None:
    play.clock.pump([0.01] * round(seconds * 100))


@pytest.mark.parametrize(
    ("host", "fields"),
    [("a.slow.test", ()), ("b.test", ("Content-Type: video/mp4",))],
    ids=["by_host", "by_the_response"],
)
def test_an_answer_under_a_limit(host: str, fields: tuple[str, ...]) -> None:
    play = Play(SLOW)
    client = play.ask(f"GET http://{host}/ HTTP/1.1")
    play.connect()
    body = bytes(range(251)) * 8000
    play.answer("200 OK", "Cache-Control: no-store", *fields, body=body)
    assert len(client.got) < MIB // 4
    paced(play, 1)
    assert len(client.got) == pytest.approx(1.1 * MIB, rel=0.1)
    paced(play, 1)
    assert client.got == body
    assert client.ended == "whole"
    play.over(status=200)
    assert len(play.clock.getDelayedCalls()) == 1, "the sweep's alone"


def test_the_server_is_not_read_while_the_client_may_have_nothing() -> None:
    play = Play(SLOW)
    client = play.ask("GET http://a.slow.test/ HTTP/1.1")
    play.connect()
    play.answer("200 OK", f"Content-Length: {2 * MIB}", "Cache-Control: no-store")
    play.done.clear()
    play.wire.says(bytes(MIB // 2))
    assert [what for what in play.done if "paused" in what]
    client.stalls()
    client.reads()
    assert not [what for what in play.done if "resumed" in what], "the limit still holds"
    paced(play, 0.5)
    assert [what for what in play.done if "resumed" in what]
    play.wire.says(bytes(MIB // 2))
    client.goes()
    assert len(play.clock.getDelayedCalls()) == 1, "nobody waits for who has gone"
    play.over(error="client_lost")


def test_a_request_under_a_limit() -> None:
    play = Play(SLOW)
    client = play.ask("POST http://a.slow.test/ HTTP/1.1", f"Content-Length: {3 * MIB}")
    play.connect()
    sent, start = 0, play.clock.seconds()
    while sent < 3 * MIB or client.paused:
        if client.paused:
            play.clock.advance(0.01)
        else:
            client.sends(bytes(MIB // 16))
            sent += MIB // 16
    client.ends()
    assert play.clock.seconds() - start == pytest.approx(3, rel=0.1)
    play.answer("200 OK", body=b"thanks")
    play.over(status=200)


def test_a_tunnel_under_a_limit() -> None:
    play = Play(SLOW)
    client = play.ask("CONNECT a.slow.test:443 HTTP/1.1")
    server = play.connect()
    server.says(bytes(MIB // 2))
    assert server.producerState == "paused"
    assert client.wire is not None
    client.wire.says(b"the other way")
    paced(play, 0.6)
    assert server.producerState == "producing"
    server.closes()
    client.wire.closes()
    play.over(status=200)


def test_hits_under_a_limit_wait_for_each_other() -> None:
    play = Play(SLOW)
    body = bytes(200 << 10)
    play.exchange("GET http://a.slow.test/ HTTP/1.1", "Cache-Control: max-age=60", body=body)
    paced(play, 1)
    clients = [play.ask("GET http://a.slow.test/ HTTP/1.1") for _ in range(10)]
    paced(play, 1)
    assert sum(len(client.got) for client in clients) == pytest.approx(1.1 * MIB, rel=0.2)
    paced(play, 1.2)
    assert all(client.got == body for client in clients)
    play.over(status=200, cached="hit")


def test_without_a_limit_an_exchange_has_the_clients_own_stream() -> None:
    play = Play(SLOW)
    client = play.ask("GET http://other.test/ HTTP/1.1")
    (exchange,) = play.road.exchanges
    assert exchange.stream is client
    play.connect()
    play.answer("200 OK", body=b"hello")
    play.over(status=200)


def asked_of_an_operator(request: str, *fields: str, before: str = "") -> tuple[Play, Client]:
    """Somebody waits; before: rules before the one that asks."""
    rules = f'{before}[[policy.rule]]\nname = "ask"\naction = "ask"\n'
    play = Play(f"[forward]\n{rules}")
    return play, play.ask(request, *fields)


def grant(play: Play) -> None:
    (inquiry,) = play.parked.inquiries()
    play.parked.answer(inquiry.number, "once")
    play._turn()


def test_a_body_that_waited_for_an_operator_goes_on_with_the_server_there() -> None:
    """Read before, what is more than is kept would be lost."""
    play, client = asked_of_an_operator("POST http://a.test/ HTTP/1.1", "Content-Length: 5")
    play.did("pause")
    grant(play)
    play.did("dial a.test:80")
    play.connect()
    play.did("a.test:80#1 POST / HTTP/1.1", "resume")
    client.sends(b"12345")
    play.did("a.test:80#1 body 12345")


def test_the_content_of_a_query_is_read_once_an_operator_lets_it_pass() -> None:
    play, client = asked_of_an_operator("QUERY http://a.test/ HTTP/1.1", "Content-Length: 2")
    play.did("pause")
    grant(play)
    play.did("resume")
    client.sends(b"ab")
    client.ends()
    play.did("dial a.test:80")


def test_a_client_that_has_ended_waits_for_no_operator() -> None:
    play, client = asked_of_an_operator("CONNECT a.test:443 HTTP/1.1")
    client._side.client_ended()
    play.did("abort")
    assert list(play.parked.inquiries()) == []
    play.over(status=0)


def test_who_may_pass_by_an_operator_still_has_the_response_looked_at() -> None:
    play, _ = asked_of_an_operator(
        "GET http://a.test/ HTTP/1.1",
        before='[[policy.rule]]\nname = "no-programs"\naction = "deny"\n'
        'when = { content_type = "application/x-msdownload" }\n',
    )
    play.did()
    grant(play)
    play.connect()
    play.answer("200 OK", "Content-Type: application/x-msdownload", body=b"MZ")
    play.over(status=403, rule="no-programs")


def test_nothing_is_fetched_for_a_rule_about_the_response_that_would_spare_asking() -> None:
    play, _ = asked_of_an_operator(
        "GET http://a.test/ HTTP/1.1",
        before='[[policy.rule]]\nname = "text"\naction = "allow"\n'
        'when = { content_type = "text/plain" }\n',
    )
    play.did()
    assert len(play.parked) == 1


def test_a_rule_chooses_the_parent() -> None:
    rule = 'name = "out"\naction = "continue"\nparent = "out"\nwhen = { host = ".a.test" }'
    play = Play(CLOSED.replace('name = "out"', 'name = "out"\nhosts = ["x.test"]') + rules(rule))
    play.ask(GET)
    play.did("dial parent.test:8888")
    play.refuse()
    assert play.response.status == 502
    play.ask("GET http://b.test/ HTTP/1.1")
    assert play.done[-1] == "dial b.test:80"


def test_a_parent_that_may_fail_open_is_followed_by_the_direct_way() -> None:
    rule = 'name = "out"\naction = "continue"\nparent = "out"'
    play = Play(OPEN.replace('name = "out"', 'name = "out"\nhosts = ["x.test"]') + rules(rule))
    play.ask("CONNECT a.test:443 HTTP/1.1")
    play.refuse()
    play.did("dial parent.test:8888", "dial a.test:443")


def test_a_rule_chooses_the_pool() -> None:
    rule = 'name = "beta"\naction = "continue"\npool = "beta"\nwhen = { cookie = { beta = "1" } }'
    beta = '[pools.beta]\nservers = ["http://three.test"]\n'
    play = Play(ONE_SERVER + beta + rules(rule))
    for cookie, server in {"beta=1": "three.test", "beta=0": "one.test"}.items():
        play.ask("GET / HTTP/1.1", "Host: shop.test", f"Cookie: {cookie}")
        play.connect()
        play.did(f"dial {server}:80", f"{server}:80#1 GET / HTTP/1.1")
        play.answer("200 OK", FRESH, body=server.encode())
        play.did("200", f"body {server}", "end")
    for cookie, server in {"beta=1": "three.test", "beta=0": "one.test"}.items():
        play.ask("GET / HTTP/1.1", "Host: shop.test", f"Cookie: {cookie}")
        assert play.body == server.encode(), "each pool has objects of its own"
