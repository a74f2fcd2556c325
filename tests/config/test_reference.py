"""reference: docs/configuration.rst is what the model says."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from twistproxy.config import model
from twistproxy.config.reference import reference
from twistproxy.config.structure import key_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.rst"
EXAMPLE = Path(__file__).parents[2] / "etc" / "twistproxy.toml"
KEYS = {
    key_of(attribute)
    for class_ in vars(model).values()
    if isinstance(class_, type) and attrs.has(class_)
    for attribute in attrs.fields(class_)
}


def test_the_document_is_up_to_date():
    assert DOCUMENT.read_text() == reference(), (
        "python -m twistproxy.config.reference > docs/configuration.rst"
    )


def test_defaults_are_written_as_in_a_file():
    text = reference()
    for written in (
        '``"64KiB"``',
        '``"1h"``',
        '``"50ms"``',
        '``"0s"``',
        '``["127.0.0.0/8", "::1/128"]``',
        "``[443]``",
    ):
        assert f"     - {written}\n" in text


def test_every_key_is_in_it():
    text = reference()
    assert all(f"``{key}``" in text or f"{key}]" in text or f"{key}.NAME]" in text for key in KEYS)


def test_the_example_shows_every_key():
    text = EXAMPLE.read_text()
    assert {key for key in KEYS if not re.search(rf"\b{key}\b", text)} == set()
