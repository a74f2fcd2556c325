from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.policy import Means
from twistproxy.policy.conditions.user import User

CASES = {
    "it": (["alice"], "alice", True),
    "another": (["alice"], "bob", False),
    "any_of_several": (["alice", "bob"], "bob", True),
    "in_another_case": (["alice"], "Alice", False),
    "longer": (["alice"], "alice ", False),
    "with_a_nul": (["alice"], "alice\0", False),
    "nobody_known": (["alice", "None"], None, False),
    "none": ([], "alice", False),
    "none_and_nobody": ([], None, False),
}


@pytest.mark.parametrize(("names", "user", "holds"), CASES.values(), ids=CASES)
def test_user(names: list[str], user: str | None, holds: bool) -> None:
    assert User(names, Means()).holds(SimpleNamespace(user=user)) is holds


def test_an_empty_name_is_nobody() -> None:
    with pytest.raises(ValueError, match="empty"):
        User(["alice", ""], Means())


@pytest.mark.parametrize(("user", "text"), [("bob", "bob"), (None, "nobody known")])
def test_seen(user: str | None, text: str) -> None:
    assert User(["alice"], Means()).seen(SimpleNamespace(user=user)) == text
