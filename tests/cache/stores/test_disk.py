"""The disk store: nobody waits for it, and whatever fails costs hits alone."""

from __future__ import annotations

import errno
import os
import queue
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from disk_worker import Turns, Worker
from twistproxy.cache.disk.bodies import Body
from twistproxy.cache.disk.shelf import SMALL
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import disk as module
from twistproxy.cache.stores.disk import AGAIN, END, PATIENCE, DiskStore
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields
from twistproxy.http.ranges import Parts

ROOM = 8 << 20


def stored(name: object, body: Any = b"body", tags: tuple[str, ...] = ()) -> Stored:
    key = Key("open", f"http://a.example/{name}")
    return Stored(key, (), 200, b"OK", Fields(), Freshness(60, 0, 0), 0, body, tags=tags)


LARGE = os.urandom(SMALL + 1)


class Disk(Worker):
    """A store, and what it answers in the end."""

    def wait(self, answer: Any) -> Any:
        if not isinstance(answer, Deferred):
            return answer
        said: list[Any] = []
        answer.addCallback(said.append)
        self.settle()
        return said[0]

    def get(self, name: object) -> Any:
        """Its body; None if it isn't there."""
        found = self.wait(self.store.get(stored(name).key))
        return found[0].body if found else None

    def put(self, name: object, body: bytes = b"body") -> bool:
        kept = self.store.put(stored(name, body))
        self.settle()
        return kept and self.get(name) is not None

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def __getitem__(self, figure: str) -> Any:
        return self.store.snapshot()[figure]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path, ROOM)
    yield disk
    disk.close()


