"""A connection to a server or parent: one exchange at a time, idle in between.

    IDLE      nothing is asked; whatever comes ends the connection
    HEAD      asked; the final head has not come
    BODY      the answer's body comes
    TUNNEL    the bytes are another protocol's
    LOST

It is used again only after an exchange at which nothing was odd: request and answer complete,
the answer framed by itself, not a byte more, no end of the server's bytes, nothing unsent.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import CHUNKED, UNTIL_CLOSE, keeps_alive, response_framing
from twistproxy.http.message import Request
from twistproxy.net.splice import Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.wire import ClientStream, ServerSide, Terms
from twistproxy.wire.http1 import body, encode, head
from twistproxy.wire.http1.handover import hand_over
from twistproxy.wire.http1.passage import WORTH, Leg, Passage
from twistproxy.wire.http1.valve import Progress

IDLE, HEAD, BODY, TUNNEL, LOST = "idle", "head", "body", "tunnel", "lost"


@implementer(IHalfCloseableProtocol, IPushProducer)
class ServerLeg(Protocol):
    """A `ServerStream` for one exchange after the other.

    name: of the server, for problems. freed: told when the leg is idle again.
    lost: told once, when the connection is over, whatever it was doing.
    """

    transport: Any

    # What a leg begins with, on the class.
    deadline = inf
    exchanges = 0
    passage: Passage | None = None  # of the request's body or the answer's
    _state = IDLE
    _buffer = b""
    _unfinished: head.Unfinished | None = None
    _reader: body.BodyReader | None = None
    _side: ServerSide | None = None
    _tunnel: IProtocol | None = None
    _timeout = 0.0
    _method = b""
    _switch = False
    _chunked = False  # the request's body
    _sent = True  # the request is complete
    _keep = False  # the server will take another request
    _interim = 0  # bytes of heads before the final one
    _touched = False  # a byte of the answer has come
    _held = False  # the transport is paused by us
    _stalled: Progress | None = None  # the server does not read
    _ending = False  # nothing more is asked or read

    def __init__(
        self,
        name: str,
        terms: Terms,
        sweep: Sweep,
        freed: Callable[[ServerLeg], None],
        lost: Callable[[ServerLeg], None],
    ) -> None:
        self.name = name
        self._terms = terms
        self._sweep = sweep
        self._freed = freed
        self._lost = lost

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._state == IDLE and not self._ending

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._sweep.watch(self)

    def _wait(self) -> None:
        """The server has this long to send something, if it is its turn."""
        if self._stalled is not None:
            return  # it has to read something, first of all
        self.deadline = self._sweep.now + self._timeout if self._sent and not self._held else inf

    # -- asking -----------------------------------------------------------------------

    def send(
        self, side: ServerSide, request: Request, framing: int, timeout: float, switch: bool = False
    ) -> None:
        """Send a request's head. switch: a CONNECT or an Upgrade, which may become a tunnel."""
        self._side = side
        self._method = request.method
        self._timeout = timeout
        self._switch = switch
        self._chunked = framing == CHUNKED
        self._sent = framing == 0
        self._state = HEAD
        self._touched = False
        self._interim = 0
        self.exchanges += 1
        self._wait()
        self.transport.write(encode.request_head(request, self._chunked))

    def write(self, data: bytes) -> None:
        if self._ending or not data:
            return
        if self._chunked:
            self.transport.writeSequence(encode.chunk(data))
        else:
            self.transport.write(data)

    def finish(self, trailers: Fields | None = None) -> None:
        if self._ending:
            return
        if self._chunked:
            self.transport.write(encode.last_chunk(trailers))
        self._sent = True
        self._wait()

    def abort(self) -> None:
        self._side = None
        self._ending = True
        if self.passage is not None:
            self.passage.cancel()
        if self._state != LOST:
            self.transport.abortConnection()

    def close(self) -> None:
        """End a connection that nobody uses, once what was written is sent."""
        if not self._ending:
            self._ending = True
            self.deadline = self._sweep.now + self._terms.timeouts.server
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        if self._stalled is None:
            self._stalled = Progress(self.transport)
            self.deadline = self._sweep.now + self._timeout
            if self._side is not None:
                self._side.pause_request()

    def resumeProducing(self) -> None:
        if self._stalled is not None and not self._is_sink():
            self._stalled = None
            self._wait()
            if self._side is not None:
                self._side.resume_request()

    def stopProducing(self) -> None:
        """connectionLost says it too."""

    # -- the answer -------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self._ending:
            return
        self._wait()
        if self._state == BODY:
            self._read_body(data)
        elif self._state == HEAD:
            self._touched = True
            self._buffer = self._buffer + data if self._buffer else data
            while self._state == HEAD and self._side is not None and self._read_head(self._side):
                pass
        elif self._state == IDLE:
            # An answer that nobody asked for would become the next exchange's.
            self.abort()

    def _read_head(self, side: ServerSide) -> bool:
        """One head, if it is there; False if no other may follow."""
        limits = self._terms.limits
        unfinished, data = self._unfinished, self._buffer
        end = data.find(head.END) if unfinished is None else unfinished.end(data)
        if self._interim + (end if end >= 0 else len(data)) > limits.head:
            self._fail(errors.RESPONSE_HEAD_TOO_LARGE.about(limit=f"{limits.head} bytes"))
            return False
        if end < 0:
            unfinished = self._unfinished = unfinished or head.Unfinished()
            problem = unfinished.response(data, limits)
            if problem is not None:
                self._fail(problem)
            return False
        self._unfinished = None
        end += len(head.END)
        response = head.response(data[:end], limits)
        if isinstance(response, Problem):
            self._fail(response)
            return False
        self._buffer = data[end:]
        status, connect = response.status, self._method == b"CONNECT"
        if status == 101 or (connect and 200 <= status < 300):
            if not self._switch or connect == (status == 101):
                self._fail(errors.UPGRADE_FAILED.about(server=self.name))
            else:
                self._state = TUNNEL
                self.deadline = inf
                side.switched(response)
            return False
        if status < 200:
            self._interim += end
            side.interim_received(response)
            return True
        framing = response_framing(response, self._method)
        if isinstance(framing, Problem):
            self._fail(framing)
            return False
        self._keep = framing != UNTIL_CLOSE and keeps_alive(response.version, response.fields)
        length = framing if framing >= 0 else None
        if not framing:
            self._state = BODY
            side.response_received(response, 0, b"")
            if self._side is side:
                self._complete(None, self._buffer)
            return False
        first, self._buffer = self._buffer, b""
        self._state = BODY
        if 0 < framing <= len(first):
            more = first[framing:]
            side.response_received(response, framing, first[:framing] if more else first)
            if self._side is side:
                self._complete(None, more)
            return False
        self._reader = body.reader(framing, limits)
        fed: body.Fed | str = self._reader.feed(first) if first else (b"", None)
        if isinstance(fed, str):
            self._fail(errors.RESPONSE_CODING_BROKEN.about(why=fed))
            return False
        part, rest = fed
        side.response_received(response, length, part)
        if rest is not None and self._side is side:
            self._complete(self._reader.trailers, rest)
        return False

    def _read_body(self, data: bytes) -> None:
        reader, side = self._reader, self._side
        if reader is None or side is None:
            return
        fed = reader.feed(data)
        if isinstance(fed, str):
            self._fail(errors.RESPONSE_CODING_BROKEN.about(why=fed))
            return
        part, rest = fed
        if part:
            side.data_received(part)
        if rest is not None and self._side is side:
            self._complete(reader.trailers, rest)

    def _complete(self, trailers: Fields | None, rest: bytes) -> None:
        """The answer is whole. The leg is free before that is told, so that it can be used."""
        side, self._side = self._side, None
        self._reader = None
        self._buffer = b""
        self._state = IDLE
        if self._held:
            self.resume_response()
        if self._keep and self._sent and not rest and self._stalled is None:
            self.deadline = self._sweep.now + self._terms.timeouts.keepalive
            self._freed(self)
        elif self._sent:
            self.close()
        else:
            self.abort()  # the rest of the request is of no use
        if side is not None:
            side.response_ended(trailers)

    def _fail(self, problem: Problem) -> None:
        side = self._side
        self.abort()
        if side is not None:
            side.server_failed(problem)

    def pause_response(self) -> None:
        if not self._held and not self._ending and self._state in (HEAD, BODY):
            self._held = True
            self._wait()
            self.transport.pauseProducing()

    def resume_response(self) -> None:
        if self._held and not self._ending:
            self._held = False
            self._wait()
            self.transport.resumeProducing()

    # -- past us: see `Passage` --------------------------------------------------------

    def pass_on(self, splicer: Splicer, stream: ClientStream) -> bool:
        """Have the rest of the answer's body go to the client in the kernel, if that is worth it
        and can be done; as `ServerSide.body_passed` tells.
        """
        reader = self._reader
        if not isinstance(reader, body.Length) or reader.left < WORTH or self._ending:
            return False
        sink = stream.sink()
        if sink is None or not Passage(self, sink, reader).begin(splicer):
            return False
        self._held = False
        return True

    def sink(self) -> Leg | None:
        """This leg, if the bytes of the request's body are written to it as they are."""
        return None if self._chunked or self._ending or self.passage is not None else self

    def _is_sink(self) -> bool:
        return self.passage is not None and self.passage.fills(self)

    def passed(self, count: int) -> None:
        self._wait()
        if self._side is not None:
            self._side.answer_passed(count)

    def released(self) -> None:
        if not self._ending:
            self.transport.resumeProducing()

    def passed_all(self) -> None:
        if not self._ending:
            self._complete(None, b"")

    def lent(self) -> None:
        self._stalled = Progress(self.transport)
        self.deadline = self._sweep.now + self._timeout

    def taken(self) -> None:
        self.deadline = self._sweep.now + self._timeout

    def returned(self) -> None:
        if not self._ending:
            self._stalled = None
            self._wait()

    def expired(self) -> None:
        passage = self.passage
        if self.usable:
            self.close()
        elif self._side is None:
            self.abort()
        elif passage is not None and not passage.waits_for(self):
            self.deadline = self._sweep.now + self._timeout  # it is the other leg's turn
        elif self._stalled is not None:
            if self._stalled.made():
                self.deadline = self._sweep.now + self._timeout
            else:
                self._fail(errors.CONNECTION_WRITE_TIMEOUT.about(server=self.name))
        elif self._state == HEAD and not self._touched:
            self._fail(errors.RESPONSE_TIMEOUT.about(server=self.name))
        else:
            self._fail(errors.CONNECTION_READ_TIMEOUT.about(server=self.name))

    # -- the connection's end ---------------------------------------------------------

    def readConnectionLost(self) -> None:
        """The server sends no more: outside a tunnel that is the end of it all."""
        self.close()
        self._over(clean=True)

    def writeConnectionLost(self) -> None:
        """Our half-close is done."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = LOST
        self._ending = True
        self._buffer = b""
        self._unfinished = self._stalled = None
        if self.passage is not None:
            self.passage.cancel()
        self._sweep.forget(self)
        self._lost(self)
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connectionLost(reason)
        else:
            self.transport.unregisterProducer()  # TLS would keep us: a cycle
            self._over(clean=bool(reason.check(ConnectionDone)))

    def _over(self, clean: bool) -> None:
        side, reader = self._side, self._reader
        self._side = self._reader = None
        if side is None:
            return
        if clean and reader is not None and reader.closed():
            side.response_ended(None)
        elif self._touched:
            side.server_failed(errors.RESPONSE_INCOMPLETE.about(server=self.name))
        else:
            side.server_failed(errors.CONNECTION_TERMINATED.about(server=self.name))

    def hand_over(self, protocol: IProtocol) -> None:
        self._sweep.forget(self)
        self._side = self._stalled = None
        self._tunnel = protocol
        early, self._buffer = self._buffer, b""
        hand_over(self, protocol, early)
