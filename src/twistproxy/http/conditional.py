"""Validators and conditions (RFC 9110 §8.8, §13) as a cache uses them (RFC 9111 §4.3).

Three parties ask: we the origin (`conditions`, `ask`), whose 304 then confirms what we store
(`confirms`, `identified`, `updated`), as its answer to a HEAD does (`same_head`); and the client
us (`is_unmodified`, `not_modified`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from twistproxy.http.dates import parse_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

_ETAG = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

_VALIDATORS = (b"etag", b"last-modified")
# Conditions that a cache judges; the others are for origins (RFC 9111 §4.3.2).
_JUDGED = frozenset({b"if-none-match", b"if-modified-since"})
# What a 304 doesn't change (RFC 9111 §3.2): these describe the bytes we hold. The ETag too: the
# stored one was just confirmed, and nginx drops the W/ of a compressed response in its 304.
_OF_THE_BYTES = frozenset({b"content-encoding", b"content-length", b"content-range", b"etag"})
# What a 304 doesn't say (RFC 9110 §15.4.5): the client has these.
_KNOWN_TO_THE_CLIENT = frozenset(
    {b"content-encoding", b"content-language", b"content-length", b"content-range", b"content-type"}
)


def conditions(stored: Fields) -> list[tuple[bytes, bytes]]:
    """Fields that ask the origin whether what we store still holds (§4.3.1); [] if it can't say."""
    found = []
    etag = stored.get(b"etag")
    if etag is not None and _ETAG.fullmatch(etag):
        found.append((b"If-None-Match", etag))
    modified = stored.get(b"last-modified")
    if modified is not None and parse_date(modified, 0.0) is not None:
        found.append((b"If-Modified-Since", modified))
    return found


def ask(request: Fields, conditions: list[tuple[bytes, bytes]]) -> Fields:
    """The fields of a request with our conditions in the place of the client's own.

    The client's are judged by `is_unmodified` when the answer has come.
    """
    fields = request.without(_JUDGED)
    for name, value in conditions:
        fields.add(name, value)
    return fields


def confirms(stored: Fields, answer: Fields) -> bool:
    """Whether a 304 with these fields, to conditions of ours, speaks of what we store (§4.3.4).

    More generous than `identified`, since we asked about this one and no other: many servers
    leave out the validator, or its W/.
    """
    for name in _VALIDATORS:
        ours, theirs = stored.get(name), answer.get(name)
        if ours is not None and theirs is not None:
            return _same(ours, theirs)
    return True


def identified(stored: Sequence[Fields], answer: Fields) -> list[int]:
    """Which stored responses a 304 with these fields updates: their places (§4.3.4).

    stored: those that could have answered the request, the newest first. A strong tag means all
    that have it; a weak one, or a date, the newest that has it; no validator the only one there
    is, if it has none either.
    """
    tag = answer.get(b"etag")
    if tag is not None and not tag.startswith(b"W/"):
        return [place for place, fields in enumerate(stored) if fields.get(b"etag") == tag]
    for name in _VALIDATORS:
        value = answer.get(name)
        if value is not None:
            same = (
                place
                for place, fields in enumerate(stored)
                if (ours := fields.get(name)) is not None and _same(ours, value)
            )
            return list(same)[:1]
    if len(stored) == 1 and not any(name in stored[0] for name in _VALIDATORS):
        return [0]
    return []


def _same(ours: bytes, theirs: bytes) -> bool:
    """Weak comparison (RFC 9110 §8.8.3.2); dates as they are."""
    return ours.removeprefix(b"W/") == theirs.removeprefix(b"W/")


def updated(stored: Fields, answer: Fields) -> Fields:
    """Stored fields with the news of a 304: each field it has replaces ours (RFC 9111 §3.2).

    answer: as `caching.stored_fields` leaves it, without those of one hop.
    """
    news = answer.without(_OF_THE_BYTES)
    fields = stored.without({name.lower() for name, _ in news})
    for name, value in news:
        fields.add(name, value)
    return fields


def same_head(stored: Fields, length: int, head: Fields) -> bool:
    """Whether a 200 to a HEAD shows what we store under GET, `length` bytes (§4.3.5).

    Then it updates that like a 304 (`updated`); else what we store is stale.
    """
    size = head.get(b"content-length")
    if size is not None and size != b"%d" % length:
        return False
    for name in _VALIDATORS:
        ours, theirs = stored.get(name), head.get(name)
        if theirs is not None and (ours is None or not _same(ours, theirs)):
            return False
    return True


def is_unmodified(request: Request, stored: Response, now: float) -> bool:
    """Whether the client's own conditions are answered by 304 (RFC 9110 §13.2.2).

    stored: what answers the request otherwise, with a Date. A date that is none is ignored, and
    so are conditions on anything but a success.
    """
    if not 200 <= stored.status < 300:
        return False
    asked = request.fields.get(b"if-none-match")
    if asked is not None:
        if asked == b"*":
            return True
        etag = stored.fields.get(b"etag")
        return etag is not None and etag.removeprefix(b"W/") in _ETAG.findall(asked)
    asked = request.fields.get(b"if-modified-since")
    since = None if asked is None else parse_date(asked, now)
    if since is None:
        return False
    # §4.3.2: a response that doesn't say when it changed had not changed before it was made.
    value = stored.fields.get(b"last-modified") or stored.fields.get(b"date") or b""
    modified = parse_date(value, now)
    return modified is not None and modified <= since


def not_modified(response: Response) -> Response:
    """The 304 that stands for this response (RFC 9110 §15.4.5)."""
    return Response(304, response.fields.without(_KNOWN_TO_THE_CLIENT), b"Not Modified")
