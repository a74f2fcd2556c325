"""The named pools of the reverse proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twistproxy.config import model
from twistproxy.config.errors import Fault, dotted
from twistproxy.net.tls import BadFile, ClientTls, trust
from twistproxy.upstream import Means, balance
from twistproxy.upstream.server import Place, Server, place_of, table_of


class Pool:
    """Servers that can stand in for each other.

    Raises `net.tls.BadFile` where its authorities can't be read.
    """

    def __init__(
        self, name: str, config: model.Pool, means: Means, before: Pool | None = None
    ) -> None:
        self.name = name
        self.config = config
        self._trust = trust(config.tls.ca, config.tls.verify)
        # Servers that did not change keep their connections and what is known of their health.
        kept: dict[model.Server, Server] = {}
        if before is not None and before._trusts_as(config.tls):
            kept = dict(zip(before.config.servers, before.servers, strict=True))
        self.servers: list[Server] = [
            kept.get(server) or self._server(server, means) for server in config.servers
        ]
        balancing = balance.find(config.balance)
        pairs = list(zip(config.servers, self.servers, strict=True))
        self._first = balancing.build([server for told, server in pairs if not told.backup])
        self._backup = balancing.build([server for told, server in pairs if told.backup])

    def _server(self, config: model.Server, means: Means) -> Server:
        place, tls = place_of(config.url), self.config.tls
        return Server(
            place,
            means,
            part_of=f"pool {self.name}",
            tls=ClientTls(tls.server_name or place.host, tls.ca, tls.verify)
            if place.scheme == "https"
            else None,
            weight=config.weight,
            max_connections=config.max_connections,
        )

    def is_for(self, config: model.Pool) -> bool:
        """Whether a new one for this would be the same. Raises as that would."""
        return self.config == config and self._trusts_as(config.tls)

    def _trusts_as(self, config: model.PoolTls) -> bool:
        # The file may have changed under the same name.
        return self.config.tls == config and self._trust is trust(config.ca, config.verify)

    def order(self, key: bytes) -> Iterator[Server]:
        """Whom to try: who is up, then the backups, then who is down; each once, lazily.

        key: what the client hashes to.
        """
        # Up or down, it is the one.
        return iter(self.servers) if len(self.servers) == 1 else self._order(key)

    def _order(self, key: bytes) -> Iterator[Server]:
        down = []
        for balancer in (self._first, self._backup):
            for server in balancer.order(key):
                if server.up:
                    yield server
                else:
                    down.append(server)
        # With nobody left, one that was down may be up by now.
        yield from down

    def snapshot(self) -> dict[str, Any]:
        return {
            "balance": self.config.balance,
            "servers": [server.snapshot() for server in self.servers],
        }

    def __repr__(self) -> str:
        return table_of("pool", ((self.name, server) for server in self.servers))


class Pools(Mapping[str, Pool]):
    """All pools of a generation, by name."""

    def __init__(
        self, config: Mapping[str, model.Pool], means: Means, before: Pools | None = None
    ) -> None:
        old: Mapping[str, Pool] = before or {}
        self._pools = {
            name: old[name]
            if name in old and old[name].is_for(pool)
            else Pool(name, pool, means, old.get(name))
            for name, pool in config.items()
        }

    def servers(self) -> set[Server]:
        return {server for pool in self._pools.values() for server in pool.servers}

    def snapshot(self) -> dict[str, Any]:
        return {name: pool.snapshot() for name, pool in self._pools.items()}

    def __getitem__(self, name: str) -> Pool:
        return self._pools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pools)

    def __len__(self) -> int:
        return len(self._pools)

    def __repr__(self) -> str:
        return table_of(
            "pool",
            ((name, server) for name, pool in self._pools.items() for server in pool.servers),
        )


def faults(config: Mapping[str, model.Pool]) -> Iterator[Fault]:
    """What can't be a pool's: authorities that can't be read, a server that is in it already."""
    for name, pool in config.items():
        try:
            trust(pool.tls.ca, pool.tls.verify)
        except BadFile as error:
            yield Fault(("pools", name, "tls", "ca"), str(error))
        first: dict[Place, int] = {}
        for index, server in enumerate(pool.servers):
            earlier = first.setdefault(place_of(server.url), index)
            if earlier != index:
                same = dotted(("pools", name, "servers", earlier))
                yield Fault(
                    ("pools", name, "servers", index), f"is {same} again; `weight` gives a share"
                )
