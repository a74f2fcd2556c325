"""A folder of lists, on a clock of the test, without another process or thread; a list server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from sockets import Machine
from twistproxy.lists.compiler import NotMade, compile_list, opened
from twistproxy.lists.lists import Lists
from twistproxy.policy.lists.table import Table


@frozen(kw_only=True)
class Source:
    file: Path | None = None
    url: str | None = None
    format: str = "domains"
    refresh: float | None = None


@define(eq=False)
class Bench:
    """made: of each list that was read, its source. wall: goes with the clock."""

    folder: Path
    clock: Clock = field(factory=Clock)
    made: list[Path] = field(factory=list)
    fault: str = ""

    def wall(self) -> float:
        return 2e9 + self.clock.seconds()

    def make(self, source: Path, form: str, table: Path, notes: dict[str, Any]) -> Table:
        self.made.append(source)
        if self.fault:
            raise NotMade(self.fault)
        try:
            compile_list(str(source), form, str(table), notes)
        except (OSError, ValueError) as error:
            raise NotMade(str(error)) from None
        return opened(table)

    def work(self, what: Callable[[], None]) -> Deferred[None]:
        return maybeDeferred(what)

    def lists(self, agent: Any = None) -> Lists:
        return Lists(
            self.clock, self.folder / "lists", self.wall, Random(1), self.make, self.work, agent
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def source() -> type[Source]:
    return Source


class ListServer(Factory):
    """Real sockets, which answer what the test says: path → the bytes of an answer.

    closes: paths after whose answer the connection is closed. asked: the heads that came.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.answers: dict[str, bytes] = {}
        self.closes: set[str] = set()
        self.asked: list[str] = []
        self.open = 0
        self.port = machine.reactor.listenTCP(0, self, interface="127.0.0.1")
        number = self.port.getHost().port
        endpoint = TCP4ClientEndpoint(machine.reactor, "127.0.0.1", number)

        @implementer(IAgentEndpointFactory)
        class Here:
            def endpointForURI(self, uri: object) -> TCP4ClientEndpoint:
                return endpoint

        pool = HTTPConnectionPool(machine.reactor, persistent=False)
        self.agent: IAgent = Agent.usingEndpointFactory(machine.reactor, Here(), pool)

    def buildProtocol(self, address: object) -> Protocol:
        return _Answering(self)

    def has(self, path: str, body: bytes, *fields: str, status: str = "200 OK") -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        self.answers[path] = "\r\n".join(head).encode() + body

    def until(self, done: Deferred[Any]) -> Any:
        """What it fires with, once it does."""
        fired: list[Any] = []
        done.addBoth(fired.append)
        self.machine.until(lambda: fired)
        return fired[0]


class _Answering(Protocol):
    def __init__(self, server: ListServer) -> None:
        self._server = server
        self._head = b""

    def connectionMade(self) -> None:
        self._server.open += 1

    def connectionLost(self, reason: object = None) -> None:
        self._server.open -= 1

    def dataReceived(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._server.asked.append(self._head.decode())
            path = self._head.split()[1].decode()
            assert self.transport is not None
            self.transport.write(self._server.answers[path])
            if path in self._server.closes:
                self.transport.loseConnection()


@pytest.fixture(params=["epoll", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[ListServer]:
    machine = Machine(request.param)
    server = ListServer(machine)
    yield server
    server.port.stopListening()
    machine.until(lambda: not server.open, "a connection stayed open")
    machine.close()
