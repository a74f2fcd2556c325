from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from twistproxy.policy import Means
from twistproxy.policy.conditions.resolved import Resolved

CASES = {
    "in_it": (["10.1.0.0/16"], ("10.1.2.3",), True),
    "beside_it": (["10.1.0.0/16"], ("10.2.0.0",), False),
    "any_address": (["10.1.0.0/16"], ("192.0.2.1", "2001:db8::1", "10.1.2.3"), True),
    "any_network": (["192.0.2.0/24", "10.0.0.0/8"], ("10.1.2.3",), True),
    "ipv6": (["2001:db8::/32"], ("2001:db8::1",), True),
    "mapped": (["10.0.0.0/8"], ("::ffff:10.0.0.1",), True),
    "mapped_network": (["::ffff:10.0.0.0/104"], ("10.0.0.1",), True),
    "behind_nat64": (["10.0.0.0/8"], ("64:ff9b::10.0.0.1",), True),
    "behind_6to4": (["192.0.2.0/24"], ("2002:c000:201::",), True),
    "as_it_is_written": (["64:ff9b::/96"], ("64:ff9b::10.0.0.1",), True),
    "with_a_zone": (["fe80::/10"], ("fe80::1%eth0",), True),
    "versions_apart": (["0.0.0.0/0"], ("::1",), False),
    "no_address": (["0.0.0.0/0", "::/0"], (), False),
    "not_looked_up": (["0.0.0.0/0", "::/0"], None, False),
    "what_is_none": (["0.0.0.0/0", "::/0"], ("localhost",), False),
    "none": ([], ("10.0.0.1",), False),
}


@pytest.mark.parametrize(("networks", "addresses", "holds"), CASES.values(), ids=CASES)
def test_resolved(networks: list[str], addresses: tuple[str, ...] | None, holds: bool) -> None:
    condition = Resolved(map(ip_network, networks), Means())
    assert condition.holds(SimpleNamespace(addresses=addresses)) is holds


SEEN = {
    "some": (("192.0.2.1", "2001:db8::1"), "192.0.2.1, 2001:db8::1"),
    "none": ((), "without an address"),
    "not_looked_up": (None, "not looked up yet"),
}


@pytest.mark.parametrize(("addresses", "text"), SEEN.values(), ids=SEEN)
def test_seen(addresses: tuple[str, ...] | None, text: str) -> None:
    assert Resolved([], Means()).seen(SimpleNamespace(addresses=addresses)) == text
