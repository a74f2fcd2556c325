"""What a client is sent of a stored body: all of it or parts, a slice at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Final

from twistproxy.http import ranges
from twistproxy.http.message import Response
from twistproxy.http.ranges import Parts, Span

#: Bytes of a stored body that are written at once; the rest when the client has read these.
SLICE: Final = 256 << 10


class Slices:
    """A body in memory; read like a `Reading`. pieces: what to send, spans of the body or bytes
    of their own.
    """

    __slots__ = ("_body", "_next", "_pieces")

    broken = False

    def __init__(self, body: bytes | Parts, pieces: Iterable[bytes | Span]) -> None:
        self._body = body
        self._pieces = _sliced(pieces)
        self._next = next(self._pieces, None)

    def take(self) -> bytes:
        """The next slice; b"" if there is none any more."""
        piece, body = self._next, self._body
        self._next = next(self._pieces, None)
        if not isinstance(piece, Span):
            return piece or b""
        if isinstance(body, Parts):
            return body.get(piece) or b""
        return body[piece.start : piece.end]

    @property
    def ended(self) -> bool:
        return self._next is None

    def leave(self) -> None: ...


def _sliced(pieces: Iterable[bytes | Span]) -> Iterator[bytes | Span]:
    for piece in pieces:
        if isinstance(piece, Span):
            for at in range(piece.start, piece.end, SLICE):
                yield Span(at, min(at + SLICE, piece.end))
        else:
            yield piece


def of_spans(
    response: Response, spans: list[Span], length: int
) -> tuple[Response, Iterable[bytes | Span], int]:
    """The head, the pieces and their length that answer a request for these parts of a body of
    `length` bytes (RFC 9110 §14, §15.5.17).
    """
    if not spans:
        return ranges.not_satisfiable(response, length), (), 0
    boundary = secrets.token_hex(16).encode()
    head = ranges.partial(response, spans, length, boundary)
    size = ranges.size_of(response, spans, length, boundary)
    return head, ranges.pieces(response, spans, length, boundary), size
