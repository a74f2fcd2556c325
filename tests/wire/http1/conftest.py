"""A connection in memory, for either leg: what is written, and what the other end takes of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

DONE, ABORTED, RESET = ConnectionDone, ConnectionAborted, ConnectionLost


class Wire(StringTransport):
    """The transport of a leg; strict where uvloop's transports are: no write after an end.

    Like Twisted's: a producer is paused while more than 64 KiB wait, a loss is told later, but
    at once when the writing half was closed before.
    """

    FULL = 1 << 16

    def __init__(self, protocol: Any, **addresses: Any) -> None:
        super().__init__(lenient=True, **addresses)
        self.protocol = protocol
        self.writes: list[bytes] = []
        self.taking = True  # the other end reads
        self.unsent = 0
        self.acked = 0
        self.full = False
        self.half_closed = self.aborted = self.lost = False

    # What the leg does

    def write(self, data: bytes) -> None:
        ended = self.half_closed or self.disconnecting or self.lost
        assert not ended, "a write after the end"
        assert data, "an empty write"
        self.writes.append(data)
        super().write(data)
        self.unsent += len(data)
        if self.taking:
            self.take()
        elif self.unsent > self.FULL and self.producer is not None:
            self.full = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        if self.producer is not None:
            super().unregisterProducer()

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.half_closed and not self.unsent:
            self.lose(DONE)

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def getHandle(self) -> Wire:
        return self

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return struct.pack("=120xQ64x", self.acked)

    # What the other end does

    def take(self, count: int | None = None) -> None:
        """Read what was sent, or so many bytes of it."""
        taken = self.unsent if count is None else min(count, self.unsent)
        self.unsent -= taken
        self.acked += taken
        if not self.unsent and self.full:
            self.full = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def send(self, data: bytes) -> bool:
        """Whether the bytes could arrive: not while the leg does not read, nor after the end."""
        if self.reads:
            self.protocol.dataReceived(data)
            return True
        return False

    @property
    def reads(self) -> bool:
        # Twisted stops reading when it is told to lose the connection, whole or at once.
        return not (self.lost or self.disconnecting or self.producerState == "paused")

    def end(self) -> None:
        """Send no more."""
        if not self.lost and not self.disconnecting:
            self.protocol.readConnectionLost()

    def lose(self, reason: type[Exception] = DONE) -> None:
        """The connection is over; of its protocol TLS keeps the producer."""
        if self.lost:
            return
        self.lost = self.disconnecting = True
        protocol, self.protocol = self.protocol, None
        protocol.connectionLost(Failure(reason()))

    def settle(self) -> None:
        """What a transport does in the reactor's next turn."""
        if self.disconnecting and not self.lost and (self.aborted or not self.unsent):
            self.lose(ABORTED if self.aborted else DONE)


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    return Wire
