"""What a user can write, as frozen classes: one attribute is one key.

``help`` in an attribute's metadata is its line in the reference. The aliases at the head name
kinds of values; ``values`` says how each is written and read.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, NewType

from attrs import Factory, field, frozen

Size = NewType("Size", int)  #: bytes, written "64KiB"; 0: none
Duration = NewType("Duration", float)  #: seconds, written "5s"; may be 0
Endpoint = NewType("Endpoint", str)  #: a Twisted server endpoint string
Pattern = NewType("Pattern", str)  #: an RE2 pattern, compiled once to see that it can be
Network = IPv4Network | IPv6Network

PositiveSize = Annotated[Size, "positive"]
PositiveDuration = Annotated[Duration, "positive"]
Count = Annotated[int, "from 1"]
Retries = Annotated[int, "from 0"]
Port = Annotated[int, "port"]
Name = Annotated[str, "name"]
Method = Annotated[str, "method"]
FieldName = Annotated[str, "field name"]
FieldValue = Annotated[str, "field value"]
TimeZone = Annotated[str, "time zone"]
By = Annotated[str, "by"]
ByteRate = Annotated[float, "bytes a second"]
Bound = Annotated[str, "bound"]
Host = Annotated[str, "host"]
HostPattern = Annotated[str, "host pattern"]
UrlPath = Annotated[str, "path of a URL"]
ServerUrl = Annotated[str, "server url"]
ParentUrl = Annotated[str, "parent url"]
RedisUrl = Annotated[str, "redis url"]
ListUrl = Annotated[str, "list url"]
Location = Annotated[str, "location"]
Output = Annotated[str, "file or -"]
ReadableFile = Annotated[Path, "readable"]


class RequestRate(NamedTuple):
    """So many times in so many seconds, written "5/s"."""

    times: int
    seconds: float


LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def _help(text: str, **more: str) -> dict[str, str]:
    return {"help": text, **more}


@frozen(kw_only=True)
class Parent:
    """Another proxy that requests leave through: the first that matches, up or not."""

    name: Name = field(metadata=_help("What logs and rules call it."))
    url: ParentUrl = field(
        repr=False,  # may hold credentials
        metadata=_help("Where it is; ``http://user:secret@HOST:PORT`` to authenticate."),
    )
    hosts: tuple[HostPattern, ...] = field(
        default=(), metadata=_help("The hosts that are reached through it; none: all.")
    )
    fail: Literal["closed", "open"] = field(
        default="closed",
        metadata=_help("When it is down: an error, or the next parent, then direct."),
    )


@frozen(kw_only=True)
class Forward:
    """The proxy that clients inside leave through."""

    listen: tuple[Endpoint, ...] = field(
        default=(Endpoint("tcp:3128:interface=127.0.0.1"),), metadata=_help("Where clients come.")
    )
    clients: tuple[Network, ...] = field(
        default=LOOPBACK,
        metadata=_help(
            "Who may use it. A listener off loopback needs this written out. A unix socket is for "
            "whoever may open it: everybody on the machine, or as its ``:mode=`` says."
        ),
    )
    connect_ports: tuple[Port, ...] | Literal["any"] = field(
        default=(443,), metadata=_help("Where CONNECT may go.")
    )
    allow_private: bool | tuple[Network, ...] = field(
        default=False,
        metadata=_help(
            "Whether addresses that are not globally reachable may be connected to, or which. "
            "A cloud's metadata address only when written as /32 or /128; the admin and manhole "
            "listeners never."
        ),
    )
    anonymity: Literal["elite", "anonymous", "transparent"] = field(
        default="elite",
        metadata=_help(
            "What servers learn: nothing of client or proxy, the proxy's name, or both."
        ),
    )
    parent: tuple[Parent, ...] = ()


@frozen(kw_only=True)
class Route:
    """Which pool answers what. The most specific wins: exact host before wildcard, then the
    longer path.
    """

    hosts: tuple[HostPattern, ...] = field(
        default=(), metadata=_help("The hosts it is for; none: any.")
    )
    path: UrlPath = field(default="/", metadata=_help("The start of the paths it is for."))
    pool: str = field(metadata=_help("The pool that answers, a table ``[pools.NAME]``."))
    strip_prefix: UrlPath | None = field(
        default=None, metadata=_help("What to take off the path before it is sent on.")
    )
    timeout: PositiveDuration | None = field(
        default=None, metadata=_help("In place of ``timeouts.server``.")
    )
    retries: Retries = field(
        default=2, metadata=_help("How many other servers an idempotent request may try.")
    )


@frozen(kw_only=True)
class Certificate:
    """A certificate and the hosts it is shown to, by SNI."""

    hosts: tuple[HostPattern, ...] = field(metadata=_help("The hosts it is for."))
    cert: ReadableFile = field(metadata=_help("PEM: the certificate, then its chain."))
    key: ReadableFile = field(metadata=_help("PEM: its private key."))


@frozen(kw_only=True)
class Reverse:
    """The proxy that clients outside come in through."""

    listen: tuple[Endpoint, ...] = field(
        default=(Endpoint("tcp:8080:interface=127.0.0.1"),), metadata=_help("Where clients come.")
    )
    tls_listen: tuple[Endpoint, ...] = field(
        default=(), metadata=_help("Where they come with TLS; needs a ``[[reverse.tls]]``.")
    )
    trusted_proxies: tuple[Network, ...] = field(
        default=(), metadata=_help("Whose ``X-Forwarded-*`` and ``Forwarded`` are believed.")
    )
    cloak: bool = field(
        default=True,
        metadata=_help("Hide what the servers are: ``Server``, ``Via``, their error pages."),
    )
    route: tuple[Route, ...] = ()
    tls: tuple[Certificate, ...] = ()


@frozen(kw_only=True)
class Server:
    """One server of a pool; a plain string is its url."""

    url: ServerUrl = field(metadata=_help("Scheme, host and port; nothing behind them."))
    weight: Count = field(default=1, metadata=_help("Its share, relative to the others."))
    max_connections: Count | None = field(
        default=None,
        metadata=_help(
            "How many connections it is given at once; none: no bound. Nobody waits for one: "
            "another server is asked, and when there is none left, the answer is a 503."
        ),
    )
    backup: bool = field(default=False, metadata=_help("Asked only when no other server is up."))


@frozen(kw_only=True)
class PoolTls:
    """How the ``https://`` servers of a pool are verified."""

    ca: ReadableFile | None = field(
        default=None, metadata=_help("PEM: whom to trust; none: whom the system trusts.")
    )
    server_name: Host | None = field(
        default=None,
        metadata=_help("The name that is asked for and verified; none: the url's host."),
    )
    verify: bool = field(default=True, metadata=_help("``false`` takes any certificate."))


