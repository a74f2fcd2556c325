"""handover: what a transport tells its leg reaches the protocol that took over."""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from twistproxy.wire.http1.handover import hand_over


@implementer(IHalfCloseableProtocol)
class Taker(Protocol):
    def __init__(self):
        self.told = []

    def connectionMade(self):
        self.told.append("made")

    def dataReceived(self, data):
        self.told.append(data)

    def readConnectionLost(self):
        self.told.append("read lost")

    def writeConnectionLost(self):
        self.told.append("write lost")


def test_what_comes_goes_to_the_taker_in_order(wire):
    leg = Protocol()
    leg.transport = wire(leg)
    leg.transport.registerProducer(object(), True)
    taker = Taker()
    hand_over(leg, taker, b"early")
    leg.dataReceived(b"late")
    leg.readConnectionLost()
    leg.writeConnectionLost()
    assert taker.told == ["made", b"early", b"late", "read lost", "write lost"]
    assert taker.transport is leg.transport
    assert leg.transport.producer is None


def test_nothing_early_is_not_told(wire):
    leg = Protocol()
    leg.transport = wire(leg)
    taker = Taker()
    hand_over(leg, taker, b"")
    assert taker.told == ["made"]
