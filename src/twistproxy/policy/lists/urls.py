"""Lists of URL prefixes: ``https://example.org/ads/``, or ``example.org/ads/`` for either scheme.

In the one normal form (`http.uri`). What stands after the last slash of a path is the beginning
of a segment; without a path a prefix is the whole host, and never the beginning of another's
name. A tunnel has no URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twistproxy.http.errors import Problem
from twistproxy.http.uri import absolute, path_prefix
from twistproxy.policy import Question
from twistproxy.policy.lists import Format
from twistproxy.policy.lists.table import Table


class Urls:
    def __init__(self, table: Table) -> None:
        self._table = table

    def has(self, question: Question) -> bool:
        target = question.target
        return target.scheme != "" and self._table.begins(target.url)


def _read(line: str) -> Sequence[str] | None:
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    scheme, mark, rest = text.partition("://")
    if not mark:
        return [_prefix(scheme, text) for scheme in ("http", "https")]
    return (_prefix(scheme, rest),)


def _prefix(scheme: str, rest: str) -> str:
    """In normal form. Raises ValueError."""
    authority, slash, path = rest.partition("/")
    if "?" in path:
        return _url(f"{scheme}://{rest}")
    whole = _url(f"{scheme}://{authority}")
    return whole.removesuffix("/") + path_prefix(slash + path or "/")


def _url(text: str) -> str:
    target = absolute(text.encode("utf-8", "surrogatepass"))
    if isinstance(target, Problem):
        raise ValueError(target.text)
    return target.url


URLS: Final = Format(_read, Urls)
