"""header: RE2 patterns, each searched in one field of the request's head.

Names in any case; lines of one name are one value, joined by ``, `` (RFC 9110 §5.3), those of
Cookie by ``; `` (RFC 9113 §8.2.3). So ``^`` and ``$`` are the ends of all of them together. Of a
tunnel it is the CONNECT's own head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twistproxy.config.values import TOKEN
from twistproxy.http.fields import Fields
from twistproxy.policy import Means, Question
from twistproxy.policy.patterns import is_in, names_in, seen, tables


class Header:
    def __init__(self, values: Iterable[Mapping[str, str]], means: Means) -> None:
        self._tables = tables(values, _name)

    def holds(self, question: Question) -> bool:
        request = question.request
        if request is None:
            return False
        fields = request.fields
        for table in self._tables:
            for name, pattern in table:
                value = _value(fields, name)
                if value is None or not is_in(pattern, value):
                    break
            else:
                return True
        return False

    def seen(self, question: Question) -> str:
        fields = Fields() if question.request is None else question.request.fields
        return ", ".join(
            seen(name, () if (value := _value(fields, name)) is None else (value,))
            for name in names_in(self._tables)
        )


def _name(text: str) -> bytes:
    if not TOKEN.fullmatch(text):
        raise ValueError("no field has such a name")
    return text.lower().encode()


def _value(fields: Fields, name: bytes) -> bytes | None:
    value = fields.get(name)
    if name == b"cookie" and value is not None:
        return b"; ".join(fields.all(name))
    return value
