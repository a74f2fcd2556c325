"""The line editor, seen through what a terminal would show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.insults import helper
from twisted.conch.insults.insults import ClientProtocol, ServerProtocol
from twisted.internet.testing import StringTransport

from twistproxy.admin import editor as module
from twistproxy.admin.editor import Editor

UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
HOME, END, DELETE, F1 = b"\x1b[H", b"\x1b[F", b"\x1b[3~", b"\x1bOP"


class Person:
    """At a terminal, reading one line after the other."""

    def __init__(self, width: int = 80) -> None:
        self.lines: list[str] = []
        self.names: list[str] = []
        self.transport = StringTransport()
        self.editor = Editor(self, width)
        self.server = ServerProtocol(lambda: self.editor)
        self.server.makeConnection(self.transport)
        self.editor.read(">>> ")

    def types(self, *keys: bytes) -> Person:
        self.server.dataReceived(b"".join(keys))
        return self

    def screen(self, width: int = 80) -> str:
        """What Conch's own terminal emulation shows for all that was sent."""
        buffer = helper.TerminalBuffer()
        buffer.width = width
        client = ClientProtocol(lambda: buffer)
        client.makeConnection(StringTransport())
        client.dataReceived(self.transport.value())
        return "\n".join(line.rstrip() for line in bytes(buffer).decode().rstrip().split("\n"))

    def entered(self, line: str) -> None:
        self.lines.append(line)
        self.editor.read(">>> ")

    def interrupted(self) -> None:
        self.lines.append("^C")
        self.editor.read(">>> ")

    def left(self) -> None:
        self.lines.append("^D")

    def complete(self, line: str) -> tuple[str, list[str]]:
        word = line.split(" ")[-1]
        return word, [name for name in self.names if name.startswith(word)]


LINES: dict[str, tuple[bytes, list[str]]] = {
    "typed": (b"stats\r", ["stats"]),
    "ended by a line feed": (b"stats\n", ["stats"]),
    "ended by both": (b"a\r\nb\r\n", ["a", "b"]),
    "empty": (b"\r\r", ["", ""]),
    "in UTF-8": ("hällo ✓\r".encode(), ["hällo ✓"]),
    "not UTF-8": (b"a\xffb\xc3(c\r", ["abc"]),
    "left, and typed": (b"ac" + LEFT + b"b\r", ["abc"]),
    "right": (b"ac" + LEFT + LEFT + RIGHT + b"b\r", ["abc"]),
    "past both ends": (b"b" + LEFT * 3 + b"a" + RIGHT * 3 + b"c\r", ["abc"]),
    "home and end": (b"b" + HOME + b"a" + END + b"c\r", ["abc"]),
    "application mode": (b"b\x1bOHa\x1bOFc\r", ["abc"]),
    "^A and ^E": (b"b\x01a\x05c\r", ["abc"]),
    "^B and ^F": (b"ac\x02b\x06d\r", ["abcd"]),
    "backspace": (b"\x7fab\x7fc\x08d\r", ["ad"]),
    "delete": (b"abc" + HOME + DELETE + b"\x04\r", ["c"]),
    "delete at the end": (b"abc" + DELETE + b"\r", ["abc"]),
    "^K": (b"abc" + LEFT + LEFT + b"\x0b\r", ["a"]),
    "^U": (b"abc" + LEFT + b"\x15\r", ["c"]),
    "^W": (b"one two  \x17three\r", ["one three"]),
    "^W at the start": (b"\x17a\r", ["a"]),
    "^L": (b"ab\x0cc\r", ["abc"]),
    "keys that mean nothing": (b"a" + F1 + b"\x1bb\x07b\r", ["ab"]),
    "^C": (b"abc\x03d\r", ["^C", "d"]),
    "^D within a line deletes": (b"ab\x01\x04\r", ["b"]),
    "^D": (b"\x04", ["^D"]),
    "up": (b"a\rb\r" + UP + UP + b"\r", ["a", "b", "a"]),
    "up too far": (b"a\r" + UP * 3 + b"\r", ["a", "a"]),
    "down": (b"a\rb\r" + UP + UP + DOWN + b"\r", ["a", "b", "b"]),
    "down to the line that was begun": (b"a\rnew" + UP + DOWN + b"!\r", ["a", "new!"]),
    "^P and ^N": (b"a\rb\r\x10\x10\x0e\r", ["a", "b", "b"]),
    "history, edited": (b"a\r" + UP + b"b\r" + UP + UP + b"\r", ["a", "ab", "a"]),
    "no line twice in a row": (b"a\rb\rb\r" + UP + UP + b"\r", ["a", "b", "b", "a"]),
    "tab indents": (b"\tx\r", ["    x"]),
}


