"""content_type: of the response; ``text/html``, ``video/*`` or ``*/*`` for any that is said.

In any case, parameters left out; where several are said, each counts, since recipients differ in
which they believe. A response that says none matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from twistproxy.config.errors import shown
from twistproxy.policy import Means, Question

_TYPE: Final = re.compile(r"\*/\*|([A-Za-z0-9!#$%&'+.^_`|~-]+)/(\*|[A-Za-z0-9!#$%&'+.^_`|~-]+)")
# Values up to this many bytes are worth remembering what they are: few differ.
_KEPT_MAX: Final = 256


class ContentType:
    def __init__(self, types: Iterable[str], means: Means) -> None:
        self._types = frozenset(type_.lower() for type_ in types)
        for type_ in self._types:
            if not _TYPE.fullmatch(type_):
                raise ValueError('no type; they are written "text/html" or "video/*"')

    def holds(self, question: Question) -> bool:
        value = _value(question)
        return value is not None and not self._types.isdisjoint(types_of(value))

    def seen(self, question: Question) -> str:
        if question.response is None:
            return "no response yet"
        value = _value(question)
        return "no Content-Type" if value is None else shown(value.decode("latin-1"))


def _value(question: Question) -> bytes | None:
    response = question.response
    return None if response is None else response.fields.get(b"content-type")


def types_of(value: bytes) -> tuple[str, ...]:
    """All that matches a Content-Type's value."""
    return _types(value) if len(value) <= _KEPT_MAX else _types.__wrapped__(value)


@lru_cache(256)
def _types(value: bytes) -> tuple[str, ...]:
    found: list[str] = []
    for element in value.decode("latin-1").split(","):
        type_ = element.partition(";")[0].strip(" \t").lower()
        if type_:
            found += type_, f"{type_.partition('/')[0]}/*", "*/*"
    return tuple(dict.fromkeys(found))
