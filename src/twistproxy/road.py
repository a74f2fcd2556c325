"""What an exchange travels on: all that it shares with others, and what its service decides."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime

from twistproxy.cache.cache import Cache
from twistproxy.cache.stored import Key
from twistproxy.config.model import Config
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.http.pages import NO_PAGES, OwnPages
from twistproxy.http.uri import Target
from twistproxy.net.names import Names
from twistproxy.net.sendfile import Sender
from twistproxy.net.splice import Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.policy.parked import Parked
from twistproxy.policy.plan import Plan
from twistproxy.upstream.parents import Parents
from twistproxy.upstream.pool import Pools
from twistproxy.upstream.routing.table import RouteTable
from twistproxy.upstream.server import Server
from twistproxy.wire import Terms

if TYPE_CHECKING:
    from twistproxy.exchange import Exchange

#: In Cache-Status and Proxy-Status.
NAME: Final = "twistproxy"


class Identity(NamedTuple):
    """Who asks. user: None where that isn't known."""

    user: str | None = None
    groups: frozenset[str] = frozenset()


@frozen
class Generation:
    """What one configuration was compiled to. An exchange keeps the one it began with."""

    number: int
    config: Config
    policy: Plan
    routes: RouteTable
    pools: Pools
    parents: Parents
    pages: OwnPages = NO_PAGES


@define
class Counts:
    """Of exchanges. background: those that no client asked for."""

    total: int = 0
    active: int = 0
    forward: int = 0
    reverse: int = 0
    background: int = 0
    tunnels: int = 0
    errors: int = 0
    retried: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@define
class Road:
    """What outlives an exchange: the generation of the moment, and all that is shared.

    wall: seconds of the epoch. identify: says whose a request is, in rules too; None: nobody does.
    record: told of each exchange that is over. pseudonym: this instance in Via. ids: what makes
    request ids differ from another process's.
    """

    generation: Generation
    cache: Cache
    terms: Terms
    sweep: Sweep
    clock: IReactorTime
    wall: Callable[[], float]
    record: Callable[[Exchange], None]
    pseudonym: bytes
    ids: str
    counts: Counts
    exchanges: set[Exchange]
    splicer: Splicer
    sender: Sender
    names: Names
    parked: Parked
    identify: Callable[[Exchange], Identity] | None = None


class Service(Protocol):
    """What a service does with an exchange in its own way.

    allowed: the value of Allow. writes: names of request fields that nobody writes but we.
    """

    allowed: bytes
    writes: frozenset[bytes]

    def sides(self, exchange: Exchange) -> tuple[str, ...]:
        """Whose rules decide, in this order."""

    def key(self, exchange: Exchange, target: Target) -> Key | Problem:
        """What the answer for a target is kept under: who answers, and for which URI."""

    def servers(self, exchange: Exchange) -> Iterator[Server] | Problem:
        """Who may answer, best first."""

    def request(self, exchange: Exchange, fields: Fields, server: Server) -> Request:
        """The head for that server. fields: a copy without the fields of the connection, and
        those of `writes`."""

    def rewritten(self, exchange: Exchange, target: Target) -> None:
        """A rule has put another target in the place of the one that was asked for."""

    def hides(self, exchange: Exchange) -> frozenset[bytes]:
        """Names of a server's fields that the client does not get."""

    def flavour(self, exchange: Exchange) -> Hashable:
        """What of an exchange `hides` and `response` depend on, Location apart."""

    def response(self, exchange: Exchange, response: Response) -> None:
        """Change the fields of a response, an interim one too, before the client gets it."""

    def timeout(self, exchange: Exchange) -> float: ...
    def retries(self, exchange: Exchange) -> int: ...
    def cloaks(self, exchange: Exchange) -> bool:
        """Whether the client must not learn what the servers are."""
