"""The operator's own pages, read from files: at the start and with a reload, for no request.

They are ``403.html``, ``4xx.html``, ``5xx.html`` … in the folder ``errors.pages``; a rule's
``page`` is there too, or beside the configuration. ``403.de.html`` is the same in German.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from twistproxy.config.errors import ConfigError, Fault, Where, did_you_mean, shown
from twistproxy.http.pages.templates import OwnPages, Template, is_of_a_status, name_of, read

#: Bytes of a page. Each is kept in memory.
LONGEST: Final = 256 << 10

_ALMOST_A_STATUS: Final = re.compile("[0-9][0-9x]*", re.IGNORECASE)


@frozen
class Found:
    """faults: of the configuration's values. mistakes: of the pages themselves, each with its own
    file and line."""

    pages: OwnPages
    faults: list[Fault]
    mistakes: list[ConfigError]


def find(folder: Path | None, of_rules: Iterable[str | None], beside: Path) -> Found:
    """All pages of a configuration, and all that is wrong with them.

    folder: `errors.pages`. of_rules: what each rule calls its page, in their order. beside: the
    folder of the configuration itself.
    """
    reading = _Reading()
    if folder is not None:
        reading.statuses(folder)
    folders = [beside] if folder is None else [folder, beside]
    for place, page in enumerate(of_rules):
        if page is not None:
            reading.of_a_rule(("policy", "rule", place, "page"), page, folders)
    return Found(OwnPages(reading.named), reading.faults, reading.mistakes)


@define
class _Reading:
    named: dict[str, dict[str, Template]] = field(factory=dict)
    faults: list[Fault] = field(factory=list)
    mistakes: list[ConfigError] = field(factory=list)
    _missing: dict[str, str] = field(factory=dict)

    def statuses(self, folder: Path) -> None:
        try:
            files = sorted(os.listdir(folder))
        except OSError as error:
            where = ("errors", "pages")
            if os.path.exists(folder):
                self.faults.append(Fault(where, f"{shown(str(folder))}: {error.strerror}"))
            else:
                self.faults.append(Fault(where, f"there is no folder {shown(str(folder))}"))
            return
        for file in files:
            name, language = name_of(file) or ("", "")
            if is_of_a_status(name):
                self._read(name, language, folder / file)
            elif _ALMOST_A_STATUS.fullmatch(name):
                self._mistake(
                    folder / file, None, "no page of a status; those are 403.html, 4xx.html …"
                )

    def of_a_rule(self, where: Where, page: str, folders: list[Path]) -> None:
        """page: as the rule calls it. folders: where it may be."""
        if page in self.named:
            return
        if page not in self._missing:
            path = next((path for folder in folders if os.path.isfile(path := folder / page)), None)
            if path is not None and name_of(path.name):
                self.named[page] = {}
                self._read(page, "", path)
                for language, variant in _variants(path):
                    self._read(page, language, variant)
                return
            if path is not None:
                self._missing[page] = f"{shown(page)} is no page; those are called NAME.html"
            else:
                self._missing[page] = f"there is no page {shown(page)}{_nearest(page, folders)}"
        self.faults.append(Fault(where, self._missing[page]))

    def _read(self, name: str, language: str, path: Path) -> None:
        try:
            if not os.path.isfile(path):  # to open a pipe would wait for somebody to write
                self._mistake(path, None, "is not a file")
                return
            with path.open("rb") as file:
                data = file.read(LONGEST + 1)
        except OSError as error:
            self._mistake(path, None, f"can't be read: {error.strerror}")
            return
        if len(data) > LONGEST:
            self._mistake(path, None, f"larger than {LONGEST >> 10} KiB, which is the most")
            return
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._mistake(path, line, "not UTF-8, as a page must be")
            return
        found = read(text, language)
        if isinstance(found, Template):
            self.named.setdefault(name, {})[language] = found
            return
        for line, message in found:
            self._mistake(path, line, message)

    def _mistake(self, path: Path, line: int | None, message: str) -> None:
        self.mistakes.append(ConfigError(str(path), line, "", message))


def _variants(path: Path) -> Iterator[tuple[str, Path]]:
    """The same page in other languages, beside it."""
    stem = path.name[: -len(".html")]
    for file in sorted(_list(path.parent)):
        name, language = name_of(file) or ("", "")
        if name == stem and language:
            yield language, path.parent / file


def _nearest(page: str, folders: list[Path]) -> str:
    known = (file for folder in folders for file in _list(folder) if name_of(file))
    return did_you_mean(page, known)


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
