"""cookie: RE2 patterns, each searched in the values of one of the request's cookies.

Cookies are told apart as RFC 6265 §4.2.1 writes them: at ``;``, name and value at the first ``=``,
white space around both left out, quotes a part of the value. Names are case-sensitive; of several
values of a name, in one line or in several, any will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twistproxy.config.values import TOKEN
from twistproxy.policy import Means, Question
from twistproxy.policy.patterns import is_in, names_in, tables


class Cookie:
    def __init__(self, values: Iterable[Mapping[str, str]], means: Means) -> None:
        self._tables = tables(values, _name)

    def holds(self, question: Question) -> bool:
        for table in self._tables:
            for name, pattern in table:
                for value in values_of(question, name):
                    if is_in(pattern, value):
                        break
                else:
                    break
            else:
                return True
        return False

    def seen(self, question: Question) -> str:
        return ", ".join(
            f"{'a' if values_of(question, name) else 'no'} cookie {name.decode()}"
            for name in names_in(self._tables)
        )


def _name(text: str) -> bytes:
    if not TOKEN.fullmatch(text):
        raise ValueError("no cookie has such a name")
    return text.encode()


def values_of(question: Question, wanted: bytes) -> list[bytes]:
    """Of the cookies of this name, in order; not remembered, since they are secrets."""
    request = question.request
    if request is None:
        return []
    fields = request.fields
    found: list[bytes] = []
    if wanted in (fields.get(b"cookie") or b""):
        for line in fields.all(b"cookie"):
            for pair in line.split(b";"):
                if wanted in pair:
                    name, equals, value = pair.partition(b"=")
                    if equals and name.strip(b" \t") == wanted:
                        found.append(value.strip(b" \t"))
    return found
