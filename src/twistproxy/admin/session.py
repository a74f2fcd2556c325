"""One SSH session channel: a shell with or without a terminal, or one command (RFC 4254 §6).

What is typed ahead, ^D too, waits for the answer before it; meanwhile SSH's window keeps the rest
in the client (§5.2). An answer that the client doesn't read holds up the next line likewise. After
each line the traffic has its turn, for as long as the line took.
"""

# Conch has next to no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import shlex
import struct
from collections.abc import Callable
from typing import Any

from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.connection import EXTENDED_DATA_STDERR
from twisted.conch.ssh.session import parseRequest_pty_req, parseRequest_window_change
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from twistproxy.admin import Proxy
from twistproxy.admin.commands import run
from twistproxy.admin.console import MOMENT, Console, explain, printable
from twistproxy.admin.editor import Editor
from twistproxy.admin.moment import within

#: Bytes of a line without a terminal. Less than SSH's window, or no line could get too long.
LINE = 64 << 10

#: For Conch, which tells of every step of every connection at level info.
quiet = Logger(
    observer=FilteringLogObserver(
        globalLogPublisher, [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)]
    )
)

_CTRL_C = b"\x03"


class Session(SSHChannel):
    """Takes one ``shell`` or ``exec`` request. Ends with the exit status of what it ran."""

    _log = quiet
    name = b"session"
    conn: Any

    def __init__(self, proxy: Proxy, clock: IReactorTime, window: int, packet: int) -> None:
        super().__init__(remoteWindow=window, remoteMaxPacket=packet)
        self._proxy = proxy
        self._clock = clock
        self._requests: dict[bytes, Callable[[bytes], bool]] = {
            b"pty-req": self._pty_requested,
            b"window-change": self._window_changed,
            b"shell": self._shell_requested,
            b"exec": self._exec_requested,
        }
        self._width: int | None = None  # None: no terminal
        self._taken = False  # by a shell or a command
        self._over = False
        self._input = bytearray()
        self._eof = False
        self._console: Console | None = None
        self._editor: Editor | None = None
        self._screen: ServerProtocol | None = None
        self._resting: IDelayedCall | None = None

    @property
    def waiting(self) -> bool:
        """Whether input has to wait: for the start, an answer, the client to read it, or a rest."""
        return (
            self._console is None
            or self._console.busy
            or self._resting is not None
            or bool(self.buf)
        )

    # What the client asks for

    def requestReceived(self, requestType: bytes, data: bytes) -> bool:
        take = self._requests.get(requestType)
        try:
            return take is not None and take(data)
        except (IndexError, ValueError, struct.error):  # can't be parsed
            return False

    def _pty_requested(self, data: bytes) -> bool:
        _, (_, columns, _, _), _ = parseRequest_pty_req(data)
        self._width = columns or 80
        return True

    def _window_changed(self, data: bytes) -> bool:
        rows, columns, _, _ = parseRequest_window_change(data)
        if self._editor is not None:
            self._editor.terminalSize(columns or 80, rows)
        return True

    def _shell_requested(self, data: bytes) -> bool:
        return self._begin(self._open_shell)

    def _exec_requested(self, data: bytes) -> bool:
        command, _ = getNS(data)
        return self._begin(self._run, command.decode("utf-8", "replace"))

    def _begin(self, function: Callable[..., None], *args: object) -> bool:
        """Later: the answer to the request itself has to be sent first."""
        if self._taken:
            return False
        self._taken = True
        self._clock.callLater(0, function, *args)
        return True

    # One command

    def _run(self, line: str) -> None:
        answer: str | Deferred[str] | Failure
        try:
            answer = within(MOMENT, run, self._proxy, shlex.split(line))
        except BaseException:
            answer = Failure()
        if isinstance(answer, Deferred):
            answer.addBoth(self._ran)
        else:
            self._ran(answer)

    def _ran(self, answer: str | Failure) -> None:
        if self._over:
            return
        if isinstance(answer, Failure):
            text = explain(answer.value, answer.getTraceback())
            self.writeExtended(EXTENDED_DATA_STDERR, _bytes(text))
        else:
            self.write(_bytes(answer))
        self._finish(1 if isinstance(answer, Failure) else 0)

    # A shell

    def _open_shell(self) -> None:
        if self._over:
            return
        self._console = Console(self._proxy, self._clock, self._show, self._ready)
        if self._width is not None:
            self._editor = Editor(self, self._width)
            self._screen = ServerProtocol(lambda: self._editor)
            self._screen.makeConnection(self)
            self._console.greet()
            self._editor.read(">>> ")
        self._pump()

    def dataReceived(self, data: bytes) -> None:
        if self._editor is not None and self.waiting and _CTRL_C in data:
            # It is not for the next line, and takes along what was typed before it.
            self._input.clear()
            data = data[data.rindex(_CTRL_C) :]
            if self._console is not None and self._console.busy:
                data = data[1:]
                self._editor.show("^C\n")
                self._console.interrupt()
        if not self._over:
            self._input += data
            self._pump()

    def eofReceived(self) -> None:
        self._eof = True
        self._pump()

    def _pump(self) -> None:
        """Take input as far as nothing has to wait."""
        while not self.waiting and not self._over and self._take():
            pass
        if self.waiting or self._over:
            return
        if self._eof:
            self._finish(0)
        elif self.localWindowLeft < self.localWindowSize // 2:
            self.conn.adjustWindow(self, self.localWindowSize - self.localWindowLeft)

    def _take(self) -> bool:
        """A key or a line; False if there is none."""
        if self._screen is not None:
            key = bytes(self._input[:1])
            del self._input[:1]
            self._screen.dataReceived(key)
            return bool(key)
        assert self._console is not None
        length = self._input.find(b"\n")
        if length < 0 and len(self._input) > LINE:
            self.writeExtended(EXTENDED_DATA_STDERR, b"the line is too long\n")
            self._finish(1)
            return False
        if length < 0:
            if not (self._eof and (self._input or self._console.unfinished)):
                return False
            length = len(self._input)
        line = self._input[:length].decode("utf-8", "replace")
        del self._input[: length + 1]
        self._enter(line.removesuffix("\r"))
        return True

    def _enter(self, line: str) -> None:
        assert self._console is not None
        began = self._clock.seconds()
        self._console.line(line)
        if self._console.ended:
            self._finish(0)
        else:
            self._rest(began)

    def _rest(self, began: float) -> None:
        if self._resting is None:
            took = self._clock.seconds() - began
            # Less would only wait for the reactor's tick.
            self._resting = self._clock.callLater(took if took > 0.01 else 0, self._rested)

    def _rested(self) -> None:
        self._resting = None
        self._pump()

    def _show(self, text: str) -> None:
        if self._editor is not None:
            self._editor.show(text)
        else:
            self.write(text.encode())

    def _ready(self) -> None:
        self._read()
        self._pump()

    def _read(self) -> None:
        if self._editor is not None and self._console is not None and not self._over:
            self._editor.read("... " if self._console.unfinished else ">>> ")

    # Reader

    def entered(self, line: str) -> None:
        self._enter(line)
        if self._console is not None and not self._console.busy:
            self._read()

    def interrupted(self) -> None:
        self._show("KeyboardInterrupt\n")
        if self._console is not None:
            self._console.interrupt()
        self._read()

    def left(self) -> None:
        self._finish(0)

    def complete(self, line: str) -> tuple[str, list[str]]:
        if self._console is None:
            return "", []
        began = self._clock.seconds()
        try:
            return self._console.complete(line)
        finally:
            self._rest(began)

    def notice(self, text: str) -> None:
        """Lines that nobody asked for: only for who sits at a terminal, and reads."""
        if self._editor is not None and not (self._over or self.buf):
            self._editor.show(printable(f"{text}\n"))

    # The channel's end

    def addWindowBytes(self, data: int) -> None:
        super().addWindowBytes(data)
        self._pump()

    def closeReceived(self) -> None:
        self.buf, self.extBuf = b"", []  # nobody will read it
        self.loseConnection()

    def closed(self) -> None:
        self._stop()

    def _finish(self, status: int) -> None:
        if not self._over:
            self._stop()
            self.conn.sendRequest(self, b"exit-status", struct.pack(">L", status))
            self.loseConnection()

    def _stop(self) -> None:
        self._over = True
        self._input.clear()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._console is not None:
            self._console.close()


def _bytes(text: str) -> bytes:
    """As lines that a terminal may be shown."""
    text = printable(text)
    return (text if text.endswith("\n") else text + "\n").encode()
