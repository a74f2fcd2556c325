"""The log of the process, from the configured level on, where twistd would have put it.

twistd takes an observer by its dotted name only, so what `choose` was told stands in this module.
"""

from __future__ import annotations

import sys
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
    file: str = "-"
    level: str = "info"


_choice = _Choice()


def choose(twistd: Any, level: str) -> None:
    """Set up twistd's options, unless they ask for something of their own."""
    if twistd.get("logger") or twistd.get("syslog"):
        return
    _choice.file = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")
    _choice.level = level
    twistd["logger"] = f"{__name__}.observer"


def observer() -> ILogObserver:
    """What twistd logs to. The file is rotated by its size, as twistd's own is."""
    out = sys.stdout if _choice.file == "-" else LogFile.fromFullPath(_choice.file)
    lowest = LogLevelFilterPredicate(LogLevel.levelWithName(_choice.level))
    return FilteringLogObserver(textFileLogObserver(out), [lowest])