@frozen(kw_only=True)
class Pool:
    """Servers that can stand in for each other."""

    servers: tuple[Server, ...] = field(metadata=_help("The table is one of those below."))
    balance: str = field(default="round_robin", metadata=_help("Who gets the next request."))
    tls: PoolTls = PoolTls()


@frozen(kw_only=True)
class Timeouts:
    """The longest wait between two bytes, never a total; ``head`` is a total."""

    head: PositiveDuration = field(
        default=Duration(10.0), metadata=_help("For the whole head of a request.")
    )
    body: PositiveDuration = field(
        default=Duration(30.0), metadata=_help("The client's leg: request body in, response out.")
    )
    keepalive: PositiveDuration = field(
        default=Duration(60.0), metadata=_help("Between two requests of a client.")
    )
    connect: PositiveDuration = field(
        default=Duration(5.0), metadata=_help("Until a server or parent has taken the connection.")
    )
    server: PositiveDuration = field(
        default=Duration(30.0), metadata=_help("The server's leg, both directions.")
    )
    tunnel_idle: PositiveDuration = field(
        default=Duration(3600.0), metadata=_help("A tunnel without a byte in either direction.")
    )
    drain: Duration = field(
        default=Duration(10.0), metadata=_help("What is under way may finish so long at the end.")
    )


