"""What `twistd twistproxy` calls: options, the reactor, the log, the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.application.service import IService
from twisted.python.usage import Options as BaseOptions

from twistproxy import logs
from twistproxy.config import load
from twistproxy.config.model import Config
from twistproxy.net import reactor as reactors


class Options(BaseOptions):
    """The command line of `twistd twistproxy`.

    A configuration with errors ends the process here, with these errors and nothing else.
    """

    optParameters = [  # noqa: RUF012 - usage.Options reads a plain list
        ["config", "c", None, "The TOML file to run by. Searched for when not given."]
    ]
    config: Config
    file: Path | None

    def postOptions(self) -> None:
        # Balancers are plugins: naming them imports no reactor.
        from twistproxy.upstream import balance

        self.file = load.find(Path(self["config"]) if self["config"] else None)
        try:
            if self.file is None:
                self.config = load.defaults(os.environ)
            else:
                self.config = load.load(self.file, os.environ, balancers=balance.names())
        except load.ConfigErrors as errors:
            print(errors, file=sys.stderr)
            raise SystemExit(1) from None
        reactors.install()
        logs.choose(self.parent, self.config.log.level)


def makeService(options: Options) -> IService:
    """The service that twistd starts and stops, its listeners open already.

    twistd asks for it before it begins its log, goes into the background and gives up its rights:
    what can't be opened is told on the terminal, and by the exit status.
    """
    # Only now: these import the reactor, which has to be installed first.
    from twisted.internet import reactor

    from twistproxy.app import CannotRun
    from twistproxy.process import Process, open_proxy

    file = options.file and options.file.absolute()  # twistd may go to another folder
    try:
        return Process(reactor, open_proxy(reactor, options.config, file))
    except (CannotRun, load.ConfigErrors) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
