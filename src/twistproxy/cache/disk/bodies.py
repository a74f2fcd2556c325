"""Bodies in files, one each, by number. For one thread that may wait for the disk.

    FOLDER/1a2/1a2b3    the body with the number 0x1a2b3, and nothing else

Files are written once and never changed; who has one open reads on when it is removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from attrs import define

_SHARD: Final = 8  # bits: 256 files a folder, few enough to list in a moment
_SLICE: Final = 1 << 20  # bytes that are read or written at a time
_OURS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
#: What a file may answer that is at fault itself; else it is us (too many files), or the disk.
_LOST: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ELOOP, errno.EISDIR})

T = TypeVar("T")


class Damaged(Exception):
    """The file is gone, cut off, changed or unreadable."""


class Body:
    """One body in its file, as of `InFile`: open as long as there is a reference to this.

    release: takes the descriptor in the end, in any thread, and closes it where that may take
    its time: the last that has a large removed file open waits until its blocks are freed.
    """

    __slots__ = ("_fd", "_length", "number", "offset", "release")

    def __init__(self, fd: int, number: int, length: int, release: Callable[[int], object]) -> None:
        self.offset = 0
        self.number = number
        self._fd = fd
        self._length = length
        self.release = release

    def __len__(self) -> int:
        return self._length

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        self.release(self._fd)

    def __repr__(self) -> str:
        return f"<Body {self.number:x} {self._length} bytes>"


@define(eq=False)
class Draft:
    """A file that is being written. crc: of the bytes so far."""

    number: int
    fd: int
    size: int = 0
    crc: int = 0

    def write(self, data: bytes) -> None:
        write(self.fd, data)
        self.size += len(data)
        self.crc = crc32(data, self.crc)


class Bodies:
    """A folder of them. Methods raise OSError, and `Damaged` where that is said."""

    def __init__(self, folder: Path, release: Callable[[int], object]) -> None:
        self._folder = str(folder)
        self._release = release
        os.makedirs(folder, 0o700, exist_ok=True)
        self._block = os.statvfs(folder).f_frsize or 4096

    def cost(self, length: int) -> int:
        """Bytes that a body of this length takes on the disk."""
        return -(-length // self._block) * self._block

    def begin(self, number: int) -> Draft:
        return Draft(number, self._create(number))

    def end(self, draft: Draft) -> None:
        """No more is written to it."""
        if draft.fd >= 0:
            os.close(draft.fd)
            draft.fd = -1

    def put(self, number: int, data: bytes) -> None:
        """The whole body, or nothing."""
        fd = self._create(number)
        try:
            write(fd, data)
        except OSError:
            self.remove(number)
            raise
        finally:
            os.close(fd)

    def get(self, number: int, length: int, crc: int) -> bytes:
        """The body, checked. May raise `Damaged`."""
        try:
            fd = self._open(number)
            try:
                data = b""
                while len(data) <= length and (more := os.read(fd, length + 1 - len(data))):
                    data += more
            finally:
                os.close(fd)
        except OSError as error:
            raise self._judged(error) from error
        if len(data) != length or crc32(data) != crc:
            raise Damaged(f"{self._path(number)} is not what was written")
        return data

    def open(self, number: int, length: int) -> Body:
        """The body to be read by others. May raise `Damaged`."""
        try:
            body = Body(self._open(number), number, length, self._release)
            if os.fstat(body.fileno()).st_size != length:
                raise Damaged(f"{self._path(number)} has another length than was written")
        except OSError as error:
            raise self._judged(error) from error
        return body

    def check(self, body: Body, crc: int) -> Iterator[None]:
        """Read it, some at a time; it is in the page cache then. May raise `Damaged`."""
        found = at = 0
        try:
            while at < len(body) and (data := os.pread(body.fileno(), _SLICE, at)):
                found = crc32(data, found)
                at += len(data)
                yield
        except OSError as error:
            raise self._judged(error) from error
        if found != crc:
            raise Damaged(f"{self._path(body.number)} is not what was written")

    def rename(self, old: int, new: int) -> None:
        self._in_shard(new, lambda: os.rename(self._path(old), self._path(new)))

    def remove(self, number: int) -> None:
        """Away with the file, if it is there."""
        path = self._path(number)
        # The folder is rarely empty by now; what is left in it is found by the next sweep.
        with suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))

    def shards(self) -> list[range]:
        """The numbers that there may be files of, folder by folder."""
        found = []
        for name in os.listdir(self._folder):
            first = _number(name)
            if first is not None:
                found.append(range(first << _SHARD, (first + 1) << _SHARD))
        return found

    def shard(self, number: int) -> range:
        """The numbers whose files share a folder with this one's."""
        first = number >> _SHARD << _SHARD
        return range(first, first + (1 << _SHARD))

    def numbers(self, shard: range) -> dict[int, int]:
        """The files in one folder, and the bytes that each takes."""
        found = {}
        try:
            with os.scandir(os.path.dirname(self._path(shard.start))) as entries:
                for entry in entries:
                    number = _number(entry.name)
                    if number is not None and number in shard:
                        found[number] = entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            pass
        return found

    def tidy(self, shard: range) -> None:
        """Away with the folder, if it is empty."""
        with suppress(OSError):
            os.rmdir(os.path.dirname(self._path(shard.start)))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number >> _SHARD:x}/{number:x}"

    def _open(self, number: int) -> int:
        return os.open(self._path(number), os.O_RDONLY | _OURS)

    def _create(self, number: int) -> int:
        path, flags = self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OURS

        def create() -> int:
            return os.open(path, flags, 0o600)

        try:
            return self._in_shard(number, create)
        except FileExistsError:  # of a process that was killed before it had an entry
            os.unlink(path)
            return create()

    def _in_shard(self, number: int, work: Callable[[], T]) -> T:
        """Do it, if need be after making the folder, but not the one that holds them all: if
        that is gone, so is the index, which can't be seen by who has it open."""
        try:
            return work()
        except FileNotFoundError:
            os.mkdir(os.path.dirname(self._path(number)), 0o700)
            return work()

    def _judged(self, error: OSError) -> Exception:
        """Whether it is this file's fault: not if we have too many files open."""
        return Damaged(str(error)) if error.errno in _LOST else error


def write(fd: int, data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest[:_SLICE]) :]


def _number(name: str) -> int | None:
    """That a file or folder of ours is named by; None if it isn't one."""
    try:
        number = int(name, 16)
    except ValueError:
        return None
    return number if f"{number:x}" == name else None
