"""Where stored responses lie, and which of them leave when room is needed.

To add a store: NAME.py with one class NAMEStore that keeps what `Store` promises;
tests/cache/stores/test_suite.py finds it and runs on it unasked.

A store answers in the same call, since a hit is answered in the call that read its request. One
that has to wait (disk, Redis) keeps in memory what it answers from, and does its waiting behind:
it takes what `put` brings, and brings back what is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from twistproxy.cache.stored import Key, Stored

#: Variants of one key; who sends a new Vary value with each request can't fill the store.
VARIANTS = 32


class Store(Protocol):
    """Objects by key, within a number of bytes. No method raises.

    limit: bytes for all. size: bytes of all objects, as `Stored.size` has it. reserved: bytes of
    bodies on their way here; ``size + reserved <= limit`` at all times, except for what was
    reserved when the limit shrank. objects: how many there are. evicted: how many had to leave
    for others, ever.
    """

    @property
    def limit(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def objects(self) -> int: ...
    @property
    def evicted(self) -> int: ...

    def get(self, key: Key) -> tuple[Stored, ...]:
        """The variants of a key, the last put first; () if there are none."""

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        """Keep an object in place of those others of its key, which go in any case.

        False if it is larger than the room there can be. Over `VARIANTS`, the first put goes.
        """

    def remove(self, key: Key) -> int:
        """Forget all variants of a key: how many they were."""

    def clear(self) -> int:
        """Forget everything but reservations: how many objects that were."""

    def reserve(self, size: int) -> bool:
        """Hold this many bytes for a body on its way, evicting others; False if that can't be."""

    def release(self, size: int) -> None:
        """Give back bytes that were reserved."""

    def resize(self, limit: int) -> None:
        """A new limit; objects leave as they would for others."""

    def __iter__(self) -> Iterator[Stored]:
        """All objects, in no order; don't change the store meanwhile."""
