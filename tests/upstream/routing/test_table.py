"""table: the most specific route wins."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.model import Route
from twistproxy.http.uri import Target, origin
from twistproxy.upstream.routing.table import RouteTable, faults


def route(pool: str, *hosts: str, path: str = "/") -> Route:
    return Route(hosts=hosts, path=path, pool=pool)


def asked(url: str) -> Target:
    host, _, path = url.partition("/")
    target = origin(b"/" + path.encode(), host.encode(), "http")
    assert isinstance(target, Target)
    return target


ROUTES = [
    route("any"),
    route("any_img", path="/img/"),
    route("below", "*.shop.example"),
    route("below_long_path", "*.shop.example", path="/very/long/path/"),
    route("below_de", "*.de.shop.example"),
    route("shop", "shop.example", "www.shop.example"),
    route("shop_api", "shop.example", path="/api/"),
    route("shop_api_v1", "shop.example", path="/api/v1"),
    route("dotted", ".blog.example"),
    route("dotted_exact", "www.blog.example", path="/new/"),
    route("twin_1", "twin.example"),
    route("twin_2", "twin.example"),
]
EXPECTED = {
    "any_host": ("other.example/", "any"),
    "any_host_longer_path": ("other.example/img/x", "any_img"),
    "exact": ("shop.example/", "shop"),
    "exact_second_host": ("www.shop.example/", "shop"),
    "exact_beats_longer_path_of_any": ("shop.example/img/x", "shop"),
    "exact_beats_longer_path_of_wildcard": ("www.shop.example/very/long/path/x", "shop"),
    "longer_path": ("shop.example/api/x", "shop_api"),
    "longest_path": ("shop.example/api/v1/x", "shop_api_v1"),
    "wildcard": ("m.shop.example/", "below"),
    "wildcard_longer_path": ("m.shop.example/very/long/path/", "below_long_path"),
    "longer_suffix": ("m.de.shop.example/", "below_de"),
    "longer_suffix_beats_longer_path": ("m.de.shop.example/very/long/path/", "below_de"),
    "shorter_suffix_at_its_end": ("de.shop.example/", "below"),
    "dotted_itself": ("blog.example/", "dotted"),
    "dotted_below": ("a.b.blog.example/", "dotted"),
    "exact_without_that_path": ("www.blog.example/old/", "dotted"),
    "exact_with_that_path": ("www.blog.example/new/", "dotted_exact"),
    "first_of_equals": ("twin.example/", "twin_1"),
    "normal_form": ("SHOP.example.:80//x/../api/%76%31", "shop_api_v1"),
    "ipv6": ("[2001:db8::1]/img/", "any_img"),
}


@pytest.mark.parametrize(("url", "pool"), EXPECTED.values(), ids=EXPECTED)
@pytest.mark.parametrize(
    "routes", [ROUTES, [*ROUTES[:-2][::-1], *ROUTES[-2:]]], ids=["", "reversed"]
)
def test_the_most_specific_wins(routes, url, pool):
    found = RouteTable(routes).match(asked(url))
    assert found is not None
    assert found.pool == pool


def test_without_a_route_for_any_host_others_have_none():
    table = RouteTable([route("shop", "shop.example", path="/api/")])
    assert table.match(asked("shop.example/")) is None
    assert table.match(asked("other.example/api/")) is None
    assert RouteTable([]).match(asked("shop.example/")) is None


NAMED = {
    "exact": ("shop.example", True),
    "wildcard": ("m.shop.example", True),
    "dotted_itself": ("blog.example", True),
    "dotted_below": ("a.blog.example", True),
    "any_host_only": ("other.example", False),
    "above": ("example", False),
    "address": ("192.0.2.1", False),
    "ipv6": ("2001:db8::1", False),
}


@pytest.mark.parametrize(("host", "named"), NAMED.values(), ids=NAMED)
def test_names(host, named):
    assert RouteTable(ROUTES).names(host) is named


def test_no_routes_name_nobody():
    assert RouteTable([]).names("shop.example") is False
    assert RouteTable([route("any")]).names("shop.example") is False


@pytest.mark.parametrize("wrong", [route("p", "a b"), route("p", path="api")], ids=["host", "path"])
def test_what_is_no_host_or_path_is_told(wrong):
    with pytest.raises(ValueError, match=r"host|path|below"):
        RouteTable([wrong])


HOSTS = st.sampled_from(["a.x", "x", ".x", "*.x", ".a.x", "*.a.x", "b.a.x", ".b.a.x"])
PATHS = st.sampled_from(["/", "/p", "/p/", "/p/q", "/q/"])


@given(
    routes=st.lists(
        st.builds(
            Route, hosts=st.lists(HOSTS, max_size=2).map(tuple), path=PATHS, pool=st.just("p")
        ),
        max_size=8,
    ),
    host=st.sampled_from(["x", "a.x", "b.a.x", "c.b.a.x", "y"]),
    path=st.sampled_from(["/", "/p", "/px", "/p/q/r", "/q/"]),
)
def test_as_one_who_reads_all_routes_would_choose(routes, host, path):
    def rank(r: Route) -> tuple[int, int] | None:
        """How well a route's host fits: wildcards by the length of what they leave open."""
        fits = [0] if not r.hosts else []
        for pattern in r.hosts:
            name = pattern.lstrip("*.")
            if pattern == host:
                fits.append(1000)
            elif (pattern == "." + host) or (pattern != name and host.endswith("." + name)):
                fits.append(len(name))
        return (max(fits), len(r.path)) if fits and path.startswith(r.path) else None

    best = max(filter(None, map(rank, routes)), default=None)
    found = RouteTable(routes).match(SimpleNamespace(host=host, path=path))
    assert found is next((r for r in routes if best is not None and rank(r) == best), None)


