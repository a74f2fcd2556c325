"""Patterns of hosts, as rules, routes and parents write them.

``example.org`` is that host, ``.example.org`` that and all below, ``*.example.org`` only below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twistproxy.http.uri import host_pattern


def patterns_of(host: str) -> Iterator[str]:
    """Every pattern that a host in normal form matches, the most specific first."""
    yield host
    yield f".{host}"
    at = host.find(".")
    while at >= 0:
        above = host[at:]
        yield f"*{above}"
        yield above
        at = host.find(".", at + 1)


class HostPatterns:
    """A set of patterns. Raises ValueError for one that isn't any."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = frozenset(map(host_pattern, patterns))

    def __contains__(self, host: str) -> bool:
        """Whether a host in normal form matches any."""
        return not self._patterns.isdisjoint(patterns_of(host))
