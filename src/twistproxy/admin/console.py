"""One person's session: lines in, answers out. Knows no terminal and no SSH.

A line is a command of ``commands.COMMANDS`` or Python in a namespace of live objects. All of it
(compiling, running, the repr, the traceback) runs `within` `MOMENT`, in the reactor's thread, so
that live objects are safe to touch and the traffic waits a bounded moment at most. What goes
wrong is shown here and nowhere else.
"""

from __future__ import annotations

import builtins
import codeop
import pydoc
import re
import sys
import traceback
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twistproxy.admin import CommandFailed, Proxy
from twistproxy.admin.commands import COMMANDS, run
from twistproxy.admin.completion import completions
from twistproxy.admin.moment import TookTooLong, within

#: Seconds that a line may keep the reactor from its work.
MOMENT = 0.25
#: Characters that one answer may have.
OUTPUT = 1 << 20
#: Characters of an unfinished block (``for …:`` and what follows).
BLOCK = 1 << 20
#: Seconds that the next line waits for the Deferred that this line gave. A command's answer is
#: waited for however long it takes; a Deferred may be there to be looked at, or fired, by hand.
PATIENCE = 5.0

_LIVE = ("cache", "policy", "lists", "limits", "asks", "pools", "parents", "connections")
_FILE = "<console>"


