"""What clients and servers tell caches: Cache-Control, the fields before it (RFC 9213), and Pragma.

Whatever is malformed, doubled or contradictory is read so that less is stored and less is reused.
Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import NamedTuple, cast

import http_sf

from twistproxy.http.fields import Fields

#: Larger numbers of seconds are read as this one (RFC 9111 §1.2.2).
FOREVER = 2**31
#: Response fields that speak to us in the place of Cache-Control, best first (RFC 9213 §2.2).
TARGETED = (b"twistproxy-cache-control", b"cdn-cache-control")
_TARGETS = frozenset(TARGETED)

# Values up to this many bytes are worth remembering how they were read: few differ.
_MEMO = 256
# Longer targeted fields are taken for invalid: nobody's policy, and milliseconds to read.
_LONGEST = 4096

# Fields without which the body would be misread: no-cache or private of these means all of it.
_ESSENTIAL = frozenset({b"cache-control", b"date", b"etag", b"expires", b"last-modified", b"vary"})
# What directives have for a value in a targeted field (RFC 9213 §2.1); others may have any.
_NUMBERS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_LISTS = frozenset({"no-cache", "private"})
_FLAGS = frozenset(
    {"immutable", "must-revalidate", "must-understand", "no-store", "proxy-revalidate", "public"}
)

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# A quoted string, perhaps never closed, or a comma. Possessive, so linear in any input.
_BREAK = re.compile(rb'"(?:[^"\\]|\\.)*+(?P<close>"?)|,', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

Arguments = list[bytes | None]


def directives(value: bytes) -> dict[bytes, Arguments]:
    """A Cache-Control value (RFC 9111 §5.2): each name in lower case, with all its arguments.

    A quote that is never closed doesn't hide what follows it.
    """
    found: dict[bytes, Arguments] = {}
    for member in _members(value):
        name, equals, argument = member.partition(b"=")
        name = name.strip(b" \t").lower()
        if name:
            found.setdefault(name, []).append(_unquoted(argument) if equals else None)
    return found


def _members(value: bytes) -> list[bytes]:
    if b'"' not in value:
        return value.split(b",")
    members, start = [], 0
    for found in _BREAK.finditer(value):
        if found[0] == b",":
            members.append(value[start : found.start()])
            start = found.end()
        elif not found["close"]:
            break
    else:
        return [*members, value[start:]]
    return members + value[start:].split(b",")


def _unquoted(argument: bytes) -> bytes:
    text = argument.rstrip(b" \t")
    if len(text) > 1 and text[:1] == text[-1:] == b'"':
        return _ESCAPED.sub(rb"\1", text[1:-1])
    return text


def seconds(argument: bytes | None) -> int | None:
    """delta-seconds (RFC 9111 §1.2.2), at most `FOREVER`; None if malformed."""
    if argument is None or not argument.isdigit():
        return None
    return min(int(argument), FOREVER) if len(argument) <= 10 else _long(argument)


def _long(digits: bytes) -> int:
    digits = digits.lstrip(b"0")
    return FOREVER if len(digits) > 10 else min(int(digits or b"0"), FOREVER)


def _least(arguments: Arguments | None) -> int | None:
    """The shortest of the durations given, where a malformed one is 0; None if there is none."""
    return None if arguments is None else min(seconds(each) or 0 for each in arguments)


# -- of requests (RFC 9111 §5.2.1) ---------------------------------------------------------------


class RequestDirectives(NamedTuple):
    """What a client asks of caches. max_stale: `inf` for any staleness.

    stale_if_error: how stale an answer it takes for an error (RFC 5861 §4); None: it doesn't say.
    """

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: float = 0
    min_fresh: int = 0
    stale_if_error: int | None = None


NOTHING_ASKED = RequestDirectives()


def request_directives(fields: Fields) -> RequestDirectives:
    """Of a request's Cache-Control, or of its Pragma where that is all there is (§5.4)."""
    combined = fields.combined
    value = combined.get(b"cache-control")
    if value is None:
        if b"pragma" in combined and b"no-cache" in fields.tokens(b"pragma"):
            return RequestDirectives(no_cache=True)
        return NOTHING_ASKED
    return _asked(value) if len(value) <= _MEMO else _asked.__wrapped__(value)


@lru_cache(maxsize=128)
def _asked(value: bytes) -> RequestDirectives:
    found = directives(value)
    return RequestDirectives(
        no_cache=b"no-cache" in found,
        no_store=b"no-store" in found,
        only_if_cached=b"only-if-cached" in found,
        max_age=_least(found.get(b"max-age")),
        max_stale=min(
            inf if each is None else seconds(each) or 0 for each in found.get(b"max-stale", [b"0"])
        ),
        min_fresh=max(_or_forever(seconds(each)) for each in found.get(b"min-fresh", [b"0"])),
        stale_if_error=_least(found.get(b"stale-if-error")),
    )


