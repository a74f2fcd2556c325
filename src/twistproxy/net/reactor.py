"""Which reactor runs, and how many files it may open.

Twisted's asyncio reactor on a uvloop loop is the default; every other reactor works too.
Nothing here imports `twisted.internet.reactor`: doing so installs one.
"""

from __future__ import annotations

import asyncio
import resource
import sys

from twisted.internet import asyncioreactor

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
    asyncioreactor.install(loop)


def name(reactor: object) -> str:
    """What to call `reactor` in the log: "asyncio on uvloop", "epoll", "select"…"""
    if isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        loop = reactor._asyncioEventloop  # has no public name
        on_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
        return "asyncio on uvloop" if on_uvloop else "asyncio"
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
