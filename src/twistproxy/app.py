"""The whole proxy, built from a configuration; the only module that knows all rooms.

`Proxy.start` opens the listeners, `reload` swaps the generation, `drain` ends it in good order,
`snapshot` says how it is.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistproxy import __version__, admin, logs, policy
from twistproxy.admin.access_log import FORMATS, AccessLog, LogFile
from twistproxy.admin.api import Api
from twistproxy.cache.behind import Behind
from twistproxy.cache.cache import Cache
from twistproxy.cache.desk.desk import Desk
from twistproxy.cache.desk.warm import Warmer
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.config import load, model
from twistproxy.config.errors import Fault
from twistproxy.config.model import Config
from twistproxy.exchange import COMPILED, Exchange
from twistproxy.http import uri
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.http.pages import OwnPages
from twistproxy.lists.lists import Lists
from twistproxy.net import reactor as reactors
from twistproxy.net import tls
from twistproxy.net.addresses import Judge, own
from twistproxy.net.dial import Dialler, Reason
from twistproxy.net.listen import ListenFailed, addresses, listen
from twistproxy.net.sendfile import Sender
from twistproxy.net.splice import Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.net.throttle import Shaper
from twistproxy.policy.answers import Answers
from twistproxy.policy.countries import Countries
from twistproxy.policy.desk import Desk as PolicyDesk
from twistproxy.policy.limits.bandwidth import Bandwidths
from twistproxy.policy.limits.limits import Limits
from twistproxy.policy.parked import Parked
from twistproxy.policy.plan import Plan, PolicyError, compile_policy
from twistproxy.quota_file import QuotaFile
from twistproxy.road import Counts, Generation, Road
from twistproxy.services import own_pages
from twistproxy.services.forward import Forward
from twistproxy.services.reverse import Reverse
from twistproxy.upstream import Means, balance, parents, pool
from twistproxy.upstream.destinations import Destinations
from twistproxy.upstream.parents import Parents
from twistproxy.upstream.pool import Pools
from twistproxy.upstream.routing import table
from twistproxy.upstream.routing.table import RouteTable
from twistproxy.upstream.server import Server
from twistproxy.wire import Peer, Terms
from twistproxy.wire.clients import Clients
from twistproxy.wire.http1 import head
from twistproxy.wire.http1.client_leg import ClientLegs
from twistproxy.wire.nobody import Nobody

if TYPE_CHECKING:
    from twistproxy.admin.manhole import Manhole

_log = Logger()

#: Seconds between two looks at whether a drain is done.
_LOOK: Final = 0.05
#: Seconds after which what takes long is counted again.
SPENDING: Final = 5.0

T = TypeVar("T")


@frozen
class CannotRun(Exception):
    """Why the proxy can't listen where it was told to, one thing a line."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


class NotFetched(Exception):
    """There was no answer; the text is an error's name (RFC 9209)."""


@frozen
class Compiled:
    """What of a configuration needs no reactor, and no proxy to be part of."""

    policy: Plan
    routes: RouteTable
    certificates: tls.Certificates
    pages: OwnPages


