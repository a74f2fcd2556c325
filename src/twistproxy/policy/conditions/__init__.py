"""What `when` and `unless` can ask: key of the configuration → the condition it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from twistproxy.policy import Condition, Means, Need
from twistproxy.policy.conditions.client import Client
from twistproxy.policy.conditions.host import Host
from twistproxy.policy.conditions.method import Method
from twistproxy.policy.conditions.path import Path
from twistproxy.policy.conditions.port import Port
from twistproxy.policy.conditions.url import Url


@frozen
class Kind:
    """How a condition is made, and what must be known before it can be asked."""

    make: Callable[[tuple[Any, ...], Means], Condition]
    needs: Need = ""


#: The cheapest first: in this order they are asked.
CONDITIONS: Final[dict[str, Kind]] = {
    "port": Kind(Port),
    "method": Kind(Method),
    "path": Kind(Path),
    "client": Kind(Client),
    "host": Kind(Host),
    "url": Kind(Url),
}
