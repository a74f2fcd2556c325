"""From the lines of a list to a table: what is in it, and what could not be read.

A list that comes out broken must not replace a good one: `doubt` says what speaks against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from attrs import define

from twistproxy.policy.lists import Format

_CHUNK: Final = 1 << 20
#: Bytes of a line; no host, network, or URL that we take is longer.
LINE_MAX: Final = 16 << 10
#: A list with fewer entries than this part of those before is taken for broken.
SHRUNK: Final = 10
_PAGE: Final = re.compile(rb"\s*<")
_ENDS: Final = re.compile(r"[\r\n]+")
_BOM: Final = b"\xef\xbb\xbf"


class TooLarge(ValueError):
    """A list has more bytes than it may."""


@define
class Contents:
    """What a list was found to hold.

    entries: lines that say something. skipped: lines that are read but say nothing to us.
    unreadable: other lines; first: the first of them. page: it is HTML. size: bytes.
    """

    entries: int = 0
    skipped: int = 0
    unreadable: int = 0
    first: str = ""
    page: bool = False
    size: int = 0


def read(source: BinaryIO, form: Format, most: int) -> tuple[list[str], Contents]:
    """The keys in a list, and what it holds. most: bytes. Raises OSError and TooLarge."""
    keys: list[str] = []
    contents = Contents()
    for raw in _whole_lines(source, most, contents):
        if form.plain is None:
            _others(raw.decode("utf-8", "replace"), form, keys, contents)
            continue
        # Of bytes: only ASCII is put in lower case here, the rest where names are mapped.
        lines = raw.lower().decode("utf-8", "replace")
        plain = form.plain.findall(lines)
        keys += map(form.key, plain)
        contents.entries += len(plain)
        if len(plain) < raw.count(b"\n"):
            _others(form.plain.sub("", lines), form, keys, contents)
    return keys, contents


def _whole_lines(source: BinaryIO, most: int, contents: Contents) -> Iterator[bytes]:
    """Some at a time, each with its end; of what is longer than a line can be, the beginning."""
    rest = b""
    while chunk := source.read(_CHUNK):
        if not contents.size:
            chunk = chunk.removeprefix(_BOM)
            contents.page = _PAGE.match(chunk) is not None
        contents.size += len(chunk)
        if contents.size > most:
            raise TooLarge(f"it is larger than {most} bytes")
        lines, end, begun = chunk.rpartition(b"\n")
        if end:
            yield rest + lines + end
            rest = b""
        rest = (rest + begun)[: LINE_MAX + 1]
    if rest:
        yield rest + b"\n"


def _others(lines: str, form: Format, keys: list[str], contents: Contents) -> None:
    for line in _ENDS.split(lines):
        if not line:
            continue
        try:
            if len(line) > LINE_MAX or "\0" in line or "\ufffd" in line:
                raise ValueError("it is no text")
            found = form.read(line)
        except ValueError:
            contents.unreadable += 1
            contents.first = contents.first or line.strip()[:80]
            continue
        if found:
            contents.entries += 1
            keys += found
        elif found is not None:
            contents.skipped += 1


def doubt(contents: Contents, before: int) -> str:
    """Why it is no list to put in the place of one with so many entries; "" if nothing is wrong.

    before: 0 where there is none: any that can be read will do then.
    """
    entries, unreadable = contents.entries, contents.unreadable
    if contents.page:
        return "it is a page in HTML, not a list"
    if unreadable > entries + contents.skipped:
        lines = entries + contents.skipped + unreadable
        return f"{unreadable} of its {lines} lines can't be read, the first: {contents.first!r}"
    if before and not entries:
        return f"it is empty; there were {before} entries"
    if entries * SHRUNK < before:
        return f"it has {entries} entries; there were {before}"
    return ""
