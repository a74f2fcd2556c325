from __future__ import annotations

import errno
import fcntl
import gc
import os
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import INegotiated, IReadWriteDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sockets import FAMILIES, KINDS, Machine, Ours, open_files
from twistproxy.net import splice
from twistproxy.net.splice import IDLE_PIPES, PIPE, Joint, Splicer, unsent
from twistproxy.net.throttle import SAVED, Shaper, Throttle

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="no splice(2)")

BULK = bytes(range(251)) * 8_000  # 2 MB, more than all buffers on the way hold


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param != "epoll":
        pytest.importorskip("uvloop")
    machine = Machine(request.param)
    yield machine
    machine.close()


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Case:
    """A lift from one connection to another, and what was told of it."""

    def __init__(self, machine: Machine, family: str = "tcp", **options: int) -> None:
        self.machine = machine
        self.splicer = Splicer(machine.reactor, **options)
        machine.closing.append(self.splicer.close)
        self.source: Ours = machine.socket(family)
        self.sink: Ours = machine.socket(family)
        self.told: list[int] = []
        self.ends: list[tuple[int, str]] = []
        self.unsent = b""

    def lift(self, count: int) -> Any:
        lift = self.splicer.lift(
            self.source.transport, self.sink.transport, count, self.told.append, self._ended
        )
        assert lift is not None
        return lift

    def _ended(self, moved: int, why: str) -> None:
        self.ends.append((moved, why))

    def send(self, data: bytes) -> None:
        """From the source's peer, as it can."""
        self.unsent += data
        self.unsent = self.unsent[self.source.peer.send(self.unsent) :]

    def until(self, size: int | None = None) -> bytes:
        """The sink's peer reads until it has so many bytes, or until the end."""

        def done() -> bool:
            self.send(b"")
            got = self.sink.peer.read()
            return bool(self.ends) if size is None else len(got) >= size

        self.machine.until(done)
        return self.sink.peer.read()

    @property
    def watched(self) -> list[Any]:
        """What is left of a lift with the reactor."""
        return [one for one in self.machine.watched if isinstance(one, splice.Plug)]

    def fill(self) -> None:
        """Nobody reads, until nothing moves any more."""
        quiet = 0
        while quiet < 20:
            before = len(self.unsent), sum(self.told)
            self.send(b"")
            self.machine.turn()
            quiet = quiet + 1 if before == (len(self.unsent), sum(self.told)) else 0


@pytest.fixture
def case(machine: Machine, family: str) -> Case:
    return Case(machine, family)


def test_the_interface_is_kept(machine: Machine) -> None:
    case = Case(machine)
    joint = case.splicer.join(case.source.transport, case.sink.transport)
    assert joint is not None
    verifyObject(IReadWriteDescriptor, joint.left)
    joint.close()


@pytest.mark.parametrize("count", [1, PIPE - 1, PIPE, PIPE + 1, len(BULK)])
def test_so_many_bytes_and_not_one_more(case: Case, count: int) -> None:
    lift = case.lift(count)
    case.send(BULK[:count] + b"the next answer")
    got = case.until()
    assert case.ends == [(count, "")]
    assert lift.moved == sum(case.told) == count
    assert got == BULK[:count]
    assert case.watched == []
    case.source.transport.resumeProducing()
    case.machine.until(lambda: case.source.protocol.received == b"the next answer")