@frozen(kw_only=True)
class Limits:
    """What a peer can make us hold."""

    head: PositiveSize = field(
        default=Size(64 << 10), metadata=_help("A request's or response's head.")
    )
    fields: Count = field(default=100, metadata=_help("The fields of a head."))
    uri: PositiveSize = field(default=Size(8 << 10), metadata=_help("A request's target."))
    body: Size = field(default=Size(1 << 30), metadata=_help("A request's body; 0: no bound."))
    connections: Count = field(
        default=20000, metadata=_help("All clients' connections; one more gets a 503, at once.")
    )
    per_client: Count = field(
        default=1000, metadata=_help("Connections from one address; likewise.")
    )
    pipelined: Count = field(
        default=32, metadata=_help("Requests that wait on one connection, their turn yet to come.")
    )


@frozen(kw_only=True)
class DiskCache:
    """Objects on a disk, behind those in memory; they outlive a restart. Off until the table is
    there.
    """

    path: Path = field(
        metadata=_help("Their folder, for this process alone; made if it isn't there.")
    )
    size: PositiveSize = field(
        default=Size(10 << 30), metadata=_help("What all of them may take together there.")
    )


@frozen(kw_only=True)
class RedisCache:
    """Objects and purges that several nodes share, behind memory and disk. Off until the table is
    there.
    """

    url: RedisUrl = field(
        repr=False,  # may hold credentials
        metadata=_help(
            "``redis://user:secret@HOST:PORT/NUMBER``, ``rediss://`` with TLS, or "
            "``unix:///PATH?db=NUMBER``; only host or path are required."
        ),
    )
    timeout: PositiveDuration = field(
        default=Duration(0.05), metadata=_help("The longest that a request waits for it.")
    )


@frozen(kw_only=True)
class PurgeAccess:
    """The method ``PURGE``, on both proxies. Console, admin socket and command line need no
    permission.
    """

    clients: tuple[Network, ...] = field(
        default=(), metadata=_help("Who may send it; none: nobody.")
    )


@frozen(kw_only=True)
class Cache:
    """One cache for both proxies."""

    enabled: bool = field(default=True, metadata=_help("``false``: every request is fetched."))
    memory: PositiveSize = field(
        default=Size(256 << 20), metadata=_help("What all objects may take together.")
    )
    max_object: PositiveSize = field(
        default=Size(64 << 20), metadata=_help("What a single object may take.")
    )
    collapse: bool = field(
        default=True, metadata=_help("Whether concurrent misses of one key become one fetch.")
    )
    grace: Duration = field(
        default=Duration(3600.0),
        metadata=_help("How long something stale may be served while no server is up; 0: never."),
    )
    negative_ttl: Duration = field(
        default=Duration(0.0),
        metadata=_help(
            "How long an error of 4xx or 5xx is fresh that doesn't say so itself; 0: not at all."
        ),
    )
    heuristic_max: Duration = field(
        default=Duration(86400.0),
        metadata=_help(
            "The longest that something is fresh which only has a ``Last-Modified``: a tenth of "
            "its age then, and no more than this; 0: not at all."
        ),
    )
    tag_fields: tuple[FieldName, ...] = field(
        default=("Cache-Tag", "Surrogate-Key", "xkey"),
        metadata=_help("The fields in which servers name an object's tags, to purge it by."),
    )
    disk: DiskCache | None = None
    redis: RedisCache | None = None
    purge: PurgeAccess | None = None


