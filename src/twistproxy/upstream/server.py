"""One server: where it is, its connections, its health."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.net.dial import Reason
from twistproxy.net.tls import ClientTls
from twistproxy.tables import table
from twistproxy.upstream import Means
from twistproxy.wire.http1.server_leg import ServerLeg

_log = Logger()

#: Idle connections kept to one server; the keep-alive time-out ends them, too. To all servers
#: together it is as many as clients may have.
IDLE_KEPT: Final = 256
#: Seconds that a server which refused or died is left alone while others are up.
OUT_FOR: Final = 10.0


@frozen
class Place:
    """Scheme, host and port of a server; a tunnel's has no scheme."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def plain_url(self) -> str:
        """As `url`, without the scheme's default port."""
        return self.url.removesuffix({"http": ":80", "https": ":443"}.get(self.scheme, ""))

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}" if self.scheme else self.authority


def place_of(url: str) -> Place:
    """The place that a checked URL of the configuration names."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return Place(parts.scheme, (parts.hostname or "").rstrip("."), parts.port or default)


class Server:
    """One server, for as long as anything refers to it.

    part_of: whose it is, for the log, which then has a line when it goes down and when it is back:
    "pool api". Nobody's have none: of them clients could make up as many as they like.
    judge: what its addresses must pass before they are connected to; None: that of the means.
    absolute: it is a proxy, which is asked in absolute form (RFC 9112 §3.2.2).
    emptied: told, with this server, when its last connection has gone.
    """

    def __init__(
        self,
        place: Place,
        means: Means,
        *,
        part_of: str | None = None,
        tls: ClientTls | None = None,
        weight: int = 1,
        max_connections: int | None = None,
        judge: Callable[[str, int], Reason | None] | None = None,
        absolute: bool = False,
        authorization: bytes | None = None,
        emptied: Callable[[Server], object] | None = None,
    ) -> None:
        self.place = place
        self.url = place.url
        self.name = self.url.encode()
        self.weight = weight
        self.absolute = absolute
        self.authorization = authorization
        self.requests = 0
        self.failures = 0
        self.last_failure: str | None = None
        self.open = 0  # connections, those being made included
        self._part_of = part_of
        self._means = means
        self._tls = tls
        self._max = max_connections
        self._judge = judge
        self._emptied = emptied
        self._idle: deque[ServerLeg] = deque()
        self._closed = False
        self._out_until = 0.0  # 0.0: nothing speaks against it

    @property
    def up(self) -> bool:
        """Whether it is believed to work."""
        return self._out_until <= self._means.sweep.now

    @property
    def full(self) -> bool:
        """Whether it has all the connections it may have, none of them idle."""
        if self._max is None or self.open < self._max:
            return False
        return not any(leg.usable for leg in self._idle)

    def take(self) -> ServerLeg | None:
        """An idle connection, the one used last; None if a new one has to be made."""
        while self._idle:
            leg = self._idle.pop()
            if leg.usable:
                return leg
        return None

    def connect(self) -> Deferred[ServerLeg]:
        """A new connection. Fails with `Unreachable`; cancelling it leaves nothing behind."""
        means = self._means
        if self._out_until:
            # It may be back: one finds out, the others go elsewhere meanwhile.
            self._out_until = means.sweep.now + OUT_FOR
        leg = ServerLeg(self.url, means.terms, means.sweep, self._freed, self._lost)
        self.open += 1
        return self._dial(leg).addErrback(self._not_made)

    def dial(self, protocol: IProtocol) -> Deferred[Any]:
        """A bare connection for a protocol of the caller's, not counted as one of ours."""
        return self._dial(protocol)

    def _dial(self, protocol: Any) -> Deferred[Any]:
        return self._means.dialler.dial(
            self.place.host,
            self.place.port,
            protocol,
            timeout=self._means.terms.timeouts.connect,
            judge=self._judge or self._means.judge,
            tls=self._tls,
        )

    def succeeded(self) -> None:
        """It answered."""
        self.requests += 1
        if self._out_until:
            self._out_until = 0.0
            self._tell(_log.info, "{whose}: {server} is up again")

    def failed(self, why: str = "it failed") -> None:
        """It refused, died or kept silent: others go first for a while. why: for the operator."""
        self.failures += 1
        self.last_failure = why.removeprefix(f"{self.url} ")
        if not self._out_until:
            self._tell(_log.warn, "{whose}: {server} is down: {why}", why=self.last_failure)
        self._out_until = self._means.sweep.now + OUT_FOR
        self._close_idle()  # they would keep silent, too

    def _tell(self, log: Callable[..., None], line: str, **more: str) -> None:
        if self._part_of is not None:
            log(line, whose=self._part_of, server=self.url, **more)

    def close(self) -> None:
        """End the idle connections; those in use end when they become idle."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _freed(self, leg: ServerLeg) -> None:
        means = self._means
        if (
            self._closed
            or means.terms.draining
            or len(self._idle) >= IDLE_KEPT
            # All connections are on the sweep, those of clients too.
            or len(means.sweep) > 2 * means.terms.limits.connections
        ):
            leg.close()
        else:
            self._idle.append(leg)

    def _lost(self, leg: ServerLeg) -> None:
        if leg in self._idle:
            self._idle.remove(leg)
        self._gone()

    def _not_made(self, failure: Failure) -> Failure:
        self._gone()
        return failure

    def _gone(self) -> None:
        self.open -= 1
        if not self.open and self._emptied is not None:
            self._emptied(self)

    def snapshot(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "up": self.up,
            "weight": self.weight,
            "active": self.open - len(self._idle),
            "idle": len(self._idle),
            "requests": self.requests,
            "failures": self.failures,
            "last_failure": self.last_failure,
        }


def table_of(kind: str, servers: Iterable[tuple[str, Server]]) -> str:
    """Servers for a person, each with the name of what it is part of. kind: what bears the name."""
    rows = [[name, *server.snapshot().values()] for name, server in servers]
    head = ["server", "up", "weight", "active", "idle", "requests", "failures", "last failure"]
    return table([kind, *head], rows) if rows else f"no {kind}s"
