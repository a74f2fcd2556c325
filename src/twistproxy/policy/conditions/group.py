"""group: of whom the one who asks is."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.policy import Means, Question


class Group:
    def __init__(self, names: Iterable[str], means: Means) -> None:
        self._names = frozenset(names)
        if "" in self._names:
            raise ValueError("no group's name is empty")

    def holds(self, question: Question) -> bool:
        return not self._names.isdisjoint(question.groups)

    def seen(self, question: Question) -> str:
        return ", ".join(sorted(question.groups)) or "in no group"
