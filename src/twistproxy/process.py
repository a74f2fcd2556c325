"""The proxy as a process: started by twistd, told what to do by signals.

SIGTERM, SIGINT   drain, then exit 0; a second one ends the drain
SIGHUP            reload
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy import __version__, admin
from twistproxy.app import Proxy
from twistproxy.config.model import Config
from twistproxy.exchange import COMPILED
from twistproxy.garbage import Garbage
from twistproxy.net import reactor as reactors

_log = Logger()


def open_proxy(reactor: Any, config: Config, file: Path | None) -> Proxy:
    """A proxy with its listeners open. reactor: the one that is installed. Raises CannotRun and
    `config.load.ConfigErrors`.
    """
    _log.info(
        "twistproxy {version}{compiled} on the reactor: {reactor}",
        version=__version__,
        compiled=", compiled," if COMPILED else "",
        reactor=reactors.name(reactor),
    )
    proxy = Proxy(reactor, config, file)
    failures: list[Failure] = []
    proxy.start().addErrback(failures.append)
    for failure in failures:
        failure.raiseException()
    return proxy


class Process(Service):
    """The service that twistd runs."""

    def __init__(self, reactor: Any, proxy: Proxy) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._garbage = Garbage(reactor, lambda: proxy.road.counts.total)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._heed_signals()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """Drain; the reactor waits for it."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._garbage.stop()
        return self._proxy.drain()

    def _begin(self) -> None:
        self._heed_signals()  # the reactor has taken SIGTERM and SIGINT to itself meanwhile
        self._garbage.start()

    def _heed_signals(self) -> None:
        # twistd's own SIGTERM handler would raise the signal again at the end; SIGHUP kills.
        for number, action in (
            (signal.SIGTERM, self._stop),
            (signal.SIGINT, self._stop),
            (signal.SIGHUP, self._reload),
        ):
            signal.signal(number, self._handler(action))

    def _handler(self, action: Callable[[str], None]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(action, signal.Signals(number).name)

        return handle

    def _stop(self, name: str) -> None:
        try:
            self._reactor.stop()
            _log.info("{signal} received", signal=name)
        except ReactorNotRunning:  # it drains already
            _log.info("{signal} received: the drain ends now", signal=name)
            self._proxy.hurry()

    def _reload(self, name: str) -> None:
        def failed(failure: Failure) -> None:
            if failure.check(admin.ReloadFailed):
                _log.error("Not reloaded, nothing changed:\n{errors}", errors=str(failure.value))
            else:
                _log.failure("The reload failed", failure)

        self._proxy.reload().addErrback(failed)
