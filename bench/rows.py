"""The rows: what is asked, of whom, and what must be reached.

A ratio to a peer is to the tuned one, unless the row names both. "per answer" and "per GB" are the
CPU of the proxy's whole process tree.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from bench import crowd, origin
from bench.load import CONNECTIONS, Load, handshakes, tunnels, wrk
from bench.machine import HERE, Invalid
from bench.measure import Figures, LoadOf, Measure, Row, Settings, Subject, Target, per_answer
from bench.peers.twistproxy import PAUSES

#: Figures of a load, as printed; what each is stands in report.py.
PER_ANSWER = ("cpu_us", "per_s", "p50_ms", "p99_ms", "busy", "memory_mb")
PER_GB = ("cpu_s_per_gb", "gb_per_s", "busy", "memory_mb")

CROWD = 10_000
OBJECTS = 200_000
SLOW_CLIENTS = 2_000
AT_ONCE = 50
#: A rate that our own client keeps without being what is measured, requests a second.
STEADY = 4_000


def from_where_it_should(path: str, load: LoadOf) -> LoadOf:
    """`load`, held against what the server was asked meanwhile: each time, or hardly ever."""

    def checked(subject: Subject, settings: Settings) -> Load:
        before = origin.requests(subject.origin)
        found = load(subject, settings)
        asked = origin.requests(subject.origin) - before
        if path.startswith("/fresh/") and asked < found.answers:
            raise Invalid(f"{found.answers} answers, but the server was asked {asked} times")
        # At first all connections may ask for what nobody has stored yet.
        if path.startswith("/kept/") and asked > 2 * CONNECTIONS:
            raise Invalid(f"the server was asked {asked} times for what should be in the cache")
        return found

    return checked


def asked_by_wrk(door: str, path: str, **choices: object) -> Measure:
    def load(subject: Subject, settings: Settings) -> Load:
        return wrk(subject.ask(door, path), settings.seconds, choices)

    return per_answer(from_where_it_should(path, load))


def asked_after_handshakes(path: str) -> Measure:
    def load(subject: Subject, settings: Settings) -> Load:
        return handshakes(subject.ask("tls", path), settings.seconds)

    return per_answer(from_where_it_should(path, load))


def asked_in_tunnels(path: str, threads: int) -> Measure:
    """By CONNECT where the peer knows it, else through its relay."""

    def load(subject: Subject, settings: Settings) -> Load:
        connects = "forward" in subject.peer.doors
        port = subject.place.ports["forward" if connects else "relay"]
        ask = replace(subject.ask("relay", path), port=port)
        return tunnels(ask, subject.origin if connects else None, settings.seconds, threads)

    return per_answer(from_where_it_should(path, load))


def _idle(door: str, subject: Subject, settings: Settings) -> Figures:
    count = settings.count(CROWD)
    each = crowd.run(crowd.idle(subject.ask(door, "/kept/1k"), count, subject.memory))
    return {"kb_each": each / 1e3, "connections": count}


def _collapse(subject: Subject, settings: Settings) -> Figures:
    """What many ask for at once is asked of the server once."""

    def load(subject: Subject, settings: Settings) -> Load:
        ask = subject.ask("http", "/kept/100k")
        before = origin.requests(subject.origin)
        found, rounds = crowd.run(crowd.at_once(ask, AT_ONCE, settings.seconds))
        asked = origin.requests(subject.origin) - before
        # And what the connections asked for as they were opened, perhaps before it was stored.
        if asked > rounds * 1.02 + AT_ONCE:
            raise Invalid(f"the server was asked {asked} times in {rounds} rounds")
        return found

    return per_answer(load)(subject, settings)


def _open(subject: Subject, settings: Settings) -> Figures:
    """What it can do is asked of it first, for a second; at most STEADY is asked of it then."""
    ask = subject.ask("http", "/fresh/1k")
    most = wrk(ask, min(2, settings.seconds))
    # A turn takes a second at least: where there are few, a pause of ours is not the proxy's.
    rate = min(STEADY, most.answers / most.seconds / 2, settings.count(CROWD))

    def load(subject: Subject, settings: Settings) -> Load:
        count = settings.count(CROWD)
        return crowd.run(crowd.paced(ask, count, rate, settings.seconds))

    return {**per_answer(load)(subject, settings), "connections": settings.count(CROWD)}


def _slow(subject: Subject, settings: Settings) -> Figures:
    small, large = subject.ask("http", "/fresh/1k"), subject.ask("http", "/fresh/4m")
    count = settings.count(SLOW_CLIENTS)
    settle = 1.0 if settings.smoke else 15.0
    seconds = settings.seconds * 2

    def load(_: Subject, __: Settings) -> Load:
        return crowd.run(crowd.beside_slow(small, large, count, settle, seconds))

    return {**per_answer(load)(subject, settings), "connections": count}


def _collections(subject: Subject) -> list[float]:
    """Seconds that each has taken so far."""
    lines = (subject.folder / PAUSES).read_text().splitlines()
    return [float(line.split()[1]) for line in lines]


def _pauses(subject: Subject, settings: Settings) -> Figures:
    """Fill the cache, ask for what is in it and for more, then leave it alone for a while.

    The last since a collection of everything waits until there is nothing to do.
    """
    begun = time.monotonic()
    # Those of the start came before the first answer.
    seen = len(_collections(subject))
    objects = settings.count(OBJECTS)
    ask = subject.ask("http", "/kept/1k")
    stored = 0
    while stored < objects:
        filled = wrk(ask, settings.seconds, {"from": stored + 1, "to": 10**9})
        stored += filled.answers
    load = wrk(ask, settings.seconds, {"from": stored // 2, "to": stored + objects})
    if not settings.smoke:
        # SELDOM of twistproxy.garbage, and some seconds without a request.
        time.sleep(max(3.0, 63.0 - (time.monotonic() - begun)))
    pauses = _collections(subject)[seen:]
    return {
        "pause_ms": max(pauses, default=0.0) * 1e3,
        "p99_ms": load.p99 * 1e3,
        "max_ms": load.worst * 1e3,
        "collections": len(pauses),
        "objects": stored,
    }


def _start(subject: Subject, settings: Settings) -> Figures:
    return {"start_s": subject.restart()}


def cpu(limit: float, peer: str) -> Target:
    return Target("cpu_us", limit, peer)


ROWS = (
    Row(
        "proxied",
        "1 KB proxied, client connections kept",
        (
            "twistproxy",
            "twistproxy pure",
            "nginx",
            "nginx tuned",
            "HAProxy",
            "HAProxy tuned",
            "Varnish",
            "twisted.web.proxy",
            "blind relay",
        ),
        asked_by_wrk("http", "/fresh/1k"),
        PER_ANSWER,
        (cpu(1.3, "nginx tuned"), cpu(1.3, "HAProxy tuned"), cpu(1.9, "blind relay")),
    ),
    Row(
        "heads",
        "1 KB proxied, heads as browsers send them",
        ("twistproxy", "twistproxy pure", "nginx", "nginx tuned"),
        asked_by_wrk("http", "/fresh/1k", heads=HERE / "heads.lua"),
        PER_ANSWER,
        (cpu(1.4, "nginx tuned"),),
    ),
    Row(
        "connections",
        "1 KB proxied, a new client connection each time",
        ("twistproxy", "twistproxy pure", "nginx", "nginx tuned"),
        asked_by_wrk("http", "/fresh/1k", close=1),
        PER_ANSWER,
        (cpu(1.5, "nginx tuned"),),
    ),
    Row(
        "forward",
        "1 KB asked of a forward proxy",
        ("twistproxy", "twistproxy pure", "Squid", "Squid tuned", "mitmproxy", "proxy.py"),
        asked_by_wrk("forward", "/fresh/1k"),
        PER_ANSWER,
        (cpu(1.0, "Squid tuned"), cpu(0.1, "mitmproxy"), cpu(0.3, "proxy.py")),
    ),
    Row(
        "hit",
        "1 KB out of the cache",
        (
            "twistproxy",
            "twistproxy pure",
            "nginx",
            "nginx tuned",
            "Squid",
            "Squid tuned",
            "Varnish",
            "Varnish tuned",
        ),
        asked_by_wrk("http", "/kept/1k"),
        PER_ANSWER,
        (cpu(0.8, "nginx tuned"), cpu(0.5, "Squid tuned"), cpu(1.0, "Varnish tuned")),
    ),
    Row(
        "hit-100k",
        "100 KB out of the cache",
        ("twistproxy", "twistproxy pure", "nginx", "nginx tuned", "Squid tuned", "Varnish tuned"),
        asked_by_wrk("http", "/kept/100k"),
        PER_ANSWER,
        (cpu(1.0, "nginx tuned"),),
    ),
    Row(
        "collapse",
        "100 KB that nobody has stored, asked for by 50 at once",
        ("twistproxy", "twistproxy pure", "nginx tuned", "Squid tuned", "Varnish tuned"),
        _collapse,
        PER_ANSWER,
    ),
    Row(
        "disk-hit",
        "1 MB out of the cache on a disk",
        ("twistproxy on disk", "nginx", "nginx tuned"),
        asked_by_wrk("http", "/kept/1m"),
        PER_ANSWER,
        (cpu(1.2, "nginx tuned"),),
    ),
    Row(
        "tls-hit",
        "1 KB out of the cache over TLS, connections kept",
        ("twistproxy", "twistproxy pure", "nginx", "nginx tuned"),
        asked_by_wrk("tls", "/kept/1k"),
        PER_ANSWER,
        (cpu(1.2, "nginx tuned"),),
    ),
    Row(
        "handshakes",
        "A full TLS 1.3 handshake (P-256) and 1 KB out of the cache",
        ("twistproxy", "twistproxy pure", "nginx", "nginx tuned"),
        asked_after_handshakes("/kept/1k"),
        PER_ANSWER,
        (cpu(1.5, "nginx tuned"),),
    ),
    Row(
        "tunnel",
        "100 MB through a tunnel",
        ("twistproxy", "twistproxy pure", "HAProxy", "HAProxy tuned", "Squid", "proxy.py"),
        asked_in_tunnels("/fresh/100m", threads=1),
        PER_GB,
        (
            Target("cpu_s_per_gb", 0.5, "HAProxy"),
            Target("cpu_s_per_gb", 1.2, "HAProxy tuned"),
            Target("cpu_s_per_gb", 0.35, "Squid"),
        ),
    ),
    Row(
        "tunnels",
        "New CONNECT tunnels, 1 KB through each",
        ("twistproxy", "twistproxy pure", "Squid", "Squid tuned"),
        asked_in_tunnels("/fresh/1k", threads=8),
        PER_ANSWER,
        (Target("per_s", 1.0, "Squid tuned", at_least=True),),
    ),
    Row(
        "gc",
        "Garbage collection with 200,000 objects in the cache",
        ("twistproxy watched",),
        _pauses,
        ("pause_ms", "p99_ms", "max_ms", "collections", "objects", "memory_mb"),
        (Target("pause_ms", 20.0),),
        rounds=1,
    ),
    Row(
        "idle",
        "An idle connection, of 10,000",
        ("twistproxy", "nginx tuned", "HAProxy tuned", "Squid tuned"),
        partial(_idle, "http"),
        ("kb_each", "connections", "memory_mb"),
        (Target("kb_each", 6.0),),
        rounds=1,
    ),
    Row(
        "idle-tls",
        "An idle connection over TLS, of 10,000",
        ("twistproxy", "nginx tuned"),
        partial(_idle, "tls"),
        ("kb_each", "connections", "memory_mb"),
        (Target("kb_each", 32.0),),
        rounds=1,
    ),
    Row(
        "open",
        "1 KB proxied at half load over 10,000 open connections",
        ("twistproxy", "nginx tuned"),
        _open,
        ("p99_ms", "p50_ms", "max_ms", "per_s", "connections"),
        (Target("p99_ms", 100.0),),
        rounds=1,
    ),
    Row(
        "slow",
        "1 KB proxied for one client beside 2,000 slow ones",
        ("twistproxy", "nginx tuned"),
        _slow,
        ("p99_ms", "p50_ms", "max_ms", "per_s", "connections"),
        (Target("p99_ms", 200.0),),
        rounds=1,
    ),
    Row(
        "start",
        "From start to the first answer",
        (
            "twistproxy",
            "twistproxy pure",
            "nginx tuned",
            "HAProxy tuned",
            "Squid tuned",
            "Varnish tuned",
            "mitmproxy",
            "proxy.py",
            "twisted.web.proxy",
        ),
        _start,
        ("start_s",),
        (Target("start_s", 1.0),),
    ),
)
