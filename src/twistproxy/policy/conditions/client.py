"""client: the networks that the request comes from.

An IPv4-mapped address (``::ffff:192.0.2.1``, as dual-stack listeners report it) is the IPv4
address, a mapped network the IPv4 network. Cost: one set look-up per distinct prefix length.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from twistproxy.policy import Means, Question

_NONE: Final[dict[int, set[int]]] = {}


class Client:
    def __init__(self, networks: Iterable[IPv4Network | IPv6Network], means: Means) -> None:
        # IP version → {bits of the host part → what stands before them in the networks}
        self.networks: dict[int, dict[int, set[int]]] = {}
        for network in map(_unmapped, networks):
            bits = network.max_prefixlen - network.prefixlen
            prefixes = self.networks.setdefault(network.version, {}).setdefault(bits, set())
            prefixes.add(int(network.network_address) >> bits)

    def holds(self, question: Question) -> bool:
        version, number = number_of(question.client)
        for bits, prefixes in self.networks.get(version, _NONE).items():
            if number >> bits in prefixes:
                return True
        return False

    def seen(self, question: Question) -> str:
        return question.client or "a unix socket"


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


@lru_cache(1024)
def number_of(client: str) -> tuple[int, int]:
    """An address' IP version and number; of what is no address (0, 0), a version without nets."""
    try:
        address = ip_address(client)
    except ValueError:
        return 0, 0
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)
