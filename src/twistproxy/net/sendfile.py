"""Bodies out of files: sendfile(2), from the page cache to the socket.

The transport stays open, and nobody else writes to it meanwhile. What the kernel takes at once
goes by the transport's own descriptor, with the head in the same packet; a body that it takes
whole costs no more. Else the socket is watched, through a duplicate, which is possible on every
reactor that has `IReactorFDSet`.

sendfile waits for the disk where a page is not in memory, and the reactor must not: each window is
looked for in the page cache first, and read in a thread if it isn't there.

What a sending waits for, and how it goes on:
    its transport still has unsent bytes           the socket
    the socket takes no more                       the socket
    the next bytes are not in the page cache       a thread that reads them
    its throttle gives nothing                     that
    sendfile is ruled out: TLS, no plain socket,   it reads slices and writes them to the
    too many open files, what can't be sent        transport, which tells it to pause
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from random import random
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IWriteDescriptor
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.native import NativeTransport
from twistproxy.net.splice import unsent
from twistproxy.net.throttle import Throttle
from twistproxy.net.tls import is_tls

#: Bytes that are looked for in the page cache, and sent, at a time.
WINDOW: Final = 1 << 20
#: Bytes that are read at a time where they go through a buffer.
SLICE: Final = 256 << 10
#: Bytes between two samples of the page cache: each costs a system call.
STRIDE: Final = 256 << 10
#: Threads that read at a time: of the reactor's they leave some for others.
MOST: Final = 6
#: Why a sending ended that nobody reads any more.
LOST: Final = "the connection is lost"

_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_BYTE: Final = [bytearray(1)]  # what a sample is read into


class File(Protocol):
    """What is open for reading, and stays so while there is a reference to this."""

    def fileno(self) -> int: ...


class Sender:
    """What all sendings of a process share: the threads, and the figures.

    reactor: IReactorTime, and IReactorThreads for what has to be read; where it has no
    `IReactorFDSet`, everything goes through buffers.
    """

    def __init__(self, reactor: object, most: int = MOST) -> None:
        self.reactor: Any = reactor
        self.able = sys.platform == "linux" and IReactorFDSet.providedBy(reactor)
        self.slice = memoryview(bytearray(SLICE))  # the reactor's own
        self._nowhere = memoryview(bytearray(WINDOW))  # the threads'; nobody looks into it
        self._most = most
        self._waiting: dict[Sending, None] = {}  # in order
        self._reading = 0
        self.now = 0
        self.sent = 0
        self.copied = 0
        self.reads = 0

    def sending(
        self,
        transport: Any,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
        throttle: Throttle | None = None,
    ) -> Sending:
        """Bytes of a file for a transport; `Sending.begin` sends them.

        Until the end nobody else may write to the transport; what was written before goes first.
        Whoever is its producer tells the sending to pause and to resume.

        moved: called with the number of bytes that the socket or the transport took, often; 0
        where it is their turn to. ended: called once, in `begin` even: "" is success, `LOST` that
        the socket is dead; else it says in words what is wrong with the file. throttle: what is
        sent is charged to it, and it waits for nobody else until the end.
        """
        return Sending(self, transport, file, offset, length, moved, ended, throttle)

    def under(self, throttle: Throttle) -> Sender:
        """The same, for sendings under a throttle."""
        return _Slowed(self, throttle)

    def snapshot(self) -> dict[str, int]:
        """Figures for the console, metrics and API.

        now: sendings. sent: bytes that the kernel moved. copied: those that went through buffers.
        reads: how often a thread had to read. waiting: sendings in line for one.
        """
        return {
            "now": self.now,
            "sent": self.sent,
            "copied": self.copied,
            "reads": self.reads,
            "waiting": len(self._waiting),
        }

    # For the sendings

    def read(self, sending: Sending) -> None:
        """Have a thread read what it needs next, when there is one."""
        self._waiting[sending] = None
        self._begin()

    def forget(self, sending: Sending) -> None:
        """It waits no longer."""
        self._waiting.pop(sending, None)

    def warm(self, file: File, at: int, size: int) -> bytes:
        """In a thread: bring these bytes into the page cache."""
        while size and (count := os.preadv(file.fileno(), [self._nowhere[:size]], at)):
            at += count
            size -= count
        return b""

    def _begin(self) -> None:
        while self._waiting and self._reading < self._most:
            sending = next(iter(self._waiting))
            del self._waiting[sending]
            self._reading += 1
            self.reads += 1
            pool = self.reactor.getThreadPool()
            reading = deferToThreadPool(self.reactor, pool, _try, *sending.wants())
            reading.addCallback(self._read, sending)

    def _read(self, result: bytes | str, sending: Sending) -> None:
        self._reading -= 1
        self._begin()
        sending.read(result)


class _Slowed(Sender):
    """What stands for a sender where sendings are to be under a throttle. It does nothing else."""

    def __init__(self, sender: Sender, throttle: Throttle) -> None:
        self._sender = sender
        self._throttle = throttle

    def sending(
        self,
        transport: Any,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
        throttle: Throttle | None = None,
    ) -> Sending:
        slow = throttle or self._throttle
        return self._sender.sending(transport, file, offset, length, moved, ended, slow)


@implementer(IWriteDescriptor)
class Sending:
    """A known number of bytes on their way. From `Sender.sending`."""

    __slots__ = (
        "_at", "_copies", "_ended", "_fd", "_file", "_moved", "_paused", "_reading", "_sender",
        "_there", "_throttle", "_transport", "_until", "_watching", "_written",
    )  # fmt: skip

    def __init__(
        self,
        sender: Sender,
        transport: Any,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
        throttle: Throttle | None,
    ) -> None:
        self._throttle = throttle
        self._sender = sender
        self._transport: Any = transport
        self._file: File | None = file
        self._at = self._there = offset  # until `_there` the file is in the page cache
        self._until = offset + length
        self._moved: Callable[[int], object] | None = moved
        self._ended: Callable[[str], object] | None = ended
        self._fd = -1  # the duplicate, once there is one
        self._watching = False
        self._reading = False  # in a thread, or in line for one
        self._copies = False  # it goes through a buffer
        self._paused = False  # the transport takes no more…
        self._written = False  # …and we wait for it to
        sender.now += 1

    def begin(self) -> None:
        """Send what can be sent now, all of it perhaps."""
        transport = self._transport
        if self._at == self._until:
            self._end("")
        elif not self._sender.able or is_tls(transport) or unsent(transport) < 0:
            self._copy()
        elif self._look():
            if self._throttle is None and isinstance(transport, NativeTransport):
                _push(transport)
            self._send()
        else:
            self._read()

    @property
    def waits_for_sink(self) -> bool:
        """Whether it is the client's turn, and not the disk's or the throttle's."""
        return not (self._reading or (self._throttle is not None and self._throttle.waits))

    def cancel(self) -> None:
        """No more, and `ended` is not called. Nothing if it has ended."""
        if self._ended is None:
            return
        self._moved = self._ended = None
        self._unplug()
        if self._throttle is not None:
            self._throttle.forget()
        self._sender.forget(self)
        self._sender.now -= 1
        self._transport = self._file = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._written:
            self._written = False
            self._go_on()

    # In the kernel

    def _send(self) -> None:
        """Send a window at most, so that others get their turn; watch for what is missing."""
        if not self._look():
            self._read()
            return
        if unsent(self._transport):
            self._watch()  # the transport is at it: it waits for the same socket
            return
        fd = self._fd if self._fd >= 0 else _number(self._transport)
        if fd < 0:
            self._copy()
            return
        most = self._may(self._there - self._at)
        if not most:
            return
        assert self._file is not None
        try:
            count = os.sendfile(fd, self._file.fileno(), self._at, most)
        except BlockingIOError:
            self._watch()
        except OSError:
            # The file's fault or the socket's, or this file can't be sent: to read and to write
            # tells which.
            self._copy()
        else:
            self._sender.sent += count
            if self._took(count):
                self._watch()

    def _may(self, most: int) -> int:
        """How many of so many bytes the throttle lets pass; 0: it waits for that."""
        throttle = self._throttle
        if throttle is not None and not (most := throttle.may(most)):
            self._unwatch()
            throttle.wait(self._may_again)
        return most

    def _may_again(self) -> None:
        if self._copies and self._paused:
            self._written = True
        else:
            self._go_on()

    def _look(self) -> bool:
        """Whether what is sent next is in memory."""
        if self._at == self._there:
            assert self._file is not None
            window = min(self._until - self._at, WINDOW)
            if not in_memory(self._file.fileno(), self._at, window):
                return False
            self._there += window
        return True

    def _watch(self) -> None:
        if self._fd < 0:
            try:
                self._fd = os.dup(_number(self._transport))
            except OSError:  # too many open files, or it is closed
                self._copy()
                return
        if not self._watching:
            self._watching = True
            self._sender.reactor.addWriter(self)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._sender.reactor.removeWriter(self)

    def _unplug(self) -> None:
        """The socket is the transport's alone again."""
        self._unwatch()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # IWriteDescriptor

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "sendfile"

    def doWrite(self) -> None:
        self._send()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has found an error, or stops."""
        self._end(LOST)

    # Through a buffer

    def _copy(self) -> None:
        self._unplug()
        self._copies = True
        if self._paused:
            self._written = True
        else:
            self._next()

    def _next(self) -> None:
        """Write a slice."""
        size = self._may(min(self._until - self._at, SLICE))
        if not size:
            return
        assert self._file is not None
        buffer = self._sender.slice[:size]
        try:
            count = os.preadv(self._file.fileno(), [buffer], self._at, _NOWAIT) if _NOWAIT else -1
        except OSError:  # it is not in the page cache, or nobody knows, or what a thread will tell
            count = -1
        if count < 0:
            self._read()
        else:
            self._write(bytes(buffer[:count]))

    def _write(self, data: bytes) -> None:
        if data:
            self._transport.write(data)
        self._sender.copied += len(data)
        if not self._took(len(data)):
            return
        if self._paused:
            self._written = True
        else:  # others get their turn
            self._sender.reactor.callLater(0, self._go_on)

    # Both

    def _go_on(self) -> None:
        if self._ended is None:
            return
        if self._at == self._until:
            self._end("")
        elif self._copies:
            self._next()
        else:
            self._send()

    def _took(self, count: int) -> bool:
        """So many bytes are gone, 0: the file has ended. Whether there is more to do."""
        if not count:
            self._end(f"it is {self._until - self._at} bytes too short")
            return False
        self._at += count
        if self._throttle is not None:
            self._throttle.took(count)
        if self._moved is not None:  # else it was cancelled by the write
            self._moved(count)
        if self._at == self._until and not (self._copies and self._paused):
            self._end("")
        return self._ended is not None

    def _read(self) -> None:
        self._unwatch()
        self._reading = True
        self._sender.read(self)

    def wants(self) -> tuple[Callable[[File, int, int], bytes], File, int, int]:
        """What is to be called in a thread: it keeps the file open for as long as it runs."""
        file, at, left = self._file, self._at, self._until - self._at
        assert file is not None
        if self._copies:
            return _slice, file, at, min(left, SLICE)
        return self._sender.warm, file, at, min(left, WINDOW)

    def read(self, result: bytes | str) -> None:
        """A thread has done it; or why it couldn't."""
        if self._ended is None:
            return
        self._reading = False
        if isinstance(result, str):
            self._end(result)
            return
        if self._moved is not None:
            self._moved(0)
        if self._copies:
            self._write(result)
        else:
            self._there = min(self._until, self._at + WINDOW)
            self._send()

    def _end(self, why: str) -> None:
        ended = self._ended
        self.cancel()
        if ended is not None:
            ended(why)


