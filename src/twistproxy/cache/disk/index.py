"""What lies on the disk, as rows of one sqlite file; and a sketch of that in memory.

The file is used by one thread. The sketch may be asked by any: it says of what surely isn't there,
so that a miss waits for nothing. It is a counting Bloom filter, a byte for each KiB of the limit:
one object in 32 KiB makes one wrong guess in 270, one in 10 KiB one in 30.
Fan, Cao, Almeida, Broder: "Summary cache", 1998.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from twistproxy.cache.stored import Key

#: What another version wrote is not read.
VERSION: Final = 1
_NAME: Final = "index.sqlite"
_SCHEMA: Final = """
CREATE TABLE own (secret BLOB NOT NULL, note TEXT NOT NULL);
CREATE TABLE object (
    number INTEGER PRIMARY KEY,  -- of its body, in the order in which they came
    digest INTEGER NOT NULL,     -- of its key
    page INTEGER NOT NULL,       -- of its URL
    cost INTEGER NOT NULL,       -- bytes that the body takes on the disk
    length INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    seal INTEGER NOT NULL,       -- over this row
    url TEXT NOT NULL,
    tags TEXT NOT NULL,          -- a line each
    record BLOB NOT NULL
);
CREATE INDEX by_digest ON object (digest, cost);
CREATE INDEX by_page ON object (page);
"""
_LOADED: Final = 1000  # rows at a time
_COUNTED: Final = 1 << 10  # bytes of the limit that a counter is for
_ASKED: Final = 4  # of those bits there is one for so many counters
_TOUCHED: Final = 4  # pages that one write changes, but rarely
_MOST: Final = 255  # a counter that came so far stays there

_digests = msgspec.json.Decoder(list[int])


class Row(NamedTuple):
    """What is known of an object without reading its body."""

    number: int
    digest: int
    cost: int
    length: int
    crc: int
    seal: int
    record: bytes

    @property
    def sound(self) -> bool:
        return self.seal == _seal(self.number, self.length, self.crc, self.record)


_ROW: Final = "SELECT number, digest, cost, length, crc, seal, record FROM object "


class Entry(NamedTuple):
    """What is known of an object by looking at its row from afar."""

    number: int
    digest: int
    cost: int
    url: str
    tags: str


_ENTRY: Final = "SELECT number, digest, cost, url, tags FROM object "


class Sketch:
    """Which digests may be there, and which were asked for lately. limit: bytes on the disk.

    One thread adds and takes away, any may ask.
    """

    __slots__ = ("_asked", "_counts")

    def __init__(self, limit: int) -> None:
        # Zeros cost nothing until they are written to.
        self._counts = bytearray(max(1 << 12, limit // _COUNTED))
        self._asked = bytearray(len(self._counts) // _ASKED)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self._counts) + len(self._asked)

    def __contains__(self, digest: int) -> bool:
        counts = self._counts
        size = len(counts)
        return counts[digest % size] != 0 and counts[digest // size % size] != 0

    def add(self, digest: int) -> None:
        self.add_all((digest,))

    def add_all(self, digests: Collection[int]) -> int:
        """How many they are."""
        counts = self._counts
        size = len(counts)
        for digest in digests:
            at = digest % size
            if counts[at] < _MOST:
                counts[at] += 1
            at = digest // size % size
            if counts[at] < _MOST:
                counts[at] += 1
        return len(digests)

    def remove(self, digest: int) -> None:
        counts = self._counts
        size = len(counts)
        for at in (digest % size, digest // size % size):
            if 0 < counts[at] < _MOST:
                counts[at] -= 1

    def ask(self, digest: int) -> None:
        """Somebody wants it; any thread may say so."""
        self._asked[digest % len(self._asked)] = 1

    def was_asked(self, digest: int) -> bool:
        """Since this was asked the last time."""
        at = digest % len(self._asked)
        asked = self._asked[at] != 0
        self._asked[at] = 0
        return asked


class Index:
    """The rows of a folder. Methods raise sqlite3.Error; all is kept from `commit` on, or before.

    limit: bytes on the disk for all. After an error it has to be opened anew, since what it has
    counted may be wrong. objects, files: how many there are, and the bytes of their bodies. last:
    the highest number. note: what somebody wanted to remember.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.sketch = Sketch(limit)
        self.objects = self.files = self.last = 0
        self._writes = 0  # in this transaction
        self.bytes = 0  #: on the disk, of the index itself, at the last commit
        self._path = folder / _NAME
        os.close(
            os.open(self._path, os.O_CREAT | os.O_CLOEXEC, 0o600)
        )  # what sqlite adds gets its mode
        self._db = sqlite3.connect(self._path, isolation_level=None)
        try:
            self._set_up(limit)
        except BaseException:
            self._db.close()
            raise

    def _set_up(self, limit: int) -> None:
        execute = self._db.execute
        # Nobody else opens it, so what is shared in memory elsewhere can be our own.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA auto_vacuum = FULL")  # the file shrinks with what is in it
        execute("PRAGMA journal_mode = WAL")
        # After a loss of power the last may be missing, but what is there is whole.
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA cache_size = -8192")
        execute("PRAGMA mmap_size = 0")  # an error of the disk is an error, not a signal
        (self._page,) = execute("PRAGMA page_size").fetchone()
        log = self._pages_of_log(limit)
        execute(f"PRAGMA wal_autocheckpoint = {log}")
        execute(f"PRAGMA journal_size_limit = {log * self._page}")
        self._most = log // _TOUCHED
        #: Bytes to keep free for what is yet to be merged into it.
        self.log: int = (2 * log + log // 64 + _TOUCHED) * self._page
        (version,) = execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            if execute("SELECT 1 FROM sqlite_schema").fetchone():
                raise sqlite3.DatabaseError(f"the index is of version {version}")
            self._db.executescript(f"BEGIN; {_SCHEMA}")
            execute("INSERT INTO own VALUES (?, '')", (os.urandom(32),))
            execute(f"PRAGMA user_version = {VERSION}")
            execute("COMMIT")
        secret, self.note = execute("SELECT secret, note FROM own").fetchone()
        self._hasher = blake2b(key=secret, digest_size=8)
        (self.last,) = execute("SELECT coalesce(max(number), 0) FROM object").fetchone()
        self._measure()

    def _pages_of_log(self, limit: int) -> int:
        return max(16, min(1000, limit // 32 // int(self._page)))

    def suits(self, limit: int) -> bool:
        """Whether it is what it would be for that limit, more or less."""
        log, sketch = self._pages_of_log(limit) * int(self._page), Sketch(limit)
        return self.log <= 5 * log and sketch.size <= 2 * self.sketch.size

    def load(self) -> None:
        """Read what `sketch`, `objects` and `files` tell of."""
        # In parts, each of them one value: row by row, this thread and others would wait for each
        # other a million times.
        parts = min(1 + self.last // _LOADED, 1 << 16)
        width = -(-(1 << 63) // parts)
        for first in range(0, 1 << 63, width):
            digests, cost = self._db.execute(
                "SELECT json_group_array(digest), coalesce(sum(cost), 0) FROM object "
                "INDEXED BY by_digest WHERE digest BETWEEN ? AND ?",
                (first, min(first + width, 1 << 63) - 1),
            ).fetchone()
            self.objects += self.sketch.add_all(_digests.decode(digests))
            self.files += cost

    # -- names --

    def digest(self, key: Key) -> int:
        """63 bits that nobody outside can foresee."""
        return self._hash("\n".join(key))

    def page(self, url: str) -> int:
        return self._hash(url)

    def _hash(self, text: str) -> int:
        hasher = self._hasher.copy()  # half the price of a new one
        hasher.update(text.encode("utf-8", "surrogatepass"))
        return int.from_bytes(hasher.digest(), "big") >> 1

    # -- rows --

    def of(self, digest: int) -> list[Row]:
        """The last first."""
        found = self._db.execute(_ROW + "WHERE digest = ? ORDER BY number DESC", (digest,))
        return [Row(*each) for each in found]

    def row(self, number: int) -> Row | None:
        found = self._db.execute(_ROW + "WHERE number = ?", (number,)).fetchone()
        return found and Row(*found)

    def add(
        self,
        number: int,
        key: Key,
        tags: Iterable[str],
        record: bytes,
        cost: int,
        length: int,
        crc: int,
    ) -> None:
        digest = self.digest(key)
        self._write(
            "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            number,
            digest,
            self.page(key.url),
            cost,
            length,
            crc,
            _seal(number, length, crc, record),
            key.url,
            "\n".join(tags),
            record,
        )
        self.sketch.add(digest)
        self.objects += 1
        self.files += cost
        self.last = max(self.last, number)

    def replace(self, row: Row, record: bytes) -> None:
        """Another record for the same object."""
        seal = _seal(row.number, row.length, row.crc, record)
        self._write(
            "UPDATE object SET record = ?, seal = ? WHERE number = ?", record, seal, row.number
        )

    def remove(self, entry: Row | Entry) -> bool:
        """Whether it was there."""
        gone = self._write("DELETE FROM object WHERE number = ?", entry.number)
        if gone:
            self.sketch.remove(entry.digest)
            self.objects -= 1
            self.files -= entry.cost
        return gone

    def write_note(self, note: str) -> None:
        """Something to remember, together with what was done before."""
        self._write("UPDATE own SET note = ?", note)
        self.note = note

    def after(self, number: int, most: int, last: int | None = None) -> list[Entry]:
        """The next by number, at most so many, up to the last."""
        bound = self.last if last is None else last
        found = self._db.execute(
            _ENTRY + "WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (number, bound, most),
        )
        return [Entry(*each) for each in found]

    def on(self, url: str) -> list[Entry]:
        """Those of that very URL."""
        found = self._db.execute(_ENTRY + "WHERE page = ? AND url = ?", (self.page(url), url))
        return [Entry(*each) for each in found]

    def files_in(self, numbers: range) -> dict[int, Entry]:
        """Those that have a file, by number."""
        found = self._db.execute(
            _ENTRY + "WHERE number >= ? AND number < ? AND length > 0",
            (numbers.start, numbers.stop),
        )
        return {each[0]: Entry(*each) for each in found}

    def first_from(self, number: int) -> int | None:
        """The lowest number that isn't below."""
        (found,) = self._db.execute(
            "SELECT min(number) FROM object WHERE number >= ?", (number,)
        ).fetchone()
        return None if found is None else int(found)

    # -- transactions --

    def _write(self, statement: str, *values: Any) -> bool:
        if self._writes >= self._most:
            self.commit()
        if not self._db.in_transaction:
            self._writes = 0
            self._db.execute("BEGIN IMMEDIATE")
        self._writes += 1
        return self._db.execute(statement, values).rowcount > 0

    @property
    def pages(self) -> int:
        """Bytes of the index, with what isn't committed."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        return int(pages * self._page)

    @property
    def dirty(self) -> bool:
        return self._db.in_transaction

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            self._writes = 0
            self._measure()

    def _measure(self) -> None:
        self.bytes = 0
        for name in (_NAME, f"{_NAME}-wal"):
            with suppress(FileNotFoundError):
                self.bytes += os.stat(self._path.with_name(name)).st_blocks * 512

    def close(self) -> None:
        """What isn't committed is lost. Does not raise."""
        with suppress(sqlite3.Error):
            self._db.close()


def wipe(folder: Path) -> bool:
    """Away with the index in there; whether there was one. May raise OSError."""
    there = (folder / _NAME).exists()
    for name in (_NAME, f"{_NAME}-wal", f"{_NAME}-shm"):
        (folder / name).unlink(missing_ok=True)
    return there


def is_broken(error: BaseException) -> bool:
    """Whether what sqlite says means that the file will never be right again."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # ours
        return type(error) is sqlite3.DatabaseError
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _seal(number: int, length: int, crc: int, record: bytes) -> int:
    return crc32(b"%d %d %d" % (number, length, crc), crc32(record))
