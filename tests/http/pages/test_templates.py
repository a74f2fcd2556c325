"""templates: the operator's pages, and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.pages.templates import (
    PLACEHOLDERS,
    Mistake,
    OwnPages,
    Template,
    is_of_a_status,
    name_of,
    read,
)


def filled(page: str, **values: str) -> str:
    template = read(page)
    assert isinstance(template, Template), template
    return template.fill(values).decode()


FILLED = {
    "nothing": ("", ""),
    "no_placeholder": ("<p>Costs $5 { } $ $$ $x }</p>", "<p>Costs $5 { } $ $$ $x }</p>"),
    "placeholders": ("${status} ${title}: ${status}", "403 Forbidden: 403"),
    "only_one": ("${status}", "403"),
    "escaped": ("<p>$${status} is ${status}</p>", "<p>${status} is 403</p>"),
    "not_there": ("[${user}]", "[]"),
    "in_quotes": ("<p title='${text}'>", "<p title='&lt;&#x27;&gt;'>"),
    "text": ("<p>${text}</p>", "<p>&lt;&#x27;&gt;</p>"),
    "in_a_title": ("<title>${text}</title>", "<title>&lt;&#x27;&gt;</title>"),
    "query_of_a_link": ('<a href="/why?rule=${rule}">', '<a href="/why?rule=no-ads">'),
    "link": ('<a href="${location}">', '<a href="/why">'),
    "script_without": (
        "<script>f(`$${x}`, $('#a'))</script>",
        "<script>f(`${x}`, $('#a'))</script>",
    ),
    "style_without": ("<style>a { b: c }</style>", "<style>a { b: c }</style>"),
}
VALUES = {
    "status": "403",
    "title": "Forbidden",
    "text": "<'>",
    "rule": "no-ads",
    "location": "/why",
}


@pytest.mark.parametrize(("text", "page"), FILLED.values(), ids=FILLED)
def test_a_page_is_filled_in(text, page):
    assert filled(text, **VALUES) == page


MISTAKES = {
    "misspelled": ("\n<p>${titel}</p>", (2, "no placeholder ${titel}; did you mean ${title}?")),
    "unknown": (
        "${zzzzzz}",
        (1, f"no placeholder ${{zzzzzz}}; known: {', '.join(PLACEHOLDERS)}"),
    ),
    "empty": ("${}", (1, f"no placeholder ${{}}; known: {', '.join(PLACEHOLDERS)}")),
    "not_closed": ("a\nb ${status\n}", (2, "${ without its }")),
    "in_a_script": (
        "<script>\nvar a = 1\nvar x = '${url}'</script>",
        (3, "no placeholder can be in script ($${ writes ${)"),
    ),
    "in_a_style": (
        "<style>a { b: ${host} }</style>",
        (1, "no placeholder can be in style ($${ writes ${)"),
    ),
    "without_quotes": (
        "<p>\n<p title=${text}>",
        (2, "the value of title needs quotes around it"),
    ),
    "in_an_event": ("<p onclick=\"f('${url}')\">", (1, "no placeholder can be in onclick")),
    "in_style_of_an_element": (
        '<p style="color: ${rule}">',
        (1, "no placeholder can be in style"),
    ),
    "whole_link": (
        '<a href="${user}">',
        (1, "href can begin with no placeholder but ${url} and ${location}"),
    ),
    "an_attribute": ("<p ${text}>", (1, "no placeholder can be an attribute of p")),
    "of_an_empty_element": (
        "<br title=${text}/>",
        (1, "the value of title needs quotes around it"),
    ),
}


@pytest.mark.parametrize(("text", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line(text, mistake):
    assert read(text) == [Mistake(*mistake)]


def test_all_mistakes_are_told_at_once():
    mistakes = read("${a${b}\n<p title=${text}>\n${titel}")
    assert isinstance(mistakes, list)
    assert [mistake.line for mistake in mistakes] == [1, 2, 3]


@given(st.text("$${}abtitle<>=\"'\n /-!", max_size=60))
def test_any_file_is_a_page_or_mistaken(text):
    found = read(text)
    if isinstance(found, Template):
        assert set(found.parts[1::2]) <= set(PLACEHOLDERS)
        assert isinstance(found.fill({}), bytes)
    else:
        assert found
        assert all(1 <= line <= text.count("\n") + 1 for line, _ in found)


LANGUAGES = {
    "none": ("<html><p lang=de>", "", ""),
    "its_own": ('<!DOCTYPE html>\n<html class="a" lang="de-AT">', "", "de-at"),
    "without_quotes": ("<HTML LANG=de>", "", "de"),
    "of_its_file": ('<html lang="en">', "de", "de"),
}


@pytest.mark.parametrize(("text", "language", "said"), LANGUAGES.values(), ids=LANGUAGES)
def test_the_language_of_a_page(text, language, said):
    template = read(text, language)
    assert isinstance(template, Template)
    assert template.language == said


FILES = {
    "403.html": ("403", ""),
    "403.de.html": ("403", "de"),
    "5xx.pt-BR.html": ("5xx", "pt-br"),
    "blocked.HTML": ("blocked", ""),
    "my.page.html": ("my.page", ""),
    "403.txt": None,
    ".html": None,
    "logo.png": None,
}


@pytest.mark.parametrize(("file", "name"), FILES.items(), ids=FILES)
def test_the_name_of_a_page(file, name):
    assert name_of(file) == name


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("403", True), ("4xx", True), ("302", True), ("200", False), ("40x", False), ("x", False)],
)
def test_the_pages_of_a_status(name, is_one):
    assert is_of_a_status(name) is is_one


def page(language: str = "") -> Template:
    return Template(language, (language,))


USUAL, GERMAN, FRENCH, CLASS, RULE = page(), page("de"), page("fr"), page(), page("en")
PAGES = OwnPages(
    {
        "403": {"": USUAL, "de": GERMAN},
        "404": {"fr": FRENCH},
        "4xx": {"": CLASS},
        "blocked.html": {"": RULE, "de": GERMAN},
    }
)
CHOSEN = {
    "status": ((403, None, None), USUAL),
    "its_language": ((403, None, b"de-CH"), GERMAN),
    "another_language": ((403, None, b"fr"), USUAL),
    "any_language": ((403, None, b"*"), USUAL),
    "class": ((429, None, b"de"), CLASS),
    "only_in_another_language": ((404, None, b"de"), CLASS),
    "only_in_this_language": ((404, None, b"fr"), FRENCH),
    "only_in_one_language": ((404, None, None), FRENCH),
    "other_class": ((502, None, None), None),
    "rule": ((502, "blocked.html", None), RULE),
    "rule_in_its_language": ((403, "blocked.html", b"de, en;q=0.5"), GERMAN),
    "rule_in_the_language_it_says": ((403, "blocked.html", b"en, de;q=0.5"), RULE),
    "rule_without": ((403, "other.html", None), USUAL),
}


@pytest.mark.parametrize(("asked", "chosen"), CHOSEN.values(), ids=CHOSEN)
def test_the_most_specific_page_wins(asked, chosen):
    assert PAGES.choose(*asked) is chosen


def test_they_are_counted():
    assert len(PAGES) == 6
    assert not OwnPages({})
