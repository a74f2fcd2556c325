"""telling: what a person and a program are told."""

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
from twistproxy.http.negotiation import JSON
from twistproxy.http.pages.telling import HTML, NO_PAGES, About, tell
from twistproxy.http.pages.templates import PLACEHOLDERS, OwnPages, Template, read

REFUSED = errors.CONNECTION_REFUSED.about(server="http://10.0.0.5:9001")
DENIED = errors.REQUEST_DENIED.about(what="ads.example")
OVER = errors.limit_reached("No more than {limit}.", limit=5)
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PROBLEMS = {
    f"{name.lower()}": value for name, value in vars(errors).items() if isinstance(value, Problem)
}


def ask(
    problem: Problem,
    accept: bytes | None = None,
    language: bytes | None = None,
    cloak: bool = False,
    own: OwnPages = NO_PAGES,
    page: str | None = None,
    **about: object,
) -> tuple[Fields, bytes]:
    asked = Fields()
    if accept is not None:
        asked.add(b"Accept", accept)
    if language is not None:
        asked.add(b"Accept-Language", language)
    of = About(**{"request_id": "r-1", "proxy": "tp-1f", **about})
    lines, body = tell(problem, of, asked, cloak=cloak, own=own, page=page)
    fields = Fields.of(lines)
    assert fields.get(b"content-length") == b"%d" % len(body)
    assert fields.get(b"cache-control") == b"no-store"
    assert fields.get(b"vary") == b"Accept, Accept-Language"
    assert fields.get(b"x-content-type-options") == b"nosniff"
    return fields, body


def told(problem: Problem, accept: bytes | None = None, **more: object) -> dict[str, object]:
    fields, body = ask(problem, accept, **more)
    assert fields.get(b"content-type") == JSON
    assert fields.get(b"content-language") == b"en"
    return json.loads(body)


def page(problem: Problem, **more: object) -> str:
    fields, body = ask(problem, BROWSER, **more)
    assert fields.get(b"content-type") == HTML
    return body.decode()


@given(st.binary(max_size=60) | st.text("text/html*,;q=0.1 ", max_size=40).map(str.encode))
def test_any_accept_gets_an_answer(accept):
    fields, body = ask(DENIED, accept, accept)
    assert fields.get(b"content-type") in (HTML, JSON)
    assert body


def test_who_sent_no_head_gets_details():
    lines, body = tell(errors.REQUEST_TIMEOUT, About("r-1", "tp"))
    assert Fields.of(lines).get(b"content-type") == JSON
    assert json.loads(body)["status"] == 408


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


def test_whoever_is_denied_learns_what_was_and_whom_to_ask():
    html = page(DENIED, rule="no-ads", url="http://ads.example/?a&b")
    assert "http://ads.example/?a&amp;b" in html
    assert "ads.example is not allowed here." in html
    assert "If you think this is a mistake, tell whoever runs this proxy" in html
    assert "If this goes on, tell whoever runs this proxy" in page(REFUSED)


def test_behind_a_cloak_the_site_is_to_be_asked_and_nothing_else_told():
    html = page(DENIED, rule="no-ads", url="http://ads.example/x", cloak=True)
    assert "tell whoever runs this site" in html
    assert read_html(html).labels == ["Error", "Request"]


def test_a_mistake_of_the_client_is_nobody_elses():
    assert "tell whoever" not in page(errors.LENGTH_REQUIRED)


@pytest.mark.parametrize("cloak", [False, True])
def test_over_a_limit_it_is_told_when_it_comes_back(cloak):
    fields, body = ask(OVER, BROWSER, retry_after=119.2, cloak=cloak)
    assert fields.get(b"retry-after") == b"120"
    assert b"No more than 5." in body
    assert b"Try again in 2 minutes." in body
    assert told(OVER, retry_after=119.2, cloak=cloak)["retry_after"] == 120


def test_nobody_is_to_try_again_in_no_time():
    fields, _ = ask(OVER, retry_after=0.0)
    assert fields.get(b"retry-after") == b"1"
    assert ask(OVER)[0].get(b"retry-after") is None


def test_a_page_speaks_german_with_who_does():
    fields, body = ask(DENIED, BROWSER, b"de-AT,de;q=0.9,en;q=0.8", retry_after=5400)
    assert fields.get(b"content-language") == b"de"
    html = body.decode()
    assert '<html lang="de">' in html
    for text in (
        "403</span> Nicht erlaubt",
        "ads.example ist hier nicht erlaubt.",
        "In 90 Minuten",
    ):
        assert text in html


def test_a_page_speaks_english_with_who_speaks_neither():
    fields, body = ask(DENIED, BROWSER, b"fr")
    assert fields.get(b"content-language") == b"en"
    assert b"is not allowed here" in body


def test_details_are_english():
    assert told(DENIED, language=b"de")["detail"] == "ads.example is not allowed here."


