"""The stores, one behind the other: memory, which answers at once, then disk, then Redis.

    bring ─▶ disk ─▶ Redis ─▶ what the first of them has comes into memory, and all between
    put   ─▶ all of them

Where there is a disk, the content of what is large lies on it alone: memory has the head and an
open file, and the kernel sends it from there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed

from twistproxy.cache.outdated import Outdated
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import Answer, FileStore, Store
from twistproxy.cache.stores.memory import MemoryStore

MEMORY: Final = "memory"


class Tiers:
    """Memory, and what lies behind it, by name, in the order in which they are asked."""

    __slots__ = ("_bringing", "_outdated", "_unasked", "behind", "brought", "files", "memory")

    def __init__(self, memory: MemoryStore, behind: Mapping[str, Store], outdated: Outdated):
        self.memory = memory
        self.files: FileStore | None = None  #: the one of them that gives bodies as files
        self.behind = dict(behind)
        self.brought = dict.fromkeys(self.behind, 0)  #: objects that came out of each, ever
        self._outdated = outdated
        self._unasked: Container[str] = ()
        self._bringing: dict[Key, list[Deferred[None]]] = {}

    def bring(self, key: Key, now: float) -> Deferred[None] | None:
        """Have in memory what others have of a key; None if there is nothing to wait for.

        Whoever asks for the same meanwhile waits for the same.
        """
        waiting = self._bringing.get(key)
        if waiting is None:
            search = self._search(key, now, iter(list(self.behind)))
            if search is None:
                return None
            waiting = self._bringing[key] = []
            search.addBoth(self._found, key)
            if key not in self._bringing:  # it was quick
                return None
        result: Deferred[None] = Deferred()
        waiting.append(result)
        return result

    def _search(self, key: Key, now: float, names: Any) -> Deferred[Any] | None:
        """Ask one after the other, until somebody has it."""
        for name in names:
            if name not in self.behind or name in self._unasked:
                continue
            answer = self.behind[name].get(key)
            if isinstance(answer, Deferred):
                return answer.addCallback(self._came, key, now, name, names)
            if answer:
                self._take(answer, now, name)
                break
        return None

    def _came(
        self, found: tuple[Stored, ...], key: Key, now: float, name: str, names: Any
    ) -> Deferred[Any] | None:
        if found:
            self._take(found, now, name)
            return None
        return self._search(key, now, names)

    def _take(self, found: tuple[Stored, ...], now: float, name: str) -> None:
        """Into memory, and the others before the one that had it."""
        if name not in self.behind:
            return  # a reload has taken it away
        self.brought[name] += len(found)
        before = list(self.behind)[: list(self.behind).index(name)]
        for stored in reversed(found):
            if not self._outdated(stored, now):
                self.memory.put(stored)
                for other in before:
                    self.behind[other].put(stored)

    def _found(self, result: object, key: Key) -> None:
        for waiting in self._bringing.pop(key):
            waiting.callback(None)

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        """Keep it wherever there is room: whether anybody does.

        The answer to a QUERY in memory only: elsewhere nobody finds it by its URL, when that is
        outdated.
        """
        instead_of = list(instead_of)
        if stored.key.query:
            return self.memory.put(stored, instead_of)
        taken = [store for store in self.behind.values() if store.put(stored, instead_of)]
        if self.files in taken and self.is_large(stored):
            self.memory.remove(stored.key)  # until it is asked for, and brought as a file
            return True
        return self.memory.put(stored, instead_of) or bool(taken)

    def is_large(self, stored: Stored) -> bool:
        """Whether its content is in memory, and would come back from the disk as a file."""
        body = stored.body
        return self.files is not None and isinstance(body, bytes) and len(body) > self.files.small

    def remove(self, key: Key, but: str = "") -> int:
        """Forget all variants of a key: how many memory had. The others follow.

        but: the store that told us, if one did.
        """
        for name, store in self.behind.items():
            if name != but:
                store.remove(key)
        return self.memory.remove(key)

    def purge(self, purge: Purge, now: float, but: str = "") -> Deferred[dict[str, int]]:
        """How many objects each store had that it matches; but: as in `remove`."""
        stores = self.all().items()
        return counted({name: each.purge(purge, now) for name, each in stores if name != but})

    def clear(self) -> Deferred[dict[str, int]]:
        return counted({name: store.clear() for name, store in self.all().items()})

    def all(self) -> dict[str, Store]:
        return {MEMORY: self.memory, **self.behind}

    def use(
        self,
        behind: Mapping[str, Store],
        files: FileStore | None = None,
        unasked: Container[str] = (),
    ) -> None:
        """Others lie behind memory from now on; files: one of them. unasked: those that may hold
        what should be gone."""
        self.behind = dict(behind)
        self.files = files
        self._unasked = unasked
        self.brought = {name: self.brought.get(name, 0) for name in behind}


def counted(answers: Mapping[str, Answer[int]]) -> Deferred[dict[str, int]]:
    """All of them, once the last is there."""
    later = [each if isinstance(each, Deferred) else succeed(each) for each in answers.values()]
    return gatherResults(later).addCallback(lambda counts: dict(zip(answers, counts, strict=True)))


def together(counts: list[Deferred[dict[str, int]]]) -> Deferred[dict[str, int]]:
    """The sums of what several purges took, by store."""

    def added(each: list[dict[str, int]]) -> dict[str, int]:
        return {name: sum(count[name] for count in each) for name in each[0]} if each else {}

    return gatherResults(counts).addCallback(added)
