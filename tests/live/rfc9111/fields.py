"""Which fields are stored and sent again (RFC 9111 §3.1, RFC 9110 §7.6.1)."""

from __future__ import annotations

from rfc9111.table import MUST, MUST_NOT, Row, fetch, hit, says

KEPT = "Cache-Control: max-age=60"

#: Fields that a cache keeps, with a value.
KEPT_FIELDS = {
    "Test-Header": "a",
    "X-Test-Header": "a",
    "Content-Foo": "a",
    "X-Content-Foo": "a",
    "Content-Encoding": "x-none",
    "Content-Language": "sv",
    "Content-Location": "/there",
    "Content-MD5": "rL0Y20zC+Fzt72VPzMSk2A==",
    "Content-Security-Policy": "default-src 'self'",
    "Content-Type": "text/plain;charset=utf-8",
    "Content-Range": "as it came",
    "Clear-Site-Data": '"cache"',
    "ETag": '"a"',
    "Expires": "Fri, 01 Jan 2038 01:01:01 GMT",
    "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT",
    "Link": "</a>; rel=next",
    "Public-Key-Pins": "a",
    "Set-Cookie2": "a=b",
    "Strict-Transport-Security": "max-age=1",
    "WWW-Authenticate": "Basic realm=a",
    "X-Frame-Options": "deny",
    "X-XSS-Protection": "1; mode=block",
}

#: Fields of one connection, or of the proxy that was asked.
DROPPED_FIELDS = {
    "Keep-Alive": "timeout=5",
    "Proxy-Authenticate": "Basic realm=a",
    "Proxy-Authentication-Info": "a=b",
    "Proxy-Authorization": "a",
    "Proxy-Connection": "keep-alive",
    "TE": "trailers",
    "Upgrade": "a/1",
}

ROWS = [
    *(
        Row(
            f"keeps_{name.lower().replace('-', '_')}",
            "9111 §3.1",
            MUST,
            f"{name} is stored and sent again.",
            fetch(says(KEPT, f"{name}: {value}")),
            hit(shows={name: value}),
        )
        for name, value in KEPT_FIELDS.items()
    ),
    *(
        Row(
            f"drops_{name.lower().replace('-', '_')}",
            "9111 §3.1",
            MUST_NOT,
            f"{name} isn't stored.",
            fetch(says(KEPT, f"{name}: {value}")),
            hit(shows={name: None}),
        )
        for name, value in DROPPED_FIELDS.items()
    ),
    Row(
        "drops_transfer_encoding",
        "9111 §3.1",
        MUST_NOT,
        "Transfer-Encoding isn't stored.",
        fetch(says(KEPT, chunked=True)),
        hit(
            shows={"transfer-encoding": None, "content-length": "31"},
            body="drops_transfer_encoding: step 1",
        ),
    ),
    Row(
        "drops_what_connection_names",
        "9111 §3.1",
        MUST_NOT,
        "Fields that Connection names aren't stored, nor is Connection.",
        fetch(says(KEPT, "Connection: X-A, x-b", "X-A: 1", "X-B: 2", "X-C: 3")),
        hit(shows={"connection": "close", "x-a": None, "x-b": None, "x-c": "3"}),
    ),
    Row(
        "several_lines_stay_several",
        "9110 §5.3",
        MUST_NOT,
        "The order of a field's lines isn't changed.",
        fetch(says(KEPT, "X-A: 1", "X-B: 1", "X-A: 2")),
        hit(shows={"x-a": "1, 2"}),
    ),
    Row(
        "set_cookies_stay_apart",
        "9110 §5.3",
        MUST_NOT,
        "Lines of Set-Cookie aren't combined.",
        fetch(says("Cache-Control: public, max-age=60", "Set-Cookie: a=1", "Set-Cookie: b=2")),
        hit(shows={"set-cookie": "a=1, b=2"}),
    ),
    Row(
        "octets_beyond_ascii",
        "9110 §5.5",
        MUST,
        "Octets beyond ASCII come again as they were.",
        fetch(says(KEPT, "X-A: sm\xf6rg\xe5s")),
        hit(shows={"x-a": "sm\xf6rg\xe5s"}),
    ),
    Row(
        "an_empty_value",
        "9110 §5.5",
        MUST,
        "A field without a value comes again without one.",
        fetch(says(KEPT, "X-A:")),
        hit(shows={"x-a": ""}),
    ),
]
