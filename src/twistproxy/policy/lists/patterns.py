"""Lists of RE2 patterns, searched in URLs. A tunnel has no URL.

They are searched in groups: 64 alternatives of one pattern cost two times what one alone does,
while one by one they cost 64 times that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import re2  # type: ignore[import-untyped]

from twistproxy.policy import Question
from twistproxy.policy.lists import Format
from twistproxy.policy.lists.table import Table

_GROUP: Final = 64
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # it would write to stderr itself
_OPTIONS.never_capture = True


class Patterns:
    """No re2.Set: it answers "no match" when its automaton runs out of memory."""

    def __init__(self, table: Table) -> None:
        self._groups = [re2.compile(line, _OPTIONS) for line in table.lines()]

    def has(self, question: Question) -> bool:
        target = question.target
        if target.scheme:
            for group in self._groups:
                if group.search(target.url):
                    return True
        return False


def _read(line: str) -> Sequence[str] | None:
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    if not _compiles(text):
        raise ValueError("it is no RE2 pattern")
    return (text,)


def _compiles(pattern: str) -> bool:
    try:
        re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeError):
        return False
    return True


def _grouped(keys: list[str]) -> Iterator[str]:
    """Alternatives of one pattern; alone where RE2 finds them too large together."""
    different = list(dict.fromkeys(keys))
    for at in range(0, len(different), _GROUP):
        some = different[at : at + _GROUP]
        whole = "|".join(f"(?:{pattern})" for pattern in some)
        yield from [whole] if _compiles(whole) else some


PATTERNS: Final = Format(_read, Patterns, kept=_grouped)