def compile_config(
    config: Config,
    file: Path | None,
    now: float,
    before: Plan | None = None,
    means: policy.Means | None = None,
) -> Compiled:
    """Look at all that the values of a configuration lead to; opens and writes nothing.

    file: where it came from. now: seconds of the epoch. before: the policy it follows. means: what
    outlives that; None: nobody will be judged by this one.
    Raises `load.ConfigErrors`, all of them.
    """
    routes = config.reverse.route if config.reverse else ()
    pairs = config.reverse.tls if config.reverse else ()
    certificates = tls.load(map(_as_clients_name_it, pairs), now)
    faults = [
        Fault(("reverse", "tls", *where), str(error))
        for where, error in certificates.errors.items()
    ]
    faults += table.faults(routes)
    faults += pool.faults(config.pools)
    faults += parents.faults(config.forward.parent if config.forward else ())
    if config.manhole:
        # Not at the top: without the SSH library a start takes two thirds of the time.
        from twistproxy.admin import manhole

        faults += manhole.faults(config.manhole, config.state_dir)
    found = own_pages.find(
        config.errors.pages if config.errors else None,
        [rule.page for rule in config.policy.rule],
        Path() if file is None else file.parent,
    )
    faults += found.faults
    if means is None:
        means = means_alone(dict.fromkeys(config.policy.lists, policy.Unread()))
    if config.policy.countries is not None:
        try:
            means = evolve(means, countries=Countries(config.policy.countries))
        except ValueError as error:
            faults.append(Fault(("policy", "countries"), f"{config.policy.countries}: {error}"))
    try:
        plan = compile_policy(config.policy, before, means)
    except PolicyError as error:
        faults += error.faults
    if faults or found.mistakes:
        placed = load.placed(file, faults)
        raise load.ConfigErrors([*placed.errors, *found.mistakes])
    return Compiled(plan, RouteTable(routes), certificates, found.pages)


def means_alone(listed: Mapping[str, policy.Lookup]) -> policy.Means:
    """What a plan is made of by which nothing passes; listed: its lists."""
    bandwidths = Bandwidths(Shaper(Clock()))  # whose time stands still
    return policy.Means(limits=Limits().of, bandwidth=bandwidths.of, lists=listed)


