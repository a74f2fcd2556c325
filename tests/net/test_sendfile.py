"""sendfile: the bytes of a file, and no others, in the kernel or through a buffer; the reactor's
thread never touches what is not in memory.

Real are sockets, files and reactors. The page cache is one that the test knows.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from sockets import FAMILIES, KINDS, Machine, Ours, Recorder
from talks import Net, Tape
from twistproxy.net import sendfile
from twistproxy.net.sendfile import LOST, SLICE, STRIDE, WINDOW, Sender, Sending, in_memory
from twistproxy.net.throttle import SAVED, Shaper, Throttle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no sendfile(2) like Linux's")

WAYS = ("kernel", "buffer")
#: More than a window, and more than all buffers on the way hold; each piece has its place.
BULK = b"".join(b"%07d\n" % i for i in range(400_000))


class PageCache:
    """Which bytes of files are in memory, and who reads: in place of the kernel's.

    everything: whether all is in memory. known: whether the filesystem tells.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.everything = self.known = True
        self.ranges: list[tuple[int, int]] = []
        self.sampled: list[int] = []
        self.error: int | None = None  # of the disk
        self.unsendable: int | None = None  # what sendfile fails with
        self.gate: threading.Event | None = None  # what a thread waits for
        self.preadv, self.pread, self.sendfile = os.preadv, os.pread, os.sendfile
        monkeypatch.setattr(os, "preadv", self._preadv)
        monkeypatch.setattr(os, "pread", self._pread)
        monkeypatch.setattr(os, "sendfile", self._sendfile)

    def has(self, at: int, size: int) -> bool:
        return self.everything or any(
            start <= at and at + size <= end for start, end in self.ranges
        )

    def _preadv(self, fd: int, buffers: Any, at: int, flags: int = 0) -> int:
        (buffer,) = buffers
        size = min(len(buffer), max(os.fstat(fd).st_size - at, 0))
        if not flags:
            self._from_disk(at, size)
        elif not self.known:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        elif not self.has(at, size):
            raise BlockingIOError
        elif len(buffer) == 1:
            self.sampled.append(at)
        return self.preadv(fd, buffers, at)

    def _pread(self, fd: int, size: int, at: int) -> bytes:
        self._from_disk(at, size)
        return self.pread(fd, size, at)

    def _from_disk(self, at: int, size: int) -> None:
        assert threading.current_thread() is not threading.main_thread(), "the reactor waits"
        if self.gate is not None:
            self.gate.wait(10)
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self.ranges.append((at, at + size))

    def _sendfile(self, out: int, fd: int, at: int, size: int) -> int:
        assert size <= WINDOW
        present = min(size, os.fstat(fd).st_size - at)
        assert not self.known or self.has(at, present), "the reactor waits"
        if self.unsendable is not None:
            raise OSError(self.unsendable, os.strerror(self.unsendable))
        return self.sendfile(out, fd, at, size)


