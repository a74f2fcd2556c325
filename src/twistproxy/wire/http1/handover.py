"""From HTTP to another protocol on the same connection: a CONNECT or an Upgrade was taken."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol

from twistproxy.net.native import bind


def hand_over(leg: Any, protocol: IProtocol, early: bytes) -> None:
    """Connect a protocol to the leg's transport; early: what the leg has read for it already.

    From here on no call of ours stands between the transport and the protocol, but for the
    connection's end, which the leg has to pass on.
    """
    transport = leg.transport
    transport.unregisterProducer()
    protocol.makeConnection(transport)
    if early:
        protocol.dataReceived(early)
    half = IHalfCloseableProtocol(protocol)
    leg.dataReceived = protocol.dataReceived
    leg.readConnectionLost = half.readConnectionLost
    leg.writeConnectionLost = half.writeConnectionLost
    bind(transport, leg)
