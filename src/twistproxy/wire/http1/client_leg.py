"""A connection from a client: requests in order, each answered before the next is read.

What is read and what is answered go on at the same time; the states are those of reading:

    IDLE      nothing of a request has come
    HEAD      some of a head
    BODY      the head has begun an exchange, its body comes
    ANSWERED  the request is read, its answer is not yet complete; later ones wait in the buffer
    CLOSING   what comes is thrown away (RFC 9112 §9.6)
    TUNNEL    the bytes are another protocol's
    LOST
"""

from __future__ import annotations

from ipaddress import IPv6Address
from math import inf
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import keeps_alive, request_framing
from twistproxy.http.message import Request, Response
from twistproxy.net.sweep import Sweep
from twistproxy.net.tls import server_name
from twistproxy.wire import ClientSide, Door, Peer, Terms
from twistproxy.wire.clients import Clients
from twistproxy.wire.http1 import body, encode, head
from twistproxy.wire.http1.valve import Progress

IDLE, HEAD, BODY, ANSWERED, CLOSING, TUNNEL, LOST = (
    "idle", "head", "body", "answered", "closing", "tunnel", "lost",
)  # fmt: skip

HALF_A_REQUEST = errors.BAD_REQUEST.about(why="it ends in the middle")


class ClientLegs(Factory):
    """The client legs of one door."""

    noisy = False

    def __init__(
        self, door: Door, side: str, terms: Terms, sweep: Sweep, clients: Clients, tls: bool = False
    ) -> None:
        self.door = door
        self.side = side
        self.terms = terms
        self.sweep = sweep
        self.clients = clients
        self.tls = tls

    def buildProtocol(self, addr: object) -> ClientLeg:
        return ClientLeg(self)


