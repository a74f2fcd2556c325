"""What rules are asked about, and rules: short to write."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from twistproxy.config.model import Policy, Rule
from twistproxy.http import uri
from twistproxy.http.message import Request, Response
from twistproxy.http.uri import Target
from twistproxy.policy.plan import Plan, compile_policy


@frozen
class Asked:
    target: Target
    method: str = "GET"
    client: str = "192.0.2.1"
    request: Request | None = None
    user: str | None = None
    groups: frozenset[str] = frozenset()
    at: float = 0.0
    addresses: tuple[str, ...] | None = None
    response: Response | None = None


def known(target: object) -> Target:
    assert isinstance(target, Target), target
    return target


def ask(url: str | bytes, **others: Any) -> Asked:
    return Asked(known(uri.absolute(url.encode() if isinstance(url, str) else url)), **others)


def connect(place: str, **others: Any) -> Asked:
    return Asked(known(uri.tunnel(place.encode())), "CONNECT", **others)


def rule(name: str = "rule", action: Any = "deny", **others: Any) -> Rule:
    return Rule(name=name, action=action, **others)


def plan(*rules: Rule, default: Any = "allow") -> Plan:
    return compile_policy(Policy(default=default, rule=rules))
