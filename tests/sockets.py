"""Real sockets on a real reactor, which turns when it is told to.

machine = Machine("epoll")
ours = machine.socket("tcp", protocol)      # ours.transport, and ours.peer: the other end
machine.until(lambda: ours.peer.got == b"hello")
machine.close()
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.native import NativeTransport
from twistproxy.net.reactor import OnUvloop

#: Seconds; reached only by a test that fails.
PATIENCE = 10.0

#: Twisted's transports on two reactors, and the loop's own.
KINDS = ("epoll", "uvloop", "native")
FAMILIES = ("tcp", "unix")


class Machine:
    """A reactor of its own, that nobody runs, and all that was opened on it."""

    def __init__(self, kind: str) -> None:
        self._native = kind == "native"
        self._ours: list[Ours] = []
        self.closing: list[Callable[[], object]] = []  # what else is to be closed at the end
        if kind == "epoll":
            self.reactor: Any = EPollReactor()
            self._loop: Any = None
        else:
            import uvloop

            self._loop = uvloop.new_event_loop()
            self.reactor = OnUvloop(self._loop)
        self._own = set(self.reactor.getReaders())
        self.turn()
        if self._native:
            self._loop.run_until_complete(asyncio.sleep(0))  # opens what loops need

    def turn(self) -> None:
        """What is ready happens."""
        if self._loop is None:
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0)
        else:
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
            self.reactor.runUntilCurrent()

    def turns(self, count: int = 10) -> None:
        for _ in range(count):
            self.turn()

    def until(self, what: Callable[[], object], why: str = "") -> None:
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, why or f"it never came: {what}"
            self.turn()

    @property
    def watched(self) -> set[Any]:
        """What the reactor watches, but for what it needs itself."""
        return {*self.reactor.getReaders(), *self.reactor.getWriters()} - self._own

    def socket(self, family: str, protocol: Protocol | None = None) -> Ours:
        """A connection: a transport of the reactor, and its peer."""
        one, other = connected(family)
        only = _Only(protocol or Recorder())
        if self._native:
            made = self._loop.connect_accepted_socket(
                lambda: NativeTransport(self._loop, only), one
            )
            self._loop.run_until_complete(made)
        else:
            self.reactor.adoptStreamConnection(one.fileno(), one.family, only)
            one.close()
        ours = Ours(only.protocol, only.protocol.transport, Peer(other))
        self._ours.append(ours)
        return ours

    def forget(self, *ours: Ours) -> None:
        """They have ended."""
        for one in ours:
            one.peer.close()
            self._ours.remove(one)

    def close(self) -> None:
        for ours in self._ours:
            ours.peer.close()
            ours.transport.abortConnection()
        self.turns()
        for close in self.closing:
            close()
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(ConnectionDone()))
        self.reactor.waker.connectionLost(Failure(ConnectionDone()))
        if self._loop is not None:
            self._loop.close()
            asyncio.set_event_loop(None)
        else:
            self.reactor._poller.close()


class Ours:
    """Our end of a connection."""

    def __init__(self, protocol: Any, transport: Any, peer: Peer) -> None:
        self.protocol = protocol
        self.transport = transport
        self.peer = peer


class Peer:
    """The other end, which never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.got = bytearray()
        self.end = ""  # "eof" or "reset": how it ended for us

    def send(self, data: bytes | memoryview) -> int:
        """As much as the kernel takes; so many bytes."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.end = "reset"
            return 0

    def read(self) -> bytes:
        """All there is."""
        while not self.end:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError:
                self.end = "reset"
                break
            if not data:
                self.end = "eof"
                break
            self.got += data
        return bytes(self.got)

    def end_sending(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """A close that is an RST; of a unix socket, with bytes unread, the same to us."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """What is told to a transport's protocol."""

    def __init__(self) -> None:
        self.received = b""
        self.eof = False
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.eof = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class _Only(Factory):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def buildProtocol(self, addr: object) -> Any:
        return self.protocol


def connected(family: str) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection whose buffers hold little."""
    if family == "unix":
        one, other = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            other = socket.create_connection(server.getsockname())
            one, _ = server.accept()
    for end in (one, other):
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, buffer, 64 << 10)
    return one, other


def open_files() -> set[str]:
    """The sockets and pipes that this process has open, by number."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {file for file in found if file.startswith(("socket:", "pipe:"))}
