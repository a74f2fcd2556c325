"""May it pass? Ordered rules, of which the first that matches decides; one policy for both sides.

In: a question (method, target in normal form, client's address) and a side. Out: a verdict.
No I/O, no clock, no Deferred. Knows no exchange, no cache, no routes.

plan         rules compiled once, and the counts of what they decided
conditions/  what `when` and `unless` can ask, one condition a file

To add a condition: conditions/NAME.py with a class as `Condition`, its line in
`conditions.CONDITIONS`, its key in `config.model.When`, tests/policy/conditions/test_NAME.py.
"""

from __future__ import annotations

from typing import Literal, Protocol

from attrs import frozen

from twistproxy.http.uri import Target


class Question(Protocol):
    """What a rule may ask about: an exchange, seen from here."""

    @property
    def method(self) -> str:
        """As sent: methods are case-sensitive (RFC 9110 §9.1)."""

    @property
    def target(self) -> Target: ...
    @property
    def client(self) -> str:
        """Text of an IP address; "" for a unix socket, which is in no network."""


@frozen
class Verdict:
    """rule: who says so, "default" where no rule matched. status: of the answer, 0 to allow.
    location: where to redirect, else None."""

    action: Literal["allow", "deny", "redirect"]
    rule: str
    status: int = 0
    location: str | None = None


class Condition(Protocol):
    """One key of `when` or `unless`, made of its list of values.

    Making it raises ValueError where a value can't be; asking never raises.
    """

    def holds(self, question: Question) -> bool:
        """Whether any of the values is what the question has."""
