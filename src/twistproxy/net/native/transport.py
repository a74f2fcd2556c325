"""One connection: what uvloop calls, and what a Twisted protocol calls, in one object.

          connection_made, data_received,            dataReceived, connectionLost,
          eof_received, connection_lost              readConnectionLost
    uvloop ─────────────────────────▶ NativeTransport ─────────────────────────▶ protocol
           ◀─────────────────────────                 ◀─────────────────────────
          write, pause_reading, close…               write, pauseProducing, loseConnection…

Where a name of the right side means what one of the left does, it is the same bound method; but
for writes, which are kept to the end of the turn: see `Turn`. All of it is let go of at the
connection's end, so that no cycle stays.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

#: Bytes that may wait in a transport before it pauses its producer; it is resumed at none.
HIGH_WATER: Final = 64 << 10

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST

DONE: Final = Failure(ConnectionDone())
LOST: Final = Failure(ConnectionLost())
ABORTED: Final = Failure(ConnectionAborted())


def bind(transport: Any, protocol: IProtocol) -> None:
    """From here on `protocol` is `transport`'s, whichever kind of transport it is.

    To be called, too, when a protocol's own ``dataReceived`` is another one than before.
    """
    if isinstance(transport, TLSMemoryBIOProtocol):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol


class Turn:
    """What is written while one turn of a loop handles what was read; sent at its end.

    A write wakes up the peer. Where the peer is on this machine, or its network card is, waking
    it up between one request and the next costs more than the write itself; and two writes to
    one connection become one.
    """

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[NativeTransport] = []

    def add(self, transport: NativeTransport) -> None:
        """Have it flushed."""
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting.append(transport)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.flush()


@lru_cache(4)
def turn_of(loop: asyncio.AbstractEventLoop) -> Turn:
    """There is one a loop."""
    return Turn(loop)


@implementer(ITCPTransport, IConsumer, IPushProducer, ISystemHandle)
class NativeTransport:
    """One connection: uvloop's protocol on one side, Twisted's transport on the other.

    made: fires with the protocol when it is connected.
    """

    __slots__ = (
        "_close",
        "_factory",
        "_first",
        "_full",
        "_held",
        "_host",
        "_later",
        "_loop",
        "_made",
        "_native",
        "_outbox",
        "_peer",
        "_producer",
        "_protocol",
        "_put",
        "_put_all",
        "_read_all",
        "_reason",
        "_turn",
        "_wrote_all",
        "data_received",
        "loseConnection",
        "pauseProducing",
        "resumeProducing",
        "write",
        "writeSequence",
    )

    write: Callable[[bytes], None]
    writeSequence: Callable[[Iterable[bytes]], None]
    loseConnection: Callable[[], None]
    pauseProducing: Callable[[], None]
    resumeProducing: Callable[[], None]
    data_received: Callable[[bytes], None]  # uvloop's name; it is called as often as anything

    _native: Any  # uvloop's plain transport
    _put: Callable[[bytes], None]  # uvloop's write
    _put_all: Callable[[Iterable[bytes]], None]
    _close: Callable[[], None]  # what loseConnection is when there is no producer

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: IProtocolFactory,
        made: Deferred[IProtocol] | None = None,
    ) -> None:
        self._loop = loop
        self._turn = turn_of(loop)
        self._outbox: list[bytes] = []
        self._factory = factory
        self._made = made
        self._protocol: Any = None  # None: it is lost, or not connected yet
        self._producer: Any = None
        self._full = False  # the producer is paused, or would be
        self._held = False  # by pauseProducing, before there was anything to pause
        self._first: list[bytes] = []  # what was read although it was held
        self._later: Callable[[], None] | None = None  # how it ends when the producer has ended
        self._read_all = False  # the peer's end has come
        self._wrote_all = False  # by loseWriteConnection
        self._reason: Failure | None = None
        self._peer: Any = None
        self._host: Any = None

    # -- the protocol -----------------------------------------------------------------

    @property
    def protocol(self) -> IProtocol | None:
        """Whose connection it is; None when it is lost. Setting it binds its dataReceived."""
        protocol: IProtocol | None = self._protocol
        return protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        if self._protocol is not None:
            self._protocol = protocol
            self._bind()

    def _bind(self) -> None:
        if self._protocol is not None and not self._held:
            self.data_received = self._protocol.dataReceived
            self._native.set_protocol(self)  # it keeps the bound method

    # -- what uvloop calls ------------------------------------------------------------

    def connection_made(self, native: Any) -> None:
        self._native = native
        # The loop's own low mark is 16 bytes; Twisted's producers go on when all is written.
        native.set_write_buffer_limits(HIGH_WATER, 0)
        self._put = native.write
        self._put_all = native.writelines
        self.write = self._write
        self.writeSequence = self._write_all
        self.loseConnection = self._close = self._flush_and_close
        # Reading begins when we return, and can't be prevented.
        self.pauseProducing = self._hold
        self.resumeProducing = self._release_soon
        if self._connect():
            if self._held:
                self.data_received = self._keep
                native.set_protocol(self)
            else:
                self._begin()

    def _connect(self) -> bool:
        """Build the protocol and connect it. False: the connection is to end."""
        made, self._made = self._made, None
        if made is not None and made.called:  # whoever wanted it doesn't wait any more
            self._native.abort()
            return False
        try:
            protocol: Any = self._factory.buildProtocol(self.getPeer())
            self._protocol = protocol
            if protocol is None:
                raise NoProtocol
            protocol.makeConnection(self)
        except NoProtocol as refusal:
            self._native.abort()
            failure: Failure | None = Failure(refusal)
        except Exception:
            failure = self._fail("A protocol could not be connected")
        else:
            failure = None
        if made is not None:
            made.callback(protocol if failure is None else failure)
        return not self._native.is_closing()

    def _begin(self) -> None:
        self.pauseProducing = self._native.pause_reading
        self.resumeProducing = self._native.resume_reading
        self._bind()

    def eof_received(self) -> bool:
        if self._held:
            return True  # it is told again when reading goes on
        self._read_all = True
        self.pauseProducing = self.resumeProducing = nothing  # it would be told again
        protocol = self._protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            protocol.readConnectionLost()
            return not self._wrote_all
        # What is pending is still written, but no more.
        self.flush()
        self.write = self.writeSequence = nothing
        self._stop_producer()
        return False

    def connection_lost(self, error: BaseException | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        reason = self._reason or self._why(error)
        self.write = self.writeSequence = self.data_received = nothing
        self.pauseProducing = self.resumeProducing = nothing
        self.loseConnection = self._close = nothing
        self._put = self._put_all = nothing
        self._later = None
        self._first.clear()
        self._outbox.clear()
        try:
            self._stop_producer()
            protocol.connectionLost(reason)
        except Exception:
            _log.failure("A protocol could not be told of its connection's end")

    def _why(self, error: BaseException | None) -> Failure:
        if error is None:
            return DONE
        if not isinstance(error, OSError):  # from a callback; the loop has had it logged
            return Failure(error)
        if from_callback(error):
            failure = Failure(error)
            _log.failure("A protocol's callback failed", failure)
            return failure
        return LOST

    def pause_writing(self) -> None:
        self._full = True
        if self._producer is not None:
            try:
                self._producer.pauseProducing()
            except Exception:
                self._fail("A producer could not be paused")

    def resume_writing(self) -> None:
        self._full = False
        if self._wrote_all:
            self._written()
        elif self._producer is not None:
            try:
                self._producer.resumeProducing()
            except Exception:
                self._fail("A producer could not be resumed")

    # -- paused before it has begun to read --------------------------------------------

    def _hold(self) -> None:
        self._held = True

    def _release_soon(self) -> None:
        if self._held:
            self._held = False
            self._loop.call_soon(self._release)

    def _release(self) -> None:
        if self._held or self._protocol is None:
            return
        first, self._first = self._first, []
        self._begin()
        self.resumeProducing()
        if first:
            try:
                self.data_received(b"".join(first))
            except Exception:
                self._fail("A protocol's callback failed")

    def _keep(self, data: bytes) -> None:
        self._first.append(data)
        self._native.pause_reading()

    # -- writing ------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        outbox = self._outbox
        if not outbox:
            self._turn.add(self)
        outbox.append(data)
        if len(data) >= HIGH_WATER:
            self.flush()

    def _write_all(self, data: Iterable[bytes]) -> None:
        outbox = self._outbox
        if not outbox:
            self._turn.add(self)
        outbox.extend(data)
        if sum(map(len, outbox)) >= HIGH_WATER:
            self.flush()

    def flush(self) -> None:
        """Hand what is kept to the loop, which writes it at once if the kernel takes it."""
        outbox = self._outbox
        if len(outbox) == 1:
            data = outbox.pop()
            self._put(data)
        elif outbox:
            self._outbox = []
            self._put_all(outbox)

    def _flush_and_close(self) -> None:
        self.flush()
        self._native.close()

    # -- ITransport, ITCPTransport ------------------------------------------------------

    @property
    def disconnecting(self) -> bool:
        """No more is read, though some may still be written."""
        return self._later is not None or self._native.is_closing()

    def loseWriteConnection(self) -> None:
        if self._producer is not None:
            self._later = self._later or self._shut_down
        elif self._protocol is not None and not self._wrote_all:
            self._shut_down()

    def _shut_down(self) -> None:
        native = self._native
        self.flush()
        self._wrote_all = True
        self.write = self.writeSequence = nothing
        if self._read_all:
            native.close()
        elif not native.is_closing():
            native.write_eof()
            if native.get_write_buffer_size():
                native.set_write_buffer_limits(0)  # so that resume_writing tells the end
            else:
                self._loop.call_soon(self._written)

    def _written(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._protocol):
            try:
                self._protocol.writeConnectionLost()
            except Exception:
                self._fail("A protocol's callback failed")

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the kernel has not got yet."""
        size: int = self._native.get_write_buffer_size()
        return size + sum(map(len, self._outbox))

    def abortConnection(self) -> None:
        if self._protocol is None or self._reason is not None:
            return
        self._reason = ABORTED
        self._outbox.clear()
        self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._native.abort()

    def _fail(self, what: str) -> Failure:
        """An exception is being handled: log it, and end the connection."""
        failure = Failure()
        _log.failure(what, failure)
        self._reason = self._reason or failure
        self._native.abort()
        return failure

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = address_of(self._native.get_extra_info("peername"))
        return self._peer

    def getHost(self) -> Any:
        if self._host is None:
            self._host = address_of(self._native.get_extra_info("sockname"))
        return self._host

    def getHandle(self) -> Any:
        """The socket, for its options and its number; None when it is closed."""
        handle = self._native.get_extra_info("socket")
        return None if handle is None or handle.fileno() < 0 else handle

    def getTcpNoDelay(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """The loop enables it on each connection."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _set_option(self, level: int, option: int, value: int | bytes) -> None:
        with suppress(AttributeError, OSError):  # it is closed, or has no such option
            self.getHandle().setsockopt(level, option, value)

    # -- IConsumer, IPushProducer -------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{producer!r} is one too many: {self._producer!r} is registered")
        if self._protocol is None:
            producer.stopProducing()
            return
        self._producer = producer if streaming else _Pulled(producer, self._loop, self._fail)
        self.loseConnection = self._close_later
        if self._full:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pulled):
            producer.pauseProducing()
        self.loseConnection = self._close
        later, self._later = self._later, None
        if later is not None:
            later()

    def stopProducing(self) -> None:
        self.loseConnection()

    def _close_later(self) -> None:
        self._later = self._close

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self.loseConnection = self._close
            producer.stopProducing()


class _Pulled:
    """A pull producer made a push producer: asked once a turn of the loop while there is room."""

    def __init__(
        self, producer: Any, loop: asyncio.AbstractEventLoop, failed: Callable[[str], object]
    ) -> None:
        self._producer = producer
        self._loop = loop
        self._failed = failed
        self._turn: asyncio.Handle | None = None

    def resumeProducing(self) -> None:
        self._turn = self._loop.call_soon(self.resumeProducing)
        try:
            self._producer.resumeProducing()
        except Exception:
            self.pauseProducing()
            self._failed("A producer failed")

    def pauseProducing(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()


def nothing(*_: object) -> None:
    pass


def from_callback(error: BaseException) -> bool:
    """Whether Python code has raised it; the peer's faults come from uvloop and from ssl."""
    traceback = error.__traceback__
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.endswith((".pyx", "/ssl.py")):
            return True
        traceback = traceback.tb_next
    return False


def address_of(name: Any) -> IPv4Address | IPv6Address | UNIXAddress:
    """name: the socket's, as Python has it; "" and None: a unix socket without one."""
    if isinstance(name, tuple):
        return IPv4Address("TCP", *name) if len(name) == 2 else IPv6Address("TCP", *name)
    return UNIXAddress(os.fsencode(name) if name else None)
