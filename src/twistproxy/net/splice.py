"""Bytes from socket to socket in the kernel: splice(2), through a pipe.

                  fill               pour
    source socket ────▶ pipe ────────────▶ sink socket

The transports stay open and paused; their sockets are watched, read and written through
duplicated descriptors, which is possible on every reactor that has `IReactorFDSet`. A way takes
a pipe when its source has bytes and gives it back when the pipe is empty, so idle tunnels have
none.

What a way waits for, and how it goes on:
    its sink's transport still has unsent bytes    the sink; nothing is read before
    the source has no bytes                        the source
    the sink takes no more                         the sink; nothing is read before
    no pipe is to be had                           nothing: it copies, through a buffer
    its throttle gives nothing                     that; nothing is read before
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.throttle import Throttle
from twistproxy.net.tls import is_tls

#: Bytes of a pipe, so of one turn: as much as anybody may have, and a third less work a byte
#: than 256 KiB; with the kernel's own 64 KiB copying is no worse.
PIPE: Final = 1 << 20
#: Pipes at a time. Each can be full while its sink takes nothing: this bounds that to 64 MiB,
#: which also is what Linux lets one user have (/proc/sys/fs/pipe-user-pages-soft).
MOST_PIPES: Final = 64
#: Empty pipes that are kept.
IDLE_PIPES: Final = 16
#: Bytes of the buffer where there is no pipe.
BUFFER: Final = 64 << 10

_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)

#: Why a way ended. "": all is moved; "eof": the source's came before; else who was lost.
Why = Literal["", "eof", "source", "sink"]


def unsent(transport: Any) -> int:
    """Bytes that were written to a transport and that the kernel has not got yet.

    -1 where nobody knows.
    """
    if isinstance(transport, FileDescriptor):
        held: int = transport._tempDataLen  # has no public name
        return len(transport.dataBuffer) - transport.offset + held
    count: int = getattr(transport, "unsent", -1)
    return count


class Splicer:
    """What all ways of a process share: the pipes, and the figures.

    reactor: where it has no `IReactorFDSet`, or the platform no splice, nothing can be joined.
    """

    def __init__(self, reactor: object, most_pipes: int = MOST_PIPES) -> None:
        self.reactor: Any = reactor
        self._most_pipes = most_pipes
        self._able = IReactorFDSet.providedBy(reactor) and _splice_works()
        self._idle: list[Pipe] = []
        self._pipes = 0
        self.joints = 0
        self.spliced = 0
        self.copied = 0
        self.refused = 0

    def can_join(self, one: object, other: object) -> bool:
        """Whether both transports are plain sockets, and this platform can splice them."""
        return self._able and _is_plain(one) and _is_plain(other)

    def join(self, left: Any, right: Any) -> Joint | None:
        """Make two transports' sockets ready for ways between them.

        None if they can't be joined, or no more files can be opened. Until the joint is closed
        a transport that is a way's source has to be paused, and one that is a way's sink must
        not be written to; what was written before goes first.
        """
        if not self.can_join(left, right):
            return None
        try:
            one = Plug(self.reactor, left)
            try:
                return Joint(self, one, Plug(self.reactor, right))
            except OSError:
                one.close()
        except OSError:
            pass
        self.refused += 1
        return None

    def lift(
        self,
        source: Any,
        sink: Any,
        count: int,
        moved: Callable[[int], object],
        ended: Callable[[int, Why], object],
        throttle: Throttle | None = None,
    ) -> Lift | None:
        """Move the next `count` bytes from one transport to another.

        To be called where no bytes of the source can be under way: in its `dataReceived`, or
        while it is paused. It is paused; what was written to the sink before goes first, and
        nothing else may write to it until the end.

        moved: called with the number of bytes that the sink took, often.
        ended: called once, never in this call, with all that was moved, and why: "" is success.
        By then the source can be resumed; its own EOF or loss it then learns itself.
        throttle: what is read is charged to it, and it waits for nobody else until the end.

        None if it can't be done: see `join`. Nothing has changed then.
        """
        joint = self.join(source, sink)
        if joint is None:
            return None
        source.pauseProducing()
        return Lift(joint, count, moved, ended, throttle)

    def under(self, throttle: Throttle) -> Splicer:
        """The same, for lifts under a throttle."""
        return _Slowed(self, throttle)

    def snapshot(self) -> dict[str, int]:
        """Figures for the console, metrics and API; sizes in bytes."""
        return {
            "now": self.joints,
            "spliced": self.spliced,
            "copied": self.copied,
            "refused": self.refused,
            "pipes": self._pipes,
            "idle_pipes": len(self._idle),
            "most_pipes": self._most_pipes,
        }

    def close(self) -> None:
        """Close the pipes that are idle."""
        while self._idle:
            self._close_pipe(self._idle.pop())

    # For the ways

    def take(self) -> Pipe | Buffer:
        """Something empty to carry bytes in."""
        if self._idle:
            return self._idle.pop()
        if self._pipes < self._most_pipes:
            with suppress(OSError):
                pipe = Pipe()
                self._pipes += 1
                return pipe
        return Buffer()

    def give_back(self, vessel: Pipe | Buffer) -> None:
        """A pipe with bytes in it is closed."""
        if isinstance(vessel, Buffer):
            return
        if vessel.level or len(self._idle) >= IDLE_PIPES:
            self._close_pipe(vessel)
        else:
            self._idle.append(vessel)

    def _close_pipe(self, pipe: Pipe) -> None:
        self._pipes -= 1
        pipe.close()


class _Slowed(Splicer):
    """What stands for a splicer where lifts are to be under a throttle. It does nothing else."""

    def __init__(self, splicer: Splicer, throttle: Throttle) -> None:
        self._splicer = splicer
        self._throttle = throttle

    def lift(
        self,
        source: Any,
        sink: Any,
        count: int,
        moved: Callable[[int], object],
        ended: Callable[[int, Why], object],
        throttle: Throttle | None = None,
    ) -> Lift | None:
        return self._splicer.lift(source, sink, count, moved, ended, throttle or self._throttle)


class Joint:
    """Two sockets, and the ways between them."""

    __slots__ = ("_splicer", "left", "right")

    def __init__(self, splicer: Splicer, left: Plug, right: Plug) -> None:
        self._splicer: Splicer | None = splicer
        self.left = left
        self.right = right
        splicer.joints += 1

    def way(
        self,
        source: Plug,
        sink: Plug,
        moved: Callable[[int], object],
        ended: Callable[[Why], object],
        count: int = sys.maxsize,
        throttle: Throttle | None = None,
    ) -> Way:
        """Begin to move bytes; see `Way`. source and sink: this joint's two."""
        assert self._splicer is not None
        return Way(self._splicer, source, sink, moved, ended, count, throttle)

    def close(self) -> None:
        """End all ways, without a word; what is in their pipes is lost."""
        splicer, self._splicer = self._splicer, None
        if splicer is not None:
            splicer.joints -= 1
            self.left.close()
            self.right.close()


