"""Nodes that share a real Redis, on a clock of the test: nothing comes in but by `Fleet.until`."""

from __future__ import annotations

import atexit
import select
import socket
from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from typing import Any, TypeVar

from redis_server import Redis
from twisted.internet.defer import Deferred
from twisted.internet.error import getConnectError
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twistproxy.cache.purge import Purge
from twistproxy.cache.redis.client import Ended, RedisClient
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.redis import RedisStore

T = TypeVar("T")
#: Seconds to wait for Redis, which nobody reaches but when a test fails.
PATIENCE = 10.0


@cache
def server() -> Redis:
    """One for all tests of a session."""
    redis = Redis()
    atexit.register(redis.close)
    return redis


class Wire:
    """A transport on a real socket, read when the test says so."""

    disconnecting = False

    def __init__(self, path: str, client: RedisClient) -> None:
        self.client = client
        self.open = True
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise getConnectError(error) from None

    def write(self, data: bytes) -> None:
        if self.open:
            self.socket.sendall(data)

    def abortConnection(self) -> None:
        self.lose()

    loseConnection = abortConnection

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...

    def read(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        if data:
            self.client.dataReceived(data)
        else:
            self.lose()

    def lose(self) -> None:
        if self.open:
            self.open = False
            self.socket.close()
            self.client.connectionLost(Failure(connectionDone.value))


class Fleet:
    """Nodes on one clock and one Redis, which is empty."""

    def __init__(self) -> None:
        self.redis = server()
        if not self.redis.running:
            self.redis.start()
        self.redis.ask("FLUSHALL")
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.wires: list[Wire] = []
        self.nodes: list[Node] = []

    def objects(self) -> int:
        """Variants that lie in Redis."""
        script = """
        local count = 0
        for _, name in ipairs(redis.call('KEYS', 'twistproxy:o:*')) do
          count = count + redis.call('HLEN', name) / 3
        end
        return count"""
        return int(self.redis.ask("EVAL", script, "0")[1:])

    def node(self, **options: Any) -> Node:
        node = Node(self, **options)
        self.nodes.append(node)
        node.store.start()
        self.until(node.is_up)
        return node

    def until(self, what: Callable[[], T]) -> T:
        """The first true value of `what`, while answers come in."""
        while not (value := what()):
            self.wires = [wire for wire in self.wires if wire.open]
            assert self._read(PATIENCE), f"not even in {PATIENCE} s"
        return value

    def _read(self, timeout: float) -> bool:
        readable, _, _ = select.select([wire.socket for wire in self.wires], [], [], timeout)
        for wire in [wire for wire in self.wires if wire.socket in readable]:
            if wire.open:
                wire.read()
        self.turn()
        return bool(readable)

    def turn(self) -> None:
        """What is due now."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def result(self, answer: T | Deferred[T] | Coroutine[Any, Any, T]) -> T:
        """Of a method of a store."""
        if isinstance(answer, Coroutine):
            answer = Deferred.fromCoroutine(answer)
        if not isinstance(answer, Deferred):
            return answer
        results: list[T] = []
        answer.addCallback(results.append)
        self.until(lambda: results)
        return results[0]

    def advance(self, seconds: float) -> None:
        """Time passes, and nothing comes in."""
        self.clock.pump([0.05] * round(seconds / 0.05))

    def settle(self) -> None:
        """Until Redis owes nobody an answer, nor anybody it a purge."""
        self.until(lambda: all(node.is_settled() for node in self.nodes))

    def close(self) -> None:
        for node in self.nodes:
            node.store._closed(None)
        for wire in self.wires:
            wire.lose()


class Node:
    """A store, and what it told its node."""

    where = "the test"

    def __init__(self, fleet: Fleet, timeout: float = 0.05, **options: Any) -> None:
        self.fleet = fleet
        self.reachable = True
        self.wires: list[Wire] = []
        self.heard: list[Purge | Key] = []
        self.store = RedisStore(
            fleet.clock,
            self,
            timeout,
            on_purge=self.heard.append,
            on_remove=self.heard.append,
            **options,
        )

    async def connect(self, ended: Ended) -> RedisClient:
        client = RedisClient(self.fleet.clock, ended)
        if not self.reachable:
            raise OSError("no route")
        wire = Wire(str(self.fleet.redis.socket), client)
        self.fleet.wires.append(wire)
        self.wires.append(wire)
        client.makeConnection(wire)
        return client

    def is_up(self) -> bool:
        return self.store.snapshot()["state"] == "ok"

    @property
    def line(self) -> Any:
        """Its two connections."""
        return self.store._circuit.line

    def is_settled(self) -> bool:
        figures = self.store.snapshot()
        return figures["state"] != "ok" or not (figures["waiting"] or figures["owed"])

    def cut_off(self) -> None:
        """Its connections are lost, and none can be made, until `back`."""
        self.reachable = False
        for wire in self.wires:
            wire.lose()

    def back(self) -> None:
        """It can be reached again, and is tried at once: Redis' own time has not passed."""
        self.reachable = True
        while not self.is_up():
            timer = self.store._circuit._timer
            if timer is not None:
                timer.reset(0)
                self.fleet.clock.advance(0)
            else:
                self.fleet.wires = [wire for wire in self.fleet.wires if wire.open]
                assert self.fleet._read(PATIENCE), f"not even in {PATIENCE} s"

    # -- a store's methods, answered --

    def get(self, url: str, who: str = "open") -> tuple[Stored, ...]:
        return self.fleet.result(self.store.get(Key(who, url)))

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        kept = self.store.put(stored, instead_of)
        self.fleet.until(self.is_settled)
        return kept
