"""Objects in memory, bounded in bytes, evicted by S3-FIFO.

Most objects that a proxy sees are asked for once. S3-FIFO lets those pass through a small queue
without touching what is asked for again, so a crawler or a long download can't flush the cache;
a hit only counts up a number on the object, it moves nothing. Yang, Zhang, Qiu, Yue, Rashmi:
"FIFO queues are all you need for cache eviction", SOSP 2023.

    put ─▶ small (a tenth) ──asked for more than once──▶ main ──not asked for lately──▶ gone
              └──else──▶ gone, but remembered as a ghost ──put again──▶ main

Here the queues are measured in bytes, and one eviction gives second chances to a bounded number
of objects: it runs in the call that answers somebody. What looks at all objects does so a few a
turn of the reactor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator

from twistproxy.cache.purge import Purge, outdate
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS, Answer
from twistproxy.garbage import untracked

_SMALL = 10  # the small queue's share is one in so many
_USES = 3  # more than these count as these: old fame fades
_CHANCES = 64  # objects that one eviction may pass over
_AT_ONCE = 500  # keys that are looked at in one turn of the reactor: a millisecond or two
_FEW = 8  # a tag of less than one in so many is looked up; a copy of a large set takes long

T = TypeVar("T")


class _ByKey(dict[Key, tuple[Stored, ...]]):
    """A dict that the garbage collector knows while it is empty: so it is frozen at the start.

    Others are made known by what they get, and then walked, however large.
    """


class _ByTag(dict[str, set[Stored]]):
    """Likewise."""


class _Queries(dict[str, set[Key]]):
    """Likewise: by URL, those keys that are of QUERYs."""


class MemoryStore:
    """A `Store` in this process's memory.

    limit: bytes, heads and bookkeeping included. later: calls what it is given in another turn of
    the reactor; without it all is done at once.
    """

    __slots__ = (
        "_by_key",
        "_by_tag",
        "_ghosts",
        "_main",
        "_queries",
        "_small",
        "_small_size",
        "_turns",
        "_whos",
        "evicted",
        "limit",
        "reserved",
        "size",
    )

    def __init__(
        self, limit: int, later: Callable[[Callable[[], object]], Any] | None = None
    ) -> None:
        self.limit = limit
        self.size = 0
        self.reserved = 0
        self.evicted = 0
        self._by_key = _ByKey()
        self._by_tag = _ByTag()
        self._queries = _Queries()
        self._whos: dict[str, int] = {}  # who answered, and how many keys of theirs are here
        self._turns: Cooperator | None = None
        if later is not None:
            self._turns = Cooperator(lambda: lambda: True, later)
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
        same = [old for old in self._by_key.get(stored.key, ()) if old.variant == stored.variant]
        for old in (*instead_of, *same):
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
        if not variants:
            self._remember_key(stored.key)
        for tag in stored.tags:
            tagged = self._by_tag.get(tag)
            if tagged is None:
                tagged = self._by_tag[tag] = untracked(set())
            tagged.add(stored)
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
        for index in (self._by_key, self._by_tag, self._queries, self._whos):
            index.clear()
        for queue in (self._small, self._main, self._ghosts):
            queue.clear()
        self.size = self._small_size = 0
        return gone

    def keys(self, url: str) -> list[Key]:
        """Of what is kept under that very URL, whoever answered, QUERYs too."""
        of_get = [key for who in self._whos if (key := Key(who, url)) in self._by_key]
        return [*of_get, *self._queries.get(url, ())]

    def purge(self, purge: Purge, now: float) -> Answer[int]:
        """As `Store` has it. What has a URL or a tag is found at once; else all keys are looked
        at, a few a turn, and what comes meanwhile perhaps not."""
        taken = 0

        def take(stored: Stored) -> None:
            nonlocal taken
            if stored in self._small or stored in self._main:
                taken += 1
                if purge.soft:
                    outdate(stored, now)
                else:
                    self._take_out(stored)

        def look(key: Key) -> None:
            for stored in self._by_key.get(key, ()):
                if purge.matches(key.url, stored.tags):
                    take(stored)

        tagged = self._by_tag.get(purge.value, ()) if purge.by == "tag" else None
        if purge.by == "url":
            done = self._each(self.keys(purge.value), look)
        elif tagged is not None and len(tagged) * _FEW <= self.objects:
            done = self._each(list(tagged), take)
        else:
            done = self._each(list(self._by_key), look)
        return taken if done is None else done.addCallback(lambda _: taken)

    def survey(self, look: Callable[[Stored], object]) -> Deferred[None] | None:
        """Show all objects to `look`, a few a turn; None if that is done."""

        def show(key: Key) -> None:
            for stored in self._by_key.get(key, ()):
                look(stored)

        return self._each(list(self._by_key), show)

    def _each(self, things: list[T], look: Callable[[T], object]) -> Deferred[None] | None:
        """Call look(thing) for each; None if it was done at once. Never fails: at the end of the
        process the rest is left."""

        def turns() -> Iterator[None]:
            while things:  # from its end, so that no turn has to free a million
                some = things[-_AT_ONCE:]
                del things[-_AT_ONCE:]
                for thing in some:
                    look(thing)
                yield

        if self._turns is None or len(things) <= _AT_ONCE:
            for thing in things:
                look(thing)
            return None
        untracked(things)
        return self._turns.coiterate(turns()).addBoth(lambda _: None)

    def snapshot(self) -> dict[str, Any]:
        """Sizes in bytes. reserved: for bodies on their way."""
        return {
            "objects": self.objects,
            "bytes": self.size,
            "limit": self.limit,
            "reserved": self.reserved,
            "evicted": self.evicted,
        }

    def close(self) -> None:
        """Memory keeps nothing; who waits for something is told what there was of it."""
        if self._turns is not None:
            self._turns.stop()

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
            self._forget_key(stored.key)
        for tag in stored.tags:
            same = self._by_tag[tag]
            same.discard(stored)
            if not same:
                del self._by_tag[tag]

    def _remember_key(self, key: Key) -> None:
        who = key.who
        self._whos[who] = self._whos.get(who, 0) + 1
        if key.query:
            if key.url not in self._queries:
                self._queries[key.url] = untracked(set())
            self._queries[key.url].add(key)

    def _forget_key(self, key: Key) -> None:
        self._whos[key.who] -= 1
        if not self._whos[key.who]:
            del self._whos[key.who]
        if key.query:
            same = self._queries[key.url]
            same.discard(key)
            if not same:
                del self._queries[key.url]

    def _remember(self, gone: Stored) -> None:
        self._ghosts[hash((gone.key, gone.variant))] = None
        while len(self._ghosts) > self.objects:
            self._ghosts.popitem(last=False)
