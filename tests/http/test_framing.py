"""framing: one meaning, or none (RFC 9112 §6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import (
    CHUNKED,
    NOT_IN_TRAILERS,
    UNTIL_CLOSE,
    keeps_alive,
    request_framing,
    response_framing,
    wants_upgrade,
)
from twistproxy.http.message import Request, Response

TE = "Transfer-Encoding: chunked"
OLD = (1, 0)
NEW = (1, 1)


def lines(*pairs: str) -> Fields:
    return Fields(
        (name.encode(), value.strip(" ").encode("latin-1"))
        for name, _, value in (pair.partition(":") for pair in pairs)
    )


def request(*pairs: str, method: bytes = b"POST", version: tuple[int, int] = NEW) -> Request:
    return Request(method, b"/", lines(*pairs), version)


REQUESTS = {
    "nothing": (request(), 0),  # §6.3 rule 7
    "get": (request(method=b"GET"), 0),
    "length": (request("Content-Length: 5"), 5),
    "no_length_to_speak_of": (request("Content-Length: 0"), 0),
    "leading_zeros": (request("Content-Length: 005"), 5),
    "largest": (request("Content-Length: " + "9" * 18), 10**18 - 1),
    "too_large_to_be_true": (request("Content-Length: " + "9" * 19), 400),
    "length_of_get": (request("Content-Length: 5", method=b"GET"), 5),
    "chunked": (request(TE), CHUNKED),
    "chunked_get": (request(TE, method=b"GET"), CHUNKED),
    "case": (request("Transfer-Encoding: ChUnKeD"), CHUNKED),
    "both": (request(TE, "Content-Length: 5"), 400),  # rule 3
    "both_with_an_unknown_coding": (request("Transfer-Encoding: x", "Content-Length: 5"), 400),
    "two_lengths": (request("Content-Length: 5", "Content-Length: 6"), 400),  # rule 5
    "same_length_twice": (request("Content-Length: 5", "Content-Length: 5"), 400),
    "list_of_lengths": (request("Content-Length: 5, 5"), 400),
    "empty_length": (request("Content-Length:"), 400),
    "plus": (request("Content-Length: +5"), 400),
    "minus": (request("Content-Length: -5"), 400),
    "hex": (request("Content-Length: 0x5"), 400),
    "underscore": (request("Content-Length: 1_0"), 400),
    "space": (request("Content-Length: 1 0"), 400),
    "newline": (request("Content-Length: 5\n\x0b5"), 400),
    "other_digits": (request("Content-Length: \xb2"), 400),
    "chunked_twice": (request("Transfer-Encoding: chunked, chunked"), 400),
    "chunked_in_two_lines": (request(TE, TE), 400),
    "chunked_not_last": (request("Transfer-Encoding: chunked, gzip"), 400),  # rule 4
    "coding_before_chunked": (request("Transfer-Encoding: gzip, chunked"), 501),  # §6.1
    "unknown": (request("Transfer-Encoding: x"), 400),
    "identity": (request("Transfer-Encoding: identity"), 400),
    "empty_coding": (request("Transfer-Encoding:"), 400),
    "comma_before": (request("Transfer-Encoding: ,chunked"), 501),
    "vertical_tab": (request("Transfer-Encoding: \x0bchunked"), 400),
    "parameter": (request("Transfer-Encoding: chunked;a=b"), 400),
    "quoted": (request('Transfer-Encoding: "chunked"'), 400),
    "connect": (request(method=b"CONNECT"), 0),
    "connect_with_length": (request("Content-Length: 5", method=b"CONNECT"), 400),
    "connect_with_zero_length": (request("Content-Length: 0", method=b"CONNECT"), 400),
    "connect_with_chunks": (request(TE, method=b"CONNECT"), 400),
    "trace_with_length": (request("Content-Length: 5", method=b"TRACE"), 400),  # RFC 9110 §9.3.8
    "old_get": (request(method=b"GET", version=OLD), 0),
    "old_length": (request("Content-Length: 5", version=OLD), 5),
    "old_post_without_length": (request(version=OLD), 411),  # RFC 1945 §7.2.2
    "old_put_without_length": (request(method=b"PUT", version=OLD), 411),
    "old_chunked": (request(TE, version=OLD), 400),  # §6.1
    "old_both": (request(TE, "Content-Length: 5", version=OLD), 400),
}


@pytest.mark.parametrize(("message", "framing"), REQUESTS.values(), ids=REQUESTS)
def test_request(message, framing):
    found = request_framing(message)
    assert (found.status if isinstance(found, Problem) else found) == framing


def response(*pairs: str, status: int = 200, version: tuple[int, int] = NEW) -> Response:
    return Response(status, lines(*pairs), b"", version)


GET, HEAD, CONNECT = b"GET", b"HEAD", b"CONNECT"
RESPONSES = {
    "nothing": (response(), GET, UNTIL_CLOSE),  # §6.3 rule 8
    "length": (response("Content-Length: 5"), GET, 5),
    "zero": (response("Content-Length: 0"), GET, 0),
    "chunked": (response(TE), GET, CHUNKED),
    "case": (response("Transfer-Encoding: CHUNKED"), GET, CHUNKED),
    "head": (response("Content-Length: 5"), HEAD, 0),  # rule 1
    "head_chunked": (response(TE), HEAD, 0),
    "head_without_length": (response(), HEAD, 0),
    "no_content": (response(status=204), GET, 0),
    "no_content_with_length": (response("Content-Length: 5", status=204), GET, 0),
    "not_modified_with_length": (response("Content-Length: 5", status=304), GET, 0),
    "not_modified_chunked": (response(TE, status=304), GET, 0),
    "connected": (response("Content-Length: 5"), CONNECT, 0),  # rule 2
    "connect_refused": (response("Content-Length: 5", status=403), CONNECT, 5),
    "both": (response(TE, "Content-Length: 5"), GET, 502),
    "both_to_head": (response(TE, "Content-Length: 5"), HEAD, 502),
    "two_lengths": (response("Content-Length: 5", "Content-Length: 6"), GET, 502),
    "same_length_twice": (response("Content-Length: 5", "Content-Length: 5"), GET, 502),
    "bad_length": (response("Content-Length: x"), GET, 502),
    "bad_length_to_head": (response("Content-Length: x"), HEAD, 502),
    "huge_length": (response("Content-Length: " + "9" * 19), GET, 502),
    "gzip": (response("Transfer-Encoding: gzip"), GET, 502),
    "gzip_chunked": (response("Transfer-Encoding: gzip, chunked"), GET, 502),
    "gzip_to_head": (response("Transfer-Encoding: gzip"), HEAD, 502),
    "identity": (response("Transfer-Encoding: identity", "Content-Length: 5"), GET, 502),
    "old": (response(version=OLD), GET, UNTIL_CLOSE),
    "old_length": (response("Content-Length: 5", version=OLD), GET, 5),
    "old_chunked": (response(TE, version=OLD), GET, 502),
}


@pytest.mark.parametrize(("message", "method", "framing"), RESPONSES.values(), ids=RESPONSES)
def test_response(message, method, framing):
    found = response_framing(message, method)
    assert (found.status if isinstance(found, Problem) else found) == framing


CODINGS = st.lists(
    st.sampled_from(["chunked", "Chunked", "gzip", "x", "", ",", "identity", "\tchunked"])
).map(", ".join)
LENGTHS = st.sampled_from([None, "0", "5", "05", "5,5", "-1", "", "9" * 20])


@given(
    st.none() | CODINGS, LENGTHS, st.sampled_from([OLD, NEW]), st.sampled_from([b"GET", b"POST"])
)
def test_a_body_in_chunks_or_of_a_length_has_one_meaning(coding, length, version, method):
    """Whatever is let through, a recipient of any school reads as we do."""
    pairs = [] if coding is None else [f"Transfer-Encoding: {coding}"]
    pairs += [] if length is None else [f"Content-Length: {length}"]
    found = request_framing(request(*pairs, method=method, version=version))
    if found == CHUNKED:
        assert coding is not None
        assert coding.strip().lower() == "chunked"
        assert (version, length) == (NEW, None)
    elif not isinstance(found, Problem):
        assert coding is None
        assert found == int(length or 0)


KEEPS_ALIVE = {
    "new": (NEW, [], True),
    "new_close": (NEW, ["Connection: close"], False),
    "new_close_in_a_list": (NEW, ["Connection: x, Close"], False),
    "new_close_in_a_line": (NEW, ["Connection: x", "Connection: CLOSE"], False),
    "new_keep_alive": (NEW, ["Connection: keep-alive"], True),
    "new_both": (NEW, ["Connection: keep-alive, close"], False),
    "new_other": (NEW, ["Connection: closed"], True),
    "old": (OLD, [], False),
    "old_keep_alive": (OLD, ["Connection: Keep-Alive"], True),
    "old_both": (OLD, ["Connection: keep-alive, close"], False),
    "old_proxy_connection": (OLD, ["Proxy-Connection: keep-alive"], False),  # §C.2.2
}


@pytest.mark.parametrize(("version", "pairs", "kept"), KEEPS_ALIVE.values(), ids=KEEPS_ALIVE)
def test_keeps_alive(version, pairs, kept):
    assert keeps_alive(version, lines(*pairs)) is kept


ASKED = "Connection: Upgrade"
WEBSOCKET = "Upgrade: websocket"
UPGRADES = {
    "websocket": (request(ASKED, WEBSOCKET, method=GET), True),
    "in_lists": (request("Connection: keep-alive, UPGRADE", "Upgrade: a/1, b"), True),
    "not_in_connection": (request(WEBSOCKET), False),
    "nothing_named": (request(ASKED), False),
    "empty": (request(ASKED, "Upgrade:"), False),
    "old": (request(ASKED, WEBSOCKET, version=OLD), False),  # RFC 9110 §7.8
    "with_length": (request(ASKED, WEBSOCKET, "Content-Length: 5"), False),
    "with_zero_length": (request(ASKED, WEBSOCKET, "Content-Length: 0"), False),
    "with_chunks": (request(ASKED, WEBSOCKET, TE), False),
    "h2c": (request(ASKED, "Upgrade: h2c"), False),
    "h2c_among_others": (request(ASKED, "Upgrade: websocket, H2C"), False),
    "h2": (request(ASKED, "Upgrade: h2"), False),
    "http": (request(ASKED, "Upgrade: HTTP/2.0"), False),
}


@pytest.mark.parametrize(("message", "wanted"), UPGRADES.values(), ids=UPGRADES)
def test_upgrades(message, wanted):
    assert wants_upgrade(message) is wanted


def test_nothing_that_frames_or_routes_comes_in_trailers():
    """RFC 9110 §6.5.1"""
    assert {
        b"content-length", b"transfer-encoding", b"host", b"trailer", b"content-type",
        b"authorization", b"set-cookie", b"connection", b"cache-control", b"forwarded",
    } <= NOT_IN_TRAILERS  # fmt: skip
    assert {name.lower() for name in NOT_IN_TRAILERS} == NOT_IN_TRAILERS
