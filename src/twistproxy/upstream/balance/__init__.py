"""Which server of a pool gets the exchange.

In: a pool's servers and a key. Out: the order in which to try them.
Knows no sockets, no health, no HTTP. One algorithm, one file.
To add one: NAME.py, ending in its `Balancing`, and tests/upstream/balance/test_NAME.py. A third
party's file goes into a folder ``twistproxy/upstream/balance`` without an ``__init__.py``,
anywhere on ``sys.path``: this package is one of `twisted.plugin`, which finds both alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.plugin import IPlugin, getPlugins, pluginPackagePaths
from zope.interface import Attribute, Interface, implementer

__path__.extend(pluginPackagePaths(__name__))


class Server(Protocol):
    """What a balancer may know of a server."""

    @property
    def name(self) -> bytes:
        """Unlike that of any other server of the pool, and the same after a restart."""

    @property
    def weight(self) -> int:
        """Its share of the exchanges among the weights of all, at least 1."""


class IBalancer(Interface):
    """One pool's order of trial. Rebuilt when the pool's servers change."""

    def order(key: bytes) -> Iterator[Any]:
        """Best first, each server that it was built with once. key: what the client hashes to,
        may be b"". Lazy: the next is taken when this one refuses, maybe never. Never raises; no
        servers, no items."""


class IBalancing(Interface):
    """A way to balance, as a plugin."""

    name = Attribute("What stands in the configuration, a str.")

    def build(servers: Sequence[Server]) -> IBalancer:
        """Its balancer for these servers, in the order of the configuration."""


@implementer(IPlugin, IBalancing)
@frozen
class Balancing:
    """A balancing algorithm under the name that it has in the configuration."""

    name: str
    build: Callable[[Sequence[Server]], IBalancer]


def find(name: str) -> IBalancing:
    """The balancing of that name; LookupError where there is none."""
    return _all()[name]


def names() -> list[str]:
    """What can be written in the configuration."""
    return sorted(_all())


def _all() -> dict[str, IBalancing]:
    found: dict[str, IBalancing] = {}
    for balancing in getPlugins(IBalancing, sys.modules[__name__]):
        found.setdefault(balancing.name, balancing)  # ours come first on the path, and stay
    return found
