"""errors: how a place and a value are shown."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.errors import ConfigError, ConfigErrors, did_you_mean, dotted, shown

STEPS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def test_dotted():
    assert dotted(("reverse", "route", 2, "pool")) == "reverse.route[2].pool"
    assert dotted(("pools", "my api", "servers", 0)) == 'pools."my api".servers[0]'
    assert dotted(()) == ""


@given(st.lists(STEPS, min_size=1, max_size=4))
def test_a_dotted_key_is_a_toml_key(steps):
    table = tomllib.loads(f"{dotted(tuple(steps))} = true")
    for step in steps:
        table = table[step]
    assert table is True


@given(STEPS)
def test_a_shown_string_is_a_toml_string(text):
    line = shown(text)
    assert line.isprintable()
    if not line.endswith(" ..."):
        assert tomllib.loads(f"a = {line}") == {"a": text}


SHOWN = {
    "true": True,
    "5": 5,
    "a list": [1],
    "a table": {},
    "1979-05-27": date(1979, 5, 27),
    '"' + "a" * 75 + " ...": "a" * 100,
}


@pytest.mark.parametrize(("line", "value"), SHOWN.items())
def test_shown(line, value):
    assert shown(value) == line


def test_did_you_mean():
    assert did_you_mean("apo", ["api", "shop"]) == '; did you mean "api"?'
    assert did_you_mean("zzz", ["api", "shop"]) == ""


def test_errors_are_printed_one_a_line():
    without_line = ConfigError("f", None, "", "can't be read: gone")
    without_key = ConfigError("f", 2, "", "Invalid value")
    whole = ConfigError("f", 3, "a.b", "is required")
    assert str(ConfigErrors([without_line, without_key, whole])) == (
        "f: can't be read: gone\nf:2: Invalid value\nf:3: a.b: is required"
    )
