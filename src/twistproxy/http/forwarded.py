"""Who asked, as told by the proxies before us: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

Anybody can write these fields, so they are read from the right, where our own peer wrote, for as
long as the writers are trusted: the first address that isn't trusted is the client.

`X-Forwarded-*` is read where `X-Forwarded-For` is there, `Forwarded` otherwise, never both: nearly
every proxy writes the former, and one that knows a single kind lets through what its client wrote
in the other. Where they disagree, `X-Forwarded-For` wins. A trusted proxy that writes `Forwarded`
must therefore write or remove `X-Forwarded-For` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from attrs import frozen

from twistproxy.http.fields import Fields, Line, line

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@frozen
class Told:
    """What is believed of where a request came from.

    client: text of an address in normal form, "" where there is none (a unix socket).
    scheme, host: what the client asked with, None where nobody trusted said; the host as written
    on the wire, with a port where there was one.
    chain: the client, then the trusted proxies after it, without our own peer.
    """

    client: str
    scheme: str | None = None
    host: str | None = None
    chain: tuple[str, ...] = ()


@frozen
class _Hop:
    """What one proxy said of whom it served; None where that says nothing."""

    address: Address | None
    scheme: str | None
    host: str | None


def client_of(peer: str, fields: Fields, trusted: tuple[Network, ...]) -> Told:
    """Who asked, when `peer` (text of an address) hands us a request with these fields.

    Where a trusted proxy names no address (malformed, ``unknown``, ``_hidden``), it is itself the
    last that we know of. Never raises.
    """
    alone = _peer(peer)
    if not trusted or not alone.client:
        return alone
    trust = _trust_in(trusted)
    if not trust.has(alone.client):
        return alone
    combined = fields.combined
    said: _Said
    if b"forwarded" in combined and b"x-forwarded-for" not in combined:
        said = (combined[b"forwarded"],)
    else:
        said = tuple(map(combined.get, _LISTS))
    if sum(map(len, filter(None, said))) > _KEPT_SAID:
        return trust.client_of.__wrapped__(alone.client, said)
    return trust.client_of(alone.client, said)


def lines(told: Told, *, peer: str, scheme: str, host: str) -> tuple[Line, ...]:
    """Tell a server who asked: `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` say the same.

    What is believed is extended by our `peer`; what isn't, an untrusted peer's fields or the left
    part of a list, is gone with `WRITTEN_OVER`: many servers read the leftmost. scheme, host: how
    our peer asked us. A peer of "" is not named: a unix socket, or a client that wants to stay
    unknown.
    """
    scheme, host, chain = told.scheme or scheme, told.host or host, told.chain
    if len(host) > _KEPT_HOST or len(chain) > _KEPT_CHAIN:
        return _lines.__wrapped__(chain, peer, scheme, host)
    return _lines(chain, peer, scheme, host)


# Of hosts and chains up to these lengths it is remembered what was written: a few hundred kB.
_KEPT_HOST = 100
_KEPT_CHAIN = 2


@lru_cache(512)
def _lines(chain: tuple[str, ...], peer: str, scheme: str, host: str) -> tuple[Line, ...]:
    known = _peer(peer).client
    nodes = (*chain, known) if known else chain
    # Servers take scheme and host from the first element, so that is where the client's are.
    first, *others = nodes or ("unknown",)
    elements = [
        f"for={_node(first)};host={_value(host)};proto={scheme}",
        *(f"for={_node(node)}" for node in others),
    ]
    written = (
        line(b"X-Forwarded-Proto", scheme.encode()),
        line(b"X-Forwarded-Host", host.encode()),
        line(b"Forwarded", ", ".join(elements).encode()),
    )
    return (line(b"X-Forwarded-For", ", ".join(nodes).encode()), *written) if nodes else written


# Further claims of the kind that servers believe. We don't write them, so nobody vouches for them.
# `Proxy` is none, but CGI makes the variable HTTP_PROXY of it, which programs take for theirs.
_CLAIMS = frozenset(b"x-forwarded-port x-forwarded-server x-forwarded-ssl x-real-ip proxy".split())
#: What `lines` stand in the place of; a request may have `other_spellings` of it, too.
WRITTEN_OVER: Final = _CLAIMS | {
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
}


def other_spellings(fields: Fields) -> Set[bytes]:
    """Names such as ``x_forwarded_for``, which CGI and WSGI can't tell from those that we write.

    Some servers make an underscore of every sign that is no letter: ``x.forwarded.for``.
    """
    names = fields.combined
    if _USUAL.issuperset(names):  # that is what is sent nearly always
        return _NONE
    return {name for name in names if _SIGN.sub(b"-", name) in WRITTEN_OVER} - WRITTEN_OVER


_USUAL: Final = WRITTEN_OVER | set(
    b"""accept accept-encoding accept-language authorization cache-control connection
    content-length content-type cookie dnt expect host if-modified-since if-none-match keep-alive
    origin pragma priority range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform
    sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc te transfer-encoding
    upgrade upgrade-insecure-requests user-agent via x-request-id x-requested-with""".split()
)
_NONE: Final[frozenset[bytes]] = frozenset()
_SIGN = re.compile(rb"[^0-9a-z]")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# An address in brackets or an IPv4 address, with a port, which may be obfuscated (RFC 7239 §6).
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_IS_TOKEN = re.compile(_TOKEN)
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*')
_ESCAPED = re.compile(r"\\(.)")


#: The value of Forwarded, or those of `_LISTS`.
_Said = tuple[bytes | None, ...]
_LISTS: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
# What is said in so many bytes is remembered: a client's next request says the same.
_KEPT_SAID: Final = 256


class _Trust:
    """In these networks; and what it was asked of late."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        def has(address: str) -> bool:
            number = ip_address(address)
            return any(number in network for network in networks)

        def client_of(peer: str, said: _Said) -> Told:
            client, scheme, host, chain = peer, None, None, []
            for hop in _hops(said):
                scheme, host = hop.scheme or scheme, hop.host or host
                if hop.address is None:
                    break
                client = str(hop.address)
                chain.append(client)
                if not known(client):
                    break
            return Told(client, scheme, host, tuple(reversed(chain)))

        self.networks = networks
        self.has = known = lru_cache(1024)(has)
        self.client_of = lru_cache(1024)(client_of)


