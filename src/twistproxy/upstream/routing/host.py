"""A route's hosts: ``shop.example`` exactly, ``.shop.example`` that and all below,
``*.shop.example`` only below; without hosts, any.

Exact before wildcard, a longer suffix before a shorter one, any host last. A look-up costs two
dict accesses per label of the host, however many routes there are, and one for a host that was
there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from twistproxy.config.model import Route
from twistproxy.http.hosts import patterns_of
from twistproxy.http.uri import host_pattern
from twistproxy.upstream.routing import Asked, Find

ANY = "*"


def by_host(routes: Sequence[Route], then: Callable[[Sequence[Route]], Find]) -> Find:
    """See `Matcher`. Raises ValueError where a host is none."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        for key in keys(route.hosts):
            groups.setdefault(key, []).append(route)
    compiled = {key: then(group) for key, group in groups.items()}

    if groups.keys() == {ANY}:
        return compiled[ANY]

    @lru_cache(1024)
    def groups_of(host: str) -> tuple[Find, ...]:
        return tuple(compiled[key] for key in (*patterns_of(host), ANY) if key in compiled)

    def find(target: Asked) -> Route | None:
        for inner in groups_of(target.host):
            if (route := inner(target)) is not None:
                return route
        return None

    return find


def keys(hosts: Sequence[str]) -> set[str]:
    """Under what a route with these hosts stands. Raises ValueError where one is none.

    ``.a`` under ``*.a``, too: below the host, neither is more specific than the other.
    """
    patterns = {host_pattern(host) for host in hosts} or {ANY}
    return patterns | {"*" + pattern for pattern in patterns if pattern.startswith(".")}
