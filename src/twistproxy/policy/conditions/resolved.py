"""resolved: the networks that any of the addresses of the target's host is in.

Mapped addresses and networks are as in ``client``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from twistproxy.policy import Means, Question
from twistproxy.policy.conditions.client import Client, number_of


class Resolved:
    def __init__(self, networks: Iterable[IPv4Network | IPv6Network], means: Means) -> None:
        self._networks = Client(networks, means).networks

    def holds(self, question: Question) -> bool:
        for address in question.addresses or ():
            version, number = number_of(address)
            for bits, prefixes in self._networks.get(version, {}).items():
                if number >> bits in prefixes:
                    return True
        return False

    def seen(self, question: Question) -> str:
        if question.addresses is None:
            return "not looked up yet"
        return ", ".join(question.addresses) or "without an address"
