"""May it pass? Ordered rules, of which the first that matches decides; one policy for both sides.

In: a question (an exchange, seen from here) and a side. Out: a verdict.
No I/O, no clock, no Deferred: what has yet to be looked up (addresses, the response) is said in
the verdict, and whoever asked asks again. Knows no exchange, no cache, no routes.

plan         the rules of one configuration, and what they decided
rules        one rule compiled: what must hold, and what it then does
index        which rules can match at all
explanation  why: each rule that was considered, and what decided it
edits        what `continue` rules change in requests and responses
patterns     RE2, for conditions
countries    where addresses are
desk         the policy as its operator sees it: explain, recent, top, learn
asking       a question, and its answer, in words
assertions   what verdicts are to be, in a file
learning     the smallest allow-list for what was seen
parked       exchanges that wait for an operator's answer
answers      answers that stand
limits/      what they count: rates, concurrency, quotas, bandwidth
lists/       formats of lists, and look-ups in them
conditions/  what `when` and `unless` can ask, one condition a file

To add a condition: conditions/NAME.py with a class as `Condition`, its line in
`conditions.CONDITIONS`, its key in `config.model.When`, tests/policy/conditions/test_NAME.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from attrs import frozen

from twistproxy.http.message import Request, Response
from twistproxy.http.uri import Target

if TYPE_CHECKING:
    from twistproxy.config.model import Ask, Rule
    from twistproxy.policy.limits import Limit
    from twistproxy.policy.limits.bandwidth import Bandwidth
    from twistproxy.policy.rules import Compiled

#: What is not known of a question from the start.
Need = Literal["", "addresses", "response"]
Action = Literal["allow", "deny", "redirect", "ask", "look up"]


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

    @property
    def request(self) -> Request | None: ...
    @property
    def user(self) -> str | None:
        """Who asks, where somebody was asked for a name."""

    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def at(self) -> float:
        """When it is asked: seconds since 1970."""

    @property
    def addresses(self) -> tuple[str, ...] | None:
        """Of the target's host; None: not looked up yet."""

    @property
    def response(self) -> Response | None:
        """The head of the answer; None: not there yet."""


@frozen
class Verdict:
    """rule: who says so, "default" where no rule matched. status: of the answer, 0 to allow.

    location: where to redirect, else None. page: in place of the usual one, else None.
    steps: the `continue` rules that hold before it, in order. pending: rules before it that the
    response will decide, for which `otherwise` waits: the verdict if none of them holds.
    shadows: those that would have decided, were they no shadows.

    ask: how long an operator is waited for, where one is asked.

    "look up" is no decision: ask again when the target's addresses are known.
    """

    action: Action
    rule: str
    status: int = 0
    location: str | None = None
    page: str | None = None
    steps: tuple[Compiled, ...] = ()
    pending: tuple[Compiled, ...] = ()
    otherwise: Verdict | None = None
    shadows: tuple[Compiled, ...] = ()
    ask: Ask | None = None


class Lookup(Protocol):
    """A list, as the condition `list` asks it."""

    def has(self, question: Question) -> bool: ...


class Unread:
    """A list whose content nobody has asked for yet."""

    def has(self, question: Question) -> bool:
        return False


def _nowhere(_: str) -> None:
    return None


def _none(_: Rule) -> tuple[Limit, ...]:
    return ()


def _unlimited(_: Rule) -> None:
    return None


@frozen
class Means:
    """What conditions and rules are made of besides their values.

    limits, bandwidth: those of a rule. lists: by name. countries: the ISO code of an address'
    country, None where unknown. timezone: what stands beside `time`; None: the system's.
    """

    lists: Mapping[str, Lookup] = {}
    countries: Callable[[str], str | None] = _nowhere
    timezone: str | None = None
    limits: Callable[[Rule], tuple[Limit, ...]] = _none
    bandwidth: Callable[[Rule], Bandwidth | None] = _unlimited


class Condition(Protocol):
    """One key of `when` or `unless`, made of its list of values and the `Means`.

    Making it raises ValueError where a value can't be; asking never raises.
    """

    def holds(self, question: Question) -> bool:
        """Whether any of the values is what the question has."""

    def seen(self, question: Question) -> str:
        """What the question has there, for a person; never a secret."""