class Lift:
    """A known number of bytes on their way. From `Splicer.lift`."""

    __slots__ = ("_ended", "_joint", "_way")

    def __init__(
        self,
        joint: Joint,
        count: int,
        moved: Callable[[int], object],
        ended: Callable[[int, Why], object],
        throttle: Throttle | None,
    ) -> None:
        self._joint = joint
        self._ended: Callable[[int, Why], object] | None = ended
        self._way = joint.way(joint.left, joint.right, moved, self._over, count, throttle)

    @property
    def moved(self) -> int:
        """Bytes that the sink took until now."""
        return self._way.moved

    @property
    def waits_for_sink(self) -> bool:
        """Whether it is the sink's turn, and not the source's."""
        return self._way.waits_for_sink

    @property
    def waits_for_throttle(self) -> bool:
        """Whether it is neither's turn."""
        return self._way.waits_for_throttle

    def cancel(self) -> None:
        """No more, and `ended` is not called. Bytes that were read may be lost: the source
        can't be read on, nor the sink be written to. Nothing if it has ended."""
        self._ended = None
        self._joint.close()

    def _over(self, why: Why) -> None:
        self._joint.close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._way.moved, why)


class Way:
    """One direction: from the source's EOF, or after `count` bytes, nothing more is read.

    moved: called with the number of bytes that the sink took, once a wake-up; 0 if it took none
    of those that were read. ended: called once, when the sink has taken everything (why: "eof",
    or "" after `count` bytes or `finish`) or one of both was lost. Neither is called before the
    reactor's next turn, but for `finish`.
    """

    __slots__ = (
        "_ended", "_flushed", "_left", "_moved", "_sink", "_source", "_splicer", "_throttle",
        "_vessel", "_why", "moved",
    )  # fmt: skip

    def __init__(
        self,
        splicer: Splicer,
        source: Plug,
        sink: Plug,
        moved: Callable[[int], object],
        ended: Callable[[Why], object],
        count: int,
        throttle: Throttle | None,
    ) -> None:
        self.moved = 0
        self._throttle = throttle
        self._splicer = splicer
        self._source = source
        self._sink = sink
        self._moved: Callable[[int], object] | None = moved
        self._ended: Callable[[Why], object] | None = ended
        self._left = count  # bytes still to be read
        self._vessel: Pipe | Buffer | None = None  # with bytes in it
        self._why: Why | None = None
        source.reads = self
        sink.writes = self
        self._flushed = not unsent(sink.transport)
        if self._flushed and count:
            source.watch_reading()
        else:
            sink.watch_writing()

    @property
    def waits_for_sink(self) -> bool:
        """Whether it goes on when the sink takes bytes, rather than when the source has some."""
        return self._sink.writing

    @property
    def waits_for_throttle(self) -> bool:
        return self._throttle is not None and self._throttle.waits

    def pump(self) -> None:
        """Move a pipe's fill at most, so that others get their turn; watch for what is missing."""
        if not self._flushed:
            if unsent(self._sink.transport):
                return  # the transport is at it: it waits for the same socket
            self._flushed = True
        before, filled = self.moved, False
        if self._vessel is None:
            filled = self._fill()
        if self._vessel is not None:
            self._pour()
        if self._moved is not None and (filled or self.moved > before):
            self._moved(self.moved - before)
        if self._why is not None:
            self._end(self._why)

    def put(self, data: bytes) -> None:
        """Bytes that were read from the source elsewhere, after all that came by this way."""
        vessel = self._vessel
        if isinstance(vessel, Buffer):
            vessel.data += data
        else:
            self._vessel = Buffer(data if vessel is None else vessel.drain() + data)
            if vessel is not None:
                self._splicer.give_back(vessel)
        self._wait_for_sink()

    def finish(self) -> None:
        """Read no more; end when the sink has taken what was read, now if it has."""
        self._left = 0
        if self._vessel is None:
            self._end("")
        else:
            self._wait_for_sink()

    def stop(self) -> None:
        """It is over, and nobody is told."""
        if self._ended is None:
            return
        self._moved = self._ended = None
        if self._throttle is not None:
            self._throttle.forget()
        self._source.unwatch_reading()
        self._sink.unwatch_writing()
        self._source.reads = self._sink.writes = None
        vessel, self._vessel = self._vessel, None
        if vessel is not None:
            self._splicer.give_back(vessel)

    def lost(self, why: Why) -> None:
        """The reactor found the source or the sink dead."""
        self._end(why)

    def _fill(self) -> bool:
        """Read; whether there was something."""
        if self._left == 0:
            self._why = ""
            return False
        source, splicer, throttle = self._source, self._splicer, self._throttle
        most = self._left
        if throttle is not None and not (most := throttle.may(most)):
            self._sink.unwatch_writing()
            source.unwatch_reading()
            throttle.wait(self._go_on)
            return False
        vessel = splicer.take()
        try:
            count = vessel.fill(source.fd, most)
        except BlockingIOError:
            splicer.give_back(vessel)
            self._sink.unwatch_writing()
            source.watch_reading()
            return False
        except OSError:
            splicer.give_back(vessel)
            self._why = "source"
            return False
        if count == 0:
            splicer.give_back(vessel)
            self._why = "eof"
            return False
        if throttle is not None:
            throttle.took(count)
        self._left -= count
        self._vessel = vessel
        return True

    def _go_on(self) -> None:
        """The throttle gives."""
        self._source.watch_reading()
        self.pump()

    def _pour(self) -> None:
        """Write."""
        vessel, splicer = self._vessel, self._splicer
        assert vessel is not None
        try:
            count = vessel.pour(self._sink.fd)
        except BlockingIOError:
            count = 0
        except OSError:
            self._why = "sink"
            return
        self.moved += count
        if isinstance(vessel, Pipe):
            splicer.spliced += count
        else:
            splicer.copied += count
        if vessel.level:
            self._wait_for_sink()
            return
        self._vessel = None
        splicer.give_back(vessel)
        if self._left == 0:
            self._why = ""

    def _wait_for_sink(self) -> None:
        self._source.unwatch_reading()
        self._sink.watch_writing()

    def _end(self, why: Why) -> None:
        ended = self._ended
        self.stop()
        if ended is not None:
            ended(why)


