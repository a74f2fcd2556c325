"""The open internet: for each place that requests go to, a server made on demand.

A destination lives as long as it has connections; what bounds these bounds the destinations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twistproxy.net.dial import Reason
from twistproxy.net.tls import ClientTls
from twistproxy.tables import figures
from twistproxy.upstream import Means
from twistproxy.upstream.server import Place, Server

Judgement = Callable[[str, int], Reason | None]
_Key = tuple[str, str, int, Judgement]


class Destinations:
    """Servers by place. A judgement is of one generation: it keys them, too."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._servers: dict[_Key, Server] = {}

    def at(self, scheme: str, host: str, port: int, judge: Judgement) -> Server:
        """The destination, its address judged at each connection. scheme "": a tunnel's."""
        key = (scheme, host, port, judge)
        server = self._servers.get(key)
        if server is None:
            server = Server(
                Place(scheme, host, port),
                self._means,
                tls=ClientTls(host) if scheme == "https" else None,
                judge=judge,
                emptied=partial(self._forget, key),
            )
            if scheme:  # a tunnel's connection is never used twice
                self._servers[key] = server
        return server

    def servers(self) -> set[Server]:
        return set(self._servers.values())

    def _forget(self, key: _Key, server: Server) -> None:
        # A retry can bring back one that was forgotten, beside its successor.
        if self._servers.get(key) is server:
            del self._servers[key]

    def snapshot(self) -> dict[str, Any]:
        servers = self._servers.values()
        return {
            "servers": len(servers),
            "connections": sum(server.open for server in servers),
        }

    def __repr__(self) -> str:
        return figures(self.snapshot())