def _or_forever(duration: int | None) -> int:
    return FOREVER if duration is None else duration


# -- of responses (RFC 9111 §5.2.2) --------------------------------------------------------------


class ResponseDirectives(NamedTuple):
    """What a response allows a shared cache.

    withheld: names of fields that may not be kept (``private="…"``) or not be used again without
    asking (``no-cache="…"``); we keep neither. stale_if_error: None where nothing is said of it.
    source: the field that all this is from, in lower case; where it isn't Cache-Control, Expires
    doesn't count either (RFC 9213 §2.2).
    """

    no_cache: bool = False
    no_store: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    withheld: frozenset[bytes] = frozenset()
    must_understand: bool = False
    immutable: bool = False
    stale_while_revalidate: int = 0
    stale_if_error: int | None = None
    source: bytes = b"cache-control"

    @property
    def targeted(self) -> bool:
        """Whether a field for us takes the place of Cache-Control and Expires."""
        return self.source != b"cache-control"


NOTHING_SAID = ResponseDirectives()


def response_directives(fields: Fields) -> ResponseDirectives:
    """Of the first of the `TARGETED` fields that is valid and not empty, else of Cache-Control."""
    combined = fields.combined
    if not _TARGETS.isdisjoint(combined) and (said := _said_to_us(combined)) is not None:
        return said
    value = combined.get(b"cache-control")
    if value is None:
        return NOTHING_SAID
    return _said(value) if len(value) <= _MEMO else _said.__wrapped__(value)


def _said_to_us(combined: Mapping[bytes, bytes]) -> ResponseDirectives | None:
    """By the first of the `TARGETED` fields that counts, if one does."""
    for name in TARGETED:
        value = combined.get(name)
        if value is not None and len(value) <= _LONGEST:
            memo = _targeted if len(value) <= _MEMO else _targeted.__wrapped__
            said = memo(name, value)
            if said is not None:
                return said
    return None


@lru_cache(maxsize=128)
def _said(value: bytes) -> ResponseDirectives:
    return _meant(directives(value), b"cache-control")


@lru_cache(maxsize=128)
def _targeted(name: bytes, value: bytes) -> ResponseDirectives | None:
    """Of a targeted field; None if it doesn't parse, or has a value of the wrong type.

    But whoever says no-store, private or no-cache in one that parses has said it.
    """
    try:
        members = cast("dict[str, tuple[object, ...]]", http_sf.parse(value, tltype="dictionary"))
    except http_sf.StructuredFieldError:
        return None
    if not members:
        return None
    found: dict[bytes, Arguments] = {}
    valid = True
    for key, (item, *_) in members.items():  # parameters mean nothing (RFC 9213 §2.1)
        argument: bytes | None = None
        if key in _NUMBERS:
            argument = b"%d" % item if type(item) is int else b""
            right = argument != b""
        elif key in _LISTS:
            right = item is True or isinstance(item, str | http_sf.Token)
            if right and item is not True:
                argument = str(item).encode("ascii")
        else:
            right = item is True or key not in _FLAGS
        valid = valid and right
        found[key.encode("ascii")] = [argument]
    said = _meant(found, name)
    return said if valid or said.no_store or said.private or said.no_cache else None


def _meant(found: dict[bytes, Arguments], source: bytes) -> ResponseDirectives:
    no_cache, unused = _of_fields(found.get(b"no-cache", []))
    private, unkept = _of_fields(found.get(b"private", []))
    return ResponseDirectives(
        no_cache=no_cache,
        no_store=b"no-store" in found,
        private=private,
        public=b"public" in found,
        must_revalidate=b"must-revalidate" in found,
        proxy_revalidate=b"proxy-revalidate" in found,
        max_age=_least(found.get(b"max-age")),
        s_maxage=_least(found.get(b"s-maxage")),
        withheld=unused | unkept,
        must_understand=b"must-understand" in found,
        immutable=b"immutable" in found,
        stale_while_revalidate=_least(found.get(b"stale-while-revalidate")) or 0,
        stale_if_error=_least(found.get(b"stale-if-error")),
        source=source,
    )


def _of_fields(arguments: Arguments) -> tuple[bool, frozenset[bytes]]:
    """Of no-cache and private: whether the whole response is meant, else which fields."""
    names: set[bytes] = set()
    for argument in arguments:
        listed = [name.strip(b" \t") for name in (argument or b"").lower().split(b",")]
        listed = [name for name in listed if name]
        if not listed or not all(map(_can_be_withheld, listed)):
            return True, frozenset()
        names.update(listed)
    return False, frozenset(names)


def _can_be_withheld(name: bytes) -> bool:
    return (
        _NAME.fullmatch(name) is not None
        and name not in _ESSENTIAL
        and name not in TARGETED
        and not name.startswith(b"content-")
    )