@pytest.mark.parametrize(("keys", "lines"), LINES.values(), ids=LINES)
def test_keys_make_lines(keys: bytes, lines: list[str]) -> None:
    assert Person().types(keys).lines == lines


SCREENS: dict[str, tuple[bytes, str]] = {
    "typed": (b"stats", ">>> stats"),
    "edited in the middle": (b"stts" + LEFT * 2 + b"a", ">>> stats"),
    "cut": (b"stats now\x17\x7f", ">>> stats"),
    "recalled": (b"stats\rx" + UP, ">>> stats\n>>> stats"),
    "interrupted": (b"sta\x03", ">>> sta^C\n>>>"),
    "longer than the terminal": (b"0123456789" * 3, ">>> 567890123456789"),
    "its start": (b"0123456789" * 3 + HOME, ">>> 012345678901234"),
    "cleared": (b"stats\rab\x0c", ">>> ab"),
}


@pytest.mark.parametrize(("keys", "screen"), SCREENS.values(), ids=SCREENS)
def test_the_terminal_shows_the_line(keys: bytes, screen: str) -> None:
    assert Person(width=20).types(keys).screen(width=20) == screen


class TestCompletion:
    def test_one_name(self) -> None:
        person = Person()
        person.names = ["stats", "reload"]
        assert person.types(b"sta\t\r").lines == ["stats"]

    def test_what_several_share(self) -> None:
        person = Person()
        person.names = ["policy", "pools"]
        assert person.types(b"p\ticy\r").lines == ["poicy"]

    def test_several_are_listed_and_the_line_stands_below(self) -> None:
        person = Person()
        person.names = ["policy", "pools"]
        assert person.types(b"po\t").screen() == "policy  pools\n>>> po"

    def test_none_rings(self) -> None:
        assert Person().types(b"x\t").transport.value().endswith(b"\a")

    def test_in_the_middle(self) -> None:
        person = Person()
        person.names = ["stats"]
        assert person.types(b"x sta.hits", LEFT * 5, b"\t\r").lines == ["x stats.hits"]

    def test_the_list_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "NAMES", 2)
        person = Person()
        person.names = ["a1", "a2", "a3"]
        shown = person.types(b"a\t").transport.value().decode()
        assert "a1  a2\r\n… and 1 more\r\n" in shown
        assert "a3" not in shown


def test_text_appears_above_the_line() -> None:
    person = Person().types(b"sta")
    person.editor.show("Deferred #0: 1\n")
    assert person.types(b"ts").screen() == "Deferred #0: 1\n>>> stats"


def test_a_narrower_terminal_shows_the_end_of_the_line() -> None:
    person = Person().types(b"0123456789")
    person.editor.terminalSize(10, 24)
    assert person.transport.value().endswith(b"\r>>> 56789\x1b[K")


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE", 3)
    assert Person().types(b"abcdef\r").lines == ["abc"]


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY", 2)
    assert Person().types(b"a\rb\rc\r", UP * 5, b"\r").lines[-1] == "b"


def test_names_of_keys_are_those_of_conch() -> None:
    for name in ("UP_ARROW", "DOWN_ARROW", "LEFT_ARROW", "RIGHT_ARROW", "HOME", "END", "DELETE"):
        assert getattr(ServerProtocol, name) == getattr(module, name.removesuffix("_ARROW"))


TYPED = [b"a", b" ", "é".encode(), "漢".encode(), b"\xff"]
CONTROLS = [b"\t", b"\r", b"\n", b"\x03", b"\x0b", b"\x15", b"\x17", b"\x7f"]
KEYS = st.sampled_from([UP, DOWN, LEFT, RIGHT, HOME, END, DELETE, F1, *CONTROLS, *TYPED])


@given(st.lists(KEYS), st.integers(1, 30))
def test_after_any_keys_at_any_width_a_line_can_be_typed(keys: list[bytes], width: int) -> None:
    person = Person(width)
    person.names = ["a", "ab"]
    person.types(*keys)
    person.transport.clear()
    person.types(b"\x03", "漢字é".encode(), LEFT, b"x\r")
    assert person.lines[-1] == "漢字xé"
