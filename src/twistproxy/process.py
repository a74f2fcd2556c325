"""The proxy as a process: started by twistd, told what to do by signals.

SIGTERM, SIGINT   drain, then exit 0; a second one ends the drain
SIGHUP            reload
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy import __version__, admin
from twistproxy.app import CannotRun, Proxy
from twistproxy.config.model import Config
from twistproxy.net import reactor as reactors

_log = Logger()


class Process(Service):
    """The service that twistd runs. reactor: the one that is installed."""

    def __init__(self, reactor: Any, config: Config, file: Path | None) -> None:
        self._reactor = reactor
        self._config = config
        self._file = file
        self.proxy: Proxy | None = None

    def privilegedStartService(self) -> None:
        """Open the listeners, while ports below 1024 still may be."""
        _log.info(
            "twistproxy {version} on the reactor: {reactor}",
            version=__version__,
            reactor=reactors.name(self._reactor),
        )
        try:
            self.proxy = Proxy(self._reactor, self._config, self._file)
        except CannotRun as error:
            _give_up(error)
        assert self.proxy is not None
        failures: list[Failure] = []
        self.proxy.start().addErrback(failures.append)
        # Listening needs no reactor that runs, so what fails has failed by now.
        for failure in failures:
            if isinstance(failure.value, CannotRun):
                _give_up(failure.value)
            failure.raiseException()

    def startService(self) -> None:
        super().startService()
        self._reactor.callWhenRunning(self._listen_to_signals)

    def stopService(self) -> Deferred[None]:
        """Drain; the reactor waits for it."""
        super().stopService()
        return succeed(None) if self.proxy is None else self.proxy.drain()

    def _listen_to_signals(self) -> None:
        # twistd's own SIGTERM handler would raise the signal again at the end; SIGHUP kills.
        for number, action in (
            (signal.SIGTERM, self._stop),
            (signal.SIGINT, self._stop),
            (signal.SIGHUP, self._reload),
        ):
            signal.signal(number, self._handler(action))

    def _handler(self, action: Any) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(action)

        return handle

    def _stop(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:  # it drains already
            assert self.proxy is not None
            self.proxy.hurry()

    def _reload(self) -> None:
        assert self.proxy is not None

        def failed(failure: Failure) -> None:
            if failure.check(admin.ReloadFailed):
                _log.error("Not reloaded, nothing changed:\n{errors}", errors=str(failure.value))
            else:
                _log.failure("The reload failed", failure)

        self.proxy.reload().addErrback(failed)


def _give_up(error: BaseException) -> None:
    """End the process with the lines that say why, and nothing else."""
    print(error, file=sys.__stderr__, flush=True)
    raise SystemExit(1)
