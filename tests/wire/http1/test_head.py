"""head: one meaning, or none; and the same one however the bytes come."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twistproxy.config.model import Limits
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.wire.http1 import head
from twistproxy.wire.http1.head import END, Unfinished

LIMITS = Limits(head=1024, fields=5, uri=100)


def whole(data: bytes, limits: Limits = LIMITS) -> Request | Problem | None:
    end = Unfinished().end(data)
    return None if end < 0 else head.request(data[: end + 4], limits)


def in_pieces(data: bytes, cuts: list[int], limits: Limits = LIMITS) -> Request | Problem | None:
    """As a leg reads it: what is unfinished is judged, too."""
    unfinished = Unfinished()
    for cut in [*sorted(cuts), len(data)]:
        end = unfinished.end(data[:cut])
        if end >= 0:
            return head.request(data[: end + 4], limits)
        if cut and (problem := unfinished.request(data[:cut], limits)) is not None:
            return problem
    return None


def byte_by_byte(data: bytes, limits: Limits = LIMITS) -> Request | Problem | None:
    return in_pieces(data, list(range(len(data))), limits)


FEEDS = pytest.mark.parametrize("feed", [whole, byte_by_byte])


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


REFUSED = {
    # The request line, RFC 9112 §3
    "http_0_9": (b"GET /\r\n\r\n", 400),
    "version_0_9": (get(start=b"GET / HTTP/0.9"), 505),
    "version_1_2": (get(start=b"GET / HTTP/1.2"), 505),
    "version_2_0": (get(start=b"GET / HTTP/2.0"), 505),
    "version_10_1": (get(start=b"GET / HTTP/10.1"), 400),
    "version_1_10": (get(start=b"GET / HTTP/1.10"), 400),
    "version_in_lower_case": (get(start=b"GET / http/1.1"), 400),
    "version_of_another": (get(start=b"GET / RTSP/1.0"), 400),
    "no_version": (get(start=b"GET / "), 400),
    "two_spaces": (get(start=b"GET  / HTTP/1.1"), 400),
    "two_spaces_before_version": (get(start=b"GET /  HTTP/1.1"), 400),
    "space_after_version": (get(start=b"GET / HTTP/1.1 "), 400),
    "space_before_method": (get(start=b" GET / HTTP/1.1"), 400),
    "tab": (get(start=b"GET\t/ HTTP/1.1"), 400),
    "vertical_tab": (get(start=b"GET /\x0bHTTP/1.1"), 400),
    "no_target": (get(start=b"GET HTTP/1.1"), 400),
    "space_in_target": (get(start=b"GET /a b HTTP/1.1"), 400),
    "nul_in_target": (get(start=b"GET /\0 HTTP/1.1"), 400),
    "delete_in_target": (get(start=b"GET /\x7f HTTP/1.1"), 400),
    "no_method": (get(start=b" / HTTP/1.1"), 400),
    "odd_method": (get(start=b"G@T / HTTP/1.1"), 400),
    "method_in_utf_8": (get(start=b"G\xc3\xa4T / HTTP/1.1"), 400),
    "long_method": (get(start=b"M" * 65 + b" / HTTP/1.1"), 400),
    "response": (get(start=b"HTTP/1.1 200 OK"), 400),
    "tls": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n", 400),
    "long_target": (get(start=b"GET /" + b"a" * 100 + b" HTTP/1.1"), 414),
    "very_long_target": (get(start=b"GET /" + b"a" * 5000 + b" HTTP/1.1"), 414),
    # Line ends, §2.2
    "lf": (b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400),
    "lf_after_first_line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "lf_at_the_end": (b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", 400),
    "lf_lf": (b"GET / HTTP/1.1\r\nHost: a\n\n\r\n\r\n", 400),
    "lf_in_value": (get(b"A: b\nB: c"), 400),
    "cr_in_value": (get(b"A: b\rB: c"), 400),
    "cr_cr_lf": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "cr_cr_lf_in_fields": (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    "cr_in_first_line": (get(start=b"GET /\r HTTP/1.1"), 400),
    # Fields, §5
    "space_before_colon": (get(b"A : b"), 400),  # §5.1
    "tab_before_colon": (get(b"A\t: b"), 400),
    "fold": (get(b"A: b", b" c"), 400),  # §5.2
    "fold_with_tab": (get(b"A: b", b"\tc"), 400),
    "fold_first": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "fold_of_nothing": (get(b"A:", b" b"), 400),
    "no_colon": (get(b"A"), 400),
    "no_name": (get(b": b"), 400),
    "odd_name": (get(b"A(b): c"), 400),
    "name_in_utf_8": (get(b"\xc3\xa4: b"), 400),
    "nul_in_name": (get(b"A\0: b"), 400),
    "nul_in_value": (get(b"A: \0"), 400),
    "control_in_value": (get(b"A: \x01"), 400),
    "delete_in_value": (get(b"A: \x7f"), 400),
    # Host, §3.2
    "no_host": (get(host=b""), 400),
    "two_hosts": (get(b"Host: a"), 400),
    "two_spellings_of_host": (get(b"hOST: b"), 400),
    "two_hosts_in_1_0": (get(b"Host: a", start=b"GET / HTTP/1.0"), 400),
    "list_of_hosts": (get(host=b"Host: a, b"), 400),
    "space_in_host": (get(host=b"Host: a b"), 400),
    "user_in_host": (get(host=b"Host: u@a"), 400),
    "path_in_host": (get(host=b"Host: a/b"), 400),
    "backslash_in_host": (get(host=b"Host: a\\b"), 400),
    "query_in_host": (get(host=b"Host: a?b"), 400),
    "port_of_letters": (get(host=b"Host: a:http"), 400),
    "two_ports": (get(host=b"Host: a:1:2"), 400),
    "open_bracket": (get(host=b"Host: [::1"), 400),
    "zone_in_host": (get(host=b"Host: [fe80::1%25eth0]"), 400),
    # Lengths that llhttp itself finds wrong
    "length_of_letters": (get(b"Content-Length: x"), 400),
    "empty_length": (get(b"Content-Length:"), 400),
    # Limits
    "too_many_fields": (get(*[b"A: b"] * 5), 431),
    "far_too_many_fields": (get(*[b"A: b"] * 50), 431),
    "long_value": (get(b"A: " + b"b" * 1024), 431),
    "long_name": (get(b"A" * 1024 + b": b"), 431),
    "one_byte_too_long": (get(b"A: " + b"b" * (1024 - len(get(b"A: ")) + 1)), 431),
}


@FEEDS
@pytest.mark.parametrize(("wire", "status"), REFUSED.values(), ids=REFUSED)
def test_refused(wire, status, feed):
    problem = feed(wire)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.name) == (status, "http_request_error")
    assert "{" not in problem.text


TAKEN = {
    "plain": (get(), b"GET", b"/", [(b"Host", b"a")]),
    "http_1_0": (get(start=b"GET / HTTP/1.0", host=b""), b"GET", b"/", []),
    "unknown_method": (
        get(start=b"M!#$%&'*+-.^_`|~9 / HTTP/1.1"), b"M!#$%&'*+-.^_`|~9", b"/", None,
    ),
    "lower_case_method": (get(start=b"get / HTTP/1.1"), b"get", b"/", None),
    "longest_method": (get(start=b"M" * 64 + b" / HTTP/1.1"), b"M" * 64, b"/", None),
    "longest_target": (get(start=b"GET " + b"a" * 100 + b" HTTP/1.1"), b"GET", b"a" * 100, None),
    "both_longest": (
        get(start=b"M" * 64 + b" " + b"a" * 100 + b" HTTP/1.1"), b"M" * 64, b"a" * 100, None,
    ),
    "any_target": (get(start=b"GET |\xff\\^ HTTP/1.1"), b"GET", b"|\xff\\^", None),
    "white_space": (
        get(b"A: \t b \t", b"B:c", b"C: \t"), b"GET", b"/",
        [(b"Host", b"a"), (b"A", b"b"), (b"B", b"c"), (b"C", b"")],
    ),
    "high_bytes": (get(b"A: \x80\xff"), b"GET", b"/", [(b"Host", b"a"), (b"A", b"\x80\xff")]),
    "case_and_repetition": (
        get(b"aA: 1", b"Aa: 2"), b"GET", b"/", [(b"Host", b"a"), (b"aA", b"1"), (b"Aa", b"2")],
    ),
    "colons": (get(b"A::b:"), b"GET", b"/", [(b"Host", b"a"), (b"A", b":b:")]),
    "most_fields": (get(*[b"A: b"] * 4), b"GET", b"/", None),
    "longest": (get(b"A: " + b"b" * (1024 - len(get(b"A: ")))), b"GET", b"/", None),
    "length_and_upgrade": (  # which llhttp must not act on
        get(b"Content-Length: 5", b"Connection: upgrade", b"Upgrade: x"), b"GET", b"/", None,
    ),
    "two_codings": (get(*[b"Transfer-Encoding: chunked"] * 2), b"GET", b"/", None),
    "closing": (get(b"Connection: close"), b"GET", b"/", None),
}  # fmt: skip


@FEEDS
@pytest.mark.parametrize(("wire", "method", "target", "fields"), TAKEN.values(), ids=TAKEN)
def test_taken(wire, method, target, fields, feed):
    request = feed(wire)
    assert isinstance(request, Request)
    assert (request.method, request.target) == (method, target)
    assert request.version == ((1, 0) if b"HTTP/1.0" in wire else (1, 1))
    assert fields is None or list(request.fields) == fields


@pytest.mark.parametrize("wire", [get(b"A: b"), *(wire for wire, _ in REFUSED.values())])
def test_wherever_it_is_split(wire):
    """Taken or refused, and if taken, as the same."""
    expected = whole(wire[:1500])
    for cut in range(1, min(len(wire), 150)):
        found = in_pieces(wire[:1500], [cut])
        assert type(found) is type(expected) or expected is None
        if isinstance(expected, Request):
            assert found.fields == expected.fields


HOSTS = [b"a", b"", b"a.b:80", b"a:", b"[::1]", b"[::1]:8080", b"x_y", b"%41", b"\xc3\xa4", b"*"]


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(host):
    """RFC 9110 §7.2: also those that nobody has; what they mean is decided elsewhere."""
    assert isinstance(whole(get(host=b"Host: " + host)), Request)


UNFINISHED = {
    "nothing_wrong": (get(b"A: b")[:-2], None),
    "half_a_line_end": (b"GET / HTTP/1.1\r", None),
    "half_a_method": (b"GE", None),
    "not_http": (b"\x16\x03\x01", 400),
    "a_json_object": (b'{"a": 1}', 400),
    "empty_line": (b"\r\nGET", 400),  # the leg takes away those that are allowed
    "bad_first_line": (b"GET /\r\nHost: a", 400),
    "long_method": (b"M" * 65, 400),
    "bare_lf": (b"GET / HTTP/1.1\n", 400),
    "bare_cr": (b"GET / HTTP/1.1\rH", 400),
    "long_target": (b"GET /" + b"a" * 400, 414),
    "endless_value": (get(b"A: " + b"b" * 1024)[:-4], 431),
    "too_many_fields": (get(*[b"A: b"] * 6)[:-4], 431),
}


@pytest.mark.parametrize(("wire", "status"), UNFINISHED.values(), ids=UNFINISHED)
def test_nobody_waits_for_the_rest_of_what_cannot_become_a_request(wire, status):
    for problem in (Unfinished().request(wire, LIMITS), byte_by_byte(wire)):
        assert (problem.status if problem else None) == status


SMALL = Limits(head=60, fields=2, uri=8)
# Bytes that matter, so that chance finds the seams.
SOUP = st.lists(
    st.sampled_from([
        b"GET", b" ", b"/", b"/aaaaaaaaa", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n",
        b"\r\n", b"\r\n", b"\n", b"\r", b"Host: a", b"Host:", b"A", b":", b"b", b"\t", b"\0",
        b"\xff", b"A: b", b"M" * 70,
    ]),
    max_size=14,
).map(b"".join)  # fmt: skip


@given(SOUP | st.binary(max_size=90), st.lists(st.integers(0, 90), max_size=6))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", [14, 15, 16])
def test_how_it_is_cut_decides_nothing(data, cuts):
    """What is refused early would be refused in the end, and what is taken is the same."""
    once = whole(data, SMALL)
    found = in_pieces(data, [min(cut, len(data)) for cut in cuts], SMALL)
    if isinstance(once, Request):
        assert isinstance(found, Request)
        assert (found.method, found.target, found.fields) == (once.method, once.target, once.fields)
    elif isinstance(once, Problem):
        assert isinstance(found, Problem)
    elif isinstance(found, Problem):
        # No end has come: whatever follows, it stays refused.
        for rest in (END, b"\n" + END, b"Host: a" + END):
            assert isinstance(whole(data + rest, SMALL), Problem)


LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


@given(
    st.lists(
        st.binary(max_size=8)
        | st.from_regex(LINE, fullmatch=True)
        | st.sampled_from([b" a", b"A :b", b"A: b\rB: c", b"A: b\nB: c", b"A:", b"A: \x0b", b"A"]),
        max_size=5,
    )
)
def test_llhttp_takes_field_lines_by_the_rfc_only(lines):
    """RFC 9110 §5.5, §5.1: names are tokens; no controls, no bare CR or LF, no folds."""
    wire = b"".join(line + b"\r\n" for line in lines)
    if b"\r\n\r\n" in wire or wire.startswith(b"\r\n"):
        return  # ends before
    found = head.section(wire + b"\r\n", Limits())
    special = {b"content-length", b"transfer-encoding"}
    if isinstance(found, Fields):
        assert all(LINE.fullmatch(line) for line in lines)
        assert list(found) == [
            (name, value.strip(b" \t"))
            for name, _, value in (line.partition(b":") for line in lines)
        ]
    elif not any(line.partition(b":")[0].lower() in special for line in lines):
        assert not all(LINE.fullmatch(line) for line in lines)


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_in_a_name_and_in_a_value(byte):
    token = bytes([byte]) in b"!#$%&'*+-.^_`|~0123456789" or bytes([byte]).isalpha()
    name = head.section(b"A%cb: c\r\n\r\n" % byte, LIMITS)
    assert isinstance(name, Fields) is (token or byte == ord(":"))
    value = head.section(b"A: b%cc\r\n\r\n" % byte, LIMITS)
    assert isinstance(value, Fields) is (byte == 9 or 32 <= byte != 127)


# -- responses ------------------------------------------------------------------------------------


def ok(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""])


RESPONSES_REFUSED = {
    "http_0_9": b"<p>hello</p>\r\n\r\n",
    "http_2": ok(start=b"HTTP/2.0 200 OK"),
    "http_1_2": ok(start=b"HTTP/1.2 200 OK"),
    "http_1_10": ok(start=b"HTTP/1.10 200 OK"),
    "lower_case": ok(start=b"http/1.1 200 OK"),
    "icy": ok(start=b"ICY 200 OK"),
    "two_digits": ok(start=b"HTTP/1.1 20 OK"),
    "four_digits": ok(start=b"HTTP/1.1 2000 OK"),
    "status_0": ok(start=b"HTTP/1.1 000 OK"),
    "status_600": ok(start=b"HTTP/1.1 600 OK"),  # RFC 9110 §15
    "two_spaces": ok(start=b"HTTP/1.1  200 OK"),
    "no_status": ok(start=b"HTTP/1.1 "),
    "nul_in_reason": ok(start=b"HTTP/1.1 200 O\0"),
    "space_before": ok(start=b" HTTP/1.1 200 OK"),
    "empty_line_before": b"\r\n" + ok(),
    "bare_lf": b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "fold": ok(b"A: b", b" c"),
    "space_before_colon": ok(b"A : b"),
    "control": ok(b"A: \x01"),
    "too_many_fields": ok(*[b"A: b"] * 6),
}


def response_in_pieces(data: bytes) -> Response | Problem | None:
    unfinished = Unfinished()
    for cut in range(1, len(data) + 1):
        end = unfinished.end(data[:cut])
        if end >= 0:
            return head.response(data[: end + 4], LIMITS)
        if (problem := unfinished.response(data[:cut], LIMITS)) is not None:
            return problem
    return None


@pytest.mark.parametrize("wire", RESPONSES_REFUSED.values(), ids=RESPONSES_REFUSED)
def test_refused_responses(wire):
    end = wire.index(END, 2) + 4
    for problem in (head.response(wire[:end], LIMITS), response_in_pieces(wire[:end])):
        assert isinstance(problem, Problem)
        assert problem.status == 502
        assert not problem.retry


RESPONSES_TAKEN = {
    "plain": (ok(b"A: b"), 200, b"OK", (1, 1)),
    "http_1_0": (ok(start=b"HTTP/1.0 404 Not Found"), 404, b"Not Found", (1, 0)),
    "empty_reason": (ok(start=b"HTTP/1.1 200 "), 200, b"", (1, 1)),
    "no_reason": (ok(start=b"HTTP/1.1 200"), 200, b"", (1, 1)),
    "reason_in_utf_8": (ok(start=b"HTTP/1.1 200 \xc3\xa4\tb"), 200, b"\xc3\xa4\tb", (1, 1)),
    "largest": (ok(start=b"HTTP/1.1 599 -"), 599, b"-", (1, 1)),
    "switching": (ok(b"Upgrade: x", start=b"HTTP/1.1 101 -"), 101, b"-", (1, 1)),
    "most_fields": (ok(*[b"A: b"] * 5), 200, b"OK", (1, 1)),
}


@pytest.mark.parametrize(
    ("wire", "status", "reason", "version"), RESPONSES_TAKEN.values(), ids=RESPONSES_TAKEN
)
def test_taken_responses(wire, status, reason, version):
    for response in (head.response(wire, LIMITS), response_in_pieces(wire)):
        assert isinstance(response, Response)
        assert (response.status, response.reason, response.version) == (status, reason, version)


@given(st.binary(max_size=60))
def test_nothing_a_server_sends_raises(data):
    Unfinished().response(data, LIMITS)
    response_in_pieces(b"HTTP/1.1 200 OK\r\n" + data + END)
