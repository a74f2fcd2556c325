"""Which addresses may be connected to, and which of them are ours.

Judged on the address that is connected to, after the lookup: rebinding a name does not help.
IANA's special-purpose registries stand here as data, since the answers of
`ipaddress.is_global` differ between versions of Python. What they don't call globally
reachable is refused, "N/A" included; so is IPv6 space that nobody has been given yet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REMEMBERED = 4096  #: verdicts kept a judge

# (network, globally reachable?, source). The longest prefix that matches decides.
REGISTRY: tuple[tuple[str, bool, str], ...] = (
    # iana-ipv4-special-registry
    ("0.0.0.0/0", True, "RFC 791"),
    ("0.0.0.0/8", False, "RFC 791 §3.2: this network"),
    ("10.0.0.0/8", False, "RFC 1918: private use"),
    ("100.64.0.0/10", False, "RFC 6598: shared address space"),
    ("127.0.0.0/8", False, "RFC 1122 §3.2.1.3: loopback"),
    ("169.254.0.0/16", False, "RFC 3927: link local"),
    ("172.16.0.0/12", False, "RFC 1918: private use"),
    ("192.0.0.0/24", False, "RFC 6890 §2.1: IETF protocol assignments"),
    ("192.0.0.9/32", True, "RFC 7723: PCP anycast"),
    ("192.0.0.10/32", True, "RFC 8155: TURN anycast"),
    ("192.0.2.0/24", False, "RFC 5737: TEST-NET-1"),
    ("192.88.99.0/24", False, "RFC 7526: 6to4 relay anycast, deprecated"),
    ("192.168.0.0/16", False, "RFC 1918: private use"),
    ("198.18.0.0/15", False, "RFC 2544: benchmarking"),
    ("198.51.100.0/24", False, "RFC 5737: TEST-NET-2"),
    ("203.0.113.0/24", False, "RFC 5737: TEST-NET-3"),
    ("224.0.0.0/4", False, "RFC 5771: multicast"),
    ("240.0.0.0/4", False, "RFC 1112 §4: reserved; with 255.255.255.255, RFC 919"),
    # iana-ipv6-special-registry
    ("::/0", False, "RFC 4291 §2.4: not given out; ::, ::1, v4-compatible, site-local"),
    ("64:ff9b::/96", True, "RFC 6052: NAT64"),
    ("64:ff9b:1::/48", False, "RFC 8215: NAT64, local use"),
    ("100::/64", False, "RFC 6666: discard only"),
    ("100:0:0:1::/64", False, "RFC 9780: dummy prefix"),
    ("2000::/3", True, "RFC 3587 §2: global unicast"),
    ("2001::/23", False, "RFC 2928: IETF protocol assignments; Teredo, RFC 4380"),
    ("2001:1::1/128", True, "RFC 7723: PCP anycast"),
    ("2001:1::2/128", True, "RFC 8155: TURN anycast"),
    ("2001:1::3/128", True, "RFC 9665: DNS-SD SRP anycast"),
    ("2001:3::/32", True, "RFC 7450: AMT"),
    ("2001:4:112::/48", True, "RFC 7535: AS112-v6"),
    ("2001:20::/28", True, "RFC 7343: ORCHIDv2"),
    ("2001:30::/28", True, "RFC 9374: drone remote ID"),
    ("2001:db8::/32", False, "RFC 3849: documentation"),
    ("2002::/16", False, "RFC 3056: 6to4"),
    ("3fff::/20", False, "RFC 9637: documentation"),
    ("5f00::/16", False, "RFC 9602: SRv6 SIDs"),
    ("fc00::/7", False, "RFC 4193: unique local"),
    ("fe80::/10", False, "RFC 4291 §2.5.6: link local"),
    ("ff00::/8", False, "RFC 4291 §2.7: multicast"),
)

# Where clouds keep the credentials of the machine or container they run.
METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Google, Azure, OpenStack, Oracle, DigitalOcean, Hetzner…
            "fd00:ec2::254",  # AWS
            "169.254.170.2",  # AWS ECS
            "169.254.170.23",  # AWS EKS
            "fd00:ec2::23",  # AWS EKS
            "fd20:ce::254",  # Google
            "168.63.129.16",  # Azure's host; a public address
            "100.100.100.200",  # Alibaba
            "169.254.0.23",  # Tencent
            "169.254.42.42",  # Scaleway
            "fd00:42::42",  # Scaleway
            "192.0.0.192",  # Oracle Classic
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)

# The longest prefix first.
_REGISTRY = sorted(
    ((ip_network(network), reachable) for network, reachable, _ in REGISTRY),
    key=lambda row: -row[0].prefixlen,
)

_V4_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")


class Judge:
    """Decides about addresses as `allow_private` says.

    allow: True opens all special addresses, networks open what is in them or embedded in them.
    A cloud's metadata address is opened only by itself, as /32 or /128.
    never: the address and port that are refused whatever `allow` says (see `own`).
    """

    def __init__(
        self, allow: bool | tuple[Network, ...], never: Callable[[str, int], bool]
    ) -> None:
        self._never = never
        networks = () if isinstance(allow, bool) else tuple(map(_canonical_network, allow))
        single = {n.network_address for n in networks if n.prefixlen == n.max_prefixlen}

        def judge(text: str) -> bool:
            address = canonical(text)
            if address is None:
                return False
            readings = (address, *embedded(address))
            if address not in single and not single.issuperset(METADATA.intersection(readings)):
                return False
            return allow is True or all(
                globally_reachable(reading) or _inside(networks, reading, address)
                for reading in readings
            )

        # An address costs microseconds to judge, and the same ones come again and again.
        self._judge = lru_cache(REMEMBERED)(judge)

    def allows(self, address: str, port: int) -> bool:
        """Whether `address` may be connected to at `port`. What is not an address may not."""
        return self._judge(address) and not self._never(address, port)


def canonical(text: str) -> Address | None:
    """The address that the kernel connects to for `text`; None if that isn't an address.

    IPv4-mapped addresses are the IPv4 address; a zone (``%eth0``) is left out.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a translator or tunnel may read in `address`."""
    if isinstance(address, IPv4Address):
        return
    raw = address.packed
    if address in _V4_COMPATIBLE:  # RFC 4291 §2.5.5.1
        if int(address) > 1:  # not :: and ::1
            yield IPv4Address(raw[12:])
    elif address in _NAT64:
        yield IPv4Address(raw[12:])
    elif address in _NAT64_LOCAL:  # RFC 6052 §2.2: prefixes of 48, 56, 64 and 96 bits
        yield IPv4Address(raw[6:8] + raw[9:11])
        yield IPv4Address(raw[7:8] + raw[9:12])
        yield IPv4Address(raw[9:13])
        yield IPv4Address(raw[12:])
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo  # the server, and the client behind it


def globally_reachable(address: Address) -> bool:
    """What IANA's registries say."""
    return next(reachable for network, reachable in _REGISTRY if address in network)


