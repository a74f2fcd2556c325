"""agent: an RE2 pattern, searched in User-Agent. Of a tunnel it is the CONNECT's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

from twistproxy.config.errors import shown
from twistproxy.policy import Means, Question
from twistproxy.policy.patterns import compiled, is_in

# Few differ, so what was found is worth remembering; longer ones are nobody's usual.
_KEPT = 128
_KEPT_MAX = 512


class Agent:
    def __init__(self, patterns: Iterable[str], means: Means) -> None:
        self._patterns = tuple(map(compiled, patterns))
        # Not a method: it would keep itself alive.
        self._known: Callable[[bytes], bool] = lru_cache(_KEPT)(partial(_any_is_in, self._patterns))

    def holds(self, question: Question) -> bool:
        value = _value(question)
        if value is None:
            return False
        return self._known(value) if len(value) <= _KEPT_MAX else _any_is_in(self._patterns, value)

    def seen(self, question: Question) -> str:
        value = _value(question)
        return "no User-Agent" if value is None else shown(value.decode("utf-8", "replace"))


def _value(question: Question) -> bytes | None:
    request = question.request
    return None if request is None else request.fields.get(b"user-agent")


def _any_is_in(patterns: tuple[Any, ...], value: bytes) -> bool:
    return any(is_in(pattern, value) for pattern in patterns)
