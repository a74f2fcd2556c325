"""A connection from a client: requests in order, each answered before the next is read.

What is read and what is answered go on at the same time; the states are those of reading:

    state     what has come                           how long it may last
    IDLE      nothing of a request                    keepalive; head, for the first
    HEAD      some of a head                          head, in all
    BODY      a head that began an exchange,          body, between two bytes;
              and perhaps some of its body            the exchange's pauses don't count
    ANSWERED  a whole request, its answer not yet     as long as the exchange takes
              complete; later ones wait in the buffer
    CLOSING   what is thrown away (RFC 9112 §9.6)     body, while the client takes the rest
    TUNNEL    another protocol's bytes                that protocol's business
    LOST

Whatever the state, a client that does not read what it is sent has `body` to take some of it,
and its next request is not begun before it has taken all: that bounds what is sent ahead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from math import inf
from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import keeps_alive, request_framing
from twistproxy.http.message import Request, Response
from twistproxy.net.sendfile import File, Sender
from twistproxy.net.splice import Splicer, unsent
from twistproxy.net.sweep import Sweep
from twistproxy.net.tls import server_name
from twistproxy.wire import ClientSide, Door, Peer, Terms
from twistproxy.wire.clients import Clients
from twistproxy.wire.http1 import body, encode, head
from twistproxy.wire.http1.handover import hand_over
from twistproxy.wire.http1.passage import WORTH, FilePassage, Leg, Passage
from twistproxy.wire.http1.valve import Progress

IDLE, HEAD, BODY, ANSWERED, CLOSING, TUNNEL, LOST = (
    "idle", "head", "body", "answered", "closing", "tunnel", "lost",
)  # fmt: skip
_OVER: Final = (CLOSING, LOST)

#: Bytes of a body's part up to which it is joined with its head.
JOINED: Final = 16 << 10

HALF_A_REQUEST: Final = errors.BAD_REQUEST.about(why="it ends in the middle")

# What some clients send behind a body, so before the next request (RFC 9112 §2.2).
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


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

    # What a leg begins with, on the class: thousands of them are idle.
    deadline = inf
    requests = 0
    passage: Passage | FilePassage | None = None  # of the request's body or the answer's
    _address = ""
    _peer: Peer | None = None
    _state = IDLE
    _buffer = b""
    _unfinished: head.Unfinished | None = None
    _reader: body.BodyReader | None = None
    _left = 0  # of the bytes that limits.body allows this request; -1: no limit
    _side: ClientSide | None = None
    _reading = False  # `_read` is on the stack
    _ended = False  # the client sends no more
    _held = False  # the transport is paused by us
    _paused = False  # the exchange takes no more of the body
    _stalled: Progress | None = None  # the client does not read
    _unread = False  # bytes may come that no request of ours begins with
    _tunnel: IProtocol | None = None
    # Of the current exchange:
    _method = b""  # none: there is no exchange
    _version = (1, 1)
    _close = False
    _chunked = False
    _started = False
    _framed = False  # the client can tell when the body is over
    _bodiless = False  # what is written of a body would be taken for the next answer

    def __init__(self, legs: ClientLegs) -> None:
        self.legs = legs
        self.since = legs.sweep.now

    # -- the connection ----------------------------------------------------------------

    @property
    def side(self) -> str:
        return self.legs.side

    @property
    def state(self) -> str:
        return self._state

    @property
    def stalled(self) -> bool:
        return self._stalled is not None

    @property
    def address(self) -> str:
        """The client's IP address, without a system call."""
        return self._address

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
        transport.registerProducer(self, True)
        self.legs.sweep.watch(self)
        self._wait()
        if problem is None:
            return
        # One too many may cost as little as possible: no handshake, and no wait for its request.
        if self.legs.tls:
            self.abort()
        else:
            self._refuse(problem, unread=False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = LOST
        self.legs.sweep.forget(self)
        self.legs.clients.leave(self)
        self._buffer = b""
        self._reader = self._unfinished = self._stalled = None
        if self.passage is not None:
            self.passage.cancel()
        side, self._side = self._side, None
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connectionLost(reason)
            return
        self.transport.unregisterProducer()  # TLS would keep us: a cycle
        if side is not None:
            side.client_lost()

    def readConnectionLost(self) -> None:
        """The client sends no more, but may read on."""
        if self._ended:
            return
        self._ended = True
        if self._state == CLOSING:
            self.transport.loseConnection()
        else:
            self._read()

    def writeConnectionLost(self) -> None:
        """Our half-close is done."""

    def drain(self) -> None:
        """Close now if idle, else after the current answer."""
        if self._state == IDLE:
            self._lose()

    def abort(self) -> None:
        """End the connection as it is."""
        if self._state != LOST:
            self._state = CLOSING
            if isinstance(self.passage, FilePassage):
                self.passage.cancel()
            self.transport.abortConnection()

    def expired(self) -> None:
        """The deadline of the current state has passed."""
        passage = self.passage
        if passage is not None and not passage.waits_for(self):
            self._wait_for(self.legs.terms.timeouts.body)  # it is the other leg's turn
        elif self._stalled is not None:
            if self._stalled.made():
                self._wait_for(self.legs.terms.timeouts.body)
            else:
                self.abort()
        elif self._state == HEAD:
            self._refuse(errors.REQUEST_TIMEOUT)
        elif self._state == BODY:
            self._break_body(errors.REQUEST_TIMEOUT)
        elif self._state == IDLE:
            self._lose()
        elif self._state == CLOSING:
            self.abort()

    def _wait(self) -> None:
        """Set the deadline of the state that has begun, or goes on."""
        if self._stalled is not None:
            return  # it has its own
        state, timeouts = self._state, self.legs.terms.timeouts
        if state == IDLE:
            self._wait_for(timeouts.keepalive if self.requests else timeouts.head)
        elif state == HEAD:
            self._wait_for(timeouts.head)
        elif state == BODY and not self._paused:
            self._wait_for(timeouts.body)
        else:
            self.deadline = inf

    def _wait_for(self, seconds: float) -> None:
        self.deadline = self.legs.sweep.now + seconds

    # -- reading ----------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        state = self._state
        if state in _OVER:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if state == BODY:
            self._wait()
        self._read()

    def _read(self) -> None:
        """Take from the buffer what the state allows; re-entered calls go on in the first."""
        if self._reading:
            return
        self._reading = True
        try:
            while self._buffer:
                state = self._state
                if state == BODY:
                    if self._paused or not self._read_body():
                        break
                elif (
                    self._stalled is not None
                    or (state != IDLE and state != HEAD)
                    or not self._read_head()
                ):
                    break
        finally:
            self._reading = False
        if self._ended:
            self._read_end()
        if self._held or self._buffer or self._paused:
            self._hold_or_resume()

    def _read_head(self) -> bool:
        """Begin an exchange if a whole head is there."""
        limits = self.legs.terms.limits
        unfinished, data = self._unfinished, self._buffer
        if unfinished is None:
            if data.startswith(b"\r"):
                empty = _EMPTY_LINES.match(data)
                assert empty is not None
                data = self._buffer = data[empty.end() :]
                if data in (b"", b"\r"):
                    return False
            end = data.find(head.END)
        else:
            end = unfinished.end(data)
        if end < 0:
            if unfinished is None:
                unfinished = self._unfinished = head.Unfinished()
                self._state = HEAD
                self._wait()
            problem = unfinished.request(data, limits)
            if problem is not None:
                self._refuse(problem)
            return False
        self._unfinished = None
        end += len(head.END)
        self._buffer = data[end:]
        request = head.request(data[:end], limits)
        if isinstance(request, Problem):
            self._refuse(request)
            return False
        framing = request_framing(request)
        if isinstance(framing, int) and framing > limits.body > 0:
            framing = errors.BODY_TOO_LARGE.about(limit=limits.body)
        if isinstance(framing, Problem):
            self._refuse(framing, request)
            return False
        self._begin(request.method, request.version)
        self._close = not keeps_alive(request.version, request.fields)
        if framing:
            self._state = BODY
            self._left = limits.body or -1
            self._reader = body.reader(framing, limits)
            self._wait()
        else:
            self._state = ANSWERED
            self.deadline = inf
        side = self.legs.door.begin(self, request, framing)
        if self._method:
            self._answer(side)
        return True

    def _begin(self, method: bytes, version: tuple[int, int]) -> None:
        self.requests += 1
        self._method = method
        self._version = version
        self._chunked = self._started = self._paused = False

    def _answer(self, side: ClientSide) -> None:
        """Stay in touch with an exchange that could not answer on the spot."""
        if self._state == LOST:
            side.client_lost()
            return
        self._side = side
        if self._stalled is not None:  # by the beginning of its answer
            side.pause_response()

    def _read_body(self) -> bool:
        reader, side = self._reader, self._side
        assert reader is not None
        fed = reader.feed(self._buffer)
        self._buffer = b""
        if isinstance(fed, str):
            self._break_body(errors.BAD_REQUEST.about(why=fed))
            return False
        data, rest = fed
        if self._left >= 0:
            if len(data) > self._left:
                limit = self.legs.terms.limits.body
                self._break_body(errors.BODY_TOO_LARGE.about(limit=limit))
                return False
            self._left -= len(data)
        if rest is None:
            if data and side is not None:
                side.body_received(data)
            return False
        self._buffer = rest
        self._state = ANSWERED
        self._wait()
        if data and side is not None:
            side.body_received(data)
        self._body_complete(reader.trailers)
        return True

    def _body_complete(self, trailers: Fields | None) -> None:
        self._reader = None
        if self._state == BODY:
            self._state = ANSWERED
            self._wait()
        if self._side is not None:
            self._side.body_ended(trailers)
        if not self._method and self._state == ANSWERED:  # it was answered before
            self._next()

    def _break_body(self, problem: Problem) -> None:
        """The body ends here, and so does what can be read of this connection."""
        self._reader = None
        self._buffer = b""
        self._close = self._unread = True
        self._paused = False
        self._state = ANSWERED
        self._wait()
        if self._side is not None:
            self._side.body_broken(problem)
        else:
            self._linger()

    def _read_end(self) -> None:
        """The client's end has come: what does it leave unfinished?"""
        if self._side is not None:
            self._side.client_ended()
        if self._state == BODY:
            if not self._paused:
                self._break_body(HALF_A_REQUEST)
        elif self._stalled is None:  # else what waits in the buffer is read first
            if self._state == HEAD:
                self._refuse(HALF_A_REQUEST)
            elif self._state == IDLE:
                self._lose()

    def _refuse(
        self, problem: Problem, request: Request | None = None, unread: bool = True
    ) -> None:
        """Answer what is no request, then close: nobody knows where the next one would begin."""
        self._buffer = b""
        self._begin(request.method if request else b"GET", request.version if request else (1, 1))
        self._close = True
        self._unread = unread
        self._state = ANSWERED
        self._wait()
        side = self.legs.door.begin(self, problem, 0)
        if self._method:
            self._answer(side)

    def _hold_or_resume(self) -> None:
        """Read no further ahead than the limits allow."""
        if self._state == BODY:
            hold = self._paused or self._is_source()
        elif self._state in _OVER:
            hold = False
        else:
            limits, waiting = self.legs.terms.limits, self._buffer
            hold = (self._state == ANSWERED or self._stalled is not None) and (
                len(waiting) >= limits.head or waiting.count(head.END) >= limits.pipelined
            )
        if hold and not self._held:
            self._held = True
            self.transport.pauseProducing()
        elif self._held and not hold:
            self._resume()

    def _resume(self) -> None:
        self._held = False
        if not self._ended and self._state != LOST:  # resumed, it would tell the end again
            self.transport.resumeProducing()

    def pause_request(self) -> None:
        if self._state == BODY and not self._paused:
            self._paused = True
            self._wait()
            if not self._reading:  # else it is seen to when that is over
                self._hold_or_resume()

    def resume_request(self) -> None:
        if self._paused:
            self._paused = False
            self._wait()
            self._read()

    # -- answering --------------------------------------------------------------------

    def pauseProducing(self) -> None:
        if self.passage is not None and self.passage.fills(self):
            self.passage.pause()
            return
        if self._stalled is not None or self._state in _OVER:
            return
        self._stalled = Progress(self.transport)
        self._wait_for(self.legs.terms.timeouts.body)
        if self._side is not None:
            self._side.pause_response()

    def resumeProducing(self) -> None:
        if self.passage is not None and self.passage.fills(self):
            self.passage.resume()
            return
        if self._stalled is None or self._state in _OVER:
            return
        self._stalled = None
        self._wait()
        if self._side is not None:
            self._side.resume_response()
        else:
            self._read()

    def stopProducing(self) -> None:
        """connectionLost says it too."""

    def interim(self, response: Response) -> None:
        if self._version == (1, 1) and not self._started and self._state not in _OVER:
            self.transport.write(encode.response_lines(response, self._method) + b"\r\n")

    def start(self, response: Response, length: int | None, data: bytes = b"") -> None:
        self._started = True
        self._framed = length is not None or self._version == (1, 1)
        parts = [encode.response_lines(response, self._method)]
        self._bodiless = not encode.has_body(response, self._method)
        if not self._bodiless and b"content-length" not in response.fields:
            if length is not None:
                parts.append(b"Content-Length: %d\r\n" % length)
            elif self._version == (1, 1):
                self._chunked = True
                parts.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self._close = True
        parts.append(self._end_of_head())
        if data and not self._bodiless:
            parts.extend(encode.chunk(data) if self._chunked else (data,))
        if self._state not in _OVER:
            self._send(parts)

    def reply(self, lines: bytes, content: bytes) -> None:
        self._started = self._framed = True
        self._bodiless = False
        if self._state in _OVER:
            return
        end = self._end_of_head()
        self._send((lines, end, content) if content else (lines, end))
        self.finish()

    def _end_of_head(self) -> bytes:
        """What tells whether the connection will be used again, and the empty line."""
        if self.legs.terms.draining or (self._state == BODY and not self._rest_is_here()):
            self._close = True
        if self._close:
            return b"Connection: close\r\n\r\n"
        return b"\r\n" if self._version == (1, 1) else b"Connection: keep-alive\r\n\r\n"

    def _send(self, parts: Sequence[bytes]) -> None:
        """In one write; what is large isn't copied for that."""
        if len(parts[-1]) > JOINED:
            self.transport.writeSequence(parts)
        else:
            self.transport.write(b"".join(parts))

    def write(self, data: bytes) -> None:
        if self._state in _OVER or self._bodiless or not data:
            return
        if self._chunked:
            self.transport.writeSequence(encode.chunk(data))
        else:
            self.transport.write(data)

    def finish(self, trailers: Fields | None = None) -> None:
        state = self._state
        if state in _OVER:
            return
        if self._chunked:
            self.transport.write(encode.last_chunk(trailers))
        self._side = None
        self._method = b""
        if self._close or (state == BODY and not self._rest_is_here()):
            self._linger()
        elif state == BODY:
            self.resume_request()
        else:
            self._next()

    def break_off(self) -> None:
        if self._state in _OVER:
            return
        self._side = None
        if self._framed:  # which shows that something is missing
            self._linger()
        else:
            self.abort()

    def _next(self) -> None:
        """Request and answer are complete."""
        self._state = IDLE
        terms = self.legs.terms
        if terms.draining:
            self._lose()
            return
        if self._stalled is None:
            self.deadline = self.legs.sweep.now + terms.timeouts.keepalive
        if not self._reading:
            self._read()

    def _rest_is_here(self) -> bool:
        """Whether what is missing of the request's body is in the buffer already."""
        reader = self._reader
        return isinstance(reader, body.Length) and reader.left <= len(self._buffer)

    def _linger(self) -> None:
        """Close, but so that what was sent can be read: a reset would take it away."""
        unread = self._unread or self._state == BODY or self._buffer
        # TLS waits by itself for the other end to say goodbye.
        if unread and not self._ended and not self.legs.tls:
            self._close_down()
            self._stalled = Progress(self.transport)
            self.transport.loseWriteConnection()
        else:
            self._lose()

    # -- past us: see `Passage` --------------------------------------------------------

    def pass_on(self, splicer: Splicer, leg: Any) -> bool:
        """Have the rest of the request's body go to the server in the kernel, if that is worth it
        and can be done; as `ClientSide.request_passed` tells.
        """
        reader = self._reader
        if not isinstance(reader, body.Length) or reader.left - len(self._buffer) < WORTH:
            return False
        sink = leg.sink()
        if self._buffer or sink is None or not Passage(self, sink, reader).begin(splicer):
            return False
        self._held = True
        self._paused = False
        self._wait()
        return True

    def send_file(
        self,
        sender: Sender,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
    ) -> None:
        if self._state in _OVER:
            return  # whoever waits for its end is told of the client's
        if self._bodiless:
            ended("")
        else:
            if self.passage is not None:  # nobody waits for the rest of the request
                self.passage.cancel()
            full = self._stalled is not None
            FilePassage(self, moved, ended).begin(sender, file, offset, length, full)

    def sink(self) -> Leg | None:
        """This leg, if the bytes of the answer's body are written to it as they are."""
        over = self._state in _OVER
        return None if over or self._chunked or self._bodiless or self.passage is not None else self

    def _is_source(self) -> bool:
        return self.passage is not None and not self.passage.fills(self)

    def passed(self, count: int) -> None:
        self._wait()
        if self._side is not None:
            self._side.request_passed(count)

    def released(self) -> None:
        if self._held and self._state not in _OVER:
            self._resume()

    def passed_all(self) -> None:
        if self._state == BODY:
            self._body_complete(None)
            self._read()

    def lent(self) -> None:
        self._stalled = Progress(self.transport)
        self._wait_for(self.legs.terms.timeouts.body)

    def taken(self) -> None:
        self._wait_for(self.legs.terms.timeouts.body)

    def returned(self) -> None:
        if self._state not in _OVER:
            self._stalled = None
            self._wait()

    def _lose(self) -> None:
        self._close_down()
        # With nothing to send it is closed at once: nobody is waited for.
        if self.legs.tls or unsent(self.transport):
            self._stalled = Progress(self.transport)
        self.transport.loseConnection()

    def _close_down(self) -> None:
        if self.passage is not None:
            self.passage.cancel()
        self._state = CLOSING
        self._buffer = b""
        self._reader = self._unfinished = None
        self._stalled = None
        self._wait_for(self.legs.terms.timeouts.body)
        self.transport.unregisterProducer()
        if self._held:
            self._resume()

    def hand_over(self, response: Response, protocol: IProtocol) -> None:
        if self._state in _OVER:
            return  # whoever waits for the protocol's end is told of the client's
        self.transport.write(encode.response_lines(response, self._method) + b"\r\n")
        self.legs.sweep.forget(self)
        early, self._buffer = self._buffer, b""
        self._state = TUNNEL
        self._side = self._stalled = None
        self._tunnel = protocol
        hand_over(self, protocol, early)
        if self._ended:
            self.readConnectionLost()
        elif self._held:
            self._resume()


def _address(host: str) -> str:
    """An IPv4 address that came in over an IPv6 socket is still that IPv4 address."""
    if host.startswith("::ffff:"):
        mapped = IPv6Address(host).ipv4_mapped
        return str(mapped) if mapped else host
    return host
