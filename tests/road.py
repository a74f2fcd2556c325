"""The road without sockets, played as a script: what happens, and what the road then does.

    play = Play('[forward]')
    play.ask("GET http://a.test/ HTTP/1.1")
    play.did("dial a.test:80")
    play.connect()
    play.did("a.test:80#1 GET / HTTP/1.1")
    play.answer("200 OK", body=b"hello")
    play.did("200", "body hello", "end")
    play.over(status=200, server="http://a.test:80")

Real are the road, both services, policy, cache, pools and server legs. Fake are clients, dials,
transports and time. `did` wants all that was done since the last one, in order:

    dial a.test:80              cancel a.test:80
    a.test:80#1 GET / HTTP/1.1  a.test:80#1 body …   …#1 end of chunks
    …#1 closed | aborted        …#1 paused | resumed
    200  interim 103  body …  end  abort  tunnel 101        what the client is given
    pause  resume                                           the client's sending
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twistproxy.cache.cache import Cache
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.config import load
from twistproxy.config.model import Config, Limits
from twistproxy.exchange import Exchange
from twistproxy.http.dates import format_date
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import request_framing
from twistproxy.http.message import Request, Response
from twistproxy.net.dial import Reason, Unreachable
from twistproxy.net.sendfile import File, Sender
from twistproxy.net.splice import Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.net.throttle import Shaper
from twistproxy.policy import Means as Rules
from twistproxy.policy.answers import Answers
from twistproxy.policy.limits.bandwidth import Bandwidths
from twistproxy.policy.limits.limits import Limits as PolicyLimits
from twistproxy.policy.parked import Parked
from twistproxy.policy.plan import compile_policy
from twistproxy.road import Counts, Generation, Road
from twistproxy.services.forward import Forward
from twistproxy.services.reverse import Reverse
from twistproxy.upstream import Means
from twistproxy.upstream.destinations import Destinations
from twistproxy.upstream.parents import Parents
from twistproxy.upstream.pool import Pools
from twistproxy.upstream.routing.table import RouteTable
from twistproxy.wire import Peer, Terms
from twistproxy.wire.http1 import head

#: Seconds of the epoch when each play begins, and how a Date says it.
NOW = 1_700_000_000
DATE = format_date(NOW).decode()
#: What a server says of an answer that may be kept for a minute.
FRESH = "Cache-Control: max-age=60"

HERE = Peer("127.0.0.1", 50000, 3128)


class Line(NamedTuple):
    """What is left of an exchange when it is over."""

    method: str
    status: int
    error: str | None
    rule: str | None
    cached: str | None
    server: str | None
    client: str
    side: str
    bytes_in: int
    bytes_out: int
    waited: float
    target: str | None


class Play:
    """One proxy. config: TOML, with [forward], [reverse] or both."""

    def __init__(self, config: str = "[forward]") -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.done: list[str] = []
        self.lines: list[Line] = []
        self.sent: Fields = Fields()  # of the latest request that a server got
        self.response: Response = Response(0, Fields())  # the latest that a client got
        self.length: int | None = None
        self.body = b""  # of the latest response, all of it
        self.wires: list[Wire] = []
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.private: set[str] = set()  # addresses that may not be connected to
        self.loops: set[str] = set()  # addresses that are our own
        self.looked_up: Deferred[tuple[str, ...]] = Deferred()  # the latest name's addresses
        self._later: list[Callable[[], None]] = []  # in the reactor's next turn
        self._asked: Wire | None = None
        self._dials: list[tuple[str, Any, Deferred[Any]]] = []
        self._lost: list[tuple[Wire, Failure]] = []
        read = configured(config)
        self.terms = Terms(read.limits, read.timeouts)
        self.means = Means(self, self.sweep, self.terms, self.judge)  # type: ignore[arg-type]
        self.cache = Cache(MemoryStore(read.cache.memory), read.cache)
        self.limits = PolicyLimits()
        self.bandwidths = Bandwidths(Shaper(self.clock))
        answers = Answers(Path("nowhere"), lambda work: succeed(None), self.wall)
        self.parked = Parked(answers, self.sweep, self.wall, self._later.append)
        self.road = Road(
            generation=self.compile(read),
            cache=self.cache,
            terms=self.terms,
            sweep=self.sweep,
            clock=self.clock,  # type: ignore[arg-type]
            wall=self.wall,
            record=self._record,
            pseudonym=b"twistproxy-us",
            ids="id",
            counts=Counts(),
            exchanges=set(),
            splicer=Splicer(self.clock),
            sender=Sender(self.clock),
            names=self,  # type: ignore[arg-type]
            parked=self.parked,
        )
        self.reverse = Reverse(self.road) if read.reverse else None
        if self.reverse is not None:
            self.reverse.ports = {8080, 8443}
        self.forward: Forward | None = None
        if read.forward is not None:
            destinations = Destinations(self.means)
            self.forward = Forward(self.road, read.forward, destinations, self.judge, self.reverse)

    def compile(self, config: Config, before: Generation | None = None) -> Generation:
        routes = config.reverse.route if config.reverse else ()
        parents = config.forward.parent if config.forward else ()
        return Generation(
            number=1,
            config=config,
            policy=compile_policy(
                config.policy, means=Rules(limits=self.limits.of, bandwidth=self.bandwidths.of)
            ),
            routes=RouteTable(routes),
            pools=Pools(config.pools, self.means, before.pools if before else None),
            parents=Parents(parents, self.means),
        )

    def reload(self, config: str) -> None:
        self.road.generation = self.compile(configured(config), self.road.generation)

    def wall(self) -> float:
        return NOW + self.clock.seconds() - 1000

    def judge(self, address: str, port: int) -> Reason | None:
        if address in self.loops:
            return Reason.LOOP
        return Reason.PROHIBITED if address in self.private else None

    # -- what happens -----------------------------------------------------------------

    def ask(
        self,
        line: str,
        *fields: str,
        to: str | None = None,
        peer: Peer = HERE,
        stalls_at: int | None = None,
    ) -> Client:
        """A client's request, whose head is whole and sound; a Host is added where it has none.

        to: "forward" or "reverse"; by default as the target's form suggests. stalls_at: after so
        many bytes of its answer it reads no more for now.
        """
        method, target, version = line.encode("latin-1").split(b" ")
        request = Request(method, target, lines_of(fields), (1, int(version[-1:])))
        if b"host" not in request.fields and version == b"HTTP/1.1":
            request.fields.add(b"Host", _host_of(target))
        framing = request_framing(request)
        assert isinstance(framing, int)
        to = to or ("reverse" if target[:1] in (b"/", b"*") else "forward")
        return self._begin(to, request, framing, peer, stalls_at)

    def refuse_head(self, problem: Problem, to: str) -> Client:
        """What came from a client was no request."""
        return self._begin(to, problem, 0, HERE, None)

    def _begin(
        self, to: str, what: Request | Problem, framing: int, peer: Peer, stalls_at: int | None
    ) -> Client:
        door = self.forward if to == "forward" else self.reverse
        assert door is not None
        client = Client(self, peer, stalls_at)
        client.joins(door.begin(client, what, framing))
        self._turn()
        return client

    def connect(self) -> Wire:
        """The oldest dial under way succeeds."""
        place, protocol, result = self._dials.pop(0)
        wire = Wire(self, f"{place}#{1 + sum(w.place == place for w in self.wires)}", protocol)
        self.wires.append(wire)
        protocol.makeConnection(wire)
        result.callback(protocol)
        self._turn()
        return wire

    def refuse(self, reason: Reason = Reason.REFUSED) -> None:
        """The oldest dial under way fails."""
        _, _, result = self._dials.pop(0)
        result.errback(Unreachable(reason, "no"))
        self._turn()

    def answer(self, status: str, *fields: str, body: bytes = b"", whole: bool = True) -> None:
        """The server that was asked last answers.

        whole: a Content-Length is added that is the body's, where the fields have no framing.
        """
        self.wire.says(answer(status, *fields, body=body, whole=whole))

    def exchange(self, line: str, *fields: str, body: bytes = b"") -> None:
        """A whole one with a server that is not connected yet, or idle; nothing is left to see.

        fields: of the answer.
        """
        self.ask(line)
        if self._dials:
            self.connect()
        self.answer("200 OK", *fields, body=body)
        assert self.lines[-1].error is None
        self.done.clear()

    def after(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))
        self._turn()

    @property
    def wire(self) -> Wire:
        """The connection over which a server was asked last."""
        assert self._asked is not None, "no server was asked"
        return self._asked

    # -- what was done ----------------------------------------------------------------

    def did(self, *what: str) -> None:
        done, self.done = self.done, []
        assert done == list(what), "\n  ".join(["was done:", *done, "instead of:", *what])

    def over(self, **what: object) -> None:
        """Every exchange has ended, been told once, and left nothing; so ended the last one."""
        assert not self.road.exchanges
        counts = self.road.counts
        assert counts.active == 0
        assert len(self.lines) == counts.total - counts.background
        assert len(self.lines) == counts.forward + counts.reverse
        assert not len(self.cache.flights)
        assert self.cache.snapshot()["writing"] == 0
        assert not self._dials
        open_wires = [w for w in self.wires if not w.over]
        watched = len(self.sweep) - (self.parked.deadline < inf)  # a notice may be due
        assert watched == sum(w.protocol.usable for w in open_wires), "a leg is left"
        line = self.lines[-1]
        assert {name: getattr(line, name) for name in what} == what, line

    def field(self, name: str) -> str | None:
        """Of the latest response that a client got."""
        value = self.response.fields.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def asked(self, name: str) -> str | None:
        """A field of the latest request that a server got."""
        value = self.sent.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    # -- as a `Dialler`, and for the fakes ---------------------------------------------

    def dial(
        self,
        host: str,
        port: int,
        protocol: Any,
        *,
        judge: Callable[[str, int], Reason | None] | None = None,
        **_: object,
    ) -> Deferred[Any]:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.done.append(f"dial {place}")

        def cancelled(result: Deferred[Any]) -> None:
            self.done.append(f"cancel {place}")
            self._dials = [each for each in self._dials if each[2] is not result]

        result: Deferred[Any] = Deferred(cancelled)
        if _is_address(host) and judge and (reason := judge(host, port)) is not None:
            result.errback(Unreachable(reason, host))
        else:
            self._dials.append((place, protocol, result))
        return result

    # -- as `Names`

    def addresses(self, name: str, timeout: float) -> Deferred[tuple[str, ...]]:
        self.done.append(f"look up {name}")
        self.looked_up = Deferred(lambda _: self.done.append(f"cancel {name}"))
        return self.looked_up

    def note(self, what: str) -> None:
        self.done.append(what)

    def note_head(self, wire: Wire, fields: Fields) -> None:
        self._asked, self.sent = wire, fields

    def losing(self, wire: Wire, why: Exception) -> None:
        self._lost.append((wire, Failure(why)))

    def _turn(self) -> None:
        """The reactor's next turn, in which connections that were ended are lost."""
        while self._lost or self._later:
            if self._later:
                self._later.pop(0)()
            else:
                wire, why = self._lost.pop(0)
                wire.lost(why)

    def _record(self, exchange: Exchange) -> None:
        self.lines.append(
            Line(
                exchange.method,
                exchange.status,
                exchange.error,
                exchange.rule,
                exchange.cached,
                exchange.server.url if exchange.server else None,
                exchange.client,
                exchange.side,
                exchange.bytes_in,
                exchange.bytes_out,
                exchange.waited,
                exchange.target.url if exchange.target else None,
            )
        )


