from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.policy import Means
from twistproxy.policy.conditions.country import Country

MEANS = Means(countries={"192.0.2.1": "SE", "198.51.100.1": "NO"}.get)

CASES = {
    "it": (["SE"], "192.0.2.1", True),
    "written_small": (["se"], "192.0.2.1", True),
    "any_of_several": (["SE", "NO"], "198.51.100.1", True),
    "another": (["SE"], "198.51.100.1", False),
    "unknown": (["SE", "NO"], "10.0.0.1", False),
    "unix_socket": (["SE"], "", False),
    "none": ([], "192.0.2.1", False),
}


@pytest.mark.parametrize(("codes", "client", "holds"), CASES.values(), ids=CASES)
def test_country(codes: list[str], client: str, holds: bool) -> None:
    assert Country(codes, MEANS).holds(SimpleNamespace(client=client)) is holds


def test_without_a_file_all_are_unknown() -> None:
    assert not Country(["SE"], Means()).holds(SimpleNamespace(client="192.0.2.1"))


@pytest.mark.parametrize("code", ["", "S", "SWE", "Sweden", "S1", "SÉ", "SE\n"])
def test_what_is_no_code(code: str) -> None:
    with pytest.raises(ValueError, match="two letters"):
        Country(["SE", code], MEANS)


def test_the_united_kingdom() -> None:
    with pytest.raises(ValueError, match='did you mean "GB"'):
        Country(["uk"], MEANS)


@pytest.mark.parametrize(("client", "text"), [("192.0.2.1", "SE"), ("10.0.0.1", "not known")])
def test_seen(client: str, text: str) -> None:
    assert Country(["NO"], MEANS).seen(SimpleNamespace(client=client)) == text
