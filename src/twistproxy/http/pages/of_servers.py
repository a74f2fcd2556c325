"""Pages that a server makes by itself, behind a cloak: they tell what it is."""

from __future__ import annotations

import re
from typing import Final

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response

#: Bytes. No page that a server itself makes is longer.
LONGEST: Final = 8 << 10


def tells_of_an_error(response: Response) -> bool:
    """Whether this is the head of an error's page, which may be a server's own."""
    if response.status < 400:
        return False
    content_type = response.fields.get(b"content-type") or b"text/html"
    return content_type.lower().startswith(b"text/html")


def is_of_a_server(response: Response, body: bytes) -> bool:
    """Whether this page is not an application's but the server's own, or shows its insides.

    A failure's page (5xx) is taken for one whatever it says. One of 4xx is if it is signed by a
    server: in the way of a known one, or with a product and version of its own Server field.
    body: the whole, or more than `LONGEST` bytes of it. Where it is compressed, nobody can tell.
    """
    if not tells_of_an_error(response):
        return False
    if response.status >= 500:
        return True
    if len(body) > LONGEST:
        return False
    if _SIGNATURE.search(body):
        return True
    products = _PRODUCT.findall(response.fields.get(b"server") or b"")
    return any(re.search(_A_WORD % re.escape(product), body, re.I) for product in products)


def without_page(fields: Fields) -> Fields:
    """The fields of an error without those of its page: they say what else the client is to do."""
    return fields.without(_OF_THE_PAGE)


# How servers sign the pages that they make: nginx and what is made of it, Apache, others.
_SIGNATURE = re.compile(
    rb"<hr>\s*<center>[^<>]{1,64}</center>"
    rb"|<address>[^<>]{0,200} Server at "
    rb'|<div id="header"><h1>Server Error</h1></div>'  # IIS
    rb'|<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2\.0//EN">'
    rb"|\b(?:Apache Tomcat|LiteSpeed Web Server|Varnish cache server|Powered by Jetty|"
    rb"GlassFish Server|WebLogic Server|Microsoft-IIS|IIS [0-9.]+ Detailed Error)\b"
    rb"|\b(?:nginx|openresty|Apache|Caddy|lighttpd|Jetty|WEBrick|Werkzeug|squid|Cherokee)/[0-9]",
    re.IGNORECASE,
)
_PRODUCT = re.compile(rb"[\w.-]{1,64}/[\w.-]{1,64}")  # RFC 9110 §10.1.5
_A_WORD = rb"(?<![\w/.-])%b(?![\w/-])"

_OF_THE_PAGE = frozenset(
    b"accept-ranges age cache-control content-digest content-disposition content-encoding"
    b" content-language content-length content-location content-md5 content-type digest etag"
    b" expires last-modified pragma repr-digest trailer".split()
)
