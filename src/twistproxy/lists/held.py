"""One list: its files, what is in force, and what was kept back.

    STATE_DIR/lists/NAME.table      what is in force
                    NAME.list       of a URL: what that was made of
                    NAME.table.new  what was made last, or is kept back
                    NAME.list.new   of a URL: what that was made of

A restart goes on with what is in force, even where the list has been broken since.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from twistproxy.lists import Source
from twistproxy.lists.compiler import NotMade, identity, opened
from twistproxy.policy import Lookup, Question
from twistproxy.policy.lists.formats import FORMATS
from twistproxy.policy.lists.reading import Contents, doubt
from twistproxy.policy.lists.table import Table

#: Makes a table: source, format, where to, notes. Raises NotMade.
Make = Callable[[Path, str, Path, dict[str, Any]], Table]
_SETTLED: Final = 1.0  # seconds since a file was last written
SUFFIXES: Final = (".table", ".list", ".table.new", ".list.new")


class Held:
    """A list, as rules hold it (`policy.Lookup`). Files are read and written by these methods,
    one at a time, in whichever thread.

    error: why there is nothing newer; "" if that is not known of. kept_back: what speaks against
    the newest. at: when what is in force was last known to be the newest; None: there is nothing.
    """

    def __init__(self, name: str, source: Source, folder: Path, wall: Callable[[], float]) -> None:
        self.name = name
        self.source = source
        self.error = ""
        self.kept_back = ""
        self.told = ""  # what was last warned of
        self.at: float | None = None
        self.tried: list[int] | None = None  # identity of the file that was last looked at
        self._content: Lookup | None = None
        self._head: dict[str, Any] = {}
        self._candidate: tuple[Table, Lookup] | None = None
        self._wall = wall
        stem = stem_of(name)
        self._table, self._list, self._new_table, self.new_list = (
            folder / f"{stem}{suffix}" for suffix in SUFFIXES
        )
        # A digest: a URL may hold a secret.
        which = f"{source.format} {source.file or source.url}"
        self._of = blake2b(which.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def has(self, question: Question) -> bool:
        content = self._content
        return content is not None and content.has(question)

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted of what is in force."""
        return dict(self._head.get("notes", {}))

    def open(self, make: Make) -> None:
        """What was in force before, or else is there now; waits for it to be made if need be."""
        table = None
        with suppress(NotMade):
            table = opened(self._table)
        if table is not None and table.head.get("notes", {}).get("of") == self._of:
            self._adopt(table, self._opened(table))
            self.at = self._table.stat().st_mtime
        if self.source.file is not None:
            if self._seen() not in (None, self.tried):
                self.renew(make)
        elif self._content is None and self._is_copy():
            self.renew(make, self._list)

    def _is_copy(self) -> bool:
        """Whether there is a copy of this URL whose table is not of this version."""
        # Beside it lies a table that says of what it is, in whichever version.
        with suppress(OSError):
            return self._list.exists() and self._of.encode() in self._table.read_bytes()[-16384:]
        return False

    def changed(self) -> bool:
        """Whether the file is another than when it was last read, and nobody writes it now."""
        seen = self._seen()
        if seen in (None, self.tried):
            return False
        return not 0 <= self._wall() - seen[-1] / 1e9 < _SETTLED

    def _seen(self) -> list[int] | None:
        """The file's identity; None, and an error, if it isn't there."""
        assert self.source.file is not None
        try:
            return identity(os.stat(self.source.file))
        except OSError as error:
            self.error, self.tried = f"{self.source.file}: {error.strerror}", None
            return None

    def renew(self, make: Make, source: Path | None = None, **notes: str) -> None:
        """Read the file, or what was fetched, and have it in force if nothing speaks against it."""
        source = source or self.source.file
        assert source is not None
        self._candidate = None
        try:
            if self.source.file is not None:
                self.tried = self._seen()
            table = make(source, self.source.format, self._new_table, {**notes, "of": self._of})
            content = self._opened(table)
        except OSError as error:
            self.error = f"{source}: {error.strerror}"
            return
        except NotMade as error:
            self.error = str(error)
            return
        self.error = ""
        head = table.head
        contents = Contents(
            head["entries"], head["skipped"], head["unreadable"], head["first"], head["page"]
        )
        self.kept_back = doubt(contents, self._head.get("entries", 0))
        if self.kept_back:
            self._candidate = table, content
        else:
            self._replace(table, content, source)

    def force(self) -> bool:
        """Have in force what was kept back; whether there was anything."""
        if self._candidate is None:
            return False
        (table, content), self._candidate, self.kept_back = self._candidate, None, ""
        self._replace(table, content, self.source.file or self.new_list)
        return True

    def unchanged(self) -> None:
        """What is in force is the newest."""
        self.error, self.kept_back, self._candidate = "", "", None
        self.at = self._wall()
        with suppress(OSError):
            os.utime(self._table, (self.at, self.at))

    def snapshot(self) -> dict[str, Any]:
        head, source = self._head, self.source
        return {
            "format": source.format,
            "source": str(source.file) if source.file else shown(source.url or ""),
            "entries": head.get("entries", 0),
            "skipped": head.get("skipped", 0),
            "unreadable": head.get("unreadable", 0),
            "bytes": head.get("bytes", 0),
            "fetched": self.at,
            "error": self.error,
            "kept_back": self.kept_back,
        }

    def _opened(self, table: Table) -> Lookup:
        return FORMATS[self.source.format].opened(table)

    def _adopt(self, table: Table, content: Lookup) -> None:
        self._head, self._content = table.head, content
        if self.source.file is not None:
            self.tried = table.head["identity"]

    def _replace(self, table: Table, content: Lookup, source: Path) -> None:
        try:
            if source == self.new_list:
                os.replace(source, self._list)
            os.replace(self._new_table, self._table)
        except OSError as error:
            self.error = f"it is in force, but can't be kept: {error.strerror}"
        self._adopt(table, content)
        self.at = self._wall()
        with suppress(OSError):
            os.utime(self._table, (self.at, self.at))

    def __repr__(self) -> str:
        return f"<list {self.name}: {self._head.get('entries', 0)} entries>"


def stem_of(name: str) -> str:
    """What a list's files are named by."""
    quoted = quote(name, safe=" ")
    return quoted if len(quoted) < 200 else blake2b(name.encode(), digest_size=16).hexdigest()


def shown(url: str) -> str:
    """A URL without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
