"""resolved: the networks that any of the addresses of the target's host is in.

Mapped addresses and networks are as in ``client``; and an IPv6 address is also each IPv4 address
that a translator (NAT64) or tunnel (6to4, Teredo) reads in it: that is where it leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from twistproxy.net.addresses import canonical, embedded
from twistproxy.policy import Means, Question
from twistproxy.policy.conditions.client import Client


class Resolved:
    def __init__(self, networks: Iterable[IPv4Network | IPv6Network], means: Means) -> None:
        self._networks = Client(networks, means).networks

    def holds(self, question: Question) -> bool:
        for address in question.addresses or ():
            for version, number in _readings(address):
                for bits, prefixes in self._networks.get(version, {}).items():
                    if number >> bits in prefixes:
                        return True
        return False

    def seen(self, question: Question) -> str:
        if question.addresses is None:
            return "not looked up yet"
        return ", ".join(question.addresses) or "without an address"


@lru_cache(1024)
def _readings(text: str) -> tuple[tuple[int, int], ...]:
    """IP version and number of each address that it is."""
    address = canonical(text)
    if address is None:
        return ()
    return tuple((each.version, int(each)) for each in (address, *embedded(address)))
