"""What lists hold: their formats, and look-ups in them, a million entries each.

In: the lines of a list. Out: a table in a file, made by another process, and a `Lookup` in it.
Where lists come from, files and URLs, is `twistproxy.lists`.

table      sorted entries in one buffer: is any of them how a key begins?
reading    lines of a list → a table, and what could not be read of it
names      hosts, domains, adblock
urls       prefixes of URLs
patterns   RE2, searched in URLs
networks   cidr

To add a format: a `Format` in a file here, its line in `formats.FORMATS`, its test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from twistproxy.policy import Lookup
from twistproxy.policy.lists.table import Table, shortest


def _as_it_is(key: str) -> str:
    return key


@frozen
class Format:
    """How the lines of a list are read, and asked.

    read: a line → the keys of its entry, none where it says nothing to us; None for a comment or
    an empty line. Raises ValueError for what can't be read.
    plain: whole lines that need no reading, in lower case; their group 1, as `key` has it, is
    their key. Most lines of a large list are plain, and found at a tenth of the cost.
    kept: keys → lines of the table. opened: a table → its look-up.
    """

    read: Callable[[str], Sequence[str] | None]
    opened: Callable[[Table], Lookup]
    plain: re.Pattern[str] | None = None
    key: Callable[[str], str] = _as_it_is
    kept: Callable[[list[str]], Iterable[str]] = shortest


def without_comment(line: str, *marks: str) -> str:
    """What stands before a mark, without spaces around it."""
    for mark in marks:
        line = line.partition(mark)[0]
    return line.strip()