def _trust_in(networks: tuple[Network, ...]) -> _Trust:
    """The one of a configuration, until there is another."""
    global _latest
    if networks is not _latest.networks:
        _latest = _Trust(networks)
    return _latest


_latest = _Trust(())


def _hops(said: _Said) -> Iterator[_Hop]:
    """What the proxies before us said, the nearest first."""
    if len(said) == 1:
        return map(_hop, _elements(said[0]))
    # Lists are aligned by their right ends: a proxy appends to all of them, or replaces what is
    # there by one value, which then stands for every hop.
    nodes, schemes, hosts = (_elements(value) or [""] for value in said)
    return (
        _Hop(
            _address(node),
            _scheme(schemes[min(i, len(schemes) - 1)]),
            _host(hosts[min(i, len(hosts) - 1)]),
        )
        for i, node in enumerate(nodes)
    )


def _hop(element: str) -> _Hop:
    """A forwarded-element (RFC 7239 §4). It says nothing if malformed or a parameter is twice."""
    said: dict[str, str] = {}
    for text in element.split(";"):
        if not text.strip(" \t"):
            continue
        pair = _PAIR.fullmatch(text)
        if pair is None or pair[1].lower() in said:
            return _Hop(None, None, None)
        value = pair[2]
        said[pair[1].lower()] = _ESCAPED.sub(r"\1", value[1:-1]) if value[0] == '"' else value
    return _Hop(
        _address(said.get("for", "")), _scheme(said.get("proto", "")), _host(said.get("host", ""))
    )


def _elements(value: bytes | None) -> list[str]:
    """The elements of a list, the last first.

    A comma ends an element in quotes too: nothing that we read holds one, and so a quote that a
    client leaves open can't swallow what the proxies after it append.
    """
    parts = (value or b"").decode("latin-1").split(",")
    return [text for part in reversed(parts) if (text := part.strip(" \t"))]


def _address(node: str) -> Address | None:
    """The address in a node of either field, its port left out; None where there is none."""
    with_port = _WITH_PORT.fullmatch(node)
    if with_port is not None:
        node = with_port[1] or with_port[2]
        if with_port[1] is not None and ":" not in node:
            return None  # [192.0.2.1]
    if "%" in node:  # a zone means something on one machine only, and may hold any text
        return None
    try:
        address = ip_address(node)
    except ValueError:
        return None
    # A listener for both families sees IPv4 peers in this form; networks are written plainly.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(1024)  # of those who ask now, most ask again
def _peer(text: str) -> Told:
    """What is known of a peer that is not believed: its address in normal form, if it has one."""
    address = _address(text.partition("%")[0])
    return Told("" if address is None else str(address))


def _scheme(text: str) -> str | None:
    scheme = text.lower()
    return scheme if scheme in ("http", "https") else None


def _host(text: str) -> str | None:
    return text if _HOST.fullmatch(text) else None


def _node(address: str) -> str:
    """How Forwarded names an address: IPv6 in brackets, and so in quotes (RFC 7239 §6.1)."""
    return f'"[{address}]"' if ":" in address else address


def _value(text: str) -> str:
    if _IS_TOKEN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
