"""A sorted table of strings in one buffer, and one question: does any of them begin a key?

That is what all lists ask but those of patterns. A domain and all below it, once the names are
turned round, is how they begin (``gro.elpmaxe.`` begins ``gro.elpmaxe.www.``); a network, in
binary, is how its addresses begin; a URL prefix is one. Of strings that don't begin each other,
the one that begins a key is the last that is not above it: so one bisection answers, however
many labels a name has.

Why no hashes: a name takes one for each of its labels, so they are no faster, and whoever can get
names into a list could make some that collide. Here whole strings are compared: no answer is a
guess. The buffer is a mapped file that another process wrote: a million domains are 18 MB of the
page cache, and 4 MB for the first string of each block of lines.

    gro.1-elpmaxe.\ngro.elpmaxe.\n…      `text` bytes, in blocks of lines
    gro.1-elpmaxe.\n…                    `fences` bytes: the first line of each block
    where blocks begin                   8 bytes each, and where the last ends
    \n{"text": …, "fences": …, …}        what is in it, as JSON
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from mmap import mmap
from typing import Any, BinaryIO, Final

#: Of the form above; others are made anew.
VERSION: Final = 1

_BLOCK: Final = 8  # lines, at least: splitting them costs about as much as finding them
_FENCES_MAX: Final = 1 << 16  # strings that are made, and dropped, in a few milliseconds
_HEAD_MAX: Final = 1 << 14


class Damaged(ValueError):
    """This is no table, or one of another version."""


class Table:
    """A table in a buffer, which must not change. head: what `write` was told. Raises Damaged.

    begins: whether a line of the table is how a key begins; of a table of `shortest`.
    """

    def __init__(self, buffer: bytes | mmap) -> None:
        end = buffer.rfind(b"\n", -_HEAD_MAX)
        self.head = head = head_of(buffer[end + 1 :])
        self.size = len(buffer)
        self._buffer = buffer
        fences = head["text"]
        bounds = array("Q")
        try:
            bounds.frombytes(buffer[fences + head["fences"] : end])
        except ValueError:
            raise Damaged("it is cut off") from None
        firsts = buffer[fences : fences + head["fences"]].split(b"\n")
        firsts.pop()  # after the last line feed
        if len(bounds) != len(firsts) + 1 or bounds[-1] != fences:
            raise Damaged("it is cut off")
        self.begins = _searcher(buffer, firsts, bounds)

    def lines(self) -> list[str]:
        """All of them."""
        return self._buffer[: self.head["text"]].decode().split("\n")[:-1]


def _searcher(
    buffer: bytes | mmap, firsts: list[bytes], bounds: array[int]
) -> Callable[[str], bool]:
    # Closed over: what a look-up needs is at hand, and no cycle with the table.
    def begins(key: str) -> bool:
        raw = key.encode()
        at = bisect_right(firsts, raw)
        # No line can begin the key but the last that is not above it: whichever does is that.
        return at > 0 and raw.startswith(tuple(buffer[bounds[at - 1] : bounds[at]].split()))

    return begins


def head_of(line: bytes) -> dict[str, Any]:
    """What stands at the end of a table. Raises Damaged."""
    try:
        head = json.loads(line)
        if head["version"] == VERSION and min(head["text"], head["fences"]) >= 0:
            return dict(head)
    except (LookupError, TypeError, ValueError):
        pass
    raise Damaged("it is not a table of this version")


def shortest(keys: list[str]) -> Iterator[str]:
    """In order and once, without those that another begins. Sorts in place. "" is no key."""
    keys.sort()
    last = "\n"  # begins none
    for key in keys:
        if not key.startswith(last):
            last = key
            yield key


def write(out: BinaryIO, lines: Iterable[str], **head: Any) -> None:
    """Write a table; lines have no white space, if they are to be asked for. head: JSON values."""
    kept = list(lines)
    size = max(_BLOCK, -(-len(kept) // _FENCES_MAX))
    blocks = [("\n".join(kept[at : at + size]) + "\n").encode() for at in range(0, len(kept), size)]
    fences = b"".join([block[: block.index(b"\n") + 1] for block in blocks])
    bounds, text = array("Q", [0]), 0
    for block in blocks:
        text += len(block)
        bounds.append(text)
    lengths = {"version": VERSION, "text": text, "fences": len(fences)}
    last = json.dumps(head | lengths).encode()
    if len(last) >= _HEAD_MAX:
        raise ValueError("there is too much to say of it")
    out.writelines(blocks)
    out.write(fences)
    out.write(bounds.tobytes())
    out.write(b"\n" + last)