class Proxy:
    """Everything of one process. reactor: with TCP, UNIX sockets, threads and time.

    file: where the configuration came from, to be read again by `reload`; None: the defaults.
    Raises `load.ConfigErrors`.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        file: Path | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.state = "starting"
        self._reactor = reactor
        self._file = file
        self._wall = wall
        self._ports: list[IListeningPort] = []
        self._forward_listeners: set[tuple[str, int]] = set()
        self._reverse_listeners: set[tuple[str, int]] = set()
        self._window_listeners: set[tuple[str, int]] = set()
        self._started = reactor.seconds()
        self.sweep = Sweep(reactor)
        self.terms = Terms(config.limits, config.timeouts)
        self.connections = Clients(self.terms, self.sweep)
        memory = MemoryStore(config.cache.memory, partial(reactor.callLater, 0))
        self._cache = Cache(memory, config.cache)
        self._behind = Behind(self._cache, reactor, wall)
        warmer = Warmer(self.fetch, partial(reactor.callLater, 0))
        self.cache = Desk(self._cache, warmer, wall, self._our_ports, self._who_may_answer)
        self._lists = Lists(reactor, config.state_dir / "lists", wall, random.Random())
        try:
            self._listed = self._lists.load(config.policy.lists)
        except OSError as error:
            raise load.placed(file, [_no_folder_of_lists(error)]) from None
        self._limits = Limits()
        self._bandwidths = Bandwidths(Shaper(reactor))
        self._quotas = QuotaFile(config.state_dir / "quotas.sqlite", self._limits, reactor, wall)
        self._reloading = DeferredLock()
        self._spending = LoopingCall(self._spend)
        self._spending.clock = reactor
        compiled = compile_config(config, file, wall(), None, self._policy_means(self._listed))
        self._access_log = self._open_log(config)
        dialler = Dialler(reactor)
        self._means = Means(dialler, self.sweep, self.terms, self._judge_loop)
        self._destinations = Destinations(self._means)
        self.road = Road(
            generation=self._generation(config, compiled, None),
            cache=self._cache,
            terms=self.terms,
            sweep=self.sweep,
            clock=reactor,
            wall=wall,
            record=self._record,
            pseudonym=f"twistproxy-{secrets.token_hex(4)}".encode(),
            ids=secrets.token_hex(4),
            counts=Counts(),
            exchanges=set(),
            splicer=Splicer(reactor),
            sender=Sender(reactor),
            names=dialler.names,
            parked=Parked(
                Answers(config.state_dir / "answers.toml", self._in_thread, wall),
                self.sweep,
                wall,
                partial(reactor.callLater, 0),
                self._notice,
            ),
        )
        self.policy = PolicyDesk(
            lambda: self.generation, reactor, wall, self._our_ports, self._in_thread
        )
        self._certificates = compiled.certificates
        self._server_tls = tls.ServerTls(self._certificates)
        self._reverse = Reverse(self.road) if config.reverse else None
        if self._reverse is not None:
            self._reverse.same_certificate = self._same_certificate
        self._forward = (
            Forward(
                self.road,
                config.forward,
                self._destinations,
                self._judge_of(config),
                self._reverse,
            )
            if config.forward
            else None
        )
        self._manhole: Manhole | None = None
        if config.manhole:
            from twistproxy.admin.manhole import Manhole

            self._manhole = Manhole(reactor, self, config.manhole, config.state_dir)
        self._api = Api(reactor, self, config.admin, config.state_dir)

    # -- what the windows look at -----------------------------------------------------

    @property
    def config(self) -> Config:
        return self.road.generation.config

    @property
    def generation(self) -> Generation:
        return self.road.generation

    @property
    def asks(self) -> Parked:
        """What waits for an operator."""
        return self.road.parked

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def lists(self) -> Lists:
        return self._lists

    @property
    def pools(self) -> object:
        return self.road.generation.pools

    @property
    def parents(self) -> object:
        return self.road.generation.parents

    def snapshot(self) -> dict[str, Any]:
        """All there is to know, as plain values. Sizes in bytes, times in seconds."""
        generation, counts = self.road.generation, self.road.counts
        return {
            "version": __version__,
            "compiled": COMPILED,
            "pid": os.getpid(),
            "uptime": round(self._reactor.seconds() - self._started, 3),
            "reactor": reactors.name(self._reactor),
            "state": self.state,
            "generation": generation.number,
            "exchanges": {
                "total": counts.total,
                "active": counts.active,
                "forward": counts.forward,
                "reverse": counts.reverse,
                "background": counts.background,
                "tunnels": counts.tunnels,
                "errors": counts.errors,
                "retried": counts.retried,
                "bytes_in": counts.bytes_in,
                "bytes_out": counts.bytes_out,
            },
            "cache": self.cache.snapshot(),
            "policy": generation.policy.snapshot(),
            "lists": self._lists.snapshot(),
            "limits": self._limits.snapshot(),
            "bandwidths": self._bandwidths.snapshot(),
            "quotas": self._quotas.snapshot(),
            "asks": self.road.parked.snapshot(),
            "pools": generation.pools.snapshot(),
            "parents": generation.parents.snapshot(),
            "destinations": self._destinations.snapshot(),
            "connections": self.connections.snapshot(),
            "host_names": uri.names_kept(),
            "targets": uri.targets_kept(),
            "field_lines": head.lines_kept(),
            "splice": self.road.splicer.snapshot(),
            "sendfile": self.road.sender.snapshot(),
            "manhole": {"sessions": self._manhole.sessions if self._manhole else 0},
            "tls": {"warnings": list(self._certificates.warnings)},
            "log": self._access_log.snapshot(),
        }

    def __repr__(self) -> str:
        snapshot = self.snapshot()
        exchanges = snapshot["exchanges"]
        return (
            f"twistproxy {__version__}, {self.state}, generation {snapshot['generation']}, "
            f"on {snapshot['reactor']}, up {snapshot['uptime']:.0f} s: "
            f"{exchanges['total']} exchanges, {exchanges['active']} active"
        )

    def fetch(self, url: str) -> Deferred[int]:
        """Ask for a URL on the road, as a client on this machine would, for the cache's sake.

        Fires with the answer's status, fails with `NotFetched` where there is none. Raises
        ValueError for what is no http URL.
        """
        target = uri.absolute(url.encode("latin-1", "replace"))
        if isinstance(target, Problem):
            raise ValueError(target.text)
        over: Deferred[None] = Deferred()
        peer = Peer("127.0.0.1", 0, 0, tls=target.scheme == "https")
        door: Forward | Reverse | None = self._forward  # which knows hosts of the reverse side
        if self._reverse is not None and (door is None or target.port in self._our_ports()):
            door = self._reverse
        assert door is not None
        request = Request(b"GET", target.url.encode(), Fields([(b"Host", target.host_line[2])]))
        exchange = door.begin(Nobody(peer, lambda: over.callback(None)), request, 0)

        def status(_: None) -> int:
            if exchange.error is not None:
                raise NotFetched(exchange.error)
            return exchange.status

        return over.addCallback(status)

    def _our_ports(self) -> set[int]:
        return self._reverse.ports if self._reverse is not None else set()

    def _who_may_answer(self) -> list[str]:
        """As the keys of the cache have it."""
        return ["open", *(f"pool:{name}" for name in self.config.pools)]

    # -- start and end ----------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Open every listener. Needs no turn of the reactor: it has fired when this returns.

        Fails with CannotRun; what could be opened is being closed again.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        reactors.raise_file_limit()
        self.sweep.start()
        self._behind.configure(self.config.cache)
        self.road.parked.answers.load()
        self._quotas.start()
        self._spending.start(SPENDING, now=False)
        errors = []
        for description, factory, server_tls, listeners in self._doors():
            try:
                port = await listen(self._reactor, description, factory, server_tls)
            except ListenFailed as error:
                errors.append(str(error))
                continue
            self._ports.append(port)
            listeners.add(addresses(port))
        if self._reverse is not None:
            self._reverse.ports = {number for _, number in self._reverse_listeners if number}
        windows: list[Manhole | Api] = [self._manhole] if self._manhole else []
        for window in (*windows, self._api):
            try:
                opened = await window.start()
            except (ListenFailed, admin.WindowError) as error:
                errors.append(str(error))
                continue
            if opened is not None:
                self._window_listeners.add(addresses(opened))
        if not errors:
            try:
                await self._api.open_socket()
            except ListenFailed as error:
                errors.append(str(error))
        if errors:
            # Not awaited: it takes turns of the reactor, which may never get any.
            ensureDeferred(self._close())
            raise CannotRun(tuple(errors))
        self._lists.use(self._listed)
        self.state = "ready"

    def _doors(
        self,
    ) -> Iterator[tuple[str, ClientLegs, tls.ServerTls | None, set[tuple[str, int]]]]:
        """What to listen on, who answers there, over which TLS, and where its address is noted."""

        def legs(door: Forward | Reverse, side: str, tls: bool = False) -> ClientLegs:
            return ClientLegs(door, side, self.terms, self.sweep, self.connections, tls=tls)

        config = self.config
        if config.forward and self._forward:
            plain = legs(self._forward, "forward")
            for text in config.forward.listen:
                yield text, plain, None, self._forward_listeners
        if config.reverse and self._reverse:
            plain = legs(self._reverse, "reverse")
            for text in config.reverse.listen:
                yield text, plain, None, self._reverse_listeners
            secured = legs(self._reverse, "reverse", True)
            for text in config.reverse.tls_listen:
                yield text, secured, self._server_tls, self._reverse_listeners

    def drain(self) -> Deferred[None]:
        """Take no more, answer what there is (`timeouts.drain`), then close everything."""
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        self.state = "draining"
        _log.info(
            "Draining, {seconds:g} s at most; exchanges under way: {exchanges}",
            exchanges=len(self.road.exchanges),
            seconds=self.terms.timeouts.drain,
        )
        self.terms.draining = True
        self.road.parked.drain()
        await self._stop_listening()
        self.connections.drain()
        deadline = self._reactor.seconds() + self.terms.timeouts.drain
        while len(self.connections) and self._reactor.seconds() < deadline:
            if self.state == "stopping":
                break
            await deferLater(self._reactor, _LOOK)
        left = len(self.road.exchanges)
        if left:
            _log.warn("{left} exchanges did not end in time", left=left)
        await self._close()

    def hurry(self) -> None:
        """End a drain now."""
        self.state = "stopping"

    async def _close(self) -> None:
        await self._stop_listening()
        for exchange in list(self.road.exchanges):
            exchange.abort()
        self.connections.abort()
        for server in _servers(self.road.generation) | self._destinations.servers():
            server.close()
        if self._manhole is not None:
            await self._manhole.stop()
        await self._api.stop()
        self.cache.warmer.stop()
        self.policy.stop()
        self._lists.stop()
        if self._spending.running:
            self._spending.stop()
        await self.road.parked.close()
        await self._quotas.stop()
        await self._behind.close()
        self._cache.close()
        self.road.splicer.close()
        self.sweep.stop()
        self._access_log.close()

    async def _stop_listening(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            stopping = port.stopListening()
            if isinstance(stopping, Deferred):
                await stopping

    # -- change -----------------------------------------------------------------------

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again; fires with what to tell. No connection is cut.

        Fails with `admin.ReloadFailed`, and nothing has changed. Listeners stay as they are.
        """
        return self._reloading.run(lambda: ensureDeferred(self._reload()))

    async def _reload(self) -> list[str]:
        before = self.road.generation
        try:
            config = self._read()
            try:
                listed = await self._lists.prepare(config.policy.lists)
            except OSError as error:
                raise load.placed(self._file, [_no_folder_of_lists(error)]) from None
            compiled = self._compiled(config, before, listed)
            kept, needs_restart = _keep_listeners(before.config, config)
            if needs_restart:
                compiled = self._compiled(kept, before, listed)
            generation = self._generation(kept, compiled, before)
            access_log = None
            if kept.log.access != before.config.log.access:
                access_log = self._open_log(kept)
        except load.ConfigErrors as error:
            self._limits.forget_unused(before.config.policy.rule)
            self._bandwidths.forget_unused(before.config.policy.rule)
            raise admin.ReloadFailed(str(error)) from None
        if access_log is not None:
            self._access_log.close()
            self._access_log = access_log
        else:
            self._access_log.reopen()
        self.terms.limits, self.terms.timeouts = kept.limits, kept.timeouts
        self._cache.configure(kept.cache)
        self._behind.configure(kept.cache)
        self._certificates = compiled.certificates
        self._server_tls.replace(compiled.certificates)
        if self._forward is not None and kept.forward is not None:
            unchanged = kept.forward.allow_private == (
                before.config.forward and before.config.forward.allow_private
            )
            judge = self._forward.judge if unchanged else self._judge_of(kept)
            self._forward.configure(kept.forward, judge)
        self.road.generation = generation
        self._lists.use(listed)
        self._limits.forget_unused(kept.policy.rule)
        self._bandwidths.forget_unused(kept.policy.rule)
        self.road.parked.reconsider()
        self.policy.follow()
        for server in _servers(before) - _servers(generation):
            server.close()
        logs.again(kept.log.level)
        changed = _differences(before.config, kept) or [
            "nothing yet" if needs_restart else "nothing"
        ]
        told = f"generation {generation.number}; changed: {', '.join(changed)}"
        _log.info("Reloaded: {told}", told=told)
        for line in needs_restart:
            _log.warn("{line}", line=line)
        return [told, *needs_restart]

    def _compiled(
        self, config: Config, before: Generation, listed: Mapping[str, policy.Lookup]
    ) -> Compiled:
        means = self._policy_means(listed)
        return compile_config(config, self._file, self._wall(), before.policy, means)

    def _policy_means(self, listed: Mapping[str, policy.Lookup]) -> policy.Means:
        limits, bandwidths = self._limits, self._bandwidths
        return policy.Means(limits=limits.of, bandwidth=bandwidths.of, lists=listed)

    def _notice(self, text: str) -> None:
        """Tell whoever sits at a console."""
        if self._manhole is not None:
            self._manhole.notice(text)

    def _spend(self) -> None:
        """What takes long counts while it does."""
        for exchange in list(self.road.exchanges):
            exchange.spend()

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def _read(self) -> Config:
        if self._file is None:
            return load.defaults(os.environ)
        return load.load(self._file, os.environ, balancers=balance.names())

    def _generation(
        self, config: Config, compiled: Compiled, before: Generation | None
    ) -> Generation:
        forward = config.forward.parent if config.forward else ()
        for warning in compiled.certificates.warnings:
            _log.warn("{warning}", warning=warning)
        return Generation(
            number=before.number + 1 if before else 1,
            config=config,
            policy=compiled.policy,
            routes=compiled.routes,
            pools=Pools(config.pools, self._means, before.pools if before else None),
            parents=Parents(forward, self._means, before.parents if before else None),
            pages=compiled.pages,
        )

    def _open_log(self, config: Config) -> AccessLog:
        access = config.log.access
        try:
            target = LogFile(access.file)
        except OSError as error:
            fault = Fault(("log", "access", "file"), f"{access.file}: {error.strerror}")
            raise load.placed(self._file, [fault]) from None
        return AccessLog(target, FORMATS[access.format], self._reactor)

    # -- judgements -------------------------------------------------------------------

    def _judge_loop(self, address: str, port: int) -> Reason | None:
        """What even a server that the operator chose must not be: ourselves."""
        return Reason.LOOP if own(address, port, self._forward_listeners) else None

    def _judge_of(self, config: Config) -> Callable[[str, int], Reason | None]:
        assert config.forward is not None
        windows = self._window_listeners
        judge = Judge(
            config.forward.allow_private, lambda address, port: own(address, port, windows)
        )

        def judged(address: str, port: int) -> Reason | None:
            loop = self._judge_loop(address, port)
            if loop is not None or judge.allows(address, port):
                return loop
            return Reason.PROHIBITED

        return judged

    def _same_certificate(self, one: str, other: str) -> bool:
        certificates = self._certificates
        return certificates.choose(one) is certificates.choose(other)

    def _record(self, exchange: Exchange) -> None:
        """An exchange is over: one line of the access log."""
        now = self._reactor.seconds()
        self._access_log.write(exchange, self._wall(), now - exchange.started)


