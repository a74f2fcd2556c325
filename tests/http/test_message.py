"""message: a head is a value that tells no secrets."""

from __future__ import annotations

from twistproxy.http.fields import Fields
from twistproxy.http.message import IDEMPOTENT, SAFE, Request, Response


def test_what_is_safe_may_be_repeated():
    """RFC 9110 §9.2.2"""
    assert SAFE < IDEMPOTENT
    assert not {b"POST", b"PATCH", b"CONNECT"} & IDEMPOTENT
    assert not {b"PUT", b"DELETE"} & SAFE
    assert b"QUERY" in SAFE


def test_a_request():
    request = Request(b"GET", b"/", Fields())
    assert request.version == (1, 1)
    assert repr(request) == "<Request GET />"


def test_a_repr_shows_neither_fields_nor_query():
    fields = Fields([(b"Authorization", b"Basic c2VjcmV0")])
    assert repr(Request(b"GET", b"/a?token=c2VjcmV0", fields)) == "<Request GET /a?…>"
    assert repr(Response(200, fields)) == "<Response 200>"


def test_a_response():
    response = Response(200, Fields())
    assert (response.reason, response.version) == (b"", (1, 1))