@implementer(IHalfCloseableProtocol, IPushProducer)
class ClientLeg(Protocol):
    """A `ClientStream` for one exchange after the other."""

    transport: Any

    def __init__(self, legs: ClientLegs) -> None:
        self.legs = legs
        self.deadline = inf
        self.requests = 0
        self.since = legs.sweep.now
        self._address = ""
        self._peer: Peer | None = None
        self._state = IDLE
        self._buffer = b""
        self._scanned = 0  # bytes of an unfinished head that have been looked at
        self._reader: body.BodyReader | None = None
        self._left = 0  # of the bytes that limits.body allows this request
        self._side: ClientSide | None = None
        self._reading = False  # the loop below is on the stack
        self._ended = False  # the client sends no more
        self._held = False  # the transport is paused by us
        self._paused = False  # the exchange takes no more of the body
        self._stalled: Progress | None = None  # the client does not read
        self._unread = False  # bytes may come that no request of ours begins with
        self._tunnel: IProtocol | None = None
        # Of the current exchange:
        self._method = b""
        self._version = (1, 1)
        self._close = False
        self._chunked = False
        self._started = False

    # -- the connection ----------------------------------------------------------------

    @property
    def side(self) -> str:
        return self.legs.side

    @property
    def state(self) -> str:
        return self._state

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            there, here = self.transport.getPeer(), self.transport.getHost()
            sni = server_name(self.transport) if self.legs.tls else None
            self._peer = Peer(
                self._address,
                getattr(there, "port", 0),
                getattr(here, "port", 0),
                self.legs.tls,
                sni,
            )
        return self._peer

    def connectionMade(self) -> None:
        transport = self.transport
        self._address = _address(getattr(transport.getPeer(), "host", ""))
        problem = self.legs.clients.enter(self)
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.legs.sweep.watch(self)
        self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.head
        if problem is not None:
            self._refuse(problem)

    @property
    def address(self) -> str:
        """The client's IP address, without a system call."""
        return self._address

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = LOST
        self.legs.sweep.forget(self)
        self.legs.clients.leave(self)
        self._buffer = b""
        self._reader = None
        side, self._side = self._side, None
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connectionLost(reason)
        elif side is not None:
            side.client_lost()

    def readConnectionLost(self) -> None:
        """The client sends no more, but may read on."""
        if self._ended:
            return
        self._ended = True
        if self._state == HEAD:
            self._refuse(HALF_A_REQUEST)
        elif self._state == BODY:
            if not self._paused:  # else what is in the buffer is read first
                self._break_body(HALF_A_REQUEST)
        elif self._state in (IDLE, CLOSING):
            self._lose()

    def writeConnectionLost(self) -> None:
        pass

    def drain(self) -> None:
        """Close now if idle, else after the current answer."""
        if self._state == IDLE:
            self._lose()

    def abort(self) -> None:
        """End the connection as it is."""
        if self._state != LOST:
            self._state = CLOSING
            self.transport.abortConnection()

    def expired(self) -> None:
        """The deadline of the current state has passed."""
        if self._stalled is not None or self._state == CLOSING:
            stalled = self._stalled or Progress()
            if self._state == CLOSING:
                self._stalled = stalled
            if stalled.made(self.transport):
                self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
            else:
                self.abort()
        elif self._state == HEAD:
            self._refuse(errors.REQUEST_TIMEOUT)
        elif self._state == BODY:
            self._break_body(errors.REQUEST_TIMEOUT)
        else:
            self._lose()

    # -- reading ----------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        state = self._state
        if state in (CLOSING, LOST):
            return
        self._buffer = self._buffer + data if self._buffer else data
        if state == BODY and not self._paused:
            self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
        if state == ANSWERED or self._paused:
            self._bound_what_waits()
        else:
            self._read()

    def _read(self) -> None:
        """Take from the buffer what the state allows; re-entered calls go on in the first."""
        if self._reading:
            return
        self._reading = True
        try:
            while True:
                if self._state == BODY:
                    if self._paused or not (self._buffer or self._ended):
                        break
                    if not self._buffer:
                        self._break_body(HALF_A_REQUEST)
                        break
                    self._read_body()
                elif self._state in (IDLE, HEAD):
                    if not self._buffer or not self._read_head():
                        break
                else:
                    break
        finally:
            self._reading = False
        if self._state in (IDLE, HEAD) and self._ended:
            self._refuse(HALF_A_REQUEST) if self._buffer else self._lose()
        elif self._held and not self._paused and len(self._buffer) < self.legs.terms.limits.head:
            self._resume()

    def _read_head(self) -> bool:
        """Begin an exchange if a whole head is there."""
        terms = self.legs.terms
        data = self._buffer
        if self._state == IDLE and data.startswith(b"\r\n"):
            data = self._buffer = data[2:]  # RFC 9112 §2.2
            if not data:
                return False
        end = data.find(head.END, max(0, self._scanned - 3))
        if end < 0:
            problem = head.unfinished(data, self._scanned, terms.limits)
            self._scanned = len(data)
            if self._state == IDLE:
                self._state = HEAD
                self.deadline = self.legs.sweep.now + terms.timeouts.head
            if problem is not None:
                self._refuse(problem)
            return False
        end += 4
        self._scanned = 0
        if end > terms.limits.head:
            self._refuse(errors.HEAD_TOO_LARGE.about(limit=f"{terms.limits.head} bytes"))
            return False
        self._buffer = data[end:]
        request = head.request(data[:end], terms.limits)
        framing = request if isinstance(request, Problem) else request_framing(request)
        if isinstance(request, Problem) or isinstance(framing, Problem):
            assert isinstance(framing, Problem)
            self._refuse(framing)
            return False
        limit = terms.limits.body
        if limit and framing > limit:
            self._refuse(errors.BODY_TOO_LARGE.about(limit=limit), request)
            return False
        self._begin(request)
        self._close = not keeps_alive(request.version, request.fields)
        if framing:
            self._state = BODY
            self._left = limit or -1
            self._reader = body.reader(framing, terms.limits)
            self.deadline = self.legs.sweep.now + terms.timeouts.body
        else:
            self._state = ANSWERED
            self.deadline = inf
        self._answer(self.legs.door.begin(self, request, framing))
        return True

    def _answer(self, side: ClientSide) -> None:
        """Stay in touch with an exchange that could not answer on the spot."""
        if self._method:
            self._side = side
            if self._stalled is not None:  # by the beginning of its answer
                side.pause_response()

    def _begin(self, request: Request | None) -> None:
        self.requests += 1
        self._method = request.method if request else b"GET"
        self._version = request.version if request else (1, 1)
        self._chunked = self._started = False

    def _read_body(self) -> None:
        reader = self._reader
        assert reader is not None
        fed = reader.feed(self._buffer)
        self._buffer = b""
        if isinstance(fed, Problem):
            self._break_body(fed)
            return
        data, rest = fed
        if self._left >= 0:
            if len(data) > self._left:
                limit = self.legs.terms.limits.body
                self._break_body(errors.BODY_TOO_LARGE.about(limit=limit))
                return
            self._left -= len(data)
        side = self._side
        if rest is not None:
            self._buffer = rest
            self._reader = None
            self.deadline = inf
            self._state = ANSWERED if self._method else IDLE
        if side is not None:
            if data:
                side.body_received(data)
            if rest is not None and self._side is side:
                side.body_ended(reader.trailers)
        if self._state == IDLE:
            self._between()

    def _break_body(self, problem: Problem) -> None:
        """The body ends here, and so does what can be read of this connection."""
        self._reader = None
        self._buffer = b""
        self._close = self._unread = True
        self._state = ANSWERED
        self.deadline = inf
        if self._side is not None:
            self._side.body_broken(problem)
        else:
            self._linger()

    def _refuse(self, problem: Problem, request: Request | None = None) -> None:
        """Answer what is no request, then close: nobody knows where the next one would begin."""
        self._buffer = b""
        self._begin(request)
        self._close = self._unread = True
        self._state = ANSWERED
        self.deadline = inf
        self._answer(self.legs.door.begin(self, problem, 0))

    def _bound_what_waits(self) -> None:
        """Read no further ahead than the limits allow."""
        limits = self.legs.terms.limits
        waiting = self._buffer
        if not self._held and (
            len(waiting) >= limits.head or waiting.count(head.END) >= limits.pipelined
        ):
            self._held = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        self._held = False
        if not self._ended:  # resumed, it would tell the end again
            self.transport.resumeProducing()

    def pause_request(self) -> None:
        if self._state == BODY and not self._paused:
            self._paused = True
            self.deadline = inf
            if not self._held:
                self._held = True
                self.transport.pauseProducing()

    def resume_request(self) -> None:
        if not self._paused:
            return
        self._paused = False
        if self._state == BODY:
            self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
            self._read()

    # -- answering --------------------------------------------------------------------

    def pauseProducing(self) -> None:
        self._stalled = Progress()
        self._stalled.made(self.transport)
        self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
        if self._side is not None:
            self._side.pause_response()

    def resumeProducing(self) -> None:
        self._stalled = None
        if self._state == CLOSING:
            return
        if self._state == BODY and not self._paused:
            self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
        elif self._state != IDLE and self._state != HEAD:
            self.deadline = inf
        if self._side is not None:
            self._side.resume_response()

    def stopProducing(self) -> None:
        pass  # connectionLost says it too

    def interim(self, response: Response) -> None:
        if self._version == (1, 1) and not self._started and self._state != LOST:
            self.transport.write(encode.status_line(response) + response.fields.encode() + b"\r\n")

    def start(self, response: Response, length: int | None, data: bytes = b"") -> None:
        self._started = True
        fields = response.fields
        parts = [encode.status_line(response), fields.encode()]
        if length is None:
            if self._version == (1, 1):
                self._chunked = True
                parts.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self._close = True
        elif b"content-length" not in fields and encode.has_length(response, self._method):
            parts.append(b"Content-Length: %d\r\n" % length)
        if self.legs.terms.draining or (self._state == BODY and not self._rest_is_here()):
            self._close = True
        if self._close:
            parts.append(b"Connection: close\r\n")
        elif self._version == (1, 0):
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if data:
            parts.extend(encode.chunk(data) if self._chunked else (data,))
        if self._state != LOST:
            self.transport.write(b"".join(parts))

    def write(self, data: bytes) -> None:
        if self._state == LOST:
            return
        if self._chunked:
            self.transport.writeSequence(encode.chunk(data))
        else:
            self.transport.write(data)

    def finish(self, trailers: Fields | None = None) -> None:
        if self._state == LOST:
            return
        if self._chunked:
            self.transport.write(encode.last_chunk(trailers))
        self._side = None
        self._method = b""
        if self._close:
            self._linger()
        elif self._state == BODY:
            if not self._rest_is_here():
                self._linger()
            else:
                self._paused = False
                self._read()
        else:
            self._state = IDLE
            self._between()
            self._read()

    def _between(self) -> None:
        terms = self.legs.terms
        self.deadline = self.legs.sweep.now + terms.timeouts.keepalive
        if terms.draining:
            self._lose()

    def _rest_is_here(self) -> bool:
        """Whether what is missing of the request's body is in the buffer already."""
        reader = self._reader
        return isinstance(reader, body.Length) and reader.left <= len(self._buffer)

    def _linger(self) -> None:
        """Close, but so that what was sent can be read: a reset would take it away."""
        unread = self._unread or self._state == BODY or self._buffer
        self._state = CLOSING
        self._buffer = b""
        self._reader = None
        self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
        self._stalled = None
        self.transport.unregisterProducer()
        if unread and not self._ended and not self.legs.tls:
            if self._held:
                self._resume()
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _lose(self) -> None:
        if self._state in (CLOSING, LOST):
            self.transport.loseConnection()
            return
        self._state = CLOSING
        self.deadline = self.legs.sweep.now + self.legs.terms.timeouts.body
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def hand_over(self, response: Response, protocol: IProtocol) -> None:
        transport = self.transport
        transport.write(encode.status_line(response) + response.fields.encode() + b"\r\n")
        transport.unregisterProducer()
        self.legs.sweep.forget(self)
        early, self._buffer = self._buffer, b""
        self._state = TUNNEL
        self._side = None
        self._tunnel = protocol
        protocol.makeConnection(transport)
        if early:
            protocol.dataReceived(early)
        half = IHalfCloseableProtocol(protocol)
        # From here on no call of ours stands between the transport and the tunnel.
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        self.readConnectionLost = half.readConnectionLost  # type: ignore[method-assign]
        self.writeConnectionLost = half.writeConnectionLost  # type: ignore[method-assign]
        if self._ended:
            half.readConnectionLost()
        elif self._held:
            self._resume()


def _address(host: str) -> str:
    """An IPv4 address that came in over an IPv6 socket is still that IPv4 address."""
    if host.startswith("::ffff:"):
        mapped = IPv6Address(host).ipv4_mapped
        return str(mapped) if mapped else host
    return host
