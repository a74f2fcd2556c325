"""The road: one request, from its head to the last byte of its answer, in five phases.

    admit     may it pass?             policy
    look up   have we got it?          cache
    fetch     who answers?             upstream
    store     may we keep it?          cache
    reply     what the client gets

All of it happens in the call that read the request, unless a phase has to wait for a connection.
What the two doors do differently is their `Service`; what is the same for all is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, Final

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.cache.broadcast import Broadcast, Reading
from twistproxy.cache.cache import Hit, Stale
from twistproxy.cache.flights import PATIENCE, Flight, Wave
from twistproxy.cache.purge import requested
from twistproxy.cache.slices import SLICE, Slices, of_spans
from twistproxy.cache.stored import InFile, Key
from twistproxy.cache.tiers import together
from twistproxy.cache.writer import Writer
from twistproxy.http import conditional, errors, hops, pages, ranges, uri
from twistproxy.http.cache_status import CacheStatus, went_on
from twistproxy.http.caching import invalidated, query_key
from twistproxy.http.dates import format_date
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields, Line, line
from twistproxy.http.framing import takes_upgrade, wants_upgrade
from twistproxy.http.freshness import ERRORS, stale_if_error, stale_if_unreachable
from twistproxy.http.message import IDEMPOTENT, SAFE, Request, Response
from twistproxy.http.ranges import Parts, Span
from twistproxy.http.uri import Target
from twistproxy.http.variants import selects
from twistproxy.net.relay import Relay
from twistproxy.policy import limits as limits_of
from twistproxy.policy.edits import FieldEdits
from twistproxy.policy.limits import Admission, Limit
from twistproxy.policy.limits.bandwidth import Bandwidth
from twistproxy.policy.parked import Answer, Waiting
from twistproxy.policy.plan import DEFAULT, Verdict
from twistproxy.policy.rules import Compiled
from twistproxy.road import NAME, Road, Service
from twistproxy.upstream import problem_of
from twistproxy.upstream.server import Server
from twistproxy.wire import ClientStream
from twistproxy.wire.http1 import encode
from twistproxy.wire.http1.passage import WORTH
from twistproxy.wire.http1.server_leg import ServerLeg
from twistproxy.wire.nobody import Nobody
from twistproxy.wire.slowed import SlowedStream

_log = Logger()

#: Whether this and what else each request passes was compiled (setup.py), or is Python.
COMPILED: Final = not __file__.endswith(".py")
#: Bytes of a request's body that are kept so that another server can get it, too.
REPLAYED: Final = 64 << 10
#: A CONNECT that was not answered has opened nothing.
_REPEATED: Final = IDEMPOTENT | {b"CONNECT"}
#: Methods that Max-Forwards counts for (RFC 9110 §7.6.2).
_COUNTED: Final = (b"OPTIONS", b"TRACE")
#: Conditions that a 304 may be the answer to.
_ASK_FOR_NEWS: Final = frozenset({b"if-none-match", b"if-modified-since"})
#: With these a request may get something else than the next one.
_OWN_ANSWER: Final = _ASK_FOR_NEWS | {b"range"}
#: What a fetch for everybody does without.
_THE_CLIENTS: Final = _OWN_ANSWER | {b"cache-control", b"if-range", b"pragma"}
#: What a TRACE does not show of its own request (RFC 9110 §9.3.8).
_SECRETS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie"})

#: What doesn't mean that servers are down.
_OURS: Final = frozenset(
    {"destination_ip_prohibited", "proxy_loop_detected", "proxy_internal_error"}
)

#: Misses of what another store may have.
_MISSING: Final = frozenset({"uri-miss", "vary-miss", "partial"})
_NOT_ASKED: Final = CacheStatus()
_HIT: Final = CacheStatus(hit=True)
_NO_GROUPS: Final[frozenset[str]] = frozenset()
_NOBODY: Final[Iterator[Server]] = iter(())
#: For the access log: why the request went on, as Cache-Status has it (RFC 9211 §2.2).
_IN_A_WORD: Final = {
    "uri-miss": "miss",
    "vary-miss": "miss",
    "partial": "miss",
    "stale": "stale",
}


@lru_cache(256)
def _passed(rule: str | None) -> Line:
    """What Proxy-Status says where nothing went wrong."""
    return line(b"Proxy-Status", pages.proxy_status(None, NAME, rule=rule))


@define
class _Held:
    """An answer of which the client gets nothing before we know whether it is to be passed on."""

    response: Response
    length: int | None
    body: bytes = b""


class Exchange:
    """One request on the road; also what the access log prints.

    It is a `ClientSide` of its client leg and a `ServerSide` of its server leg.
    """

    # What an exchange begins with, on the class: few set out to change much of it.
    request: Request | None = None
    target: Target | None = None
    framing = 0
    switch = False
    route: Any = None  # of the reverse side
    parent: str | None = None  # that a rule has chosen
    authority = ""  # how the client names the reverse side
    told: Any = None  # who the client is, by proxies before us
    user: str | None = None
    groups: frozenset[str] = _NO_GROUPS
    rule: str | None = None
    addresses: tuple[str, ...] | None = None  # of the target's host, where a rule asks for them
    response: Response | None = None  # likewise, the head of the answer
    error: str | None = None
    status = 0
    server: Server | None = None
    cache_status = _NOT_ASKED
    requested = 0.0  # when the server was asked, wall
    waited = 0.0  # seconds until its head came
    bytes_in = 0
    bytes_out = 0
    ended = False
    background = False  # of our own accord: no client's
    _order = _NOBODY
    _pending: tuple[tuple[str, Verdict], ...] = ()  # verdicts that wait for the response
    _edits: tuple[FieldEdits, ...] = ()  # of what the client gets
    _slowed: SlowedStream | None = None  # what we answer through, while a bandwidth is limited
    _credentials = False  # a rule gave it some: it is for nobody else
    _verdicts: tuple[
        tuple[str, Verdict], ...
    ] = ()  # of the sides so far, that are more than a word
    _admission: Admission | None = None  # what it counts for
    _retry_after: float | None = None  # seconds, where a limit refused it
    _parked: tuple[Waiting, Verdict, str, Iterator[str]] | None = None  # an operator is asked
    _asked_since: float | None = None  # one was, under another policy
    _page: str | None = None  # of the rule that decided
    _asked = 0
    _attempts = 1
    _key: Key | None = None
    _dialling: Deferred[Any] | None = None
    _held: _Held | None = None
    _leg: ServerLeg | None = None
    _relay: Relay | None = None
    _stale: Stale | None = None
    _writer: Writer | None = None
    _replay: list[bytes] | None = None  # what came of the body, if it is kept
    _body_ended = True
    _trailers: Fields | None = None
    _tried_to_pass = False  # the request's body on in the kernel
    _reading: Reading | Slices | None = None  # what the client is sent from
    _cast: Broadcast | None = None  # our answer's body, while others read along
    _flight: Flight | None = None  # ours: others wait for it
    _joined: Flight | None = None  # another's, which we wait for
    _wave: Wave | None = None  # we waited in vain, with others
    _last: Fields | None = None  # the response's trailers, until its body has been sent
    _asking = False  # a QUERY's content is still to come
    _brought = False  # what other stores have is in memory
    _sent = 0.0  # when the server was asked, on our clock

    def __init__(self, road: Road, stream: ClientStream, service: Service, side: str) -> None:
        self.road = road
        self.stream = stream
        self.service = service
        self.side = side
        self.generation = road.generation
        counts = road.counts
        counts.total += 1
        counts.active += 1
        self.id = counts.total
        self.peer = stream.peer
        self.client = self.peer.address
        self.started = road.clock.seconds()
        road.exchanges.add(self)

    @property
    def method(self) -> str:
        return self.request.method.decode("ascii") if self.request else "-"

    @property
    def at(self) -> float:
        """When a rule asks: seconds since 1970."""
        return self.road.wall()

    @property
    def request_id(self) -> str:
        return f"{self.road.ids}-{self.id:x}"

    def begin(self, request: Request, target: Target, framing: int) -> None:
        """Set out with a request that is understood."""
        self.request = request
        self.target = target
        if framing:
            self.framing = framing
            self._body_ended = False
            self._replay = []
        expect = request.fields.get(b"expect")
        if expect is not None:
            if request.version == (1, 0):
                request.fields.remove(b"expect")  # RFC 9110 §10.1.1
            elif expect.lower() != b"100-continue":
                self.fail(errors.EXPECTATION_FAILED)
                return
        self.switch = wants_upgrade(request)
        self.admit()

    # -- admit ------------------------------------------------------------------------

    def admit(self) -> None:
        """May it pass?"""
        request = self.request
        assert request is not None
        if b"via" in request.fields and hops.names_us(request.fields, self.road.pseudonym):
            self.fail(errors.LOOP_DETECTED)
            return
        if self.road.identify is not None:
            self.user, self.groups = self.road.identify(self)
        self._verdicts = ()
        self._judge(iter(self.service.sides(self)))

    def _judge(self, sides: Iterator[str]) -> None:
        """By the rules of these sides, one after the other."""
        for side in sides:
            # The target is there, though not for as long as the policy's Question promises.
            verdict = self.generation.policy.decide(self, side)  # type: ignore[arg-type]
            if verdict.action == "look up":
                self._look_up_addresses()
                return
            if verdict.shadows:
                self._say_what_would_be(verdict)
            if verdict.action == "ask":
                if not self._ask_operator(verdict, side, sides):
                    return
            elif verdict.action != "allow":
                self.rule = verdict.rule
                self._turn_away(verdict)
                return
            self._passed_by(verdict, side)
        self._go_in()

    def _passed_by(self, verdict: Verdict, side: str) -> None:
        if self.rule is None or verdict.rule != DEFAULT:
            self.rule = verdict.rule
        if verdict.steps or verdict.pending:
            self._verdicts = (*self._verdicts, (side, verdict))

    def _go_in(self) -> None:
        """All rules let it pass: now what those say that continue."""
        request, verdicts = self.request, self._verdicts
        assert request is not None
        if verdicts:
            limits = [
                limit for _, verdict in verdicts for step in verdict.steps for limit in step.limits
            ]
            if limits and not self._enter(limits):
                return
            self._pending = tuple(each for each in verdicts if each[1].pending)
            for _, verdict in verdicts:
                for step in verdict.steps:
                    if not self._step(step):
                        return
        if request.method in _COUNTED and hops.max_forwards(request.fields) == 0:
            self._answer_as_the_last(request)
            return
        self.look_up()

    def _enter(self, limits: list[Limit]) -> bool:
        """Whether all limits let it pass: then it counts for each."""
        now = self.road.clock.seconds()
        admission = limits_of.enter(limits, self, now)  # type: ignore[arg-type]
        if isinstance(admission, Admission):
            self._admission = admission
            return True
        self.rule = admission.rule
        steps = [step for _, verdict in self._verdicts for step in verdict.steps]
        self._page = next(step.rule.page for step in steps if step.name == admission.rule)
        self._retry_after = admission.retry_after
        self.fail(errors.limit_reached(admission.template, **admission.details))
        return False

    def spend(self) -> None:
        """Count what it has used so far; it is ended where that is too much."""
        relay = self._relay
        if self._admission is not None and not self.ended:
            sent = 0 if relay is None else relay.sent_right + relay.sent_left
            total = self.bytes_in + self.bytes_out + sent
            refusal = self._admission.spend(total, self.road.wall())
            if refusal is not None:
                self.rule = refusal.rule
                self.error = "http_request_denied"
                self.abort()

    def _ask_operator(self, verdict: Verdict, side: str, sides: Iterator[str]) -> bool:
        """Whether an answer stands that allows it; else it waits, or is over."""
        assert verdict.ask is not None
        answer = self.road.parked.ask(
            self,  # type: ignore[arg-type]
            side,
            verdict.rule,
            verdict.ask,
            self,
            self._asked_since,
        )
        if isinstance(answer, Answer):
            return self._granted(answer, verdict)
        self._parked = answer, verdict, side, sides
        if not self._body_ended:
            self.stream.pause_request()
        return False

    def _granted(self, answer: Answer, verdict: Verdict) -> bool:
        if not answer.allowed:
            assert self.target is not None
            self.rule, self._page = verdict.rule, verdict.page
            what = self.target.host if self.side == "forward" else "This"
            problem = errors.NOT_GRANTED.about(what=what, why=answer.text)
            self.fail(problem.as_status(verdict.status))
        return answer.allowed

    def answered(self, answer: Answer) -> None:
        """An operator has, or nobody did in time."""
        parked, self._parked = self._parked, None
        assert parked is not None
        _, verdict, side, sides = parked
        if self._granted(answer, verdict):
            self._passed_by(verdict, side)
            self._judge(sides)

    def reconsider(self) -> None:
        """There is another policy, while it waits to be answered."""
        parked, self._parked = self._parked, None
        assert parked is not None
        assert self.target is not None
        self._asked_since = parked[0].since
        self.generation = self.road.generation
        self.rule = None
        self.service.rewritten(self, self.target)  # routes may be others, too
        self.admit()

    def client_ended(self) -> None:
        """The client sends no more: had it gone, we would hear nothing else."""
        if self._parked is not None:
            self.abort()

    def _look_up_addresses(self) -> None:
        """A rule asks for the target's addresses: judge again when they are there."""
        assert self.target is not None
        if not self._body_ended:
            self.stream.pause_request()
        timeout = self.road.terms.timeouts.connect
        self._dialling = looking = self.road.names.addresses(self.target.host, timeout)
        looking.addCallbacks(self._looked_up, self._not_looked_up).addErrback(self._not_brought)

    def _looked_up(self, addresses: tuple[str, ...]) -> None:
        self._dialling = None
        self.addresses = addresses
        self.admit()

    def _not_looked_up(self, failure: Failure) -> None:
        self._dialling = None
        if not failure.check(CancelledError):
            assert self.target is not None
            host = self.target.host
            late = failure.check(DeferredTimeout) is not None
            self.fail((errors.DNS_TIMEOUT if late else errors.DNS_ERROR).about(host=host))

    def _step(self, step: Compiled) -> bool:
        """Do what a `continue` rule says; whether the request goes on."""
        request, target, edits = self.request, self.target, step.edits
        assert request is not None
        assert target is not None
        self._step_to_come(step)
        rule = step.rule
        if rule.parent is not None:
            self.parent = rule.parent
        if rule.pool is not None and self.route is not None:
            self.route = evolve(self.route, pool=rule.pool)
        if edits is None:
            return True
        if edits.request is not None:
            edits.request.apply(request.fields)
        self._credentials = self._credentials or edits.credentials
        if edits.rewriting is not None:
            new = edits.rewriting.applied(target)
            if isinstance(new, Problem):
                self.rule = step.name
                self.fail(new)
                return False
            if new is not None:
                self.service.rewritten(self, new)
        return True

    def _step_to_come(self, step: Compiled) -> None:
        """Of that what may still be done when the response is there."""
        if step.bandwidth is not None:
            self._slow_down(step.bandwidth)
        if step.edits is not None and step.edits.response is not None:
            self._edits = (*self._edits, step.edits.response)

    def _slow_down(self, limit: Bandwidth) -> None:
        """All that is still to come passes no faster than that."""
        slowed = self._slowed
        if slowed is None:
            slowed = SlowedStream(self.stream, self, not self._body_ended)
            self.stream = self._slowed = slowed
        slowed.add(*limit.buckets(self))  # type: ignore[arg-type]

    def _say_what_would_be(self, verdict: Verdict) -> None:
        assert self.target is not None
        for shadow in verdict.shadows:
            _log.info(
                "The rule {rule} would have said {action} to {method} {where} for {client}",
                rule=shadow.name,
                action=shadow.rule.action,
                method=self.method,
                where=self.target.url.partition("?")[0],
                client=self.client or "a unix socket",
            )

    def _may_answer(self, response: Response) -> bool:
        """Whether the client may have what has this head, by those rules that ask for it."""
        self.response = response
        pending, self._pending = self._pending, ()
        for side, waiting in pending:
            verdict = self.generation.policy.decide_by_response(
                self,  # type: ignore[arg-type]
                side,
                waiting,
            )
            if verdict.shadows:
                self._say_what_would_be(verdict)
            self.rule = verdict.rule
            for step in verdict.steps:
                self._step_to_come(step)
            if verdict.action != "allow":
                self._turn_away(verdict)
                return False
        return True

    def _turn_away(self, verdict: Verdict) -> None:
        assert self.target is not None
        if self._asked or self._reading is not None:  # it was the response that decided
            self._dissolve_flight()
            self._leg_done()
        self._page = verdict.page
        if verdict.location is not None:
            problem = errors.REDIRECTED.as_status(verdict.status)
            location = verdict.location.encode("ascii", "ignore")
            self._reply_page(problem, Fields([(b"Location", location)]), verdict.location)
            return
        what = self.target.host if self.side == "forward" else "This"
        self.fail(errors.REQUEST_DENIED.about(what=what).as_status(verdict.status))

    def _answer_as_the_last(self, request: Request) -> None:
        """Max-Forwards lets it go no further."""
        if request.method == b"OPTIONS":
            self.answer(Response(200, Fields([(b"Allow", self.service.allowed)])))
            return
        line = b"%b %b HTTP/%d.%d\r\n" % (request.method, request.target, *request.version)
        body = line + request.fields.without(_SECRETS).encode() + b"\r\n"
        self.answer(Response(200, Fields([(b"Content-Type", b"message/http")])), body)

    # -- look up ----------------------------------------------------------------------

    def look_up(self) -> None:
        """Have we got it?"""
        request, target = self.request, self.target
        assert request is not None
        assert target is not None
        if request.method == b"CONNECT":
            self.fetch()
            return
        if request.method == b"PURGE":
            self._purge(request, target)
            return
        key = self.service.key(self, target)
        if isinstance(key, Problem):
            self.fail(key)
            return
        self._key = key
        if self.switch:
            self.cache_status = went_on("bypass", "upgrade")
            self.fetch()
            return
        if request.method == b"QUERY" and self.framing:
            self._asking = True  # what it asks for is in its body
            self.stream.resume_request()  # it may have waited for an operator, or for addresses
            return
        self._look(key)

    def _purge(self, request: Request, target: Target) -> None:
        """Have the cache forget the target, or what has the request's tags: never passed on."""
        if self._pending and not self._may_answer(Response(200, Fields())):
            return
        terms = self.generation.config.cache
        clients = () if terms.purge is None else terms.purge.clients
        if not clients:
            self.fail(errors.METHOD_NOT_ALLOWED.about(method="PURGE"))
            return
        if not (self.client and any(ip_address(self.client) in net for net in clients)):
            self.rule = "cache.purge.clients"
            self.fail(errors.REQUEST_DENIED.about(what="PURGE"))
            return
        names = [name.lower().encode() for name in terms.tag_fields]
        purges = requested(target, request.fields, names)
        if isinstance(purges, Problem):
            self.fail(purges)
            return
        now = self.road.wall()
        taken = together([self.road.cache.purge(purge, now) for purge in purges])
        taken.addCallback(self._purged)

    def _purged(self, taken: dict[str, int]) -> None:
        """Say how many objects each store had of what was meant."""
        if not self.ended:
            fields = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
            self.answer(Response(200, Fields(fields)), json.dumps(taken).encode() + b"\n")

    def _ask_for(self, content: bytes) -> None:
        """The content of a QUERY is there: it is a part of the key."""
        self._asking = False
        assert self.request is not None
        assert self._key is not None
        self._key = self._key._replace(query=query_key(self.request.fields, content))
        self._look(self._key)

    def _look(self, key: Key) -> None:
        request, cache, now = self.request, self.road.cache, self.road.wall()
        assert request is not None
        found = cache.lookup(key, request, now)
        if isinstance(found, Hit):
            self._reply_hit(found, now)
            return
        if isinstance(found, Stale):
            self._stale = found
            self.cache_status = went_on(found.reason, None)
            if found.at_once:
                self._reply_outdated(found, "stale-while-revalidate")
                self._refresh_behind(found)
                return
        else:
            missing = cache.tiers.behind and not self._brought and found.reason in _MISSING
            if missing and (coming := cache.bring(key, now)) is not None:
                self._brought = True
                coming.addCallback(self._came, key).addErrback(self._not_brought)
                return
            self.cache_status = went_on(found.reason, found.detail)
            if found.only_if_cached:
                self.fail(errors.NOT_CACHED)  # RFC 9111 §5.2.1.7
                return
        if found.shared and cache.collapse and self._wave is None:
            # Who brings conditions of its own may get a 304, which is of no use to others.
            leads = self._stale is not None or _ASK_FOR_NEWS.isdisjoint(request.fields.combined)
            flights = cache.flights
            flight = flights.enter(key, self, now) if leads else flights.get(key, self.generation)
            if flight is not None and flight.leader is not self:
                self._joined = flight
                flight.join(self)
                return
            self._flight = flight
        self.fetch()

    def _came(self, _: None, key: Key) -> None:
        if not self.ended:
            self._look(key)

    def _not_brought(self, failure: Failure) -> None:
        _log.failure("An exchange failed", failure)
        self.fail(errors.INTERNAL_ERROR)

    # Others' fetches of the same (`cache.flights`).

    def read_along(self, flight: Flight) -> None:
        """Its head is there: answer with that, and with its body as it comes."""
        request, stored = self.request, flight.stored
        assert request is not None
        assert stored is not None
        self._joined = None
        now = self.road.wall()
        cast = None
        if stored.freshness.usable(now) and selects(request.fields, stored.variant):
            cast = flight.leader.share()
            if cast is None and flight.leader.goes_to_a_file:
                self._joined = flight  # from there we get it, once it is whole
                if not flight.waiting:  # but its client may read slowly
                    self.road.clock.callLater(PATIENCE, flight.leader.let_go, flight)
                flight.waiting.append(self)
                return
        if cast is None:
            self.fetch()
            return
        self.road.cache.flights.joined += 1
        self.cache_status = CacheStatus(
            fwd=self.cache_status.fwd, fwd_status=stored.status, collapsed=True
        )
        response, length = stored.not_modified(request, now), flight.length
        if self._pending and not self._may_answer(stored.response(now)):
            return
        if response is None:
            response = stored.response(now)
            self._reading = cast.join(self._reply_more)
        else:
            length = 0
        response.fields = response.fields.without(self.service.hides(self))
        self._start(response, length, b"")
        if self._reading is None:
            self._finish(None)
        else:
            self._reply_more()

    def look_again(self, wave: Wave | None) -> None:
        """What we waited for is over; or it was not for us, and we are let go in a wave."""
        if self.ended:  # the client left while it waited: the next may go
            if wave is not None:
                wave.go_on()
            return
        self._joined = None
        self._brought = False
        self._wave = wave
        assert self._key is not None
        self._look(self._key)

    @property
    def goes_to_a_file(self) -> bool:
        """Whether the body that we fetch is kept, but not in memory."""
        writer = self._writer
        return writer is not None and writer.open and not writer.holds_all

    def let_go(self, flight: Flight) -> None:
        """Those who wait for it have waited long enough."""
        if self._flight is flight:
            self._dissolve_flight()

    def share(self) -> Broadcast | None:
        """The body that we fetch, for others, too; None if it is not being kept whole."""
        cast, writer = self._cast, self._writer
        if writer is None or not writer.holds_all:
            return None
        if cast is None:
            cast = self._cast = Broadcast(writer.pieces, self._was_read)
            self._reading = cast.join(self._reply_more, late=True)
            if self._leg is not None:
                self._leg.resume_response()  # from now on the slowest reader is waited for
        return cast

    def _was_read(self) -> None:
        cast, leg = self._cast, self._leg
        if leg is not None and cast is not None and cast.behind <= SLICE:
            leg.resume_response()

    def _refresh_behind(self, stale: Stale) -> None:
        """Have it confirmed or replaced, while the client gets what we have (RFC 5861 §3)."""
        request, key, cache = self.request, self._key, self.road.cache
        assert request is not None
        assert key is not None
        if cache.flights.get(key, self.generation) is not None:
            return  # somebody is on the way
        other = Exchange(self.road, Nobody(self.peer), self.service, self.side)
        fields = request.fields.without(_THE_CLIENTS)
        other.background = True
        other.request = Request(b"GET", request.target, fields, request.version)
        other.target, other.route, other.parent = self.target, self.route, self.parent
        other.authority, other.told, other.rule = self.authority, self.told, self.rule
        other._key, other._stale, other._credentials = key, stale, self._credentials
        other.cache_status = went_on("stale", "stale-while-revalidate")
        other._flight = cache.flights.depart(key, other, self.road.wall())
        if other._flight is None:  # it was not for everybody a moment ago: each would ask again
            other._end()
        else:
            other.fetch()

    # -- fetch ------------------------------------------------------------------------

    def fetch(self) -> None:
        """Who answers?"""
        servers = self.service.servers(self)
        if isinstance(servers, Problem):
            self.fail(servers)
            return
        self._order = servers
        self._attempts = 1 + self.service.retries(self)
        if not self._body_ended:
            self.stream.pause_request()
        self._try_next(None)

    def _try_next(self, problem: Problem | None) -> None:
        """Ask the next server; problem: what went wrong with the one before."""
        full = None
        for server in self._order:
            if server.full:
                full = server
                continue
            self._ask(server)
            return
        if problem is None and full is not None:
            problem = errors.CONNECTION_LIMIT_REACHED.about(what=full.url)
        self.fail(problem or errors.DESTINATION_UNAVAILABLE.about(pool=self.pool or "-"))

    def _ask(self, server: Server, fresh: bool = False) -> None:
        self.server = server
        assert self.request is not None
        if self.request.method == b"CONNECT" and not server.absolute:
            self._relay = self._new_relay()
            self._wait_for(server.dial(self._relay.right), self._tunnel_open)
            return
        leg = None if fresh else server.take()
        if leg is not None:
            self._send(leg)
        else:
            self._wait_for(server.connect(), self._send)

    def _wait_for(self, connecting: Deferred[Any], made: Callable[[Any], None]) -> None:
        self._dialling = connecting
        connecting.addCallback(made).addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        self._dialling = None
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.abort()
        if failure.check(CancelledError):
            return
        assert self.server is not None
        assert failure.value is not None
        problem = problem_of(failure.value, self.server.url)
        if problem is errors.INTERNAL_ERROR:
            _log.failure("An exchange failed", failure)
            self.fail(problem)
            return
        # Nothing was sent, so the next may be asked whatever the method.
        self.server.failed(problem.text)
        self._try_next(problem)

    def _send(self, leg: ServerLeg) -> None:
        """Ask over this connection."""
        request, server = self.request, self.server
        assert request is not None
        assert server is not None
        self._dialling = None
        self._leg = leg
        self._asked += 1
        fields = hops.request_fields(request.fields, self.switch, self.service.writes)
        if self._pending:  # a 304 would not say what it is of
            fields.remove(*_ASK_FOR_NEWS)
        if self._stale is not None and self._stale.conditions:
            fields = conditional.ask(fields, self._stale.conditions)
        if request.method in _COUNTED and (left := hops.max_forwards(fields)):
            fields.set(b"Max-Forwards", b"%d" % (left - 1))
        head = self.service.request(self, fields, server)
        self.requested = self.road.wall()
        self._sent = self.road.clock.seconds()
        switch = self.switch or request.method == b"CONNECT"
        leg.send(self, head, self.framing, self.service.timeout(self), switch)
        if self.stream.stalled:
            leg.pause_response()
        if self.framing:
            for data in self._replay or ():
                leg.write(data)
            if self._body_ended:
                leg.finish(self._trailers)
            else:
                self.stream.resume_request()

    # The request's body, from the client leg.

    def body_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._slowed is not None:
            self._slowed.took(len(data))
        if self._replay is not None:
            if self.bytes_in <= REPLAYED or self._asking:
                self._replay.append(data)
            else:
                self._replay = None
        if self._asking and self.bytes_in > REPLAYED:
            self._asking, self._key = False, None  # too long for a key
            self.cache_status = went_on("bypass", "body")
            self.fetch()
            return
        if self._leg is not None:
            self._leg.write(data)
            if self._replay is None and not self._tried_to_pass:
                self._tried_to_pass = True
                self.stream.pass_on(self.road.splicer, self._leg)

    def request_passed(self, count: int) -> None:
        self.bytes_in += count

    def body_ended(self, trailers: Fields | None) -> None:
        self._body_ended = True
        self._trailers = trailers
        if self._leg is not None:
            self._leg.finish(trailers)
        elif self._asking:
            self._ask_for(b"".join(self._replay or ()))

    def body_broken(self, problem: Problem) -> None:
        self._body_ended = True
        self.fail(problem)

    def client_lost(self) -> None:
        if self._slowed is not None:
            self._slowed.lost()
        if self.ended:
            return
        self.error = self.error or "client_lost"
        flight, cast = self._flight, self._cast
        if (flight is not None and flight.waiting) or (cast is not None and cast.readers > 1):
            self.stream = Nobody(self.peer)  # others wait for what we fetch
            self.resume_response()
        else:
            self._end()

    def pause_request(self) -> None:
        if not self._body_ended:
            self.stream.pause_request()

    def resume_request(self) -> None:
        if not self._body_ended:
            self.stream.resume_request()

    # The answer, from the server leg.

    def interim_received(self, response: Response) -> None:
        if self._pending:
            return  # nothing before it is known whether the client may have it
        fields = hops.response_fields(response.fields, False, self.service.hides(self))
        interim = Response(response.status, fields, response.reason, response.version)
        self.service.response(self, interim)
        self.stream.interim(interim)

    def response_received(self, response: Response, length: int | None, data: bytes) -> None:
        """The final head; what follows of the body comes by `data_received`."""
        assert self.server is not None
        self.server.succeeded()
        self.waited = self.road.clock.seconds() - self._sent
        if response.status == 407 and self.server.absolute:
            # The challenge is for us, who have no answer; the client can't give one.
            self.fail(errors.PARENT_REFUSED.about(server=self.server.url))
            return
        stale = self._stale
        if response.status == 304 and stale is not None and stale.conditions:
            self._held = _Held(response, length)  # until the leg is free for what may follow
            return
        if stale is not None and response.status in ERRORS and self._stale_will_do(stale):
            self._fail_flight(errors.SERVER_PAGE.as_status(response.status))
            self._leg_done()
            self._reply_outdated(stale, "stale-if-error")
            return
        self._stale = None
        if self._wave is not None:
            self._go_on()
        self.store(response, length, stale)
        if self._writer is not None and data:
            self._writer.write(data)
        if pages.tells_of_an_error(response) and self.service.cloaks(self):
            self._held = _Held(response, length)
            self._hold(self._held, data)
            return
        self.reply(response, length, data)
        flight = self._flight
        if flight is not None:
            writer = self._writer
            # What is to be confirmed to each (no-cache, max-age=0) may be another for each.
            if writer is None or not writer.stored.freshness.usable(self.road.wall()):
                self._dissolve_flight()
            else:
                self.road.cache.flights.board(flight, writer.stored, length)

    def server_failed(self, problem: Problem) -> None:
        leg, self._leg = self._leg, None
        assert leg is not None
        assert self.request is not None
        assert self.server is not None
        if self.status or not problem.retry:
            if not self.status:
                self.server.failed(problem.text)
            self.fail(problem)
            return
        # It was idle, and closed as we sent: that says nothing of the server.
        was_idle = leg.exchanges > 1 and problem.name == errors.CONNECTION_TERMINATED.name
        if not was_idle:
            self.server.failed(problem.text)
        if self.request.method not in _REPEATED or (self.framing and self._replay is None):
            self.fail(problem)
        elif was_idle:
            self._asked -= 1
            self._pause_for_another()
            self._ask(self.server, fresh=True)
        elif self._asked < self._attempts:
            self._pause_for_another()
            self._try_next(problem)
        else:
            self.fail(problem)

    def _pause_for_another(self) -> None:
        self.road.counts.retried += 1
        if not self._body_ended:
            self.stream.pause_request()

    # -- store ------------------------------------------------------------------------

    def store(self, response: Response, length: int | None, stale: Stale | None) -> None:
        """May we keep it? stale: in whose place."""
        request, cache, key = self.request, self.road.cache, self._key
        assert request is not None
        if key is None:  # a CONNECT that the parent refused
            return
        now = self.road.wall()
        if request.method not in SAFE:
            cache.invalidate(self._outdated(key, request.method, response), now)
        if self.switch:  # and not taken
            return
        self._writer = cache.store(
            key,
            request,
            response,
            self.requested,
            now,
            length,
            self.service.writes,
            self._credentials,
        )
        if stale is not None and self._writer is None:
            cache.supersede(stale.stored, response)
        asked = self.cache_status
        self.cache_status = went_on(
            asked.fwd, asked.detail or cache.refusal, response.status, self._writer is not None
        )

    def _outdated(self, key: Key, method: bytes, response: Response) -> Iterator[Key]:
        """What an unsafe request has changed, in the spelling that it is kept under."""
        for url in invalidated(method, key.url, response):
            target = self.target if url == key.url else uri.absolute(url.encode("latin-1"))
            if isinstance(target, Target):
                outdated = self.service.key(self, target)
                if isinstance(outdated, Key):
                    yield outdated

    def _confirmed(self, stale: Stale, response: Response) -> None:
        """A 304 to our own condition: what is stored is fresh again, if it is what was meant."""
        now = self.road.wall()
        hit = self.road.cache.refresh(stale, response, self.requested, now, self.service.writes)
        if hit is not None:
            if not hit.freshness.usable(now):  # to be confirmed to each: not one after the other
                self._dissolve_flight()
            status = self.cache_status._replace(fwd_status=304, ttl=hit.ttl(now))
            self._reply_stored(hit, status)
        else:  # of something else: ask without conditions
            assert self.server is not None
            self._ask(self.server)

    # -- reply ------------------------------------------------------------------------

    def reply(self, response: Response, length: int | None, data: bytes) -> None:
        """Pass on what the server says, as it comes."""
        if self._pending and not self._may_answer(response):
            return
        fields = hops.response_fields(response.fields, False, self.service.hides(self))
        if response.status == 204:
            fields.remove(b"content-length")  # RFC 9110 §8.6
        self._start(
            Response(response.status, fields, response.reason, response.version), length, data
        )
        large = length is not None and length - len(data) >= WORTH
        if large and self._writer is None and self._leg is not None:
            splicer, slowed = self.road.splicer, self._slowed
            self._leg.pass_on(splicer if slowed is None else slowed.under(splicer), self.stream)

    def answer_passed(self, count: int) -> None:
        self.bytes_out += count

    def data_received(self, data: bytes) -> None:
        writer, cast = self._writer, self._cast
        if writer is not None:
            writer.write(data)
        if cast is not None:
            cast.write(data)
            if cast.kept and not (writer is not None and writer.holds_all):
                cast.let_go()
            if not cast.kept and cast.behind > SLICE and self._leg is not None:
                self._leg.pause_response()
        elif self._held is None:
            self.bytes_out += len(data)
            self.stream.write(data)
        else:
            self._hold(self._held, data)

    def response_ended(self, trailers: Fields | None) -> None:
        self._leg = None
        if self._writer is not None:
            kept = self._writer.finish()
            self._writer = None
            if not kept and self._cast is None:
                self._dissolve_flight()
        held, stale = self._held, self._stale
        if held is not None and stale is not None:
            self._held = self._stale = None
            self._confirmed(stale, held.response)
            return
        if held is not None:
            self._let_go(held)
        cast = self._cast
        if cast is not None:
            self._last = trailers
            cast.finish()
            self._land()
        elif not self.ended:
            self._finish(trailers)

    def _hold(self, held: _Held, data: bytes) -> None:
        """Wait for the whole of an error's page, which may name its server, while it is short."""
        held.body += data
        if max(held.length or 0, len(held.body)) > pages.LONGEST:
            self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        self._held = None
        if pages.is_of_a_server(held.response, held.body):
            self._cover(held.response)
        else:
            self.reply(held.response, held.length, held.body)

    def _cover(self, response: Response) -> None:
        """Answer with a page of ours in the place of one that names its server."""
        self._leg_done()
        shown = hops.response_fields(response.fields, False, self.service.hides(self))
        fields = pages.without_page(shown)
        self._reply_page(errors.SERVER_PAGE.as_status(response.status), fields)

    def _reply_hit(self, hit: Hit, now: float) -> None:
        """Answer with a head that was prepared for others, if there is one."""
        request, body, head = self.request, hit.body, None
        assert request is not None
        self.cache_status = _HIT
        if (
            request.method == b"GET"
            and isinstance(body, bytes)
            and len(body) <= SLICE
            and not (self._pending or self._edits)
            and _OWN_ANSWER.isdisjoint(request.fields.combined)
        ):
            head = hit.head(self.service.flavour(self), now, partial(self._prepare, body))
        if head is None or not isinstance(body, bytes):
            self._reply_stored(hit, CacheStatus(hit=True, ttl=hit.ttl(now)))
            return
        self.status = hit.status
        if self.side == "forward":
            head += _passed(self.rule)[3]
        self.bytes_out = len(body)
        self.stream.reply(head, body)
        self._end()

    def _prepare(self, body: bytes, response: Response) -> bytes | None:
        """Status and field lines of a stored response as all clients of our flavour get them;
        None if they don't get the same."""
        fields = response.fields
        if b"location" in fields:
            return None
        if pages.is_of_a_server(response, body) and self.service.cloaks(self):
            return None
        response.fields = fields.without(self.service.hides(self))
        self.service.response(self, response)
        return encode.response_lines(response, b"GET")

    def _reply_stored(self, hit: Hit, status: CacheStatus) -> None:
        """Answer out of the cache, or with a 304 where the client has it, too."""
        request = self.request
        assert request is not None
        self.cache_status = status
        now, body, length = self.road.wall(), hit.body, hit.length
        if self._pending and not self._may_answer(hit.response(now)):
            return
        response = hit.not_modified(request, now)
        wanted: Iterable[bytes | Span] = ()
        if response is None:
            response = hit.response(now)
            page = body if isinstance(body, bytes) else b""  # what is in files is longer than any
            if pages.is_of_a_server(response, page) and self.service.cloaks(self):
                self._cover(response)
                return
            wanted = (Span(0, length),)
            if request.method == b"HEAD":
                if response.status != 204:  # RFC 9110 §8.6
                    response.fields.set(b"Content-Length", b"%d" % length)
                wanted = ()
            elif (spans := ranges.requested(request, response, length, now)) is not None:
                response, wanted, length = of_spans(response, spans, length)
        response.fields = response.fields.without(self.service.hides(self))
        if not wanted:
            self._start(response, 0, b"")
            self._finish(None)
        elif isinstance(body, bytes | Parts):
            self._reading = slices = Slices(body, wanted)
            self._start(response, length, slices.take())
            self._read_on(slices)
            self._reply_more()
        else:
            self._start(response, length, b"")
            self._send_file(hit, body, iter(wanted))

    def _send_file(self, hit: Hit, body: InFile, pieces: Iterator[bytes | Span]) -> None:
        """Send the next pieces of what lies in a file."""
        for piece in pieces:
            if isinstance(piece, Span):
                ended = partial(self._file_sent, hit, body, pieces)
                at = body.offset + piece.start
                send = self.stream.send_file
                send(self.road.sender, body, at, piece.size, self.answer_passed, ended)
                return
            self.bytes_out += len(piece)
            self.stream.write(piece)
        self._finish(None)

    def _file_sent(
        self, hit: Hit, body: InFile, pieces: Iterator[bytes | Span], wrong: str
    ) -> None:
        if self.ended:
            return
        if wrong:
            self.road.cache.lost(hit, wrong)
            self.fail(errors.RESPONSE_INCOMPLETE)
        else:
            self._send_file(hit, body, pieces)

    def _stale_will_do(self, stale: Stale, problem: Problem | None = None) -> bool:
        """Whether something stale may stand for what we can't get; problem: no server is up."""
        if problem is not None and (problem.status not in ERRORS or problem.name in _OURS):
            return False
        if not self.road.cache.has(stale.stored):
            return False
        fresh, now = stale.stored.freshness, self.road.wall()
        if problem is None:
            return stale_if_error(fresh, stale.asked, now)
        return stale_if_unreachable(fresh, stale.asked, now, self.road.cache.grace)

    def _reply_outdated(self, stale: Stale, why: str) -> None:
        """Answer with what is stale, which its `Freshness` or the operator allows."""
        ttl = stale.stored.ttl(self.road.wall())
        status = self.cache_status._replace(ttl=ttl, detail=why)
        if stale.at_once:
            status = CacheStatus(hit=True, ttl=ttl, detail=why)
        self._reply_stored(stale.stored, status)

    def _reply_more(self) -> None:
        """Write what we have, or what others get too, until the client has to catch up."""
        while self._reading is not None and not self.stream.stalled:
            reading = self._reading
            data = reading.take()
            if data:
                self.bytes_out += len(data)
                self.stream.write(data)
            elif not reading.ended:
                return
            self._read_on(reading)

    def _read_on(self, reading: Reading | Slices) -> None:
        """Something was read: that may have been all."""
        if reading.ended and self._reading is reading:
            self._reading = None
            reading.leave()
            if reading.broken:
                self.fail(errors.RESPONSE_INCOMPLETE)
            else:
                self._finish(self._last)

    def pause_response(self) -> None:
        if self._leg is not None and self._reading is None:
            self._leg.pause_response()

    def resume_response(self) -> None:
        if self._slowed is not None and self.stream.stalled:
            return  # the client would take more, but may not have it
        if self._reading is not None:
            self._reply_more()
        elif self._leg is not None:
            self._leg.resume_response()

    def _start(self, response: Response, length: int | None, data: bytes) -> None:
        fields = response.fields
        if b"date" not in fields:
            fields.add(b"Date", format_date(self.road.wall()))  # RFC 9110 §6.6.1
        self._present(response)
        self.cache_status.append_to(fields)
        self.bytes_out += len(data)
        self.stream.start(response, length, data)

    def _present(self, response: Response) -> None:
        """What each final head has, a tunnel's too."""
        self.status = response.status
        self.service.response(self, response)
        if self._edits and self.error is None:
            for edits in self._edits:
                edits.apply(response.fields)
        if self.side == "forward" and self.error is None:  # else it is said already
            response.fields.append(_passed(self.rule))

    def _finish(self, trailers: Fields | None) -> None:
        self.stream.finish(trailers)
        self._end()

    def fail(self, problem: Problem) -> None:
        """Say what went wrong: by a page while that is possible, else by breaking off."""
        if self.ended:
            return
        stale = self._stale
        if stale is not None and not self.status and self._stale_will_do(stale, problem):
            self._fail_flight(problem)
            self._stale = None
            self._leg_done()
            self._reply_outdated(stale, "stale-if-error")
            return
        if stale is not None and problem.status in ERRORS and not self.status:
            fresh = stale.stored.freshness
            if fresh.strict or fresh.validate:
                problem = problem.as_status(504)  # RFC 9111 §5.2.2.2
        if self._asked:
            self._dissolve_flight()  # it may have been our request that the server failed at
        elif not self.status:
            self._fail_flight(problem)
        self.error = problem.name
        if problem.name != "http_request_denied":
            self.road.counts.errors += 1
        self._leg_done()
        if self.status:
            self.stream.break_off()
            self._end()
            return
        fields = Fields()
        if problem.status == 405 and self.request is not None:
            others = self.service.allowed.split(b", ")
            allowed = [method for method in others if method != self.request.method]
            fields.add(b"Allow", b", ".join(allowed))
        # Inside, a rule is no secret, even where the servers are.
        cloak = self.side == "reverse" and self.service.cloaks(self)
        said = pages.proxy_status(problem, NAME, rule=self.rule, cloak=cloak)
        fields.add(b"Proxy-Status", said)
        self.cache_status = self.cache_status._replace(detail=problem.name)
        self._reply_page(problem, fields)

    def _reply_page(self, problem: Problem, fields: Fields, location: str | None = None) -> None:
        request = self.request
        target = self.target
        about = pages.About(
            self.request_id,
            NAME,
            self.rule,
            location,
            self._retry_after,
            "" if target is None else target.url,
            "" if target is None else target.host,
            self.client,
            self.user,
        )
        lines, body = pages.tell(
            problem,
            about,
            None if request is None else request.fields,
            cloak=self.service.cloaks(self),
            own=self.generation.pages,
            page=self._page,
        )
        fields.append(*lines)
        if request is not None and request.method == b"HEAD":
            body = b""
        self._start(Response(problem.status, fields), len(body), body)
        self._finish(None)

    def answer(self, response: Response, body: bytes = b"") -> None:
        """Answer without asking anybody."""
        self._start(response, len(body), body)
        self._finish(None)

    # -- tunnels ----------------------------------------------------------------------

    def _tunnel_open(self, _: object) -> None:
        """The target of a CONNECT is reached."""
        self._dialling = None
        relay, server = self._relay, self.server
        assert relay is not None
        assert server is not None
        server.succeeded()
        self._hand_over(Response(200, Fields(), b"Connection established"), relay)

    def switched(self, response: Response) -> None:
        """The server took the upgrade, or the parent the CONNECT."""
        assert self.request is not None
        assert self.server is not None
        self.server.succeeded()
        if self.switch and not takes_upgrade(self.request, response):
            self.fail(errors.UPGRADE_FAILED.about(server=self.server.url))
            return
        # Of what passes then nobody knows the kind.
        if self._pending and not self._may_answer(Response(response.status, Fields())):
            return
        leg, self._leg = self._leg, None
        assert leg is not None
        fields = hops.response_fields(response.fields, self.switch, self.service.hides(self))
        relay = self._relay = self._new_relay()
        self._hand_over(Response(response.status, fields, response.reason), relay)
        leg.hand_over(relay.right)

    def _new_relay(self) -> Relay:
        road = self.road
        idle = road.terms.timeouts.tunnel_idle
        relay = Relay(road.sweep, idle, self._tunnel_ended, road.splicer)
        if self._slowed is not None:
            self._slowed.slow_down(relay)
        return relay

    def _hand_over(self, response: Response, relay: Relay) -> None:
        self.road.counts.tunnels += 1
        response.fields.remove(b"content-length")  # of a 2xx to CONNECT: RFC 9110 §9.3.6
        self._present(response)
        status = self.cache_status if self.switch else went_on("bypass", "tunnel")
        status.append_to(response.fields)
        self.stream.hand_over(response, relay.left)

    def _tunnel_ended(self, relay: Relay) -> None:
        if relay is not self._relay:  # we ended it
            return
        self.bytes_in, self.bytes_out = relay.sent_right, relay.sent_left
        if self.status and relay.reason not in ("closed", ""):
            self.error = f"tunnel_{relay.reason}"
        self._relay = None
        self._end()

    # -- the end ----------------------------------------------------------------------

    def abort(self) -> None:
        """Break off, whatever it is doing."""
        if self._relay is not None and self.status:
            self._relay.abort()
        else:
            self.error = self.error or "aborted"
            self.stream.abort()
            self._end()

    @property
    def cached(self) -> str | None:
        """What the cache did: hit, miss, stale or bypass; None where it was not asked."""
        if self.cache_status.hit:
            return "hit"
        if self.cache_status.collapsed:
            return "collapsed"
        why = self.cache_status.fwd
        return None if why is None else _IN_A_WORD.get(why, "bypass")

    @property
    def pool(self) -> str | None:
        return None if self.route is None else self.route.pool

    def _fail_flight(self, problem: Problem) -> None:
        """Those who wait for us would get nothing else."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self.road.cache.flights.fail(flight, problem)

    def _dissolve_flight(self) -> None:
        """What we get, or don't, says nothing of what those who wait for us would get."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self.road.cache.flights.dissolve(flight, self.road.wall())

    def _land(self) -> None:
        """Our fetch is over, for others, too."""
        cast, self._cast = self._cast, None
        if cast is not None and not cast.ended:
            cast.break_off()
        flight, self._flight = self._flight, None
        if flight is not None:
            self.road.cache.flights.land(flight)

    def _go_on(self) -> None:
        """We have an answer: others who waited in vain may ask."""
        wave, self._wave = self._wave, None
        if wave is not None:
            wave.go_on()

    def _leg_done(self) -> None:
        """Nobody reads what the server still sends."""
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.abort()
        connecting, self._dialling = self._dialling, None
        if connecting is not None:
            connecting.cancel()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._slowed is not None:
            self._slowed.over()
        self._leg_done()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.abort()
        self._replay = self._held = self._stale = None
        if self._parked is not None:
            self._parked[0].leave()
            self._parked = None
        if self._admission is not None:
            self._admission.leave(self.bytes_in + self.bytes_out, self.road.wall())
        if self._reading is not None:
            self._reading.leave()
            self._reading = None
        if self._joined is not None:
            self._joined.leave(self)
            self._joined = None
        if self._flight is not None or self._cast is not None:
            self._land()
        if self._wave is not None:
            self._go_on()
        road = self.road
        road.exchanges.discard(self)
        counts = road.counts
        counts.active -= 1
        counts.bytes_in += self.bytes_in
        counts.bytes_out += self.bytes_out
        if self.background:
            counts.background += 1
            return
        if self.cache_status is not _NOT_ASKED:
            road.cache.shares[self.side].count(self.cache_status, self.bytes_out)
        if self.side == "forward":
            counts.forward += 1
        else:
            counts.reverse += 1
        road.record(self)