def in_memory(fd: int, at: int, size: int) -> bool:
    """Whether these bytes of a file are in the page cache, going by samples.

    False where nobody knows, as on tmpfs.
    """
    if not _NOWAIT:
        return False
    # A sample that finds nothing brings its page in. So that those of one who then went away
    # aren't found by the next, each call has places of its own.
    try:
        for place in range(at + int(random() * min(size, STRIDE)), at + size, STRIDE):
            os.preadv(fd, _BYTE, place, _NOWAIT)
        os.preadv(fd, _BYTE, at + size - 1, _NOWAIT)
    except OSError:
        return False
    return True


def _try(read: Callable[[File, int, int], bytes], file: File, at: int, size: int) -> bytes | str:
    """What came of it as a value: a failure would be in a cycle with its frames, and the file."""
    try:
        return read(file, at, size)
    except Exception as error:
        return str(error) or repr(error)


def _slice(file: File, at: int, size: int) -> bytes:
    return os.pread(file.fileno(), size, at)


def _push(transport: NativeTransport) -> None:
    """Give the kernel what the transport keeps for the end of the turn, to go with what follows.

    A head in a packet of its own wakes up the peer once more, which on one machine is a quarter of
    what a body of 1 MB costs.
    """
    outbox = transport._outbox  # has no public name
    data = b"".join(outbox)
    fd = _number(transport)
    if data and fd >= 0 and transport.unsent == len(data):  # else other bytes go before
        # Of any family: with these nothing is asked of it.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        with suppress(OSError):  # it is full, or dead, as the transport will find
            data = data[sock.send(data, socket.MSG_MORE) :]
        sock.detach()
        outbox[:] = [data] if data else []
    transport.flush()


def _number(transport: Any) -> int:
    """Of its socket; -1: there is none."""
    try:
        number: int = transport.getHandle().fileno()
        return number
    except (AttributeError, OSError):
        return -1
