"""A line editor for a terminal: history, completion, any width. Knows not what lines mean.

It is drawn as one row, scrolled sideways when the line is longer than the terminal is wide, and
needs no terminal modes, so that none are left behind. Conch's own (``recvline``) takes the whole
screen, leaves insert mode behind, breaks at the right margin, and its TAB only indents.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Protocol
from unicodedata import combining, east_asian_width

from twisted.conch.insults.insults import TerminalProtocol

#: Lines that are remembered, characters that a line may have, names that TAB lists at most.
HISTORY = 1000
LINE = 64 << 10
NAMES = 200

# What Conch calls the keys that are more than one byte.
UP, DOWN, RIGHT, LEFT = b"[UP_ARROW]", b"[DOWN_ARROW]", b"[RIGHT_ARROW]", b"[LEFT_ARROW]"
HOME, END, DELETE = b"[HOME]", b"[END]", b"[DELETE]"

# Those that Conch doesn't know: from a terminal that was left in application mode.
_APPLICATION_MODE = {
    b"\x1b[OA": UP,
    b"\x1b[OB": DOWN,
    b"\x1b[OC": RIGHT,
    b"\x1b[OD": LEFT,
    b"\x1b[OF": END,
    b"\x1b[OH": HOME,
}


class Reader(Protocol):
    """Who gets the lines."""

    def entered(self, line: str) -> None:
        """A line is complete; nothing is read until `Editor.read` is called again."""

    def interrupted(self) -> None:
        """^C: the line is given up; likewise."""

    def left(self) -> None:
        """^D on an empty line; likewise."""

    def complete(self, line: str) -> tuple[str, list[str]]:
        """See `completion.completions`."""


class Editor(TerminalProtocol):
    """Edits one line after the other, each between `read` and what `Reader` is told."""

    def __init__(self, reader: Reader, width: int) -> None:
        self._reader = reader
        self._width = width
        self._prompt: str | None = None  # None: no line is being read
        self._line: list[str] = []
        self._cursor = 0
        self._history: deque[str] = deque(maxlen=HISTORY)
        self._place = 0  # in the history; its length: the new line
        self._draft: list[str] = []  # the new line, while the history is shown
        self._partial = b""  # of a UTF-8 character
        self._after_return = False
        self._keys: dict[bytes, Callable[[], object]] = {
            b"\r": self._enter,
            b"\n": self._enter,
            b"\t": self._complete,
            b"\x01": lambda: self._go(0),  # ^A
            b"\x02": lambda: self._go(self._cursor - 1),  # ^B
            b"\x03": self._interrupt,  # ^C
            b"\x04": self._leave_or_delete,  # ^D
            b"\x05": lambda: self._go(len(self._line)),  # ^E
            b"\x06": lambda: self._go(self._cursor + 1),  # ^F
            b"\x08": lambda: self._cut(self._cursor - 1, self._cursor),  # ^H
            b"\x0b": lambda: self._cut(self._cursor, len(self._line)),  # ^K
            b"\x0c": self._clear,  # ^L
            b"\x0e": lambda: self._recall(self._place + 1),  # ^N
            b"\x10": lambda: self._recall(self._place - 1),  # ^P
            b"\x15": lambda: self._cut(0, self._cursor),  # ^U
            b"\x17": lambda: self._cut(self._word_start(), self._cursor),  # ^W
            b"\x7f": lambda: self._cut(self._cursor - 1, self._cursor),
            DELETE: lambda: self._cut(self._cursor, self._cursor + 1),
            UP: lambda: self._recall(self._place - 1),
            DOWN: lambda: self._recall(self._place + 1),
            LEFT: lambda: self._go(self._cursor - 1),
            RIGHT: lambda: self._go(self._cursor + 1),
            HOME: lambda: self._go(0),
            END: lambda: self._go(len(self._line)),
        }

    def read(self, prompt: str) -> None:
        """Begin a line."""
        self._prompt = prompt
        self._draw()

    def show(self, text: str) -> None:
        """Text above the line that is being read, or just text."""
        if self._prompt is not None:
            self.terminal.write("\r\x1b[K")
        self.terminal.write(text)
        if self._prompt is not None:
            self._draw()

    # ITerminalProtocol

    def keystrokeReceived(self, keyID: bytes, modifier: bytes | None) -> None:
        after_return, self._after_return = self._after_return, keyID == b"\r"
        if keyID == b"\n" and after_return:
            return  # \r\n is one end of line
        if modifier is not None:
            return  # with Alt or Shift: means nothing here
        action = self._keys.get(keyID)
        if action is not None:
            self._partial = b""
            action()
        elif len(keyID) == 1:
            self._typed(keyID)

    def unhandledControlSequence(self, seq: bytes) -> None:
        key = _APPLICATION_MODE.get(seq)
        if key is not None:
            self.keystrokeReceived(key, None)

    def terminalSize(self, width: int, height: int) -> None:
        self._width = width
        if self._prompt is not None:
            self._draw()

    # Keys

    def _typed(self, byte: bytes) -> None:
        self._partial += byte
        try:
            character = self._partial.decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                self._partial = b""
            return
        self._partial = b""
        if character.isprintable():
            self._insert(character)

    def _insert(self, text: str) -> None:
        if len(self._line) + len(text) > LINE:
            self.terminal.write("\a")
            return
        at_end = self._cursor == len(self._line)
        self._line[self._cursor : self._cursor] = text
        self._cursor += len(text)
        if at_end and self._fits():
            self.terminal.write(text)
        else:
            self._draw()

    def _enter(self) -> None:
        line = self._end()
        if line.strip() and (not self._history or self._history[-1] != line):
            self._history.append(line)
        self._place = len(self._history)
        self._reader.entered(line)

    def _interrupt(self) -> None:
        self.terminal.write("^C")
        self._end()
        self._place = len(self._history)
        self._reader.interrupted()

    def _leave_or_delete(self) -> None:
        if self._line:
            self._cut(self._cursor, self._cursor + 1)
        else:
            self._end()
            self._reader.left()

    def _end(self) -> str:
        """No line is being read any more: here is what it was."""
        line = "".join(self._line)
        self._line, self._cursor, self._prompt = [], 0, None
        self.terminal.nextLine()
        return line

    def _clear(self) -> None:
        self.terminal.eraseDisplay()
        self.terminal.cursorHome()
        self._draw()

    def _go(self, place: int) -> None:
        self._cursor = min(max(place, 0), len(self._line))
        self._draw()

    def _cut(self, start: int, end: int) -> None:
        if start < 0 or start >= len(self._line):
            return
        del self._line[start:end]
        self._cursor = start
        self._draw()

    def _word_start(self) -> int:
        before = "".join(self._line[: self._cursor]).rstrip()
        return before.rfind(" ") + 1

    def _recall(self, place: int) -> None:
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self._line
        self._place = place
        self._line = self._draft if place == len(self._history) else list(self._history[place])
        self._cursor = len(self._line)
        self._draw()

    def _complete(self) -> None:
        before = "".join(self._line[: self._cursor])
        if not before.strip():
            self._insert("    ")
            return
        word, names = self._reader.complete(before)
        more = os.path.commonprefix(names)[len(word) :]  # noqa: RUF071 (by characters)
        if more:
            self._insert(more)
        elif len(names) > 1:
            self.show(_columns(names, self._width))
        elif not names:
            self.terminal.write("\a")

    # Drawing

    def _fits(self) -> bool:
        return _cells(f"{self._prompt}{''.join(self._line)}") < self._width

    def _draw(self) -> None:
        prompt = self._prompt or ""
        start = 0
        if not self._fits():
            # The part up to the cursor and what follows, as far as there is room.
            room = max(self._width - len(prompt) - 1, 1)
            while _cells("".join(self._line[start : self._cursor])) > room:
                start += 1
            end = self._cursor
            while end < len(self._line) and _cells("".join(self._line[start : end + 1])) <= room:
                end += 1
        else:
            end = len(self._line)
        column = _cells(prompt + "".join(self._line[start : self._cursor]))
        self.terminal.write(f"\r{prompt}{''.join(self._line[start:end])}\x1b[K")
        if self._cursor < end:
            self.terminal.write(f"\r\x1b[{column}C" if column else "\r")


def _cells(text: str) -> int:
    """How many columns of a terminal text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _columns(names: list[str], width: int) -> str:
    shown = names[:NAMES]
    column = max(map(len, shown)) + 2
    per_row = max(width // column, 1)
    rows = [
        "".join(name.ljust(column) for name in shown[at : at + per_row]).rstrip()
        for at in range(0, len(shown), per_row)
    ]
    if len(names) > NAMES:
        rows.append(f"… and {len(names) - NAMES} more")
    return "\n".join(rows) + "\n"
