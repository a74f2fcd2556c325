"""Which reactor runs, and how many files it may open.

Twisted's asyncio reactor on a uvloop loop is the default; every other reactor works too.
Nothing here imports `twisted.internet.reactor`: doing so installs one.
"""

from __future__ import annotations

import asyncio
import resource
import select
import sys
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.main import installReactor

# A hard limit can be 2**30 in a container; more than this only costs those who walk their files.
MOST_FILES = 1 << 20


def install() -> None:
    """Install the asyncio reactor on a new uvloop loop, unless there is a reactor or no uvloop."""
    if "twisted.internet.reactor" in sys.modules:
        return
    try:
        import uvloop
    except ImportError:
        return
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    installReactor(OnUvloop(loop))


class OnUvloop(asyncioreactor.AsyncioSelectorReactor):
    """Twisted's asyncio reactor, told of every error of a socket that it watches by itself.

    Which are those of Twisted's own transports, and of tunnels whose bytes are the kernel's:
    connections to and from us are the loop's own (`net.native`), and it sees to theirs.
    libuv stops watching a socket that has an error, and uvloop runs its reader only once more.
    Where bytes came before the error, as when a peer sends and resets at once, that one read
    succeeds, and the connection would never be heard of again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._poll = select.poll()

    def _readOrWrite(self, selectable: Any, read: bool) -> None:
        super()._readOrWrite(selectable, read)  # type: ignore[no-untyped-call]
        # Reading on comes to the error; unlike SO_ERROR, poll leaves it there.
        while read and selectable in self._readers and self._has_error(selectable.fileno()):
            super()._readOrWrite(selectable, read)  # type: ignore[no-untyped-call]

    def _has_error(self, fd: int) -> bool:
        self._poll.register(fd, 0)
        events = self._poll.poll(0)
        self._poll.unregister(fd)
        return any(event & select.POLLERR for _, event in events)


def native_loop(reactor: object) -> asyncio.AbstractEventLoop | None:
    """The uvloop loop that `reactor` runs on; None: it runs on something else."""
    if isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        loop = reactor._asyncioEventloop  # has no public name
        if type(loop).__module__.partition(".")[0] == "uvloop":
            return loop
    return None


def name(reactor: object) -> str:
    """What to call `reactor` in the log: "asyncio on uvloop", "epoll", "select"…"""
    if native_loop(reactor) is not None:
        return "asyncio on uvloop"
    if isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        return "asyncio"
    return type(reactor).__name__.removesuffix("Reactor").lower()


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # a container may forbid it
        return soft
    return wanted
