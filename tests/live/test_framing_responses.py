"""Responses that are malformed or can be read in two ways: each becomes an error or a clean copy.

The server sends exactly the bytes of a row, whole and byte by byte; the client's h11 reads what
comes out. What hides behind a response must never answer somebody's next request.
"""

from __future__ import annotations

import re
import time
from itertools import count

import pytest
from attrs import frozen
from clients import FEEDS, Client, Feed, byte_by_byte, whole
from conftest import Keep, Start
from origins import Scripted, Talk
from program import Program, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "all"
retries = 0

[pools.all]
servers = ["http://127.0.0.1:$origin"]

[limits]
head = "8KiB"
fields = 50
"""

SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
#: The connection ended within the body, or was reset, with which a head may get lost.
CUT = -1


@frozen
class Row:
    """What the server sends, and what the client may get: statuses, and the body with a 2xx.

    closes: whether the server closes its connection then.
    """

    wire: bytes
    statuses: frozenset[int]
    body: bytes | None = None
    method: str = "GET"
    closes: bool = True


def refused(wire: bytes, *statuses: int, method: str = "GET", closes: bool = True) -> Row:
    return Row(wire, frozenset(statuses or (502,)), None, method, closes)


def taken(wire: bytes, body: bytes = b"ok", method: str = "GET", closes: bool = False) -> Row:
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", wire)]
    final = next(status for status in statuses if status >= 200)
    return Row(wire, frozenset({final}), body, method, closes)


def either(row: Row, *statuses: int) -> Row:
    return Row(row.wire, row.statuses | set(statuses), row.body, row.method, row.closes)


def ok(*lines: bytes, body: bytes = b"ok", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""]) + body


TWO = b"Content-Length: 2"
TE = b"Transfer-Encoding: chunked"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"

STATUS_LINE = {
    "http_0_9": refused(b"<p>hello</p>"),
    "http_2": refused(ok(TWO, start=b"HTTP/2.0 200 OK")),
    "http_1_2": refused(ok(TWO, start=b"HTTP/1.2 200 OK")),
    "http_1_10": refused(ok(TWO, start=b"HTTP/1.10 200 OK")),
    "lower_case": refused(ok(TWO, start=b"http/1.1 200 OK")),
    "icy": refused(ok(TWO, start=b"ICY 200 OK")),
    "status_of_two_digits": refused(ok(TWO, start=b"HTTP/1.1 20 OK")),
    "status_of_four_digits": refused(ok(TWO, start=b"HTTP/1.1 2000 OK")),
    "status_of_letters": refused(ok(TWO, start=b"HTTP/1.1 2xx OK")),
    "status_000": refused(ok(TWO, start=b"HTTP/1.1 000 OK")),
    "status_099": refused(ok(TWO, start=b"HTTP/1.1 099 OK")),
    "status_negative": refused(ok(TWO, start=b"HTTP/1.1 -20 OK")),
    "no_status": refused(ok(TWO, start=b"HTTP/1.1")),
    "two_spaces": refused(ok(TWO, start=b"HTTP/1.1  200 OK")),
    "tab": refused(ok(TWO, start=b"HTTP/1.1\t200 OK")),
    "space_before": refused(ok(TWO, start=b" HTTP/1.1 200 OK")),
    "cr_in_reason": refused(ok(TWO, start=b"HTTP/1.1 200 O\rK")),
    "nul_in_reason": refused(ok(TWO, start=b"HTTP/1.1 200 O\0K")),
    "empty_reason": taken(ok(TWO, start=b"HTTP/1.1 200 ")),
    "no_reason": either(taken(ok(TWO, start=b"HTTP/1.1 200")), 502),
    "binary": refused(bytes(range(128, 256)) + b"\r\n\r\n"),
    "empty": refused(b""),
    "only_a_line_end": refused(b"\r\n"),
    "half_a_head": refused(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "never_a_head": refused(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
}
FIELDS = {
    "space_before_colon": refused(ok(b"X-A : b", TWO)),
    "space_before_colon_of_length": refused(ok(b"Content-Length : 2")),
    "obs_fold": either(taken(ok(b"X-A: b", b" c", TWO)), 502),
    "obs_fold_of_coding": refused(ok(b"Transfer-Encoding:", b" chunked", body=CHUNKS)),
    "fold_of_the_first_field": refused(
        b"HTTP/1.1 200 OK\r\n X-A: b\r\nContent-Length: 2\r\n\r\nok"
    ),
    "no_colon": refused(ok(b"X-A", TWO)),
    "no_name": refused(ok(b": b", TWO)),
    "bad_name": refused(ok(b"X(A): b", TWO)),
    "nul_in_value": refused(ok(b"X-A: b\0c", TWO)),
    "bare_cr_in_value": refused(ok(b"X-A: b\rX-B: c", TWO)),
    "bare_lf_in_value": refused(ok(b"X-A: b\nX-B: c", TWO)),
    "bare_lf_line_ends": refused(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    "control_in_value": refused(ok(b"X-A: b\x01", TWO)),
    "too_many_fields": refused(ok(*[b"X-%d: a" % i for i in range(60)], TWO)),
    "large_head": refused(ok(*[b"X-%d: %b" % (i, b"a" * 400) for i in range(40)], TWO)),
    "endless_field": refused(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000),
}
BODY = {
    "both_lengths": refused(ok(TWO, TE, body=CHUNKS)),
    "both_lengths_other_order": refused(ok(TE, TWO, body=CHUNKS)),
    "differing_lengths": refused(ok(TWO, b"Content-Length: 3", body=b"okk")),
    "differing_lengths_in_a_list": refused(ok(b"Content-Length: 2, 3", body=b"okk")),
    "same_length_twice": either(taken(ok(TWO, TWO)), 502),
    "same_length_in_a_list": either(taken(ok(b"Content-Length: 2, 2")), 502),
    "length_with_plus": refused(ok(b"Content-Length: +2")),
    "negative_length": refused(ok(b"Content-Length: -2")),
    "length_in_hex": refused(ok(b"Content-Length: 0x2")),
    "empty_length": refused(ok(b"Content-Length:")),
    "length_with_space": refused(ok(b"Content-Length: 1 2", body=b"k" * 12)),
    "length_beyond_64_bits": refused(ok(b"Content-Length: 18446744073709551618")),
    "unknown_coding": refused(ok(b"Transfer-Encoding: gzip")),
    "coding_before_chunked": refused(ok(b"Transfer-Encoding: gzip, chunked", body=CHUNKS)),
    "chunked_twice": refused(ok(b"Transfer-Encoding: chunked, chunked", body=CHUNKS)),
    "chunked_not_last": refused(ok(b"Transfer-Encoding: chunked, gzip", body=CHUNKS)),
    "identity": refused(ok(b"Transfer-Encoding: identity", TWO)),
    "chunked_in_1_0": refused(ok(TE, body=CHUNKS, start=b"HTTP/1.0 200 OK")),
    "cut_body": refused(ok(b"Content-Length: 9"), 502, CUT),
    "cut_chunk": refused(ok(TE, body=b"9\r\nok"), 502, CUT),
    "no_last_chunk": refused(ok(TE, body=b"2\r\nok\r\n"), 502, CUT),
    "cut_trailers": refused(ok(TE, body=b"2\r\nok\r\n0\r\nX-A"), 502, CUT),
    "chunk_size_not_hex": refused(ok(TE, body=b"g\r\nok\r\n0\r\n\r\n"), 502, CUT),
    "chunk_size_negative": refused(ok(TE, body=b"-2\r\nok\r\n0\r\n\r\n"), 502, CUT),
    "chunk_size_with_0x": refused(ok(TE, body=b"0x2\r\nok\r\n0\r\n\r\n"), 502, CUT),
    "chunk_size_beyond_64_bits": refused(
        ok(TE, body=b"1" + b"0" * 15 + b"2\r\nok\r\n0\r\n\r\n"), 502, CUT
    ),
    "chunk_data_too_long": refused(ok(TE, body=b"2\r\nokk\r\n0\r\n\r\n"), 502, CUT),
    "chunk_bare_lf": refused(ok(TE, body=b"2\nok\n0\n\n"), 502, CUT),
    "chunk_extension_endless": refused(
        ok(TE, body=b"2;" + b"a" * 100_000 + b"\r\nok\r\n0\r\n\r\n"), 502, CUT
    ),
    "trailers_too_large": refused(
        ok(TE, body=b"2\r\nok\r\n0\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n"), 502, CUT
    ),
    "trailers_of_framing": either(
        taken(ok(TE, body=b"2\r\nok\r\n0\r\nContent-Length: 3\r\n\r\n")), 502, CUT
    ),
    "chunk_extension": taken(ok(TE, body=b"2;a=b\r\nok\r\n0\r\n\r\n")),
    "close_delimited": taken(ok(), closes=True),
    "close_delimited_1_0": taken(ok(start=b"HTTP/1.0 200 OK"), closes=True),
    "sized_1_0": taken(ok(TWO, start=b"HTTP/1.0 200 OK")),
    "sized": taken(ok(TWO)),
    "chunked": taken(ok(TE, body=CHUNKS)),
}
NO_BODY = {
    "head_with_length": taken(ok(TWO, body=b""), b"", "HEAD"),
    "head_with_coding": taken(ok(TE, body=b""), b"", "HEAD"),
    "head_with_a_body": taken(
        ok(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), b"", "HEAD"
    ),
    "no_content": taken(ok(body=b"", start=b"HTTP/1.1 204 No Content"), b""),
    "no_content_with_a_body": either(
        taken(ok(TWO, body=SMUGGLED, start=b"HTTP/1.1 204 No Content"), b""), 502
    ),
    "no_content_with_coding": either(
        taken(ok(TE, body=CHUNKS, start=b"HTTP/1.1 204 No Content"), b""), 502
    ),
    "not_modified_with_length": either(
        taken(ok(b"Content-Length: 99", body=b"", start=b"HTTP/1.1 304 Not Modified"), b""), 502
    ),
    "reset_content_with_a_body": either(
        taken(ok(b"Content-Length: 0", body=b"", start=b"HTTP/1.1 205 Reset Content"), b""), 502
    ),
}
AROUND = {
    "more_than_the_length": taken(ok(TWO, body=b"ok" + SMUGGLED)),
    "more_than_the_chunks": taken(ok(TE, body=CHUNKS + SMUGGLED)),
    "interim": taken(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(TWO)),
    "interim_unknown": taken(b"HTTP/1.1 199 Whatever\r\n\r\n" + ok(TWO)),
    "interim_with_length": either(
        taken(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n" + ok(TWO)), 502
    ),
    "continue_unasked": taken(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(TWO)),
    "interim_and_nothing": refused(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "interim_endlessly": refused(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 500),
    "switching_unasked": refused(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + SMUGGLED
    ),
}
ROWS = {**STATUS_LINE, **FIELDS, **BODY, **NO_BODY, **AROUND}
FEED_OF = {"whole": whole, "byte_by_byte": byte_by_byte}


#: Paths whose rows were sent to their end.
PLAYED: set[str] = set()
_serial = count()


def script(talk: Talk) -> None:
    """Play the row that the path names, /FEED/ROW/SERIAL; /next gets a sound answer."""
    while True:
        path = talk.head().split(b" ")[1].decode()
        if path == "/next":
            talk.send(ok(b"Content-Length: 4", b"Cache-Control: no-store", body=b"next"))
            continue
        _, feed, name, _ = path.split("/")
        try:
            talk.send(ROWS[name].wire, FEED_OF[feed])
        finally:
            PLAYED.add(path)
        if ROWS[name].closes:
            return


@pytest.fixture(scope="module")
def origin(keep: Keep[Scripted]) -> Scripted:
    return keep(Scripted(script))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Scripted) -> Program:
    return start_shared(CONFIG, origin=origin.port)


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 30


@FEEDS
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_row(proxy: Program, origin: Scripted, side: str, name: str, feed: Feed) -> None:
    row = ROWS[name]
    authority = f"127.0.0.1:{origin.port}"
    prefix = f"http://{authority}" if side == "forward" else ""
    ask = "{} {}{} HTTP/1.1\r\nHost: {}\r\n\r\n".format

    def request(method: str, path: str) -> bytes:
        return ask(method, prefix, path, authority).encode()

    with Client(getattr(proxy, side)) as client:
        path = f"/{feed.__name__}/{name}/{next(_serial)}"
        reply = client.ask(request(row.method, path))
        status = reply.status if reply.complete else CUT
        assert status in row.statuses, reply
        if status == 502:
            assert reply.get("proxy-status" if side == "forward" else "content-type")
        elif row.body is not None:
            assert reply.body == row.body
        assert b"smuggled" not in reply.body
        # Only what comes before the next request is sent can be told from its response.
        until(lambda: path in PLAYED)
        time.sleep(0.02)
        if status == CUT or "close" in reply.get("connection").lower():
            assert client.rest() == b""
        else:
            again = client.ask(request("GET", "/next"))
            assert (again.status, again.body) == (200, b"next")
    for _ in range(2):
        with Client(getattr(proxy, side)) as client:
            again = client.ask(request("GET", "/next"))
            assert (again.status, again.body) == (200, b"next")
