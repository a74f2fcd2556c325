"""Objects in a folder: within their bytes, and in order after whatever happened to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from twistproxy.cache import record
from twistproxy.cache.disk import shelf as module
from twistproxy.cache.disk.bodies import Body
from twistproxy.cache.disk.shelf import SMALL, Occupied, Shelf, Slices
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

T = TypeVar("T")
ROOM = 4 << 20


def stored(name: object, body: bytes = b"", tags: tuple[str, ...] = ()) -> Stored:
    key = Key("open", f"http://a.example/{name}")
    return Stored(key, (), 200, b"OK", Fields(), Freshness(60, 0, 0), 0, body, tags=tags)


def put(shelf: Shelf, each: Stored) -> bool:
    kept = shelf.put(each, record.encode(each), ())
    assert shelf.index is not None
    shelf.index.commit()
    return kept


def run(slices: Slices[T]) -> T:
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result


def get(shelf: Shelf, each: Stored) -> bytes | None:
    """Its body, if it is there."""
    found = run(shelf.get(each.key))
    if not found:
        return None
    body = found[0].body
    if isinstance(body, Body):
        return os.pread(body.fileno(), len(body), 0)
    assert isinstance(body, bytes)
    return body


def opened(folder: Path, limit: int = ROOM) -> Shelf:
    shelf = Shelf(folder, limit, os.close)
    shelf.open()
    return shelf


def on_disk(folder: Path) -> int:
    """Bytes that all files in there take."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def bodies(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = opened(tmp_path)
    yield shelf
    shelf.close()


SIZES = {"none": 0, "small": 5000, "the largest as bytes": SMALL, "in a file": SMALL + 1}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_objects_outlive_the_process(tmp_path: Path, shelf: Shelf, size: int) -> None:
    each = stored("a", os.urandom(size))
    put(shelf, each)
    shelf.close()
    again = opened(tmp_path)
    assert get(again, each) == each.body
    assert isinstance(run(again.get(each.key))[0].body, Body if size > SMALL else bytes)
    again.close()


def test_what_is_not_committed_is_no_object(tmp_path: Path, shelf: Shelf) -> None:
    put(shelf, stored("a"))
    each = stored("b", b"body")
    shelf.put(each, record.encode(each), ())
    shelf.close()
    again = opened(tmp_path)
    assert get(again, each) is None
    assert len(bodies(tmp_path)) == 1
    run(again.sweep())
    assert bodies(tmp_path) == []
    assert again.orphans == 1
    again.close()


def test_one_process_has_the_folder(tmp_path: Path, shelf: Shelf) -> None:
    other = Shelf(tmp_path, ROOM, os.close)
    with pytest.raises(Occupied, match="another process"):
        other.open()
    shelf.close()
    other.open()
    other.close()


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    shelf = opened(tmp_path / "cache")
    put(shelf, stored("a", b"body"))
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    shelf.close()


# -- room --


def test_it_takes_what_it_says_and_no_more_than_it_may(tmp_path: Path) -> None:
    shelf = opened(tmp_path, 1 << 20)
    for i in range(300):
        put(shelf, stored(i, bytes(i * 37 % 40_000)))
        assert shelf.bytes == on_disk(tmp_path) <= 1 << 20
    assert shelf.evicted > 100
    shelf.close()
    again = opened(tmp_path, 1 << 20)
    assert again.bytes == on_disk(tmp_path)
    again.close()


def test_many_without_a_body_are_bounded_too(tmp_path: Path) -> None:
    shelf = opened(tmp_path, 1 << 20)
    for i in range(3000):
        each = stored(i, tags=("t" * 500,))
        shelf.put(each, record.encode(each), ())
        if not i % 50:
            assert shelf.index is not None
            shelf.index.commit()
            assert shelf.bytes == on_disk(tmp_path) <= 1 << 20
    assert shelf.evicted > 1000
    shelf.close()


def test_those_stay_that_were_asked_for(tmp_path: Path) -> None:
    shelf = opened(tmp_path, 1 << 20)
    popular = [stored(f"p{i}", bytes(20_000)) for i in range(5)]
    for each in popular:
        put(shelf, each)
    assert shelf.index is not None
    for i in range(200):
        for each in popular:
            shelf.index.sketch.ask(shelf.index.digest(each.key))
        put(shelf, stored(i, bytes(20_000)))
    assert [get(shelf, each) for each in popular] == [bytes(20_000)] * 5
    shelf.close()


def test_somebody_leaves_though_all_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHANCES", 10)
    shelf = opened(tmp_path, 1 << 20)
    assert shelf.index is not None
    for i in range(200):
        assert put(shelf, stored(i, bytes(20_000)))
        sketch = shelf.index.sketch
        sketch._asked[:] = b"\1" * len(sketch._asked)
    shelf.close()


