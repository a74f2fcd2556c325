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
        cookies = cookies_of(question)
        if not cookies:
            return False
        for table in self._tables:
            for wanted, pattern in table:
                for name, value in cookies:
                    if name == wanted and is_in(pattern, value):
                        break
                else:
                    break
            else:
                return True
        return False

    def seen(self, question: Question) -> str:
        there = {name for name, _ in cookies_of(question)}
        return ", ".join(
            f"{'a' if name in there else 'no'} cookie {name.decode()}"
            for name in names_in(self._tables)
        )


def _name(text: str) -> bytes:
    if not TOKEN.fullmatch(text):
        raise ValueError("no cookie has such a name")
    return text.encode()


def cookies_of(question: Question) -> list[tuple[bytes, bytes]]:
    """Name and value of each, in order; not remembered, since they are secrets."""
    request = question.request
    if request is None or b"cookie" not in request.fields.combined:
        return []
    found = []
    for line in request.fields.all(b"cookie"):
        for pair in line.split(b";"):
            name, equals, value = pair.partition(b"=")
            if equals:
                found.append((name.strip(b" \t"), value.strip(b" \t")))
    return found
