"""encode: what goes out says one thing only."""

from __future__ import annotations

import pytest

from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.wire.http1.encode import (
    chunk,
    has_body,
    last_chunk,
    request_head,
    response_lines,
)

FIELDS = Fields([(b"A", b"1"), (b"b", b"")])
LENGTH = Fields([(b"Content-Length", b"2"), (b"A", b"1")])


def test_a_request_is_sent_in_http_1_1():
    request = Request(b"GET", b"/a", FIELDS, (1, 0))
    assert request_head(request, chunked=False) == b"GET /a HTTP/1.1\r\nA: 1\r\nb: \r\n\r\n"
    assert request_head(request, chunked=True) == (
        b"GET /a HTTP/1.1\r\nA: 1\r\nb: \r\nTransfer-Encoding: chunked\r\n\r\n"
    )


STATUS_LINES = {
    "the_servers_reason": (Response(200, Fields(), b"Fine"), b"HTTP/1.1 200 Fine\r\n"),
    "the_usual_reason": (Response(404, Fields()), b"HTTP/1.1 404 Not Found\r\n"),
    "no_reason": (Response(299, Fields()), b"HTTP/1.1 299 \r\n"),  # RFC 9112 §4: a space stays
    "an_old_server": (Response(200, Fields(), b"OK", (1, 0)), b"HTTP/1.1 200 OK\r\n"),
}


@pytest.mark.parametrize(("response", "wire"), STATUS_LINES.values(), ids=STATUS_LINES)
def test_status_lines(response, wire):
    assert response_lines(response, b"GET") == wire


LENGTHS = {  # RFC 9110 §8.6: whether one may be said
    "get": (b"GET", 200, True),
    "head": (b"HEAD", 200, True),
    "not_modified": (b"GET", 304, True),
    "no_content": (b"GET", 204, False),
    "no_content_to_head": (b"HEAD", 204, False),
    "continue": (b"POST", 100, False),
    "switching": (b"GET", 101, False),
    "connected": (b"CONNECT", 200, False),
    "not_connected": (b"CONNECT", 403, True),
}


@pytest.mark.parametrize(("method", "status", "said"), LENGTHS.values(), ids=LENGTHS)
def test_a_length_is_not_said_where_nobody_expects_a_body(method, status, said):
    response = Response(status, LENGTH, b"-")
    length = b"Content-Length: 2\r\n" if said else b""
    assert response_lines(response, method) == b"HTTP/1.1 %d -\r\n%bA: 1\r\n" % (status, length)
    assert b"content-length" in response.fields  # it is the caller's


BODIES = {  # RFC 9112 §6.3
    "get": (b"GET", 200, True),
    "head": (b"HEAD", 200, False),
    "no_content": (b"GET", 204, False),
    "not_modified": (b"GET", 304, False),
    "reset_content": (b"GET", 205, True),
    "connect_refused": (b"CONNECT", 403, True),
}


@pytest.mark.parametrize(("method", "status", "has"), BODIES.values(), ids=BODIES)
def test_bodies(method, status, has):
    assert has_body(Response(status, Fields()), method) is has


def test_chunks():
    assert b"".join(chunk(b"a" * 26)) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert last_chunk(None) == last_chunk(Fields()) == b"0\r\n\r\n"
    assert last_chunk(FIELDS) == b"0\r\nA: 1\r\nb: \r\n\r\n"
