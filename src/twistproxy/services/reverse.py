"""The reverse proxy: hides the servers. A route leads from host and path to a pool."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final

from twistproxy.cache.stored import Key
from twistproxy.config import model
from twistproxy.exchange import Exchange
from twistproxy.http import errors, forwarded, hops, uri
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.http.uri import Target
from twistproxy.road import Road
from twistproxy.upstream.server import Server
from twistproxy.wire import ClientStream, Peer

#: What tells which software a server runs.
_OF_THE_SERVER: Final = frozenset({
    b"server", b"via", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version",
    b"x-generator", b"x-runtime", b"x-backend-server", b"x-served-by", b"x-varnish",
    b"x-server", b"x-cache", b"x-cache-hits", b"cache-status", b"proxy-status",
})  # fmt: skip
_NOTHING: Final[frozenset[bytes]] = frozenset()
_NOBODY: Final = forwarded.Told("")

ALLOWED: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Reverse:
    """A `Door` and a `Service`.

    ports: the ports that its listeners have, which a client may name or not.
    same_certificate: whether two hosts are shown the same certificate.
    """

    allowed = ALLOWED
    writes = forwarded.WRITTEN_OVER

    def __init__(self, road: Road) -> None:
        self.road = road
        self.ports: set[int] = set()
        self.same_certificate: Callable[[str, str], bool] = lambda one, other: True

    def begin(self, stream: ClientStream, request: Request | Problem, framing: int) -> Exchange:
        exchange = Exchange(self.road, stream, self, "reverse")
        if isinstance(request, Problem):
            exchange.fail(request)
            return exchange
        exchange.request = request
        peer = exchange.peer
        told = exchange.told = forwarded.client_of(
            peer.address, request.fields, self._config(exchange).trusted_proxies
        )
        exchange.client = told.client
        target = self._target(request, peer, told.scheme)
        if isinstance(target, Problem):
            exchange.fail(target)
        elif request.target == b"*":
            exchange.answer(Response(200, Fields([(b"Allow", ALLOWED)])))
        else:
            self.enter(exchange, request, target, framing)
        return exchange

    def enter(self, exchange: Exchange, request: Request, target: Target, framing: int) -> None:
        """Set out with a target of ours, from this door or handed over from the forward one."""
        exchange.authority = target.authority
        exchange.target = target = self._without_our_port(target)
        if target.host and request.fields.get(b"host") != target.host_line[2]:
            # Servers are asked for what rules, routes and cache saw, however it was spelt.
            request.fields.set(b"Host", target.host_line[2])
        exchange.route = exchange.generation.routes.match(target)
        exchange.begin(request, target, framing)

    def _target(self, request: Request, peer: Peer, told_scheme: str | None) -> Target | Problem:
        scheme = told_scheme or ("https" if peer.tls else "http")
        host = request.fields.get(b"host")
        if request.method == b"CONNECT":
            return errors.METHOD_NOT_ALLOWED.about(method="CONNECT")
        if request.target == b"*" and request.method != b"OPTIONS":
            return errors.BAD_REQUEST.about(why="only OPTIONS can be asked of *")
        if request.target.startswith(b"/") or request.target == b"*":
            path = b"/" if request.target == b"*" else request.target
            # HTTP/1.0 needs no Host: then only a route for any host takes it.
            target = uri.nameless(path, scheme) if host is None else uri.origin(path, host, scheme)
        else:
            target = uri.absolute(request.target)  # RFC 9112 §3.2.2: a server must take it
        if isinstance(target, Problem):
            return target
        if target.scheme == "https" != scheme:  # RFC 9110 §7.4
            return errors.BAD_REQUEST.about(why="https is asked for on a connection without TLS")
        misdirected = (
            peer.sni is not None
            and target.host not in ("", peer.sni)
            and not self.same_certificate(peer.sni, target.host)
        )
        if misdirected:
            return errors.MISDIRECTED.about(host=target.host)
        return target

    def _without_our_port(self, target: Target) -> Target:
        """The ports that we listen on are ways to the same resource."""
        return target.on_default_port() if target.port in self.ports else target

    def _config(self, exchange: Exchange) -> model.Reverse:
        config = exchange.generation.config.reverse
        assert config is not None
        return config

    # -- the service ------------------------------------------------------------------

    def sides(self, exchange: Exchange) -> tuple[str, ...]:
        return ("forward", "reverse") if exchange.side == "forward" else ("reverse",)

    def key(self, exchange: Exchange, target: Target) -> Key | Problem:
        route = exchange.route
        if target is not exchange.target:
            route = exchange.generation.routes.match(target)
        if route is None:
            return errors.NOT_FOUND.about(url=target.url)
        who = f"pool:{route.pool}"
        # What a trusted proxy told is told on: the answer may be made for that name.
        told = exchange.told.host if exchange.told is not None else None
        return Key(who if told in (None, target.authority) else f"{who} as {told}", target.url)

    def servers(self, exchange: Exchange) -> Iterator[Server] | Problem:
        return exchange.generation.pools[exchange.route.pool].order(exchange.client.encode())

    def request(self, exchange: Exchange, fields: Fields, server: Server) -> Request:
        request, target, told = exchange.request, exchange.target, exchange.told
        assert request is not None
        assert target is not None
        host = request.fields.get(b"host")
        if not host:
            host = server.place.authority.encode()
            fields.set(b"Host", host)
        peer = exchange.peer.address
        if exchange.side == "forward":
            # A forward client stays unknown unless `anonymity` names it.
            forward = exchange.generation.config.forward
            if forward is None or forward.anonymity != "transparent":
                peer = ""
        if spellings := forwarded.other_spellings(request.fields):
            fields.remove(*spellings)
        lines = forwarded.lines(
            told or _NOBODY, peer=peer, scheme=target.scheme, host=host.decode("latin-1")
        )
        fields.append(*lines, hops.via(request.version, self.road.pseudonym))
        if target.whole and request.method == b"OPTIONS":
            return Request(request.method, b"*", fields)  # RFC 9112 §3.2.4
        prefix = exchange.route.strip_prefix
        if prefix is None:
            return Request(request.method, target.normal, fields)
        path = _below(prefix, target.path)
        if target.query is not None:
            path = f"{path}?{target.query}"
        return Request(request.method, path.encode("ascii"), fields)

    def rewritten(self, exchange: Exchange, target: Target) -> None:
        exchange.target = target = self._without_our_port(target)
        request = exchange.request
        if request is not None and target.host:
            request.fields.set(b"Host", target.host_line[2])
        exchange.route = exchange.generation.routes.match(target)

    def hides(self, exchange: Exchange) -> frozenset[bytes]:
        return _OF_THE_SERVER if self.cloaks(exchange) else _NOTHING

    def flavour(self, exchange: Exchange) -> Hashable:
        return "reverse", self.cloaks(exchange)

    def response(self, exchange: Exchange, response: Response) -> None:
        if b"location" in response.fields:
            self._send_back(exchange, response)

    def _send_back(self, exchange: Exchange, response: Response) -> None:
        """A server that sends its client to itself does not know how the client came here."""
        location, target = response.fields.get(b"location"), exchange.target
        if location is None or target is None or exchange.route is None or not target.host:
            return
        there = f"{target.scheme}://{exchange.authority}"
        # As it is asked, which lacks our port; and as it is called in the pool.
        ways = {f"{target.scheme}://{target.authority}/": f"{there}/"}
        prefix = _folder(exchange.route.strip_prefix or "")
        for server in exchange.generation.pools[exchange.route.pool].servers:
            place = server.place
            ways[f"{place.url}/"] = ways[f"{place.plain_url}/"] = f"{there}{prefix}/"
        for itself, outside in ways.items():
            if location.startswith(itself.encode()):
                path = location[len(itself) :]
                response.fields.set(b"Location", outside.encode() + path)
                return

    def timeout(self, exchange: Exchange) -> float:
        timeout: float | None = exchange.route.timeout
        return self.road.terms.timeouts.server if timeout is None else timeout

    def retries(self, exchange: Exchange) -> int:
        retries: int = exchange.route.retries
        return retries

    def cloaks(self, exchange: Exchange) -> bool:
        config = exchange.generation.config.reverse
        return config is None or config.cloak


def _below(prefix: str, path: str) -> str:
    """The path without a prefix of whole segments: what is below "/api" is not "/apix"."""
    above = _folder(prefix)
    return path[len(above) :] or "/" if f"{path}/".startswith(f"{above}/") else path


@lru_cache(256)
def _folder(prefix: str) -> str:
    """In normal form, without a slash at its end."""
    with suppress(ValueError):  # half an escape: no path begins with it
        prefix = uri.path_prefix(prefix)
    return prefix.rstrip("/")
