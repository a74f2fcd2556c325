"""What `by` means: whose requests are counted together.

client       an address; of IPv6 its /64, which is what a single household or machine is given
user         who was asked for a name; others by their address
host         the target's
header:NAME  the field's value; all requests without it together

A key is short and can be printed, whatever a peer sends. A field's value may be a secret (an API
key): of it the key is a hash, so that no table, log or file tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import Final

from twistproxy.policy import Question

Key = Callable[[Question], str]

LONGEST: Final = 128  #: characters of a key
NOBODY: Final = "-"  #: the key of requests without the field

_HEADER: Final = "header:"


def key_by(by: str) -> Key:
    """by: as in the configuration. Raises ValueError."""
    if by.startswith(_HEADER) and len(by) > len(_HEADER):
        return partial(_header, by.removeprefix(_HEADER).lower().encode("ascii", "replace"))
    if by not in _KEYS:
        raise ValueError(f"{by!r} is not {', '.join(_KEYS)} or header:NAME")
    return _KEYS[by]


def _client(question: Question) -> str:
    client = question.client
    return _network(client) if ":" in client else client or "unix"


def _user(question: Question) -> str:
    user = question.user
    # No user has a colon in the name (RFC 7617 §2), so none is called as an address is here.
    return f"client:{_client(question)}" if user is None else _short(user)


def _host(question: Question) -> str:
    host = question.target.host
    return _short(_network(host, 128) if host.startswith("::ffff:") else host)


def _header(name: bytes, question: Question) -> str:
    request = question.request
    value = None if request is None else request.fields.combined.get(name)
    return NOBODY if value is None else _hash(value)


_KEYS: Final[dict[str, Key]] = {"client": _client, "user": _user, "host": _host}


@lru_cache(4096)
def _network(client: str, bits: int = 64) -> str:
    """Of an IPv6 address its /64, of a mapped one the IPv4 address."""
    try:
        address = IPv6Address(client.partition("%")[0])
    except ValueError:
        return _short(client)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if bits == 128:
        return str(address)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _short(text: str) -> str:
    if len(text) <= LONGEST and text.isprintable():
        return text
    return _hash(text.encode("utf-8", "surrogatepass"))


def _hash(value: bytes) -> str:
    return "#" + blake2b(value, digest_size=16).hexdigest()
