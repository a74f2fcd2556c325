"""length: how long the response is; ``">10MiB"``, ``">=1MB"``, ``"<1KiB"``, ``"<=64KiB"``, and a
plain ``"1MiB"`` is at least that.

As its Content-Length says; of a part (206) as its Content-Range says of the whole, else whoever
asks for parts would get all. A response that says nothing matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from twistproxy.config.values import size
from twistproxy.http.message import Response
from twistproxy.policy import Means, Question

_BOUND: Final = re.compile(r"(?:(>=|>|<=|<) *)?([0-9].*)")
_CONTENT_RANGE: Final = re.compile(rb"[Bb][Yy][Tt][Ee][Ss] [0-9]+-[0-9]+/([0-9]{1,18})")
_LONGEST: Final = 10**18  #: whoever speaks HTTP with us sends none longer


class Length:
    def __init__(self, bounds: Iterable[str | int], means: Means) -> None:
        self._spans = [span_of(bound) for bound in bounds]

    def holds(self, question: Question) -> bool:
        response = question.response
        length = None if response is None else length_of(response)
        if length is not None:
            for least, most in self._spans:
                if least <= length <= most:
                    return True
        return False

    def seen(self, question: Question) -> str:
        response = question.response
        if response is None:
            return "no response yet"
        length = length_of(response)
        return "of a length that isn't said" if length is None else f"{length} bytes"


def span_of(bound: str | int) -> tuple[int, int]:
    """The shortest and the longest that it has, in bytes. ValueError where it is no bound."""
    found = _BOUND.fullmatch(str(bound))
    try:
        bytes_ = size(found[2] if found else "")
    except ValueError:
        raise ValueError('no length; they are written ">10MiB", "<=64KiB" or "1MB"') from None
    sign = found[1] if found else None
    if sign == "<" and not bytes_:
        raise ValueError("nothing is shorter than nothing")
    if sign in ("<", "<="):
        return 0, bytes_ - (sign == "<")
    return bytes_ + (sign == ">"), _LONGEST


def length_of(response: Response) -> int | None:
    """Bytes of all of it; None where its head doesn't say."""
    fields = response.fields
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(fields.get(b"content-range") or b"")
        if found is not None:
            return int(found[1])
    value = fields.get(b"content-length")
    return int(value) if value is not None and value.isdigit() and len(value) <= 18 else None
