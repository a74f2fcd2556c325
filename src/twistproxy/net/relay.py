"""Two connections joined: a tunnel. What one end receives is written to the other.

                left.dataReceived ─▶ right's transport
    left's transport ◀─ right.dataReceived

How it ends:
    one end's EOF                    half-close of the other, after all that came before
    EOF of both                      both closed, once everything is written
    an end that can't half-close     closed in place of a half-close (TLS)
    one end closed                   the other closed, once everything is written
    one end reset                    the other reset
    no byte in `idle` seconds        both closed, once everything is written
    a peer that doesn't read that    reset

It begins buffered, which is best for a few bytes. One that has carried more, between sockets that
can be joined in the kernel, goes on there (`net.splice`): both transports stay, paused, what they
still have is sent first, and every way to end is the same.

Under throttles it goes there with its first bytes, since what is read from a socket in the kernel
is no more than may pass. What is read by a transport is charged afterwards, and then it is paused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.splice import Joint, Plug, Splicer, Way, Why
from twistproxy.net.sweep import Sweep
from twistproxy.net.throttle import Throttle
from twistproxy.net.tls import is_tls

#: Seconds that the end of an idle tunnel waits for what was written to be read.
LINGER = 30.0
HELD = 64 << 10  #: bytes kept for an end that is not connected yet; then the source is paused
SPLICED = 256 << 10  #: bytes that one end has to get before the kernel takes over


class Relay:
    """A tunnel between `left` and `right`.

    A leg hands its connection over by ``end.makeConnection(transport)``, then
    ``end.dataReceived`` with what it has read already, and delegates what comes then. No
    producer may be registered with the transport. The ends may connect in either order.

    ended: called once, when neither end has a connection any more.
    splicer: what moves the bytes in the kernel; None: nothing does.
    """

    __slots__ = (
        "_ended",
        "_idle",
        "_joint",
        "_splicer",
        "_sweep",
        "deadline",
        "left",
        "reason",
        "right",
        "splice_at",
    )

    reason: Literal["", "closed", "reset", "idle", "aborted"]  #: why it ended; "": it has not

    def __init__(
        self,
        sweep: Sweep,
        idle: float,
        ended: Callable[[Relay], None],
        splicer: Splicer | None = None,
    ) -> None:
        self._sweep = sweep
        self._splicer = splicer
        self._joint: Joint | None = None
        #: How many bytes an end gets before it is tried.
        self.splice_at: float = math.inf if splicer is None else SPLICED
        self._idle = idle
        self._ended: Callable[[Relay], None] | None = ended
        self.reason = ""
        self.deadline = sweep.now + idle
        self.left = End(self)
        self.right = End(self)
        self.left.other = self.right
        self.right.other = self.left
        sweep.watch(self)

    @property
    def sent_left(self) -> int:
        """Bytes written to the left end."""
        return self.left.sent

    @property
    def sent_right(self) -> int:
        return self.right.sent

    @property
    def spliced(self) -> bool:
        """Whether its bytes move in the kernel now."""
        return self._joint is not None

    def slow_down(self, to_right: Throttle, to_left: Throttle) -> None:
        """Before an end is connected: what passes is charged to these, of which nobody else has
        one, and waits for them."""
        self.left.throttle, self.right.throttle = to_right, to_left
        if self._splicer is not None:
            self.splice_at = 0

    def abort(self) -> None:
        """End it at once; what is not written yet is lost."""
        self.stop("aborted")

    def expired(self) -> None:
        if self.reason or self.left.lost or self.right.lost:
            # A close that waits for a peer who doesn't read ends here.
            self.stop("idle")
            return
        self.reason = "idle"
        self.deadline = self._sweep.now + LINGER
        for end in (self.left, self.right):
            if self._joint is not None:
                end.stop_reading()
            else:
                end.finish(entirely=True)

    # For the ends

    def touch(self) -> None:
        self.deadline = self._sweep.now + self._idle

    def splice(self) -> None:
        """Let the kernel carry on, if it can."""
        left, right, splicer = self.left.transport, self.right.transport, self._splicer
        if splicer is None or left is None or right is None or self.reason:
            return
        if not splicer.can_join(left, right):
            self.splice_at = math.inf
            return
        joint = splicer.join(left, right)
        if joint is None:  # too many open files: perhaps later
            self.splice_at = max(self.sent_left, self.sent_right) + SPLICED
            return
        self.splice_at = math.inf
        self._joint = joint
        self.left.splice(joint, joint.left, joint.right)
        self.right.splice(joint, joint.right, joint.left)

    def unsplice(self) -> None:
        """Our descriptors are closed; the transports have the sockets for themselves again."""
        joint, self._joint = self._joint, None
        if joint is not None:
            self.left.way = self.right.way = None
            joint.close()

    def stop(self, reason: Literal["reset", "idle", "aborted"]) -> None:
        self.unsplice()
        self.reason = self.reason or reason
        self.left.abort()
        self.right.abort()
        self.settle()

    def settle(self) -> None:
        """Say that it has ended, if it has."""
        if self._ended is None or not (self.left.lost and self.right.lost):
            return
        ended, self._ended = self._ended, None
        self.reason = self.reason or "closed"
        self.deadline = math.inf
        self._sweep.forget(self)
        self.left.relay = self.right.relay = None  # no cycle stays
        self.left.other = self.right.other = None
        self.left.wait_no_more()
        self.right.wait_no_more()
        ended(self)


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class End:
    """One end of a relay: the protocol of its transport, and what produces for the other's."""

    __slots__ = (
        "_closing",
        "_eof",
        "_finished",
        "_full",
        "_held",
        "_produced",
        "lost",
        "other",
        "relay",
        "sent",
        "throttle",
        "transport",
        "way",
    )

    def __init__(self, relay: Relay) -> None:
        self.relay: Relay | None = relay
        self.other: End | None = None
        self.sent = 0
        self.lost = False  # or, once the relay was stopped, never to be
        self.transport: Any = None
        self.way: Way | None = None  # while what this end receives moves in the kernel
        self.throttle: Throttle | None = None  # of what this end receives
        self._held: list[bytes] = []
        self._eof = False  # nothing more is read
        self._finished = False  # nothing more is written but what is pending
        self._closing = False  # the other end is gone: nothing more is read either
        self._produced = False  # the other end is registered as producer
        self._full = False  # the other end takes no more

    # IProtocol

    def makeConnection(self, transport: Any) -> None:
        relay, other = self.relay, self.other
        if relay is None or other is None or self.lost:  # it ended before this was connected
            transport.abortConnection()
            return
        relay.touch()
        other.resumeProducing()
        self.transport = transport
        if not self._finished:
            transport.registerProducer(other, True)
            self._produced = True
        held, self._held = self._held, []
        if held:
            transport.write(b"".join(held))
        self.resumeProducing()  # whoever had the connection before may have paused it
        self._pass_on()

    def connectionMade(self) -> None:
        """Part of IProtocol; `makeConnection` does it all."""

    def dataReceived(self, data: bytes) -> None:
        relay, other = self.relay, self.other
        if relay is None or other is None:
            return
        relay.touch()
        if self.way is not None:
            self.way.put(data)  # it was read in the turn in which the transport was paused
        else:
            other.send(data)
            if other.sent >= relay.splice_at:
                relay.splice()
        if self.throttle is not None:
            self._charge(self.throttle, len(data))

    def readConnectionLost(self) -> None:
        relay, other = self.relay, self.other
        if relay is None or other is None or self._eof or self.way is not None:
            return  # a way comes to the EOF itself, after all before it
        relay.touch()
        self._eof = True
        other.finish()
        self._pass_on()

    def writeConnectionLost(self) -> None:
        """Our half-close is done."""

    def connectionLost(self, reason: Failure) -> None:
        relay, other = self.relay, self.other
        if relay is None or other is None or self.lost:
            return
        self.lost = True
        self.transport = None
        relay.unsplice()
        if not isinstance(reason.value, ConnectionDone):
            relay.stop("reset")
        elif not relay.reason:
            other.finish(entirely=True)
        relay.settle()

    # IPushProducer: what the other end's transport asks of this one

    def pauseProducing(self) -> None:
        self._full = True
        if self.transport is not None and not self._eof:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._full = False
        self._read_on()
        if self.relay is not None:
            self.relay.touch()  # the other end's peer has read something

    def stopProducing(self) -> None:
        """The other transport is lost; its end is told so itself."""

    # For the other end and the relay

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.sent += len(data)
            self.transport.write(data)
        elif not self.lost:
            self.sent += len(data)
            self._held.append(data)
            if self.other is not None and sum(map(len, self._held)) > HELD:
                self.other.pauseProducing()

    def finish(self, entirely: bool = False) -> None:
        """The other end sends no more, or (entirely) does not read either: pass that on."""
        self._finished = True
        self._closing = self._closing or entirely
        self._pass_on()

    def splice(self, joint: Joint, source: Plug, sink: Plug) -> None:
        """From here on what this end receives moves in the kernel, from source to sink."""
        self._unregister()
        if self.other is not None and not self._eof:
            self.transport.pauseProducing()
            self.way = joint.way(
                source, sink, self.other.passed, self._way_ended, throttle=self.throttle
            )

    def passed(self, count: int) -> None:
        """So many bytes were written to this end in the kernel."""
        self.sent += count
        if self.relay is not None and not self.relay.reason:
            self.relay.touch()

    def stop_reading(self) -> None:
        """Take no more from this end's way; what it has is still passed on."""
        if self.way is not None:
            self.way.finish()

    def _charge(self, throttle: Throttle, count: int) -> None:
        """So many bytes were read: they had to be passed, and others wait for that."""
        if not throttle.took(count) and self.way is None and not self._eof and not self.lost:
            self.transport.pauseProducing()
            throttle.wait(self._read_on)

    def _read_on(self) -> None:
        # After its EOF a resumed transport would only read that again.
        if self.transport is None or self._eof or self._full or self.way is not None:
            return
        if self.throttle is None or not self.throttle.waits:
            self.transport.resumeProducing()

    def wait_no_more(self) -> None:
        """Nothing more is read: nobody waits for that."""
        if self.throttle is not None:
            self.throttle.forget()

    def _way_ended(self, why: Why) -> None:
        relay, other = self.relay, self.other
        if relay is None or other is None:
            return
        self.way = None
        if why in ("source", "sink"):
            relay.stop("reset")
            return
        if other.way is None:
            relay.unsplice()
        self._eof = True
        other.finish()
        self._pass_on()

    def abort(self) -> None:
        if self.transport is None:
            self.lost = True
            self._held.clear()
        else:
            self._unregister()
            self.transport.abortConnection()

    def _pass_on(self) -> None:
        transport = self.transport
        if transport is None or not self._finished:
            return
        self._unregister()  # a transport with a producer waits for it before it closes
        if self._closing or self._eof or not _can_half_close(transport):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def _unregister(self) -> None:
        if self._produced:
            self._produced = False
            self.transport.unregisterProducer()


def _can_half_close(transport: object) -> bool:
    return ITCPTransport.providedBy(transport) and not is_tls(transport)