def test_no_byte_comes_through_python(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("read or written in Python")

    monkeypatch.setattr(os, "read", never)
    monkeypatch.setattr(os, "write", never)
    case.lift(len(BULK))
    case.send(BULK)
    assert case.until() == BULK
    assert case.source.protocol.received == b""
    figures = case.splicer.snapshot()
    assert (figures["spliced"], figures["copied"]) == (len(BULK), 0)


def test_what_was_written_before_goes_first(case: Case) -> None:
    case.sink.transport.write(BULK)
    case.lift(4)
    case.send(b"tail")
    case.machine.turns()
    assert case.splicer.snapshot()["spliced"] == 0
    assert case.until() == BULK + b"tail"


def test_an_eof_too_early(case: Case) -> None:
    case.lift(1000)
    case.send(b"half of it")
    case.source.peer.end_sending()
    assert case.until() == b"half of it"
    assert case.ends == [(10, "eof")]
    case.source.transport.resumeProducing()
    case.machine.until(lambda: case.source.protocol.eof)


def test_a_reset_of_the_source(machine: Machine) -> None:
    case = Case(machine)
    case.lift(1000)
    case.send(b"half of it")
    case.source.peer.reset()
    case.until()
    assert case.ends == [(10, "source")]


def test_a_reset_of_the_sink(case: Case) -> None:
    case.lift(len(BULK))
    case.sink.peer.reset()
    case.send(BULK)
    case.machine.until(lambda: case.ends)
    assert case.ends[0][1] == "sink"


def test_a_reset_of_a_sink_that_is_waited_for(case: Case) -> None:
    case.lift(2 * len(BULK))
    case.send(2 * BULK)
    case.fill()
    case.sink.peer.reset()
    case.machine.until(lambda: case.ends)
    assert case.ends == [(sum(case.told), "sink")]


def test_a_slow_sink_stops_its_source(machine: Machine) -> None:
    case = Case(machine)
    data = BULK * 2
    case.lift(len(data))
    case.send(data)
    case.fill()
    assert case.unsent
    assert case.splicer.snapshot()["pipes"] == 1
    assert case.until() == data
    assert case.ends == [(len(data), "")]


def test_others_get_their_turn(machine: Machine) -> None:
    case = Case(machine, "unix")
    case.lift(len(BULK))
    case.send(BULK)
    case.until()
    assert max(case.told) <= PIPE
    assert len(case.told) >= len(BULK) // PIPE


def test_a_cancelled_lift_is_not_heard_of_again(case: Case) -> None:
    before = open_files()
    lift = case.lift(2 * len(BULK))
    case.send(2 * BULK)
    case.fill()
    assert len(open_files() - before) == 1  # the pipe; the sockets only have more descriptors
    lift.cancel()
    lift.cancel()
    assert open_files() <= before  # its pipe had bytes in it
    assert case.watched == []
    case.machine.turns()
    assert case.ends == []
    assert case.splicer.snapshot()["now"] == case.splicer.snapshot()["pipes"] == 0


def test_a_lift_that_ended_leaves_no_cycle(machine: Machine) -> None:
    class Owner:
        def __init__(self) -> None:
            self.why = ""
            self.lift: Any = None

        def moved(self, count: int) -> None: ...

        def ended(self, moved: int, why: str) -> None:
            self.why = "ended" + why

    case, owner = Case(machine), Owner()
    transports = case.source.transport, case.sink.transport
    gc.collect()
    gc.disable()
    try:
        owner.lift = case.splicer.lift(*transports, 4, owner.moved, owner.ended)
        case.send(b"tail")
        machine.until(lambda: case.splicer.spliced == 4 and not case.watched)
        assert owner.why == "ended"
        gone = weakref.ref(owner)
        del owner
        assert gone() is None
    finally:
        gc.enable()


# Ways: what tunnels need more


class Ends:
    def __init__(self, case: Case, count: int = 1 << 62) -> None:
        self.why: list[str] = []
        joint = case.splicer.join(case.source.transport, case.sink.transport)
        assert joint is not None
        case.source.transport.pauseProducing()
        self.joint: Joint = joint
        self.way = joint.way(joint.left, joint.right, case.told.append, self.ended, count)
        self.case = case

    def ended(self, why: str) -> None:
        self.why.append(why)
        self.case.ends.append((self.way.moved, why))
        self.joint.close()


def test_bytes_read_elsewhere_go_behind_those_in_a_pipe(case: Case) -> None:
    ends = Ends(case)
    ends.way.put(b"first, ")
    ends.way.put(b"second, ")
    assert case.until(15) == b"first, second, "
    case.send(BULK * 2)
    case.fill()
    ends.way.put(b"third, ")
    ends.way.put(b"fourth, ")
    expected = b"first, second, " + BULK * 2
    on_its_way = len(expected) - len(case.unsent)
    got = case.until(len(expected) + 15)
    ours = got.index(b"third, fourth, ")
    assert 15 < ours <= on_its_way
    assert got.replace(b"third, fourth, ", b"") == expected
    ends.joint.close()


def test_a_way_that_finishes_passes_on_what_it_has(case: Case) -> None:
    ends = Ends(case)
    case.send(BULK * 2)
    case.fill()
    ends.way.finish()
    assert ends.why == []
    got = case.until()
    assert ends.why == [""]
    assert len(got) == ends.way.moved == sum(case.told)
    assert (BULK * 2).startswith(got)


def test_a_way_that_has_nothing_finishes_at_once(case: Case) -> None:
    ends = Ends(case)
    ends.way.finish()
    assert ends.why == [""]
    assert case.watched == []


def test_both_ways_at_once(machine: Machine, family: str) -> None:
    case = Case(machine, family)
    joint = case.splicer.join(case.source.transport, case.sink.transport)
    assert joint is not None
    left, right = joint.left, joint.right
    why: list[str] = []
    for end in (case.source, case.sink):
        end.transport.pauseProducing()
    joint.way(left, right, case.told.append, why.append)
    joint.way(right, left, case.told.append, why.append)
    rest = {case.source.peer: BULK, case.sink.peer: BULK[::-1]}

    def done() -> bool:
        for peer, data in rest.items():
            peer.read()
            if data:
                rest[peer] = data[peer.send(data) :]
                if not rest[peer]:
                    peer.end_sending()
        return len(why) == 2

    machine.until(done)
    joint.close()
    assert why == ["eof", "eof"]
    assert case.sink.peer.read() == BULK
    assert case.source.peer.read() == BULK[::-1]


@pytest.mark.parametrize(("role", "why"), [("left", "source"), ("right", "sink")])
def test_what_the_reactor_drops_is_lost(machine: Machine, role: str, why: str) -> None:
    case = Case(machine)
    ends = Ends(case)
    getattr(ends.joint, role).connectionLost(Failure(ConnectionLost()))
    assert ends.why == [why]
    assert case.watched == []


# Pipes


def test_pipes_come_back_and_few_are_kept(machine: Machine) -> None:
    splicer = Splicer(machine.reactor)
    before = open_files()
    taken = [splicer.take() for _ in range(IDLE_PIPES + 5)]
    assert splicer.snapshot()["pipes"] == len(taken)
    for pipe in taken:
        splicer.give_back(pipe)
    figures = splicer.snapshot()
    assert (figures["pipes"], figures["idle_pipes"]) == (IDLE_PIPES, IDLE_PIPES)
    assert splicer.take() in taken
    assert splicer.snapshot()["idle_pipes"] == IDLE_PIPES - 1
    splicer.give_back(taken[IDLE_PIPES - 1])
    splicer.close()
    figures = splicer.snapshot()
    assert (figures["pipes"], figures["idle_pipes"]) == (0, 0)
    assert open_files() <= before


def test_an_idle_way_has_no_pipe(case: Case) -> None:
    ends = Ends(case)
    case.send(b"hello")
    case.until(5)
    figures = case.splicer.snapshot()
    assert (figures["pipes"], figures["idle_pipes"], figures["now"]) == (1, 1, 1)
    ends.joint.close()


def no_more_files(*arguments: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("why", ["most", "files"])
def test_without_a_pipe_it_copies(
    machine: Machine, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(machine, most_pipes=0 if why == "most" else 9)
    if why == "files":
        monkeypatch.setattr(os, "pipe2", no_more_files)
    case.lift(len(BULK))
    case.send(BULK + b"!")
    assert case.until() == BULK
    figures = case.splicer.snapshot()
    assert (figures["spliced"], figures["copied"], figures["pipes"]) == (0, len(BULK), 0)


def test_it_splices_again_once_there_is_a_pipe(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(machine)
    case.lift(8)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", no_more_files)
        case.send(b"four")
        case.until(4)
    case.send(b"more")
    case.until()
    figures = case.splicer.snapshot()
    assert (figures["spliced"], figures["copied"]) == (4, 4)


def test_without_files_nothing_is_joined(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(machine)
    before = open_files()
    real, left = os.dup, [1]

    def dup(fd: int) -> int:
        if not left:
            no_more_files()
        left.pop()
        return real(fd)

    monkeypatch.setattr(os, "dup", dup)
    transports = case.source.transport, case.sink.transport
    assert case.splicer.lift(*transports, 9, case.told.append, case._ended) is None
    assert open_files() <= before
    assert case.splicer.snapshot()["refused"] == 1
    case.send(b"it reads on")
    machine.until(lambda: case.source.protocol.received == b"it reads on")


def test_a_small_pipe_is_good_enough(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    case = Case(machine)
    case.lift(len(BULK))
    case.send(BULK)
    assert case.until() == BULK
    assert case.splicer.snapshot()["copied"] == 0


# What can't be joined


@implementer(INegotiated)
class Secured:  # type: ignore[misc]
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_tls_is_not_joined(machine: Machine) -> None:
    case = Case(machine)
    assert case.splicer.can_join(case.source.transport, case.sink.transport)
    secured = Secured(case.sink.transport)
    assert not case.splicer.can_join(case.source.transport, secured)
    assert case.splicer.join(secured, case.source.transport) is None
    assert case.splicer.snapshot()["refused"] == 0


def test_what_has_no_socket_is_not_joined(machine: Machine) -> None:
    case = Case(machine)
    assert not case.splicer.can_join(StringTransport(), case.sink.transport)
    gone = machine.socket("tcp")
    transport = gone.transport
    transport.abortConnection()
    machine.until(lambda: gone.protocol.lost)
    assert not case.splicer.can_join(transport, case.sink.transport)


def joins(reactor: object, machine: Machine) -> bool:
    one, other = machine.socket("unix"), machine.socket("unix")
    return Splicer(reactor).can_join(one.transport, other.transport)


def test_it_needs_a_reactor_that_watches_descriptors(machine: Machine) -> None:
    assert joins(machine.reactor, machine)
    assert not joins(Clock(), machine)


def forbidden(*arguments: object, **options: object) -> int:
    raise PermissionError(errno.EPERM, "a sandbox forbids it")


def empty(*arguments: object, **options: object) -> int:
    return 0


@pytest.mark.parametrize("call", [forbidden, empty])
def test_it_needs_a_splice_that_works(
    machine: Machine, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_files()
    monkeypatch.setattr(os, "splice", call)
    assert not Splicer(machine.reactor)._able
    assert open_files() <= before


def test_it_needs_splice(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "splice")
    assert not Splicer(machine.reactor)._able


def test_it_needs_files_to_find_out(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socketpair", no_more_files)
    assert not Splicer(machine.reactor)._able


# Unsent bytes


def test_unsent_bytes_are_those_that_the_kernel_has_not_got(machine: Machine) -> None:
    ours = machine.socket("unix")
    assert unsent(ours.transport) == 0
    ours.transport.write(BULK)
    machine.turns(2)
    before = unsent(ours.transport)
    assert 0 < before < len(BULK)
    ours.transport.write(b"12345")
    assert unsent(ours.transport) == before + 5
    machine.until(lambda: len(ours.peer.read()) == len(BULK) + 5)
    assert unsent(ours.transport) == 0


# -- under a throttle ------------------------------------------------------------------------------

MIB = 1 << 20


class Slow(Case):
    """A lift under a limit, in bytes a second; time goes on when the test says so."""

    def __init__(self, machine: Machine, family: str = "tcp", rate: float = MIB) -> None:
        super().__init__(machine, family)
        self.clock = Clock()
        self.shaper = Shaper(self.clock)
        self.throttle = Throttle((self.shaper.bucket(rate),))

    def lift(self, count: int) -> Any:
        self.plain, self.splicer = self.splicer, self.splicer.under(self.throttle)
        return super().lift(count)

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            for _ in range(3):
                self.send(b"")
                self.sink.peer.read()
                self.machine.turn()
            self.clock.advance(0.01)


@pytest.fixture
def slow(machine: Machine, family: str) -> Slow:
    return Slow(machine, family)


def test_as_fast_as_the_throttle_lets_it(slow: Slow) -> None:
    lift = slow.lift(len(BULK))
    slow.send(BULK)
    slow.run(1)
    assert len(slow.sink.peer.got) == pytest.approx((1 + SAVED) * MIB, rel=0.1)
    assert lift.waits_for_throttle
    assert not lift.waits_for_sink
    assert slow.watched == []
    slow.run(1.2)
    assert slow.ends == [(len(BULK), "")]
    assert slow.sink.peer.got == BULK
    assert slow.plain.snapshot()["spliced"] == len(BULK)
    assert slow.watched == []
    assert len(slow.shaper) == 0


def test_pieces_are_charged_as_they_are_read(slow: Slow) -> None:
    """What the sink doesn't take was read all the same."""
    slow.lift(len(BULK))
    slow.send(BULK[:1000])
    slow.run(0.01)
    assert slow.throttle.buckets[0].passed == 1000


def test_cancelled_while_it_waits(slow: Slow) -> None:
    lift = slow.lift(len(BULK))
    slow.send(BULK)
    slow.run(0.3)
    assert len(slow.shaper) == 1
    lift.cancel()
    assert len(slow.shaper) == 0
    assert slow.clock.getDelayedCalls() == []
    slow.machine.turns()
    assert slow.ends == []
    assert slow.watched == []


def test_an_eof_while_it_waits(slow: Slow) -> None:
    slow.throttle.buckets = (slow.shaper.bucket(100_000),)
    slow.lift(len(BULK))
    slow.send(BULK[:50_000])
    slow.source.peer.end_sending()
    slow.run(0.2)
    assert slow.ends == []
    slow.run(0.4)
    assert slow.ends == [(50_000, "eof")]
    slow.machine.until(lambda: slow.sink.peer.read() == BULK[:50_000])


def test_a_reset_while_it_waits(machine: Machine) -> None:
    slow = Slow(machine)
    slow.lift(len(BULK))
    slow.send(BULK[: MIB // 2])
    slow.run(0.1)
    slow.source.peer.reset()
    slow.run(1)
    assert slow.ends[0][1] == "source"


def test_a_sink_that_is_slower_than_its_throttle(slow: Slow) -> None:
    slow.throttle = Throttle((slow.shaper.bucket(1000 * MIB),))
    lift = slow.lift(2 * len(BULK))
    slow.send(2 * BULK)
    quiet = 0
    while quiet < 20:
        before = len(slow.unsent), sum(slow.told)
        slow.send(b"")
        slow.machine.turn()
        slow.clock.advance(0.01)
        quiet = quiet + 1 if before == (len(slow.unsent), sum(slow.told)) else 0
    assert lift.waits_for_sink
    assert not lift.waits_for_throttle
    slow.run(0.3)
    slow.machine.until(lambda: slow.run(0.01) or slow.ends)
    assert slow.ends == [(2 * len(BULK), "")]
    assert slow.sink.peer.got == 2 * BULK
