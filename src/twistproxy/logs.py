"""The log of the process, from the configured level on, where twistd would have put it.

twistd takes an observer by its dotted name only, so what `choose` was told stands in this module.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile


@define
class _Choice:
    """name: of the file, "-" for the standard output. file: that, once it is open."""

    name: str = "-"
    file: LogFile | None = None


_choice = _Choice()
_lowest = LogLevelFilterPredicate()


def choose(twistd: Any, level: str) -> None:
    """Set up twistd's options, unless they ask for something of their own."""
    sys.unraisablehook = partial(_unraisable, sys.unraisablehook)
    foreground = twistd.get("nodaemon")
    name = twistd.get("logfile") or ("-" if foreground else "twistd.log")
    if twistd.get("logger") or twistd.get("syslog") or (name == "-" and not foreground):
        return  # in the background there is no standard output, as twistd itself will say
    _choice.name = name if name == "-" else str(Path(name).absolute())
    _set(level)
    twistd["logger"] = f"{__name__}.observer"


def observer() -> ILogObserver:
    """What twistd logs to. The file is rotated by its size and by SIGUSR1, as twistd's own is."""
    out: Any = sys.stdout
    if _choice.name != "-":
        out = _choice.file = LogFile.fromFullPath(_choice.name)
        if not signal.getsignal(signal.SIGUSR1):  # nobody has taken it

            def rotate(*_: object) -> None:
                from twisted.internet import reactor

                reactor.callFromThread(out.rotate)  # type: ignore[attr-defined]

            signal.signal(signal.SIGUSR1, rotate)
    return FilteringLogObserver(textFileLogObserver(out), [_lowest])


def again(level: str) -> None:
    """After a reload: from this level on, into the file that has the name by now."""
    _set(level)
    if _choice.file is not None:
        _choice.file.reopen()


def _set(level: str) -> None:
    lowest = LogLevel.levelWithName(level)
    _lowest.setLogLevelForNamespace("", lowest)
    # "ClientLegs starting on 3128": what Twisted's older parts tell, we tell better ourselves.
    _lowest.setLogLevelForNamespace("log_legacy", max(lowest, LogLevel.warn))


def _unraisable(tell: Callable[[Any], object], raised: Any) -> None:
    """Tell it, but for what Python's ssl has to say of a name in a hello that isn't ASCII.

    The handshake fails by that, and any peer could fill the log with its traceback.
    """
    error = raised.exc_value
    if not (isinstance(error, UnicodeDecodeError) and error.object == raised.object):
        tell(raised)
