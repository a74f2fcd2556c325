"""Servers without sockets: a dialler whose connections the test makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twistproxy.config.model import Limits, Timeouts
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.net.dial import Reason, Unreachable
from twistproxy.net.sweep import Sweep
from twistproxy.upstream import Means
from twistproxy.wire import Terms
from twistproxy.wire.http1.server_leg import ServerLeg

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Transport(StringTransport):
    """Not to be told off for a producer that has gone already, like the real ones."""

    def unregisterProducer(self) -> None:
        self.producer = None


class Side:
    """A `ServerSide` that only remembers how it ended."""

    answered = False
    problem: Any = None

    def response_received(self, *_: object) -> None: ...
    def response_ended(self, *_: object) -> None:
        self.answered = True

    def server_failed(self, problem: Any) -> None:
        self.problem = problem


class Outside:
    """What is beyond the servers: time, and a dialler whose dials end when the test says so.

    dialled: host, port and the rest of each dial.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        sweep = Sweep(self.clock)
        sweep.start()
        self.terms = Terms(Limits(), Timeouts())
        self.means = Means(self, sweep, self.terms, self.judge)  # type: ignore[arg-type]
        self.dialled: list[tuple[str, int, dict[str, Any]]] = []
        self._pending: list[tuple[Any, Deferred[Any]]] = []

    def judge(self, address: str, port: int) -> Reason | None:
        return None

    def dial(self, host: str, port: int, protocol: Any, **options: Any) -> Deferred[Any]:
        self.dialled.append((host, port, options))
        result: Deferred[Any] = Deferred()
        self._pending.append((protocol, result))
        return result

    def connect(self) -> None:
        """The oldest dial under way succeeds."""
        protocol, result = self._pending.pop(0)
        protocol.makeConnection(Transport())
        result.callback(protocol)

    def refuse(self, reason: Reason = Reason.REFUSED) -> None:
        """The oldest dial under way fails."""
        _, result = self._pending.pop(0)
        result.errback(Unreachable(reason, "192.0.2.1: no"))

    def hello(self) -> bytes | None:
        """What the latest dial would begin its TLS with; None without TLS."""
        tls = self.dialled[-1][2]["tls"]
        if tls is None:
            return None
        transport = StringTransport()
        tls.wrap(Protocol(), self.clock).makeConnection(transport)
        return transport.value()

    def leg(self, server: Any) -> ServerLeg:
        """A new connection of the server's."""
        legs: list[ServerLeg] = []
        server.connect().addCallback(legs.append)
        self.connect()
        return legs[0]

    def ask(self, leg: ServerLeg) -> Side:
        side = Side()
        leg.send(side, Request(b"GET", b"/", Fields()), 0, 30.0)  # type: ignore[arg-type]
        return side

    def exchange(self, leg: ServerLeg) -> ServerLeg:
        """A whole one, after which the leg is idle."""
        side = self.ask(leg)
        leg.dataReceived(ANSWER)
        assert side.answered
        return leg

    def idle(self, server: Any, count: int = 1) -> list[ServerLeg]:
        """So many idle connections, in the order in which they were used."""
        return [self.exchange(leg) for leg in [self.leg(server) for _ in range(count)]]

    def lose(self, leg: ServerLeg) -> None:
        """The connection has ended."""
        leg.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def outside() -> Outside:
    return Outside()


def _authority(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file.stem)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A file with the certificate of an authority."""
    return _authority(tmp_path / "one.pem")


@pytest.fixture
def other_authority(tmp_path: Path) -> Path:
    return _authority(tmp_path / "other.pem")
