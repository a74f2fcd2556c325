from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.policy import Means
from twistproxy.policy.conditions.group import Group

CASES = {
    "it": (["staff"], {"staff"}, True),
    "one_of_theirs": (["staff"], {"all", "staff"}, True),
    "any_of_several": (["staff", "guests"], {"guests"}, True),
    "another": (["staff"], {"guests"}, False),
    "in_another_case": (["staff"], {"Staff"}, False),
    "in_none": (["staff"], set(), False),
    "none": ([], {"staff"}, False),
}


@pytest.mark.parametrize(("names", "groups", "holds"), CASES.values(), ids=CASES)
def test_group(names: list[str], groups: set[str], holds: bool) -> None:
    question = SimpleNamespace(groups=frozenset(groups))
    assert Group(names, Means()).holds(question) is holds


def test_an_empty_name_is_no_group() -> None:
    with pytest.raises(ValueError, match="empty"):
        Group(["staff", ""], Means())


@pytest.mark.parametrize(
    ("groups", "text"), [({"staff", "all"}, "all, staff"), (set(), "in no group")]
)
def test_seen(groups: set[str], text: str) -> None:
    assert Group(["x"], Means()).seen(SimpleNamespace(groups=frozenset(groups))) == text
