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
transport   one connection: uvloop's protocol on one side, Twisted's transport on the other
tls         one over TLS
endpoints   how connections come: IStreamServerEndpoint, IStreamClientEndpoint

Knows nothing of the rest of this program but `net.reactor`.
"""

from __future__ import annotations

from twistproxy.net.native.endpoints import NativeClientEndpoint, NativeServerEndpoint
from twistproxy.net.native.tls import NativeTlsTransport
from twistproxy.net.native.transport import HIGH_WATER, NativeTransport, bind

__all__ = [
    "HIGH_WATER",
    "NativeClientEndpoint",
    "NativeServerEndpoint",
    "NativeTlsTransport",
    "NativeTransport",
    "bind",
]