def own(text: str, language: str = "") -> Template:
    template = read(text, language)
    assert isinstance(template, Template)
    return template


ALL = own("|".join(f"${{{name}}}" for name in PLACEHOLDERS))
ABOUT = {
    "rule": "no-ads",
    "url": "http://ads.example/",
    "host": "ads.example",
    "client": "10.0.0.1",
    "user": "alice",
    "location": "/why",
    "retry_after": 90.5,
}
FILLED = {
    "status": "403",
    "title": "Forbidden",
    "text": "ads.example is not allowed here.",
    "error": "http_request_denied",
    "rule": "no-ads",
    "request_id": "r-1",
    "proxy": "tp-1f",
    "url": "http://ads.example/",
    "host": "ads.example",
    "client": "10.0.0.1",
    "user": "alice",
    "location": "/why",
    "retry_after": "91",
    "wait": "91 seconds",
}


def test_an_own_page_has_what_its_placeholders_ask_for():
    pages = OwnPages({"403": {"": ALL}})
    assert page(DENIED, own=pages, **ABOUT).split("|") == list(FILLED.values())
    assert list(FILLED) == list(PLACEHOLDERS)


def test_an_own_page_is_cloaked_as_well():
    filled = page(DENIED, own=OwnPages({"403": {"": ALL}}), cloak=True, **ABOUT).split("|")
    assert filled == list({**FILLED, "rule": "", "proxy": ""}.values())
    filled = page(REFUSED, own=OwnPages({"5xx": {"": ALL}}), cloak=True)
    assert "10.0.0.5" not in filled


def test_what_is_not_known_is_empty():
    assert page(DENIED, own=OwnPages({"403": {"": own("<${user}${rule}${wait}>")}})) == "<>"


def test_an_own_page_says_its_language_and_has_no_policy():
    pages = OwnPages({"403": {"": own("${title}"), "de": own("${title}", "de")}})
    fields, body = ask(DENIED, BROWSER, b"de", own=pages)
    assert (fields.get(b"content-language"), body) == (b"de", b"Nicht erlaubt")
    fields, body = ask(DENIED, BROWSER, b"en", own=pages)
    assert (fields.get(b"content-language"), body) == (None, b"Forbidden")
    assert fields.get(b"content-security-policy") is None


def test_an_own_page_in_a_language_that_we_do_not_speak_gets_english_values():
    pages = OwnPages({"403": {"fr": own("${title}", "fr")}})
    fields, body = ask(DENIED, BROWSER, b"fr", own=pages)
    assert (fields.get(b"content-language"), body) == (b"fr", b"Forbidden")


def test_the_page_of_a_rule_comes_first():
    pages = OwnPages({"403": {"": own("status")}, "blocked.html": {"": own("rule")}})
    assert page(DENIED, own=pages, page="blocked.html") == "rule"
    assert page(DENIED, own=pages) == "status"


def test_a_program_gets_details_whatever_pages_there_are():
    assert told(DENIED, own=OwnPages({"403": {"": ALL}}))["status"] == 403


class Balanced(HTMLParser):
    """Reads a page: its text, and whether each element is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.labels: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "dt":
            self.labels.append(data)


def read_html(html: str) -> Balanced:
    reader = Balanced()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


TAGS = read_html(page(DENIED, rule="r", location="l")).seen


@given(
    text=st.text(max_size=40), rule=st.text(max_size=20), location=st.text(min_size=1, max_size=20)
)
def test_nothing_that_others_wrote_becomes_markup(text, rule, location):
    html = page(Problem("http_request_denied", 403, text), rule=rule, location=location)
    assert read_html(html).seen == TAGS


@given(value=st.text("<>&\"'ab= /${}", max_size=30))
def test_nothing_becomes_markup_of_an_own_page(value):
    template = own(
        '<p title="${user}" lang=\'${client}\'>${url}</p><!-- ${host} --><a href="/${rule}">'
    )
    html = page(
        DENIED,
        own=OwnPages({"4xx": {"": template}}),
        **dict.fromkeys(("user", "client", "url", "host", "rule"), value),
    )
    reader = Balanced()
    reader.feed(html)
    reader.close()
    assert (reader.seen, reader.open, reader.text) == (["p", "a"], ["a"], value)


def test_a_script_is_text():
    attack = "<script>alert('\"')</script>{status}"
    html = page(Problem("http_request_denied", 403, attack))
    assert "<script" not in html
    assert attack in read_html(html).text


def test_the_page_needs_nothing_else_and_no_light():
    fields, body = ask(REFUSED, BROWSER)
    html = body.decode()
    policy = fields.get(b"content-security-policy")
    assert policy is not None
    assert policy.startswith(b"default-src 'none'; style-src 'sha256-")
    assert not re.search(r"<(?:script|link|img|iframe)|src=|url\(|@import", html)
    assert '<html lang="en">' in html
    assert "color-scheme: light dark" in html
