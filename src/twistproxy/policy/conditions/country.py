"""country: the ISO 3166 code of where the client's address is; an address may be nowhere known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from twistproxy.policy import Means, Question

_CODE: Final = re.compile(r"[A-Za-z]{2}")


class Country:
    def __init__(self, codes: Iterable[str], means: Means) -> None:
        self._codes = frozenset(map(_code, codes))
        self._countries = means.countries

    def holds(self, question: Question) -> bool:
        return self._countries(question.client) in self._codes

    def seen(self, question: Question) -> str:
        return self._countries(question.client) or "not known"


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise ValueError('no country\'s code; they are two letters, such as "SE"')
    code = text.upper()
    if code == "UK":  # never given to an address: the rule would hold for nobody
        raise ValueError('no country\'s code; did you mean "GB"?')
    return code
