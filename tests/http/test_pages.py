"""pages: what a person, a program and a log reader are told."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.http.pages import (
    HTML,
    JSON,
    LONGEST,
    is_of_a_server,
    prefers_html,
    proxy_status,
    render,
    tells_of_an_error,
    without_page,
)

REFUSED = errors.CONNECTION_REFUSED.about(server="http://10.0.0.5:9001")
DENIED = errors.REQUEST_DENIED.about(what="ads.example")
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PROBLEMS = {
    f"{name.lower()}": value for name, value in vars(errors).items() if isinstance(value, Problem)
}


def told(problem: Problem, accept: bytes | None = None, **more: object) -> dict[str, object]:
    kind, body = render(problem, accept=accept, request_id="r-1", proxy="tp-1f", **more)
    assert kind == JSON
    return json.loads(body)


def page(problem: Problem, **more: object) -> str:
    kind, body = render(problem, accept=BROWSER, request_id="r-1", proxy="tp-1f", **more)
    assert kind == HTML
    return body.decode()


ACCEPT = {
    "none": (None, False),
    "empty": (b"", False),
    "curl": (b"*/*", False),
    "browser": (BROWSER, True),
    "html": (b"text/html", True),
    "any_case": (b"Text/HTML", True),
    "any_text": (b"text/*", True),
    "fetch_json": (b"application/json", False),
    "json_first": (b"application/json, text/javascript, */*; q=0.01", False),
    "json_preferred": (b"text/html;q=0.5, application/json", False),
    "problem_preferred": (b"text/html;q=0.5, application/problem+json", False),
    "tie_named": (b"text/html, application/json", True),
    "html_refused": (b"text/html;q=0, */*", False),
    "image": (b"image/avif,image/webp,*/*;q=0.8", False),
    "nothing_that_we_have": (b"image/png", False),
    "all_refused": (b"text/html;q=0", False),
    "malformed_quality": (b"text/html;q=high, */*;q=0.1", False),
    "spaces": (b" text/html ; q=0.9 , */*\t;\tq=0.1", True),
}


@pytest.mark.parametrize(("accept", "html"), ACCEPT.values(), ids=ACCEPT)
def test_a_page_is_for_who_asks_for_one(accept, html):
    assert prefers_html(accept) is html


@given(st.binary(max_size=60) | st.text("text/html*,;q=0.1 ", max_size=40).map(str.encode))
def test_any_accept_gets_an_answer(accept):
    kind, body = render(DENIED, accept=accept, request_id="r", proxy="p")
    assert kind in (HTML, JSON)
    assert body


def test_problem_details():
    assert told(REFUSED) == {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "http://10.0.0.5:9001 refused the connection; is it running?",
        "error": "connection_refused",
        "request_id": "r-1",
        "proxy": "tp-1f",
    }


def test_a_verdict_names_its_rule():
    assert told(DENIED, rule="no-ads")["rule"] == "no-ads"
    assert "no-ads" in page(DENIED, rule="no-ads")
    assert "rule" not in told(DENIED)


def test_a_redirect_has_its_link():
    redirect = Problem("http_request_denied", 302, "This is answered elsewhere.")
    assert told(redirect, location="https://x/?a=1&b")["location"] == "https://x/?a=1&b"
    assert '<a href="https://x/?a=1&amp;b">https://x/?a=1&amp;b</a>' in page(
        redirect, location="https://x/?a=1&b"
    )


def test_a_status_without_phrase_has_a_page():
    assert told(Problem("http_request_denied", 499, "No."))["title"] == "Error"


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_behind_a_cloak_no_name_is_told(problem):
    secret = Problem(
        problem.name,
        problem.status,
        re.sub(r"\{(server|pool|why|host)\}", "http://10.0.0.5", problem.text)
        if problem.status >= 500
        else problem.text,
    )
    for text in (page(secret, rule="r1x", cloak=True), str(told(secret, rule="r1x", cloak=True))):
        assert "10.0.0.5" not in text
        assert "r1x" not in text
        assert "tp-1f" not in text
        assert problem.name in text
        assert "r-1" in text


def test_behind_a_cloak_a_client_still_learns_what_it_did_wrong():
    wrong = errors.BODY_TOO_LARGE.about(limit=10)
    assert told(wrong, cloak=True)["detail"] == wrong.text


def answered(status: int, kind: str | None = "text/html", server: str | None = None) -> Response:
    fields = Fields()
    if kind is not None:
        fields.add(b"Content-Type", kind.encode())
    if server is not None:
        fields.add(b"Server", server.encode())
    return Response(status, fields)


PAGES = {
    "html": (answered(404), True),
    "any_case_and_charset": (answered(500, "Text/HTML; charset=utf-8"), True),
    "no_type": (answered(502, None), True),
    "json": (answered(500, "application/json"), False),
    "text": (answered(404, "text/plain"), False),
    "success": (answered(200), False),
    "redirect": (answered(302), False),
}


@pytest.mark.parametrize(("response", "page"), PAGES.values(), ids=PAGES)
def test_the_page_of_an_error(response, page):
    assert tells_of_an_error(response) is page
    assert is_of_a_server(response, b"<hr><center>nginx</center>") is page


OF_A_SERVER = {
    "nginx": b"<html>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n"
    b"<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n",
    "nginx_without_version": b"<hr><center>nginx</center>",
    "made_of_nginx": b"<hr><center>openresty/1.21.4.1</center>",
    "apache": b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>',
    "apache_signed": b"<address>Apache/2.4.57 (Debian) Server at shop.test Port 80</address>",
    "tomcat": b'<hr class="line" /><h3>Apache Tomcat/9.0.65 (Debian)</h3></body></html>',
    "jetty": b'<a href="https://jetty.org/">Powered by Jetty:// 12.0.3</a>',
    "iis": b'<div id="header"><h1>Server Error</h1></div>',
    "iis_in_detail": b"<title>IIS 10.0 Detailed Error - 404.0 - Not Found</title>",
    "litespeed": b"<p>Proudly powered by LiteSpeed Web Server</p>",
    "varnish": b"<p>XID: 7</p><hr><p>Varnish cache server</p>",
    "its_own_server_field": b"<p>kitten/1.2 has no such page</p>",
}
OF_AN_APPLICATION = {
    "plain": b"<h1>There is no such shoe</h1>",
    "empty": b"",
    "name_without_version": b"<p>Read our book on nginx and Apache. Licensed under Apache-2.0.</p>",
    "server_without_version": b"<p>A kitten ate this page</p>",
    "path_that_looks_like_it": b'<a href="/kitten/1.2">/v/kitten/1.2</a>',
    "longer_word": b"kitten/1.23 mykitten/1.2",
    "centred": b"<center>No such page</center>",
    "too_long": b"<hr><center>nginx</center>" + b" " * LONGEST,
}


@pytest.mark.parametrize("status", [400, 404, 413, 499])
@pytest.mark.parametrize("body", OF_A_SERVER.values(), ids=OF_A_SERVER)
def test_a_page_that_its_server_signed(body, status):
    assert is_of_a_server(answered(status, server="kitten/1.2 (cat)"), body)


@pytest.mark.parametrize("body", OF_AN_APPLICATION.values(), ids=OF_AN_APPLICATION)
def test_a_page_that_no_server_signed(body):
    assert not is_of_a_server(answered(404, server="kitten/1.2 (cat)"), body)
    assert is_of_a_server(answered(500, server="kitten/1.2 (cat)"), body)


@given(st.binary(max_size=40), st.binary(max_size=60))
def test_any_server_field_and_page_can_be_judged(server, body):
    fields = Fields([(b"Server", server)])
    assert is_of_a_server(Response(404, fields), body) in (True, False)


def test_what_an_error_says_beside_its_page_stays():
    kept = [(b"WWW-Authenticate", b"Basic"), (b"Retry-After", b"9"), (b"Set-Cookie", b"a=b")]
    page = [(b"Content-Type", b"text/html"), (b"ETag", b'"1"'), (b"Content-Length", b"7")]
    assert without_page(Fields([*page, *kept])) == Fields(kept)


class Balanced(HTMLParser):
    """Reads a page: its text, and whether each element is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(html: str) -> Balanced:
    reader = Balanced()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


