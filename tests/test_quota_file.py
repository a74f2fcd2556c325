from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool

from twistproxy import quota_file
from twistproxy.config import model
from twistproxy.policy.limits import Refusal, enter
from twistproxy.policy.limits.limits import Limits
from twistproxy.quota_file import AGAIN, END, EVERY, QuotaFile

NOON = 1_795_521_600.0  # 2026-11-24 12:00 UTC


def rule(name: str = "q", requests: int = 10) -> model.Rule:
    quota = model.Quota(requests=requests, per="day")
    return model.Rule(name=name, when=model.When(timezone="UTC"), action="continue", quota=quota)


def at_once(work: Callable[[], None]) -> Deferred[None]:
    return execute(work)


class Process:
    """What one process has of it."""

    def __init__(
        self,
        path: Path,
        *rules: Any,
        at: float = NOON,
        in_thread: Callable[[Callable[[], None]], Deferred[None]] = at_once,
    ) -> None:
        self.clock = Clock()
        self.limits = Limits()
        self.at = at
        self.rules = rules or (rule(),)
        for each in self.rules:
            self.limits.of(each)
        self.file = QuotaFile(path, self.limits, self.clock, lambda: self.at, in_thread)
        self.file.start()

    def ask(self, client: str = "10.0.0.1", rule: Any = None) -> bool:
        question: Any = SimpleNamespace(client=client, at=self.at)
        limits = self.limits.of(rule or self.rules[0])
        return not isinstance(enter(limits, question, 0), Refusal)

    def left(self, client: str = "10.0.0.1") -> int:
        (limit,) = self.limits.of(self.rules[0])
        return int(limit.standing(client, 0, self.at).split()[0])

    def write(self) -> None:
        self.clock.advance(EVERY)

    def write_again(self) -> None:
        """After a failure."""
        self.clock.pump([EVERY] * int(1 + AGAIN / EVERY))

    def stop(self) -> None:
        over: list[None] = []
        self.file.stop().addCallback(over.append)
        assert over == [None]
        assert self.clock.getDelayedCalls() == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "quotas.sqlite"


