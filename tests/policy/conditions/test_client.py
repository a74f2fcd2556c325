from __future__ import annotations

from ipaddress import ip_address, ip_network
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy import Means
from twistproxy.policy.conditions.client import Client


def holds(networks: list[str], client: str) -> bool:
    return Client(map(ip_network, networks), Means()).holds(SimpleNamespace(client=client))


CASES = {
    "in_it": (["10.1.0.0/16"], "10.1.2.3", True),
    "beside_it": (["10.1.0.0/16"], "10.2.0.0", False),
    "one_address": (["10.1.2.3/32"], "10.1.2.3", True),
    "any_of_several": (["10.0.0.0/8", "192.0.2.0/24", "192.0.2.64/26"], "192.0.2.1", True),
    "all": (["0.0.0.0/0"], "8.8.8.8", True),
    "ipv6": (["2001:db8::/32"], "2001:db8:1::1", True),
    "ipv6_beside_it": (["2001:db8::/32"], "2001:db9::", False),
    "ipv6_with_zone": (["fe80::/10"], "fe80::1%eth0", True),
    "ipv4_is_not_in_ipv6": (["::/0"], "10.0.0.1", False),
    "ipv6_is_not_in_ipv4": (["0.0.0.0/0"], "::1", False),
    "mapped_address": (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
    "mapped_address_in_hex": (["10.0.0.0/8"], "::FFFF:a00:1", True),
    "mapped_network": (["::ffff:10.0.0.0/104"], "10.0.0.1", True),
    "all_mapped": (["::ffff:0:0/96"], "10.0.0.1", True),
    "unix_socket": (["0.0.0.0/0", "::/0"], "", False),
    "no_address": (["0.0.0.0/0", "::/0"], "localhost", False),
    "none": ([], "10.0.0.1", False),
}


@pytest.mark.parametrize(("networks", "client", "expected"), CASES.values(), ids=CASES)
def test_client(networks: list[str], client: str, expected: bool) -> None:
    assert holds(networks, client) is expected


NETWORKS = st.lists(st.ip_addresses(network="10.0.0.0/28").flatmap(
    lambda address: st.integers(0, 32).map(lambda bits: ip_network((address, bits), strict=False))
))  # fmt: skip


@given(NETWORKS, st.ip_addresses(network="10.0.0.0/27").map(str))
def test_as_the_networks_themselves_say(networks: list[object], client: str) -> None:
    expected = any(ip_address(client) in network for network in networks)  # type: ignore[operator]
    assert holds([str(network) for network in networks], client) is expected
