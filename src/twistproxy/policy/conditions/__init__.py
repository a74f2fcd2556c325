"""What `when` and `unless` can ask: key of the configuration → the condition it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twistproxy.policy import Condition
from twistproxy.policy.conditions.client import Client
from twistproxy.policy.conditions.host import Host
from twistproxy.policy.conditions.method import Method
from twistproxy.policy.conditions.path import Path
from twistproxy.policy.conditions.port import Port
from twistproxy.policy.conditions.url import Url

#: The cheapest first: in this order they are asked.
CONDITIONS: Final[dict[str, Callable[[tuple[Any, ...]], Condition]]] = {
    "port": Port,
    "method": Method,
    "path": Path,
    "client": Client,
    "host": Host,
    "url": Url,
}