def bodies(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


def once(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> Callable[[], None]:
    """Let a function of os fail until the answer is called."""
    real = getattr(os, name)
    fails = True

    def fail(*args: Any, **options: Any) -> Any:
        path = args[0] if name == "open" else os.readlink(f"/proc/self/fd/{args[0]}")
        if fails and "bodies" in str(path):
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    def mend() -> None:
        nonlocal fails
        fails = False

    monkeypatch.setattr(os, name, fail)
    return mend


# -- the way there and back --


def test_what_is_there_is_there_after_a_restart(tmp_path: Path, disk: Disk) -> None:
    disk.put("small", b"1234")
    disk.put("large", LARGE)
    disk.close()
    again = Disk(tmp_path, ROOM)
    assert again.get("small") == b"1234"
    body = again.get("large")
    assert isinstance(body, Body)
    assert os.pread(body.fileno(), len(body), body.offset) == LARGE
    assert again["hits"] == 2
    again.close()


def test_until_it_is_open_there_is_nothing_but_it_takes_what_comes(
    tmp_path: Path, disk: Disk
) -> None:
    disk.put("a")
    disk.close()
    store = DiskStore(tmp_path, ROOM, disk.clock, lambda run: None)
    assert store.snapshot()["state"] == "opening"
    store.start()
    assert store.get(stored("a").key) == ()
    assert store.put(stored("b"))
    draft = store.draft(stored("c"), None)
    assert draft is not None
    draft.write(b"data")
    draft.finish()
    store.work()
    disk.clock.turn()
    assert [isinstance(store.get(stored(name).key), Deferred) for name in "abc"] == [True] * 3
    store.close()
    store.work()


def test_only_what_may_be_there_is_asked_for(disk: Disk) -> None:
    disk.put("a")
    assert disk.store.get(stored("b").key) == ()
    assert isinstance(disk.store.get(stored("a").key), Deferred)
    assert disk["misses"] == 1


def test_before_it_is_started_it_does_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache", ROOM, Turns())
    assert store.get(stored("a").key) == ()
    assert store.snapshot()["objects"] == 0
    done: list[object] = []
    store.remove(stored("a").key).addCallback(done.append)  # type: ignore[union-attr]
    store.close().addCallback(done.append)
    assert done == [0, None]
    assert not (tmp_path / "cache").exists()


def test_nothing_comes_back_that_was_taken_away_meanwhile(disk: Disk) -> None:
    ways: dict[str, Callable[[], object]] = {
        "remove": lambda: disk.store.remove(stored("a").key),
        "purge": lambda: disk.store.purge(Purge("tag", "t"), 0),
        "soft": lambda: disk.store.purge(Purge("tag", "t", soft=True), 0),
        "clear": lambda: disk.store.clear(),
        "put": lambda: disk.store.put(stored("a", b"new")),
    }
    for way in ways.values():
        disk.store.put(stored("a", b"body", ("t",)))
        disk.settle()
        answer = disk.store.get(stored("a").key)
        disk.store.work()  # it is on its way back
        way()
        assert disk.wait(answer) == ()
        assert not disk.store._withdrawn
        disk.wait(disk.store.clear())


def test_who_asks_later_gets_what_is_there_then(disk: Disk) -> None:
    disk.put("a", b"old")
    first = disk.store.get(stored("a").key)
    disk.store.put(stored("a", b"new"))
    second = disk.store.get(stored("a").key)
    assert disk.wait(first) == ()
    assert [each.body for each in disk.wait(second)] == [b"new"]


def test_a_url_that_can_not_be_written_is_not_kept(disk: Disk) -> None:
    assert not disk.store.put(stored("\udcff"))
    assert disk.store.get(stored("\udcff").key) == ()
    assert disk["state"] == "ok"


def test_parts_are_not_kept_and_what_they_replace_goes(disk: Disk) -> None:
    disk.put("a")
    assert not disk.store.put(stored("a", Parts(100)))
    assert disk.get("a") is None


def noted(disk: Disk) -> list[str]:
    """What it tells when it is opened."""
    heard: list[str] = []
    disk.store.opened = lambda store, note: heard.append(note)
    disk.store.start()
    disk.settle()
    return heard


def test_a_note_is_there_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Disk(tmp_path, ROOM, start=False)
    assert noted(first) == [""]
    first.store.note("so far")
    first.put("a")
    first.wait(first.store.clear())
    assert_noted(first, "so far")
    break_index(first, monkeypatch, sqlite3.SQLITE_CORRUPT)
    first.store.put(stored("a"))
    first.settle()
    first.put("a")
    second = Disk(tmp_path, ROOM, start=False)
    heard = noted(second)
    assert heard == [""]  # it is the other's
    second.pass_time(AGAIN)
    first.close()
    second.pass_time(AGAIN)
    assert heard == ["", "so far"]
    second.close()


def assert_noted(disk: Disk, note: str) -> None:
    index = disk.store._index
    assert index is not None
    assert index.note == note


def test_what_is_noted_while_it_fails_is_not(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    disk.store.note("a")
    disk.settle()
    disk.store.note("b")
    disk.pass_time(AGAIN)
    assert_noted(disk, "a")


# -- bounds --


def test_what_waits_is_bounded_in_bytes(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 10_000)
    assert disk.store.put(stored("a", bytes(6000)))
    assert not disk.store.put(stored("b", bytes(6000)))
    assert 6000 < disk["unwritten"] <= 10_000
    disk.settle()
    assert disk["unwritten"] == disk["waiting"] == 0
    assert disk.put("b", bytes(6000))
    assert (disk["written"], disk["dropped"]) == (2, 1)


def test_too_much_to_forget_is_forgotten_as_a_whole(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        disk.put(name)
    monkeypatch.setattr(module, "JOBS", 2)
    disk.store.remove(stored("a").key)
    assert isinstance(disk.store.get(stored("d").key), Deferred)
    assert disk.store.remove(stored("b").key) == 0
    assert disk.store.remove(stored("c").key) == 0
    assert disk["waiting"] == 3
    assert disk.store.get(stored("d").key) == ()
    assert not disk.store.put(stored("e"))
    disk.settle()
    assert disk["objects"] == 0
    assert disk.put("e")


def test_those_who_ask_are_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKING", 1)
    disk.put("a")
    answer = disk.store.get(stored("a").key)
    assert disk.store.get(stored("a").key) == ()
    assert disk.wait(answer)


def test_open_files_are_bounded_and_the_first_are_let_go(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES", 3)
    memory = {}
    disk.store.crowded = lambda key: memory.pop(key, None)
    for i in range(5):
        disk.put(i, LARGE)
    for i in range(5):
        memory[stored(i).key] = disk.get(i)
        disk.settle()
        assert disk["files"] == len(memory) <= 3
    assert list(memory) == [stored(i).key for i in (2, 3, 4)]


def test_files_that_are_being_read_stay_open_and_others_are_not_opened(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES", 2)
    for i in range(3):
        disk.put(i, LARGE)
    held = [disk.get(0), disk.get(1)]
    assert disk.get(2) is None
    assert [os.pread(body.fileno(), len(body), 0) for body in held] == [LARGE, LARGE]
    held.pop()
    assert disk.get(2) is not None


def test_a_file_that_is_closed_late_is_closed(disk: Disk) -> None:
    disk.put("a", LARGE)
    body = disk.get("a")
    descriptor = body.fileno()
    disk.close()
    assert os.fstat(descriptor)
    del body
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_new_limit_holds(tmp_path: Path, disk: Disk) -> None:
    for i in range(100):
        disk.put(i, bytes(20_000))
    disk.store.resize(1 << 20)
    disk.settle()
    assert disk["bytes"] <= disk["limit"] == 1 << 20
    objects, memory = disk["objects"], disk["memory"]
    assert 5 < objects == sum(disk.get(i) is not None for i in range(100)) < 45
    disk.store.resize(1 << 30)
    disk.settle()
    assert (disk["state"], disk["objects"]) == ("ok", objects)
    assert disk["memory"] > 10 * memory
    assert objects == sum(disk.get(i) is not None for i in range(100))
    disk.store.resize(1 << 20)
    disk.settle()
    assert disk["objects"] == objects  # of a smaller one, the index keeps less room free


# -- large bodies, as they come --


def test_a_draft_becomes_an_object(disk: Disk) -> None:
    disk.put("a", b"old")
    draft = disk.store.draft(stored("a"), 3 * len(LARGE))
    assert draft is not None
    for _ in range(3):
        draft.write(LARGE)
    assert draft.unwritten == 3 * len(LARGE)
    finished = draft.finish()
    assert not draft.open
    found = disk.wait(finished)
    assert draft.unwritten == 0
    assert found is draft.stored
    assert os.pread(found.body.fileno(), len(found.body), 0) == 3 * LARGE
    assert len(disk.get("a")) == 3 * len(LARGE)
    assert (disk["files"], disk["objects"], disk["written"]) == (1, 1, 2)


TAKEN_AWAY: dict[str, Callable[[DiskStore], object]] = {
    "remove": lambda store: store.remove(stored("a").key),
    "purge": lambda store: store.purge(Purge("host", "a.example"), 0),
    "soft purge": lambda store: store.purge(Purge("tag", "t", soft=True), 0),
    "clear": lambda store: store.clear(),
    "close": lambda store: store.close(),
}


@pytest.mark.parametrize("way", TAKEN_AWAY.values(), ids=TAKEN_AWAY)
def test_a_draft_is_taken_away_with_the_rest(
    tmp_path: Path, disk: Disk, way: Callable[[DiskStore], object]
) -> None:
    draft = disk.store.draft(stored("a", tags=("t",)), None)
    assert draft is not None
    draft.write(b"data")
    disk.settle()
    way(disk.store)
    assert not draft.open
    draft.write(b"data")
    assert disk.wait(draft.finish()) is None
    disk.settle()
    assert bodies(tmp_path) == []


def test_a_draft_gives_up_where_the_disk_is_slower(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "UNWRITTEN", 1000)
    draft = disk.store.draft(stored("a"), None)
    assert draft is not None
    draft.write(bytes(600))
    draft.write(bytes(600))
    assert not draft.open
    disk.settle()
    assert (disk["unwritten"], disk["dropped"]) == (0, 1)
    assert bodies(tmp_path) == []


def test_a_draft_is_written_as_fast_as_it_comes_though_the_thread_is_not_heard(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = module.bodies.write

    def note(fd: int, data: bytes) -> None:
        written.append(len(data))
        write(fd, data)

    monkeypatch.setattr(module, "UNWRITTEN", 2000)
    monkeypatch.setattr(module.bodies, "write", note)
    draft = disk.store.draft(stored("a"), None)
    assert draft is not None
    for _ in range(10):
        draft.write(bytes(600))
        draft.write(bytes(600))
        draft.write(bytes(600))
        disk.store.work()
        assert draft.unwritten == 0
    assert written == [1800] * 10
    assert len(disk.wait(draft.finish()).body) == 18000
    assert disk["unwritten"] == 0


def test_a_draft_that_is_just_finished_is_found_and_forgotten(disk: Disk) -> None:
    def finished() -> None:
        draft = disk.store.draft(stored("a"), None)
        assert draft is not None
        draft.write(LARGE)
        draft.finish()

    finished()
    assert len(disk.get("a")) == len(LARGE)
    disk.wait(disk.store.remove(stored("a").key))
    assert disk.get("a") is None
    finished()
    assert disk.wait(disk.store.remove(stored("a").key)) == 1
    assert disk.get("a") is None


def test_a_draft_that_can_not_be_is_none(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.store.draft(stored("a"), ROOM) is None
    monkeypatch.setattr(module, "DRAFTS", 1)
    assert disk.store.draft(stored("a"), None) is not None
    assert disk.store.draft(stored("b"), None) is None


def test_a_draft_of_more_than_there_is_room_for_is_closed(tmp_path: Path, disk: Disk) -> None:
    draft = disk.store.draft(stored("a"), None)
    assert draft is not None
    for _ in range(9):
        draft.write(bytes(1 << 20))
        disk.settle()
    assert not draft.open
    assert bodies(tmp_path) == []


# -- a disk that is full, failing or slow --


def test_a_full_disk_goes_on_with_what_room_it_has(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        disk.put(i, bytes(20_000))
    mend = once(monkeypatch, "write", errno.ENOSPC)
    assert not disk.put("new", bytes(20_000))
    assert disk["state"] == "full"
    assert "No space left" in disk["error"]
    assert disk.get(19) == bytes(20_000)
    disk.pass_time(AGAIN)
    assert not disk.put("new", bytes(20_000))
    assert disk["state"] == "full"
    mend()
    taken = disk["bytes"]
    for i in range(20, 30):
        assert disk.put(i, bytes(20_000))
    assert (disk["state"], disk["bytes"] <= taken) == ("full", True)
    disk.pass_time(AGAIN)
    for i in range(30, 60):
        assert disk.put(i, bytes(20_000))
    assert disk["state"] == "ok"


def test_a_draft_on_a_full_disk_is_closed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draft = disk.store.draft(stored("a"), None)
    assert draft is not None
    once(monkeypatch, "write", errno.EDQUOT)
    draft.write(b"data")
    disk.settle()
    assert not draft.open
    assert disk["state"] == "full"
    assert bodies(tmp_path) == []


def test_where_not_even_the_index_can_be_written_files_go(disk: Disk) -> None:
    for i in range(100):
        disk.put(i)
    index = disk.store._index
    assert index is not None
    index._db.execute("PRAGMA max_page_count = 1")  # as many as there are
    for i in range(100, 300):
        disk.store.put(stored(i, b"new", ("t" * 1000,)))
    disk.store.remove(stored(99).key)
    disk.settle()
    assert disk["state"] in ("full", "ok")
    assert "full" in disk["error"]
    assert disk.get(99) is None
    assert disk.put("new")


FAILING: dict[str, tuple[str, int]] = {
    "input/output error": ("write", errno.EIO),
    "read-only": ("open", errno.EROFS),
    "permission denied": ("open", errno.EACCES),
}


@pytest.mark.parametrize(("name", "number"), FAILING.values(), ids=FAILING)
def test_a_failing_disk_is_tried_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    disk.put("a")
    mend = once(monkeypatch, name, number)
    assert not disk.put("b")
    assert disk["state"] == "failing"
    assert os.strerror(number) in disk["error"]
    assert disk.store.get(stored("a").key) == ()
    assert not disk.store.put(stored("a", b"new"))
    assert disk.store.draft(stored("c"), None) is None
    assert disk.wait(disk.store.remove(stored("d").key)) == 0
    mend()
    disk.pass_time(AGAIN)
    assert disk["state"] == "ok"
    assert disk.get("a") is None  # what was to take its place could not
    assert disk.put("b")


def break_index(disk: Disk, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The next commit fails, once."""
    index = disk.store._index
    assert index is not None

    def fail() -> None:
        error = sqlite3.OperationalError("it broke")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(index, "commit", fail)


def test_what_is_forgotten_while_it_fails_is_forgotten_for_good(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdefg":
        disk.store.put(stored(name, tags=(name,)))
    disk.settle()
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    assert disk.wait(disk.store.remove(stored("a").key)) == 0
    assert (disk["state"], disk["error"]) == ("failing", "it broke")
    for answer in (
        disk.store.remove(stored("b").key),
        disk.store.purge(Purge("tag", "c"), 0),
        disk.store.purge(Purge("tag", "d", soft=True), 10),
        disk.store.put(stored("e", b"new")),
    ):
        assert disk.wait(answer) in (0, False)
    disk.pass_time(AGAIN)
    assert disk["state"] == "ok"
    assert [disk.get(name) for name in "abcefg"] == [None] * 4 + [b"body"] * 2
    (soft,) = disk.wait(disk.store.get(stored("d").key))
    assert not soft.freshness.usable(10)


@pytest.mark.parametrize("too_much", [False, True])
def test_where_too_much_is_to_be_forgotten_all_is(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, too_much: bool
) -> None:
    monkeypatch.setattr(module, "OWED", 3)
    for name in "abcdef":
        disk.put(name)
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    for name in "abcd" if too_much else "abc":
        disk.store.remove(stored(name).key)
        disk.settle()
    disk.pass_time(AGAIN)
    assert disk["objects"] == (0 if too_much else 3)


def test_clear_while_it_fails_clears(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.put("a")
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    disk.store.put(stored("b"))
    disk.settle()
    assert disk.wait(disk.store.clear()) == 0
    assert disk.wait(disk.store.remove(stored("a").key)) == 0
    disk.pass_time(AGAIN)
    assert disk["objects"] == 0


def test_a_purge_under_way_is_begun_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(300):
        disk.store.put(stored(i))
    disk.settle()
    answer = disk.store.purge(Purge("host", "a.example"), 0)
    disk.store._round(False)
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    assert disk.wait(answer) == 0
    disk.pass_time(AGAIN)
    assert (disk["state"], disk["objects"]) == ("ok", 0)


def test_a_corrupt_index_is_replaced_at_once(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk.put("a")
    break_index(disk, monkeypatch, sqlite3.SQLITE_CORRUPT)
    disk.store.put(stored("b"))
    disk.settle()
    assert (disk["state"], disk["objects"]) == ("ok", 0)
    assert "it broke" in disk["error"]
    assert bodies(tmp_path) == []
    assert disk.put("c")


def test_an_index_that_is_none_is_replaced(tmp_path: Path, disk: Disk) -> None:
    disk.put("a")
    disk.close()
    (tmp_path / "index.sqlite").write_bytes(os.urandom(50_000))
    again = Disk(tmp_path, ROOM)
    assert (again["state"], again["objects"]) == ("ok", 0)
    assert "not a database" in again["error"]
    assert again.put("b")
    again.close()


def test_a_fault_of_ours_is_told_and_costs_no_more(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.put("a")

    def fail(key: Key) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(disk.store._shelf, "remove", fail)
    assert disk.wait(disk.store.remove(stored("a").key)) == 0
    assert disk["state"] == "failing"
    monkeypatch.undo()
    disk.pass_time(AGAIN)
    assert (disk["state"], disk["objects"]) == ("ok", 0)


def test_a_folder_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "cache", ROOM)
    disk.put("a")
    for path in sorted((tmp_path / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "cache").rmdir()
    assert disk.get("a") is None
    assert not disk.put("b")
    assert disk["state"] == "failing"
    disk.pass_time(AGAIN)
    assert disk.put("b")
    disk.close()


def test_a_folder_that_can_not_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    disk = Disk(tmp_path / "file" / "cache", ROOM)
    assert disk["state"] == "failing"
    assert "Not a directory" in disk["error"]
    assert disk.store.get(stored("a").key) == ()
    assert not disk.put("a")
    disk.close()


def test_a_folder_of_another_process_is_left_to_it(tmp_path: Path, disk: Disk) -> None:
    disk.put("a")
    other = Disk(tmp_path, ROOM)
    assert other["state"] == "failing"
    assert "another process" in other["error"]
    assert not other.put("b")
    disk.close()
    other.pass_time(AGAIN)
    assert other["state"] == "ok"
    assert other.get("a") == b"body"
    other.close()


def test_too_many_open_files_damage_nothing(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.put("a")
    mend = once(monkeypatch, "open", errno.EMFILE)
    assert disk.get("a") is None
    assert not disk.put("b")
    mend()
    assert (disk["state"], disk["damaged"]) == ("ok", 0)
    assert disk.get("a") == b"body"


def test_who_waited_too_long_waits_no_longer(disk: Disk) -> None:
    disk.put("a")
    first = disk.store.get(stored("a").key)
    disk.clock.advance(PATIENCE / 2)
    second = disk.store.get(stored("a").key)
    disk.clock.advance(PATIENCE / 2)
    assert (first.called, second.called) == (True, False)  # type: ignore[union-attr]
    assert disk.store.get(stored("a").key) == ()
    disk.clock.advance(PATIENCE)
    assert second.called  # type: ignore[union-attr]
    assert "did not answer" in disk["error"]
    disk.settle()
    assert disk.get("a") == b"body"


# -- the end --


def test_the_end_waits_for_what_is_to_be_written(tmp_path: Path, disk: Disk) -> None:
    disk.store.put(stored("a"))
    asked = disk.store.get(stored("a").key)
    closed = disk.store.close()
    assert disk.store.close() is closed
    assert asked.called  # type: ignore[union-attr]
    assert not closed.called
    disk.settle()
    assert closed.called
    assert disk["state"] == "closed"
    assert disk.clock.getDelayedCalls() == []
    again = Disk(tmp_path, ROOM)
    assert again.get("a") == b"body"
    again.close()


def test_the_end_does_not_wait_for_ever(disk: Disk) -> None:
    closed = disk.store.close()
    disk.clock.advance(END)
    assert closed.called
    disk.settle()


def test_a_failing_store_can_end(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    break_index(disk, monkeypatch, sqlite3.SQLITE_IOERR)
    disk.store.put(stored("a"))
    disk.settle()
    disk.store.close()
    disk.settle()
    assert disk.clock.getDelayedCalls() == []


def test_a_repr_and_figures(disk: Disk) -> None:
    assert repr(disk.store).endswith("test_a_repr_and_figures0 ok>")
    assert disk["memory"] == ROOM // 1024 * 5 // 4


# -- with a thread --


class Reactor(Clock):
    """Turns when something comes from the thread."""

    def __init__(self) -> None:
        super().__init__()
        self.told: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        self.told.put(lambda: call(*args))

    def until(self, what: Callable[[], object]) -> None:
        while not what():
            self.told.get(timeout=10)()


def test_a_thread_of_its_own_does_it_all(tmp_path: Path) -> None:
    reactor = Reactor()
    store = DiskStore(tmp_path, ROOM, reactor)
    store.start()
    reactor.until(lambda: store.state == "ok")
    for i in range(200):
        assert store.put(stored(i, b"%d" % i))
    got: dict[int, Any] = {}
    for i in range(200):
        answer = store.get(stored(i).key)
        assert isinstance(answer, Deferred)
        answer.addCallback(lambda found, i=i: got.update({i: found[0].body}))
    reactor.until(lambda: len(got) == 200)
    assert got == {i: b"%d" % i for i in range(200)}
    closed = store.close()
    reactor.until(lambda: closed.called)
    assert bodies(tmp_path) != []
