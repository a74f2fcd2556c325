"""Takes a body that is being stored."""

from __future__ import annotations

from typing import Protocol

from twistproxy.cache.stored import Stored
from twistproxy.cache.stores import Draft
from twistproxy.http.message import Request
from twistproxy.http.ranges import Parts

# What a chunk of an unfinished body costs beside its bytes: a bytes object, a place in a list.
_CHUNK = 64


class Keeper(Protocol):
    """Whose writers they are: the cache."""

    max_object: int

    def reserve(self, writer: Writer, size: int) -> bool:
        """Hold so many bytes more for it; False if there is no room."""

    def release(self, writer: Writer) -> None:
        """It holds nothing any more."""

    def draft(self, writer: Writer) -> Draft | None:
        """A place for its body outside of memory, if there is one."""

    def keep(self, stored: Stored, request: Request, requested: float) -> bool:
        """Store what is whole."""

    def keep_draft(self, draft: Draft, stored: Stored, request: Request, requested: float) -> bool:
        """The same of what is whole in a file."""

    def closed(self, writer: Writer) -> None:
        """It takes no more."""


class Writer:
    """A body on its way into the cache. What it holds counts against the memory store's limit;
    where that has no room, it goes on in a file.

    open: whether it still takes bytes. It closes itself without a word when the object grows too
    large, differs from the length it was to have, or finds no room; the reply is not concerned.
    Whoever has one calls `finish` or `abandon` in the end. stored: what it will be the body of.
    length: in bytes, None where it isn't known. pieces: what came of it, as far as it is held.
    """

    __slots__ = (
        "_draft",
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
        self._draft: Draft | None = None
        self._keeper = keeper
        self._request = request
        self._requested = requested
        self._size = 0

    @property
    def holds_all(self) -> bool:
        """Whether `pieces` are the body so far."""
        return self.open and self._draft is None

    def write(self, data: bytes) -> None:
        """Some more of the body; nothing if closed."""
        if not self.open:
            return
        self._size += len(data)
        most = self._keeper.max_object if self.length is None else self.length
        if self._size > most:
            self.abandon()
        elif self._draft is not None:
            self._draft.write(data)
        elif self._keeper.reserve(self, len(data) + _CHUNK):
            self.pieces.append(data)
        elif (draft := self.to_file()) is not None:
            draft.write(data)
        else:
            self.abandon()

    def to_file(self) -> Draft | None:
        """Hold no more in memory, if it can go on in a file: that."""
        if isinstance(self.stored.body, Parts):
            return None
        draft = self._draft = self._keeper.draft(self)
        if draft is not None:
            for data in self.pieces:
                draft.write(data)
            self.pieces = []  # others may read on in those
            self._keeper.release(self)
        return draft

    def finish(self) -> bool:
        """The body is whole: whether it is stored now, or will be in a moment."""
        if not self.open:
            return False
        keeper, stored, draft = self._keeper, self.stored, self._draft
        whole = self.length is None or self._size == self.length
        if whole and draft is not None:
            self.open, self._draft = False, None
            keeper.closed(self)
            return keeper.keep_draft(draft, stored, self._request, self._requested)
        if whole:
            data = b"".join(self.pieces)
            if isinstance(stored.body, Parts):
                (part,) = stored.body.spans
                stored.fill(Parts(stored.body.length, ((part.start, data),)))
            else:
                stored.fill(data)
        self.abandon()
        return whole and keeper.keep(stored, self._request, self._requested)

    def abandon(self) -> None:
        """Forget it: the body was cut off, or isn't wanted any more."""
        if self.open:
            self.open = False
            self.pieces = []
            if self._draft is not None:
                self._draft.abandon()
                self._draft = None
            self._keeper.release(self)
            self._keeper.closed(self)