@frozen(kw_only=True)
class When:
    """Conditions that must all hold; a list means any of its elements. Absent: not asked."""

    host: tuple[HostPattern, ...] | None = field(
        default=None,
        metadata=_help(
            "``example.org`` is that host, ``.example.org`` that and all below, "
            "``*.example.org`` only those below."
        ),
    )
    url: tuple[Pattern, ...] | None = field(
        default=None,
        metadata=_help("Searched in ``scheme://authority/path?query``; never in a tunnel's."),
    )
    path: tuple[UrlPath, ...] | None = field(
        default=None, metadata=_help("The path's start; a tunnel has no path.")
    )
    method: tuple[Method, ...] | None = field(default=None, metadata=_help("As in the request."))
    port: tuple[Port, ...] | None = field(default=None, metadata=_help("Of the target."))
    client: tuple[Network, ...] | None = field(
        default=None, metadata=_help("Where the request comes from.")
    )
    scheme: tuple[str, ...] | None = field(
        default=None, metadata=_help("``http`` or ``https``; a tunnel has none.")
    )
    query: tuple[dict[str, Pattern], ...] | None = field(
        default=None,
        metadata=_help(
            '``{ NAME = "PATTERN" }``: each is searched in that parameter\'s values, decoded once.'
        ),
    )
    header: tuple[dict[FieldName, Pattern], ...] | None = field(
        default=None, metadata=_help("Likewise, in a field of the request.")
    )
    cookie: tuple[dict[FieldName, Pattern], ...] | None = field(
        default=None, metadata=_help("Likewise, in one of its cookies.")
    )
    agent: tuple[Pattern, ...] | None = field(
        default=None, metadata=_help("Searched in ``User-Agent``.")
    )
    user: tuple[str, ...] | None = field(
        default=None, metadata=_help("Who asks, by the name that was proven.")
    )
    group: tuple[str, ...] | None = field(default=None, metadata=_help("A group of theirs."))
    country: tuple[str, ...] | None = field(
        default=None,
        metadata=_help("Where the client's address is: ``SE``; needs ``policy.countries``."),
    )
    list: tuple[str, ...] | None = field(
        default=None, metadata=_help("A table ``[policy.lists.NAME]`` that has the target.")
    )
    time: tuple[str, ...] | None = field(
        default=None,
        metadata=_help(
            "``Mon-Fri 09:00-17:00``, or every day ``22:00-06:00``, through the night; the "
            "clock is ``timezone``'s."
        ),
    )
    resolved: tuple[Network, ...] | None = field(
        default=None,
        metadata=_help("Where an address of the target's host is; it is looked up for that."),
    )
    content_type: tuple[str, ...] | None = field(
        default=None, metadata=_help("Of the response: ``text/html``, ``video/*``.")
    )
    length: tuple[Bound, ...] | None = field(
        default=None,
        metadata=_help("Of the response: ``>10MiB``, ``<=64KiB``; ``1MiB`` is that or more."),
    )
    is_: tuple[str, ...] | None = field(
        default=None, metadata=_help("A table ``[policy.conditions.NAME]``, which must hold.")
    )
    timezone: TimeZone | None = field(
        default=None,
        metadata=_help("Of ``time``: ``Europe/Stockholm``; none: the system's."),
    )


@frozen(kw_only=True)
class Rewrite:
    """Another URL in the place of the one that was asked for; host and all, on the forward side."""

    url: Pattern = field(
        metadata=_help("What is replaced: searched in ``scheme://authority/path?query``.")
    )
    to: str = field(metadata=_help("What takes its place; ``\\1`` is the pattern's first group."))


@frozen(kw_only=True)
class Rate:
    """Requests in a time, by GCRA; one too many gets a 429."""

    limit: RequestRate = field(metadata=_help("So many in a time."))
    burst: Count = field(
        default=Factory(lambda rate: rate.limit.times, takes_self=True),
        metadata=_help("How many may come at once.", default="the number of ``limit``"),
    )
    by: By = field(default="client", metadata=_help("Whose requests are counted together."))


@frozen(kw_only=True)
class Concurrency:
    """Requests and open tunnels at once; one too many gets a 429."""

    limit: Count = field(metadata=_help("So many."))
    by: By = field(default="client", metadata=_help("Whose are counted together."))


