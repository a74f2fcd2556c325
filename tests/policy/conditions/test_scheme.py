from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.scheme import Scheme

CASES = {
    "it": (["https"], uri.absolute(b"https://a/"), True),
    "in_another_case": (["https"], uri.absolute(b"HTTPS://a/"), True),
    "another": (["https"], uri.absolute(b"http://a:443/"), False),
    "any_of_several": (["http", "https"], uri.absolute(b"http://a/"), True),
    "tunnel": (["http", "https"], uri.tunnel(b"a:443"), False),
    "none": ([], uri.absolute(b"http://a/"), False),
}


@pytest.mark.parametrize(("schemes", "target", "holds"), CASES.values(), ids=CASES)
def test_scheme(schemes: list[str], target: object, holds: bool) -> None:
    assert Scheme(schemes, Means()).holds(SimpleNamespace(target=target)) is holds


@pytest.mark.parametrize("scheme", ["HTTP", "ftp", "", "http://"])
def test_what_is_no_scheme(scheme: str) -> None:
    with pytest.raises(ValueError, match="no scheme"):
        Scheme(["https", scheme], Means())


def test_seen() -> None:
    condition = Scheme(["http"], Means())
    assert condition.seen(SimpleNamespace(target=uri.absolute(b"https://a/"))) == "https"
    assert condition.seen(SimpleNamespace(target=uri.tunnel(b"a:443"))) == "a tunnel"