def rows(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT key, spent FROM spent ORDER BY key").fetchall()


# -- what outlives what --------------------------------------------------------------------------


def test_it_outlives_a_restart(path: Path) -> None:
    first = Process(path)
    for _ in range(3):
        first.ask()
    first.stop()
    second = Process(path)
    assert second.left() == 7
    second.ask()
    second.stop()
    assert Process(path).left() == 6


def test_what_was_written_outlives_a_process_that_does_not_stop(path: Path) -> None:
    first = Process(path)
    first.ask()
    first.write()
    first.ask()  # within the seconds that are lost
    assert Process(path).left() == 9


KILLED = """
import os, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_quota_file import Process
process = Process(Path({path!r}))
for _ in range(4):
    process.ask()
process.write()
os.kill(os.getpid(), 9)
"""


def test_it_outlives_being_killed(path: Path) -> None:
    source = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    where = str(Path(quota_file.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, "PYTHONPATH": where}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert Process(path).left() == 6


def test_it_is_nobody_else_s(path: Path) -> None:
    process = Process(path)
    process.ask()
    process.write()
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    process.stop()
    assert [file.name for file in path.parent.iterdir()] == ["quotas.sqlite"]


def test_without_anything_to_keep_there_is_no_file(path: Path) -> None:
    process = Process(path, model.Rule(name="r", action="allow"))
    process.write()
    process.stop()
    assert not path.parent.exists()
    assert process.file.snapshot()["state"] == "unused"


def test_what_does_not_change_is_not_written_again(path: Path) -> None:
    process = Process(path)
    process.ask()
    for _ in range(5):
        process.write()
    assert process.file.snapshot() == {
        "path": str(path),
        "state": "ok",
        "written": 1,
        "error": "",
    }


def test_many_are_written_in_slices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_file, "ROWS", 10)
    handed: list[int] = []

    def in_thread(work: Callable[[], None]) -> Deferred[None]:
        handed.append(len(work.args[0]) if hasattr(work, "args") else 0)
        return execute(work)

    process = Process(path, in_thread=in_thread)
    process.file._loop.stop()
    process.file._loop.a, process.file._loop.kw = (10,), {}
    process.file._loop.start(EVERY, now=False)
    for number in range(25):
        process.ask(f"10.0.0.{number}")
    process.write()
    assert handed == [10, 10, 5]
    assert len(rows(path)) == 25


def test_what_is_over_leaves_the_file(path: Path) -> None:
    process = Process(path)
    process.ask("10.0.0.1")
    process.write()
    process.at += 86_400
    process.ask("10.0.0.2")
    process.write()
    assert rows(path) == [("10.0.0.2", 1)]


def test_what_is_over_by_the_next_start_does_not_count(path: Path) -> None:
    first = Process(path)
    first.ask()
    first.stop()
    assert Process(path, at=NOON + 86_400).left() == 10


def test_what_memory_forgets_leaves_the_file(path: Path) -> None:
    process = Process(path)
    (limit,) = process.limits.of(process.rules[0])
    limit._spent._most = 3
    for number in range(3):
        process.ask(f"10.0.0.{number}")
    process.write()
    for number in range(3, 6):
        process.ask(f"10.0.0.{number}")
    process.write()
    assert {key for key, _ in rows(path)} == set(limit._spent.values)


def test_a_quota_that_is_gone_leaves_the_file(path: Path) -> None:
    process = Process(path, rule("a"), rule("b"))
    process.ask("10.0.0.1", rule("a"))
    process.ask("10.0.0.2", rule("b"))
    process.write()
    process.limits.forget_unused([rule("b")])
    process.write()
    assert rows(path) == [("10.0.0.2", 1)]
    process.limits.forget_unused([])
    process.write()
    assert rows(path) == []


def test_another_quota_of_that_name_begins_anew(path: Path) -> None:
    first = Process(path, rule(requests=10))
    first.ask()
    first.stop()
    assert Process(path, rule(requests=20)).left() == 20


# -- what can be wrong with a disk ---------------------------------------------------------------


def corrupted(path: Path) -> None:
    """Whole at its head, garbage further on."""
    with closing(sqlite3.connect(path)) as db:
        size = path.stat().st_size
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def with_other_types(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE spent SET minute = 'soon'")
        db.commit()


BROKEN: dict[str, Callable[[Path], object]] = {
    "no_database": lambda path: path.write_bytes(b"what is this?" * 1000),
    "cut_off": lambda path: os.truncate(path, 5000),
    "corrupted": corrupted,
    "of_another_version": of_another_version,
    "with_other_types": with_other_types,
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_set_aside(path: Path, breaks: Callable[[Path], object]) -> None:
    first = Process(path)
    first.ask()
    first.stop()
    breaks(path)
    second = Process(path)
    assert second.left() == 10
    second.ask()
    second.write()
    assert second.file.snapshot()["state"] == "ok"
    second.stop()
    assert path.with_name("quotas.sqlite.broken").exists()
    assert Process(path).left() == 9


def test_what_breaks_while_it_runs_is_written_anew(path: Path) -> None:
    process = Process(path)
    process.ask("10.0.0.1")
    process.write()
    assert process.file._db is not None
    process.file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    process.file._db.execute("PRAGMA cache_size = 0")
    corrupted(path)
    process.ask("10.0.0.2")
    process.write()
    assert process.file.snapshot()["state"] == "failing"
    process.write_again()
    assert process.file.snapshot()["state"] == "ok"
    assert rows(path) == [("10.0.0.1", 1), ("10.0.0.2", 1)]


def a_file_for_a_folder(path: Path) -> Callable[[], None]:
    path.parent.write_text("")
    return path.parent.unlink


def a_folder_for_a_file(path: Path) -> Callable[[], None]:
    path.mkdir(parents=True)
    return path.rmdir


def a_link_to_nowhere(path: Path) -> Callable[[], None]:
    path.parent.mkdir()
    path.symlink_to("/proc/nowhere/at/all")
    return path.unlink


HINDRANCES = {
    "a_file_for_a_folder": a_file_for_a_folder,
    "a_folder_for_a_file": a_folder_for_a_file,
    "a_link_to_nowhere": a_link_to_nowhere,
}


@pytest.mark.parametrize("hindrance", HINDRANCES.values(), ids=HINDRANCES)
def test_where_it_can_not_be_written_it_counts_in_memory(
    path: Path, hindrance: Callable[[Path], Callable[[], None]]
) -> None:
    mend = hindrance(path)
    process = Process(path, rule(requests=2))
    process.ask()
    for _ in range(3):
        process.write()
    told = process.file.snapshot()
    assert told["state"] == "failing"
    assert told["error"]
    assert [process.ask(), process.ask()] == [True, False]
    mend()
    process.write_again()
    assert process.file.snapshot()["state"] == "ok"
    assert process.file.snapshot()["error"] == ""
    assert rows(path) == [("10.0.0.1", 2)]


def test_what_fails_is_not_tried_all_the_time(path: Path) -> None:
    tried: list[None] = []

    def in_thread(work: Callable[[], None]) -> Deferred[None]:
        tried.append(None)
        return execute(work)

    a_file_for_a_folder(path)
    process = Process(path, in_thread=in_thread)
    process.ask()
    process.write_again()
    process.write_again()
    assert len(tried) == 3  # in 24 seconds


def test_it_stops_where_it_can_not_be_written(path: Path) -> None:
    a_file_for_a_folder(path)
    process = Process(path)
    process.ask()
    process.stop()


def test_a_file_that_somebody_else_locks(path: Path) -> None:
    process = Process(path)
    process.ask()
    process.write()
    assert process.file._db is not None
    process.file._db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process.ask()
        process.write()
        assert "locked" in process.file.snapshot()["error"]
    process.write_again()
    assert rows(path) == [("10.0.0.1", 2)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(small_disk: Path) -> None:
    path, filler = small_disk / "quotas.sqlite", small_disk / "filler"
    process = Process(path)
    process.ask()
    process.write()
    assert process.file.snapshot()["state"] == "ok"
    filler.write_bytes(b"x" * os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize)
    for number in range(1000):
        process.ask(f"10.0.1.{number}")
    process.write()
    assert process.file.snapshot()["state"] == "failing"
    assert "full" in process.file.snapshot()["error"] or "I/O" in process.file.snapshot()["error"]
    filler.unlink()
    process.write_again()
    assert process.file.snapshot()["state"] == "ok"
    process.stop()
    assert len(rows(path)) == 1001


def test_a_disk_that_may_only_be_read(small_disk: Path) -> None:
    path = small_disk / "quotas.sqlite"
    first = Process(path)
    first.ask()
    first.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    second = Process(path)
    assert second.file.snapshot()["state"] == "failing"
    assert second.ask()
    second.write()
    assert second.file.snapshot()["state"] == "failing"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    second.write_again()
    assert second.file.snapshot()["state"] == "ok"


# -- threads -------------------------------------------------------------------------------------


def test_nobody_waits_for_a_disk_that_hangs(path: Path) -> None:
    hung: Deferred[None] = Deferred()
    process = Process(path, in_thread=lambda work: hung)
    process.ask()
    process.write()
    process.write()  # not a second one at the same time
    over: list[None] = []
    process.file.stop().addCallback(over.append)
    assert over == []
    process.clock.advance(END)
    assert over == [None]
    hung.callback(None)


def test_the_end_waits_for_what_is_being_written(path: Path) -> None:
    waiting: list[tuple[Deferred[None], Callable[[], None]]] = []

    def later(work: Callable[[], None]) -> Deferred[None]:
        waiting.append((Deferred(), work))
        return waiting[-1][0]

    process = Process(path, in_thread=later)
    process.ask()
    process.write()
    process.ask()
    over: list[None] = []
    process.file.stop().addCallback(over.append)
    done = 0
    while done < len(waiting):
        fired, work = waiting[done]
        work()
        fired.callback(None)
        done += 1
    assert over == [None]
    assert rows(path) == [("10.0.0.1", 2)]


def test_the_disk_is_another_thread_s(path: Path) -> None:
    class Reactor(Clock):
        def __init__(self) -> None:
            super().__init__()
            self.called: Queue[tuple[Any, ...]] = Queue()
            self.pool = ThreadPool(1, 1)

        def getThreadPool(self) -> ThreadPool:
            return self.pool

        def callFromThread(self, *call: Any) -> None:
            self.called.put(call)

        def turn(self) -> None:
            function, *arguments = self.called.get(timeout=10)
            function(*arguments)

    reactor, limits = Reactor(), Limits()
    threads: list[threading.Thread] = []
    (limit,) = limits.of(rule())
    file = QuotaFile(path, limits, reactor, lambda: NOON)
    write = file._write
    file._write = lambda *args: (threads.append(threading.current_thread()), write(*args))[1]  # type: ignore[method-assign]
    reactor.pool.start()
    try:
        file.start()
        limit.enter("a", 0, NOON)
        reactor.advance(EVERY)
        reactor.turn()
        assert file.state == "ok"
        over: list[None] = []
        file.stop().addCallback(over.append)
        while not over:
            reactor.turn()
    finally:
        reactor.pool.stop()
    assert threads
    assert threading.current_thread() not in threads
    assert rows(path) == [("a", 1)]
