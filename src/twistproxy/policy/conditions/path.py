"""path: how the target's path begins. A tunnel has none, so nothing begins it."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.http.uri import path_prefix
from twistproxy.policy import Means, Question


class Path:
    def __init__(self, prefixes: Iterable[str], means: Means) -> None:
        self.prefixes = tuple(map(path_prefix, prefixes))

    def holds(self, question: Question) -> bool:
        return question.target.path.startswith(self.prefixes)

    def seen(self, question: Question) -> str:
        return question.target.path or "a tunnel"
