"""Where native transports come from: the loop's own connects and accepts.

The loop's coroutines are stepped by hand, as each waits for one future at most.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import (
    ConnectingCancelledError,
    TimeoutError,
    getConnectError,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.native.tls import NativeTlsTransport
from twistproxy.net.native.transport import NativeTransport, address_of
from twistproxy.net.reactor import native_loop

_log = Logger()


@implementer(IStreamClientEndpoint)
class NativeClientEndpoint:
    """Connects to an address. reactor: the asyncio reactor, on a uvloop loop.

    host: an IP address; names are for `twisted.internet.endpoints.HostnameEndpoint`, say.
    timeout: seconds; None: whoever waits has one. tls: to speak TLS by it, with a server that
    goes by `server_hostname`.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        timeout: float | None = 30.0,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._loop = _loop(reactor)
        self._host = host
        self._port = port
        self._timeout = timeout
        self._tls = tls
        self._server_hostname = server_hostname or host

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the protocol once it is connected; fails as Twisted's own connects do."""
        if not isIPAddress(self._host) and not isIPv6Address(self._host):
            return fail(ValueError(f"{self._host!r} is no IP address"))
        if not 0 <= self._port < 1 << 16:  # of which the loop would take 16 bits
            return fail(OverflowError("port must be 0-65535."))
        address = address_of((self._host, self._port))
        made: Deferred[IProtocol] = Deferred(lambda _: connecting.cancel(address))
        transport = (
            NativeTransport(self._loop, protocolFactory, made)
            if self._tls is None
            else NativeTlsTransport(
                self._loop, protocolFactory, made, self._tls, self._server_hostname
            )
        )
        steps = self._loop.create_connection(
            lambda: cast(asyncio.Protocol, transport), self._host, self._port
        )
        connecting = _Connecting(made, steps)
        connecting.begin(self._reactor, self._timeout)
        return made


class _Connecting:
    """One connect: uvloop's coroutine, and its only future."""

    def __init__(self, made: Deferred[IProtocol], steps: Coroutine[Any, Any, Any]) -> None:
        self._made = made
        self._steps = steps
        self._future: Any = None
        self._timer: Any = None

    def begin(self, reactor: Any, timeout: float | None) -> None:
        try:
            self._future = self._steps.send(None)
        except Exception as error:
            self._fail(error)
            return
        if timeout is not None:
            self._timer = reactor.callLater(timeout, self._too_late)
        self._future.add_done_callback(self._done)

    def _done(self, future: object) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        try:
            self._steps.send(None)
        except StopIteration:
            pass  # the transport has told that it is connected
        except asyncio.CancelledError:
            pass  # whoever cancelled knows
        except Exception as error:
            self._fail(error)

    def cancel(self, address: object) -> None:
        self._future.cancel()
        self._fail(ConnectingCancelledError(address))

    def _too_late(self) -> None:
        self._future.cancel()
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        if self._made.called:
            return
        if isinstance(error, OSError) and error.errno:
            error = getConnectError((error.errno, os.strerror(error.errno)))
        self._made.errback(error)


@implementer(IStreamServerEndpoint)
class NativeServerEndpoint:
    """Listens where `endpoint` does, whose port has a listening socket: TCP, UNIX, systemd's.

    reactor: the asyncio reactor, on a uvloop loop. tls: to speak TLS by it.
    """

    def __init__(
        self, reactor: Any, endpoint: IStreamServerEndpoint, tls: ssl.SSLContext | None = None
    ) -> None:
        self._loop = _loop(reactor)
        self._endpoint = endpoint
        self._tls = tls

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        def serve(port: Any) -> IListeningPort:
            port.stopReading()
            return _Port(self._loop, port, build)

        build: Callable[[], NativeTransport] = partial(NativeTransport, self._loop, protocolFactory)
        if self._tls is not None:
            build = partial(NativeTlsTransport, self._loop, protocolFactory, None, self._tls)
        return maybeDeferred(self._endpoint.listen, protocolFactory).addCallback(serve)


@implementer(IListeningPort)
class _Port:
    """A port of Twisted's, at whose socket the loop accepts.

    Out of files, the loop accepts with one that it has in reserve, and closes at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, port: Any, build: Callable[[], NativeTransport]
    ) -> None:
        self._loop = loop
        self._port = port
        self._build = build
        self._server: Any = None
        self.startListening()

    @property
    def socket(self) -> socket.socket:
        """The one that listens."""
        listening: socket.socket = self._port.socket
        return listening

    def startListening(self) -> None:
        """It does from the beginning."""
        backlog = getattr(self._port, "backlog", None) or socket.SOMAXCONN
        steps: Any = self._loop.create_server(
            cast(Callable[[], asyncio.Protocol], self._build),
            sock=self._port.socket.dup(),
            backlog=backlog,
        )
        try:
            steps.send(None)  # never waits: the socket is bound
        except StopIteration as ended:
            self._server = ended.value

    def stopListening(self) -> Any:
        self._server.close()
        return self._port.stopListening()

    def getHost(self) -> Any:
        return self._port.getHost()


def _loop(reactor: object) -> asyncio.AbstractEventLoop:
    loop = native_loop(reactor)
    if loop is None:
        raise TypeError(f"{reactor!r} does not run on uvloop")
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(_tell)
    return loop


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop would write to asyncio's log goes to Twisted's."""
    error = context.get("exception")
    if error is None:
        _log.error("{message}", message=context["message"])
    else:
        _log.failure("{message}", Failure(error), message=context["message"])
