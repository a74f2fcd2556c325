"""The forward proxy: hides the clients. It goes where they ask, directly or through a parent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from twistproxy.cache.stored import Key
from twistproxy.config import model
from twistproxy.exchange import Exchange
from twistproxy.http import errors, hops, uri
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.http.uri import Target
from twistproxy.net.dial import Reason
from twistproxy.road import Road
from twistproxy.services.reverse import Reverse
from twistproxy.upstream.destinations import Destinations
from twistproxy.upstream.server import Server
from twistproxy.wire import ClientStream

_NOTHING: Final[frozenset[bytes]] = frozenset()

ALLOWED: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT"


class Forward:
    """A `Door` and a `Service`.

    judge: what an address must pass before it is connected to; swapped by a reload.
    reverse: the door that requests for our own sites are handed to; None where it isn't open.
    """

    allowed = ALLOWED
    writes: frozenset[bytes] = frozenset()

    def __init__(
        self,
        road: Road,
        config: model.Forward,
        destinations: Destinations,
        judge: Callable[[str, int], Reason | None],
        reverse: Reverse | None,
    ) -> None:
        self.road = road
        self.destinations = destinations
        self.reverse = reverse
        self.configure(config, judge)

    def configure(self, config: model.Forward, judge: Callable[[str, int], Reason | None]) -> None:
        """Take over a new configuration, from the next request on."""
        self.config = config
        self.judge = judge

        def welcome(address: str) -> bool:
            # A unix socket's clients are those who may open it.
            return not address or any(ip_address(address) in net for net in config.clients)

        self._welcome = lru_cache(1024)(welcome)

    def begin(self, stream: ClientStream, request: Request | Problem, framing: int) -> Exchange:
        exchange = Exchange(self.road, stream, self, "forward")
        if isinstance(request, Problem):
            exchange.fail(request)
            return exchange
        exchange.request = request
        if not self._welcome(exchange.peer.address):
            exchange.rule = "clients"
            exchange.fail(errors.REQUEST_DENIED.about(what="Your address"))
            return exchange
        target = self._target(exchange, request)
        if isinstance(target, Problem):
            exchange.fail(target)
            return exchange
        exchange.target = target
        if request.target == b"*":
            exchange.answer(Response(200, Fields([(b"Allow", ALLOWED)])))
        elif self._is_ours(request, target):
            assert self.reverse is not None
            exchange.service = self.reverse
            self.reverse.enter(exchange, request, target, framing)
        else:
            exchange.begin(request, target, framing)
        return exchange

    def _target(self, exchange: Exchange, request: Request) -> Target | Problem:
        target: Target | Problem
        if request.method == b"CONNECT":
            target = uri.tunnel(request.target)
            if isinstance(target, Target):
                ports = self.config.connect_ports
                if ports != "any" and target.port not in ports:
                    exchange.rule = "connect_ports"
                    return errors.REQUEST_DENIED.about(what=f"CONNECT to port {target.port}")
        elif request.target == b"*":
            if request.method != b"OPTIONS":
                return errors.BAD_REQUEST.about(why="only OPTIONS can be asked of *")
            target = uri.asterisk(request.fields.get(b"host") or b"localhost", "http")
        elif request.target.startswith(b"/"):
            return errors.NOT_A_PROXY_REQUEST
        else:
            target = uri.absolute(request.target)
        return target

    def _is_ours(self, request: Request, target: Target) -> bool:
        """Whether a route of the reverse proxy names the host: no detour over the network."""
        if self.reverse is None or request.method == b"CONNECT":
            return False
        if target.port not in self.reverse.ports and not target.has_default_port:
            return False
        return self.road.generation.routes.names(target.host)

    # -- the service ------------------------------------------------------------------

    def sides(self, exchange: Exchange) -> tuple[str, ...]:
        return ("forward",)

    def key(self, exchange: Exchange, target: Target) -> Key:
        return Key("open", target.received_url)

    def servers(self, exchange: Exchange) -> Iterator[Server] | Problem:
        target = exchange.target
        assert target is not None
        parents = exchange.generation.parents
        parent = exchange.parent
        ways = parents.ways(target.host) if parent is None else parents.way(parent)
        if ways.parents and (reason := self._judge_literal(target)) is not None:
            loop = reason is Reason.LOOP
            problem = errors.LOOP_DETECTED if loop else errors.DESTINATION_IP_PROHIBITED
            return problem.about(host=target.host)
        return self._ways(target, ways.parents, ways.direct)

    def _judge_literal(self, target: Target) -> Reason | None:
        """A name is resolved by the parent, out of our sight; an address is judged here."""
        try:
            ip_address(target.host)
        except ValueError:
            return None
        return self.judge(target.host, target.port)

    def _ways(self, target: Target, parents: tuple[Server, ...], direct: bool) -> Iterator[Server]:
        yield from parents
        if direct:
            yield self.destinations.at(target.scheme, target.host, target.port, self.judge)

    def request(self, exchange: Exchange, fields: Fields, server: Server) -> Request:
        request, target = exchange.request, exchange.target
        assert request is not None
        assert target is not None
        anonymity = self.config.anonymity
        # RFC 9112 §3.2.2: the host of the target, whatever Host said.
        if request.fields.get(b"host") != target.host_line[2]:
            fields.set(b"Host", target.host_line[2])
        if anonymity != "elite":
            fields.append(hops.via(request.version, self.road.pseudonym))
        if anonymity == "transparent" and (client := exchange.peer.address):
            before = fields.get(b"x-forwarded-for")
            told = client.encode() if before is None else before + b", " + client.encode()
            fields.set(b"X-Forwarded-For", told)
        if server.absolute:
            if server.authorization is not None:
                fields.set(b"Proxy-Authorization", server.authorization)
            form = target.received_url.encode("latin-1")
            if target.whole and request.method == b"OPTIONS":
                form = form.removesuffix(b"/")  # RFC 9112 §3.2.4
            return Request(request.method, form, fields)
        if target.whole and request.method == b"OPTIONS":
            return Request(request.method, b"*", fields)  # RFC 9112 §3.2.4
        return Request(request.method, target.received, fields)

    def rewritten(self, exchange: Exchange, target: Target) -> None:
        exchange.target = target

    def hides(self, exchange: Exchange) -> frozenset[bytes]:
        return _NOTHING

    def flavour(self, exchange: Exchange) -> Hashable:
        return "forward", self.config.anonymity

    def response(self, exchange: Exchange, response: Response) -> None:
        if self.config.anonymity == "elite":
            return
        if exchange.cached is not None and exchange.error is None:  # not an answer of our own
            response.fields.append(hops.via(response.version, self.road.pseudonym))

    def timeout(self, exchange: Exchange) -> float:
        return self.road.terms.timeouts.server

    def retries(self, exchange: Exchange) -> int:
        return 1

    def cloaks(self, exchange: Exchange) -> bool:
        return False
