"""Twisted protocols on uvloop's own transports, under Twisted's asyncio reactor.

Twisted watches sockets through ``add_reader``, and driven like that uvloop is no faster than
epoll. These endpoints have the loop connect, accept, read and write by itself, and give
protocols a transport whose methods *are* the loop's:

    protocol.transport.write(data)      is uvloop's own write, bound once
    protocol.dataReceived(data)         is called by uvloop, with nothing in between

    endpoint = NativeServerEndpoint(reactor, serverFromString(reactor, "tcp:8080"))
    endpoint.listen(factory)
    NativeClientEndpoint(reactor, "192.0.2.1", 443, tls=context, server_hostname="a.example")

What holds is what holds for Twisted's own transports (interfaces below), and besides:

- What a transport reads goes to the ``dataReceived`` that its protocol had when it was connected.
  To have something else called from then on, set `NativeTransport.protocol`, or use `bind`.
- ``transport.write`` is replaced when the connection ends: look it up when you write.
- Pending bytes are written when the peer ends first; a connection both of whose halves are
  closed is lost, without being told to.
- A transport with a producer, of either kind, waits for it before it closes.
- TLS is Python's `ssl`. ``connectionMade`` comes before the handshake, which ends with
  ``IHandshakeListener.handshakeCompleted`` or with ``connectionLost`` and its `ssl.SSLError`;
  what is written before waits. No time-out is set on it. There is no half-close: a
  ``loseWriteConnection`` closes. An end without a close_notify is a ``ConnectionLost``.
- An exception in a protocol's callback is logged, and the reason of its ``connectionLost``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
    TimeoutError,
    getConnectError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IListeningPort,
    INegotiated,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ISystemHandle,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.reactor import native_loop

_log = Logger()

#: Bytes that may wait in a transport before it pauses its producer; it is resumed at none.
HIGH_WATER: Final = 64 << 10

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST
_NEVER: Final = 1e9  # seconds: handshakes are timed by those who wait for them

_DONE: Final = Failure(ConnectionDone())
_LOST: Final = Failure(ConnectionLost())
_ABORTED: Final = Failure(ConnectionAborted())


def bind(transport: Any, protocol: IProtocol) -> None:
    """From here on `protocol` is `transport`'s, whichever kind of transport it is.

    To be called, too, when a protocol's own ``dataReceived`` is another one than before.
    """
    if isinstance(transport, TLSMemoryBIOProtocol):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol


@implementer(ITCPTransport, IConsumer, IPushProducer, ISystemHandle)
class NativeTransport:
    """One connection: uvloop's protocol on one side, Twisted's transport on the other.

    made: fires with the protocol when it is connected.
    """

    __slots__ = (
        "_close",
        "_factory",
        "_first",
        "_full",
        "_held",
        "_host",
        "_later",
        "_loop",
        "_made",
        "_native",
        "_peer",
        "_producer",
        "_protocol",
        "_read_all",
        "_reason",
        "_wrote_all",
        "data_received",
        "loseConnection",
        "pauseProducing",
        "resumeProducing",
        "write",
        "writeSequence",
    )

    write: Callable[[bytes], None]
    writeSequence: Callable[[Iterable[bytes]], None]
    loseConnection: Callable[[], None]
    pauseProducing: Callable[[], None]
    resumeProducing: Callable[[], None]
    data_received: Callable[[bytes], None]  # uvloop's name; it is called as often as anything

    _native: Any  # uvloop's plain transport
    _close: Callable[[], None]  # what loseConnection is when there is no producer

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: IProtocolFactory,
        made: Deferred[IProtocol] | None = None,
    ) -> None:
        self._loop = loop
        self._factory = factory
        self._made = made
        self._protocol: Any = None  # None: it is lost, or not connected yet
        self._producer: Any = None
        self._full = False  # the producer is paused, or would be
        self._held = False  # by pauseProducing, before there was anything to pause
        self._first: list[bytes] = []  # what was read although it was held
        self._later: Callable[[], None] | None = None  # how it ends when the producer has ended
        self._read_all = False  # the peer's end has come
        self._wrote_all = False  # by loseWriteConnection
        self._reason: Failure | None = None
        self._peer: Any = None
        self._host: Any = None

    # -- the protocol -----------------------------------------------------------------

    @property
    def protocol(self) -> IProtocol | None:
        """Whose connection it is; None when it is lost. Setting it binds its dataReceived."""
        protocol: IProtocol | None = self._protocol
        return protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        if self._protocol is not None:
            self._protocol = protocol
            self._bind()

    def _bind(self) -> None:
        if self._protocol is not None and not self._held:
            self.data_received = self._protocol.dataReceived
            self._native.set_protocol(self)  # it keeps the bound method

    # -- what uvloop calls ------------------------------------------------------------

    def connection_made(self, native: Any) -> None:
        self._native = native
        # The loop's own low mark is 16 bytes; Twisted's producers go on when all is written.
        native.set_write_buffer_limits(HIGH_WATER, 0)
        self.write = native.write
        self.writeSequence = native.writelines
        self.loseConnection = self._close = native.close
        # Reading begins when we return, and can't be prevented.
        self.pauseProducing = self._hold
        self.resumeProducing = self._release_soon
        if self._connect():
            if self._held:
                self.data_received = self._keep
                native.set_protocol(self)
            else:
                self._begin()

    def _connect(self) -> bool:
        """Build the protocol and connect it. False: the connection is to end."""
        made, self._made = self._made, None
        if made is not None and made.called:  # whoever wanted it doesn't wait any more
            self._native.abort()
            return False
        try:
            protocol: Any = self._factory.buildProtocol(self.getPeer())
            self._protocol = protocol
            if protocol is None:
                raise NoProtocol
            protocol.makeConnection(self)
        except NoProtocol as refusal:
            self._native.abort()
            failure: Failure | None = Failure(refusal)
        except Exception:
            failure = self._fail("A protocol could not be connected")
        else:
            failure = None
        if made is not None:
            made.callback(protocol if failure is None else failure)
        return not self._native.is_closing()

    def _begin(self) -> None:
        self.pauseProducing = self._native.pause_reading
        self.resumeProducing = self._native.resume_reading
        self._bind()

    def eof_received(self) -> bool:
        if self._held:
            return True  # it is told again when reading goes on
        self._read_all = True
        self.pauseProducing = self.resumeProducing = _nothing  # it would be told again
        protocol = self._protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            protocol.readConnectionLost()
            return not self._wrote_all
        # What is pending is still written, but no more.
        self.write = self.writeSequence = _nothing
        self._stop_producer()
        return False

    def connection_lost(self, error: BaseException | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        reason = self._reason or self._why(error)
        self.write = self.writeSequence = self.data_received = _nothing
        self.pauseProducing = self.resumeProducing = _nothing
        self.loseConnection = self._close = _nothing
        self._later = None
        self._first.clear()
        try:
            self._stop_producer()
            protocol.connectionLost(reason)
        except Exception:
            _log.failure("A protocol could not be told of its connection's end")

    def _why(self, error: BaseException | None) -> Failure:
        if error is None:
            return _DONE
        if not isinstance(error, OSError):  # from a callback; the loop has had it logged
            return Failure(error)
        if _from_callback(error):
            failure = Failure(error)
            _log.failure("A protocol's callback failed", failure)
            return failure
        return _LOST

    def pause_writing(self) -> None:
        self._full = True
        if self._producer is not None:
            try:
                self._producer.pauseProducing()
            except Exception:
                self._fail("A producer could not be paused")

    def resume_writing(self) -> None:
        self._full = False
        if self._wrote_all:
            self._written()
        elif self._producer is not None:
            try:
                self._producer.resumeProducing()
            except Exception:
                self._fail("A producer could not be resumed")

    # -- paused before it has begun to read --------------------------------------------

    def _hold(self) -> None:
        self._held = True

    def _release_soon(self) -> None:
        if self._held:
            self._held = False
            self._loop.call_soon(self._release)

    def _release(self) -> None:
        if self._held or self._protocol is None:
            return
        first, self._first = self._first, []
        self._begin()
        self.resumeProducing()
        if first:
            try:
                self.data_received(b"".join(first))
            except Exception:
                self._fail("A protocol's callback failed")

    def _keep(self, data: bytes) -> None:
        self._first.append(data)
        self._native.pause_reading()

    # -- ITransport, ITCPTransport ------------------------------------------------------

    @property
    def disconnecting(self) -> bool:
        """No more is read, though some may still be written."""
        return self._later is not None or self._native.is_closing()

    def loseWriteConnection(self) -> None:
        if self._producer is not None:
            self._later = self._later or self._shut_down
        elif self._protocol is not None and not self._wrote_all:
            self._shut_down()

    def _shut_down(self) -> None:
        native = self._native
        self._wrote_all = True
        self.write = self.writeSequence = _nothing
        if self._read_all:
            native.close()
        elif not native.is_closing():
            native.write_eof()
            if native.get_write_buffer_size():
                native.set_write_buffer_limits(0)  # so that resume_writing tells the end
            else:
                self._loop.call_soon(self._written)

    def _written(self) -> None:
        if IHalfCloseableProtocol.providedBy(self._protocol):
            try:
                self._protocol.writeConnectionLost()
            except Exception:
                self._fail("A protocol's callback failed")

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the kernel has not got yet."""
        size: int = self._native.get_write_buffer_size()
        return size

    def abortConnection(self) -> None:
        if self._protocol is None or self._reason is not None:
            return
        self._reason = _ABORTED
        self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._native.abort()

    def _fail(self, what: str) -> Failure:
        """An exception is being handled: log it, and end the connection."""
        failure = Failure()
        _log.failure(what, failure)
        self._reason = self._reason or failure
        self._native.abort()
        return failure

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = _address(self._native.get_extra_info("peername"))
        return self._peer

    def getHost(self) -> Any:
        if self._host is None:
            self._host = _address(self._native.get_extra_info("sockname"))
        return self._host

    def getHandle(self) -> Any:
        """The socket, for its options and its number; None when it is closed."""
        handle = self._native.get_extra_info("socket")
        return None if handle is None or handle.fileno() < 0 else handle

    def getTcpNoDelay(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """The loop has set it already."""
        if not enabled or not self.getTcpNoDelay():
            self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _set_option(self, level: int, option: int, value: int | bytes) -> None:
        with suppress(AttributeError, OSError):  # it is closed, or has no such option
            self.getHandle().setsockopt(level, option, value)

    # -- IConsumer, IPushProducer -------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{producer!r} is one too many: {self._producer!r} is registered")
        if self._protocol is None:
            producer.stopProducing()
            return
        self._producer = producer if streaming else _Pulled(producer, self._loop, self._fail)
        self.loseConnection = self._close_later
        if self._full:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pulled):
            producer.pauseProducing()
        self.loseConnection = self._close
        later, self._later = self._later, None
        if later is not None:
            later()

    def stopProducing(self) -> None:
        self.loseConnection()

    def _close_later(self) -> None:
        self._later = self._close

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self.loseConnection = self._close
            producer.stopProducing()


