"""Other proxies that requests leave through.

The first parent that matches is the way, up or not; when it fails, its ``fail`` decides whether
there is another.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import frozen

from twistproxy.config import model
from twistproxy.config.errors import Fault
from twistproxy.http.hosts import HostPatterns
from twistproxy.upstream import Means, faults_of_hosts
from twistproxy.upstream.server import Server, place_of, table_of


@frozen
class Ways:
    """How a request may leave: through these, in order, and then directly or not at all."""

    parents: tuple[Server, ...]
    direct: bool


@frozen
class _Parent:
    config: model.Parent
    hosts: HostPatterns | None
    server: Server


class Parents:
    """The parents of a generation."""

    def __init__(
        self, config: Sequence[model.Parent], means: Means, before: Parents | None = None
    ) -> None:
        old: list[_Parent] = before._parents if before else []
        kept = {parent.config: parent for parent in old}
        self._parents: list[_Parent] = [
            kept.get(parent) or _make(parent, means) for parent in config
        ]

    def ways(self, host: str) -> Ways:
        """The ways for a host in normal form."""
        servers = []
        for parent in self._parents:
            if parent.hosts is None or host in parent.hosts:
                servers.append(parent.server)
                if parent.config.fail == "closed":
                    return Ways(tuple(servers), False)
        return Ways(tuple(servers), True)

    def way(self, name: str) -> Ways:
        """The way that a rule has chosen, whatever the host."""
        for parent in self._parents:
            if parent.config.name == name:
                return Ways((parent.server,), parent.config.fail == "open")
        return Ways((), False)  # it went with a reload: not out by another way

    def servers(self) -> set[Server]:
        return {parent.server for parent in self._parents}

    def snapshot(self) -> dict[str, Any]:
        return {parent.config.name: parent.server.snapshot() for parent in self._parents}

    def __repr__(self) -> str:
        return table_of("parent", ((each.config.name, each.server) for each in self._parents))


def faults(config: Sequence[model.Parent]) -> Iterator[Fault]:
    """What can't be a parent's."""
    for index, parent in enumerate(config):
        yield from faults_of_hosts(("forward", "parent", index), parent.hosts)


def _make(config: model.Parent, means: Means) -> _Parent:
    parts = urlsplit(config.url)
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + b64encode(credentials.encode())
    server = Server(
        place_of(config.url),
        means,
        part_of=f"parent {config.name}",
        absolute=True,
        authorization=authorization,
    )
    return _Parent(config, HostPatterns(config.hosts) if config.hosts else None, server)
