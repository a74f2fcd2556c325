"""method: as sent; methods are case-sensitive (RFC 9110 §9.1)."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.policy import Means, Question


class Method:
    def __init__(self, methods: Iterable[str], means: Means) -> None:
        self._methods = frozenset(methods)

    def holds(self, question: Question) -> bool:
        return question.method in self._methods

    def seen(self, question: Question) -> str:
        return question.method