def _no_folder_of_lists(error: OSError) -> Fault:
    return Fault(("state_dir",), f"lists can't be kept there: {error}")


def _as_clients_name_it(pair: model.Certificate) -> model.Certificate:
    """A certificate whose hosts are in normal form, as they are in a client's SNI."""
    with suppress(ValueError):  # no host: nobody asks for it
        return evolve(pair, hosts=tuple(map(uri.host_pattern, pair.hosts)))
    return pair


def _servers(generation: Generation) -> set[Server]:
    return generation.pools.servers() | generation.parents.servers()


def _differences(before: Config, after: Config) -> list[str]:
    names = [each.name for each in Config.__attrs_attrs__]
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _keep_listeners(before: Config, after: Config) -> tuple[Config, list[str]]:
    """The new configuration on the old listeners, and what of it has to wait for a restart."""
    waiting = []
    changes: dict[str, Any] = {}
    for side, keys in (("forward", ("listen",)), ("reverse", ("listen", "tls_listen"))):
        old, new = getattr(before, side), getattr(after, side)
        if (old is None) != (new is None):
            waiting.append(f"{side}: {'opens' if old is None else 'closes'} with a restart")
            changes[side] = old
            # Until then its routes need their pools.
            changes["pools"] = {**before.pools, **after.pools}
        elif old is not None:
            differ = [key for key in keys if getattr(old, key) != getattr(new, key)]
            waiting += [f"{side}.{key}: changes with a restart" for key in differ]
            changes[side] = evolve(new, **{key: getattr(old, key) for key in differ})
            if "tls_listen" in differ and not new.tls:
                changes[side] = evolve(changes[side], tls=old.tls)
    for name in ("manhole", "admin", "state_dir"):
        if getattr(before, name) != getattr(after, name):
            waiting.append(f"{name}: changes with a restart")
            changes[name] = getattr(before, name)
    return evolve(after, **changes), waiting
