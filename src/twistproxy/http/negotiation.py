"""Which of the representations that there are suits who asks (RFC 9110 §12.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence

JSON = b"application/problem+json"


def prefers_html(accept: bytes | None) -> bool:
    """Whether a page is better than problem details to who sends this Accept (RFC 9110 §12.5.1).

    At a tie who names HTML gets it, as browsers do; ``*/*``, as programs send it, gets details.
    """
    ranges = _ranges(accept or b"")
    html = _quality(ranges, b"text/html")
    details = max(_quality(ranges, JSON), _quality(ranges, b"application/json"))
    return html > details or (html == details > 0.0 and b"text/html" in ranges)


def best_language(accept_language: bytes | None, there: Sequence[str]) -> str | None:
    """Which of the languages that are there suits best (RFC 9110 §12.5.4); None: none does.

    At a tie it is the one asked for first, then the first that is there: so it is for who doesn't
    say. Languages are in lower case; "" is an unknown one, which suits who takes any.
    """
    if accept_language is None:
        return there[0] if there else None
    ranges = _ranges(accept_language)
    places = {name: -place for place, name in enumerate(ranges)}
    suited = [
        ((ranges[name], places[name]), language)
        for language in there
        if (name := _range_of(language.encode(), ranges)) is not None and ranges[name]
    ]
    return max(suited, key=lambda ranked: ranked[0])[1] if suited else None


def _range_of(language: bytes, ranges: dict[bytes, float]) -> bytes | None:
    """The range that speaks of a language: itself, a wider one (RFC 4647 §3.3.1), a narrower one
    (``de-AT`` will do with ``de``: §3.4), or ``*``.
    """
    wider = language
    while wider:
        if wider in ranges:
            return wider
        wider = wider.rpartition(b"-")[0]
    if language:
        narrower = [name for name in ranges if name.startswith(language + b"-")]
        if narrower:
            return max(narrower, key=ranges.__getitem__)  # the first of the best
    return b"*" if b"*" in ranges else None


_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def _ranges(accept: bytes) -> dict[bytes, float]:
    """Quality by range, in lower case; a malformed one is 0, and other parameters are not looked
    at."""
    ranges: dict[bytes, float] = {}
    for element in accept.lower().split(b","):
        media, *params = [part.strip(b" \t") for part in element.split(b";")]
        weight = next((param[2:] for param in params if param.startswith(b"q=")), b"1")
        ranges[media] = float(weight) if _QUALITY.fullmatch(weight) else 0.0
    return ranges


def _quality(ranges: dict[bytes, float], media: bytes) -> float:
    for key in (media, media.partition(b"/")[0] + b"/*", b"*/*"):
        if key in ranges:
            return ranges[key]
    return 0.0
