"""What `when` and `unless` can ask: key of the configuration → the condition it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from twistproxy.policy import Condition, Means, Need
from twistproxy.policy.conditions.agent import Agent
from twistproxy.policy.conditions.client import Client
from twistproxy.policy.conditions.content_type import ContentType
from twistproxy.policy.conditions.cookie import Cookie
from twistproxy.policy.conditions.country import Country
from twistproxy.policy.conditions.group import Group
from twistproxy.policy.conditions.header import Header
from twistproxy.policy.conditions.host import Host
from twistproxy.policy.conditions.hours import Hours
from twistproxy.policy.conditions.length import Length
from twistproxy.policy.conditions.listed import Listed
from twistproxy.policy.conditions.method import Method
from twistproxy.policy.conditions.path import Path
from twistproxy.policy.conditions.port import Port
from twistproxy.policy.conditions.query import Query
from twistproxy.policy.conditions.resolved import Resolved
from twistproxy.policy.conditions.scheme import Scheme
from twistproxy.policy.conditions.url import Url
from twistproxy.policy.conditions.user import User


@frozen
class Kind:
    """How a condition is made, and what must be known before it can be asked."""

    make: Callable[[tuple[Any, ...], Means], Condition]
    needs: Need = ""


#: The cheapest first: in this order they are asked.
CONDITIONS: Final[dict[str, Kind]] = {
    "port": Kind(Port),
    "method": Kind(Method),
    "scheme": Kind(Scheme),
    "user": Kind(User),
    "group": Kind(Group),
    "path": Kind(Path),
    "client": Kind(Client),
    "host": Kind(Host),
    "time": Kind(Hours),
    "country": Kind(Country),
    "agent": Kind(Agent),
    "list": Kind(Listed),
    "url": Kind(Url),
    "query": Kind(Query),
    "header": Kind(Header),
    "cookie": Kind(Cookie),
    "resolved": Kind(Resolved, "addresses"),
    "content_type": Kind(ContentType, "response"),
    "length": Kind(Length, "response"),
}
