from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostResolution, IReactorThreads, IResolutionReceiver
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twistproxy.net import names
from twistproxy.net.names import Names

MOST = 3


class Resolver:
    """The reactor's: keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.receivers: list[Any] = []
        self.can_cancel = False

    def resolveHostName(self, receiver: Any, name: str, port: int) -> Any:
        verifyObject(IResolutionReceiver, receiver)
        self.asked.append((name, port))
        self.receivers.append(receiver)
        receiver.resolutionBegan(self)
        return self

    def cancel(self) -> None:
        if not self.can_cancel:
            raise NotImplementedError

    def answer(self, place: int, *addresses: str) -> None:
        for address in addresses:
            self.receivers[place].addressResolved(IPv4Address("TCP", address, 80))
        self.receivers[place].resolutionComplete()


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def resolutionBegan(self, resolution: Any) -> None:
        verifyObject(IHostResolution, resolution)
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.heard.append(address.host)

    def resolutionComplete(self) -> None:
        self.heard.append("complete")


class World:
    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.resolver = Resolver()
        self.reactor.installNameResolver(self.resolver)  # type: ignore[arg-type]
        self.names = Names(self.reactor)

    def ask(self, *hosts: str) -> list[Receiver]:
        receivers = [Receiver() for _ in hosts]
        for host, receiver in zip(hosts, receivers, strict=True):
            self.names.resolveHostName(receiver, host, 80)
        return receivers

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.resolver.asked]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(names, "MOST", MOST)
    return World()


def test_an_answer_reaches_who_asked(world: World) -> None:
    first, second = world.ask("a", "b")
    assert world.resolver.asked == [("a", 80), ("b", 80)]
    world.resolver.answer(1, "192.0.2.1", "192.0.2.2")
    assert (first.heard, second.heard) == ([], ["192.0.2.1", "192.0.2.2", "complete"])


def test_one_too_many_waits_for_its_turn(world: World) -> None:
    world.ask("a", "b", "c", "d", "e")
    assert world.asked == ["a", "b", "c"]
    world.resolver.answer(1)
    assert world.asked == ["a", "b", "c", "d"]
    world.resolver.answer(3)
    assert world.asked == ["a", "b", "c", "d", "e"]


def test_who_leaves_the_line_is_never_looked_up(world: World) -> None:
    *_, fourth, fifth = world.ask("a", "b", "c", "d", "e")
    fourth.resolution.cancel()
    world.resolver.answer(0)
    assert world.asked == ["a", "b", "c", "e"]
    world.resolver.answer(3)
    assert (fourth.heard, fifth.heard) == ([], ["complete"])


def test_a_thread_is_busy_until_it_ends_whoever_waits_for_it(world: World) -> None:
    first, *_ = world.ask("a", "b", "c", "d")
    first.resolution.cancel()
    assert world.asked == ["a", "b", "c"]
    world.resolver.answer(0, "192.0.2.1")
    assert world.asked == ["a", "b", "c", "d"]
    assert first.heard == []


def test_what_can_be_stopped_makes_room_at_once(world: World) -> None:
    world.resolver.can_cancel = True
    first, *_ = world.ask("a", "b", "c", "d")
    first.resolution.cancel()
    assert world.asked == ["a", "b", "c", "d"]


def test_a_lookup_that_never_ends_makes_room_at_last(world: World) -> None:
    world.ask("a", "b", "c", "d")
    world.reactor.advance(names.LOST - 0.1)
    world.ask("e")
    assert world.asked == ["a", "b", "c"]
    world.reactor.advance(0.1)
    world.ask("f")
    assert world.asked == ["a", "b", "c", "d", "e", "f"]
    world.resolver.answer(0)  # late, and of no harm


def test_there_is_a_thread_for_each_and_some_for_others() -> None:
    @implementer(IReactorThreads)
    class Reactor(MemoryReactorClock):  # type: ignore[misc]
        def suggestThreadPoolSize(self, size: int) -> None:
            self.threads = size

    reactor = Reactor()  # type: ignore[no-untyped-call]
    Names(reactor)
    assert reactor.threads == names.MOST + names.OTHERS
