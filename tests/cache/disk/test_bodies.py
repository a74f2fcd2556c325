"""Files of bodies: what is written comes back, or is called damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from twistproxy.cache.disk.bodies import Bodies, Body, Damaged

DATA = os.urandom(3_000_000)
NUMBER = 0x1A2B3


@pytest.fixture
def closed() -> list[int]:
    return []


@pytest.fixture
def bodies(tmp_path: Path, closed: list[int]) -> Bodies:
    def close(descriptor: int) -> None:
        closed.append(descriptor)
        os.close(descriptor)

    return Bodies(tmp_path / "bodies", close)


def file(tmp_path: Path, number: int = NUMBER) -> Path:
    return tmp_path / "bodies" / f"{number >> 8:x}" / f"{number:x}"


def check(bodies: Bodies, body: Body, crc: int) -> int:
    return sum(1 for _ in bodies.check(body, crc))


def test_what_is_put_is_got(bodies: Bodies, tmp_path: Path) -> None:
    bodies.put(NUMBER, DATA)
    assert bodies.get(NUMBER, len(DATA), crc32(DATA)) == DATA
    assert file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert file(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_what_is_written_bit_by_bit_is_got(bodies: Bodies) -> None:
    draft = bodies.begin(NUMBER)
    for at in range(0, len(DATA), 70_000):
        draft.write(DATA[at : at + 70_000])
    bodies.end(draft)
    bodies.end(draft)
    assert (draft.size, draft.crc) == (len(DATA), crc32(DATA))
    assert bodies.get(NUMBER, draft.size, draft.crc) == DATA


def test_an_open_body_is_read_until_nobody_holds_it(bodies: Bodies, closed: list[int]) -> None:
    bodies.put(NUMBER, DATA)
    body = bodies.open(NUMBER, len(DATA))
    bodies.remove(NUMBER)
    assert os.pread(body.fileno(), len(body), body.offset) == DATA
    assert check(bodies, body, crc32(DATA)) == 3  # slices
    assert closed == []
    descriptor = body.fileno()
    del body
    assert closed == [descriptor]


def cut_off(path: Path) -> None:
    os.truncate(path, len(DATA) - 1)


def grown(path: Path) -> None:
    os.truncate(path, len(DATA) + 1)


def changed(path: Path) -> None:
    path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))


def replaced(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


HARM: dict[str, Callable[[Path], None]] = {
    "gone": os.unlink,
    "cut off": cut_off,
    "grown": grown,
    "changed": changed,
    "a folder": replaced,
    "a link": linked,
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_what_is_damaged_is_not_given(
    bodies: Bodies, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    bodies.put(NUMBER, DATA)
    harm(file(tmp_path))
    with pytest.raises(Damaged):
        bodies.get(NUMBER, len(DATA), crc32(DATA))
    with pytest.raises(Damaged):
        check(bodies, bodies.open(NUMBER, len(DATA)), crc32(DATA))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES])
def test_what_can_not_be_opened_now_is_not_damaged(
    bodies: Bodies, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    bodies.put(NUMBER, DATA)

    def fail(*_: object) -> int:
        raise OSError(number, "")

    monkeypatch.setattr(os, "open", fail)
    for ask in (
        lambda: bodies.get(NUMBER, len(DATA), crc32(DATA)),
        lambda: bodies.open(NUMBER, len(DATA)),
    ):
        with pytest.raises(OSError, match=f"Errno {number}"):
            ask()


def test_what_can_not_be_written_leaves_nothing(
    bodies: Bodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def fail(fd: int, data: bytes) -> int:
        if len(data) < 1 << 20:
            raise OSError(errno.ENOSPC, "")
        return real(fd, data)

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="Errno"):
        bodies.put(NUMBER, DATA)
    assert not file(tmp_path).exists()
    assert bodies.numbers(bodies.shard(NUMBER)) == {}


def test_a_file_that_nobody_knows_is_replaced(bodies: Bodies, tmp_path: Path) -> None:
    bodies.put(NUMBER, DATA)
    bodies.put(NUMBER, b"new")
    assert file(tmp_path).read_bytes() == b"new"


def test_a_body_gets_another_number(bodies: Bodies) -> None:
    bodies.put(NUMBER, b"data")
    bodies.rename(NUMBER, 7)
    assert bodies.get(7, 4, crc32(b"data")) == b"data"
    bodies.put(0x1A2FF, b"")
    assert bodies.numbers(bodies.shard(NUMBER)) == {0x1A2FF: 0}


def test_numbers_are_listed_by_folder_and_others_files_are_not_ours(
    bodies: Bodies, tmp_path: Path
) -> None:
    for number in (0x100, 0x1FF, 0x200):
        bodies.put(number, b"data")
    for stranger in ("1/README", "1/2ff", "1/0100", "1/1FF", "other"):
        (tmp_path / "bodies" / stranger).write_text("mine")
    assert sorted(bodies.shards(), key=lambda each: each.start) == [
        range(0x100, 0x200),
        range(0x200, 0x300),
    ]
    assert bodies.numbers(range(0x100, 0x200)) == {0x100: 4096, 0x1FF: 4096}
    assert bodies.numbers(range(0x300, 0x400)) == {}


def test_empty_folders_go(bodies: Bodies) -> None:
    bodies.put(0x100, b"")
    bodies.put(0x101, b"")
    bodies.remove(0x100)
    assert bodies.shards() == [range(0x100, 0x200)]
    bodies.remove(0x101)
    bodies.remove(0x101)
    assert bodies.shards() == []
    bodies.put(0x101, b"")
    bodies.tidy(range(0x100, 0x200))
    bodies.tidy(range(0x200, 0x300))
    assert bodies.shards() == [range(0x100, 0x200)]


def test_without_its_folder_nothing_is_written(bodies: Bodies, tmp_path: Path) -> None:
    (tmp_path / "bodies").rmdir()
    with pytest.raises(FileNotFoundError):
        bodies.put(NUMBER, DATA)


@pytest.mark.parametrize(("length", "cost"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_the_cost_is_what_the_disk_says(bodies: Bodies, length: int, cost: int) -> None:
    bodies.put(NUMBER, bytes(length))
    assert bodies.cost(length) == cost
    assert bodies.numbers(bodies.shard(NUMBER)) == {NUMBER: cost}
