"""What an operator wants forgotten: by URL, prefix, host, tag or pattern, soft or hard.

A purge is plain values, so that it can be sent to other nodes, and looks at keys and tags alone,
so that a store can ask its index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, Literal, get_args

import re2  # type: ignore[import-untyped]
from attrs import Factory, field, frozen

from twistproxy.http.hosts import HostPatterns
from twistproxy.http.uri import Target, absolute

By = Literal["url", "prefix", "host", "tag", "pattern"]
WAYS: Final[tuple[By, ...]] = get_args(By)


@frozen
class Purge:
    """Which objects are meant, and what happens to them.

    by, value: ``url`` in the normal form of cache keys, ``prefix`` what that begins with, ``host``
    as in routes, ``tag`` one of an object's, ``pattern`` what RE2 finds in the URL. soft: they
    become stale, and are served while nobody has newer ones; else they go.
    Raises ValueError for a value that is none of its kind.
    """

    by: By
    value: str
    soft: bool = False
    _finds: Callable[[str], Any] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _finder(self.by, self.value), takes_self=True),
    )

    def matches(self, url: str, tags: Collection[str]) -> bool:
        """Whether it means an object of that URL and those tags."""
        return self.value in tags if self.by == "tag" else bool(self._finds(url))


def _finder(by: By, value: str) -> Callable[[str], Any]:
    if by == "url":
        return value.__eq__
    if by == "prefix":
        return lambda url: url.startswith(value)
    if by == "host":
        hosts = HostPatterns([value])
        return lambda url: _host(url) in hosts
    if by == "pattern":
        try:
            return re2.compile(value).search  # type: ignore[no-any-return]
        except re2.error as error:
            raise ValueError(f"not an RE2 pattern: {error}") from None
    return lambda url: False


def _host(url: str) -> str:
    target = absolute(url.encode("latin-1"))
    return target.host if isinstance(target, Target) else ""
