"""A route's path: a prefix of the target's, the longest first.

The prefix is one of characters, as in nginx's ``location`` and in the policy's rules: ``/api``
takes ``/api``, ``/api/x`` and ``/apix``; ``/api/`` takes ``/api/x``, but neither ``/api`` nor
``/apix``. A look-up costs one dict access per distinct length of a path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twistproxy.config.model import Route
from twistproxy.http.uri import path_prefix
from twistproxy.upstream.routing import Asked, Find


def by_path(routes: Sequence[Route], then: Callable[[Sequence[Route]], Find]) -> Find:
    """See `Matcher`. Raises ValueError where a path is none."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        groups.setdefault(path_prefix(route.path), []).append(route)
    compiled = {prefix: then(group) for prefix, group in groups.items()}
    lengths = sorted({len(prefix) for prefix in groups}, reverse=True)

    def find(target: Asked) -> Route | None:
        path = target.path
        for length in lengths:
            inner = compiled.get(path[:length])
            if inner is not None and (route := inner(target)) is not None:
                return route
        return None

    return find