@implementer(IReadWriteDescriptor)
class Plug:
    """A transport's socket under a descriptor of our own, which any reactor watches."""

    __slots__ = ("_reactor", "_reading", "fd", "reads", "transport", "writes", "writing")

    def __init__(self, reactor: Any, transport: Any) -> None:
        """Raises OSError if there are too many open files."""
        self._reactor = reactor
        self._reading = self.writing = False
        self.transport: Any = transport
        self.fd = os.dup(transport.getHandle().fileno())
        self.reads: Way | None = None  # what it is the source of
        self.writes: Way | None = None  # what it is the sink of

    def watch_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def unwatch_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def watch_writing(self) -> None:
        if not self.writing:
            self.writing = True
            self._reactor.addWriter(self)

    def unwatch_writing(self) -> None:
        if self.writing:
            self.writing = False
            self._reactor.removeWriter(self)

    def close(self) -> None:
        """The socket stays the transport's."""
        for way in (self.reads, self.writes):
            if way is not None:
                way.stop()
        self.transport = None
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    # IReadWriteDescriptor

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "splice"

    def doRead(self) -> None:
        if self.reads is not None:
            self.reads.pump()

    def doWrite(self) -> None:
        if self.writes is not None:
            self.writes.pump()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has found an error, or stops."""
        self.unwatch_reading()
        self.unwatch_writing()
        if (way := self.reads) is not None:
            way.lost("source")
        if (way := self.writes) is not None:
            way.lost("sink")


class Pipe:
    """Carries bytes between sockets in the kernel. Raises OSError where none can be opened."""

    __slots__ = ("_in", "_out", "level")

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.level = 0  # bytes in it
        with suppress(OSError):  # an unprivileged user may have only so much of it
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE)

    def fill(self, fd: int, most: int) -> int:
        """Read from a socket; bytes read, 0: its EOF. BlockingIOError: it has none."""
        # Only into an empty pipe: of a full one EAGAIN would not say which of both it is.
        self.level = os.splice(fd, self._in, min(most, PIPE), flags=_FLAGS)
        return self.level

    def pour(self, fd: int) -> int:
        """Write to a socket; bytes written. BlockingIOError: it takes none."""
        count = os.splice(self._out, fd, self.level, flags=_FLAGS)
        self.level -= count
        return count

    def drain(self) -> bytes:
        """What is in it."""
        data = b""
        while len(data) < self.level:
            data += os.read(self._out, self.level - len(data))
        self.level = 0
        return data

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)


class Buffer:
    """Does the same where no pipe is to be had, by copying."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    @property
    def level(self) -> int:
        return len(self.data)

    def fill(self, fd: int, most: int) -> int:
        self.data = os.read(fd, min(most, BUFFER))
        return len(self.data)

    def pour(self, fd: int) -> int:
        count = os.write(fd, self.data)
        self.data = self.data[count:]
        return count


def _is_plain(transport: Any) -> bool:
    """Whether a transport's bytes are those of a stream socket, and its buffer is known."""
    if is_tls(transport):
        return False
    try:
        handle = transport.getHandle()
        families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        return (
            handle.family in families
            and handle.type == socket.SOCK_STREAM
            and handle.fileno() >= 0
            and unsent(transport) >= 0
        )
    except (AttributeError, OSError):
        return False


def _splice_works() -> bool:
    """Whether there is splice(2), and nothing in the way of it, as a sandbox's filter."""
    if not hasattr(os, "splice"):
        return False
    try:
        one, other = socket.socketpair()
        pipe = Pipe()
    except OSError:
        return False
    with one, other:
        try:
            one.sendall(b"?")
            works = pipe.fill(other.fileno(), 1) == 1 and pipe.pour(other.fileno()) == 1
        except OSError:
            works = False
        finally:
            pipe.close()
    return works
