"""The index: what it is told it knows, also when it is opened again; the sketch misses nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.cache.disk import index as module
from twistproxy.cache.disk.index import Index, Sketch, is_broken, wipe
from twistproxy.cache.stored import Key

LIMIT = 1 << 30


def opened(folder: Path, limit: int = LIMIT) -> Index:
    index = Index(folder, limit)
    index.load()
    return index


def key(number: int) -> Key:
    return Key("open", f"http://a.example/{number}")


def fill(index: Index, numbers: range) -> None:
    for number in numbers:
        index.add(number, key(number), ("t",), b"record %d" % number, 4096, 10, 99)
    index.commit()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return opened(tmp_path)


def test_what_is_committed_is_there_again(tmp_path: Path, index: Index) -> None:
    fill(index, range(1, 2500))
    index.add(2500, key(2500), (), b"", 0, 0, 0)
    index.close()
    again = opened(tmp_path)
    assert (again.objects, again.files, again.last) == (2499, 2499 * 4096, 2499)
    (row,) = again.of(again.digest(key(7)))
    assert (row.number, row.length, row.crc, row.record, row.sound) == (
        7,
        10,
        99,
        b"record 7",
        True,
    )
    assert all(again.digest(key(number)) in again.sketch for number in range(1, 2500))
    assert again.of(again.digest(key(2500))) == []


def test_nobody_else_may_read_it(tmp_path: Path, index: Index) -> None:
    fill(index, range(1, 10))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"index.sqlite": 0o600, "index.sqlite-wal": 0o600}
    assert index.bytes == sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir())


def test_digests_can_not_be_foreseen(tmp_path: Path, index: Index) -> None:
    (tmp_path / "other").mkdir()
    other = opened(tmp_path / "other")
    assert index.digest(key(1)) != other.digest(key(1))
    assert 0 <= index.digest(Key("a", "\udcff")) < 1 << 63


def test_rows_of_one_key_come_last_first(index: Index) -> None:
    for number in (1, 2, 3):
        index.add(number, key(0), (), b"", 0, 0, 0)
    assert [row.number for row in index.of(index.digest(key(0)))] == [3, 2, 1]
    assert [entry.number for entry in index.on(key(0).url)] == [1, 2, 3]
    assert index.on(key(1).url) == []


def test_what_is_removed_is_counted_once(index: Index) -> None:
    fill(index, range(1, 4))
    row = index.row(2)
    assert row is not None
    assert index.remove(row)
    assert not index.remove(row)
    assert index.row(2) is None
    assert (index.objects, index.files) == (2, 2 * 4096)
    assert index.digest(key(2)) not in index.sketch


def test_a_replaced_record_is_sound(index: Index) -> None:
    fill(index, range(1, 4))
    row = index.row(2)
    assert row is not None
    index.replace(row, b"other")
    again = index.row(2)
    assert again is not None
    assert (again.record, again.sound) == (b"other", True)


CHANGES = ["length = 11", "crc = 98", "record = x'00'", "number = 77", "seal = 1"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_not_sound(index: Index, change: str) -> None:
    fill(index, range(1, 4))
    index._db.execute(f"UPDATE object SET {change} WHERE number = 2")
    assert [row.sound for row in index.of(index.digest(key(2)))] == [False]


def test_entries_are_walked_by_number(index: Index) -> None:
    fill(index, range(1, 11))
    assert [each.number for each in index.after(3, 4)] == [4, 5, 6, 7]
    assert [each.number for each in index.after(3, 4, 5)] == [4, 5]
    assert index.after(10, 4) == []
    assert index.first_from(4) == 4
    assert index.first_from(11) is None
    assert index.after(3, 1)[0].tags == "t"


def test_files_are_those_of_bodies(index: Index) -> None:
    fill(index, range(1, 4))
    index.add(4, key(4), (), b"", 0, 0, 0)
    assert set(index.files_in(range(2, 10))) == {2, 3}


def test_it_shrinks_with_what_is_in_it(index: Index) -> None:
    empty = index.pages
    fill(index, range(1, 3000))
    full = index.pages
    for entry in index.after(0, 3000):
        index.remove(entry)
    index.commit()
    assert full > 10 * empty
    assert index.pages <= 2 * empty


def test_its_log_stays_within_what_is_kept_free(tmp_path: Path) -> None:
    index = opened(tmp_path, 1 << 20)
    for first in range(1, 5000, 64):
        fill(index, range(first, first + 64))
        assert index.bytes <= index.pages + index.log


@pytest.mark.parametrize(
    ("limit", "suits"),
    [(LIMIT // 40, False), (LIMIT // 2, True), (2 * LIMIT, True), (3 * LIMIT, False)],
)
def test_it_suits_limits_like_its_own(index: Index, limit: int, suits: bool) -> None:
    assert index.suits(limit) is suits


# -- broken --


def test_a_file_that_is_none_is_broken(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"x" * 100_000)
    with pytest.raises(sqlite3.Error) as caught:
        Index(tmp_path, LIMIT)
    assert is_broken(caught.value)
    assert wipe(tmp_path)
    assert not wipe(tmp_path)
    assert opened(tmp_path).objects == 0


def test_one_of_another_version_is_broken(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.close()
    monkeypatch.setattr(module, "VERSION", 2)
    with pytest.raises(sqlite3.Error, match="version 1") as caught:
        Index(tmp_path, LIMIT)
    assert is_broken(caught.value)


def test_a_torn_page_is_found(tmp_path: Path, index: Index) -> None:
    fill(index, range(1, 3000))
    index.close()
    path = tmp_path / "index.sqlite"
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(sqlite3.Error) as caught:
        opened(tmp_path).after(0, 5000)
    assert is_broken(caught.value)


def test_other_errors_are_of_the_moment() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    assert not is_broken(error)
    assert not is_broken(OSError())


# -- the sketch --

DIGESTS = st.integers(0, (1 << 63) - 1)


@given(there=st.lists(DIGESTS, max_size=200), gone=st.lists(DIGESTS, max_size=200))
def test_the_sketch_never_misses_anything(there: list[int], gone: list[int]) -> None:
    sketch = Sketch(0)
    for digest in there + gone:
        sketch.add(digest)
    for digest in gone:
        sketch.remove(digest)
    assert all(digest in sketch for digest in there)


@given(digest=DIGESTS, times=st.integers(1, 600))
def test_a_full_counter_stays(digest: int, times: int) -> None:
    sketch = Sketch(0)
    for _ in range(times):
        sketch.add(digest)
    for _ in range(times - 1):
        sketch.remove(digest)
    assert digest in sketch
    sketch.remove(digest)
    assert (digest in sketch) == (times >= 255 or sketch._counts[digest % 4096] != 0)


def test_the_sketch_seldom_guesses_wrong(index: Index) -> None:
    sketch = Sketch(32 << 20)
    for number in range(1024):  # of 32 KiB
        sketch.add(index.digest(key(number)))
    wrong = sum(index.digest(key(number)) in sketch for number in range(2000, 12_000))
    assert wrong < 10_000 / 150


def test_what_was_asked_is_said_once() -> None:
    sketch = Sketch(LIMIT)
    assert not sketch.was_asked(5)
    sketch.ask(5)
    assert sketch.was_asked(5)
    assert not sketch.was_asked(5)


def test_a_byte_for_each_kibibyte() -> None:
    assert Sketch(LIMIT).size == (1 << 20) * 5 // 4
