"""Parts of a body: which are asked for, how they are sent, and put together (RFC 9110 §14).

A `Span` is half-open, ``[start, end)``, in bytes. Nothing here holds or copies a body but
`Parts`. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from twistproxy.http.dates import parse_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

#: A request for more parts than this gets the whole (§14.2: many small ranges are no good sign).
MOST: Final = 32
#: Parts that a body is kept in while it isn't whole.
MOST_KEPT: Final = 32

# A Last-Modified that was this much older than the response's Date, in seconds, names one state
# of the resource (§8.8.2.2), although the clocks of two servers may differ.
_SETTLED = 60

_SPEC = re.compile(rb"(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-(?P<suffix>\d{1,18})")
_CONTENT_RANGE = re.compile(
    rb"bytes (?:(?P<first>\d{1,18})-(?P<last>\d{1,18})/(?:\*|(?P<length>\d{1,18}))"
    rb"|\*/(?P<unsatisfied>\d{1,18}))",
    re.IGNORECASE,
)
_STRONG = re.compile(rb'"[\x21\x23-\x7e\x80-\xff]*"')


class Span(NamedTuple):
    """Bytes from `start` up to, but not with, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


# -- asking for parts ----------------------------------------------------------------------------


def requested(request: Request, stored: Response, length: int, now: float) -> list[Span] | None:
    """What to send of a whole body of `length` bytes that answers the request otherwise.

    None: all of it, as 200. Empty: nothing can be, 416. To be asked after the other conditions
    (§13.2.2): a 304 comes before. Judges Range and If-Range, on 200 to GET and QUERY only.
    """
    value = request.fields.get(b"range")
    if value is None or stored.status != 200 or request.method not in (b"GET", b"QUERY"):
        return None
    if not is_current(request.fields.get(b"if-range"), stored.fields, now):
        return None
    return parse_range(value, length)


def parse_range(value: bytes, length: int) -> list[Span] | None:
    """A Range field's value on `length` bytes, in the order asked; None if it is to be ignored.

    Ignored are other units, a malformed set, and more than `MOST` (§14.2). What overlaps or
    touches is made one (§15.3.7.2), so that all parts together are never longer than the whole.
    """
    unit, equals, ranges = value.partition(b"=")
    if not equals or unit.lower() != b"bytes" or not length or ranges.count(b",") > 2 * MOST:
        return None
    specs = [spec for part in ranges.split(b",") if (spec := part.strip(b" \t"))]
    if not 0 < len(specs) <= MOST:
        return None
    spans = []
    for spec in specs:
        found = _SPEC.fullmatch(spec)
        if found is None:
            return None
        if found["suffix"] is not None:
            start, end = max(0, length - int(found["suffix"])), length
        else:
            start = int(found["first"])
            last = found["last"]
            if last is not None and int(last) < start:
                return None
            end = length if last is None else min(int(last) + 1, length)
        if start < end:
            spans.append(Span(start, end))
    return _merged(spans)


def _merged(spans: list[Span]) -> list[Span]:
    """Each where the first of those that it is made of stood."""
    places: list[tuple[int, Span]] = []
    for place, span in sorted(enumerate(spans), key=lambda each: each[1]):
        if places and span.start <= places[-1][1].end:
            before, other = places[-1]
            places[-1] = min(place, before), Span(other.start, max(other.end, span.end))
        else:
            places.append((place, span))
    return [span for _, span in sorted(places)]


def is_current(condition: bytes | None, stored: Fields, now: float) -> bool:
    """Whether If-Range holds for what is stored (§13.1.5); true where there is no such field.

    Tags are compared strongly. A date holds if it is exactly the Last-Modified, and that is a
    strong validator.
    """
    if condition is None:
        return True
    if _STRONG.fullmatch(condition):
        return condition == stored.get(b"etag")
    return condition == stored.get(b"last-modified") and is_settled(stored, now)


def is_settled(stored: Fields, now: float) -> bool:
    """Whether the Last-Modified is a strong validator (§8.8.2.2)."""
    modified, made = stored.get(b"last-modified"), stored.get(b"date")
    if modified is None or made is None:
        return False
    changed, date = parse_date(modified, now), parse_date(made, now)
    return changed is not None and date is not None and date - changed >= _SETTLED


# -- sending parts -------------------------------------------------------------------------------


def partial(response: Response, spans: list[Span], length: int, boundary: bytes) -> Response:
    """The 206 head for these parts of what `response` heads, but for its Content-Length (§15.3.7).

    spans: not empty. boundary: for more than one; letters and digits that nobody can guess, so
    that no body has them.
    """
    fields = response.fields.without(_OF_THE_WHOLE)
    if len(spans) == 1:
        fields.set(b"Content-Range", _content_range(spans[0], length))
    else:
        fields.set(b"Content-Type", b"multipart/byteranges; boundary=" + boundary)
    return Response(206, fields, b"Partial Content")


_OF_THE_WHOLE = frozenset({b"content-length", b"content-range"})


def pieces(
    response: Response, spans: list[Span], length: int, boundary: bytes
) -> Iterator[bytes | Span]:
    """The body below `partial`: bytes to send, and spans of the whole to send in between."""
    if len(spans) == 1:
        yield spans[0]
        return
    kind = response.fields.get(b"content-type")
    described = b"" if kind is None else b"Content-Type: %b\r\n" % kind
    delimiter = b"--%b\r\n" % boundary
    for span in spans:
        yield b"%b%bContent-Range: %b\r\n\r\n" % (
            delimiter,
            described,
            _content_range(span, length),
        )
        yield span
        delimiter = b"\r\n--%b\r\n" % boundary
    yield b"\r\n--%b--\r\n" % boundary


