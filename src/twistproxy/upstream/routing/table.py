"""The routes of one generation, compiled to one look-up."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.config.model import Route
from twistproxy.http.hosts import HostPatterns
from twistproxy.upstream.routing import Asked, Find, Matcher
from twistproxy.upstream.routing.host import by_host
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


def _compile(matchers: Sequence[Matcher], routes: Sequence[Route]) -> Find:
    if not matchers:
        first = routes[0]
        return lambda target: first
    matcher, *others = matchers
    return matcher(routes, lambda group: _compile(others, group))
