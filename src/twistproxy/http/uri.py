"""The one normal form of a request's target: what rules, routes and cache keys see.

A resource has many spellings (`//C/%66oo` and `/C/foo`, `BLOCKED.example.` and
`blocked.example`); whoever decides by one of them must see all of them as one (RFC 3986 §6).

scheme  lower case
host    lower case, A-labels (UTS #46 mapping, non-transitional), no trailing dot;
        IPv4 in four decimals, whichever way a browser would let it be written;
        IPv6 without brackets, compressed (RFC 5952), IPv4-mapped as ``::ffff:192.0.2.1``
path    unreserved characters bare, all that a URI can't hold percent-encoded, hex digits in
        upper case, repeated slashes as one, then dot segments removed. ``%2F`` and ``%5C`` are
        data, not slashes, and stay; a bare backslash is written ``%5C``.
query   the same escapes; a ``%`` that escapes nothing is written ``%25``

Whoever asks gets a `Problem`; whoever writes a pattern in the configuration, a ValueError.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote_to_bytes

import idna
from attrs import define, evolve, field

from twistproxy.http.errors import BAD_REQUEST, Problem
from twistproxy.http.fields import Line, line

DEFAULT_PORTS = {"http": 80, "https": 443}

# What bounds the memory of the table of names: entries, and bytes of each one's spelling. A name
# of 253 characters, each an escape (%c3%bc), is shorter than that.
NAMES_KEPT = 2048
MAX_AUTHORITY = 2048
# The same for whole targets: a client asks for what others ask for. Longer ones are made anew.
TARGETS_KEPT = 2048
_KEPT_MAX = 512

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PATH = rb"A-Za-z0-9\-._~!$&'()*+,;=:@/"  # RFC 3986 §3.3, and the slash
_QUERY = _PATH + rb"?"  # §3.4
_PLAIN = re.compile(rb"/[%b]*(?:\?[%b]*)?" % (_PATH, _QUERY))
_PATH_ODD = re.compile(rb"%%[0-9A-Fa-f]{2}|[^%b]" % _PATH)
_QUERY_ODD = re.compile(rb"%%[0-9A-Fa-f]{2}|[^%b]" % _QUERY)
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NEVER = re.compile(rb"[\x00-\x20\x7F#]")

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(rb"(\[[^\[\]]*\]|[^\[\]:]*)(:[0-9]*)?")
_IPV6 = re.compile(rb"\[([0-9A-Fa-f:.]+)\]")  # no zone (RFC 6874), no IPvFuture
_ASCII_NAME = re.compile(rb"[A-Za-z0-9._-]+")
# Underscores and hyphens at the ends are no host names (RFC 1123), but they are in the DNS.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_IPV4_LAST = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV4_PART = re.compile(r"0x([0-9a-f]*)|0([0-7]+)|(0|[1-9][0-9]*)")


@define(repr=False)
class Target:
    """What a request is for, in normal form. Never changed: requests for the same share it.

    scheme: "http", "https", or "" for a tunnel, which has a host and a port only.
    path, query: "" and None for a tunnel; query is None without a ``?``, "" with nothing after it.
    received: path and query as they came, what a forward proxy sends on (RFC 9110 §7.7); an empty
    path is a slash already (RFC 9112 §3.2.1). b"" for a tunnel.
    whole: the URI had neither path nor query, or was ``*``. A path of "/" stands for it, but an
    OPTIONS request for it is about the server as a whole and sent as ``*`` (RFC 9112 §3.2.4).
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    received: bytes
    whole: bool = False
    authority: str = field(init=False, eq=False)
    """``host[:port]`` without the scheme's default port; of a tunnel always ``host:port``."""
    host_line: Line = field(init=False, eq=False)
    """The authority as a Host field."""
    normal: bytes = field(init=False, eq=False)
    """Path and query in normal form, ASCII: what a reverse proxy sends on. b"" for a tunnel."""
    url: str = field(init=False, eq=False)
    """``scheme://authority/path?query`` in normal form, ASCII; of a tunnel ``host:port``."""
    received_url: str = field(init=False, eq=False)
    """As `url`, with path and query as they came: what a forward answer is kept under."""
    _on_default_port: Target | None = field(init=False, default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        self.authority, self.host_line = _authority(self.scheme, self.host, self.port)
        received, query = self.received, self.query
        if not self.scheme:
            self.normal, self.url, self.received_url = b"", self.authority, self.authority
            return
        rest = self.path if query is None else f"{self.path}?{query}"
        self.normal = normal = rest.encode("ascii")
        self.url = self.received_url = f"{self.scheme}://{self.authority}{rest}"
        if received != normal:
            self.received_url = f"{self.scheme}://{self.authority}{received.decode('latin-1')}"

    @property
    def has_default_port(self) -> bool:
        """Whether it is the scheme's; a tunnel has no default."""
        return self.port == DEFAULT_PORTS.get(self.scheme)

    def on_default_port(self) -> Target:
        """The same resource, for whom another port is only another way in. Not of a tunnel."""
        port = DEFAULT_PORTS[self.scheme]
        if self.port == port:
            return self
        if self._on_default_port is None:
            self._on_default_port = evolve(self, port=port)
        return self._on_default_port

    def __repr__(self) -> str:
        return f"<Target {self.url}>"


def absolute(target: bytes) -> Target | Problem:
    """The absolute form, ``http://host/path`` (RFC 9112 §3.2.2); http and https only."""
    return _read(target) if len(target) <= _KEPT_MAX else _read.__wrapped__(target)


def origin(target: bytes, host: bytes, scheme: str) -> Target | Problem:
    """The origin form, ``/path``, with the Host field's value (RFC 9112 §3.2.1)."""
    if len(target) + len(host) <= _KEPT_MAX:
        return _read(target, host, scheme)
    return _read.__wrapped__(target, host, scheme)


def nameless(target: bytes, scheme: str) -> Target | Problem:
    """The origin form without a Host field, which HTTP/1.0 allows: the host is ""."""
    found = origin(target, b"localhost", scheme)
    return evolve(found, host="") if isinstance(found, Target) else found


def asterisk(host: bytes, scheme: str) -> Target | Problem:
    """The asterisk form, ``*``, with the Host field's value (RFC 9112 §3.2.4): OPTIONS only."""
    return _target(scheme, host, b"/", whole=True)


def tunnel(target: bytes) -> Target | Problem:
    """The authority form, ``host:port``, of CONNECT (RFC 9112 §3.2.3); the port is required."""
    place = host_port(target)
    if isinstance(place, Problem):
        return place
    host, port = place
    if port is None:
        return BAD_REQUEST.about(why="the target of CONNECT has no port")
    return Target("", host, port, "", None, b"")


def host_port(value: bytes) -> tuple[str, int | None] | Problem:
    """The value of a Host field, ``host[:port]`` (RFC 9110 §7.2); no port or an empty one: None.

    An empty value is a problem, too: who allows it (HTTP/1.0) asks first.
    """
    if len(value) > MAX_AUTHORITY:
        return BAD_REQUEST.about(why="the host is too long")
    return _host_port(value)


def names_kept() -> int:
    """How many spellings of hosts are remembered now; never more than NAMES_KEPT."""
    return _host_port.cache_info().currsize


def targets_kept() -> int:
    """How many targets are remembered now; never more than TARGETS_KEPT."""
    return _read.cache_info().currsize


def host_pattern(text: str) -> str:
    """A pattern from the configuration, its host in normal form.

    ``example.org``: that host, ``.example.org``: that and all below, ``*.example.org``: only
    below. An IPv6 address may do without its brackets. ValueError says what is wrong.
    """
    prefix = "*." if text.startswith("*.") else text[: text.startswith(".")]
    raw = text.removeprefix(prefix).encode("utf-8", "surrogatepass")
    if len(raw) > MAX_AUTHORITY:
        raise ValueError("the host is too long")
    host = _host(b"[%b]" % raw if raw.count(b":") > 1 and raw[:1] != b"[" else raw)
    if prefix and (":" in host or _IPV4_LAST.fullmatch(host.rpartition(".")[2])):
        raise ValueError("there are no names below an address")
    return prefix + host


def path_prefix(text: str) -> str:
    """The beginning of a path, from the configuration, in normal form.

    What stands after its last slash is the beginning of a segment and none yet: "/." begins
    "/.git" and is no dot segment. ValueError says what is wrong.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not raw.startswith(b"/"):
        raise ValueError("a path begins with a slash")
    if b"?" in raw:
        raise ValueError("a path has no query; use url")
    folder, slash, begun = _path(raw).rpartition("/")
    return _without_dots(folder + slash) + begun


@lru_cache(TARGETS_KEPT)
def _read(target: bytes, host: bytes | None = None, scheme: str = "") -> Target | Problem:
    """The origin form with these, the absolute form without."""
    if host is not None:
        if not target.startswith(b"/"):
            return BAD_REQUEST.about(why="the target's path does not begin with a slash")
        return _target(scheme, host, target)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return BAD_REQUEST.about(why="the target is not http://HOST/PATH or https://HOST/PATH")
    scheme_, authority, rest = match.groups()
    if not rest.startswith(b"/"):
        return _target(scheme_.lower().decode(), authority, b"/" + rest, whole=not rest)
    return _target(scheme_.lower().decode(), authority, rest)


def _target(
    scheme: str, authority: bytes, received: bytes, whole: bool = False
) -> Target | Problem:
    place = host_port(authority)
    if isinstance(place, Problem):
        return place
    host, port = place
    # Most targets are in normal form as they come.
    if _PLAIN.fullmatch(received) and b"//" not in received and b"/." not in received:
        path, mark, query = received.decode().partition("?")
    else:
        raw_path, raw_mark, raw_query = received.partition(b"?")
        try:
            path, mark = _without_dots(_path(raw_path)), raw_mark.decode()
            query = _query(raw_query)
        except ValueError as why:
            return BAD_REQUEST.about(why=why)
    return Target(
        scheme,
        host,
        DEFAULT_PORTS[scheme] if port is None else port,
        path,
        query if mark else None,
        received,
        whole,
    )


def _path(raw: bytes) -> str:
    """With normal escapes; slashes and dots are left as they are."""
    if _NEVER.search(raw):
        raise ValueError("there is a space, a control character or a # in its path")
    if _STRAY_PERCENT.search(raw):
        raise ValueError("a % in its path is not followed by two hex digits")
    return _PATH_ODD.sub(_escape, raw).decode()


def _query(raw: bytes) -> str:
    # Unlike in a path a stray % is common here (?q=100%), and no server refuses it.
    if _NEVER.search(raw):
        raise ValueError("there is a space, a control character or a # in its query")
    return _QUERY_ODD.sub(_escape, raw).decode()


def _escape(odd: re.Match[bytes]) -> bytes:
    if len(odd[0]) == 1:
        return b"%%%02X" % odd[0][0]
    char = unquote_to_bytes(odd[0])
    return char if char in _UNRESERVED else odd[0].upper()


def _without_dots(path: str) -> str:
    """Slashes first, dots then, as servers do: ``/a//../b`` is ``/b``."""
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    if kept and segments[-1] in ("", ".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


@lru_cache(NAMES_KEPT)
def _authority(scheme: str, host: str, port: int) -> tuple[str, Line]:
    text = f"[{host}]" if ":" in host else host
    if port != DEFAULT_PORTS.get(scheme):
        text = f"{text}:{port}"
    return text, line(b"Host", text.encode("ascii"))


@lru_cache(NAMES_KEPT)
def _host_port(value: bytes) -> tuple[str, int | None] | Problem:
    try:
        if b"@" in value:
            raise ValueError("there is a user name in its authority")
        match = _AUTHORITY.fullmatch(value)
        if match is None:
            raise ValueError("its authority is not HOST or HOST:PORT")
        host, port = _host(match[1]), (match[2] or b":")[1:]
        if not port:
            return host, None
        number = int(port)
        if not 1 <= number <= 65535:
            raise ValueError("its port is not from 1 to 65535")
        return host, number
    except ValueError as why:
        return BAD_REQUEST.about(why=why)


def _host(raw: bytes) -> str:
    if raw.startswith(b"["):
        return _ipv6(raw)
    if not raw:
        raise ValueError("there is no host")
    name = raw.decode().lower() if _ASCII_NAME.fullmatch(raw) else _mapped(raw)
    name = name.removesuffix(".")
    labels = name.split(".")
    # Where the last label is a number, whoever connects takes it for an address.
    if _IPV4_LAST.fullmatch(labels[-1]):
        return _ipv4(labels)
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("its host is not a valid name")
    if "xn--" in name:
        for label in labels:
            _check_a_label(label)
    return name


def _mapped(raw: bytes) -> str:
    """A name that isn't ASCII, or has escapes (RFC 3986 §3.2.2), as UTS #46 §4 maps it."""
    try:
        name = idna.uts46_remap(unquote_to_bytes(raw).decode(), std3_rules=False)
    except ValueError:
        raise ValueError("its host is not a valid name in UTF-8") from None
    return ".".join([label if label.isascii() else _a_label(label) for label in name.split(".")])


def _a_label(label: str) -> str:
    return "xn--" + label.encode("punycode").decode()


def _check_a_label(label: str) -> None:
    """An A-label must be how its own U-label is written, else it would be a second spelling.

    UTS #46 rather than IDNA 2008: names with emoji exist, and browsers go there.
    """
    if label.startswith("xn--"):
        try:
            decoded = label[4:].encode().decode("punycode")
            valid = idna.uts46_remap(decoded, std3_rules=False) == decoded
        except ValueError:
            valid = False
        if not valid or decoded.isascii() or _a_label(decoded) != label:
            raise ValueError("its host has a label that begins with xn-- but is no A-label")


def _ipv4(labels: list[str]) -> str:
    """One to four numbers, the last fills the rest: inet_aton, and the WHATWG's IPv4 parser."""
    *high, last = map(_ipv4_number, labels)
    rest = 4 - len(high)
    if rest < 1 or any(number > 255 for number in high) or last >= 256**rest:
        raise ValueError("its host ends in a number but is no IPv4 address")
    return str(IPv4Address(int.from_bytes(bytes(high)) << 8 * rest | last))


def _ipv4_number(label: str) -> int:
    """0x: hex, 0: octal. What is no number is too large for any place."""
    match = _IPV4_PART.fullmatch(label)
    if match is None:
        return 1 << 32
    hexadecimal, octal, decimal = match.groups()
    if hexadecimal is not None:
        return int(hexadecimal or "0", 16)
    return int(octal, 8) if octal else int(decimal)


def _ipv6(raw: bytes) -> str:
    match = _IPV6.fullmatch(raw)
    try:
        address = IPv6Address((match[1] if match else b"").decode())
    except ValueError:
        raise ValueError("there is no IPv6 address in its brackets") from None
    # Python's own text of a mapped address differs between versions: RFC 5952 §5.
    return f"::ffff:{mapped}" if (mapped := address.ipv4_mapped) else address.compressed