def size_of(response: Response, spans: list[Span], length: int, boundary: bytes) -> int:
    """The Content-Length below `partial`."""
    return sum(
        piece.size if isinstance(piece, Span) else len(piece)
        for piece in pieces(response, spans, length, boundary)
    )


def not_satisfiable(response: Response, length: int) -> Response:
    """The 416 head where none of the parts is there (§15.5.17); it has no body."""
    fields = response.fields.without(_OF_A_BODY)
    fields.set(b"Content-Range", b"bytes */%d" % length)
    fields.add(b"Content-Length", b"0")
    return Response(416, fields, b"Range Not Satisfiable")


# What an error must not say of itself that is true of the whole only.
_OF_A_BODY = _OF_THE_WHOLE | frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"content-type",
        b"etag",
        b"expires",
        b"last-modified",
        b"set-cookie",
    }
)


def _content_range(span: Span, length: int) -> bytes:
    return b"bytes %d-%d/%d" % (span.start, span.end - 1, length)


# -- receiving parts -----------------------------------------------------------------------------


class ContentRange(NamedTuple):
    """Which part of how many bytes (§14.4). span: None in a 416. length: None if not told."""

    span: Span | None
    length: int | None


def parse_content_range(value: bytes) -> ContentRange | None:
    """A Content-Range's value; None if it is malformed or contradicts itself."""
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        return None
    if found["unsatisfied"] is not None:
        return ContentRange(None, int(found["unsatisfied"]))
    span = Span(int(found["first"]), int(found["last"]) + 1)
    length = None if found["length"] is None else int(found["length"])
    if span.size <= 0 or (length is not None and span.end > length):
        return None
    return ContentRange(span, length)


def received_part(response: Response, length: int | None = None) -> ContentRange | None:
    """The single part that a 206 brings; None if it isn't one that can be kept.

    That is: multipart, without a valid Content-Range or a known length of the whole, or longer or
    shorter than it says. length: of the body where it is known, else Content-Length tells.
    """
    fields = response.fields
    value = fields.get(b"content-range")
    if response.status != 206 or value is None:
        return None
    kind = fields.get(b"content-type") or b""
    if kind.lower().startswith(b"multipart/byteranges"):
        return None
    told = parse_content_range(value)
    if told is None or told.span is None or told.length is None:
        return None
    size = b"%d" % told.span.size
    if size != ((fields.get(b"content-length") or size) if length is None else b"%d" % length):
        return None
    return told


def same_strongly(stored: Fields, answer: Fields, now: float) -> bool:
    """Whether two responses are of one state by a strong validator (RFC 9111 §3.4).

    Only then their parts fit together. Some servers have one tag for all codings of a state.
    """
    if stored.get(b"content-encoding") != answer.get(b"content-encoding"):
        return False
    ours, theirs = stored.get(b"etag"), answer.get(b"etag")
    if ours is not None or theirs is not None:
        return ours is not None and ours == theirs and _STRONG.fullmatch(ours) is not None
    return (
        stored.get(b"last-modified") == answer.get(b"last-modified")
        and is_settled(stored, now)
        and is_settled(answer, now)
    )


def ask_for(span: Span, length: int, stored: Fields, now: float) -> list[tuple[bytes, bytes]]:
    """Fields that ask an origin for a part to put to the rest; [] if there is no way (§13.1.5).

    With them comes that part or, if it has changed, the whole.
    """
    etag = stored.get(b"etag")
    if etag is not None:
        condition = etag if _STRONG.fullmatch(etag) else None
    else:
        condition = stored.get(b"last-modified") if is_settled(stored, now) else None
    if condition is None:
        return []
    end = b"" if span.end == length else b"%d" % (span.end - 1)
    return [(b"Range", b"bytes=%d-%b" % (span.start, end)), (b"If-Range", condition)]


class Parts:
    """What is there of a body of `length` bytes: spans in order, none touching another.

    A value: `with_part` makes another.
    """

    __slots__ = ("_held", "length")

    def __init__(self, length: int, held: tuple[tuple[int, bytes], ...] = ()) -> None:
        self.length = length
        self._held = held

    @property
    def spans(self) -> list[Span]:
        return [Span(start, start + len(data)) for start, data in self._held]

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(data) for _, data in self._held)

    def with_part(self, start: int, data: bytes) -> Parts | None:
        """With these bytes in it too, which win where they overlap.

        None if they reach over the end, or there would be too many holes (`MOST_KEPT`).
        """
        end = start + len(data)
        if end > self.length:
            return None
        if not data:
            return self
        before, within, after = [], [data], []
        first = start
        for place, held in self._held:
            last = place + len(held)
            if last < start:
                before.append((place, held))
            elif place > end:
                after.append((place, held))
            else:
                if place < start:
                    within.insert(0, held[: start - place])
                    first = place
                if last > end:
                    within.append(held[end - place :])
        if len(before) + len(after) >= MOST_KEPT:
            return None
        return Parts(self.length, (*before, (first, b"".join(within)), *after))

    def get(self, span: Span) -> bytes | None:
        """The bytes of a span; None if they aren't all there."""
        for start, data in self._held:
            if start <= span.start and span.end <= start + len(data):
                return data[span.start - start : span.end - start]
        return None

    def missing(self, span: Span) -> list[Span]:
        """What of a span isn't there."""
        holes, place = [], span.start
        for start, end in self.spans:
            if start >= span.end:
                break
            if start > place:
                holes.append(Span(place, start))
            place = max(place, end)
        if place < span.end:
            holes.append(Span(place, span.end))
        return holes

    def whole(self) -> bytes | None:
        """All of it, if it is all there."""
        return self.get(Span(0, self.length))