class Opened:
    """A file that closes when nobody has it any more."""

    def __init__(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.file = path.open("rb", buffering=0)

    def fileno(self) -> int:
        return self.file.fileno()

    def __del__(self) -> None:
        self.file.close()


class Leg(Recorder):
    """Hands on what its transport says, as client legs do."""

    sending: Sending | None = None
    full = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.full = True
        if self.sending is not None:
            self.sending.pauseProducing()

    def resumeProducing(self) -> None:
        self.full = False
        if self.sending is not None:
            self.sending.resumeProducing()

    def stopProducing(self) -> None: ...

    def connectionLost(self, *reason: Any) -> None:
        super().connectionLost(*reason)
        if self.sending is not None:
            self.sending.cancel()


class Case:
    """A file on its way to one connection, and what was told of it."""

    def __init__(
        self,
        machine: Machine,
        folder: Path,
        family: str = "tcp",
        way: str = "kernel",
        most: int = 6,
    ) -> None:
        self.machine = machine
        self.folder = folder
        self.way = way
        self.sender = Sender(machine.reactor, most)
        self.sender.able = way == "kernel"
        self.told: list[int] = []
        self.ends: list[str] = []
        self.files = 0
        self.ours: Ours = machine.socket(family, Leg())
        machine.turns(3)
        number = self.ours.transport.getHandle().fileno()
        self._socket = os.readlink(f"/proc/self/fd/{number}")

    def file(self, data: bytes = BULK) -> Opened:
        self.files += 1
        return Opened(self.folder / str(self.files), data)

    def sending(self, file: Any, offset: int = 0, length: int = len(BULK)) -> Sending:
        sending = self.sender.sending(
            self.ours.transport, file, offset, length, self.told.append, self.ends.append
        )
        self.ours.protocol.sending = sending
        if self.ours.protocol.full:
            sending.pauseProducing()
        return sending

    def send(self, data: bytes = BULK, offset: int = 0, length: int | None = None) -> Sending:
        sending = self.sending(self.file(data), offset, len(data) if length is None else length)
        sending.begin()
        return sending

    def until(self, size: int | None = None) -> bytes:
        """The peer reads until it has so many bytes, or until the end and all that came."""
        peer = self.ours.peer

        def done() -> bool:
            got = len(peer.read())
            return bool(self.ends or peer.end) if size is None else got >= size

        self.machine.until(done)
        if size is None and not peer.end:
            self.machine.until(lambda: len(peer.read()) >= sum(self.told))
        return peer.read()

    def fill(self) -> None:
        """Nobody reads, until nothing moves any more."""
        quiet = 0
        while quiet < 20:
            before = sum(self.told)
            self.machine.turn()
            quiet = quiet + 1 if before == sum(self.told) else 0

    def over(self) -> None:
        """Nothing is left of it."""
        self.ours.protocol.sending = None
        assert not [one for one in self.machine.watched if isinstance(one, Sending)]
        assert self.sender.snapshot()["now"] == self.sender.snapshot()["waiting"] == 0
        links = open_links()
        assert links.count(self._socket) == (self.ours.protocol.lost is None)
        assert not [link for link in links if link.startswith(str(self.folder))]


def open_links() -> list[str]:
    """What is open, once for each descriptor."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param != "epoll":
        pytest.importorskip("uvloop")
    machine = Machine(request.param)
    pool = machine.reactor.getThreadPool()
    pool.start()
    machine.closing.append(pool.stop)
    yield machine
    machine.close()


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> PageCache:
    return PageCache(monkeypatch)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS)
def case(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> Case:
    return Case(machine, tmp_path, way=request.param)


@pytest.fixture
def kernel(machine: Machine, tmp_path: Path) -> Case:
    return Case(machine, tmp_path)


PARTS = {
    "all": (0, len(BULK)),
    "one_byte": (5, 1),
    "nothing": (7, 0),
    "a_window": (0, WINDOW),
    "a_window_less_one": (3, WINDOW - 1),
    "a_window_and_one": (3, WINDOW + 1),
    "a_slice_and_one": (1, SLICE + 1),
    "the_last_byte": (len(BULK) - 1, 1),
    "the_end": (1_000_001, len(BULK) - 1_000_001),
}


@pytest.mark.parametrize(("offset", "length"), PARTS.values(), ids=PARTS)
def test_these_bytes_and_no_others(case: Case, offset: int, length: int) -> None:
    case.send(BULK, offset, length)
    assert case.until() == BULK[offset : offset + length]
    assert case.ends == [""]
    assert sum(case.told) == length
    case.ours.transport.write(b"next")
    assert case.until(length + 4) == BULK[offset : offset + length] + b"next"
    case.over()


@pytest.mark.parametrize("way", WAYS)
def test_over_sockets_of_all_families(
    machine: Machine, tmp_path: Path, family: str, way: str
) -> None:
    case = Case(machine, tmp_path, family, way)
    case.send()
    assert case.until() == BULK
    assert case.ends == [""]
    figures = case.sender.snapshot()
    moved = {"kernel": figures["sent"], "buffer": figures["copied"]}
    assert moved.pop(way) == len(BULK)
    assert list(moved.values()) == [0]
    case.over()


def test_what_was_written_before_goes_first(case: Case) -> None:
    before = BULK[::-1]
    case.ours.transport.write(before)
    case.send()
    case.machine.turns()
    assert case.told == []
    assert case.until(len(before) + len(BULK)) == before + BULK
    assert case.ends == [""]
    case.over()


def test_a_head_and_a_body_that_the_kernel_takes_at_once(
    kernel: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(kernel.ours.transport, sendfile.NativeTransport):
        kernel.ours.transport.write(b"head\r\n\r\n")
    else:  # Twisted's own writes in the next turn
        kernel.ours.peer.got += b"head\r\n\r\n"
    monkeypatch.setattr(os, "dup", never)
    kernel.send(BULK[:10_000])
    assert (kernel.told, kernel.ends) == ([10_000], [""])
    assert kernel.until() == b"head\r\n\r\n" + BULK[:10_000]
    kernel.over()


def test_a_head_goes_in_one_packet_with_its_body(kernel: Case) -> None:
    transport = kernel.ours.transport
    if not isinstance(transport, sendfile.NativeTransport):
        pytest.skip("Twisted's own writes in the next turn")
    transport.writeSequence([b"head", b"\r\n", b"\r\n"])
    kernel.send(b"body")
    info = transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    (packets,) = struct.unpack_from("=I", info, 156)  # with data, in struct tcp_info
    assert packets == 1
    assert kernel.until(12) == b"head\r\n\r\nbody"
    kernel.machine.turns()
    assert kernel.until(12) == b"head\r\n\r\nbody"
    kernel.over()


@pytest.mark.parametrize("room", [0, 1, 3, 7])
def test_a_head_of_which_the_kernel_takes_some(
    kernel: Case, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(socket.socket):
        def send(self, data: Any, flags: int = 0) -> int:
            if not room:
                raise BlockingIOError
            return super().send(data[:room], flags)

    kernel.ours.transport.write(b"he")
    kernel.ours.transport.write(b"ad\r\n\r\n")
    monkeypatch.setattr(socket, "socket", Full)
    kernel.send()
    assert kernel.until(8 + len(BULK)) == b"head\r\n\r\n" + BULK
    assert kernel.ends == [""]
    kernel.over()


def test_a_file_in_memory_costs_no_thread_and_no_byte_passes_python(
    kernel: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sendfile, "deferToThreadPool", never)
    monkeypatch.setattr(os, "write", never)
    kernel.send()
    kernel.ours.transport.write = kernel.ours.transport.writeSequence = never
    assert kernel.until() == BULK
    assert kernel.sender.snapshot() == {
        "now": 0, "sent": len(BULK), "copied": 0, "reads": 0, "waiting": 0
    }  # fmt: skip
    kernel.over()


def test_a_file_in_memory_costs_no_thread_through_a_buffer_either(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sendfile, "deferToThreadPool", never)
    case = Case(machine, tmp_path, way="buffer")
    case.send()
    assert case.until() == BULK
    assert max(case.told) <= SLICE
    case.over()


def test_others_get_their_turn(case: Case) -> None:
    case.send()
    assert sum(case.told) <= WINDOW
    before = 0
    while not case.ends:
        case.ours.peer.read()
        case.machine.turn()
        assert sum(case.told) - before <= 2 * WINDOW  # uvloop polls twice a turn
        before = sum(case.told)
    assert max(case.told) <= WINDOW
    case.over()


def test_a_client_that_does_not_read_stops_it(case: Case) -> None:
    case.send(BULK + BULK)
    case.fill()
    assert 0 < sum(case.told) < len(BULK)
    assert case.ends == []
    assert case.until() == BULK + BULK
    assert case.ends == [""]
    case.over()


def test_a_client_that_reads_little_by_little(case: Case) -> None:
    case.send()
    case.fill()
    peer, got = case.ours.peer, b""
    while len(got) < len(BULK):
        with suppress(BlockingIOError):
            got += peer.socket.recv(50_000)
        case.machine.turn()
    assert got == BULK
    case.machine.until(lambda: case.ends)
    assert case.ends == [""]
    case.over()


# -- the disk ---------------------------------------------------------------------------


def test_what_is_on_disk_is_read_in_a_thread_first(case: Case, pages: PageCache) -> None:
    pages.everything = False
    sending = case.send()
    assert case.told == []
    assert not sending.waits_for_sink
    assert case.until() == BULK
    assert case.ends == [""]
    size = WINDOW if case.way == "kernel" else SLICE
    assert case.sender.snapshot()["reads"] == -(-len(BULK) // size)
    assert 0 in case.told, "the client's time begins when the disk has done its part"
    case.over()


def test_only_what_is_not_in_memory_is_read(kernel: Case, pages: PageCache) -> None:
    pages.everything = False
    pages.ranges += [(0, WINDOW), (2 * WINDOW, len(BULK))]
    kernel.send()
    assert kernel.until() == BULK
    assert kernel.sender.snapshot()["reads"] == 1
    kernel.over()


def test_where_nobody_knows_what_is_in_memory_it_is_read(case: Case, pages: PageCache) -> None:
    pages.known = False
    case.send()
    assert case.until() == BULK
    size = WINDOW if case.way == "kernel" else SLICE
    assert case.sender.snapshot()["reads"] == -(-len(BULK) // size)
    case.over()


def test_where_nobody_can_be_asked_it_is_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendfile, "_NOWAIT", 0)
    case.send()
    assert case.until() == BULK
    assert case.sender.snapshot()["reads"]
    case.over()


def test_a_file_that_is_too_short(case: Case) -> None:
    case.send(BULK, 0, len(BULK) + 300)
    assert case.until() == BULK
    assert case.ends == ["it is 300 bytes too short"]
    assert sum(case.told) == len(BULK)
    case.over()


def test_a_file_that_is_too_short_on_disk(case: Case, pages: PageCache) -> None:
    pages.everything = False
    case.send(BULK, len(BULK) - 5, 10)
    assert case.until() == BULK[-5:]
    assert case.ends == ["it is 5 bytes too short"]
    case.over()


def test_a_file_that_ended_before(case: Case) -> None:
    case.send(b"short", 10, 10)
    assert case.until() == b""
    assert case.ends == ["it is 10 bytes too short"]
    case.over()


def test_an_error_of_the_disk(case: Case, pages: PageCache) -> None:
    pages.everything = False
    pages.ranges += [(0, WINDOW)]
    pages.error = errno.EIO
    case.send()
    assert case.until() == BULK[:WINDOW]
    (why,) = case.ends
    assert "Input/output error" in why
    case.over()


def test_an_error_of_the_disk_where_it_was_in_memory(kernel: Case, pages: PageCache) -> None:
    """sendfile says the same of both ends; it is the file's fault."""
    kernel.send()
    pages.unsendable = pages.error = errno.EIO
    pages.known = False
    got = kernel.until()
    assert BULK.startswith(got)
    assert len(got) == sum(kernel.told)
    (why,) = kernel.ends
    assert "Input/output error" in why
    kernel.over()


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS])
def test_a_file_that_can_not_be_sent_is_read_and_written(
    kernel: Case, pages: PageCache, error: int
) -> None:
    pages.unsendable = error
    kernel.send()
    assert kernel.until() == BULK
    assert kernel.ends == [""]
    assert kernel.sender.snapshot()["copied"] == len(BULK)
    kernel.over()


