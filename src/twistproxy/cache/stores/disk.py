"""Objects on a disk: a thread of our own waits for it, and nobody waits for the thread.

    reactor ──jobs──▶ thread: disk/shelf.py ──answers──▶ reactor

Jobs are done in their order; those that take longer in slices, between which the others go on.
After each round what was written is committed, and only then told.

    opening ──▶ ok ◀──▶ full     no room on the disk: it goes on with what room it has
       ▲         │ ╲
       └─────── failing          it has nothing and keeps nothing; tried again after `AGAIN` seconds

What is to be forgotten while it is failing is noted, and forgotten before anything is served again;
where too much was noted, everything is. Until it is opened it has nothing.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal

from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from twistproxy.cache import record
from twistproxy.cache.disk import bodies
from twistproxy.cache.disk.bodies import Body
from twistproxy.cache.disk.index import Index, is_broken
from twistproxy.cache.disk.shelf import SMALL, Shelf, Slices
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import Answer
from twistproxy.http.caching import Variant

log = Logger()

State = Literal["opening", "ok", "full", "failing", "closed"]
_WORKING: Final = frozenset({"ok", "full"})

#: Seconds after which a folder that can't be used, or a disk that is full, is tried again.
AGAIN: Final = 10.0
#: Seconds that somebody waits for an object; and for the end.
PATIENCE: Final = 1.0
END: Final = 5.0
#: Bytes of bodies that wait to be written: of all objects, of one large one as it comes.
WAITING: Final = 64 << 20
UNWRITTEN: Final = 32 << 20
#: Jobs that wait; those who ask; large objects on their way; files that are open for readers.
JOBS: Final = 10_000
ASKING: Final = 1024
DRAFTS: Final = 128
FILES: Final = 512
#: What is noted to be forgotten while the disk is failing.
OWED: Final = 10_000

_ROUND: Final = 64  # jobs between two commits
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # not the disk's fault
_LET_GO: Final = 8  # files that are asked to be let go, at most, for one that is opened


@define(eq=False)
class _Job:
    """Something for the thread. work: what it does there, at once or in slices; in the reactor
    `tell` is called with its result, or with `otherwise` where it couldn't be done.

    owed: what has to be done for it once the disk is in order again. size: bytes that it holds.
    reads: it is told before what others wrote is committed.
    """

    work: Callable[[], Any]
    tell: Callable[[Any], object]
    otherwise: Any = None
    owed: Owed | None = None
    size: int = 0
    reads: bool = False


@define(eq=False)
class _Asking:
    """Somebody who waits for an object since then."""

    key: Key
    since: float
    answer: Deferred[tuple[Stored, ...]]


#: What is to be forgotten: variants of a key, all of a key, what is purged then, everything.
Owed = tuple[Key, frozenset[Variant]] | Key | tuple[Purge, float] | Literal["all"]


class DiskStore:
    """A `Store` in a folder, of this process alone. limit: bytes on the disk, index included.

    reactor: IReactorTime, IReactorFromThreads. in_thread: begins a thread; who has none calls
    `work` instead. crowded: called with a key whose bodies should no longer be held, because too
    many files are open. opened: called with this and its last `note`, when it was opened first;
    before that with "", where that did not succeed at once. Nothing is done before `start`.
    """

    small = SMALL

    def __init__(
        self,
        folder: Path,
        limit: int,
        reactor: Any,
        in_thread: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.folder = folder
        self.limit = limit
        self.crowded: Callable[[Key], object] = _nobody
        self.opened: Callable[[DiskStore, str], object] = _nobody
        self.state: State = "opening"
        self.error = ""  #: the last one
        self._reactor = reactor
        self._in_thread = in_thread or _in_thread
        # What is seen of the disk by others than the thread; the last one while there is none.
        self._index: Index | None = None
        self._hits = self._misses = self._written = self._dropped = 0
        # On the way to the thread and back.
        self._queue: SimpleQueue[_Job | int | None] = SimpleQueue()
        self._answers: deque[tuple[_Job, Any]] = deque()
        self._called = False
        self._waiting = self._bytes = 0
        self._writing: dict[Key, int] = {}
        self._drafts: dict[Draft, None] = {}
        # Those who ask, by number; and what went since they did.
        self._asking: dict[int, _Asking] = {}
        self._asked = 0
        self._withdrawn: deque[tuple[int, Callable[[Stored], bool]]] = deque()
        self._stuck = False  # somebody waited in vain, and nothing has come since
        self._forgetting = False
        self._opened: dict[int, Key] = {}  # descriptors that readers have
        self._calls: dict[str, Any] = {}  # delayed ones
        self._complaint = ""  # what was logged last
        self._first: State = "opening"  # how that went the first time
        self._closing: Deferred[None] | None = None
        # The thread's own.
        self._shelf = Shelf(folder, limit, self._release)
        self._slices: deque[tuple[_Job | None, Slices[Any]]] = deque()
        self._uncommitted: list[tuple[_Job, Any]] = []
        self._owed: dict[Owed, None] = {}
        self._lowered = 0  # what was taken when the disk was full
        self._ended = True

    def start(self) -> None:
        """Open the folder, in the thread."""
        self._ended = False
        self._do(_Job(self._open, _nothing))
        self._in_thread(self._run)

    # -- as `Store` has it --

    def get(self, key: Key) -> Answer[tuple[Stored, ...]]:
        index = self._index
        if index is None or self.state not in _WORKING or self._stuck or self._forgetting:
            self._misses += 1
            return ()
        digest = index.digest(key)
        if (digest not in index.sketch and key not in self._writing) or (
            len(self._asking) >= ASKING
        ):
            self._misses += 1
            return ()
        index.sketch.ask(digest)
        self._asked += 1
        answer: Deferred[tuple[Stored, ...]] = Deferred()
        self._asking[self._asked] = _Asking(key, self._reactor.seconds(), answer)
        self._later("patience", PATIENCE, self._look_who_waits)
        work = partial(self._shelf.get, key)
        self._do(_Job(work, partial(self._got, self._asked), (), reads=True))
        return answer

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        if self.state == "closed":
            return False
        key = stored.key
        variants = frozenset((stored.variant, *(each.variant for each in instead_of)))
        self._withdraw(lambda old: old.key == key and old.variant in variants)
        size = len(stored.body) if isinstance(stored.body, bytes) else 0
        try:
            data = record.encode(stored)
        except UnicodeEncodeError:  # a URL that is none
            data = b""
        size += len(data)
        if (
            not data
            or not isinstance(stored.body, bytes | Body)
            or not self._may_write()
            or not self._shelf_has_room(len(stored.body))
            or not self.has_place(size)
        ):
            self._dropped += 1
            if self._index is not None and self._may_have(key):
                work = partial(self._shelf.take_out, key, variants)
                self._must(_Job(work, _nothing, owed=(key, variants)))
            return False
        self._is_coming(key)
        self._do(
            _Job(
                partial(self._shelf.put, stored, data, variants),
                partial(self._put, key),
                False,
                None if self._index is None else (key, variants),
                size,
            )
        )
        return True

    def draft(self, stored: Stored, length: int | None) -> Draft | None:
        """Begin an object whose body comes bit by bit; None if it isn't to be kept.

        length: bytes of the body, if that is known.
        """
        if (
            not self._may_write()
            or len(self._drafts) >= DRAFTS
            or not self._shelf_has_room(length or 0)
            or not self.has_place(0)
        ):
            return None
        draft = Draft(self, stored, self._shelf)
        self._drafts[draft] = None
        return draft

    def remove(self, key: Key) -> Answer[int]:
        self._withdraw(lambda old: old.key == key)
        for draft in [each for each in self._drafts if each.stored.key == key]:
            draft.abandon()
        if self._index is not None and not self._may_have(key):
            return 0
        return self._count(partial(self._shelf.remove, key), key)

    def purge(self, purge: Purge, now: float) -> Answer[int]:
        def means(stored: Stored) -> bool:
            return purge.matches(stored.key.url, stored.tags)

        self._withdraw(means)
        for draft in [each for each in self._drafts if means(each.stored)]:
            draft.abandon()
        return self._count(partial(self._shelf.purge, purge, now), (purge, now))

    def clear(self) -> Answer[int]:
        self._withdraw(lambda old: True)
        for draft in list(self._drafts):
            draft.abandon()
        return self._count(self._forget, "all")

    def snapshot(self) -> dict[str, Any]:
        """Figures; sizes in bytes, of which ``memory`` is what tells here of what is there."""
        shelf, index = self._shelf, self._index
        working = shelf.index
        return {
            "state": self.state,
            "error": self.error,
            "objects": 0 if working is None else working.objects,
            "bytes": shelf.bytes,
            "limit": self.limit,
            "hits": self._hits,
            "misses": self._misses,
            "written": self._written,
            "dropped": self._dropped,
            "evicted": shelf.evicted,
            "damaged": shelf.damaged,
            "orphans": shelf.orphans,
            "waiting": self._waiting,
            "unwritten": self._bytes,
            "files": len(self._opened),
            "memory": 0 if index is None else index.sketch.size,
        }

    def note(self, text: str) -> None:
        """Something for the next process that opens the folder; it is there only if all that was
        taken away before is gone. Lost while the disk is failing."""
        if self.state in _WORKING:
            self._do(_Job(partial(self._shelf.write_note, text), _nothing))

    def resize(self, limit: int) -> None:
        """A new limit; objects leave as they would for others."""
        if limit != self.limit:
            self.limit = self._shelf.limit = limit
            self._do(_Job(partial(self._resize, limit), _nothing))

    def close(self) -> Deferred[None]:
        """What waits is written, and the folder is free for others; in `END` seconds at most."""
        if self._closing is None:
            self._closing = Deferred()
            self.state = "closed"
            for call in self._calls.values():
                call.cancel()
            self._calls.clear()
            self._answer_all()
            for draft in list(self._drafts):
                draft.abandon()
            if self._ended:
                self._closed(None)
            else:
                self._later("end", END, partial(self._closed, None))
                self._queue.put(None)
        return self._closing

    def __repr__(self) -> str:
        return f"<DiskStore {self.folder} {self.state}>"

    # -- the reactor's side --

    def has_place(self, size: int) -> bool:
        """Whether so many bytes more can wait to be written."""
        return self._bytes + size <= WAITING and self._waiting < JOBS

    def _may_write(self) -> bool:
        return self.state in _WORKING or self.state == "opening"

    def _shelf_has_room(self, length: int) -> bool:
        return self.state == "opening" or self._shelf.room(length)

    def _may_have(self, key: Key) -> bool:
        index = self._index
        return index is None or key in self._writing or index.digest(key) in index.sketch

    def _count(self, work: Callable[[], Any], owed: Owed) -> Answer[int]:
        """Have something forgotten, whatever comes: how many that were."""
        if self.state == "closed":
            return 0
        answer: Deferred[int] = Deferred()
        if self._must(_Job(work, answer.callback, 0, owed)):
            return answer
        return 0

    def _must(self, job: _Job) -> bool:
        """Whether it is done as such: where too much waits, all is forgotten instead."""
        if self._waiting < JOBS:
            self._do(job)
            return True
        if not self._forgetting:
            self._forgetting = True
            self._withdraw(lambda old: True)
            self._do(_Job(self._forget, self._forgotten, 0, "all"))
        return False

    def _forgotten(self, _: object) -> None:
        self._forgetting = False

    def _do(self, job: _Job) -> None:
        if self._ended:
            job.tell(job.otherwise)
            return
        self._waiting += 1
        self._bytes += job.size
        self._queue.put(job)

    def _deliver(self) -> None:
        """What the thread has to tell."""
        self._called = False
        while self._answers:
            job, result = self._answers.popleft()
            self._waiting -= 1
            self._bytes -= job.size
            job.tell(result)

    def _got(self, number: int, found: tuple[Stored, ...]) -> None:
        self._stuck = False
        asking = self._asking.pop(number, None)
        if asking is not None:
            for at, outdates in self._withdrawn:
                if at >= number:
                    found = tuple([each for each in found if not outdates(each)])
            found = tuple([each for each in found if self._may_stay_open(each)])
            if found:
                self._hits += 1
            else:
                self._misses += 1
        first = next(iter(self._asking), self._asked + 1)
        while self._withdrawn and self._withdrawn[0][0] < first:
            self._withdrawn.popleft()
        if asking is not None:
            asking.answer.callback(found)

    def _withdraw(self, outdates: Callable[[Stored], bool]) -> None:
        """Nobody who asked before gets what this means."""
        if self._asking:
            self._withdrawn.append((self._asked, outdates))

    def _look_who_waits(self) -> None:
        """Who waited too long waits no longer, and nobody else begins to."""
        now = self._reactor.seconds()
        for number, asking in list(self._asking.items()):
            if now - asking.since < PATIENCE:
                self._later("patience", PATIENCE, self._look_who_waits)
                break
            self._stuck = True
            self.error = f"the disk did not answer for {PATIENCE:g} s"
            del self._asking[number]
            self._misses += 1
            asking.answer.callback(())

    def _answer_all(self) -> None:
        for asking in list(self._asking.values()):
            asking.answer.callback(())
        self._asking.clear()
        self._withdrawn.clear()

    def _may_stay_open(self, stored: Stored) -> bool:
        """Whether there are few enough files open; others are let go for it, the first opened
        first."""
        if not isinstance(stored.body, Body):
            return True
        opened = self._opened
        opened[stored.body.fileno()] = stored.key
        for descriptor in list(islice(opened, _LET_GO)) if len(opened) > FILES else ():
            key = opened.pop(descriptor)
            opened[descriptor] = key
            self.crowded(key)
            if len(opened) <= FILES:
                break
        return len(opened) <= FILES

    def _is_coming(self, key: Key) -> None:
        """Who asks for it, or wants it forgotten, has to ask the thread."""
        self._writing[key] = self._writing.get(key, 0) + 1

    def _put(self, key: Key, kept: bool) -> None:
        self._written += kept
        self._dropped += not kept
        left = self._writing[key] - 1
        if left:
            self._writing[key] = left
        else:
            del self._writing[key]

    def _drafted(self, draft: Draft, body: Body | None) -> Stored | None:
        """A draft is finished, if there is a body."""
        self._put(draft.stored.key, body is not None)
        if body is None:
            return None
        draft.stored.body = body
        # Its reader has it already: one file more than there may be, until it lets it go.
        self._may_stay_open(draft.stored)
        return draft.stored

    def _said(self, state: State, error: str) -> None:
        """The thread has come to another state: log it, and try again what failed."""
        if self._closing is not None:
            return
        if state == "ok" and self._first != "ok":
            self._first = state
            self.opened(self, self._shelf.note)
        elif state == "failing" and self._first == "opening":
            self._first = state
            self.opened(self, "")
        if state in ("failing", "full"):
            self._later("again", AGAIN, self._try_again)
        if error and error != self._complaint:
            log.warn(
                "Cache on disk {folder}: {state}: {error}",
                folder=self.folder,
                state=state,
                error=error,
            )
        elif state == "ok" and self._complaint:
            log.info("Cache on disk {folder}: in order again", folder=self.folder)
        if error or state == "ok":
            self._complaint = error

    def _try_again(self) -> None:
        if self.state == "failing":
            self._do(_Job(self._open, _nothing))
        elif self.state == "full":
            self._do(_Job(self._try_all_room, _nothing))

    def _later(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        """Unless that is going to be called already."""

        def now() -> None:
            del self._calls[name]
            call()

        if name not in self._calls:
            self._calls[name] = self._reactor.callLater(seconds, now)

    def _closed(self, _: object) -> None:
        end = self._calls.pop("end", None)
        if end is not None and end.active():
            end.cancel()
        if self._closing is not None and not self._closing.called:
            self._closing.callback(None)

    def _release(self, descriptor: int) -> None:
        """Nobody reads it any more; in any thread."""
        self._opened.pop(descriptor, None)
        if self._ended:
            os.close(descriptor)
        else:
            self._queue.put(descriptor)

    # -- the thread's side --

    def _run(self) -> None:
        while not self._ended:
            try:
                self._round(True)
            except Exception as error:  # not even the failing could be done
                log.failure("Cache on disk {folder}", folder=self.folder)
                self._shelf.close()
                self._say("failing", error)

    def work(self) -> None:
        """What there is to do, now and here: for who has no thread."""
        while not self._ended and (self._slices or not self._queue.empty()):
            self._round(False)

    def _round(self, wait: bool) -> None:
        """Some jobs, a slice of each that takes longer, and a commit."""
        for _ in range(_ROUND):
            try:
                job = self._queue.get(wait and not self._slices)
            except Empty:
                break
            wait = False
            if job is None:
                self._end()
                return
            if isinstance(job, int):
                os.close(job)
            else:
                self._begin(job)
        for _ in range(len(self._slices)):
            if self._slices:
                self._go_on(*self._slices.popleft())
        self._commit()

    def _begin(self, job: _Job) -> None:
        if self._shelf.index is None and job.work != self._open:
            self._not_done(job)
            return
        try:
            result = job.work()
        except Exception as error:
            self._failed(error, job)
        else:
            if isinstance(result, Generator):
                self._go_on(job, result)
            else:
                self._done(job, result)

    def _go_on(self, job: _Job | None, slices: Slices[Any]) -> None:
        try:
            next(slices)
        except StopIteration as end:
            if job is not None:
                self._done(job, end.value)
        except Exception as error:
            self._failed(error, job)
        else:
            self._slices.append((job, slices))

    def _done(self, job: _Job, result: Any) -> None:
        if job.reads:
            self._tell(job, result)
        else:
            self._uncommitted.append((job, result))

    def _commit(self) -> None:
        try:
            self._shelf.commit()
        except sqlite3.Error as error:
            self._failed(error)
            return
        if self.state == "full" and self._shelf.taken > self._lowered:
            self._say("ok")
        for job, result in self._uncommitted:
            self._tell(job, result)
        self._uncommitted.clear()

    def _tell(self, job: _Job, result: Any) -> None:
        self._answers.append((job, result))
        if not self._called:
            self._called = True
            self._reactor.callFromThread(self._deliver)

    def _not_done(self, job: _Job) -> None:
        """The disk is failing."""
        if job.owed is not None:
            self._owe(job.owed)
        self._tell(job, job.otherwise)

    def _owe(self, owed: Owed) -> None:
        if "all" in self._owed:
            return
        if owed == "all" or len(self._owed) >= OWED:
            self._owed.clear()
            owed = "all"
        self._owed[owed] = None

    def _failed(self, error: Exception, job: _Job | None = None) -> None:
        """A job could not be done. Unless it is alone with that, nothing since the last commit
        was, and the folder has to be opened again."""
        number = error.errno if isinstance(error, OSError) else None
        if self._shelf.index is not None and (number in _OURS or number in _FULL):
            if number in _FULL:
                self._full(error)
            if job is not None:
                self._not_done(job)
            return
        if not isinstance(error, OSError | sqlite3.Error):
            log.failure("Cache on disk {folder}", folder=self.folder)
        full = _code(error) == sqlite3.SQLITE_FULL
        if full:
            with suppress(sqlite3.Error):
                self._shelf.give_space()
        elif is_broken(error):
            self._shelf.distrusted = str(error)
        # Whoever is told something by what follows finds nothing here any more.
        self._shelf.close()
        self._say("failing", error)
        self._interrupt()
        if job is not None:
            self._not_done(job)
        for each, _ in self._uncommitted:
            self._not_done(each)
        self._uncommitted.clear()
        if full or self._shelf.distrusted:
            self._open()
            if full and self._shelf.index is not None:
                self._full(error)

    def _full(self, error: Exception) -> None:
        self._shelf.full()
        self._lowered = self._shelf.taken
        self._say("full", error)

    def _try_all_room(self) -> None:
        self._shelf.ceiling = self._shelf.limit

    def _interrupt(self) -> None:
        """What takes longer ends here."""
        while self._slices:
            job, slices = self._slices.popleft()
            slices.close()
            if job is not None:
                self._not_done(job)

    def _open(self) -> None:
        """From the beginning; what is owed is paid before anybody is served."""
        shelf = self._shelf
        if shelf.index is not None:
            return
        distrusted = shelf.distrusted
        self._say("opening", distrusted and f"beginning with nothing: {distrusted}")
        try:
            try:
                shelf.open()
            except sqlite3.Error as error:
                if not shelf.distrusted or distrusted:
                    raise
                self._say("opening", f"beginning with nothing: {error}")
                shelf.open()
            self._pay()
        except (OSError, sqlite3.Error) as error:
            shelf.close()
            self._say("failing", error)
            return
        self._index = shelf.index
        self._slices.append((None, shelf.sweep()))
        self._say("ok")

    def _pay(self) -> None:
        shelf = self._shelf
        for owed in self._owed:
            if owed == "all":
                shelf.forget()
            elif isinstance(owed, Key):
                shelf.remove(owed)
            elif isinstance(owed[0], Purge):
                for _ in shelf.purge(*owed):
                    pass
            else:
                shelf.take_out(*owed)
        shelf.write_note(shelf.note)
        shelf.commit()
        self._owed.clear()

    def _forget(self) -> int:
        self._interrupt()
        gone = self._shelf.forget()
        self._index = self._shelf.index
        self._owed.clear()
        self._slices.append((None, self._shelf.sweep()))
        return gone

    def _resize(self, limit: int) -> Slices[None]:
        shelf = self._shelf
        shelf.resize(limit)
        if shelf.index is not None and not shelf.index.suits(limit):
            self._commit()
            self._interrupt()
            shelf.close()
            self._open()
        if shelf.index is not None:
            yield from shelf.shrink()

    def _end(self) -> None:
        self._interrupt()
        self._commit()
        self._shelf.close()
        self._ended = True
        while not self._queue.empty():
            job = self._queue.get()
            if isinstance(job, int):
                os.close(job)
            elif job is not None:
                self._tell(job, job.otherwise)
        self._reactor.callFromThread(self._closed, None)

    def _say(self, state: State, error: object = "") -> None:
        if self.state != "closed":
            self.state = state
        self.error = str(error) or self.error
        self._reactor.callFromThread(self._said, state, str(error))


class Draft:
    """A large object on its way to the disk, whose body is never in memory as a whole.

    open: whether it still takes bytes. It closes itself without a word when the disk is too slow,
    full or failing, or the object is purged. stored: what it will be the body of.
    Whoever has one calls `finish` or `abandon` in the end.
    """

    __slots__ = (
        "_coming",
        "_file",
        "_given",
        "_held",
        "_pieces",
        "_shelf",
        "_store",
        "_written",
        "open",
        "stored",
    )

    def __init__(self, store: DiskStore, stored: Stored, shelf: Shelf) -> None:
        self.open = True
        self.stored = stored
        self._store = store
        self._shelf = shelf
        self._given = 0  # bytes so far
        self._held = 0  # of them, as far as the thread has told
        self._pieces: deque[bytes] = deque()  # on their way to the thread
        self._coming = False  # it is going to look for them
        # The thread's own.
        self._file: bodies.Draft | None = None
        self._written = 0
        store._do(_Job(self._begin, self._begun, False))

    @property
    def unwritten(self) -> int:
        """Bytes that wait for the disk."""
        # Not by what the thread told: one turn of the loop may bring megabytes, and no answer.
        return self._given - self._written

    def write(self, data: bytes) -> None:
        """Some more of the body; nothing if closed."""
        if not self.open:
            return
        size = len(data)
        if self.unwritten + size > UNWRITTEN or not self._store.has_place(size):
            self._store._dropped += 1
            self.abandon()
            return
        self._given += size
        self._hold(size)
        # The thread takes all that there is by then, so that the slower it is, the fewer times it
        # has to wait for the interpreter.
        self._pieces.append(data)
        if not self._coming:
            self._coming = True
            self._store._do(_Job(self._write, self._wrote))

    def finish(self, instead_of: Iterable[Stored] = ()) -> Deferred[Stored | None]:
        """The body is whole: keep the object in place of others, as `Store.put` has it.

        `stored`, with the body that lies on the disk by then; None if that could not be.
        """
        if not self.open:
            return succeed(None)
        self.open = False
        stored, store = self.stored, self._store
        variants = frozenset((stored.variant, *(each.variant for each in instead_of)))
        answer: Deferred[Stored | None] = Deferred()

        def tell(body: Body | None) -> None:
            store._drafts.pop(self, None)
            answer.callback(store._drafted(self, body))

        store._withdraw(lambda old: old.key == stored.key and old.variant in variants)
        store._is_coming(stored.key)
        store._do(_Job(partial(self._finish, variants), tell, None, (stored.key, variants)))
        return answer

    def abandon(self) -> None:
        """Forget it: the body was cut off, or isn't wanted any more."""
        if self.open:
            self.open = False
            self._store._drafts.pop(self, None)
            self._store._do(_Job(self._abandon, _nothing))

    def _begun(self, begun: bool) -> None:
        if not begun:
            self.abandon()

    def _wrote(self, size: int | None) -> None:
        """So many bytes more are; None: they can't be."""
        self._hold(-(self._held if size is None else size))
        if size is None:
            self.abandon()

    def _hold(self, size: int) -> None:
        self._held += size
        self._store._bytes += size

    # -- in the thread --

    def _begin(self) -> bool:
        self._file = self._shelf.begin()
        return True

    def _write(self) -> int | None:
        self._coming = False  # first: what is added from now on is taken now, or the next time
        pieces = []
        while self._pieces:
            pieces.append(self._pieces.popleft())
        data = b"".join(pieces)
        file = self._file
        if file is None or not self._shelf.write(file, data):
            self._abandon()
            return None
        self._written += len(data)
        return len(data)

    def _finish(self, variants: frozenset[Variant]) -> Body | None:
        if self._file is None:
            self._shelf.take_out(self.stored.key, variants)
            return None
        data = record.encode(self.stored)
        return self._shelf.finish(self._file, self.stored, data, variants)

    def _abandon(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._shelf.abandon(file)


def _in_thread(run: Callable[[], None]) -> None:
    # A daemon: where the disk hangs for good, the process can end all the same.
    threading.Thread(target=run, name="cache on disk", daemon=True).start()


def _nobody(*_: object) -> None:
    pass


def _nothing(result: object) -> None:
    pass


def _code(error: Exception) -> int | None:
    """Of sqlite, without its details."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
