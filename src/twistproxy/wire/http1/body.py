"""Bodies, from the wire: each reader finds the exact end of one message.

llhttp does not stop between pipelined messages, so the ends are found here. A reader's
`feed` takes what was read and returns the body bytes in it and, once the message is over,
what follows it (None before); or why it can't be read, and then nothing may be read any more.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from twistproxy.config.model import Limits
from twistproxy.http.fields import Fields
from twistproxy.http.framing import CHUNKED, NOT_IN_TRAILERS, UNTIL_CLOSE
from twistproxy.wire.http1 import head

Fed = tuple[bytes, bytes | None]


class BodyReader(Protocol):
    """One message's body."""

    @property
    def trailers(self) -> Fields | None: ...

    def feed(self, data: bytes) -> Fed | str: ...

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
        left = self.left
        if left > len(data):
            self.left = left - len(data)
            return data, None
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
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_CHUNK_LINE_MAX: Final = 1024  # bytes, its CRLF included

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class Chunks:
    """Chunks, then trailers (RFC 9112 §7.1). `trailers`: those that may come so late."""

    __slots__ = ("_held", "_left", "_limits", "_state", "_unfinished", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE
        self._held = b""  # the beginning of a line, or of the trailers
        self._left = 0  # of the chunk that is being read
        self._unfinished: head.Unfinished | None = None  # trailers
        self.trailers: Fields | None = None

    def feed(self, data: bytes) -> Fed | str:
        if self._held:
            data = self._held + data
            self._held = b""
        parts: list[bytes] = []
        at = 0
        while True:
            if self._state == _SIZE:
                # Chunks of a single byte are allowed: here is the time that these take.
                while (line := _CHUNK_LINE.match(data, at, at + _CHUNK_LINE_MAX)) is not None:
                    at = line.end()
                    size = int(line[1], 16)
                    if not size:
                        self._state = _TRAILERS
                        break
                    end = at + size
                    if data[end : end + 2] != b"\r\n":
                        self._state = _DATA
                        self._left = size
                        break
                    parts.append(data[at:end])
                    at = end + 2
                else:
                    held = self._held = data[at : at + _CHUNK_LINE_MAX]
                    if b"\n" in held or len(held) == _CHUNK_LINE_MAX:
                        return "a chunk's size is no number, or does not end"
                    return b"".join(parts), None
            if self._state == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if self._left:
                    return b"".join(parts), None
                self._state = _DATA_END
            if self._state == _DATA_END:
                crlf = data[at : at + 2]
                if crlf != b"\r\n":
                    if crlf not in (b"", b"\r"):
                        return "a chunk is longer than its size"
                    self._held = crlf
                    return b"".join(parts), None
                at += 2
                self._state = _SIZE
            if self._state == _TRAILERS:
                rest = self._read_trailers(data[at:])
                return rest if isinstance(rest, str) else (b"".join(parts), rest)

    def _read_trailers(self, data: bytes) -> bytes | str | None:
        """What follows the trailers; None while they have not ended."""
        if data.startswith(b"\r\n"):
            return data[2:]
        unfinished = self._unfinished = self._unfinished or head.Unfinished()
        end = unfinished.end(data)
        if end < 0:
            self._held = data
            return unfinished.trailers(data, self._limits)
        end += len(head.END)
        if end > self._limits.head:
            return "the trailers do not end"
        fields = head.section(data[:end], self._limits)
        if isinstance(fields, str):
            return fields
        self.trailers = fields.without(NOT_IN_TRAILERS)
        return data[end:]

    def closed(self) -> bool:
        return False
