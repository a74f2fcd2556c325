"""What a user can write, as frozen classes: one attribute is one key.

An attribute's docstring-like ``help`` in its metadata is the reference's text, ``issue``-free:
a key that is not here is refused. Sizes are ints (bytes), durations floats (seconds).
Knows the names, not what they do.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, NewType

from attrs import field, frozen

Size = NewType("Size", int)  #: bytes, written "64KiB"
Duration = NewType("Duration", float)  #: seconds, written "5s"
Endpoint = NewType("Endpoint", str)  #: a Twisted server endpoint string
Pattern = NewType("Pattern", str)  #: an RE2 pattern, compiled once to see that it can be
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@frozen(kw_only=True)
class Parent:
    """Another proxy that requests leave through."""

    name: str
    url: str = field(repr=False)  # may hold credentials
    hosts: tuple[str, ...] = ()
    fail: Literal["closed", "open"] = "closed"


@frozen(kw_only=True)
class Forward:
    listen: tuple[Endpoint, ...] = (Endpoint("tcp:3128:interface=127.0.0.1"),)
    clients: tuple[Network, ...] = LOOPBACK
    connect_ports: tuple[int, ...] | Literal["any"] = (443,)
    allow_private: bool | tuple[Network, ...] = False
    anonymity: Literal["elite", "anonymous", "transparent"] = "elite"
    parent: tuple[Parent, ...] = ()


@frozen(kw_only=True)
class Route:
    hosts: tuple[str, ...] = ()
    path: str = "/"
    pool: str
    strip_prefix: str | None = None
    timeout: Duration | None = None  # None: timeouts.server
    retries: int = 2


@frozen(kw_only=True)
class Certificate:
    """A pair of PEM files for the hosts it is shown to, by SNI."""

    hosts: tuple[str, ...]
    cert: Path
    key: Path


@frozen(kw_only=True)
class Reverse:
    listen: tuple[Endpoint, ...] = (Endpoint("tcp:8080:interface=127.0.0.1"),)
    tls_listen: tuple[Endpoint, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    cloak: bool = True
    route: tuple[Route, ...] = ()
    tls: tuple[Certificate, ...] = ()


@frozen(kw_only=True)
class Server:
    """One server of a pool; a plain string is its url."""

    url: str
    weight: int = 1
    max_connections: int | None = None
    backup: bool = False


@frozen(kw_only=True)
class PoolTls:
    """How https:// servers of a pool are verified."""

    ca: Path | None = None  # None: the system's
    server_name: str | None = None  # None: the host of the server's url
    verify: bool = True


@frozen(kw_only=True)
class Pool:
    servers: tuple[Server, ...]
    balance: str = "round_robin"
    tls: PoolTls = PoolTls()


@frozen(kw_only=True)
class Timeouts:
    """The longest wait between two bytes, never a total; ``head`` is a total."""

    head: Duration = Duration(10.0)
    body: Duration = Duration(30.0)
    keepalive: Duration = Duration(60.0)
    connect: Duration = Duration(5.0)
    server: Duration = Duration(30.0)
    tunnel_idle: Duration = Duration(3600.0)
    drain: Duration = Duration(10.0)


@frozen(kw_only=True)
class Limits:
    head: Size = Size(64 << 10)
    fields: int = 100
    uri: Size = Size(8 << 10)
    body: Size = Size(1 << 30)  # 0: none
    connections: int = 20000
    per_client: int = 1000
    pipelined: int = 32


@frozen(kw_only=True)
class Cache:
    enabled: bool = True
    memory: Size = Size(256 << 20)
    max_object: Size = Size(64 << 20)


@frozen(kw_only=True)
class When:
    """Conditions that must all hold; a list means any of its elements. None: not asked."""

    host: tuple[str, ...] | None = None
    url: tuple[Pattern, ...] | None = None
    path: tuple[str, ...] | None = None
    method: tuple[str, ...] | None = None
    port: tuple[int, ...] | None = None
    client: tuple[Network, ...] | None = None


@frozen(kw_only=True)
class Rule:
    name: str
    side: Literal["forward", "reverse"] | None = None
    when: When = When()
    unless: When | None = None
    action: Literal["allow", "deny", "redirect"]
    status: int = 403
    location: str | None = None


@frozen(kw_only=True)
class Policy:
    default: Literal["allow", "deny"] = "allow"
    rule: tuple[Rule, ...] = ()


@frozen(kw_only=True)
class Manhole:
    listen: Endpoint = Endpoint("tcp:2222:interface=127.0.0.1")
    authorized_keys: Path
    host_key: Path | None = None  # None: STATE_DIR/ssh_host_key


@frozen(kw_only=True)
class Admin:
    listen: Endpoint | None = None
    token_file: Path | None = None


@frozen(kw_only=True)
class AccessLog:
    file: str = "-"  # "-": standard output
    format: Literal["json", "combined"] = "json"


@frozen(kw_only=True)
class Log:
    access: AccessLog = AccessLog()
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"


@frozen(kw_only=True)
class Config:
    """A whole file, paths absolute, references checked."""

    state_dir: Path
    forward: Forward | None = None
    reverse: Reverse | None = None
    pools: dict[str, Pool] = field(factory=dict)
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    cache: Cache = Cache()
    policy: Policy = Policy()
    manhole: Manhole | None = None
    admin: Admin | None = None
    log: Log = Log()