def test_too_many_open_files(kernel: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    kernel.send()
    assert kernel.until() == BULK
    assert kernel.ends == [""]
    figures = kernel.sender.snapshot()
    assert figures["sent"] + figures["copied"] == len(BULK)
    assert figures["copied"]
    kernel.over()


# -- threads ------------------------------------------------------------------------------


class Files:
    """Many to be read at once, on connections of their own; threads go on when they may."""

    def __init__(self, machine: Machine, folder: Path, pages: PageCache, most: int) -> None:
        self.machine, self.pages = machine, pages
        pages.everything = False
        pages.gate = threading.Event()
        machine.closing.insert(0, pages.gate.set)
        self.cases = [Case(machine, folder / str(n)) for n in range(5)]
        self.sender = Sender(machine.reactor, most)
        for n, case in enumerate(self.cases):
            (folder / str(n)).mkdir()
            case.sender = self.sender

    def go_on(self) -> None:
        assert self.pages.gate is not None
        self.pages.gate.set()


def test_so_many_threads_and_not_one_more(
    machine: Machine, tmp_path: Path, pages: PageCache
) -> None:
    files = Files(machine, tmp_path, pages, most=2)
    for case in files.cases:
        case.send(BULK[:1000])
    assert (files.sender.reads, files.sender.snapshot()["waiting"]) == (2, 3)
    files.go_on()
    for case in files.cases:
        assert case.until() == BULK[:1000]
        assert case.ends == [""]
    assert files.sender.snapshot()["now"] == 0


def test_who_goes_away_leaves_the_line(machine: Machine, tmp_path: Path, pages: PageCache) -> None:
    files = Files(machine, tmp_path, pages, most=1)
    one, other, third = [case.send(BULK[:1000]) for case in files.cases[:3]]
    other.cancel()
    files.go_on()
    assert files.cases[2].until() == BULK[:1000]
    assert files.sender.reads == 2
    assert files.cases[1].told == files.cases[1].ends == []
    assert one.waits_for_sink
    assert third.waits_for_sink


def test_a_file_stays_open_while_a_thread_reads_it(case: Case, pages: PageCache) -> None:
    pages.everything = False
    pages.gate = threading.Event()
    file = case.file()
    gone = weakref.ref(file)
    sending = case.sending(file)
    sending.begin()
    del file
    sending.cancel()
    sending.cancel()
    case.machine.turns()
    assert gone() is not None
    pages.gate.set()
    case.machine.until(lambda: gone() is None)
    case.machine.turns()
    assert case.told == case.ends == []
    case.over()


# -- the end ------------------------------------------------------------------------------


def test_a_cancelled_one_is_not_heard_of_again(case: Case) -> None:
    sending = case.send(BULK + BULK)
    case.fill()
    told = list(case.told)
    sending.cancel()
    sending.cancel()
    sending.resumeProducing()
    case.over()
    case.ours.peer.read()
    case.machine.turns()
    assert case.told == told
    assert case.ends == []


def test_one_that_is_cancelled_in_its_turn_goes_no_further(case: Case) -> None:
    sending: list[Sending] = []
    moved: list[int] = []

    def stop(count: int) -> None:
        moved.append(count)
        sending[0].cancel()

    sending.append(
        case.sender.sending(case.ours.transport, case.file(), 0, len(BULK), stop, case.ends.append)
    )
    sending[0].begin()
    case.machine.turns()
    assert len(moved) == 1
    assert case.ends == []
    case.over()


def test_a_client_that_resets(case: Case) -> None:
    case.send(BULK + BULK)
    case.fill()
    case.ours.peer.reset()
    case.machine.until(lambda: case.ours.protocol.lost or case.ends)
    if case.ends:  # by whom it is found first
        assert case.ends == [LOST]
        case.ours.transport.abortConnection()
        case.machine.until(lambda: case.ours.protocol.lost)
    case.machine.forget(case.ours)
    case.over()


def test_a_client_that_resets_while_its_transport_does_not_read(
    machine: Machine, tmp_path: Path, family: str
) -> None:
    case = Case(machine, tmp_path, family)
    case.ours.transport.pauseProducing()
    case.send(BULK + BULK)
    case.fill()
    case.ours.peer.reset()
    case.machine.until(lambda: case.ours.protocol.lost or case.ends)
    assert case.ends in ([], [LOST])
    if not case.ours.protocol.lost:
        case.ours.transport.abortConnection()
        case.machine.until(lambda: case.ours.protocol.lost)
    case.machine.forget(case.ours)
    case.over()


def test_a_client_that_resets_while_the_disk_is_read(case: Case, pages: PageCache) -> None:
    pages.everything = False
    pages.gate = threading.Event()
    case.send()
    case.ours.peer.reset()
    case.machine.until(lambda: case.ours.protocol.lost)
    pages.gate.set()
    case.machine.until(lambda: case.sender._reading == 0)
    case.machine.forget(case.ours)
    assert case.ends == []
    case.over()


def test_a_connection_that_we_have_closed_while_the_disk_was_read(
    kernel: Case, pages: PageCache
) -> None:
    pages.everything = False
    pages.gate = threading.Event()
    kernel.ours.protocol.sending = None  # nobody cancels it
    sending = kernel.sender.sending(
        kernel.ours.transport, kernel.file(), 0, 10, kernel.told.append, kernel.ends.append
    )
    sending.begin()
    kernel.ours.transport.abortConnection()
    kernel.machine.until(lambda: kernel.ours.protocol.lost)
    pages.gate.set()
    kernel.machine.until(lambda: kernel.ends)
    kernel.machine.forget(kernel.ours)
    kernel.over()


def test_the_reactor_finds_the_socket_dead(kernel: Case) -> None:
    sending = kernel.send(BULK + BULK)
    kernel.fill()
    verifyObject(IWriteDescriptor, sending)
    assert sending.logPrefix() == "sendfile"
    sending.connectionLost(None)  # type: ignore[arg-type]
    assert kernel.ends == [LOST]
    kernel.over()


def test_one_that_ended_leaves_no_cycle(case: Case) -> None:
    class Owner:
        def __init__(self) -> None:
            self.why: list[str] = []
            self.sending: Any = None

        def moved(self, count: int) -> None: ...

        def ended(self, why: str) -> None:
            self.why.append(why)

    owner, file = Owner(), case.file()
    gc.collect()
    gc.disable()
    try:
        owner.sending = case.sender.sending(
            case.ours.transport, file, 0, len(BULK), owner.moved, owner.ended
        )
        case.ours.protocol.sending = owner.sending
        owner.sending.begin()
        why = owner.why
        case.machine.until(lambda: [case.ours.peer.read(), why][1])
        case.machine.turns()
        case.ours.protocol.sending = None
        gone, closed = weakref.ref(owner), weakref.ref(file)
        del owner, file
        assert gone() is None
        assert closed() is None
    finally:
        gc.enable()
    case.over()


# -- other transports ---------------------------------------------------------------------


@pytest.mark.parametrize("cold", [False, True], ids=["memory", "disk"])
def test_over_tls(net: Net, tmp_path: Path, pages: PageCache, cold: bool) -> None:
    pool = net.reactor.getThreadPool()
    pool.start()
    try:
        pages.everything = not cold
        talk = net.talk(Tape(), "tls")
        sender = Sender(net.reactor)
        told: list[int] = []
        ends: list[str] = []
        sending = sender.sending(
            talk.transport, Opened(tmp_path / "file", BULK + BULK), 0, 2 * len(BULK),
            told.append, ends.append,
        )  # fmt: skip

        class Producer:
            pauseProducing, resumeProducing = sending.pauseProducing, sending.resumeProducing

            def stopProducing(self) -> None: ...

        talk.transport.registerProducer(Producer(), True)
        talk.transport.write(b"head")
        sending.begin()
        quiet = 0
        while quiet < 50:
            before = sum(told)
            net.turns(1)
            quiet = quiet + 1 if before == sum(told) and sender._reading == 0 else 0
        assert sum(told) < 2 * len(BULK)
        net.until(lambda: [talk.peer.read(), ends][1])
        net.until(lambda: len(talk.peer.read()) == 4 + 2 * len(BULK))
        assert talk.peer.read() == b"head" + BULK + BULK
        assert (ends, sum(told)) == ([""], 2 * len(BULK))
        assert sender.snapshot()["sent"] == 0
        talk.transport.unregisterProducer()
    finally:
        pool.stop()


def test_to_a_transport_without_a_socket(tmp_path: Path) -> None:
    clock, ends = Clock(), []
    transport: Any = StringTransport()
    sender = Sender(clock)
    sender.sending(
        transport, Opened(tmp_path / "file", BULK), 0, len(BULK), len_of, ends.append
    ).begin()
    while not ends:
        clock.advance(0)
    assert transport.value() == BULK
    assert ends == [""]


def test_a_transport_that_is_full_from_the_beginning(tmp_path: Path) -> None:
    clock, ends = Clock(), []
    transport: Any = StringTransport()
    sending = Sender(clock).sending(
        transport, Opened(tmp_path / "file", b"body"), 0, 4, len_of, ends.append
    )
    sending.pauseProducing()
    sending.begin()
    assert transport.value() == b""
    sending.resumeProducing()
    assert transport.value() == b"body"
    assert ends == [""]


def test_the_end_is_told_when_the_transport_has_taken_it(tmp_path: Path) -> None:
    clock, ends = Clock(), []
    transport: Any = StringTransport()
    sending = Sender(clock).sending(
        transport, Opened(tmp_path / "file", b"body"), 0, 4, len_of, ends.append
    )
    write = transport.write
    transport.write = lambda data: (write(data), sending.pauseProducing())
    sending.begin()
    clock.advance(1)
    assert transport.value() == b"body"
    assert ends == []
    sending.resumeProducing()
    assert ends == [""]


# -- samples ------------------------------------------------------------------------------


SIZES = [1, 2, STRIDE - 1, STRIDE, STRIDE + 1, WINDOW - 1, WINDOW]


@pytest.mark.parametrize("size", SIZES)
def test_samples_are_everywhere(tmp_path: Path, pages: PageCache, size: int) -> None:
    file = Opened(tmp_path / "file", BULK)
    at = 12_345
    assert in_memory(file.fileno(), at, size)
    places = [at, *sorted(pages.sampled), at + size - 1]
    assert places[-2] == at + size - 1
    assert max(after - before for before, after in pairwise(places)) <= STRIDE
    assert all(at <= place < at + size for place in places)


def test_samples_of_one_call_do_not_help_another(tmp_path: Path, pages: PageCache) -> None:
    file = Opened(tmp_path / "file", BULK)
    seen: set[int] = set()
    for _ in range(20):
        pages.sampled.clear()
        assert in_memory(file.fileno(), 0, WINDOW)
        seen.update(place // 4096 for place in pages.sampled[:-1])
    assert len(seen) > 40


def test_a_hole_is_found(tmp_path: Path, pages: PageCache) -> None:
    file = Opened(tmp_path / "file", BULK)
    pages.everything = False
    pages.ranges += [(0, 2 * STRIDE), (3 * STRIDE, WINDOW)]
    assert not any(in_memory(file.fileno(), 0, WINDOW) for _ in range(50))
    assert in_memory(file.fileno(), 0, 2 * STRIDE)
    assert in_memory(file.fileno(), 3 * STRIDE, WINDOW - 3 * STRIDE)


def test_of_a_real_file_that_is_not_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: PageCache
) -> None:
    monkeypatch.setattr(os, "preadv", pages.preadv)
    file = Opened(tmp_path / "file", BULK)
    if not in_memory(file.fileno(), 0, WINDOW):
        pytest.skip("this filesystem does not tell")

    def drop() -> bool:
        """The kernel does so when it likes."""
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return not in_memory(file.fileno(), 0, WINDOW)

    assert any(drop() for _ in range(100))
    Sender(Clock()).warm(file, 0, WINDOW)
    assert in_memory(file.fileno(), 0, WINDOW)


def never(*arguments: object) -> Any:
    raise AssertionError("must not be called")


len_of: Callable[[int], object] = int


# -- under a throttle ------------------------------------------------------------------------------

MIB = 1 << 20


class Slow:
    """A case under a limit; time goes on when the test says so."""

    def __init__(self, case: Case, rate: float = MIB) -> None:
        self.case = case
        self.clock = Clock()
        self.shaper = Shaper(self.clock)
        self.throttle = Throttle((self.shaper.bucket(rate),))
        self.plain, case.sender = case.sender, case.sender.under(self.throttle)

    def run(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            for _ in range(3):
                self.case.ours.peer.read()
                self.case.machine.turn()
            self.clock.advance(0.01)

    @property
    def got(self) -> bytes:
        return bytes(self.case.ours.peer.got)

    def finish(self) -> None:
        self.case.machine.until(lambda: self.run(0.05) or self.case.ends)
        self.case.machine.until(lambda: len(self.case.ours.peer.read()) >= sum(self.case.told))
        self.case.sender = self.plain


@pytest.fixture
def slow(case: Case) -> Slow:
    return Slow(case)


def test_as_fast_as_the_throttle_lets_it(slow: Slow) -> None:
    sending = slow.case.send()
    slow.run(1.5)
    # What a thread reads for a buffer is charged afterwards, and threads know no virtual time.
    ahead, behind = (0, 0.1) if slow.case.way == "kernel" else (SLICE, 1)
    assert len(slow.got) <= (1.5 + SAVED) * MIB * 1.1 + ahead
    assert len(slow.got) >= (1.5 + SAVED) * MIB * (1 - behind)
    if slow.case.way == "kernel":
        assert not sending.waits_for_sink, "it is nobody's turn"
    slow.finish()
    assert slow.case.ends == [""]
    assert slow.got == BULK
    assert slow.clock.seconds() >= len(BULK) / MIB - SAVED - 0.05
    figures = slow.plain.snapshot()
    assert (figures["sent"], figures["copied"])[slow.case.way == "buffer"] == len(BULK)
    assert len(slow.shaper) == 0
    slow.case.over()


def test_as_fast_where_it_has_to_be_read_first(slow: Slow, pages: PageCache) -> None:
    pages.everything = False
    slow.case.send()
    slow.finish()
    assert slow.got == BULK
    assert slow.clock.seconds() >= len(BULK) / MIB - SAVED - SLICE / MIB - 0.1
    slow.case.over()


def test_cancelled_while_it_waits(slow: Slow) -> None:
    sending = slow.case.send()
    slow.run(0.3)
    assert len(slow.shaper) == 1
    sending.cancel()
    assert len(slow.shaper) == 0
    assert slow.clock.getDelayedCalls() == []
    slow.case.sender = slow.plain
    slow.case.machine.turns()
    assert slow.case.ends == []
    slow.case.over()


def test_a_slow_peer_is_waited_for_as_before(slow: Slow) -> None:
    slow.throttle.buckets = (slow.shaper.bucket(1000 * MIB),)
    sending = slow.case.send()
    for _ in range(100):
        slow.case.machine.turn()
        slow.clock.advance(0.01)
    if len(slow.case.told) and not slow.case.ends:
        assert sending.waits_for_sink
    slow.finish()
    assert slow.got == BULK
    assert slow.case.ends == [""]
    slow.case.over()


def test_the_peer_goes_while_it_waits(slow: Slow) -> None:
    slow.case.send()
    slow.run(0.2)
    slow.case.ours.peer.reset()
    slow.case.machine.until(
        lambda: (
            (slow.case.machine.turn(), slow.clock.advance(0.05), slow.case.ends)[2]
            or slow.case.ours.protocol.lost is not None
        )
    )
    assert slow.case.ends in ([LOST], [])
    slow.case.sender = slow.plain
    slow.case.machine.until(lambda: len(slow.shaper) == 0)
