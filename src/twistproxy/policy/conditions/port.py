"""port: the target's, whether written or the scheme's default."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.policy import Means, Question


class Port:
    def __init__(self, ports: Iterable[int], means: Means) -> None:
        self._ports = frozenset(ports)

    def holds(self, question: Question) -> bool:
        return question.target.port in self._ports

    def seen(self, question: Question) -> str:
        return str(question.target.port)