FAULTS = {
    "none": (ROUTES[:-1], []),
    "the_same_again": ([route("a", "a.test"), route("b", "A.test.")], [(1, "hosts", 0)]),
    "one_host_of_two": (
        [route("a", "a.test", "b.test"), route("b", "c.test", "b.test")],
        [(1, "hosts", 1)],
    ),
    "twice_in_one_route": ([route("a", "a.test", "A.test")], []),
    "another_path": ([route("a", "a.test"), route("b", "a.test", path="/b/")], []),
    "the_same_path_in_other_words": (
        [route("a", path="/~b/"), route("b", path="/x/../%7Eb/")],
        [(1,)],
    ),
    "any_host_twice": ([route("a"), route("b")], [(1,)]),
    "below_what_is_taken_with_it": (
        [route("a", ".a.test"), route("b", "*.a.test")],
        [(1, "hosts", 0)],
    ),
    "with_what_is_taken_below": ([route("a", "*.a.test"), route("b", ".a.test")], []),
    "by_two_together": (
        [route("a", "*.a.test"), route("b", ".a.test"), route("c", ".a.test")],
        [(2, "hosts", 0)],
    ),
    "no_host": ([route("a", "a.test", "xn--a")], [(0, "hosts", 1)]),
    "no_path": (
        [route("a", path="/a%zz/"), route("b", "xn--a", path="/%4")],
        [(0, "path"), (1, "hosts", 0), (1, "path")],
    ),
    "no_prefix": ([Route(pool="a", strip_prefix="/%4")], [(0, "strip_prefix")]),
}


@pytest.mark.parametrize(("routes", "wheres"), FAULTS.values(), ids=FAULTS)
def test_what_no_request_would_take_is_told_where(routes, wheres):
    assert [fault.where for fault in faults(routes)] == [
        ("reverse", "route", *where) for where in wheres
    ]


@given(
    st.lists(
        st.builds(
            lambda hosts, path: route("p", *hosts, path=path),
            st.lists(
                st.sampled_from(["a.b", ".b", "*.b", "*.a.b", ".a.b", "c.a.b", "A.b"]), max_size=2
            ),
            st.sampled_from(["/", "/x", "/x/"]),
        ),
        max_size=6,
    )
)
def test_what_is_told_of_is_found_by_nothing(routes):
    """The other way round it need not be: two routes together may hide a third."""
    table = RouteTable(routes)
    urls = [
        host + path
        for host in ("a.b", "b", "x.b", "c.a.b", "x.a.b", "z")
        for path in ("/", "/x", "/x/")
    ]
    found = {id(table.match(asked(url))) for url in urls}
    told = Counter(fault.where[2] for fault in faults(routes))
    for index, each in enumerate(routes):
        if told[index] == max(1, len(each.hosts)):
            assert id(each) not in found
