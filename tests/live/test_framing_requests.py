"""Requests that are malformed or can be read in two ways: each gets its status, none gets through.

The origin records every byte and reads it with h11, which takes nothing ambiguous: what it
understood must be what was meant, and never the request that hides in another one's body.
"""

from __future__ import annotations

import pytest
from attrs import frozen
from clients import FEEDS, Client, Feed
from conftest import Keep, Start
from origins import Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "all"

[pools.all]
servers = ["http://127.0.0.1:$origin"]

[limits]
head = "8KiB"
uri = "2KiB"
fields = 50
body = "1MiB"
"""

#: Hidden where a lenient reader would find a second request.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + SMUGGLED


@frozen
class Row:
    """A request of the reverse side, and what may be answered. 0: closed without an answer.

    forwarded: what the origin may understand of it, if anything: method, target, body.
    """

    wire: bytes
    statuses: frozenset[int]
    forwarded: tuple[str, str, bytes] | None = None


def refused(wire: bytes, *statuses: int) -> Row:
    return Row(wire, frozenset(statuses or (400,)))


def taken(wire: bytes, method: str = "GET", body: bytes = b"", target: str = "/") -> Row:
    return Row(wire, frozenset({200}), (method, target, body))


def either(row: Row, *statuses: int) -> Row:
    """Taken in that one meaning, or refused."""
    return Row(row.wire, row.statuses | set(statuses), row.forwarded)


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.example") -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    start = b"POST / HTTP/" + version
    return b"\r\n".join([start, b"Host: a.example", *lines, b"", b""]) + body


TE = b"Transfer-Encoding: chunked"

REQUEST_LINE = {
    "http_0_9": refused(b"GET /\r\n\r\n"),
    "http_0_9_version": refused(get(start=b"GET / HTTP/0.9"), 400, 505),
    "http_1_2": refused(get(start=b"GET / HTTP/1.2"), 505),
    "http_2_0": refused(get(start=b"GET / HTTP/2.0"), 505),
    "http_2_preface": refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
    "http_10_1": refused(get(start=b"GET / HTTP/10.1")),
    "http_1_10": refused(get(start=b"GET / HTTP/1.10")),
    "http_1_dot": refused(get(start=b"GET / HTTP/1.")),
    "lower_case_version": refused(get(start=b"GET / http/1.1")),
    "version_of_another": refused(get(start=b"GET / ICE/1.0")),
    "rtsp": refused(get(start=b"GET / RTSP/1.0")),
    "two_spaces_after_method": refused(get(start=b"GET  / HTTP/1.1")),
    "two_spaces_before_version": refused(get(start=b"GET /  HTTP/1.1")),
    "tab_for_space": refused(get(start=b"GET\t/ HTTP/1.1")),
    "tab_before_version": refused(get(start=b"GET /\tHTTP/1.1")),
    "space_before_method": refused(get(start=b" GET / HTTP/1.1")),
    "space_after_version": refused(get(start=b"GET / HTTP/1.1 ")),
    "space_in_target": refused(get(start=b"GET /a b HTTP/1.1")),
    "no_target": refused(get(start=b"GET HTTP/1.1")),
    "no_slash": refused(get(start=b"GET index HTTP/1.1")),
    "fragment": refused(get(start=b"GET /a#b HTTP/1.1")),
    "control_in_target": refused(get(start=b"GET /a\x01b HTTP/1.1")),
    "nul_in_target": refused(get(start=b"GET /a\0b HTTP/1.1")),
    "delete_in_target": refused(get(start=b"GET /a\x7fb HTTP/1.1")),
    "high_byte_in_target": either(taken(get(start=b"GET /a\xffb HTTP/1.1"), target="/a%FFb"), 400),
    "cr_in_request_line": refused(get(start=b"GET /\r HTTP/1.1")),
    "bare_lf_after_request_line": refused(b"GET / HTTP/1.1\nHost: a.example\r\n\r\n"),
    "bad_method": refused(get(start=b"G@T / HTTP/1.1")),
    "method_with_colon": refused(get(start=b"GET: / HTTP/1.1")),
    "empty_method": refused(b" / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    "lower_case_method": either(taken(get(start=b"get / HTTP/1.1"), "get"), 400, 501),
    "tls_hello": refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, 400, 0),
    "binary": refused(bytes(range(128, 256)) + b"\r\n\r\n", 400, 0),
    "asterisk_for_get": refused(get(start=b"GET * HTTP/1.1")),
    "authority_for_get": refused(get(start=b"GET a.example:80 HTTP/1.1")),
    "scheme_of_another": refused(get(start=b"GET ftp://a.example/ HTTP/1.1"), 400, 404, 421, 501),
    "long_target": refused(get(start=b"GET /" + b"a" * 3000 + b" HTTP/1.1"), 414),
    "one_empty_line_before": either(taken(b"\r\n" + get()), 400),
}
HOST = {
    "no_host": refused(get(host=b"")),
    "two_hosts": refused(get(b"Host: a.example")),
    "two_different_hosts": refused(get(b"Host: b.example")),
    "host_list": refused(get(host=b"Host: a.example, b.example")),
    "empty_host": refused(get(host=b"Host:")),
    "space_in_host": refused(get(host=b"Host: a example")),
    "tab_in_host": refused(get(host=b"Host: a\texample")),
    "slash_in_host": refused(get(host=b"Host: a.example/b")),
    "user_in_host": refused(get(host=b"Host: user@a.example")),
    "query_in_host": refused(get(host=b"Host: a.example?b")),
    "backslash_in_host": refused(get(host=b"Host: a\\b")),
    "bad_port": refused(get(host=b"Host: a.example:http")),
    "port_too_large": refused(get(host=b"Host: a.example:65536")),
    "negative_port": refused(get(host=b"Host: a.example:-1")),
    "two_ports": refused(get(host=b"Host: a.example:80:80")),
    "open_bracket": refused(get(host=b"Host: [::1")),
    "not_an_address": refused(get(host=b"Host: [::x]")),
    "address_without_brackets": refused(get(host=b"Host: ::1")),
    "two_hosts_in_1_0": refused(get(b"Host: a.example", start=b"GET / HTTP/1.0")),
}
FIELDS = {
    "space_before_colon": refused(get(b"X-A : b")),
    "tab_before_colon": refused(get(b"X-A\t: b")),
    "space_before_colon_of_length": refused(
        post(b"Content-Length : %d" % len(SMUGGLED), body=SMUGGLED)
    ),
    "obs_fold": refused(get(b"X-A: b", b" c")),
    "obs_fold_with_tab": refused(get(b"X-A: b", b"\tc")),
    "obs_fold_of_coding": refused(post(b"Transfer-Encoding:", b" chunked", body=CHUNKED)),
    "fold_of_the_first_field": refused(b"GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"),
    "no_colon": refused(get(b"X-A")),
    "no_name": refused(get(b": b")),
    "bad_name": refused(get(b"X(A): b")),
    "high_byte_in_name": refused(get(b"X-\xc3\xa4: b")),
    "nul_in_name": refused(get(b"X\0A: b")),
    "nul_in_value": refused(get(b"X-A: b\0c")),
    "bare_cr_in_value": refused(get(b"X-A: b\rX-B: c")),
    "bare_lf_in_value": refused(get(b"X-A: b\nX-B: c")),
    "bare_lf_hides_a_coding": refused(get(b"X-A: b\nTransfer-Encoding: chunked")),
    "bare_lf_at_the_end": refused(b"GET / HTTP/1.1\r\nHost: a.example\n\n"),
    "control_in_value": refused(get(b"X-A: b\x01")),
    "delete_in_value": refused(get(b"X-A: b\x7f")),
    "cr_cr_lf": refused(b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n"),
    "too_many_fields": refused(get(*[b"X-%d: a" % i for i in range(60)]), 431),
    "large_field": refused(get(b"X-A: " + b"a" * 9000), 431),
    "large_field_name": refused(get(b"X" * 9000 + b": a"), 431),
    "large_head": refused(get(*[b"X-%d: %b" % (i, b"a" * 400) for i in range(40)]), 431),
    "unknown_expectation": refused(post(b"Expect: 200-ok", b"Content-Length: 0"), 417),
}
BODY = {
    "both_lengths": refused(post(b"Content-Length: 6", TE, body=CHUNKED)),
    "both_lengths_other_order": refused(post(TE, b"Content-Length: 6", body=CHUNKED)),
    "both_lengths_get": refused(get(b"Content-Length: 6", TE) + CHUNKED),
    "differing_lengths": refused(
        post(b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED)
    ),
    "differing_lengths_in_a_list": refused(post(b"Content-Length: 0, 44", body=SMUGGLED)),
    "same_length_twice": either(
        taken(post(b"Content-Length: 2", b"Content-Length: 2", body=b"ab"), "POST", b"ab"), 400
    ),
    "same_length_in_a_list": either(
        taken(post(b"Content-Length: 2, 2", body=b"ab"), "POST", b"ab"), 400
    ),
    "length_with_plus": refused(post(b"Content-Length: +2", body=b"ab")),
    "negative_length": refused(post(b"Content-Length: -2", body=b"ab")),
    "length_in_hex": refused(post(b"Content-Length: 0x2", body=b"ab")),
    "length_with_space": refused(post(b"Content-Length: 1 2", body=b"a" * 12)),
    "length_with_comma": refused(post(b"Content-Length: 2,", body=b"ab")),
    "length_with_underscore": refused(post(b"Content-Length: 1_0", body=b"a" * 10)),
    "length_with_fraction": refused(post(b"Content-Length: 2.0", body=b"ab")),
    "empty_length": refused(post(b"Content-Length:", body=SMUGGLED)),
    "huge_length": refused(post(b"Content-Length: " + b"9" * 40), 400, 413),
    "length_beyond_64_bits": refused(post(b"Content-Length: 18446744073709551618"), 400, 413),
    "fullwidth_length": refused(post("Content-Length: \uff12".encode(), body=b"ab")),
    "length_over_the_limit": refused(post(b"Content-Length: 1048577"), 413),
    "chunked_in_1_0": refused(post(TE, body=CHUNKED, version=b"1.0"), 400, 501),
    "chunked_in_1_0_and_length": refused(
        post(TE, b"Content-Length: 6", body=CHUNKED, version=b"1.0"), 400, 501
    ),
    "unknown_coding": refused(post(b"Transfer-Encoding: gzip", body=CHUNKED), 400, 501),
    "coding_before_chunked": refused(
        post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED), 400, 501
    ),
    "x_chunked": refused(post(b"Transfer-Encoding: x, chunked", body=CHUNKED), 400, 501),
    "chunked_twice": refused(post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED), 400, 501),
    "chunked_in_two_lines": refused(post(TE, TE, body=CHUNKED), 400, 501),
    "chunked_then_identity": refused(
        post(TE, b"Transfer-Encoding: identity", body=CHUNKED), 400, 501
    ),
    "chunked_not_last": refused(post(b"Transfer-Encoding: chunked, gzip", body=CHUNKED), 400, 501),
    "identity": refused(post(b"Transfer-Encoding: identity", body=SMUGGLED), 400, 501),
    "empty_coding": refused(post(b"Transfer-Encoding:", body=CHUNKED), 400, 501),
    "quoted_coding": refused(post(b'Transfer-Encoding: "chunked"', body=CHUNKED), 400, 501),
    "coding_with_parameter": refused(
        post(b"Transfer-Encoding: chunked;a=b", body=CHUNKED), 400, 501
    ),
    "coding_with_vertical_tab": refused(
        post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED), 400, 501
    ),
    "coding_run_on": refused(post(b"Transfer-Encoding: xchunked", body=CHUNKED), 400, 501),
    "coding_with_comma": refused(post(b"Transfer-Encoding: ,chunked", body=CHUNKED), 400, 501),
    "upper_case_chunked": either(
        taken(post(b"Transfer-Encoding: CHUNKED", body=b"2\r\nab\r\n0\r\n\r\n"), "POST", b"ab"),
        400,
        501,
    ),
    "chunk_size_not_hex": refused(post(TE, body=b"g\r\n" + SMUGGLED)),
    "chunk_size_with_0x": refused(post(TE, body=b"0x2\r\nab\r\n0\r\n\r\n")),
    "chunk_size_negative": refused(post(TE, body=b"-2\r\nab\r\n0\r\n\r\n")),
    "chunk_size_plus": refused(post(TE, body=b"+2\r\nab\r\n0\r\n\r\n")),
    "chunk_size_empty": refused(post(TE, body=b"\r\nab\r\n0\r\n\r\n")),
    "chunk_size_space_before": refused(post(TE, body=b" 2\r\nab\r\n0\r\n\r\n")),
    "chunk_size_space_after": refused(post(TE, body=b"2 \r\nab\r\n0\r\n\r\n")),
    "chunk_size_beyond_64_bits": refused(
        post(TE, body=b"1" + b"0" * 15 + b"2\r\nab\r\n0\r\n\r\n"), 400, 413
    ),
    "chunk_size_bare_lf": refused(post(TE, body=b"2\nab\r\n0\r\n\r\n")),
    "chunk_size_bare_cr": refused(post(TE, body=b"2\rab\r\n0\r\n\r\n")),
    "chunk_data_too_long": refused(post(TE, body=b"2\r\nabc\r\n0\r\n\r\n")),
    "chunk_data_without_crlf": refused(post(TE, body=b"2\r\nab0\r\n\r\n")),
    "chunk_data_bare_lf": refused(post(TE, body=b"2\r\nab\n0\r\n\r\n")),
    "last_chunk_bare_lf": refused(post(TE, body=b"2\r\nab\r\n0\n\n")),
    "chunk_extension_with_lf": refused(post(TE, body=b"2;a\nb\r\nab\r\n0\r\n\r\n")),
    "chunk_extension": either(
        taken(post(TE, body=b'2;a="b"\r\nab\r\n0\r\n\r\n'), "POST", b"ab"), 400
    ),
    "chunk_extension_endless": refused(
        post(TE, body=b"2;" + b"a" * 20000 + b"\r\nab\r\n0\r\n\r\n"), 400, 413, 431
    ),
    "chunk_size_of_zeros": refused(
        post(TE, body=b"0" * 20000 + b"2\r\nab\r\n0\r\n\r\n"), 400, 413, 431
    ),
    "chunked_over_the_limit": refused(
        post(TE, body=b"100001\r\n" + b"a" * 0x100001 + b"\r\n0\r\n\r\n"), 413
    ),
    "trailers_too_large": refused(
        post(TE, body=b"0\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n"), 400, 413, 431
    ),
    "too_many_trailers": refused(
        post(TE, body=b"0\r\n" + b"X-A: a\r\n" * 300 + b"\r\n"), 400, 413, 431
    ),
    "trailer_with_space_before_colon": refused(post(TE, body=b"0\r\nX-A : b\r\n\r\n")),
    "trailer_folded": refused(post(TE, body=b"0\r\nX-A: b\r\n c\r\n\r\n")),
    "length_in_trailers": either(
        taken(post(TE, body=b"2\r\nab\r\n0\r\nContent-Length: 44\r\n\r\n"), "POST", b"ab"), 400
    ),
    "coding_in_trailers": either(
        taken(post(TE, body=b"2\r\nab\r\n0\r\n" + TE + b"\r\n\r\n"), "POST", b"ab"), 400
    ),
    "host_in_trailers": either(
        taken(post(TE, body=b"2\r\nab\r\n0\r\nHost: b.example\r\n\r\n"), "POST", b"ab"), 400
    ),
    "length_of_get": taken(get(b"Content-Length: 2") + b"ab", body=b"ab"),
    "chunked_get": taken(get(TE) + b"2\r\nab\r\n0\r\n\r\n", body=b"ab"),
    "upgrade_with_body": taken(
        post(
            b"Connection: upgrade",
            b"Upgrade: websocket",
            b"Content-Length: %d" % len(SMUGGLED),
            body=SMUGGLED,
        ),
        "POST",
        SMUGGLED,
    ),
    "upgrade_to_h2c": either(
        taken(get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA")),
        400,
    ),
    "length_named_in_connection": either(
        taken(
            post(
                b"Connection: Content-Length",
                b"Content-Length: %d" % len(SMUGGLED),
                body=SMUGGLED,
            ),
            "POST",
            SMUGGLED,
        ),
        400,
    ),
    "coding_named_in_connection": either(
        taken(
            post(b"Connection: Transfer-Encoding", TE, body=b"2\r\nab\r\n0\r\n\r\n"), "POST", b"ab"
        ),
        400,
    ),
    "host_named_in_connection": either(taken(get(b"Connection: Host")), 400),
}
ROWS = {**REQUEST_LINE, **HOST, **FIELDS, **BODY}

#: The same of the forward side; {} is the origin.
FORWARD = {
    "origin_form": refused(b"GET / HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "asterisk_for_get": refused(b"GET * HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "no_host": refused(b"GET http://{}/ HTTP/1.1\r\n\r\n"),
    "two_hosts": refused(b"GET http://{}/ HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n\r\n"),
    "host_of_another": either(
        taken(b"GET http://{}/ HTTP/1.1\r\nHost: other.example\r\n\r\n"), 400, 421
    ),
    "url_without_host": refused(b"GET http:/// HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "url_without_slashes": refused(b"GET http:{}/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "url_with_user": refused(b"GET http://a@{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400, 403),
    "url_with_backslash": refused(b"GET http://{}\\/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "url_with_bad_port": refused(b"GET http://127.0.0.1:x/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "url_with_port_zero": refused(
        b"GET http://127.0.0.1:0/ HTTP/1.1\r\nHost: 127.0.0.1:0\r\n\r\n", 400, 403, 502
    ),
    "url_of_another_scheme": refused(
        b"GET gopher://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400, 403, 501
    ),
    "url_with_fragment": refused(b"GET http://{}/#a HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "url_with_bracket": refused(b"GET http://[::1/ HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    "connect_with_length": refused(
        b"CONNECT {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\r\nhello"
    ),
    "connect_with_coding": refused(
        b"CONNECT {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 501
    ),
    "connect_without_port": refused(
        b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, 403
    ),
    "connect_with_path": refused(b"CONNECT {}/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "connect_with_url": refused(b"CONNECT http://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "connect_to_port_zero": refused(
        b"CONNECT 127.0.0.1:0 HTTP/1.1\r\nHost: 127.0.0.1:0\r\n\r\n", 400, 403, 502
    ),
    "connect_beyond_ports": refused(b"CONNECT 127.0.0.1:99999 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "http_1_0_without_host": taken(b"GET http://{}/ HTTP/1.0\r\n\r\n"),
    "upper_case_scheme": taken(b"GET HTTP://{}/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "no_path": taken(b"GET http://{} HTTP/1.1\r\nHost: {}\r\n\r\n"),
    "both_lengths": refused(
        b"POST http://{}/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 6\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED
    ),
    "obs_fold": refused(b"GET http://{}/ HTTP/1.1\r\nHost: {}\r\nX-A: b\r\n c\r\n\r\n"),
}


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording())


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording) -> Program:
    return start_shared(CONFIG, origin=origin.port)


def play(port: int, origin: Recording, row: Row, wire: bytes, feed: Feed) -> None:
    before = len(origin.requests)
    with Client(port) as client:
        reply = client.ask(wire, feed)
        assert reply.status in row.statuses, reply
        if reply.status not in (200, 404, 421):
            # What can't be framed ends the connection: what follows has no known beginning.
            # An error of another kind may leave it open, but then nothing may come unasked.
            client.end_sending()
            assert client.rest() == b""
    understood = [(r.method, r.target, r.body) for r in origin.requests[before:]]
    assert understood in ([], [row.forwarded])
    if reply.status == 200:
        assert understood == [row.forwarded]
        assert reply.body.decode() == "{} {}".format(*understood[0][:2])


def next_is_served(port: int, target: str) -> None:
    with Client(port) as client:
        reply = client.ask(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert (reply.status, reply.body) == (200, b"GET /next")


def test_there_are_enough_rows() -> None:
    assert len(ROWS) + len(FORWARD) >= 80


@FEEDS
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_reverse(proxy: Program, origin: Recording, row: Row, feed: Feed) -> None:
    play(proxy.reverse, origin, row, row.wire, feed)
    next_is_served(proxy.reverse, "/next")


@FEEDS
@pytest.mark.parametrize("row", FORWARD.values(), ids=FORWARD)
def test_forward(proxy: Program, origin: Recording, row: Row, feed: Feed) -> None:
    authority = b"127.0.0.1:%d" % origin.port
    play(proxy.forward, origin, row, row.wire.replace(b"{}", authority), feed)
    with Client(proxy.forward) as client:
        head = b"GET http://%b/next HTTP/1.1\r\nHost: %b\r\n\r\n"
        reply = client.ask(head % (authority, authority))
    assert (reply.status, reply.body) == (200, b"GET /next")


FRAMING = ("both_lengths", "bare_lf_in_value", "two_hosts", "chunked_in_1_0", "http_1_2")


@pytest.mark.parametrize("name", FRAMING)
def test_what_follows_a_request_that_cannot_be_framed_is_not_read(
    proxy: Program, origin: Recording, name: str
) -> None:
    before = len(origin.requests)
    with Client(proxy.reverse) as client:
        reply = client.ask(ROWS[name].wire + SMUGGLED)
        assert reply.status in ROWS[name].statuses
        assert "close" in reply.get("connection").lower()
        assert client.rest() == b""
    assert len(origin.requests) == before


HALF = {
    "in_the_request_line": b"GET / HT",
    "in_the_head": b"GET / HTTP/1.1\r\nHost: a.exam",
    "in_a_sized_body": b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nabc",
    "in_a_chunk": b"POST / HTTP/1.1\r\nHost: a.example\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
    "before_the_last_chunk": b"POST / HTTP/1.1\r\nHost: a.example\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "in_the_trailers": b"POST / HTTP/1.1\r\nHost: a.example\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
}


@FEEDS
@pytest.mark.parametrize("wire", HALF.values(), ids=HALF)
def test_a_half_close_within_a_request(
    proxy: Program, origin: Recording, wire: bytes, feed: Feed
) -> None:
    before = len(origin.requests)
    with Client(proxy.reverse, timeout=5) as client:
        client.send(wire, feed)
        client.end_sending()
        assert client.reply().status in {400, 0}
        assert client.rest() == b""
    assert len(origin.requests) == before
    next_is_served(proxy.reverse, "/next")


@FEEDS
def test_a_half_close_after_a_request(proxy: Program, origin: Recording, feed: Feed) -> None:
    with Client(proxy.reverse, timeout=5) as client:
        client.send(get(), feed)
        client.end_sending()
        assert client.reply().body == b"GET /"
        assert client.rest() == b""


@FEEDS
def test_trailers_are_kept_apart(proxy: Program, origin: Recording, feed: Feed) -> None:
    body = b"2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"
    with Client(proxy.reverse) as client:
        assert client.ask(post(TE, b"Trailer: X-Sum", body=body), feed).status == 200
        assert client.ask(get(start=b"GET /next HTTP/1.1")).body == b"GET /next"
    received = origin.requests[-2]
    assert (received.method, received.body) == ("POST", b"ab")
    assert received.trailers in ([("x-sum", "1")], [])
    assert received.get("x-sum") == ""


@FEEDS
def test_pipelined_requests_are_answered_in_order(
    proxy: Program, origin: Recording, feed: Feed
) -> None:
    wire = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc" % i
        if i % 2
        else b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % i
        for i in range(12)
    )
    with Client(proxy.reverse) as client:
        client.send(wire, feed, stop_when_answered=False)
        for i in range(12):
            assert client.reply().body == b"%b /%d" % (b"POST" if i % 2 else b"GET", i)
