"""An endpoint string → a listening port, or one clear line that says why not."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.net.native import NativeServerEndpoint
from twistproxy.net.options import tune
from twistproxy.net.reactor import native_loop
from twistproxy.net.tls import ServerTls

_log = Logger()

BACKLOG = 1024  #: connections the kernel queues for us; Twisted's own default of 50 drops bursts

_WITH_BACKLOG = ("tcp:", "tcp6:", "unix:")


@frozen
class ListenFailed(Exception):
    """`str()` is the line to print: "tcp:3128:interface=127.0.0.1: address already in use"."""

    description: str
    why: str

    def __str__(self) -> str:
        return f"{self.description}: {self.why}"


def listen(
    reactor: Any, description: str, factory: IProtocolFactory, tls: ServerTls | None = None
) -> Deferred[IListeningPort]:
    """Listen where `description`, a Twisted endpoint string, says; the log has it, too.

    tls: the connections are over it. On uvloop they are the loop's own. It has fired when this
    returns, and needs no turn of the reactor.
    Fails with `ListenFailed`.
    """

    def begin() -> Deferred[IListeningPort]:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, _with_backlog(description))
        if native_loop(reactor) is not None:
            context = None if tls is None else tls.context
            return NativeServerEndpoint(reactor, endpoint, context).listen(factory)
        return endpoint.listen(factory if tls is None else tls.wrap(factory, reactor))

    def begun(port: IListeningPort) -> IListeningPort:
        tune(getattr(port, "socket", None))
        _log.info("Listening on {description}", description=description)
        return port

    # A bad string raises ValueError, TypeError, KeyError…, as its endpoint's parser likes.
    return maybeDeferred(begin).addCallbacks(begun, _explain, errbackArgs=(description,))


def addresses(port: IListeningPort) -> tuple[str, int]:
    """The interface and the port number that `port` has bound.

    A wildcard is "0.0.0.0" or "::". A unix socket: its path and 0.
    """
    address = port.getHost()
    if isinstance(address, (IPv4Address, IPv6Address)):
        return address.host, address.port
    name = getattr(address, "name", None)  # None: a socket that was given to us, unnamed
    return os.fsdecode(name or b""), 0


def _with_backlog(description: str) -> str:
    if description.startswith(_WITH_BACKLOG) and ":backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


def _explain(failure: Failure, description: str) -> NoReturn:
    error: Any = failure.value
    if isinstance(error, CannotListenError):
        error = error.socketError  # or, of a locked unix socket, only words
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    why = f"{text[0].lower()}{text[1:]}" if text else type(error).__name__
    raise ListenFailed(description, why) from failure.value