class Console:
    """Takes a line at a time; while `busy`, the next must wait until `ready` is called.

    show: called with text, ends of lines included. namespace: what Python sees.
    """

    def __init__(
        self,
        proxy: Proxy,
        clock: IReactorTime,
        show: Callable[[str], object],
        ready: Callable[[], object],
    ) -> None:
        #: The person asked to leave.
        self.ended = False
        self.namespace: dict[str, object] = {
            "__name__": "__console__",
            "__builtins__": builtins,
            "proxy": proxy,
            "help": _Help(proxy),
            # site's own would close the standard input of the whole process.
            "exit": _leave,
            "quit": _leave,
        }
        self._proxy = proxy
        self._clock = clock
        self._show = show
        self._ready = ready
        self._compile = codeop.CommandCompiler()
        self._block: list[str] = []
        self._live: dict[str, object] = {}
        self._output: _Output | None = None
        self._waiting: object | None = None
        self._patience: IDelayedCall | None = None
        self._deferreds = 0
        self._refresh()

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._waiting is not None

    @property
    def unfinished(self) -> bool:
        """Whether the next line goes on with a block of Python."""
        return bool(self._block)

    def line(self, line: str) -> None:
        """Answer a line, or take it into the block that it belongs to."""
        words = line.split()
        if self._block:
            self._within_moment(self._python, line)
        elif words in (["exit"], ["quit"]):
            self.ended = True
        elif words:
            self._within_moment(self._command_or_python, line, words)

    def greet(self) -> None:
        """Say who is here, and what to do."""
        self._within_moment(self._greeting)

    def interrupt(self) -> None:
        """Forget the block, and wait no more: the answer is shown when it comes."""
        self._block.clear()
        self._done(self._waiting)

    def close(self) -> None:
        """Nobody looks any more."""
        self._show = lambda text: None
        self._ready = lambda: None
        self._done(self._waiting)

    def complete(self, line: str) -> tuple[str, list[str]]:
        """See `completions`; nothing if looking fails or takes too long."""
        commands = () if self._block else tuple(COMMANDS)
        try:
            self._refresh()
            return within(MOMENT, completions, line, self.namespace, commands)
        except (Exception, TookTooLong):
            return "", []

    def _greeting(self) -> None:
        now = self._proxy.snapshot()
        self._write("twistproxy {version}, pid {pid}, {state}".format_map(now))
        self._write(
            "help lists the commands; what is no command is Python; TAB completes; ^D leaves."
        )

    def _command_or_python(self, line: str, words: list[str]) -> None:
        """A command's name alone is the command; before other words, if that isn't Python."""
        if words[0] in COMMANDS and (len(words) == 1 or not self._is_python(line)):
            self._command(words)
        else:
            self._python(line)

    def _is_python(self, line: str) -> bool:
        try:
            self._compile(line, _FILE, "single")
        except (OverflowError, SyntaxError, ValueError):
            return False
        return True

    def _command(self, words: list[str]) -> None:
        answer = run(self._proxy, words)
        if isinstance(answer, Deferred):
            answer.addBoth(self._answered, "", self._wait())
        else:
            self._write(answer)

    def _python(self, line: str) -> None:
        self._block.append(line)
        source = "\n".join(self._block)
        if len(source) > BLOCK:
            self._block.clear()
            raise CommandFailed("The block is too long; it is forgotten.")
        try:
            code = self._compile(source, _FILE, "single")
        except BaseException:
            self._block.clear()
            raise
        if code is not None:  # else the block goes on
            self._block.clear()
            self._refresh()
            exec(code, self.namespace)

    def _display(self, value: object) -> None:
        """``sys.displayhook`` for what runs here: shows a Deferred's result, too, once it fires."""
        if value is None:
            return
        self.namespace["_"] = value
        if not isinstance(value, Deferred):
            self._write(repr(value))
            return
        name = f"Deferred #{self._deferreds}"
        self._deferreds += 1
        token = self._wait(PATIENCE)
        value.addBoth(self._answered, f"{name}: ", token)
        if self._waiting is token:
            self._write(f"<{name}>")

    def _answered(self, result: object, label: str, token: object) -> object:
        def tell() -> None:
            if isinstance(result, Failure):
                self._write(label + explain(result.value, result.getTraceback()))
            else:
                self._write(label + (str if not label else repr)(result))

        self._within_moment(tell)
        self._done(token)
        # A failure ends here; passed on, it would be in the proxy's log as well.
        return None if isinstance(result, Failure) else result

    def _refresh(self) -> None:
        """Name what lives now (a reload swaps it), but leave what the person has renamed."""
        for name in _LIVE:
            if self.namespace.get(name) is self._live.get(name):
                self.namespace[name] = self._live[name] = getattr(self._proxy, name)

    def _within_moment(self, function: Callable[..., None], *args: object) -> None:
        """Call function(*args), and show what it writes or how it fails."""
        if self._output is not None:  # a Deferred fired in the middle of an answer: part of it
            function(*args)
            return
        self._output = output = _Output()
        # Put back out here, where no interruption comes.
        before = sys.displayhook, sys.stdout, sys.stderr
        sys.displayhook, sys.stdout, sys.stderr = self._display, output, output
        try:
            within(MOMENT, function, *args)
        except SystemExit:
            self.ended = True
        except BaseException as error:
            try:
                self._write(within(MOMENT, _explain, error))
            except BaseException:
                self._write(type(error).__qualname__)
        finally:
            sys.displayhook, sys.stdout, sys.stderr = before
            self._output = None
        if text := output.text():
            self._show(printable(text))

    def _write(self, text: str) -> None:
        if self._output is not None and text:
            self._output.write(text if text.endswith("\n") else text + "\n")

    def _wait(self, patience: float | None = None) -> object:
        self._forget_patience()
        token = self._waiting = object()
        if patience is not None:
            self._patience = self._clock.callLater(patience, self._done, token)
        return token

    def _done(self, token: object | None) -> None:
        if token is None or token is not self._waiting:
            return  # nobody waits for it any more
        self._waiting = None
        self._forget_patience()
        if self._output is None:  # else the line that asked is still being answered
            self._ready()

    def _forget_patience(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None


def _explain(error: BaseException) -> str:
    """The traceback from the person's own code on."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename != _FILE:
        del frames[0]
    if isinstance(error, TookTooLong):
        del frames[-1:]  # the signal's handler
    lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    if frames:
        lines.insert(0, "Traceback (most recent call last):\n")
    return explain(error, "".join(lines))


def explain(error: BaseException | None, trace: str) -> str:
    """What a person is told: a traceback, unless the error is meant for them."""
    return str(error) if isinstance(error, CommandFailed) else trace


def printable(text: str) -> str:
    """Without what could command a terminal or can't be sent: names come from anywhere."""
    return _CONTROLS.sub(_escaped, text).encode("utf-8", "backslashreplace").decode()


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _escaped(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _leave() -> None:
    raise SystemExit


class _Output:
    """What one answer puts out, cut at `OUTPUT`: a file as far as ``print`` is concerned."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = OUTPUT

    def write(self, text: str) -> int:
        if self._left > 0:
            self._pieces.append(text[: self._left])
        self._left -= len(text)
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        text = "".join(self._pieces)
        if self._left < 0:
            text += f"\n… cut here: {-self._left} characters more"
        return text if not text or text.endswith("\n") else text + "\n"


class _Help:
    """``help``: the commands. ``help(thing)``: Python's own page about a thing."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __repr__(self) -> str:
        return str(run(self._proxy, ["help"]))

    def __call__(self, thing: object = None) -> None:
        print(self if thing is None else pydoc.plain(pydoc.render_doc(thing)))
