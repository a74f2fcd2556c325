from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listing import asked, contents, lookup

HAS = {
    # list, target, its addresses, whether it has it
    "within": ("192.0.2.0/24", "http://192.0.2.7/", None, True),
    "outside": ("192.0.2.0/24", "http://192.0.3.7/", None, False),
    "an_address": ("192.0.2.7", "192.0.2.7:443", None, True),
    "everything": ("0.0.0.0/0", "192.0.2.7:443", None, True),
    "not_of_the_other_version": ("0.0.0.0/0", "[2001:db8::1]:443", None, False),
    "ipv6": ("2001:db8::/32", "http://[2001:db8:1::1]/", None, True),
    "mapped": ("192.0.2.0/24", "http://[::ffff:192.0.2.7]/", None, True),
    "mapped_in_the_list": ("::ffff:192.0.2.0/120", "http://192.0.2.7/", None, True),
    "host_bits": ("192.0.2.99/24", "192.0.2.7:443", None, True),
    "name_not_looked_up": ("192.0.2.0/24", "http://a.example/", None, False),
    "name_looked_up": ("192.0.2.0/24", "http://a.example/", ("10.0.0.1", "192.0.2.7"), True),
    "name_elsewhere": ("192.0.2.0/24", "http://a.example/", ("10.0.0.1",), False),
    "name_without": ("192.0.2.0/24", "http://a.example/", (), False),
    "drop_list": ("192.0.2.0/24 ; SBL1", "192.0.2.7:443", None, True),
    "comment": ("# 192.0.2.0/24", "192.0.2.7:443", None, False),
}


@pytest.mark.parametrize(("text", "target", "addresses", "has"), HAS.values(), ids=HAS)
def test_has(text: str, target: str, addresses: tuple[str, ...] | None, has: bool) -> None:
    assert lookup("cidr", text).has(asked(target, addresses)) is has


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(24, 32))), st.integers(0, 63))
def test_as_ipaddress_says(networks: list[tuple[int, int]], last: int) -> None:
    written = [ip_network(f"192.0.2.{at}/{bits}", strict=False) for at, bits in networks]
    address = f"192.0.2.{last}"
    found = lookup("cidr", "\n".join(map(str, written))).has(asked(f"http://{address}/"))
    assert found is any(ip_address(address) in network for network in written)


def test_unreadable() -> None:
    _, found = contents("cidr", "192.0.2.0/33\nexample.org\n192.0.2.1-192.0.2.9\n300.1.1.1")
    assert (found.entries, found.unreadable) == (0, 4)