class Client:
    """A `ClientStream`, and what its client leg tells the exchange."""

    def __init__(self, play: Play, peer: Peer, stalls_at: int | None) -> None:
        self._play = play
        self._side: Any = None
        self._open = True
        self._stalls_at = stalls_at
        self._given = 0
        self.peer = peer
        self.stalled = False
        self.paused = False
        self.closing = False  # what it is given now comes too late
        self.status = 0
        self.got = b""
        self.ended = ""  # "whole" or "broken off"
        self.trailers: Fields | None = None
        self.wire: Wire | None = None  # once it is a tunnel

    # What a client does

    def joins(self, side: Any) -> None:
        """As a leg does after `Door.begin`: before that it can't tell the exchange anything."""
        if self._open:
            self._side = side
            if self.stalled:
                side.pause_response()

    def sends(self, data: bytes) -> None:
        assert not self.paused, "a paused leg tells of no body"
        if self._side is not None:
            self._side.body_received(data)
        self._play._turn()

    def ends(self, *trailers: str) -> None:
        assert not self.paused
        if self._side is not None:
            self._side.body_ended(lines_of(trailers) if trailers else None)
        self._play._turn()

    def breaks(self, problem: Problem) -> None:
        self._side.body_broken(problem)
        self._play._turn()

    def goes(self) -> None:
        side, self._side, self._open = self._side, None, False
        side.client_lost()
        self._play._turn()

    def stalls(self) -> None:
        self.stalled = True
        self._side.pause_response()

    def reads(self, stalls_at: int | None = None) -> None:
        self._stalls_at, self._given = stalls_at, 0
        self.stalled = False
        if self._side is not None:
            self._side.resume_response()
        self._play._turn()

    # ClientStream

    def interim(self, response: Response) -> None:
        self._play.note(f"interim {response.status}")
        self._play.response = response

    def start(self, response: Response, length: int | None, body: bytes = b"") -> None:
        play = self._play
        assert self._open
        play.note(str(response.status))
        play.response, play.length, play.body = response, length, b""
        self.status = response.status
        self._give(body)

    def reply(self, lines: bytes, content: bytes) -> None:
        response = head.response(lines + b"\r\n", Limits())
        assert isinstance(response, Response)
        length = response.fields.get(b"content-length")
        response.fields.remove(b"content-length")
        self.start(response, None if length is None else int(length), content)
        self.finish()

    def pass_on(self, splicer: Splicer, leg: Any) -> bool:
        return False

    def send_file(
        self,
        sender: Sender,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
    ) -> None:
        data = os.pread(file.fileno(), length, offset)
        moved(len(data))
        self._give(data)
        ended("" if len(data) == length else "too short")

    def sink(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert self._open
        self._give(data)

    def _give(self, data: bytes) -> None:
        if not data:
            return
        self._play.body += data
        self.got += data
        self._play.note(f"body {_shown(data)}")
        self._given += len(data)
        if self._stalls_at is not None and self._given >= self._stalls_at and not self.stalled:
            self.stalled = True
            if self._side is not None:
                self._side.pause_response()

    def finish(self, trailers: Fields | None = None) -> None:
        assert self._open
        self._play.note("end")
        self.ended = "whole"
        self.trailers = trailers
        self._side, self._open = None, False

    def break_off(self) -> None:
        self._play.note("break off")
        self.ended = "broken off"
        self._side, self._open = None, False

    def abort(self) -> None:
        self._play.note("abort")
        self._open = False
        if (side := self._side) is not None:  # the connection is lost soon after
            self._side = None
            side.client_lost()

    def hand_over(self, response: Response, protocol: Any) -> None:
        play = self._play
        if self.closing:
            return
        play.note(f"tunnel {response.status}")
        play.response = response
        self._side, self._open = None, False
        self.wire = Wire(play, "client", protocol)
        protocol.makeConnection(self.wire)

    def pause_request(self) -> None:
        if not self.paused:
            self.paused = True
            self._play.note("pause")

    def resume_request(self) -> None:
        if self.paused:
            self.paused = False
            self._play.note("resume")


class Wire(StringTransport):
    """A connection whose other end the test plays. name: of the place, and which one it is."""

    def __init__(self, play: Play, name: str, protocol: Any) -> None:
        super().__init__()
        self._play = play
        self.name = name
        self.place = name.partition("#")[0]
        self.protocol = protocol
        self.over = False
        self._ending = self._closed = False

    def unregisterProducer(self) -> None:
        """Twisted's transports don't mind where there is none."""
        if self.producer is not None:
            super().unregisterProducer()

    # What the other end does

    def says(self, data: bytes) -> None:
        self.protocol.dataReceived(data)
        self._play._turn()

    def closes(self) -> None:
        """It sends no more: that we close as well then is not worth a note."""
        self._closed = True
        IHalfCloseableProtocol(self.protocol).readConnectionLost()
        self._play._turn()

    def dies(self) -> None:
        """It is reset."""
        self.lost(Failure(ConnectionLost()))
        self._play._turn()

    def stalls(self) -> None:
        """It reads no more for now."""
        self.producer.pauseProducing()

    def reads(self) -> None:
        self.producer.resumeProducing()

    def lost(self, why: Failure) -> None:
        if not self.over:
            self.over = True
            self.protocol.connectionLost(why)

    # ITransport

    def write(self, data: bytes) -> None:
        head = re.match(rb"(?s)([A-Z]+ \S+ HTTP/1\.1)\r\n(.*?\r\n)?\r\n(.*)", data)
        if head is not None:
            self._play.note(f"{self.name} {head[1].decode()}")
            text = (head[2] or b"").decode("latin-1")
            self._play.note_head(self, lines_of(text.split("\r\n")[:-1]))
            data = head[3]
        if data == b"0\r\n\r\n":
            self._play.note(f"{self.name} end of chunks")
        elif data:
            self._play.note(f"{self.name} body {_shown(data)}")

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self._ends("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self._ends("aborted", ConnectionAborted())

    def loseWriteConnection(self) -> None:
        self._play.note(f"{self.name} half-closed")

    def _ends(self, how: str, why: Exception) -> None:
        if not self._ending and not self.over:
            self._ending = True
            if not self._closed:
                self._play.note(f"{self.name} {how}")
            self._play.losing(self, why)

    def pauseProducing(self) -> None:
        if self.producerState == "producing":
            self.producerState = "paused"
            self._play.note(f"{self.name} paused")

    def resumeProducing(self) -> None:
        if self.producerState == "paused":
            self.producerState = "producing"
            self._play.note(f"{self.name} resumed")


def answer(status: str, *fields: str, body: bytes = b"", whole: bool = True) -> bytes:
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status}", *fields]
    framed = any(re.match("(?i)content-length|transfer-encoding", line) for line in fields)
    if whole and not framed and status[:3] not in ("204", "304") and status[:1] != "1":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def lines_of(lines: Any) -> Fields:
    """Fields of "Name: value" lines."""
    fields = Fields()
    for line in lines:
        name, _, value = line.partition(":")
        fields.add(name.encode("latin-1"), value.strip().encode("latin-1"))
    return fields


@cache
def configured(text: str) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "twistproxy.toml")
        file.write_text(text)
        return load.load(file, {})


@contextmanager
def counted(monkeypatch: Any, *methods: tuple[type, str]) -> Iterator[list[str]]:
    """Which of these methods are called meanwhile."""
    calls: list[str] = []

    def counting(owner: type, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)

        def call(*args: Any, **more: Any) -> Any:
            calls.append(f"{owner.__name__}.{name}")
            return real(*args, **more)

        return call

    with monkeypatch.context() as patch:
        for owner, name in methods:
            patch.setattr(owner, name, counting(owner, name))
        yield calls


def _host_of(target: bytes) -> bytes:
    absolute = re.match(rb"https?://([^/?]*)", target)
    if absolute:
        return absolute[1]
    return b"shop.test" if target[:1] in (b"/", b"*") else target


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(data: bytes) -> str:
    return data.decode("latin-1") if len(data) <= 40 else f"{len(data)} bytes"
