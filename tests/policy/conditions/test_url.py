from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.url import Url

CASES = {
    "searched": ([r"/ads/"], b"http://h/x/ads/y", True),
    "anchored": ([r"^http://h/x$"], b"HTTP://H:80/./%78", True),
    "case_matters": ([r"/ADS/"], b"http://h/ads/", False),
    "flags": ([r"(?i)/ADS/"], b"http://h/ads/", True),
    "query": ([r"\?.*\bq=x"], b"http://h/?a=1&q=%78", True),
    "any_of_several": (["never", "h/b"], b"http://h/b", True),
    "port": ([r"^https://h:8443/"], b"https://h:8443/", True),
    "other": ([r"/ads/"], b"http://h/", False),
    "none": ([], b"http://h/", False),
}


@pytest.mark.parametrize(("patterns", "url", "holds"), CASES.values(), ids=CASES)
def test_url(patterns: list[str], url: bytes, holds: bool) -> None:
    assert Url(patterns, Means()).holds(SimpleNamespace(target=uri.absolute(url))) is holds


def test_a_tunnel_has_no_url() -> None:
    assert not Url(["", "a:443"], Means()).holds(SimpleNamespace(target=uri.tunnel(b"a:443")))


def test_a_long_search_takes_no_exponential_time() -> None:
    target = uri.origin(b"/" + b"a" * 5000, b"h", "http")
    assert not Url(["(a+)+$b"], Means()).holds(SimpleNamespace(target=target))


def test_what_is_no_pattern(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="RE2"):
        Url(["a(?=b)"], Means())
    assert capfd.readouterr().err == ""