@frozen(kw_only=True)
class Quota:
    """What may be used up in an hour, a day or a month of the calendar, in ``when.timezone``; what
    was used outlives a restart. One of ``requests``, ``bytes`` and ``minutes``.
    """

    requests: Count | None = field(default=None, metadata=_help("So many requests."))
    bytes: PositiveSize | None = field(
        default=None, metadata=_help("So many bytes of bodies, both ways together.")
    )
    minutes: Count | None = field(
        default=None,
        metadata=_help("So many minutes in which there was a request, or a tunnel was open."),
    )
    per: Literal["hour", "day", "month"] = field(metadata=_help("In what time."))
    by: By = field(default="client", metadata=_help("Whose use is counted together."))


@frozen(kw_only=True)
class Bandwidth:
    """Bytes of bodies and tunnels a second, in each direction; what would be faster waits."""

    limit: ByteRate = field(metadata=_help("So many each way, such as ``1MiB/s``."))
    by: By = field(default="client", metadata=_help("Whose traffic shares it, in turns."))


@frozen(kw_only=True)
class Ask:
    """What a request waits for that has to ask an operator."""

    timeout: PositiveDuration = field(
        default=Duration(30.0), metadata=_help("So long an operator has to answer.")
    )
    default: Literal["allow", "deny"] = field(
        default="deny", metadata=_help("What becomes of it then.")
    )


@frozen(kw_only=True)
class Rule:
    """What to do with the requests that it is for; the first rule that matches decides."""

    name: Name = field(metadata=_help("What logs and ``Proxy-Status`` call it."))
    side: Literal["forward", "reverse"] | None = field(
        default=None, metadata=_help("The proxy it is for; none: both.")
    )
    when: When = When()
    unless: When | None = None
    action: Literal["allow", "deny", "redirect", "continue", "ask"] = field(
        metadata=_help(
            "What to do. ``continue`` edits or limits, and the rules after it decide; ``ask`` "
            "waits for an operator's answer."
        )
    )
    status: int = field(
        default=Factory(lambda rule: 302 if rule.action == "redirect" else 403, takes_self=True),
        metadata=_help(
            "The answer's: 400 to 599 to deny; 301, 302, 303, 307 or 308 to redirect.",
            default="``403``; ``302`` to redirect",
        ),
    )
    location: Location | None = field(
        default=None, metadata=_help("Where to redirect; required for that.")
    )
    shadow: bool = field(
        default=False,
        metadata=_help("Only count and log what it would have done."),
    )
    set_request: dict[FieldName, FieldValue] = field(
        factory=dict,
        metadata=_help("Fields of the request, in place of those of that name; for ``continue``."),
    )
    add_request: dict[FieldName, FieldValue] = field(
        factory=dict, metadata=_help("Likewise, besides those of that name.")
    )
    remove_request: tuple[FieldName, ...] = field(
        default=(), metadata=_help("Fields that the request goes on without.")
    )
    set_response: dict[FieldName, FieldValue] = field(
        factory=dict,
        metadata=_help("Fields of the response, in place of those of that name; for ``continue``."),
    )
    add_response: dict[FieldName, FieldValue] = field(
        factory=dict, metadata=_help("Likewise, besides those of that name.")
    )
    remove_response: tuple[FieldName, ...] = field(
        default=(), metadata=_help("Fields that the client doesn't get.")
    )
    rewrite: Rewrite | None = None
    parent: str | None = field(
        default=None,
        metadata=_help(
            "The ``forward.parent`` to leave through, whatever its ``hosts``; for ``continue``."
        ),
    )
    pool: str | None = field(
        default=None,
        metadata=_help("The pool that answers in place of the route's; for ``continue``."),
    )
    rate: Rate | None = None
    concurrency: Concurrency | None = None
    bandwidth: Bandwidth | None = None
    quota: Quota | None = None
    ask: Ask = Ask()
    page: str | None = field(
        default=None,
        metadata=_help(
            "The page in place of the usual one, in ``errors.pages`` or beside this file."
        ),
    )


