"""Lists are read by another process: a million lines take seconds, which nobody here can wait.

It writes a table (`policy.lists.table`) to a file, which is mapped here in some milliseconds. It
has a low priority and bounds on its time and memory, and is waited for by a thread: so that a
start, which has no reactor yet, does the same as a reload. `subprocess` has it begin by vfork,
which takes a large process no longer than a small one.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import twistproxy
from twistproxy.policy.lists.formats import FORMATS
from twistproxy.policy.lists.reading import read
from twistproxy.policy.lists.table import Table, write

#: Bytes of a list, once unpacked.
SIZE_MAX: Final = 256 << 20
#: Seconds that a list may take.
PATIENCE: Final = 120
_MEMORY: Final = 4 << 30
_GZIP: Final = b"\x1f\x8b"
_PACKAGE: Final = str(Path(twistproxy.__file__).parents[1])


class NotMade(Exception):
    """There is no table; the text says why."""


class Compiler:
    """Runs one process at a time, as whoever calls does. May be called in any thread."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def make(self, source: Path, form: str, table: Path, notes: Mapping[str, Any]) -> Table:
        """Read a list, and map the table that came of it. notes: JSON values for its head.

        Waits. Raises NotMade.
        """
        job = {"source": str(source), "format": form, "table": str(table), "notes": dict(notes)}
        path = os.pathsep.join(filter(None, (_PACKAGE, os.environ.get("PYTHONPATH"))))
        try:
            child = self._child = subprocess.Popen(
                # -P: not what lies in the working directory.
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                close_fds=False,  # ours close themselves, and there may be 10,000
                start_new_session=True,  # a Ctrl-C is for us
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise NotMade(f"it can't be read by another process: {error.strerror}") from None
        try:
            if self._closed:
                child.kill()
            _, told = child.communicate(json.dumps(job).encode(), self._patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise NotMade(f"reading it takes longer than {self._patience:g} s") from None
        finally:
            self._child = None
        if child.returncode:
            lines = told.decode("utf-8", "replace").strip().splitlines()
            last = lines[-1][:200] if lines else f"exit status {child.returncode}"
            raise NotMade(f"it could not be read: {last}")
        return opened(table)

    def close(self) -> None:
        """Kill what runs; what runs from now on is killed, too."""
        self._closed = True
        child = self._child
        if child is not None:
            with suppress(OSError):
                child.kill()


def opened(path: Path) -> Table:
    """The table in a file, mapped. Raises NotMade."""
    try:
        with open(path, "rb") as file:
            return Table(mmap(file.fileno(), 0, prot=PROT_READ))
    except OSError as error:
        raise NotMade(f"{path}: {error.strerror}") from None
    except ValueError as error:  # Damaged, or nothing to map
        raise NotMade(f"{path}: {error}") from None


def identity(stat: os.stat_result) -> list[int]:
    """What is another when a file has changed."""
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns]


def compile_list(source: str, form: str, table: str, notes: Mapping[str, Any]) -> None:
    """What the other process does. Raises OSError and ValueError."""
    with open(source, "rb") as raw:
        which = identity(os.fstat(raw.fileno()))
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        lines = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        keys, contents = read(lines, FORMATS[form], SIZE_MAX)
    # Never into a file that is there: who has it mapped would see it change.
    with suppress(FileNotFoundError):
        os.unlink(table)
    with open(os.open(table, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        write(
            out,
            FORMATS[form].kept(keys),
            format=form,
            identity=which,
            entries=contents.entries,
            skipped=contents.skipped,
            unreadable=contents.unreadable,
            first=contents.first,
            page=contents.page,
            bytes=contents.size,
            notes=dict(notes),
        )


def main() -> None:
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
    job = json.load(sys.stdin)
    try:
        compile_list(job["source"], job["format"], job["table"], job["notes"])
    except (OSError, EOFError, ValueError) as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("it takes too much memory")


if __name__ == "__main__":
    main()
