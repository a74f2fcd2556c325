"""Which route of the reverse proxy a target takes.

In: the configuration's routes, and a target in normal form. Out: a route, or None.
Knows no pools, no connections, no verdicts.

table    the matchers, the most decisive first, compiled to one look-up
host     a route's hosts: exact, with wildcards, any
path     a route's path, as a prefix

To add a matcher: NAME.py with a function `by_NAME` as in `Matcher`, its place in `table.MATCHERS`,
and tests/upstream/routing/test_NAME.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twistproxy.config.model import Route


class Asked(Protocol):
    """What a route is chosen by: of `http.uri.Target`, what the matchers look at."""

    @property
    def host(self) -> str: ...
    @property
    def path(self) -> str: ...


#: The most specific of some routes for a target, None where there is none.
Find = Callable[[Asked], Route | None]


class Matcher(Protocol):
    """One criterion of routes, compiled over some of them."""

    def __call__(self, routes: Sequence[Route], then: Callable[[Sequence[Route]], Find]) -> Find:
        """Group routes by this criterion, and look a target up in its groups, the most specific
        first. then: compiles a group by the criteria that come after; where a group has no route
        for a target, the next one is asked.

        routes: in the order of the configuration, which `then` is given them in.
        """
