"""query: RE2 patterns, each searched in the values of one of the query's parameters.

``a=1&b=2``, percent-decoded once; ``+`` is kept, names are case-sensitive, and of several values
of a name any will do. A tunnel has no query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from twistproxy.policy import Means, Question
from twistproxy.policy.patterns import is_in, names_in, seen, tables

# Queries up to this length are worth remembering: many rules may ask about the one at hand.
_KEPT_MAX = 512


class Query:
    def __init__(self, values: Iterable[Mapping[str, str]], means: Means) -> None:
        self._tables = tables(values, str.encode)

    def holds(self, question: Question) -> bool:
        query = question.target.query
        if not query:
            return False
        parameters = parameters_of(query)
        for table in self._tables:
            for name, pattern in table:
                if not _any_is_in(pattern, parameters.get(name, ())):
                    break
            else:
                return True
        return False

    def seen(self, question: Question) -> str:
        if not question.target.scheme:
            return "a tunnel"
        parameters = parameters_of(question.target.query or "")
        return ", ".join(seen(name, parameters.get(name, ())) for name in names_in(self._tables))


def _any_is_in(pattern: object, values: tuple[bytes, ...]) -> bool:
    for value in values:  # noqa: SIM110  # a generator costs more than most of these
        if is_in(pattern, value):
            return True
    return False


def parameters_of(query: str) -> dict[bytes, tuple[bytes, ...]]:
    """A query in normal form: each name with its values. Not to be changed."""
    return _parameters(query) if len(query) <= _KEPT_MAX else _parameters.__wrapped__(query)


@lru_cache(256)
def _parameters(query: str) -> dict[bytes, tuple[bytes, ...]]:
    found: dict[bytes, list[bytes]] = {}
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if parameter:
            found.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return {name: tuple(values) for name, values in found.items()}
