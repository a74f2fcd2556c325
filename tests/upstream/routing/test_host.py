"""host: which routes' hosts take a host, and in which order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.config.model import Route
from twistproxy.upstream.routing.host import by_host


def matching(*hosts: str, asked: str) -> bool:
    find = by_host([Route(hosts=hosts, pool="p")], lambda group: lambda target: group[0])
    return find(SimpleNamespace(host=asked, path="/")) is not None


PATTERNS = {
    "any_host": ((), "x.example", True),
    "exact": (("shop.example",), "shop.example", True),
    "exact_not_below": (("shop.example",), "www.shop.example", False),
    "exact_not_above": (("www.shop.example",), "shop.example", False),
    "star_below": (("*.shop.example",), "www.shop.example", True),
    "star_far_below": (("*.shop.example",), "a.b.shop.example", True),
    "star_not_itself": (("*.shop.example",), "shop.example", False),
    "star_not_a_longer_label": (("*.shop.example",), "myshop.example", False),
    "dot_itself": ((".shop.example",), "shop.example", True),
    "dot_below": ((".shop.example",), "a.b.shop.example", True),
    "dot_not_a_longer_label": ((".shop.example",), "myshop.example", False),
    "second_of_two": (("a.example", "*.b.example"), "x.b.example", True),
    "top_level": (("*.example",), "a.b.example", True),
    "address": (("192.0.2.1",), "192.0.2.1", True),
    "ipv6_address": (("[2001:DB8::1]",), "2001:db8::1", True),
    "configured_in_another_case": (("Shop.Example.",), "shop.example", True),
    "configured_as_a_u_label": (("*.bücher.example",), "www.xn--bcher-kva.example", True),
}


@pytest.mark.parametrize(("hosts", "asked", "taken"), PATTERNS.values(), ids=PATTERNS)
def test_patterns(hosts, asked, taken):
    assert matching(*hosts, asked=asked) is taken


@pytest.mark.parametrize("host", ["*", "*.192.0.2.1", "a b", "", "*x.example"])
def test_what_is_no_host_is_told(host):
    with pytest.raises(ValueError, match=r"host|path|below"):
        matching(host, asked="a.example")


def test_below_a_host_neither_wildcard_is_more_specific():
    with_it, without_it = (
        Route(hosts=(hosts,), pool="p") for hosts in (".a.example", "*.a.example")
    )
    find = by_host([with_it, without_it], lambda group: lambda target: group[0])
    assert find(SimpleNamespace(host="x.a.example", path="/")) is with_it
    find = by_host([without_it, with_it], lambda group: lambda target: group[0])
    assert find(SimpleNamespace(host="x.a.example", path="/")) is without_it


def test_where_a_group_has_nothing_the_next_is_asked():
    exact, below, anywhere = (
        Route(hosts=hosts, pool="p") for hosts in (("a.example",), (".example",), ())
    )

    def refusing(*refused: Route) -> Route | None:
        find = by_host(
            [anywhere, below, exact],
            lambda group: lambda target: next((r for r in group if r not in refused), None),
        )
        return find(SimpleNamespace(host="a.example", path="/"))

    assert refusing() is exact
    assert refusing(exact) is below
    assert refusing(exact, below) is anywhere
    assert refusing(exact, below, anywhere) is None
