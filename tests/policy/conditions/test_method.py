from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.policy import Means
from twistproxy.policy.conditions.method import Method


@pytest.mark.parametrize(
    ("method", "holds"), [("PUT", True), ("BREW", True), ("GET", False), ("put", False)]
)
def test_method_as_sent(method: str, holds: bool) -> None:
    assert Method(["PUT", "BREW"], Means()).holds(SimpleNamespace(method=method)) is holds
