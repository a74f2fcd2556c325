"""The console: lines in, answers out."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twistproxy.admin import ReloadFailed, console


class Table:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class FakeProxy:
    """A proxy whose reload fires when the test says so."""

    def __init__(self) -> None:
        self.cache: object = Table("the cache's table")
        self.policy: object = Table("the policy's table")
        self.pools: object = Table("the pools' table")
        self.parents: object = Table("the parents' table")
        self.lists: object = Table("the lists' table")
        self.limits: object = Table("the limits' table")
        self.asks: object = Table("the asks' table")
        self.connections: object = Table("the connections' table")
        self.reloads: list[Deferred[list[str]]] = []

    def snapshot(self) -> dict[str, Any]:
        return {"version": "1.2", "cache": {"hits": 3, "misses": 1}}

    def reload(self) -> Deferred[list[str]]:
        self.reloads.append(Deferred())
        return self.reloads[-1]


class Session:
    """A console, what it has shown, and how often it called itself ready."""

    def __init__(self) -> None:
        self.proxy = FakeProxy()
        self.clock = Clock()
        self.shown = ""
        self.readied = 0
        self.console = console.Console(self.proxy, self.clock, self._show, self._ready)

    def _show(self, text: str) -> None:
        self.shown += text

    def _ready(self) -> None:
        self.readied += 1

    def says(self, *lines: str) -> str:
        """What these lines show."""
        self.shown = ""
        for line in lines:
            self.console.line(line)
        return self.shown


@pytest.fixture
def session() -> Session:
    return Session()


ANSWERS: dict[str, tuple[list[str], str]] = {
    "a command": (["stats"], "version 1.2\nhits 3\nmisses 1\n"),
    "with spaces around": (["  stats "], "version 1.2\nhits 3\nmisses 1\n"),
    "a command with an argument": (["help stats"], "stats: one figure a line: NAME VALUE\n"),
    "a live object": (["cache"], "the cache's table\n"),
    "the same in Python": (["(cache)"], "the cache's table\n"),
    "too many words": (["stats now"], "usage: stats\n"),
    "nothing": (["", "   "], ""),
    "an expression": (["1 + 1"], "2\n"),
    "None": (["None"], ""),
    "a statement": (["x = 1"], ""),
    "print": (["print('a', 'b')"], "a b\n"),
    "standard error": (["import sys; print('a', file=sys.stderr)"], "a\n"),
    "no end of line": (["print('a', end='')"], "a\n"),
    "the last result": (["41", "_ + 1"], "41\n42\n"),
    "a block": (["for i in range(2):", "    print(i)", ""], "0\n1\n"),
    "a block in brackets": (["[1,", "2]"], "[1, 2]\n"),
    "a command's word in a block": (["[", "stats", "for stats in [1]]"], "[1]\n"),
    "a command's name assigned": (["cache = 3", "(cache)"], "3\n"),
    "a command's name in an expression": (["cache is proxy.cache"], "True\n"),
    "the proxy": (["proxy.snapshot()['cache']['hits']"], "3\n"),
    "help about a thing": (["help(len)"], "Python Library Documentation"),
    "a function remembered": (["def f(): return 5", "", "f()"], "5\n"),
}


@pytest.mark.parametrize(("lines", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_lines_are_answered(session: Session, lines: list[str], answer: str) -> None:
    assert session.says(*lines).startswith(answer)
    assert not session.console.unfinished


ERRORS: dict[str, tuple[list[str], str]] = {
    "an exception": (["1 / 0"], "ZeroDivisionError: division by zero\n"),
    "a syntax error": (["a b"], "SyntaxError: invalid syntax\n"),
    "an indentation error": (["if 1:", "x"], "IndentationError: "),
    "a name": (["nobody"], "NameError: name 'nobody' is not defined\n"),
    "an endless loop": (["while True: pass", ""], "TookTooLong: interrupted: it took longer"),
    "a long sleep": (["import time; time.sleep(60)"], "TookTooLong: interrupted"),
    "a loop that holds on": (
        ["while True:", " try:", "  while True: pass", " except BaseException: pass", ""],
        "TookTooLong",
    ),
    "a repr that never ends": (
        ["class A:", " def __repr__(self):", "  while True: pass", "", "A()"],
        "TookTooLong",
    ),
    "a repr that fails": (["class A:", " def __repr__(self): 1/0", "", "A()"], "ZeroDivision"),
    "an exception that can't be printed": (
        ["class A(BaseException):", " def __str__(self):", "  while True: pass", "", "raise A"],
        "A: <exception str() failed>\n",
    ),
    "no arguments": (["exit(1)"], "TypeError"),
    "a null byte": (["'\0'"], "source code string cannot contain null bytes"),
    "recursion": (["f = lambda: f()", "f()"], "RecursionError"),
    "the keyboard": (["raise KeyboardInterrupt"], "KeyboardInterrupt"),
}


@pytest.mark.parametrize(("lines", "error"), ERRORS.values(), ids=ERRORS)
def test_what_goes_wrong_is_shown_and_the_next_line_is_answered(
    session: Session, monkeypatch: pytest.MonkeyPatch, lines: list[str], error: str
) -> None:
    monkeypatch.setattr(console, "MOMENT", 0.05)
    assert error in session.says(*lines)
    assert not session.console.ended
    assert session.says("1 + 1") == "2\n"


def test_a_traceback_begins_with_the_persons_own_code(session: Session) -> None:
    assert session.says("1 / 0").splitlines()[1] == '  File "<console>", line 1, in <module>'


def test_the_process_keeps_its_own_output(session: Session) -> None:
    before = sys.stdout, sys.stderr, sys.displayhook
    session.says("print(1)", "1 / 0", "exit()")
    assert (sys.stdout, sys.stderr, sys.displayhook) == before


@pytest.mark.parametrize("line", ["exit", "quit", "exit()", "quit()", "raise SystemExit"])
def test_leaving(session: Session, line: str) -> None:
    assert session.says(line) == ""
    assert session.console.ended


def test_output_is_bounded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "OUTPUT", 10)
    assert session.says("print('x' * 25)") == "x" * 10 + "\n… cut here: 16 characters more\n"


def test_a_block_is_bounded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "BLOCK", 10)
    assert "too long" in session.says("[1,", "2,", "3,", "4,")
    assert not session.console.unfinished


def test_live_objects_are_those_after_the_reload(session: Session) -> None:
    session.says("policy = 'mine'")
    session.proxy.policy = Table("a new policy")
    session.proxy.cache = Table("a new cache")
    assert session.says("print(cache, policy)") == "a new cache mine\n"


class TestWaiting:
    def test_a_commands_answer(self, session: Session) -> None:
        assert session.says("reload") == ""
        assert session.console.busy
        session.clock.advance(3600)
        assert session.console.busy
        session.proxy.reloads[0].callback(["generation 2", "changed: policy"])
        assert session.shown == "generation 2\nchanged: policy\n"
        assert (session.console.busy, session.readied) == (False, 1)

    def test_a_command_that_fails_says_why_and_no_more(self, session: Session) -> None:
        session.says("reload")
        session.proxy.reloads[0].errback(ReloadFailed("FILE:1: no\nFILE:2: no"))
        assert session.shown == "FILE:1: no\nFILE:2: no\n"

    def test_a_deferred(self, session: Session) -> None:
        assert session.says("proxy.reload()") == "<Deferred #0>\n"
        assert session.console.busy
        session.proxy.reloads[0].callback(["done"])
        assert session.shown == "<Deferred #0>\nDeferred #0: ['done']\n"
        assert (session.console.busy, session.readied) == (False, 1)

    def test_a_deferred_that_has_fired(self, session: Session) -> None:
        assert (
            session.says("from twisted.internet.defer import succeed", "print(1); succeed(2)")
            == "1\nDeferred #0: 2\n"
        )
        assert (session.console.busy, session.readied) == (False, 0)

    def test_a_deferred_that_fails_shows_its_traceback_here_only(self, session: Session) -> None:
        session.says("proxy.reload()")
        session.proxy.reloads[0].errback(ZeroDivisionError("oh"))
        assert session.shown.startswith("<Deferred #0>\nDeferred #0: Traceback")
        assert "ZeroDivisionError: oh" in session.shown

    def test_a_deferred_is_not_waited_for_too_long(self, session: Session) -> None:
        session.says("d = proxy.reload()", "d")
        session.clock.advance(console.PATIENCE)
        assert (session.console.busy, session.readied) == (False, 1)
        assert session.says("d.callback(5)") == "Deferred #0: 5\n"

    def test_an_interrupt_ends_the_waiting_not_the_work(self, session: Session) -> None:
        session.says("reload")
        session.console.interrupt()
        assert (session.console.busy, session.readied) == (False, 1)
        session.proxy.reloads[0].callback(["done"])
        assert (session.shown, session.readied) == ("done\n", 1)

    def test_nothing_is_shown_after_the_end(self, session: Session) -> None:
        session.says("d = proxy.reload()", "d")
        session.console.close()
        session.proxy.reloads[0].callback(["done"])
        assert (session.shown, session.readied) == ("<Deferred #0>\n", 0)
        assert session.clock.getDelayedCalls() == []


def test_an_interrupt_forgets_the_block(session: Session) -> None:
    session.says("for x in y:")
    assert session.console.unfinished
    session.console.interrupt()
    assert session.says("1") == "1\n"


def test_completion_knows_commands_names_and_attributes(session: Session) -> None:
    assert session.console.complete("relo") == ("relo", ["reload"])
    assert session.console.complete("proxy.sn") == ("sn", ["snapshot"])
    session.says("mine = 1")
    assert session.console.complete("min") == ("min", ["mine"])


def test_completion_ends(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MOMENT", 0.01)
    session.says("class A:", " @property", " def x(self):", "  while True: pass", "", "a = A()")
    assert session.console.complete("a.x.y") == ("", [])
