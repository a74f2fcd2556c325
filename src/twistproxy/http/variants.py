"""Which of several stored responses to one URL a request may have: Vary (RFC 9111 §4.1)."""

from __future__ import annotations

import re
from functools import lru_cache

from twistproxy.http.fields import Fields

# List-valued fields whose elements mean the same in any order and case (RFC 9110 §12.5).
_ANY_ORDER = frozenset({b"accept-charset", b"accept-encoding", b"accept-language"})
# Fields that tell who asks, and those whose commas make no list, are compared as they are.
_EXACT = frozenset({b"authorization", b"cookie", b"origin", b"referer", b"user-agent"})

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# A weight (RFC 9110 §12.4.2) without the zeros at its end, which say nothing; 1 is no weight.
_WEIGHT = re.compile(rb"q=(?:(?P<some>0\.\d{0,2}?[1-9])0*|(?P<none>0)(?:\.0*)?|1(?:\.0*)?)")

# Values up to this many bytes are worth remembering how they were read: few differ.
_MEMO = 256

#: What a request must have to be answered by a variant: names in order, with normal values.
Variant = tuple[tuple[bytes, bytes | None], ...]


def vary_names(fields: Fields) -> tuple[bytes, ...] | None:
    """The request fields that chose this response; None: more than fields chose it (``*``)."""
    value = fields.get(b"vary")
    if value is None:
        return ()
    return _varied_by(value) if len(value) <= _MEMO else _varied_by.__wrapped__(value)


@lru_cache(maxsize=128)
def _varied_by(value: bytes) -> tuple[bytes, ...] | None:
    names = {name for part in value.lower().split(b",") if (name := part.strip(b" \t"))}
    return tuple(sorted(names)) if all(map(_is_name, names)) else None


def _is_name(text: bytes) -> bool:
    return text != b"*" and _NAME.fullmatch(text) is not None


def variant(request: Fields, response: Fields) -> Variant:
    """Which variant this response is: () where its Vary names nothing."""
    if b"vary" not in response.combined:
        return ()
    return tuple((name, _normal(name, request)) for name in vary_names(response) or ())


def selects(request: Fields, wanted: Variant) -> bool:
    """Whether a request of these fields may be answered by that variant."""
    for name, value in wanted:  # noqa: SIM110  a hit's time is spent here
        if _normal(name, request) != value:
            return False
    return True


def _normal(name: bytes, fields: Fields) -> bytes | None:
    # Only what is known to mean the same is made the same: a wrong match would be a wrong answer.
    value = fields.get(name)
    if value is None or len(value) > _MEMO:
        return value
    if name in _ANY_ORDER:
        return _in_order(value)
    # Space around the commas of a list (RFC 9110 §5.6.1), but not within a quoted string.
    if b"," in value and b'"' not in value and name not in _EXACT:
        return _closed_up(value)
    return value


@lru_cache(maxsize=256)
def _in_order(value: bytes) -> bytes:
    return b",".join(sorted({_weighted(part) for part in value.lower().split(b",")} - {b""}))


def _weighted(element: bytes) -> bytes:
    choice, *parameters = (part.strip(b" \t") for part in element.split(b";"))
    for parameter in parameters:
        weight = _WEIGHT.fullmatch(parameter)
        if weight is None:
            choice += b";" + parameter
        elif weight["some"] or weight["none"]:
            choice += b";q=" + (weight["some"] or weight["none"])
    return choice


@lru_cache(maxsize=256)
def _closed_up(value: bytes) -> bytes:
    return b",".join([part.strip(b" \t") for part in value.split(b",")])