@implementer(ISSLTransport, INegotiated)
class NativeTlsTransport(NativeTransport):
    """One over TLS. ssl_object: what Python's ssl knows of it; None before the handshake is done.

    context: shared by all connections. server_hostname: whom a client expects, and asks for by
    SNI; None: this is the server's side.
    """

    __slots__ = ("_context", "_early", "_early_size", "_hostname", "ssl_object")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: IProtocolFactory,
        made: Deferred[IProtocol] | None,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
    ) -> None:
        super().__init__(loop, factory, made)
        self.ssl_object: ssl.SSLObject | None = None
        self._context = context
        self._hostname = server_hostname
        self._early: list[bytes] = []  # what is written before the handshake is done
        self._early_size = 0

    def _bind(self) -> None:
        if self._protocol is not None:
            self.data_received = self._protocol.dataReceived

    # -- the handshake ------------------------------------------------------------------

    def connection_made(self, native: Any) -> None:
        self._native = native
        native.set_write_buffer_limits(HIGH_WATER, 0)
        self.write = self._write_early
        self.writeSequence = self._write_all_early
        self.loseConnection = self._close = self._close_early
        self.pauseProducing = self._hold
        self.resumeProducing = self._let_go
        if not self._connect():
            return
        self._bind()
        handshake = self._loop.start_tls(
            native,
            cast(asyncio.BaseProtocol, self),
            self._context,
            server_side=self._hostname is None,
            server_hostname=self._hostname,
            ssl_handshake_timeout=_NEVER,
        )
        # As far as to its only future: no task is needed for that, and a first read that comes
        # before the loop's next turn finds TLS in place.
        handshake.send(None).add_done_callback(partial(self._shaken, handshake))

    def _shaken(self, handshake: Coroutine[Any, Any, Any], future: object) -> None:
        """The handshake has ended. uvloop tells of a loss in it only here."""
        error, tls = None, None
        try:
            handshake.send(None)
        except StopIteration as ended:
            tls = ended.value
            self.ssl_object = tls.get_extra_info("ssl_object")
        except Exception as raised:
            error = raised.with_traceback(None)  # of no use, and its frames would keep all this
        if self.ssl_object is None:
            self.connection_lost(error)
        elif self._protocol is not None:
            self._open(tls)

    def _open(self, tls: Any) -> None:
        tls.set_write_buffer_limits(HIGH_WATER, 0)
        self.write = tls.write
        self.writeSequence = tls.writelines
        self.pauseProducing = tls.pause_reading
        self.resumeProducing = tls.resume_reading
        self._close = partial(self._close_tls, tls)
        if self._held:
            tls.pause_reading()
        early, self._early = self._early, []
        if self._producer is None:
            self.loseConnection = self._close
        if self._later is not None:
            self._later = self._close
        was_full, self._full = self._full, False
        tls.writelines(early)
        if was_full and not self._full:
            self.resume_writing()
        if self._wrote_all:  # it was to be closed when this is done
            self._close()
        elif IHandshakeListener.providedBy(self._protocol):
            try:
                self._protocol.handshakeCompleted()
            except Exception:
                self._fail("A protocol's callback failed")

    def _write_early(self, data: bytes) -> None:
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > HIGH_WATER and not self._full:
            self.pause_writing()

    def _write_all_early(self, data: Iterable[bytes]) -> None:
        self._write_early(b"".join(data))

    def _close_early(self) -> None:
        if self._early:
            self._wrote_all = True
        else:
            self.abortConnection()

    def _let_go(self) -> None:
        self._held = False

    # -- what differs when it is done ----------------------------------------------------

    def eof_received(self) -> bool:
        """The peer's close_notify."""
        self._read_all = True
        self.write = self.writeSequence = _nothing
        self._stop_producer()
        return False

    def _close_tls(self, tls: Any) -> None:
        self._wrote_all = True
        self.write = self.writeSequence = _nothing
        tls.close()

    def _why(self, error: BaseException | None) -> Failure:
        if error is None and not self._read_all and not self._wrote_all:
            return _LOST  # TCP's end only: anybody could have sent that
        if isinstance(error, ssl.SSLError) and not _from_callback(error):
            return Failure(error.with_traceback(None))
        return super()._why(error)

    @property
    def disconnecting(self) -> bool:
        return self._wrote_all or self._read_all or super().disconnecting

    def loseWriteConnection(self) -> None:
        self.loseConnection()

    # -- ISSLTransport, INegotiated -------------------------------------------------------

    @property
    def negotiatedProtocol(self) -> bytes | None:
        name = self.ssl_object.selected_alpn_protocol() if self.ssl_object else None
        return None if name is None else name.encode("ascii")

    def getPeerCertificate(self) -> Any:
        """pyOpenSSL's X509, as of Twisted's transports; None: the peer showed none."""
        der = self.ssl_object.getpeercert(binary_form=True) if self.ssl_object else None
        if der is None:
            return None
        from OpenSSL import crypto

        return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


