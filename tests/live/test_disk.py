"""A process that stores is killed at any moment, or has a disk that is full: nothing is corrupt,
nothing leaks."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from storing import OBJECTS, body, stored
from twisted.internet.defer import Deferred

import twistproxy
from disk_worker import Worker
from twistproxy.cache.stored import Stored

ROUNDS = 50
PLENTY = 64 << 20
SCRIPT = Path(__file__).with_name("storing.py")
SOURCE = Path(twistproxy.__file__).parents[1]


class Child:
    """A process that stores, in a folder."""

    def __init__(self, folder: Path, limit: int, number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, folder, str(limit), str(number)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )

    def lines(self) -> Iterator[list[str]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.split()

    def kill(self) -> list[list[str]]:
        """What it had said until then."""
        self._process.kill()
        said = list(self.lines())
        assert self._process.wait() == -9
        assert self._process.stdout is not None
        self._process.stdout.close()
        return said


def content(stored: Stored) -> bytes:
    if isinstance(stored.body, bytes):
        return stored.body
    return os.pread(stored.body.fileno(), len(stored.body), 0)  # type: ignore[union-attr]


def rounds_of(worker: Worker, last: int) -> dict[int, int]:
    """Of which round each object is; all are whole and right."""
    found: dict[int, int] = {}
    for name in range(OBJECTS):
        answer = worker.store.get(stored(name, 0).key)
        got: list[tuple[Stored, ...]] = []
        if isinstance(answer, Deferred):
            answer.addCallback(got.append)
            worker.settle()
        for each in got[0] if got else ():
            number = int(each.tags[0].removeprefix("round-"))
            assert 0 <= number <= last
            assert content(each) == body(name, number), (name, number)
            assert each.freshness.received == each.made == number
            found[name] = number
    return found


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def agree(worker: Worker, folder: Path) -> None:
    """Files and rows are each other's, and sizes are what they are."""
    index = worker.store._index
    assert index is not None
    files = {int(path.name, 16) for path in (folder / "bodies").rglob("*") if path.is_file()}
    assert files == set(index.files_in(range(1 << 40)))
    figures = worker.store.snapshot()
    assert figures["bytes"] == on_disk(folder) <= figures["limit"]
    assert figures["damaged"] == 0


def test_killed_at_any_moment_nothing_is_corrupt_and_nothing_leaks(tmp_path: Path) -> None:
    chance = random.Random(8)
    before: dict[int, int] = {}
    for number in range(ROUNDS):
        child = Child(tmp_path, PLENTY, number)
        said = list(islice(child.lines(), chance.randrange(1, 240)))
        said += child.kill()
        worker = Worker(tmp_path, PLENTY)
        now = rounds_of(worker, number)
        agree(worker, tmp_path)
        worker.close()
        assert not any(word == "lost" for word, *_ in said)
        for word, *names in said:
            name = int(names[0]) if names else -1
            if word == "kept":
                assert now[name] == number
            elif word == "removed":
                assert now.get(name, number) == number
        untouched = set(before) - {int(names[0]) for _, *names in said if names}
        assert sum(now.get(name) != before[name] for name in untouched) <= 1  # about to be said
        before = now
    assert set(before.values()) & set(range(ROUNDS - 5, ROUNDS))


def test_a_disk_that_others_fill_costs_hits_alone(tmp_path: Path) -> None:
    """A tmpfs of a few MiB, which has far less room than the store may take."""
    mount = shutil.which("mount", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder]
    if mount is None or subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("a file system of our own can't be mounted here: it takes root")
    try:
        worker = Worker(folder / "cache", PLENTY)
        for number in range(3):
            for name in range(OBJECTS):
                worker.store.put(stored(name, number, body(name, number)))
                if not name % 10:
                    worker.settle()
            worker.settle()
            found = rounds_of(worker, number)
            assert number in found.values()
        assert worker.store.error.endswith(("No space left on device", "disk is full"))
        assert worker.store.state in ("full", "ok")
        agree(worker, folder / "cache")
        (folder / "other").write_bytes(bytes(os.statvfs(folder).f_bavail * 4096))
        for name in range(OBJECTS):
            worker.store.put(stored(name, 3, body(name, 3)))
        worker.store.remove(stored(0, 0).key)
        worker.settle()
        assert rounds_of(worker, 3).get(0, 3) == 3
        worker.close()
        (folder / "other").unlink()
        again = Worker(folder / "cache", PLENTY)
        assert again.store.state == "ok"
        agree(again, folder / "cache")
        rounds_of(again, 3)
        again.close()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