def test_what_is_above_a_lower_limit_leaves_in_slices(tmp_path: Path, shelf: Shelf) -> None:
    for i in range(100):
        put(shelf, stored(i, bytes(20_000)))
    shelf.resize(1 << 20)
    assert sum(1 for _ in shelf.shrink()) >= 1
    assert shelf.bytes == on_disk(tmp_path) <= 1 << 20


def test_a_full_disk_is_a_lower_ceiling(shelf: Shelf) -> None:
    for i in range(20):
        put(shelf, stored(i, bytes(20_000)))
    before = shelf.taken
    shelf.full()
    for i in range(20, 40):
        assert put(shelf, stored(i, bytes(20_000)))
        assert shelf.taken <= before
    assert shelf.evicted >= 20
    shelf.give_space()
    assert get(shelf, stored(39)) is None
    assert shelf.damaged == 1


# -- large bodies, as they come --


def test_a_draft_becomes_an_object(tmp_path: Path, shelf: Shelf) -> None:
    each, old = stored("a"), stored("a", b"old")
    put(shelf, old)
    draft = shelf.begin()
    data = os.urandom(100_000)
    for _ in range(10):
        assert shelf.write(draft, data)
        assert shelf.bytes == on_disk(tmp_path)
    assert get(shelf, each) == b"old"
    body = shelf.finish(draft, each, record.encode(each), ())
    assert body is not None
    assert os.pread(body.fileno(), len(body), 0) == data * 10
    del body
    assert get(shelf, each) == data * 10
    assert shelf.index is not None
    assert shelf.index.objects == 1


def test_an_abandoned_draft_leaves_nothing(tmp_path: Path, shelf: Shelf) -> None:
    draft = shelf.begin()
    shelf.write(draft, b"data")
    shelf.abandon(draft)
    shelf.abandon(draft)
    assert not shelf.write(draft, b"data")
    assert shelf.finish(draft, stored("a"), b"", ()) is None
    assert bodies(tmp_path) == []


def test_a_sweep_leaves_drafts_alone(tmp_path: Path, shelf: Shelf) -> None:
    draft = shelf.begin()
    shelf.write(draft, b"data")
    run(shelf.sweep())
    assert shelf.finish(draft, stored("a"), record.encode(stored("a")), ()) is not None
    assert get(shelf, stored("a")) == b"data"


def test_drafts_take_a_half_together_and_one_all(tmp_path: Path, shelf: Shelf) -> None:
    alone = shelf.begin()
    assert shelf.write(alone, bytes(3 << 20))
    other = shelf.begin()
    assert not shelf.write(other, b"data")
    shelf.abandon(alone)
    assert shelf.write(other, bytes(1 << 20))
    assert not shelf.write(other, bytes(4 << 20))
    assert shelf.bytes == on_disk(tmp_path) <= ROOM


def test_others_leave_for_a_draft(shelf: Shelf) -> None:
    for i in range(30):
        put(shelf, stored(i, bytes(100_000)))
    draft = shelf.begin()
    for _ in range(20):
        assert shelf.write(draft, bytes(100_000))
    assert shelf.bytes <= ROOM
    assert shelf.evicted >= 10


# -- what goes --


def test_a_body_that_left_can_not_be_put_again(shelf: Shelf) -> None:
    each = stored("a", bytes(SMALL + 1))
    put(shelf, each)
    (found,) = run(shelf.get(each.key))
    shelf.remove(each.key)
    assert not put(shelf, found)
    assert get(shelf, each) is None


def test_a_body_of_another_folder_is_not_ours(tmp_path: Path, shelf: Shelf) -> None:
    other = opened(tmp_path / "other")
    for one in (shelf, other):
        put(one, stored("a", os.urandom(SMALL + 1)))
    before = get(shelf, stored("a"))
    other._release = lambda descriptor: None
    (found,) = run(shelf.get(stored("a").key))
    found.key = Key("open", "b")
    assert not put(other, found)
    assert get(shelf, stored("a")) == before
    other.close()


def test_a_purge_of_many_is_in_slices_and_misses_what_comes_later(shelf: Shelf) -> None:
    for i in range(600):
        put(shelf, stored(i, tags=("t",)))
    purge = shelf.purge(Purge("tag", "t"), 0)
    next(purge)
    put(shelf, stored("later", tags=("t",)))
    assert run(purge) == 600
    assert get(shelf, stored("later")) == b""


def test_what_is_removed_while_it_is_checked_is_not_given(tmp_path: Path, shelf: Shelf) -> None:
    each = stored("a", bytes(2 << 20))
    put(shelf, each)
    shelf.close()
    again = opened(tmp_path)
    slices = again.get(each.key)
    next(slices)
    again.remove(each.key)
    assert run(slices) == ()
    again.close()


# -- damage --


