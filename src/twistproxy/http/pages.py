"""How a person is told what went wrong: a page, problem details (RFC 9457), `Proxy-Status`.

Behind a cloak (a reverse proxy that hides its servers) a person sees the kind of error and the
request id; rule, server and proxy names stay in the log.
"""

from __future__ import annotations

import json
import re
from html import escape
from http import HTTPStatus
from typing import Final

from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response

#: Bytes. No page that a server itself makes is longer.
LONGEST: Final = 8 << 10

HTML = b"text/html; charset=utf-8"
JSON = b"application/problem+json"

# In place of texts that name a server, by status.
_CLOAKED = {
    403: "This is not allowed.",
    404: "There is nothing under this address.",
    500: "The request could not be answered.",
    502: "The request got no usable answer. Trying again in a moment may help.",
    503: "There is too much to do at the moment. Trying again in a moment may help.",
    504: "The answer took too long. Trying again in a moment may help.",
}
# Their texts speak of the request alone.
_OF_THE_REQUEST = ("http_request_error", "http_request_denied")


def render(
    problem: Problem,
    *,
    accept: bytes | None,
    request_id: str,
    proxy: str,
    rule: str | None = None,
    location: str | None = None,
    cloak: bool = False,
) -> tuple[bytes, bytes]:
    """Content-Type and body for a response with `problem.status`.

    accept: the request's Accept; HTML for who asks for it by name, problem details otherwise.
    proxy: our pseudonym. rule: of the policy, whose verdict this is. location: of a redirect.
    """
    facts = {"error": problem.name} if problem.name else {}
    facts["request_id"] = request_id
    if not cloak:
        if rule is not None:
            facts["rule"] = rule
        facts["proxy"] = proxy
    title, text = _phrase(problem.status), _text(problem, cloak)
    if prefers_html(accept):
        return HTML, _page(problem.status, title, text, facts, location)
    details = {
        "type": "about:blank",
        "title": title,
        "status": problem.status,
        "detail": text,
        **facts,
    }
    if location is not None:
        details["location"] = location
    return JSON, json.dumps(details).encode() + b"\n"


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


def proxy_status(
    problem: Problem | None,
    name: str,
    *,
    rule: str | None = None,
    details: str | None = None,
    cloak: bool = False,
) -> bytes:
    """Our member of a Proxy-Status list (RFC 9209 §2).

    problem: None for a response that is passed on. name: our pseudonym. rule: of the policy,
    whose verdict this is; it is named before `details`.
    """
    member = _bare_item(name)
    if problem is not None:
        member += f"; error={problem.name}"
        if problem.name == "http_request_error":  # §2.3.17: ours, not the server's
            member += f"; status-code={problem.status}"
    said = [f"rule {rule}"] if rule is not None else []
    said += [details] if details is not None else []
    if said and not cloak:
        member += f"; details={_string(', '.join(said))}"
    return member.encode("ascii")


def prefers_html(accept: bytes | None) -> bool:
    """Whether a page is better than problem details to who sends this Accept (RFC 9110 §12.5.1).

    At a tie who names HTML gets it, as browsers do; ``*/*``, as programs send it, gets details.
    """
    ranges = _ranges(accept or b"")
    html = _quality(ranges, b"text/html")
    details = max(_quality(ranges, JSON), _quality(ranges, b"application/json"))
    return html > details or (html == details > 0.0 and b"text/html" in ranges)


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

_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def _ranges(accept: bytes) -> dict[bytes, float]:
    """Quality by media range; a malformed one is 0, and parameters of types are not looked at."""
    ranges: dict[bytes, float] = {}
    for element in accept.lower().split(b","):
        media, *params = [part.strip(b" \t") for part in element.split(b";")]
        weight = next((param[2:] for param in params if param.startswith(b"q=")), b"1")
        ranges[media] = float(weight) if _QUALITY.fullmatch(weight) else 0.0
    return ranges


def _quality(ranges: dict[bytes, float], media: bytes) -> float:
    for key in (media, media.partition(b"/")[0] + b"/*", b"*/*"):
        if key in ranges:
            return ranges[key]
    return 0.0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _text(problem: Problem, cloak: bool) -> str:
    if cloak and problem.name not in _OF_THE_REQUEST:
        return _CLOAKED.get(problem.status, _CLOAKED[500])
    return problem.text


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 15vh auto 0; padding: 0 1rem; }}
main {{ max-width: 40rem; margin: auto; }}
h1 {{ font-size: 1.5rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .875rem; }}
dd {{ margin: 0; font-family: ui-monospace, monospace; }}
p, dd {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>{status} {title}</h1>
<p>{text}</p>
{link}<dl>
{facts}
</dl>
</main>
</body>
</html>
"""
_LABELS = {"error": "Error", "request_id": "Request", "rule": "Rule", "proxy": "Proxy"}


def _page(status: int, title: str, text: str, facts: dict[str, str], location: str | None) -> bytes:
    target = "" if location is None else escape(location)
    page = _PAGE.format(
        status=status,
        title=escape(title),
        text=escape(text),
        link=f'<p><a href="{target}">{target}</a></p>\n' if target else "",
        facts="\n".join(
            f"<dt>{_LABELS[name]}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()
        ),
    )
    return page.encode("utf-8", "replace")


_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


def _bare_item(text: str) -> str:
    """An sf-token where the text can be one, an sf-string otherwise (RFC 8941 §3.3)."""
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """An sf-string (RFC 8941 §3.3.3), with ``?`` for what it can't hold."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
