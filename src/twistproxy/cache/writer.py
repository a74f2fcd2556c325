"""Takes a body that is being stored."""

from __future__ import annotations

from typing import Protocol

from twistproxy.cache.stored import Stored
from twistproxy.http.message import Request
from twistproxy.http.ranges import Parts

# What a chunk of an unfinished body costs beside its bytes: a bytes object, a place in a list.
_CHUNK = 64


class Keeper(Protocol):
    """Whose writers they are: the cache."""

    max_object: int

    def reserve(self, writer: Writer, size: int) -> bool:
        """Hold so many bytes more for it; False if there is no room."""

    def keep(self, stored: Stored, request: Request, requested: float) -> bool:
        """Store what is whole."""

    def closed(self, writer: Writer) -> None:
        """It holds nothing any more."""


class Writer:
    """A body on its way into the cache. What it holds counts against the memory store's limit.

    open: whether it still takes bytes. It closes itself without a word when the object grows too
    large, differs from the length it was to have, or finds no room; the reply is not concerned.
    Whoever has one calls `finish` or `abandon` in the end. stored: what it will be the body of.
    length: in bytes, None where it isn't known. pieces: what came of it.
    """

    __slots__ = (
        "_keeper",
        "_request",
        "_requested",
        "_size",
        "held",
        "length",
        "open",
        "pieces",
        "stored",
    )

    def __init__(
        self, keeper: Keeper, request: Request, stored: Stored, requested: float, length: int | None
    ) -> None:
        self.open = True
        self.stored = stored
        self.length = length
        self.pieces: list[bytes] = []
        self.held = 0  # bytes reserved in the store
        self._keeper = keeper
        self._request = request
        self._requested = requested
        self._size = 0

    def write(self, data: bytes) -> None:
        """Some more of the body; nothing if closed."""
        if not self.open:
            return
        self._size += len(data)
        most = self._keeper.max_object if self.length is None else self.length
        if self._size > most or not self._keeper.reserve(self, len(data) + _CHUNK):
            self.abandon()
        else:
            self.pieces.append(data)

    def finish(self) -> bool:
        """The body is whole: whether it is stored now."""
        if not self.open:
            return False
        whole = self.length is None or self._size == self.length
        if whole:
            body, data = self.stored.body, b"".join(self.pieces)
            if isinstance(body, Parts):
                (part,) = body.spans
                self.stored.fill(Parts(body.length, ((part.start, data),)))
            else:
                self.stored.fill(data)
        self.abandon()
        return whole and self._keeper.keep(self.stored, self._request, self._requested)

    def abandon(self) -> None:
        """Forget it: the body was cut off, or isn't wanted any more."""
        if self.open:
            self.open = False
            self.pieces.clear()
            self._keeper.closed(self)
