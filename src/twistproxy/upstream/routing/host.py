"""A route's hosts: ``shop.example`` exactly, ``.shop.example`` that and all below,
``*.shop.example`` only below; without hosts, any.

Exact before wildcard, a longer suffix before a shorter one, any host last. A look-up costs one
dict access per label of the host, however many routes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twistproxy.config.model import Route
from twistproxy.http.uri import host_pattern
from twistproxy.upstream.routing import Asked, Find

ANY = "*"


def by_host(routes: Sequence[Route], then: Callable[[Sequence[Route]], Find]) -> Find:
    """See `Matcher`. Raises ValueError where a host is none."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        for key in keys(route.hosts) or {ANY}:
            groups.setdefault(key, []).append(route)
    compiled = {key: then(group) for key, group in groups.items()}

    def find(target: Asked) -> Route | None:
        for key in spellings(target.host):
            inner = compiled.get(key)
            if inner is not None and (route := inner(target)) is not None:
                return route
        inner = compiled.get(ANY)
        return None if inner is None else inner(target)

    return find


def keys(hosts: Sequence[str]) -> set[str]:
    """Under what a route with these hosts stands, without `ANY`."""
    patterns = {host_pattern(host) for host in hosts}
    return patterns | {"*" + pattern for pattern in patterns if pattern.startswith(".")}


def spellings(host: str) -> Iterator[str]:
    """Under what a route for this host may stand, the most specific first, without `ANY`."""
    yield host
    yield "." + host
    dot = host.find(".")
    while dot >= 0:
        yield "*" + host[dot:]
        dot = host.find(".", dot + 1)
