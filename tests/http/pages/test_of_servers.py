"""of_servers: which pages a cloak hides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.http.pages.of_servers import (
    LONGEST,
    is_of_a_server,
    tells_of_an_error,
    without_page,
)


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
