"""url: an RE2 pattern, searched in ``scheme://authority/path?query``. A tunnel has no URL."""

from __future__ import annotations

from collections.abc import Iterable

import re2  # type: ignore[import-untyped]

from twistproxy.policy import Means, Question

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # it would write to stderr itself


class Url:
    def __init__(self, patterns: Iterable[str], means: Means) -> None:
        # One by one: an re2.Set answers "no match" when its automaton runs out of memory, and a
        # request slips by; a single pattern goes on without one.
        try:
            self._patterns = tuple(re2.compile(pattern, _OPTIONS) for pattern in patterns)
        except re2.error as why:
            raise ValueError(f"no RE2 pattern: {why}") from None

    def holds(self, question: Question) -> bool:
        target = question.target
        if target.scheme:
            for pattern in self._patterns:
                if pattern.search(target.url):
                    return True
        return False

    def seen(self, question: Question) -> str:
        target = question.target
        return target.url if target.scheme else "a tunnel"
