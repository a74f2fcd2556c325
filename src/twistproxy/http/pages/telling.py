"""What a response says of what went wrong: our page, the operator's, or problem details."""

from __future__ import annotations

import json
from math import ceil
from typing import Final

from attrs import frozen

from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields, Line, line
from twistproxy.http.negotiation import JSON, best_language, prefers_html
from twistproxy.http.pages import built_in
from twistproxy.http.pages.templates import OwnPages
from twistproxy.http.pages.words import ENGLISH, WORDS, Words

HTML = b"text/html; charset=utf-8"

NO_PAGES: Final = OwnPages({})

_LANGUAGES: Final = list(WORDS)
_TYPE: Final = {kind: line(b"Content-Type", kind) for kind in (HTML, JSON)}
_LANGUAGE: Final = {tag: line(b"Content-Language", tag.encode()) for tag in WORDS}
_ALWAYS: Final = (
    line(b"Cache-Control", b"no-store"),
    line(b"Vary", b"Accept, Accept-Language"),
    line(b"X-Content-Type-Options", b"nosniff"),
)
_POLICY: Final = line(b"Content-Security-Policy", built_in.POLICY)


@frozen
class About:
    """The exchange that a page is about.

    proxy: our pseudonym. rule: of the policy, whose verdict this is. location: of a redirect.
    retry_after: seconds until asking again may help. url, host: of the target; client: an address.
    "" or None: not known.
    """

    request_id: str
    proxy: str
    rule: str | None = None
    location: str | None = None
    retry_after: float | None = None
    url: str = ""
    host: str = ""
    client: str = ""
    user: str | None = None


def tell(
    problem: Problem,
    about: About,
    asked: Fields | None = None,
    *,
    cloak: bool = False,
    own: OwnPages = NO_PAGES,
    page: str | None = None,
) -> tuple[list[Line], bytes]:
    """Fields and body for a response with `problem.status`.

    asked: the request's fields; HTML for who asks for it by name, problem details otherwise.
    own: the operator's pages. page: what the rule that decided calls its page.
    """
    again = None if about.retry_after is None else max(1, ceil(about.retry_after))
    policy = []
    if asked is None or not prefers_html(asked.get(b"accept")):
        kind, language, body = JSON, "en", _details(problem, about, again, cloak)
    elif template := own.choose(problem.status, page, asked.get(b"accept-language")):
        kind, language = HTML, template.language
        words = WORDS.get(language.partition("-")[0], ENGLISH)
        body = template.fill(_values(problem, about, again, cloak, words))
    else:
        kind, policy = HTML, [_POLICY]
        language = best_language(asked.get(b"accept-language"), _LANGUAGES) or _LANGUAGES[0]
        body = _page(problem, about, again, cloak, WORDS[language])
    lines = [_TYPE[kind], line(b"Content-Length", b"%d" % len(body)), *_ALWAYS, *policy]
    if language:
        lines.append(_LANGUAGE.get(language) or line(b"Content-Language", language.encode()))
    if again is not None:
        lines.append(line(b"Retry-After", b"%d" % again))
    return lines, body


def _facts(problem: Problem, about: About, cloak: bool) -> dict[str, str]:
    """What programs, and those who are asked for help, go by."""
    facts = {}
    if about.rule is not None and not cloak:
        facts["rule"] = about.rule
    if problem.name:
        facts["error"] = problem.name
    facts["request_id"] = about.request_id
    if not cloak:
        facts["proxy"] = about.proxy
    return facts


def _details(problem: Problem, about: About, again: int | None, cloak: bool) -> bytes:
    """RFC 9457 §3."""
    details: dict[str, object] = {
        "type": "about:blank",
        "title": ENGLISH.phrase(problem.status),
        "status": problem.status,
        "detail": ENGLISH.text(problem, cloak),
        **_facts(problem, about, cloak),
    }
    if again is not None:
        details["retry_after"] = again
    if about.location is not None:
        details["location"] = about.location
    return json.dumps(details).encode() + b"\n"


def _page(problem: Problem, about: About, again: int | None, cloak: bool, words: Words) -> bytes:
    facts = _facts(problem, about, cloak)
    more = []
    if again is not None:
        more.append(words.again.format(wait=words.wait(again)))
    elif problem.name == "http_request_denied" or problem.status >= 500:
        whom_to_ask = words.failed if problem.status >= 500 else words.denied
        more.append(whom_to_ask.format(tell=words.tell_site if cloak else words.tell_proxy))
    if about.url and not cloak:
        facts = {"url": about.url, **facts}
    text = words.text(problem, cloak)
    return built_in.page(words, problem.status, text, facts.items(), about.location, more)


def _values(
    problem: Problem, about: About, again: int | None, cloak: bool, words: Words
) -> dict[str, str]:
    """By placeholder of an operator's page."""
    return {
        "status": str(problem.status),
        "title": words.phrase(problem.status),
        "text": words.text(problem, cloak),
        "error": problem.name,
        "request_id": about.request_id,
        "rule": "" if cloak or about.rule is None else about.rule,
        "proxy": "" if cloak else about.proxy,
        "url": about.url,
        "host": about.host,
        "client": about.client,
        "user": about.user or "",
        "location": about.location or "",
        "retry_after": "" if again is None else str(again),
        "wait": "" if again is None else words.wait(again),
    }
