"""Patterns of hosts, as rules, routes and parents write them.

``example.org`` is that host, ``.example.org`` that and all below, ``*.example.org`` only below.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from twistproxy.http.uri import host_pattern

# Hosts up to this length are worth remembering what they match: a megabyte or two.
_KEPT_MAX = 64


def patterns_of(host: str) -> tuple[str, ...]:
    """Every pattern that a host in normal form matches, the most specific first."""
    return _patterns(host) if len(host) <= _KEPT_MAX else _patterns.__wrapped__(host)


@lru_cache(512)
def _patterns(host: str) -> tuple[str, ...]:
    found = [host, f".{host}"]
    at = host.find(".")
    while at >= 0:
        above = host[at:]
        found += f"*{above}", above
        at = host.find(".", at + 1)
    return tuple(found)


def unmapped(host: str) -> str:
    """An IPv4-mapped IPv6 address, which leads to the IPv4 address, as that; others as they are.

    host: in normal form, where a mapped address, and only that, has a colon and a dot.
    """
    return host[7:] if ":" in host and "." in host else host


class HostPatterns:
    """A set of patterns. Raises ValueError for one that isn't any."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = frozenset(map(host_pattern, patterns))

    def __contains__(self, host: str) -> bool:
        """Whether a host in normal form matches any."""
        return not self._patterns.isdisjoint(patterns_of(host))
