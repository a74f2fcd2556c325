"""Objects in a folder, within a number of bytes: files of bodies, and an index of them.

An object is there from the moment when its row is committed: its file is written before that, and
removed before the row is gone. What a process that was killed has left half done (files without
rows, rows without files) is found by `sweep`. Nothing is synced: what a loss of power takes from
a file, its checksum shows.

    FOLDER/lock            held while the folder is in use
    FOLDER/index.sqlite    index.py
    FOLDER/bodies/         bodies.py

Who leaves when room is needed is said by SIEVE: a hand goes from the oldest to the youngest and
takes what nobody asked for since it passed the last time. Nothing is moved by a hit. Zhang, Yang,
Yue, Vigfusson, Rashmi: "SIEVE is simpler than LRU", NSDI 2024.

For one thread that may wait for the disk. What takes longer is an iterator, which does a slice at
a time, so that others have their turn between them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from zlib import crc32

from twistproxy.cache import record
from twistproxy.cache.disk.bodies import Bodies, Body, Damaged, Draft
from twistproxy.cache.disk.index import Entry, Index, Row, is_broken, wipe
from twistproxy.cache.purge import Purge, outdate
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS
from twistproxy.http.caching import Variant

#: Bodies up to this come as bytes: to read them costs no more than to open and to keep open a
#: file, and they go out with the head in one write.
SMALL: Final = 64 << 10
_AT_ONCE: Final = 256  # rows that are looked at in one slice
_EVICTED: Final = 64  # objects between two looks at how much room that gave
_AHEAD: Final = 4 << 20  # bytes that leave before they have to, at most
_CHANCES: Final = 1024  # objects that the hand may pass over for one that leaves
_CHECKED: Final = 100_000  # bodies of which is remembered that they are sound

T = TypeVar("T")
#: What takes longer; its result comes last.
Slices: TypeAlias = Generator[None, None, T]


class Occupied(OSError):
    """Another process uses the folder."""


class Shelf:
    """What lies in a folder. Methods raise OSError and sqlite3.Error; after the latter it has to
    be closed and opened again.

    limit: bytes on the disk, of all. ceiling: what holds now; lower while the disk is full.
    distrusted: why the next opening begins with nothing, or "". release: takes descriptors that
    nobody uses any more.
    """

    def __init__(self, folder: Path, limit: int, release: Callable[[int], object]) -> None:
        self.limit = self.ceiling = limit
        self.distrusted = ""
        self.note = ""
        self.evicted = self.damaged = self.orphans = 0
        self.index: Index | None = None  # while it is open
        self._folder = folder
        self._release = release
        self._lock = -1
        self._bodies: Bodies
        self._next = 1
        self._hand = 0
        self._unswept = 0  # bytes of files that may have no row, at most
        self._drafts: dict[int, Draft] = {}
        self._own = 0  # numbers from here on were written by this process
        self._checked: set[int] = set()

    # -- open and closed --

    def open(self) -> None:
        """Take the folder, making it if need be. Raises `Occupied`."""
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._bodies = Bodies(self._folder / "bodies", self._release)
            index = self._open_index()
        except BaseException as error:
            self.close()
            if is_broken(error):
                self.distrusted = str(error)
            raise
        self.distrusted = ""
        self._next = max(self._next, index.last + 1)
        self._hand = 0
        self._own = self._own or self._next
        self.ceiling = self.limit
        self.index = index
        self.note = self.note or index.note

    def _take_lock(self) -> None:
        path = self._folder / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Occupied(f"another process uses {self._folder}") from None
        self._lock = lock

    def _open_index(self) -> Index:
        self._unswept = 0
        if self.distrusted:
            wipe(self._folder)
        index = Index(self._folder, self.limit)
        try:
            index.load()
        except BaseException:
            index.close()
            raise
        if not index.last and self._bodies.shards():
            # Nothing is known of what lies there: no more than all, until it is swept.
            self._unswept = self.limit
        return index

    def close(self) -> None:
        """What isn't committed is lost. Does not raise."""
        for draft in list(self._drafts.values()):
            self.abandon(draft)
        if self.index is not None:
            self.index.close()
            self.index = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget(self) -> int:
        """Begin with nothing: how many objects there were. The files are left to `sweep`."""
        index = self._opened
        gone, self._unswept = index.objects, self._unswept + index.files
        for draft in list(self._drafts.values()):
            self.abandon(draft)
        index.close()
        self.index = None
        wipe(self._folder)
        self._hand = 0
        self.index = Index(self._folder, self.limit)
        self.write_note(self.note)
        return gone

    def write_note(self, note: str) -> None:
        """Something to remember, as long as there is a folder."""
        self.note = note
        self._opened.write_note(note)

    def commit(self) -> None:
        """What was done so far stays done."""
        if self.index is not None:
            self.index.commit()

    @property
    def _opened(self) -> Index:
        assert self.index is not None
        return self.index

    # -- what is there --

    def get(self, key: Key) -> Slices[tuple[Stored, ...]]:
        """The variants of a key, the last put first, whose bodies are sound."""
        found: list[Stored] = []
        for row in self._opened.of(self._opened.digest(key)):
            try:
                stored = self._stored(row)
                if stored is None or stored.key != key:
                    if stored is None:
                        self._drop_damaged(row)
                    continue
                if isinstance(stored.body, Body) and not self._is_checked(row.number):
                    yield from self._bodies.check(stored.body, row.crc)
                    if self._opened.row(row.number) is None:
                        continue  # removed meanwhile
                    if len(self._checked) >= _CHECKED:
                        self._checked.clear()
                    self._checked.add(row.number)
            except Damaged:
                self._drop_damaged(row)
            except OSError:
                continue  # too many open files; it is still there
            else:
                found.append(stored)
        return tuple(found)

    def _stored(self, row: Row) -> Stored | None:
        """An object with its body; None if its row is damaged or of another version."""
        if not row.sound:
            return None
        if not row.length:
            return record.decode(row.record, b"")
        if row.length <= SMALL:
            return record.decode(row.record, self._bodies.get(row.number, row.length, row.crc))
        return record.decode(row.record, self._bodies.open(row.number, row.length))

    def _is_checked(self, number: int) -> bool:
        return number >= self._own or number in self._checked

    def _drop_damaged(self, row: Row) -> None:
        self._drop(row)
        self.damaged += 1

    def _drop(self, entry: Row | Entry) -> bool:
        self._bodies.remove(entry.number)
        self._checked.discard(entry.number)
        return self._opened.remove(entry)

    # -- what comes --

    def put(self, stored: Stored, data: bytes, instead_of: Iterable[Variant]) -> bool:
        """Keep an object in place of others; False if there is no room. data: its record.

        A body in a file has to be one of ours: it is the same file then, under another number.
        """
        body = stored.body
        if isinstance(body, Body) and body.release is self._release:
            return self._put_again(stored, body, data, instead_of)
        self._take_out(stored.key, {*instead_of, stored.variant})
        if not isinstance(body, bytes):
            return False
        cost = self._bodies.cost(len(body))
        if not self.make_room(cost, len(data)):
            return False
        number = self._number()
        if body:
            self._bodies.put(number, body)
        self._add(number, stored, data, len(body), crc32(body))
        return True

    def _put_again(
        self, stored: Stored, body: Body, data: bytes, instead_of: Iterable[Variant]
    ) -> bool:
        row = self._opened.row(body.number)
        number = self._number()
        if row is not None:
            self._bodies.rename(row.number, number)
            if self._is_checked(row.number):
                self._checked.add(number)
            body.number = number
            self._opened.remove(row)
        self._take_out(stored.key, {*instead_of, stored.variant})
        if row is None:  # it has left meanwhile
            return False
        self._add(number, stored, data, row.length, row.crc)
        return True

    def _add(self, number: int, stored: Stored, data: bytes, length: int, crc: int) -> None:
        index = self._opened
        cost = self._bodies.cost(length)
        index.add(number, stored.key, stored.tags, data, cost, length, crc)
        for row in index.of(index.digest(stored.key))[VARIANTS:]:
            self._drop(row)
            self.evicted += 1

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def take_out(self, key: Key, variants: Iterable[Variant]) -> int:
        """Forget these variants of a key: how many there were."""
        return self._take_out(key, set(variants))

    def _take_out(self, key: Key, variants: set[Variant]) -> int:
        gone = 0
        for row in self._opened.of(self._opened.digest(key)):
            # Nobody misses an object whose key has the same digest.
            stored = record.decode(row.record, b"")
            if stored is None or stored.variant in variants:
                gone += self._drop(row)
        return gone

    # -- large bodies, as they come --

    def begin(self) -> Draft:
        draft = self._bodies.begin(self._number())
        self._drafts[draft.number] = draft
        return draft

    def write(self, draft: Draft, data: bytes) -> bool:
        """Some more of a body; False if there is no room, or the draft is gone."""
        if draft.number not in self._drafts or not self.make_room(len(data), 0):
            return False
        # All that are on their way take half of the room at most; one alone may take all.
        if len(self._drafts) > 1 and self._drafted + len(data) > self.ceiling // 2:
            return False
        draft.write(data)
        return True

    def finish(
        self, draft: Draft, stored: Stored, data: bytes, instead_of: Iterable[Variant]
    ) -> Body | None:
        """The body is whole: keep the object; its body, or None if that couldn't be."""
        if self._drafts.pop(draft.number, None) is None:
            return None
        self._bodies.end(draft)
        self._take_out(stored.key, {*instead_of, stored.variant})
        self._add(draft.number, stored, data, draft.size, draft.crc)
        try:
            return self._bodies.open(draft.number, draft.size)
        except (Damaged, OSError):
            return None

    def abandon(self, draft: Draft) -> None:
        if self._drafts.pop(draft.number, None) is not None:
            self._bodies.end(draft)
            self._bodies.remove(draft.number)

    @property
    def _drafted(self) -> int:
        return sum(self._bodies.cost(draft.size) for draft in list(self._drafts.values()))

    # -- what goes --

    def remove(self, key: Key) -> int:
        """All variants of a key: how many."""
        return sum(map(self._drop, self._opened.of(self._opened.digest(key))))

    def purge(self, purge: Purge, now: float) -> Slices[int]:
        """What it matches of what is there now: how many."""
        index = self._opened
        count = 0
        for entries in self._meant(purge):
            for entry in entries:
                if purge.matches(entry.url, entry.tags.split("\n")):
                    gone = self._outdate(entry, now) if purge.soft else self._drop(entry)
                    count += gone
            index.commit()
            yield
        return count

    def _meant(self, purge: Purge) -> Iterator[list[Entry]]:
        index = self._opened
        if purge.by == "url":
            with suppress(UnicodeEncodeError):  # such a URL is never kept
                yield index.on(purge.value)
            return
        at, last = 0, index.last
        while entries := index.after(at, _AT_ONCE, last):
            at = entries[-1].number
            yield entries

    def _outdate(self, entry: Entry, now: float) -> bool:
        row = self._opened.row(entry.number)
        stored = row and record.decode(row.record, b"")
        if row is None or stored is None:
            return False
        outdate(stored, now)
        self._opened.replace(row, record.encode(stored))
        return True

    # -- room --

    @property
    def taken(self) -> int:
        """Bytes on the disk, with what the index may need for its log."""
        index = self._opened
        return index.pages + index.log + index.files + self._drafted + self._unswept

    @property
    def bytes(self) -> int:
        """Bytes on the disk, as they are now."""
        index = self.index
        return 0 if index is None else index.bytes + index.files + self._drafted + self._unswept

    def room(self, length: int) -> bool:
        """Whether a body of so many bytes can be kept at all; any thread may ask."""
        index = self.index
        return index is not None and length + 2 * _spare(0) + index.log <= self.limit

    def make_room(self, cost: int, data: int) -> bool:
        """Evict until there is room for a body and a record of so many bytes; nothing if it
        can't be."""
        need = cost + _spare(data)
        index = self._opened
        if need + index.log + self._drafted + self._unswept > self.ceiling:
            return False
        if self.taken + need <= self.ceiling:
            return True
        # Some more than is needed, so that not every object that comes waits for one to leave.
        need = min(need + min(self.ceiling >> 8, _AHEAD), self.ceiling)
        while self.taken + need > self.ceiling and self._evict(self.taken + need - self.ceiling):
            index.commit()  # before that its file doesn't shrink
        return self.taken + cost + _spare(data) <= self.ceiling

    def _evict(self, need: int) -> int:
        """Some that are worth least leave: how many, none if there is none left."""
        index = self._opened
        gone = freed = passed = 0
        while index.objects and gone < _EVICTED and freed < need:
            entries = index.after(self._hand, _EVICTED)
            if not entries:
                if not self._hand:
                    break
                self._hand = 0
            for entry in entries:
                self._hand = entry.number
                passed += 1
                if not index.sketch.was_asked(entry.digest) or passed > _CHANCES:
                    gone += self._drop(entry)
                    freed += entry.cost
                    if gone >= _EVICTED or freed >= need:
                        break
        self.evicted += gone
        return gone

    def resize(self, limit: int) -> None:
        """A new limit; what is too much leaves when something comes, or by `shrink`."""
        self.limit = self.ceiling = limit

    def shrink(self) -> Slices[None]:
        """Evict what is above the limit."""
        while self.taken > self.ceiling and self._evict(self.taken - self.ceiling):
            self._opened.commit()
            yield

    def full(self) -> None:
        """The disk is: the limit is what there is now, until somebody says otherwise."""
        self.ceiling = max(0, min(self.ceiling, self.taken - (self.taken >> 8)))

    def give_space(self) -> None:
        """Where not even the index can be written: away with some files; rows follow."""
        index = self._opened
        for entry in index.after(self._hand, _EVICTED) or index.after(0, _EVICTED):
            self._bodies.remove(entry.number)

    # -- order --

    def sweep(self) -> Slices[None]:
        """Remove files without rows, and rows without files."""
        index, bodies = self._opened, self._bodies
        for shard in chain(bodies.shards(), self._shards()):
            files, rows = bodies.numbers(shard), index.files_in(shard)
            for number in files.keys() - rows.keys() - self._drafts.keys():
                bodies.remove(number)
                self._unswept = max(0, self._unswept - files[number])
                self.orphans += 1
            for number in rows.keys() - files.keys():
                self._drop(rows[number])
                self.orphans += 1
            bodies.tidy(shard)
            index.commit()
            yield
        self._unswept = 0

    def _shards(self) -> Iterator[range]:
        """Those that the index knows."""
        at = self._opened.first_from(0)
        while at is not None:
            shard = self._bodies.shard(at)
            yield shard
            at = self._opened.first_from(shard.stop)


def _spare(record: int) -> int:
    """Bytes by which the index may grow for a record of so many: pages split, by three trees."""
    return 2 * record + (32 << 10)
