"""The routes of one generation, compiled to one look-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twistproxy.config.errors import Fault, Where, dotted, shown
from twistproxy.config.model import Route
from twistproxy.http.hosts import HostPatterns
from twistproxy.http.uri import path_prefix
from twistproxy.upstream import faults_of_hosts
from twistproxy.upstream.routing import Asked, Find, Matcher
from twistproxy.upstream.routing.host import by_host, keys
from twistproxy.upstream.routing.path import by_path

#: The most decisive first: the longer path of a less specific host never wins.
MATCHERS: tuple[Matcher, ...] = (by_host, by_path)


class RouteTable:
    """Immutable. Raises ValueError where a route's host or path is none."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._named = HostPatterns(host for route in routes for host in route.hosts)
        self._find = _compile(MATCHERS, routes)

    def match(self, target: Asked) -> Route | None:
        """The most specific route that takes the target. Of equals, the first written."""
        return self._find(target)

    def names(self, host: str) -> bool:
        """Whether a route names this host (in normal form), exactly or by a wildcard.

        Routes for any host name none: of such a host a forward client means the one out there.
        """
        return host in self._named


def faults(routes: Sequence[Route]) -> Iterator[Fault]:
    """What can't be a route's, and what of a route no request would ever take."""
    taken: dict[tuple[str, str], int] = {}  # host and path: by which route
    for index, route in enumerate(routes):
        where: Where = ("reverse", "route", index)
        wrong = [*faults_of_hosts(where, route.hosts), *_faults_of_paths(where, route)]
        yield from wrong
        if wrong:
            continue
        path = path_prefix(route.path)
        parts = {(*where, "hosts", place): keys([host]) for place, host in enumerate(route.hosts)}
        for part, names in (parts or {where: keys([])}).items():
            takers = [taken.setdefault((name, path), index) for name in sorted(names)]
            if index not in takers:
                first = dotted(("reverse", "route", takers[0]))
                yield Fault(part, f"{first} comes first, with the same path, and takes all of it")


def _faults_of_paths(where: Where, route: Route) -> Iterator[Fault]:
    for key, path in (("path", route.path), ("strip_prefix", route.strip_prefix or "/")):
        try:
            path_prefix(path)
        except ValueError as error:
            yield Fault((*where, key), f"{shown(path)}: {error}")


def _compile(matchers: Sequence[Matcher], routes: Sequence[Route]) -> Find:
    if not matchers:
        first = routes[0]
        return lambda target: first
    matcher, *others = matchers
    return matcher(routes, lambda group: _compile(others, group))
