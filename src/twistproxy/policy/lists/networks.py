"""Lists of networks (CIDR), for the target's address: a literal one, or those that were looked up.

A list never has a name looked up: without addresses a name is in no network. A network's key is
its bits, written out: it begins those of the addresses in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network
from typing import Final

from twistproxy.policy import Question
from twistproxy.policy.lists import Format, without_comment
from twistproxy.policy.lists.table import Table


class Networks:
    def __init__(self, table: Table) -> None:
        self._table = table

    def has(self, question: Question) -> bool:
        host = question.target.host
        # Of names only those that end in a number or have a colon are addresses.
        if host[-1:].isdigit() or ":" in host:
            key = _bits(host)
            if key:
                return self._table.begins(key)
        begins = self._table.begins
        return any(begins(_bits(address)) for address in question.addresses or ())


def _bits(address: str) -> str:
    """An IPv4-mapped address is the IPv4 address. "" for what is none."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return f"6{int(found):0128b}"
        found = found.ipv4_mapped
    return f"4{int(found):032b}"


def _read(line: str) -> Sequence[str] | None:
    """``192.0.2.0/24 ; comment``: bits below the prefix don't count."""
    text = without_comment(line, "#", ";")
    if not text:
        return None
    network = ip_network(text, strict=False)
    if not isinstance(network, IPv4Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = IPv4Network((mapped, network.prefixlen - 96))
    return (_bits(str(network.network_address))[: network.prefixlen + 1],)


NETWORKS: Final = Format(_read, Networks)
