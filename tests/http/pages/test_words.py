"""words: every text in every language, and times that a person can read."""

from __future__ import annotations

import ast
import re
from http import HTTPStatus
from itertools import product
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from twistproxy import http
from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.pages.words import ENGLISH, GERMAN, WORDS
from twistproxy.policy.limits.concurrency import Concurrency
from twistproxy.policy.limits.quota import Per, Quota, Unit
from twistproxy.policy.limits.rate import PERIODS, Rate
from twistproxy.policy.parked import TEXTS

PROBLEMS = {name: value for name, value in vars(errors).items() if isinstance(value, Problem)}
OTHERS = {language: words for language, words in WORDS.items() if words is not ENGLISH}
SOURCE = Path(http.__file__).parents[1]


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_each_problem_has_its_text(problem, words):
    told = words.texts[problem.text]
    assert told != problem.text
    assert blanks(told) == blanks(problem.text)


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_each_status_has_its_phrase(words):
    assert {status.value for status in HTTPStatus if status >= 300} == set(words.phrases)
    assert set(words.cloaked) == set(ENGLISH.cloaked)
    assert set(words.labels) == set(ENGLISH.labels)
    for name in ("again", "denied", "failed"):
        assert blanks(getattr(words, name)) == blanks(getattr(ENGLISH, name)) != set()


def test_a_language_is_known_by_its_tag():
    assert all(words.language == tag == tag.lower() for tag, words in WORDS.items())
    assert next(iter(WORDS.values())) is ENGLISH


def test_the_text_is_filled_in():
    problem = errors.DNS_ERROR.about(host="{a}.test")
    assert ENGLISH.text(problem, False) == "The name {a}.test can't be resolved."
    assert GERMAN.text(problem, False) == "Der Name {a}.test lässt sich nicht auflösen."
    assert GERMAN.text(errors.LOOP_DETECTED, False) == "Die Anfrage käme zu diesem Proxy zurück."


def test_an_unknown_text_stays_as_it_is():
    assert GERMAN.text(Problem("x", 400, "Tea {is} out."), False) == "Tea {is} out."
    assert GERMAN.text(Problem("x", 400, "No {what}.").about(what="tea"), False) == "No tea."


def test_behind_a_cloak_nothing_of_a_server_is_told():
    problem = errors.CONNECTION_REFUSED.about(server="http://10.0.0.5")
    for words in WORDS.values():
        assert words.text(problem, True) == words.cloaked[502]
    assert GERMAN.text(problem.as_status(599), True) == GERMAN.cloaked[500]
    assert GERMAN.text(errors.LENGTH_REQUIRED, True) == GERMAN.text(errors.LENGTH_REQUIRED, False)


DETAILS = {
    "this": (errors.REQUEST_DENIED.about(what="This"), "Das ist hier nicht erlaubt."),
    "port": (
        errors.REQUEST_DENIED.about(what="CONNECT to port 25"),
        "CONNECT zum Port 25 ist hier nicht erlaubt.",
    ),
    "host": (errors.REQUEST_DENIED.about(what="This.test"), "This.test ist hier nicht erlaubt."),
    "bytes": (
        errors.HEAD_TOO_LARGE.about(limit="9 bytes"),
        "Der Kopf der Anfrage ist größer als 9 Bytes.",
    ),
    "connections": (
        errors.CONNECTION_LIMIT_REACHED.about(what="9 from one address"),
        "Es sind so viele Verbindungen offen, wie die Grenzen erlauben: 9 von einer Adresse.",
    ),
}


@pytest.mark.parametrize(("problem", "told"), DETAILS.values(), ids=DETAILS)
def test_words_of_ours_within_a_text(problem, told):
    assert GERMAN.text(problem, False) == told


def whats():
    """What the source says that is not allowed, or at its limit; an example of each."""
    calls = (
        node
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "about"
    )
    for keyword in (keyword for call in calls for keyword in call.keywords):
        value = keyword.value
        if keyword.arg in ("what", "limit") and isinstance(value, ast.Constant | ast.JoinedStr):
            yield re.sub("{[^}]*}", "7", ast.unparse(value).strip("f'\""))


def test_no_word_of_ours_is_forgotten():
    found = set(whats())
    assert {"Your address", "7 bytes", "7 in all"} <= found
    stay = {"PURGE"}
    for words in OTHERS.values():
        for what in found - stay:
            assert any(pattern.fullmatch(what) for pattern, _ in words.details), what


def test_what_an_operator_said_is_told_in_each_language():
    for words in OTHERS.values():
        for why in ("no", "never", "unanswered", "full"):
            assert any(pattern.fullmatch(TEXTS[why]) for pattern, _ in words.details), why


def refusals():
    for seconds in PERIODS:
        rate = Rate("r", 5, seconds, 1, "client")
        rate.enter("k", 0.0, 0.0)
        yield rate.refuses("k", 0.0, 0.0)
    concurrency = Concurrency("r", 1, "client")
    concurrency.enter("k", 0.0, 0.0)
    yield concurrency.refuses("k", 0.0, 0.0)
    for unit, per in product(get_args(Unit), get_args(Per)):
        quota = Quota("r", unit, 1, per, "client")
        quota.enter("k", 0.0, 0.0)
        quota.spend("k", 2, 120.0)
        yield quota.refuses("k", 180.0, 180.0)


def test_what_limits_say_is_told_in_each_language():
    for refusal in refusals():
        for words in OTHERS.values():
            assert blanks(words.texts[refusal.template]) == blanks(refusal.template)


WAITS = {
    0.0: "1 second",
    1.0: "1 second",
    1.2: "2 seconds",
    119.0: "119 seconds",
    120.0: "2 minutes",
    121.0: "3 minutes",
    7199.0: "120 minutes",
    7200.0: "2 hours",
    100_000.0: "28 hours",
    172_800.0: "2 days",
    2_600_000.0: "31 days",
}


@pytest.mark.parametrize(("seconds", "told"), WAITS.items())
def test_how_long_is_told_in_a_fitting_unit(seconds, told):
    assert ENGLISH.wait(seconds) == told


def test_how_long_in_german():
    waits = (1, 5, 300, 10_000, 200_000)
    assert [GERMAN.wait(seconds) for seconds in waits] == [
        "1 Sekunde",
        "5 Sekunden",
        "5 Minuten",
        "3 Stunden",
        "3 Tagen",
    ]
