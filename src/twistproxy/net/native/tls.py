"""A native transport over TLS: uvloop's, which runs Python's `ssl` on memory buffers.

from             to             in between
connectionMade   the handshake  writes wait here, pauses are remembered, a close aborts
the handshake    the end        uvloop's methods, as without TLS

Paused, it reads no more, whatever the peer does. Only what came in one read with the last of the
handshake (256 KiB at most) is still delivered when it was paused before that.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    INegotiated,
    IProtocol,
    IProtocolFactory,
    ISSLTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.native.transport import (
    HIGH_WATER,
    LOST,
    NativeTransport,
    from_callback,
    nothing,
)

_NEVER: Final = 1e9  # seconds: beginnings and ends are timed by those who wait for them


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
            ssl_shutdown_timeout=_NEVER,
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
        self._put = tls.write
        self._put_all = tls.writelines
        self.write = self._write
        self.writeSequence = self._write_all
        # Of the connection beneath: a paused TLS of uvloop drops what it holds at the peer's end.
        self.pauseProducing = self._native.pause_reading
        self.resumeProducing = self._native.resume_reading
        self._close = partial(self._close_tls, tls)
        if self._held:
            self._native.pause_reading()
        early, self._early = self._early, []
        if self._producer is None:
            self.loseConnection = self._close
        if self._later is not None:
            self._later = self._close
        was_full, self._full = self._full, False
        if early:
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
        self.flush()
        self.write = self.writeSequence = nothing
        self._stop_producer()
        return False

    def _close_tls(self, tls: Any) -> None:
        self.flush()
        self._wrote_all = True
        self.write = self.writeSequence = nothing
        self.pauseProducing = self.resumeProducing = nothing
        tls.close()
        self._native.resume_reading()  # the peer's close_notify; what else comes is dropped

    def _why(self, error: BaseException | None) -> Failure:
        if error is None and not self._read_all and not self._wrote_all:
            return LOST  # TCP's end only: anybody could have sent that
        if isinstance(error, ssl.SSLError) and not from_callback(error):
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
