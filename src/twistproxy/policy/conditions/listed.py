"""list: whether any of these lists has what is asked."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.config.errors import did_you_mean
from twistproxy.policy import Means, Question


class Listed:
    def __init__(self, names: Iterable[str], means: Means) -> None:
        self._lists = []
        for name in names:
            found = means.lists.get(name)
            if found is None:
                raise ValueError(f"there is no list of this name{did_you_mean(name, means.lists)}")
            self._lists.append(found)

    def holds(self, question: Question) -> bool:
        for found in self._lists:  # noqa: SIM110  # a generator costs more than a look-up
            if found.has(question):
                return True
        return False

    def seen(self, question: Question) -> str:
        return question.target.url.partition("?")[0]
