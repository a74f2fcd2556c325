from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.policy import Means
from twistproxy.policy.conditions.content_type import ContentType


def answered(*values: bytes) -> SimpleNamespace:
    fields = Fields([(b"Content-Type", value) for value in values])
    return SimpleNamespace(response=Response(200, fields))


CASES: dict[str, tuple[list[str], list[bytes], bool]] = {
    "it": (["text/html"], [b"text/html"], True),
    "in_any_case": (["Text/HTML"], [b"TEXT/html"], True),
    "parameters": (["text/html"], [b"text/html; charset=utf-8"], True),
    "space_before_parameters": (["text/html"], [b"text/html\t ;charset=utf-8"], True),
    "another": (["text/html"], [b"text/plain"], False),
    "longer": (["text/html"], [b"text/html5"], False),
    "all_of_a_kind": (["video/*"], [b"video/mp4"], True),
    "not_of_that_kind": (["video/*"], [b"audio/mp4"], False),
    "not_only_as_letters": (["video/*"], [b"videos/mp4"], False),
    "any_that_is_said": (["*/*"], [b"text/html"], True),
    "any_of_several": (["image/png", "video/*"], [b"image/png"], True),
    "second_line": (["video/*"], [b"text/html", b"video/mp4"], True),
    "first_line": (["video/*"], [b"video/mp4", b"text/html"], True),
    "list_in_a_line": (["video/*"], [b"text/html;x=y, video/mp4;z"], True),
    "behind_a_comma": (["video/mp4"], [b",, video/mp4"], True),
    "long_parameters": (["video/mp4"], [b"video/mp4; x=" + b"y" * 5000], True),
    "suffix_is_no_type": (["application/json"], [b"application/ld+json"], False),
    "not_said": (["*/*"], [], False),
    "empty": (["*/*"], [b""], False),
    "only_parameters": (["*/*"], [b"; charset=utf-8"], False),
    "no_ascii": (["*/*"], [b"\xff\xfe"], True),
    "none": ([], [b"text/html"], False),
}


@pytest.mark.parametrize(("types", "values", "holds"), CASES.values(), ids=CASES)
def test_content_type(types: list[str], values: list[bytes], holds: bool) -> None:
    condition = ContentType(types, Means())
    assert condition.holds(answered(*values)) is holds
    assert condition.holds(answered(*values)) is holds  # remembered


@pytest.mark.parametrize("type_", ["", "html", "text/", "*/html", "text/html; charset=utf-8", "*"])
def test_what_is_no_type(type_: str) -> None:
    with pytest.raises(ValueError, match='no type; they are written "text/html"'):
        ContentType(["image/png", type_], Means())


def test_no_response_yet() -> None:
    assert not ContentType(["*/*"], Means()).holds(SimpleNamespace(response=None))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (answered(b"text/html; charset=utf-8"), '"text/html; charset=utf-8"'),
        (answered(), "no Content-Type"),
        (SimpleNamespace(response=None), "no response yet"),
    ],
)
def test_seen(question: SimpleNamespace, text: str) -> None:
    assert ContentType(["video/*"], Means()).seen(question) == text
