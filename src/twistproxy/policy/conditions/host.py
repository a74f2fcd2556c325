"""host: ``example.org`` is that host, ``.example.org`` that and all below, ``*.example.org`` only
below; or an address.

An IPv4-mapped IPv6 address leads to the IPv4 address, so rules see it as that.
"""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.http.hosts import patterns_of, unmapped
from twistproxy.http.uri import host_pattern
from twistproxy.policy import Means, Question


class Host:
    def __init__(self, patterns: Iterable[str], means: Means) -> None:
        self.patterns = frozenset(unmapped(host_pattern(pattern)) for pattern in patterns)

    def holds(self, question: Question) -> bool:
        return not self.patterns.isdisjoint(patterns_for(question))

    def seen(self, question: Question) -> str:
        return question.target.host


def patterns_for(question: Question) -> tuple[str, ...]:
    """Every pattern that matches the question's host; as many as its labels, twice."""
    return patterns_of(unmapped(question.target.host))
