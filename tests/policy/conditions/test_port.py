from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.port import Port

CASES = {
    "written": (b"http://a:8080/", True),
    "default": (b"https://a/", True),
    "default_and_written": (b"https://a:0443/", True),
    "other": (b"http://a/", False),
}


@pytest.mark.parametrize(("url", "holds"), CASES.values(), ids=CASES)
def test_port(url: bytes, holds: bool) -> None:
    question = SimpleNamespace(target=uri.absolute(url))
    assert Port([443, 8080], Means()).holds(question) is holds


def test_a_tunnel_has_a_port() -> None:
    assert Port([22], Means()).holds(SimpleNamespace(target=uri.tunnel(b"a:22")))
