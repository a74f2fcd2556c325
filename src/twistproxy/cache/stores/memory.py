"""Objects in memory, bounded in bytes, evicted by S3-FIFO.

Most objects that a proxy sees are asked for once. S3-FIFO lets those pass through a small queue
without touching what is asked for again, so a crawler or a long download can't flush the cache;
a hit only counts up a number on the object, it moves nothing. Yang, Zhang, Qiu, Yue, Rashmi:
"FIFO queues are all you need for cache eviction", SOSP 2023.

    put ─▶ small (a tenth) ──asked for more than once──▶ main ──not asked for lately──▶ gone
              └──else──▶ gone, but remembered as a ghost ──put again──▶ main

Here the queues are measured in bytes, and one eviction gives second chances to a bounded number
of objects: it runs in the call that answers somebody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain

from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS
from twistproxy.garbage import untracked

_SMALL = 10  # the small queue's share is one in so many
_USES = 3  # more than these count as these: old fame fades
_CHANCES = 64  # objects that one eviction may pass over


class _ByKey(dict[Key, tuple[Stored, ...]]):
    """A dict that the garbage collector knows while it is empty: so it is frozen at the start.

    Others are made known by what they get, and then walked, however large.
    """


class MemoryStore:
    """A `Store` in this process's memory. limit: bytes, heads and bookkeeping included."""

    __slots__ = (
        "_by_key",
        "_ghosts",
        "_main",
        "_small",
        "_small_size",
        "evicted",
        "limit",
        "reserved",
        "size",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.reserved = 0
        self.evicted = 0
        self._by_key = _ByKey()
        # Queues, oldest first; ordered dicts, so that any object can be taken out at once.
        self._small: OrderedDict[Stored, None] = OrderedDict()
        self._small_size = 0
        self._main: OrderedDict[Stored, None] = OrderedDict()
        # Hashes of what left the small queue; as many as there are objects, whose sizes include
        # the price of one.
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    @property
    def objects(self) -> int:
        return len(self._small) + len(self._main)

    def get(self, key: Key) -> tuple[Stored, ...]:
        return self._by_key.get(key, ())

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        ghost = hash((stored.key, stored.variant))
        known = ghost in self._ghosts
        if known:
            del self._ghosts[ghost]
        for old in instead_of:
            if old in self._main:
                known = True
            self._take_out(old)
        size = stored.size
        if size > self.limit - self.reserved:
            return False
        self._make_room(size)
        variants = self._by_key.get(stored.key, ())
        for old in variants[VARIANTS - 1 :]:
            self._take_out(old)
            self.evicted += 1
        self._by_key[stored.key] = untracked((stored, *variants[: VARIANTS - 1]))
        self.size += size
        if known:
            self._main[stored] = None
        else:
            self._small[stored] = None
            self._small_size += size
        return True

    def remove(self, key: Key) -> int:
        variants = self.get(key)
        for stored in variants:
            self._take_out(stored)
        return len(variants)

    def clear(self) -> int:
        gone = self.objects
        for held in (self._by_key, self._small, self._main, self._ghosts):
            held.clear()
        self.size = self._small_size = 0
        return gone

    def reserve(self, size: int) -> bool:
        if size > self.limit - self.reserved:
            return False
        self._make_room(size)
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        self.reserved -= size

    def resize(self, limit: int) -> None:
        self.limit = limit
        self._make_room(0)

    def __iter__(self) -> Iterator[Stored]:
        return chain(self._small, self._main)

    def __repr__(self) -> str:
        return f"<MemoryStore {self.objects} objects, {self.size} of {self.limit} bytes>"

    # -- S3-FIFO --

    def _make_room(self, size: int) -> None:
        room = self.limit - self.reserved - size
        while self.size > room and self._by_key:
            self._evict()
            self.evicted += 1

    def _evict(self) -> None:
        """The object that is worth least leaves."""
        for _ in range(_CHANCES):
            if self._small_size * _SMALL > self.limit or not self._main:
                stored = next(iter(self._small))
                if stored.uses <= 1:
                    self._take_out(stored)
                    self._remember(stored)
                    return
                del self._small[stored]
                self._small_size -= stored.size
                stored.uses = 0
                self._main[stored] = None
            else:
                stored = next(iter(self._main))
                if not stored.uses:
                    break
                stored.uses = min(stored.uses, _USES) - 1
                self._main.move_to_end(stored)
        self._take_out(next(iter(self._main)))

    def _take_out(self, stored: Stored) -> None:
        if stored in self._small:
            del self._small[stored]
            self._small_size -= stored.size
        elif stored in self._main:
            del self._main[stored]
        else:
            return
        self.size -= stored.size
        left = tuple(other for other in self._by_key[stored.key] if other is not stored)
        if left:
            self._by_key[stored.key] = untracked(left)
        else:
            del self._by_key[stored.key]

    def _remember(self, gone: Stored) -> None:
        self._ghosts[hash((gone.key, gone.variant))] = None
        while len(self._ghosts) > self.objects:
            self._ghosts.popitem(last=False)