def harm(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_a_damaged_body_is_dropped_once_it_is_asked_for(
    tmp_path: Path, shelf: Shelf, size: int
) -> None:
    each = stored("a", bytes(size))
    put(shelf, each)
    shelf.close()
    (path,) = bodies(tmp_path)
    harm(path)
    again = opened(tmp_path)
    assert get(again, each) is None
    assert again.damaged == 1
    assert again.index is not None
    assert again.index.objects == 0
    assert bodies(tmp_path) == []
    again.close()


def test_a_sound_body_is_checked_once(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = stored("a", bytes(SMALL + 1))
    put(shelf, each)
    assert list(shelf.get(each.key)) == []  # what this process wrote needs none
    shelf.close()
    again = opened(tmp_path)
    monkeypatch.setattr(module, "_CHECKED", 1)
    assert len(list(again.get(each.key))) == 1
    assert list(again.get(each.key)) == []
    other = stored("b", bytes(SMALL + 1))
    put(again, other)
    again._own = 10**6
    assert len(list(again.get(other.key))) == 1  # which takes the other's place
    assert len(list(again.get(each.key))) == 1
    again.close()


def test_a_damaged_row_is_dropped(shelf: Shelf) -> None:
    each = stored("a", b"body")
    put(shelf, each)
    assert shelf.index is not None
    shelf.index._db.execute("UPDATE object SET record = x'00'")
    assert get(shelf, each) is None
    assert shelf.damaged == 1


def test_keys_of_one_digest_are_told_apart(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shelf.index is not None
    monkeypatch.setattr(shelf.index, "digest", lambda key: 7)
    put(shelf, stored("a", b"body"))
    assert get(shelf, stored("b")) is None
    assert get(shelf, stored("a")) == b"body"


# -- order --


def test_a_sweep_makes_files_and_rows_agree(tmp_path: Path, shelf: Shelf) -> None:
    for i in range(600):
        put(shelf, stored(i, b"body"))
    put(shelf, stored("empty"))
    files = bodies(tmp_path)
    for path in files[::7]:
        path.unlink()
    for path in files[1::7]:
        harm(path)
    orphan = tmp_path / "bodies" / "fff" / "fff01"
    orphan.parent.mkdir()
    orphan.write_bytes(bytes(10_000))
    run(shelf.sweep())
    assert not orphan.parent.exists()
    assert shelf.index is not None
    assert shelf.index.objects == 601 - len(files[::7])
    assert len(bodies(tmp_path)) == 600 - len(files[::7])
    assert (shelf.orphans, shelf.damaged) == (1 + len(files[::7]), 0)
    assert shelf.bytes == on_disk(tmp_path)


def test_a_sweep_finds_rows_whose_folder_is_gone(tmp_path: Path, shelf: Shelf) -> None:
    put(shelf, stored("a", b"body"))
    (path,) = bodies(tmp_path)
    path.unlink()
    path.parent.rmdir()
    run(shelf.sweep())
    assert shelf.index is not None
    assert shelf.index.objects == 0


def test_forgotten_files_count_until_they_are_swept(tmp_path: Path, shelf: Shelf) -> None:
    for i in range(30):
        put(shelf, stored(i, bytes(100_000)))
    shelf.begin()
    assert shelf.forget() == 30
    assert not put(shelf, stored("b", bytes(2 << 20)))
    assert put(shelf, stored("b", b"new"))
    assert shelf.bytes == on_disk(tmp_path)
    run(shelf.sweep())
    assert put(shelf, stored("c", bytes(2 << 20)))
    assert get(shelf, stored("b")) == b"new"
    assert shelf.bytes == on_disk(tmp_path)


def test_a_broken_index_is_replaced_and_what_it_knew_is_swept(tmp_path: Path, shelf: Shelf) -> None:
    put(shelf, stored("a", bytes(100_000)))
    shelf.close()
    (tmp_path / "index.sqlite").write_bytes(b"x" * 10_000)
    again = Shelf(tmp_path, ROOM, os.close)
    with pytest.raises(sqlite3.Error):
        again.open()
    assert "not a database" in again.distrusted
    again.open()
    assert again.distrusted == ""
    assert not put(again, stored("b", b"body"))  # nobody knows what there is
    run(again.sweep())
    assert bodies(tmp_path) == []
    assert put(again, stored("b", b"body"))
    assert again.bytes == on_disk(tmp_path)
    again.close()


def test_a_folder_whose_index_was_deleted_is_swept(tmp_path: Path, shelf: Shelf) -> None:
    put(shelf, stored("a", bytes(100_000)))
    shelf.close()
    (tmp_path / "index.sqlite").unlink()
    again = opened(tmp_path)
    assert not put(again, stored("b"))
    run(again.sweep())
    assert put(again, stored("b"))
    again.close()
