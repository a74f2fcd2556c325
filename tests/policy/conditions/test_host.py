from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.host import Host

CASES = {
    "exact": ("example.org", "example.org", True),
    "exact_is_not_below": ("example.org", "a.example.org", False),
    "exact_is_no_ending": ("example.org", "anexample.org", False),
    "with_all_below_itself": (".example.org", "example.org", True),
    "with_all_below": (".example.org", "a.b.example.org", True),
    "with_all_below_is_no_ending": (".example.org", "anexample.org", False),
    "below_not_itself": ("*.example.org", "example.org", False),
    "below": ("*.example.org", "a.example.org", True),
    "far_below": ("*.example.org", "a.b.example.org", True),
    "above": (".example.org", "org", False),
    "top_level": (".org", "example.org", True),
    "written_in_another_form": ("*.BÜCHER.example.", "a.xn--bcher-kva.example", True),
    "ipv4": ("127.0.0.1", "127.1", True),
    "ipv6": ("::1", "[0::0:1]", True),
    "mapped": ("127.0.0.1", "[::ffff:7f00:1]", True),
    "written_mapped": ("::ffff:127.0.0.1", "127.0.0.1", True),
    "not_mapped": ("1.0.0.1", "[::ffff:1]", False),
}


@pytest.mark.parametrize(("pattern", "host", "holds"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("form", [b"http://%b/", b"%b:443"], ids=["url", "tunnel"])
def test_host(pattern: str, host: str, holds: bool, form: bytes) -> None:
    wire = form % host.encode()
    target = uri.absolute(wire) if wire.endswith(b"/") else uri.tunnel(wire)
    question = SimpleNamespace(target=target)
    assert Host(["never.example", pattern], Means()).holds(question) is holds


def test_of_no_hosts_none_holds() -> None:
    assert not Host([], Means()).holds(SimpleNamespace(target=uri.tunnel(b"a:443")))


def test_what_is_no_host() -> None:
    with pytest.raises(ValueError, match="valid name"):
        Host(["a.example", "a..example"], Means())
