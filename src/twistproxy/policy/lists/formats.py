"""The formats of lists, by the names that the configuration has for them."""

from __future__ import annotations

from typing import Final

from twistproxy.policy.lists import Format
from twistproxy.policy.lists.names import ADBLOCK, DOMAINS, HOSTS
from twistproxy.policy.lists.networks import NETWORKS
from twistproxy.policy.lists.patterns import PATTERNS
from twistproxy.policy.lists.urls import URLS

FORMATS: Final[dict[str, Format]] = {
    "hosts": HOSTS,
    "domains": DOMAINS,
    "urls": URLS,
    "regex": PATTERNS,
    "cidr": NETWORKS,
    "adblock": ADBLOCK,
}
