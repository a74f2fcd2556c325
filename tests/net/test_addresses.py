from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.net.addresses import (
    METADATA,
    REGISTRY,
    Judge,
    globally_reachable,
    local_address,
    own,
)


def judge(*networks: str, everything: bool = False) -> Judge:
    allow = everything or tuple(map(ip_network, networks))
    return Judge(allow, lambda address, port: False)


# What IANA calls globally reachable, and what it does not.
PUBLIC = {
    "8.8.8.8": "somebody's",
    "1.1.1.1": "somebody's",
    "9.255.255.255": "below 10/8",
    "11.0.0.0": "above 10/8",
    "100.63.255.255": "below shared space",
    "100.128.0.0": "above shared space",
    "126.255.255.255": "below loopback",
    "128.0.0.0": "above loopback",
    "169.253.255.255": "below link local",
    "172.15.255.255": "below 172.16/12",
    "172.32.0.0": "above 172.16/12",
    "192.0.0.9": "PCP anycast",
    "192.0.0.10": "TURN anycast",
    "192.0.1.0": "above protocol assignments",
    "192.31.196.1": "AS112",
    "192.52.193.1": "AMT",
    "192.175.48.1": "AS112 direct delegation",
    "192.167.255.255": "below 192.168/16",
    "198.17.255.255": "below benchmarking",
    "198.20.0.0": "above benchmarking",
    "223.255.255.255": "below multicast",
    "2606:4700:4700::1111": "somebody's",
    "2a00:1450:4001::8a": "somebody's",
    "2001:1::1": "PCP anycast",
    "2001:1::2": "TURN anycast",
    "2001:1::3": "DNS-SD SRP anycast",
    "2001:3::1": "AMT",
    "2001:4:112::1": "AS112",
    "2001:20::1": "ORCHIDv2",
    "2001:30::1": "drone remote ID",
    "2001:200::1": "above protocol assignments",
    "2001:db7::1": "below documentation",
    "2003::1": "above 6to4",
    "2620:4f:8000::1": "AS112 direct delegation",
    "::ffff:8.8.8.8": "mapped",
    "::ffff:808:808": "mapped",
    "64:ff9b::8.8.8.8": "NAT64",
}
SPECIAL = {
    "0.0.0.0": "this host",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.1.1": "link local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "protocol assignments",
    "192.0.0.8": "dummy",
    "192.0.0.170": "NAT64 discovery",
    "192.0.2.1": "TEST-NET-1",
    "192.88.99.1": "6to4 relay anycast",
    "192.168.0.1": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "TEST-NET-2",
    "203.0.113.1": "TEST-NET-3",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::2": "not given out",
    "::7f00:1": "v4-compatible loopback",
    "::8.8.8.8": "v4-compatible, whatever is inside",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:a00:1": "mapped private",
    "::ffff:0:8.8.8.8": "IPv4-translated, RFC 2765",
    "64:ff9b::127.0.0.1": "NAT64 to loopback",
    "64:ff9b::a9fe:1": "NAT64 to link local",
    "64:ff9b::1:8.8.8.8": "above NAT64",
    "64:ff9b:1::8.8.8.8": "NAT64, local use",
    "100::1": "discard only",
    "100:0:0:1::1": "dummy",
    "1000::1": "not given out",
    "2001::1": "Teredo",
    "2001:0:808:808::1": "Teredo",
    "2001:2::1": "benchmarking",
    "2001:10::1": "ORCHID",
    "2001:db8::1": "documentation",
    "2002:808:808::1": "6to4",
    "2002:7f00:1::1": "6to4 to loopback",
    "3fff::1": "documentation",
    "4000::1": "not given out",
    "5f00::1": "SRv6 SIDs",
    "fc00::1": "unique local",
    "fdff::1": "unique local",
    "fe80::1": "link local",
    "fe80::1%eth0": "link local with a zone",
    "fec0::1": "site local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast, global scope",
    "": "not an address",
    "localhost": "not an address",
    "127.1": "not an address",
    "0x7f000001": "not an address",
    "010.0.0.1": "not an address",
    "[::1]": "not an address",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert judge().allows(address, 80)


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_refused(address: str) -> None:
    assert not judge().allows(address, 80)


def test_every_row_of_the_registry_is_true_of_some_address() -> None:
    for text, reachable, source in REGISTRY:
        network = ip_network(text)
        edges = (network[0], network[-1], network[network.num_addresses // 2 + 1 - 1])
        assert any(globally_reachable(a) is reachable for a in edges), (text, source)


@given(st.ip_addresses(v=4))
def test_wrapping_an_ipv4_address_never_opens_it(inside: IPv4Address) -> None:
    plain = judge().allows(str(inside), 80)
    number = int(inside)
    assert judge().allows(f"::ffff:{inside}", 80) is plain
    assert judge().allows(f"64:ff9b::{inside}", 80) is plain
    for wrapped in (number, 0x2002 << 112 | number << 80, 0x64FF9B0001 << 80 | number):
        assert not judge().allows(str(IPv6Address(wrapped)), 80)


OPENED = {  # networks, address, allowed?
    "in the network": (["10.1.0.0/16"], "10.1.2.3", True),
    "beside it": (["10.1.0.0/16"], "10.2.0.1", False),
    "one of several": (["10.1.0.0/16", "fd12::/16"], "fd12::1", True),
    "public too": (["10.1.0.0/16"], "8.8.8.8", True),
    "mapped": (["10.1.0.0/16"], "::ffff:10.1.2.3", True),
    "NAT64": (["10.1.0.0/16"], "64:ff9b::10.1.2.3", True),
    "written as mapped": (["::ffff:10.1.0.0/112"], "10.1.2.3", True),
    "6to4 is special itself": (["10.1.0.0/16"], "2002:a01:203::1", False),
    "6to4 opened, with what is inside": (["2002::/16"], "2002:a01:203::1", True),
    "local NAT64 opened": (["64:ff9b:1::/48"], "64:ff9b:1::10.1.2.3", True),
    "all IPv6 is not IPv4": (["::/0"], "::ffff:10.1.2.3", False),
}


@pytest.mark.parametrize(("networks", "address", "allowed"), OPENED.values(), ids=OPENED)
def test_networks_open_what_is_in_them(networks: list[str], address: str, allowed: bool) -> None:
    assert judge(*networks).allows(address, 80) is allowed


@pytest.mark.parametrize("address", [a for a in SPECIAL if SPECIAL[a] != "not an address"])
def test_true_opens_the_rest(address: str) -> None:
    assert judge(everything=True).allows(address, 80)


def disguises(address: str) -> list[str]:
    if ":" in address:
        return [address, f"{address}%eth0"]
    number = int(IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    return [
        address,
        f"::ffff:{address}",
        f"::{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::",  # a prefix of 48 bits
        f"64:ff9b:1:77{high >> 8:02x}:{high & 0xFF:x}:{low:x}::",  # of 56
        f"64:ff9b:1:7777:{high >> 8:x}:{(high & 0xFF) << 8 | low >> 8:x}:{(low & 0xFF) << 8:x}::",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:{high:x}:{low:x}::1",  # a Teredo server
        f"2001:0:808:808::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",  # a Teredo client
    ]


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_opened_only_by_itself(address: str) -> None:
    everything = judge(everything=True)
    wide = judge("0.0.0.0/0", "::/0", "169.254.169.254/31", "fd00:ec2::254/127")
    for disguise in disguises(address):
        assert not judge().allows(disguise, 80)
        assert not everything.allows(disguise, 80)
        assert not wide.allows(disguise, 80)
    assert judge(address).allows(address, 80)


def test_a_metadata_address_does_not_open_its_disguises() -> None:
    written = judge("169.254.169.254/32")
    assert written.allows("::ffff:169.254.169.254", 80)
    assert written.allows("64:ff9b::169.254.169.254", 80)  # the same machine, through NAT64
    assert not written.allows("2002:a9fe:a9fe::1", 80)
    assert not written.allows("169.254.170.2", 80)
    assert not written.allows("169.254.1.1", 80)


def test_never_wins_over_everything() -> None:
    asked = []

    def never(address: str, port: int) -> bool:
        asked.append((address, port))
        return port == 9090

    opened = Judge(True, never)
    assert opened.allows("127.0.0.1", 80)
    assert not opened.allows("127.0.0.1", 9090)
    assert asked == [("127.0.0.1", 80), ("127.0.0.1", 9090)]


HERE = {"192.0.2.7", "2001:db8::7"}
OWN = {  # listener, (address, port), ours?
    "the very one": (("127.0.0.1", 3128), ("127.0.0.1", 3128), True),
    "another port": (("127.0.0.1", 3128), ("127.0.0.1", 80), False),
    "another loopback address": (("127.0.0.1", 3128), ("127.0.0.2", 3128), False),
    "mapped": (("127.0.0.1", 3128), ("::ffff:127.0.0.1", 3128), True),
    "NAT64": (("127.0.0.1", 3128), ("64:ff9b::127.0.0.1", 3128), True),
    "0.0.0.0 is localhost": (("127.0.0.1", 3128), ("0.0.0.0", 3128), True),
    ":: is localhost": (("::1", 3128), ("::", 3128), True),
    "0.0.0.0 is not eth0": (("192.0.2.7", 3128), ("0.0.0.0", 3128), False),
    "any interface, loopback": (("0.0.0.0", 3128), ("127.9.9.9", 3128), True),
    "any interface, eth0": (("0.0.0.0", 3128), ("192.0.2.7", 3128), True),
    "any interface, elsewhere": (("0.0.0.0", 3128), ("198.51.100.1", 3128), False),
    "any interface, 0.0.0.0": (("0.0.0.0", 3128), ("0.0.0.0", 3128), True),
    "no interface": (("", 3128), ("192.0.2.7", 3128), True),
    "any IPv6 interface": (("::", 3128), ("2001:db8::7", 3128), True),
    "any IPv6 interface, by IPv4": (("::", 3128), ("192.0.2.7", 3128), True),
    "IPv6 in another spelling": (("2001:db8::7", 3128), ("2001:DB8:0::0:7", 3128), True),
    "IPv6 with a zone": (("fe80::7", 3128), ("fe80::7%eth0", 3128), True),
    "a unix socket": (("/run/proxy.sock", 0), ("127.0.0.1", 0), False),
    "not an address": (("0.0.0.0", 3128), ("localhost", 3128), False),
}


@pytest.mark.parametrize(("listener", "target", "expected"), OWN.values(), ids=OWN)
def test_own(listener: tuple[str, int], target: tuple[str, int], expected: bool) -> None:
    listeners = [("198.51.100.77", 1), listener]
    assert own(*target, listeners, local=HERE.__contains__) is expected


def test_the_kernel_is_asked_only_for_a_wildcard_on_that_port() -> None:
    def unasked(address: str) -> bool:
        raise AssertionError(address)

    assert not own("8.8.8.8", 80, [("0.0.0.0", 3128), ("192.0.2.7", 80)], local=unasked)


class Probe:
    """A socket that can bind to and route from what is given."""

    def __init__(self, bound: set[str], routed: set[str]) -> None:
        self.bound, self.routed = bound, routed
        self.closed = False

    def __call__(self, family: int, kind: int) -> Probe:
        assert kind == socket.SOCK_DGRAM
        return self

    def bind(self, target: tuple[str, int]) -> None:
        if target[0] not in self.bound:
            raise OSError

    def connect(self, target: tuple[str, int]) -> None:
        if target[0] not in self.routed:
            raise OSError

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed = True


LOCAL = {
    "ours": ({"192.0.2.7"}, {"192.0.2.7"}, True),
    "somebody's": (set(), {"192.0.2.7"}, False),
    "somebody's, but non-local binds are on": ({"192.0.2.7"}, set(), False),
}


@pytest.mark.parametrize(("bound", "routed", "expected"), LOCAL.values(), ids=LOCAL)
def test_local_address(
    bound: set[str], routed: set[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(bound, routed)
    monkeypatch.setattr(socket, "socket", probe)
    assert local_address("192.0.2.7") is expected
    assert probe.closed
