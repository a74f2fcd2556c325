"""Where stored responses lie, and which of them leave when room is needed.

    memory   answers in the same call; every hit is answered from here
    others   lie behind it, in the order in which they are asked: what one of them has is brought
             into memory first (`Cache.bring`)

To add a store: NAME.py with one class NAMEStore that keeps what `Store` promises;
tests/cache/stores/test_suite.py finds it and runs on it unasked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

from twisted.internet.defer import Deferred

from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored

T = TypeVar("T")
#: At once, or later.
Answer: TypeAlias = "T | Deferred[T]"

#: Variants of one key; who sends a new Vary value with each request can't fill the store.
VARIANTS = 32


class Store(Protocol):
    """Objects by key, within a number of bytes.

    No method raises and no Deferred fails: a store that can't do its work has nothing, keeps
    nothing, and says so in `snapshot`. None waits for a disk or a network in the caller's thread.
    """

    def get(self, key: Key) -> Answer[tuple[Stored, ...]]:
        """The variants of a key, the last put first; () if there are none.

        Of what surely isn't here that is said at once, not by a Deferred.
        """

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        """Keep an object in place of those others of its key, which go in any case, and of what
        has its very variant.

        False if it is not kept: larger than the room there can be, or the store is failing. Over
        `VARIANTS`, the first put goes.
        """

    def remove(self, key: Key) -> Answer[int]:
        """Forget all variants of a key: how many they were."""

    def purge(self, purge: Purge, now: float) -> Answer[int]:
        """Forget what it matches, or make it stale if it is soft: how many objects."""

    def clear(self) -> Answer[int]:
        """Forget everything: how many objects that were."""

    def snapshot(self) -> dict[str, Any]:
        """Figures: at least ``objects``, ``bytes``, ``limit``."""

    def close(self) -> Answer[None]:
        """Keep what can be kept; the store isn't used again."""


class FileStore(Store, Protocol):
    """A store that gives bodies as files (`InFile`), and takes them bit by bit.

    small: bodies of so many bytes come back as bytes.
    """

    small: int

    def draft(self, stored: Stored, length: int | None) -> Draft | None:
        """Begin an object whose body is never in memory as a whole; None if it isn't to be kept.

        length: bytes of the body, if that is known.
        """


class Draft(Protocol):
    """A body on its way into a file. It closes itself where it can't be kept.

    Whoever has one calls `finish` or `abandon` in the end.
    """

    open: bool

    def write(self, data: bytes) -> None: ...

    def finish(self, instead_of: Iterable[Stored] = ()) -> Deferred[Stored | None]:
        """The body is whole: the object, once it is kept; None if that could not be."""

    def abandon(self) -> None: ...
