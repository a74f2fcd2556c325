"""hops: what stays on a connection, and what a request collects on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import hops
from twistproxy.http.fields import Fields


def lines(*pairs: str) -> Fields:
    return Fields(
        (name.encode(), value.strip().encode())
        for name, _, value in (pair.partition(":") for pair in pairs)
    )


STAYS_ON_ITS_CONNECTION = {
    "connection": "Connection: close",
    "keep_alive": "Keep-Alive: timeout=5",
    "proxy_connection": "Proxy-Connection: keep-alive",
    "te": "TE: trailers",
    "transfer_encoding": "Transfer-Encoding: chunked",
    "upgrade": "Upgrade: websocket",
}


@pytest.mark.parametrize("line", STAYS_ON_ITS_CONNECTION.values(), ids=STAYS_ON_ITS_CONNECTION)
@pytest.mark.parametrize("forwarded", [hops.request_fields, hops.response_fields])
def test_fields_of_the_connection_are_not_forwarded(forwarded, line):
    assert forwarded(lines("A: 1", line, "B: 2"), False) == lines("A: 1", "B: 2")


def test_credentials_for_us_go_no_further():
    assert hops.request_fields(lines("Proxy-Authorization: Basic eDp5"), False) == lines()
    kept = lines("Authorization: Basic eDp5")
    assert hops.request_fields(kept, False) == kept


@pytest.mark.parametrize("name", ["Proxy-Authenticate", "Proxy-Authentication-Info"])
def test_challenges_of_another_proxy_go_no_further(name):
    assert hops.response_fields(lines(f"{name}: Basic"), False) == lines()


def test_more_can_be_dropped_at_once():
    fields = lines("Connection: x-hop", "X-Hop: 1", "Server: a", "Keep-Alive: 5", "B: 2")
    assert hops.response_fields(fields, False, frozenset({b"server"})) == lines("B: 2")
    assert hops.request_fields(fields, False, frozenset({b"b"})) == lines("Server: a")


def test_the_rest_keeps_order_case_and_repetition():
    fields = lines("b: 1", "A: 2", "Set-Cookie: x", "a: 3", "Set-Cookie: y", "Trailer: Digest")
    assert hops.response_fields(fields, False) == fields


def test_a_copy_is_made():
    fields = lines("Host: x")
    hops.request_fields(fields, False).add(b"X", b"1")
    assert fields == lines("Host: x")


NOMINATED = {
    "one": (["Connection: x-hop"], ["X-Hop: 1"], []),
    "with_close": (["Connection: close, X-Hop"], ["x-hop: 1", "Y: 2"], ["Y: 2"]),
    "two_lines": (["Connection: a", "Connection: b"], ["A: 1", "B: 2", "C: 3"], ["C: 3"]),
    "every_line_of_it": (["Connection: a"], ["A: 1", "B: 2", "a: 3"], ["B: 2"]),
    "h2c_settings": (["Connection: Upgrade, HTTP2-Settings"], ["HTTP2-Settings: AAMAAABk"], []),
    "absent": (["Connection: nothing"], ["A: 1"], ["A: 1"]),
    "empty": (["Connection:"], ["A: 1"], ["A: 1"]),
    "commas_only": (["Connection: , ,"], ["A: 1"], ["A: 1"]),
}


@pytest.mark.parametrize(("options", "given_", "kept"), NOMINATED.values(), ids=NOMINATED)
def test_nominated_fields_are_dropped(options, given_, kept):
    assert hops.request_fields(lines(*options, *given_), False) == lines(*kept)


@pytest.mark.parametrize("name", sorted(name.decode() for name in hops.END_TO_END))
@pytest.mark.parametrize("forwarded", [hops.request_fields, hops.response_fields])
def test_a_nomination_never_removes_what_is_for_everybody(forwarded, name):
    fields = lines(f"{name}: 1")
    assert forwarded(lines(f"Connection: close, {name.upper()}", f"{name}: 1"), False) == fields


UPGRADES = {
    "websocket": ("websocket", ["Connection: Upgrade", "Upgrade: websocket"]),
    "versioned": ("irc/6.9", ["Connection: Upgrade", "Upgrade: irc/6.9"]),
    "h2c_smuggling": ("h2c", []),
    "h2c_in_a_list": ("h2c, websocket", ["Connection: Upgrade", "Upgrade: websocket"]),
    "http_2": ("HTTP/2.0", []),
    "http_1_1": ("http/1.1", []),
    "empty": ("", []),
}


@pytest.mark.parametrize(("offered", "sent"), UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_is_offered_on_when_asked_for(offered, sent):
    fields = lines("Host: x", "Connection: keep-alive, Upgrade", f"Upgrade: {offered}")
    assert hops.request_fields(fields, True) == lines("Host: x", *sent)
    assert hops.request_fields(fields, False) == lines("Host: x")


def test_the_switch_is_told_to_the_client():
    fields = lines("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x")
    assert hops.response_fields(fields, True) == lines(
        "Sec-WebSocket-Accept: x", "Connection: Upgrade", "Upgrade: websocket"
    )


def test_no_upgrade_is_made_up():
    assert hops.request_fields(lines("Host: x"), True) == lines("Host: x")


TOKEN = st.text("abcxyz-", min_size=1, max_size=8)


@given(
    names=st.lists(TOKEN, max_size=8),
    options=st.lists(TOKEN | st.sampled_from(["host", "te", "close"]), max_size=4),
)
def test_exactly_the_nominated_and_the_connections_are_gone(names, options):
    fields = lines("Host: h", "TE: trailers", *(f"{name}: 1" for name in names))
    kept = lines("Host: h", *(f"{name}: 1" for name in names if name not in options))
    if options:
        fields.add(b"Connection", ", ".join(options).encode())
    assert hops.request_fields(fields, False) == kept


def test_via_is_appended_as_a_line_of_its_own():
    fields = lines("Via: 1.0 fred", "Host: x")
    fields.append(hops.via((1, 1), b"tp-1f"))
    assert fields == lines("Via: 1.0 fred", "Host: x", "Via: 1.1 tp-1f")


VIA = {
    "none": ([], False),
    "another": (["Via: 1.1 fred"], False),
    "us": (["Via: 1.1 us"], True),
    "any_case": (["VIA: 1.1 US"], True),
    "named_protocol": (["Via: HTTP/1.1 us"], True),
    "second": (["Via: 1.0 fred, 1.1 us"], True),
    "second_line": (["Via: 1.0 fred", "Via: 1.1 us"], True),
    "comment_after": (["Via: 1.1 us (Apache/1.1)"], True),
    "in_a_comment": (["Via: 1.1 fred (us)"], False),
    "longer_name": (["Via: 1.1 usher"], False),
    "as_protocol": (["Via: us fred"], False),
    "after_an_unclosed_comment": (["Via: 1.1 fred (", "Via: 1.1 us"], True),
    "after_an_open_quote": (['Via: 1.1 fred ("', "Via: 1.1 us"], True),
    "empty_elements": (["Via: ,,1.1\tus,"], True),
    "a_word_alone": (["Via: us"], False),
}


@pytest.mark.parametrize(("given_", "ours"), VIA.values(), ids=VIA)
def test_our_own_pseudonym_is_seen(given_, ours):
    assert hops.names_us(lines(*given_), b"us") is ours


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_what_others_wrote_never_hides_us(written):
    fields = Fields((b"Via", value) for value in written)
    fields.append(hops.via((1, 1), b"tp-1f"))
    assert hops.names_us(fields, b"tp-1f")


MAX_FORWARDS = {
    "absent": ([], None),
    "zero": (["Max-Forwards: 0"], 0),
    "some": (["Max-Forwards: 10"], 10),
    "leading_zeros": (["Max-Forwards: 0007"], 7),
    "negative": (["Max-Forwards: -1"], None),
    "signed": (["Max-Forwards: +1"], None),
    "empty": (["Max-Forwards:"], None),
    "twice": (["Max-Forwards: 1", "Max-Forwards: 1"], None),
    "words": (["Max-Forwards: ten"], None),
    "more_digits_than_int_takes": (["Max-Forwards: " + "9" * 5000], 10**9),
}


@pytest.mark.parametrize(("given_", "hops_left"), MAX_FORWARDS.values(), ids=MAX_FORWARDS)
def test_max_forwards(given_, hops_left):
    assert hops.max_forwards(lines(*given_)) == hops_left
