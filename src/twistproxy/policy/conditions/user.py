"""user: who asks, by the name that was proven, letter for letter."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.policy import Means, Question


class User:
    def __init__(self, names: Iterable[str], means: Means) -> None:
        self._names = frozenset(names)
        if "" in self._names:
            raise ValueError("nobody's name is empty")

    def holds(self, question: Question) -> bool:
        return question.user in self._names

    def seen(self, question: Question) -> str:
        return "nobody known" if question.user is None else question.user
