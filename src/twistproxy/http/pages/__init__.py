"""How a person is told what went wrong.

In: a problem, and what is known of the exchange. Out: the fields and the body of a response.
Behind a cloak (a reverse proxy that hides its servers) a person sees the kind of error and the
request id; rule, server and proxy names stay in the log.

telling     our page, the operator's, or problem details (RFC 9457), by what the client asked for
words       what our pages say, in each language
built_in    how they look
templates   the operator's pages
of_servers  pages that a server makes by itself, which a cloak hides

To add a language: words.py. To add a placeholder: `PLACEHOLDERS` in templates.py, its value in
telling.py.
"""

from __future__ import annotations

from twistproxy.http.negotiation import JSON, prefers_html
from twistproxy.http.pages.of_servers import (
    LONGEST,
    is_of_a_server,
    tells_of_an_error,
    without_page,
)
from twistproxy.http.pages.telling import HTML, NO_PAGES, About, tell
from twistproxy.http.pages.templates import OwnPages, Template
from twistproxy.http.proxy_status import proxy_status

__all__ = [
    "HTML",
    "JSON",
    "LONGEST",
    "NO_PAGES",
    "About",
    "OwnPages",
    "Template",
    "is_of_a_server",
    "prefers_html",
    "proxy_status",
    "tell",
    "tells_of_an_error",
    "without_page",
]
