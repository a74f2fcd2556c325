"""What quotas have counted, in a file: it outlives the process, and nobody waits for the disk.

Every few seconds what has changed goes to a thread, in slices, and once more at the end; whoever
kills the process takes those seconds with him. Where the file can't be read or written that is
said, and tried again later; counting goes on in memory, and is written in full when it can be.
A file that is broken is set aside.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistproxy.policy.limits.limits import Limits
from twistproxy.policy.limits.quota import Row

_log = Logger()

State = Literal["unused", "ok", "failing"]

EVERY: Final = 2.0  #: seconds between two writes
AGAIN: Final = 10.0  #: seconds until it is tried again after a failure
ROWS: Final = 2000  #: what is handed over at a time: this is what the reactor's thread pays for
SLICES: Final = 100  #: in a row
END: Final = 5.0  #: seconds that the end waits for the disk

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE spent (
    quota TEXT NOT NULL,
    key TEXT NOT NULL,
    starts INTEGER NOT NULL,  -- of the window: seconds since 1970
    ends INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    minute INTEGER NOT NULL,  -- the last that was counted
    PRIMARY KEY (quota, key)
) WITHOUT ROWID;
CREATE INDEX by_end ON spent (ends);
"""
# All of a slice in one step: a thread that steps from row to row fights for the GIL at each.
_WRITE: Final = """
INSERT OR REPLACE INTO spent
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each(?) WHERE value ->> 4 > 0
"""
_FORGET: Final = """
DELETE FROM spent WHERE (quota, key) IN (
    SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE value ->> 4 = 0
)
"""
_FORGET_QUOTAS: Final = """
DELETE FROM spent WHERE quota NOT IN (SELECT value FROM json_each(?))
"""
_READ: Final = """
SELECT json_group_array(json_array(quota, key, starts, ends, spent, minute))
FROM spent WHERE ends > ?
"""

_rows = msgspec.json.Decoder(list[Row])


