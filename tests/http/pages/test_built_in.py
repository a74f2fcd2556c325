"""built_in: a page of one piece that anybody can read, on light and dark ground."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from twistproxy.http.pages import built_in
from twistproxy.http.pages.words import ENGLISH, GERMAN


def page(**more: object) -> str:
    facts = [("rule", "no-ads"), ("request_id", "r-1")]
    given = {"text": "No.", "facts": facts, "location": None, "paragraphs": [], **more}
    return built_in.page(ENGLISH, 403, **given).decode()


STYLE = re.findall("<style>(.*?)</style>", page(), re.DOTALL)[0]


def test_its_policy_allows_its_own_style_and_nothing_else():
    digest = b64encode(sha256(STYLE.encode()).digest()).decode()
    assert built_in.POLICY.decode() == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert " style=" not in page(location="/why", paragraphs=["Ask."])


def test_it_says_its_language_and_title():
    html = page()
    assert '<html lang="en">' in html
    assert "<title>403 Forbidden</title>" in html
    assert '<html lang="de">' in built_in.page(GERMAN, 403, "Nein.", [], None, []).decode()


def test_paragraphs_follow_the_text():
    html = page(paragraphs=["One & two.", "Three."], location="/a?b&c")
    order = [
        html.index(text) for text in ("No.", "/a?b&amp;c", "One &amp; two.", "Three.", "no-ads")
    ]
    assert order == sorted(order)


def test_a_long_fact_is_cut():
    html = page(facts=[("url", "x" * 5000)])
    assert re.findall("<dd>(x+…)</dd>", html) == ["x" * 300 + "…"]


def test_half_a_character_is_no_exception():
    assert "?" in page(text="\ud800")


def colours(scheme: str) -> dict[str, str]:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme == "dark"]
    return dict(re.findall(r"--(\w+): #(\w+);", block))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    wide = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    channels = [int(wide[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "mark", "link"])
def test_all_writing_can_be_read(scheme, ink):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    colour = colours(scheme)
    light, dark = sorted((luminance(colour[ink]), luminance(colour["paper"])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