@frozen(kw_only=True)
class ListSource:
    """A list of what rules ask for with ``list``: a file, which is read again when it changes, or
    a URL, which is fetched from time to time. The last good copy stays in ``state_dir``: what is
    broken or nearly empty never takes its place unasked.
    """

    file: ReadableFile | None = field(default=None, metadata=_help("Where it lies."))
    url: ListUrl | None = field(
        default=None,
        repr=False,  # may hold credentials
        metadata=_help("Or where it is fetched from."),
    )
    format: Literal["hosts", "domains", "urls", "regex", "cidr", "adblock"] = field(
        metadata=_help(
            "``hosts``: each name alone; ``domains``: each name and all below; ``urls``: what URLs "
            "begin with; ``regex``: RE2, searched in URLs; ``cidr``: networks of the target's "
            "address; ``adblock``: rules for domains in the syntax of Adblock."
        )
    )
    refresh: PositiveDuration | None = field(
        default=None, metadata=_help("How often a URL is fetched; none: at each start.")
    )


@frozen(kw_only=True)
class Policy:
    """One filter policy for both proxies."""

    default: Literal["allow", "deny"] = field(
        default="allow", metadata=_help("For what no rule matches; ``deny`` makes an allow-list.")
    )
    rule: tuple[Rule, ...] = ()
    conditions: dict[Name, When] = field(factory=dict)
    lists: dict[Name, ListSource] = field(factory=dict)
    countries: ReadableFile | None = field(
        default=None,
        metadata=_help("A file in MaxMind's format, which says where addresses are."),
    )


@frozen(kw_only=True)
class Manhole:
    """A console over SSH; off until the table is there."""

    listen: Endpoint = field(
        default=Endpoint("tcp:2222:interface=127.0.0.1"), metadata=_help("Where ssh comes.")
    )
    authorized_keys: Path = field(
        metadata=_help(
            "Whose keys open it, as in OpenSSH's file of that name. Any user name will do."
        )
    )
    host_key: Path | None = field(
        default=None,
        metadata=_help("Made on the first start; none: ``ssh_host_key`` in ``state_dir``."),
    )


@frozen(kw_only=True)
class Admin:
    """Beside the unix socket ``admin.sock`` in ``state_dir``, which serves everything, always."""

    listen: Endpoint | None = field(
        default=None, metadata=_help("Where ``/livez`` and ``/readyz`` are served.")
    )
    token_file: ReadableFile | None = field(
        default=None,
        metadata=_help("The bearer token that opens the rest there; off loopback it is required."),
    )


@frozen(kw_only=True)
class AccessLog:
    """One line an exchange."""

    file: Output = field(default="-", metadata=_help("Where it goes."))
    format: Literal["json", "combined", "squid"] = field(
        default="json", metadata=_help("How it looks.")
    )


@frozen(kw_only=True)
class Log:
    """What is written down."""

    access: AccessLog = AccessLog()
    level: Literal["debug", "info", "warn", "error", "critical"] = field(
        default="info", metadata=_help("The least that the program's own log holds.")
    )


@frozen(kw_only=True)
class Errors:
    """How a person is told what went wrong."""

    pages: Path = field(
        metadata=_help(
            "A folder with pages for them: ``403.html``, ``4xx.html``, ``403.de.html`` …; see the "
            "guide to the policy."
        )
    )


@frozen(kw_only=True)
class Config:
    """A whole file. With neither ``[forward]`` nor ``[reverse]`` the forward proxy runs with its
    defaults; otherwise just the tables that are there run.
    """

    state_dir: Path = field(
        metadata=_help(
            "The folder of the host key and the admin socket.",
            default="``$STATE_DIRECTORY``, else ``var`` beside the file",
        )
    )
    forward: Forward | None = None
    reverse: Reverse | None = None
    pools: dict[Name, Pool] = field(factory=dict)
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    cache: Cache = Cache()
    policy: Policy = Policy()
    errors: Errors | None = None
    manhole: Manhole | None = None
    admin: Admin | None = None
    log: Log = Log()