class _Pulled:
    """A pull producer made a push producer: asked once a turn of the loop while there is room."""

    def __init__(
        self, producer: Any, loop: asyncio.AbstractEventLoop, failed: Callable[[str], object]
    ) -> None:
        self._producer = producer
        self._loop = loop
        self._failed = failed
        self._turn: asyncio.Handle | None = None

    def resumeProducing(self) -> None:
        self._turn = self._loop.call_soon(self.resumeProducing)
        try:
            self._producer.resumeProducing()
        except Exception:
            self.pauseProducing()
            self._failed("A producer failed")

    def pauseProducing(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()


# -- endpoints --------------------------------------------------------------------------


@implementer(IStreamClientEndpoint)
class NativeClientEndpoint:
    """Connects to an address. reactor: the asyncio reactor, on a uvloop loop.

    host: an IP address; names are for `twisted.internet.endpoints.HostnameEndpoint`, say.
    timeout: seconds. tls: to speak TLS by it, with a server that goes by `server_hostname`.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        timeout: float = 30.0,
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
        address = _address((self._host, self._port))
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

    def begin(self, reactor: Any, timeout: float) -> None:
        try:
            self._future = self._steps.send(None)
        except Exception as error:
            self._fail(error)
            return
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


def _nothing(*_: object) -> None:
    pass


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


def _from_callback(error: BaseException) -> bool:
    """Whether Python code has raised it; the peer's faults come from uvloop and from ssl."""
    traceback = error.__traceback__
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.endswith((".pyx", "/ssl.py")):
            return True
        traceback = traceback.tb_next
    return False


def _address(name: Any) -> IPv4Address | IPv6Address | UNIXAddress:
    """name: the socket's, as Python has it; "" and None: a unix socket without one."""
    if isinstance(name, tuple):
        return IPv4Address("TCP", *name) if len(name) == 2 else IPv6Address("TCP", *name)
    return UNIXAddress(os.fsencode(name) if name else None)
