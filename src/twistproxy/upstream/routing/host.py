"""A route's hosts: ``shop.example`` exactly, ``.shop.example`` that and all below,
``*.shop.example`` only below; without hosts, any.

Exact before wildcard, a longer suffix before a shorter one, any host last. A look-up costs two
dict accesses per label of the host, however many routes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

    def find(target: Asked) -> Route | None:
        for pattern in patterns_of(target.host):
            inner = compiled.get(pattern)
            if inner is not None and (route := inner(target)) is not None:
                return route
        inner = compiled.get(ANY)
        return None if inner is None else inner(target)

    return find


def keys(hosts: Sequence[str]) -> set[str]:
    """Under what a route with these hosts stands. Raises ValueError where one is none.

    ``.a`` under ``*.a``, too: below the host, neither is more specific than the other.
    """
    patterns = {host_pattern(host) for host in hosts} or {ANY}
    return patterns | {"*" + pattern for pattern in patterns if pattern.startswith(".")}