class QuotaFile:
    """reactor: IReactorTime, IReactorFromThreads with a thread pool. wall: seconds since 1970.

    in_thread: calls something off the reactor's thread, and fires with what came of it.
    There is no file before there is a quota.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        reactor: Any,
        wall: Callable[[], float],
        in_thread: Callable[[Callable[[], None]], Deferred[None]] | None = None,
    ) -> None:
        self.state: State = "unused"
        self.error = ""  #: the last one
        self._path = path
        self._limits = limits
        self._reactor = reactor
        self._wall = wall
        self._in_thread = in_thread or partial(_in_thread, reactor)
        self._loop = LoopingCall(self._write_changes)
        self._loop.clock = reactor
        self._writing: Deferred[None] | None = None
        self._written = 0
        self._again = 0.0  # when to try it again
        self._quotas: list[str] = []  # those that the file has rows of
        self._db: sqlite3.Connection | None = None  # the thread's, while it writes

    def start(self) -> None:
        """Give back what was counted before, and go on from there. Waits for the disk."""
        try:
            self._restore()
        except (OSError, sqlite3.Error) as error:
            self._close()
            self._failed(error)
        self._loop.start(EVERY, now=False)

    def stop(self) -> Deferred[None]:
        """Write what is left. Never fails, and doesn't wait for ever."""
        over: Deferred[None] = Deferred()
        late = self._reactor.callLater(END, self._leave, over)

        def stopped(_: object) -> None:
            if late.active():
                late.cancel()
                over.callback(None)

        Deferred.fromCoroutine(self._stop()).addBoth(stopped)
        return over

    def snapshot(self) -> dict[str, Any]:
        """Plain values. error: why it is failing."""
        return {
            "path": str(self._path),
            "state": self.state,
            "written": self._written,
            "error": self.error,
        }

    # -- in the reactor's thread ------------------------------------------------------

    def _restore(self) -> None:
        if not self._path.exists():
            return
        now = self._wall()
        self._open()
        try:
            rows = self._read(int(now))
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                raise
            self._close()
            self._set_aside()
            return
        self._limits.restore(rows, now)
        self.state = "ok"

    def _read(self, now: int) -> list[Row]:
        assert self._db is not None
        (text,) = self._db.execute(_READ, (now,)).fetchone()
        try:
            return _rows.decode(text)
        except msgspec.MsgspecError as error:
            raise sqlite3.DatabaseError(str(error)) from None

    async def _stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        if self._writing is not None:
            await self._writing
        await self._write_changes(most=None)
        if self._db is not None:
            await self._in_thread(self._close)

    def _leave(self, over: Deferred[None]) -> None:
        _log.warn("{file}: the disk took too long for the last of it", file=str(self._path))
        over.callback(None)

    def _write_changes(self, most: int | None = ROWS) -> Deferred[None]:
        """most: rows in a slice; None: all at once, whatever was before. Never fails."""
        if self._reactor.seconds() < self._again and most is not None:
            return succeed(None)
        self._writing = writing = Deferred.fromCoroutine(self._write_slices(most))
        return writing

    async def _write_slices(self, most: int | None) -> None:
        for _ in range(SLICES):
            quotas = self._limits.quotas()
            rows = self._limits.changed(most)
            if not rows and quotas == self._quotas:
                break
            try:
                await self._in_thread(partial(self._write, rows, quotas, int(self._wall())))
            except Exception as error:
                self._limits.tell_all()
                self._again = self._reactor.seconds() + AGAIN
                self._failed(error)
                break
            self._written += len(rows)
            self._quotas = quotas
            if self.state != "ok":
                if self.error:
                    _log.info("{file}: written again", file=str(self._path))
                self.state, self.error = "ok", ""
            if most is None or len(rows) < most:
                break

    def _failed(self, error: Exception) -> None:
        told = f"{type(error).__name__}: {error}"
        if (self.state, self.error) != ("failing", told):
            _log.warn(
                "{file}: what quotas count is kept in memory only, until it can be written: {why}",
                file=str(self._path),
                why=told,
            )
        self.state, self.error = "failing", told

    # -- in the other -----------------------------------------------------------------

    def _write(self, rows: list[Row], quotas: list[str], now: int) -> None:
        try:
            if self._db is None:
                self._open()
            assert self._db is not None
            text = msgspec.json.encode(rows).decode()
            execute = self._db.execute
            execute("BEGIN IMMEDIATE")
            execute("DELETE FROM spent WHERE ends <= ?", (now,))
            if quotas != self._quotas:
                execute(_FORGET_QUOTAS, (msgspec.json.encode(quotas).decode(),))
            execute(_WRITE, (text,))
            execute(_FORGET, (text,))
            execute("COMMIT")
        except BaseException as error:
            self._close()
            if _is_broken(error):
                self._set_aside()
            raise

    def _open(self) -> None:
        """The connection, to a file of ours; one that is broken is set aside."""
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                raise
            self._set_aside()
            self._connect()

    def _connect(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What sqlite adds gets its mode.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        # One thread after the other has it, never two.
        db = sqlite3.connect(self._path, 1.0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # After a loss of power the last may be missing, but what is there is whole.
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                if db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                    raise sqlite3.DatabaseError(f"it is of version {version}")
                db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")
        except BaseException:
            db.close()
            raise
        self._db = db

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _set_aside(self) -> None:
        _log.warn("{file} is broken; it is set aside, and begun anew", file=str(self._path))
        self._path.replace(self._path.with_name(f"{self._path.name}.broken"))
        for added in ("-wal", "-shm"):
            self._path.with_name(self._path.name + added).unlink(missing_ok=True)


def _is_broken(error: BaseException) -> bool:
    """Whether the file will never be right again."""
    if type(error) is not sqlite3.DatabaseError:
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # none: ours
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _in_thread(reactor: Any, work: Callable[[], None]) -> Deferred[None]:
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)