TAGS = read(page(DENIED, rule="r", location="l")).seen


@given(
    text=st.text(max_size=40), rule=st.text(max_size=20), location=st.text(min_size=1, max_size=20)
)
def test_nothing_that_others_wrote_becomes_markup(text, rule, location):
    html = page(Problem("http_request_denied", 403, text), rule=rule, location=location)
    assert read(html).seen == TAGS


def test_a_script_is_text():
    attack = "<script>alert('\"')</script>{status}"
    html = page(Problem("http_request_denied", 403, attack))
    assert "<script" not in html
    assert attack in read(html).text


def test_the_page_needs_nothing_else_and_no_light():
    html = page(REFUSED)
    assert not re.search(r"<(?:script|link|img|iframe)|src=|url\(|@import", html)
    assert '<html lang="en">' in html
    assert "color-scheme: light dark" in html


STATUS = {
    "error": ((REFUSED, "tp"), {}, b"tp; error=connection_refused"),
    "details": (
        (REFUSED, "tp"),
        {"details": "is it running?"},
        b'tp; error=connection_refused; details="is it running?"',
    ),
    "rule": (
        (DENIED, "tp"),
        {"rule": "no-ads"},
        b'tp; error=http_request_denied; details="rule no-ads"',
    ),
    "rule_and_details": (
        (DENIED, "tp"),
        {"rule": "a", "details": "b"},
        b'tp; error=http_request_denied; details="rule a, b"',
    ),
    "request_error": (
        (errors.LENGTH_REQUIRED, "tp"),
        {},
        b"tp; error=http_request_error; status-code=411",
    ),
    "passed_on": ((None, "tp"), {"rule": "staff"}, b'tp; details="rule staff"'),
    "nothing_to_say": ((None, "tp"), {}, b"tp"),
    "cloak": (
        (DENIED, "tp"),
        {"rule": "a", "details": "10.0.0.5", "cloak": True},
        b"tp; error=http_request_denied",
    ),
    "name_with_space": ((None, "my proxy"), {}, b'"my proxy"'),
    "name_with_digit_first": ((None, "1proxy"), {}, b'"1proxy"'),
    "name_with_colon": ((None, "proxy:3128"), {}, b"proxy:3128"),
    "quotes": ((None, "tp"), {"details": 'a "b" \\c'}, rb'tp; details="a \"b\" \\c"'),
    "not_ascii": ((None, "tp"), {"details": "é\r\nX: y\0"}, b'tp; details="???X: y?"'),
}


@pytest.mark.parametrize(("args", "more", "value"), STATUS.values(), ids=STATUS)
def test_proxy_status(args, more, value):
    assert proxy_status(*args, **more) == value


SF_STRING = rb'"(?:[ !#-\[\]-~]|\\["\\])*"'


@given(name=st.text(max_size=20), details=st.text(max_size=40))
def test_proxy_status_is_a_structured_field_whatever_it_says(name, details):
    value = proxy_status(REFUSED, name, details=details)
    token = rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
    assert re.fullmatch(
        rb"(?:%b|%b); error=connection_refused; details=%b" % (token, SF_STRING, SF_STRING), value
    )