def own(
    address: str,
    port: int,
    listeners: Collection[tuple[str, int]],
    local: Callable[[str], bool] | None = None,
) -> bool:
    """Whether connecting to `address` and `port` reaches one of our `listeners`.

    listeners: interface and port each; "", "0.0.0.0" and "::" are every address of this machine.
    local: whether an address is this machine's; None: ask the kernel.
    """
    interfaces = [canonical(interface or "::") for interface, number in listeners if number == port]
    if not interfaces:
        return False
    if (target := canonical(address)) is None:
        return False
    if local is None:
        local = local_address
    wildcard = any(interface is not None and interface.is_unspecified for interface in interfaces)
    for reading in (target, *embedded(target)):
        if reading.is_unspecified:  # connecting to 0.0.0.0 or :: reaches localhost
            if wildcard or any(i is not None and i.is_loopback for i in interfaces):
                return True
        elif reading in interfaces or (wildcard and (reading.is_loopback or local(str(reading)))):
            return True
    return False


def local_address(address: str) -> bool:
    """Whether `address` is one of this machine's. Two system calls, no packet."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            # With ip_nonlocal_bind (failover by VRRP) any address can be bound, but only
            # our own can also be the source of a route.
            probe.connect((address, 9))
    except OSError:
        return False
    return True


def _canonical_network(network: Network) -> Network:
    """The IPv4 network where `network` is one of IPv4-mapped addresses."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _inside(networks: tuple[Network, ...], *addresses: Address) -> bool:
    return any(address in network for network in networks for address in addresses)
