"""Bodies, from the wire: each reader finds the exact end of one message.

llhttp does not stop between pipelined messages, so the ends are found here. A reader's
`feed` takes what was read and returns the body bytes in it and, once the message is over,
what follows it (None before); or a Problem, after which nothing may be read any more.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from twistproxy.config.model import Limits
from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import CHUNKED, NOT_IN_TRAILERS, UNTIL_CLOSE
from twistproxy.wire.http1 import head

Fed = tuple[bytes, bytes | None]


class BodyReader(Protocol):
    """One message's body."""

    @property
    def trailers(self) -> Fields | None: ...

    def feed(self, data: bytes) -> Fed | Problem: ...

    def closed(self) -> bool:
        """Whether the message is complete when the connection ends here."""


def reader(framing: int, limits: Limits) -> BodyReader:
    """The reader for a framing that is not 0."""
    if framing == CHUNKED:
        return Chunks(limits)
    if framing == UNTIL_CLOSE:
        return UntilClose()
    return Length(framing)


class Length:
    """So many bytes (RFC 9112 §6.2)."""

    __slots__ = ("left",)
    trailers = None

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes) -> Fed:
        left = self.left = self.left - len(data)
        if left > 0:
            return data, None
        if left == 0:
            return data, b""
        self.left = 0
        return data[:left], data[left:]

    def closed(self) -> bool:
        return False


class UntilClose:
    """All there is (RFC 9112 §6.3 rule 8)."""

    __slots__ = ()
    trailers = None

    def feed(self, data: bytes) -> Fed:
        return data, None

    def closed(self) -> bool:
        return True


#: A chunk's size and extensions; these are ignored (RFC 9112 §7.1.1), but no control hides there.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_CHUNK_LINE_MAX: Final = 1024

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class Chunks:
    """Chunks, then trailers (RFC 9112 §7.1)."""

    __slots__ = ("_held", "_left", "_limits", "_state", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE
        self._held = b""  # the beginning of a line, or of the trailers
        self._left = 0  # of the chunk that is being read
        self.trailers: Fields | None = None

    def feed(self, data: bytes) -> Fed | Problem:
        if self._held:
            data = self._held + data
            self._held = b""
        parts: list[bytes] = []
        at = 0
        while True:
            if self._state == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if self._left:
                    return b"".join(parts), None
                self._state = _DATA_END
            if self._state == _DATA_END:
                end = data[at : at + 2]
                if end != b"\r\n":
                    if end not in (b"", b"\r"):
                        return _bad("a chunk is longer than its size")
                    self._held = end
                    return b"".join(parts), None
                at += 2
                self._state = _SIZE
            if self._state == _SIZE:
                line_end = data.find(b"\r\n", at, at + _CHUNK_LINE_MAX)
                if line_end < 0:
                    self._held = data[at:]
                    if len(self._held) >= _CHUNK_LINE_MAX or b"\n" in self._held:
                        return _bad("a chunk's size does not end")
                    return b"".join(parts), None
                match = _CHUNK_LINE.fullmatch(data, at, line_end)
                if match is None:
                    return _bad("a chunk's size is no number")
                self._left = int(match[1], 16)
                at = line_end + 2
                self._state = _DATA if self._left else _TRAILERS
            if self._state == _TRAILERS:
                rest = self._read_trailers(data[at:])
                if isinstance(rest, Problem):
                    return rest
                return b"".join(parts), rest

    def _read_trailers(self, data: bytes) -> bytes | Problem | None:
        """What follows the trailers; None while they have not ended."""
        if data.startswith(b"\r\n"):
            return data[2:]
        end = data.find(head.END)
        if end < 0:
            self._held = data
            if len(data) > self._limits.head or data.count(b"\n") != data.count(b"\r\n"):
                return _bad("the trailers do not end")
            return None
        fields = head.section(data[: end + 4], self._limits)
        if not isinstance(fields, Fields):
            return _bad(f"trailers: {fields}")
        self.trailers = fields.without(NOT_IN_TRAILERS)
        return data[end + 4 :]

    def closed(self) -> bool:
        return False


def _bad(why: str) -> Problem:
    return errors.BAD_REQUEST.about(why=why)
