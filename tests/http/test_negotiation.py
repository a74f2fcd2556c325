"""negotiation: who gets a page, and in which language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.negotiation import best_language, prefers_html

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

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


LANGUAGES = {
    "none": (None, "en"),
    "any": (b"*", "en"),
    "german": (b"de", "de"),
    "any_case": (b"DE", "de"),
    "of_austria": (b"de-AT", "de"),
    "of_austria_first": (b"de-AT, en;q=0.9", "de"),
    "as_browsers_send_it": (b"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "de"),
    "english_rather": (b"de;q=0.7, en-GB;q=0.8", "en"),
    "itself_before_a_narrower_one": (b"de-AT;q=0.9, de;q=0.1, en;q=0.5", "en"),
    "the_best_of_the_narrower_ones": (b"de-AT;q=0.1, de-CH;q=0.9, en;q=0.5", "de"),
    "the_first_at_a_tie": (b"de, en", "de"),
    "another_first": (b"fr, de;q=0.3", "de"),
    "another_and_any": (b"fr, *;q=0.1", "en"),
    "anything_but_english": (b"*, en;q=0", "de"),
    "german_refused": (b"de;q=0, de-AT", None),
    "none_that_we_have": (b"fr, it;q=0.9", None),
    "no_prefix": (b"deu, d, e", None),
    "empty": (b"", None),
    "malformed_quality": (b"de;q=high, en;q=0.1", "en"),
    "spaces": (b" de ;\tq=0.9 , en;q=0.1", "de"),
}


@pytest.mark.parametrize(("wanted", "best"), LANGUAGES.values(), ids=LANGUAGES)
def test_a_language_is_for_who_asks_for_it(wanted, best):
    assert best_language(wanted, ["en", "de"]) == best


def test_a_wider_range_covers_a_narrower_language():
    assert best_language(b"en;q=0.5, zh-Hant", ["en", "zh-hant-tw"]) == "zh-hant-tw"


def test_an_unknown_language_suits_who_takes_any():
    assert best_language(None, ["", "de"]) == ""
    assert best_language(b"fr, *;q=0.1", ["", "de"]) == ""
    assert best_language(b"de", ["", "de"]) == "de"
    assert best_language(b"fr", ["", "de"]) is None
    assert best_language(None, []) is None


@given(
    st.binary(max_size=60) | st.text("endefr-*,;q=0.1 ", max_size=40).map(str.encode),
    st.lists(st.sampled_from(["", "en", "de", "de-at"]), unique=True),
)
def test_whatever_is_asked_for_the_best_is_there(wanted, there):
    assert best_language(wanted, there) in {*there, None}
