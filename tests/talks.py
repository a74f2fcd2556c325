"""Connections on a reactor of one kind, and what their protocols are told.

net = Net("native", folder, server_tls, trust)
talk = net.talk(Tape(data=lambda tape: tape.transport.write(b"answer")), "tls")
talk.peer.send(b"question")
net.until(lambda: talk.peer.read() == b"answer")
net.close()
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPullProducer,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from sockets import Machine, Peer
from twistproxy.net.listen import listen
from twistproxy.net.tls import ServerTls

KINDS = ("native", "epoll")
FAMILIES = ("tcp", "tcp6", "unix", "tls")
MUCH = 16 << 20  #: bytes: more than the kernel takes for a peer that doesn't read


class Tape(Protocol):
    """What is told to a protocol, and what is done when it is."""

    transport: Any

    def __init__(self, **on: Callable[[Any], object]) -> None:
        """on: by the callback's name, what else it does with us."""
        self.on = on
        self.received = b""
        self.events: list[str] = []
        self.lost: Failure | None = None

    def _told(self, name: str) -> None:
        self.events.append(name)
        if name in self.on:
            self.on[name](self)

    def connectionMade(self) -> None:
        self._told("made")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._told("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None
        self.lost = reason
        self._told("lost")

    @property
    def why(self) -> type[BaseException] | None:
        return self.lost.type if self.lost else None


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class HalfTape(Tape):
    def readConnectionLost(self) -> None:
        self._told("eof")

    def writeConnectionLost(self) -> None:
        self._told("written")

    def handshakeCompleted(self) -> None:
        self._told("shaken")


class Tapes(Factory):
    """Builds what it is given, one after the other; then Tapes."""

    noisy = False

    def __init__(self, *protocols: Any) -> None:
        self.waiting = list(protocols)
        self.built: list[Any] = []
        self.peers: list[Any] = []

    def buildProtocol(self, addr: object) -> Any:
        self.peers.append(addr)
        self.built.append(self.waiting.pop(0) if self.waiting else Tape())
        return self.built[-1]


class TlsPeer(Peer):
    """A client over TLS. end: "truncated" where there was no close_notify."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self.socket = context.wrap_socket(
            sock,
            server_hostname="tls.example",
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )

    def shake(self) -> bool:
        try:
            self.socket.do_handshake()  # type: ignore[attr-defined]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self.end = "reset"
        return True

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.end = "reset"
        return 0

    def read(self) -> bytes:
        while not self.end:
            try:
                data = self.socket.recv(1 << 20)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except ssl.SSLEOFError:
                self.end = "truncated"
            except OSError:
                self.end = "reset"
            else:
                if not data:
                    self.end = "eof"
                self.got += data
        return bytes(self.got)


@frozen
class Talk:
    """A connection: its protocol here, and the peer."""

    protocol: Any
    peer: Any

    @property
    def transport(self) -> Any:
        return self.protocol.transport


class Net:
    """A reactor of one kind, what listens on it, and who came."""

    def __init__(self, kind: str, folder: Path, tls: ServerTls, trust: ssl.SSLContext) -> None:
        self.kind = kind
        self.tls = tls
        self._trust = trust
        self._machine = Machine("uvloop" if kind == "native" else "epoll")
        self.reactor = self._machine.reactor
        self.until = self._machine.until
        self.turns = self._machine.turns
        self._folder = folder
        self._ports: list[Any] = []
        self._peers: list[Peer] = []
        self.built: list[Any] = []

    def listen(self, factory: Factory, family: str = "tcp") -> Any:
        where = {
            "tcp6": r"tcp:0:interface=\:\:1",
            "unix": f"unix:{self._folder / 'socket'}",
        }.get(family, "tcp:0:interface=127.0.0.1")
        results: list[Any] = []
        tls = self.tls if family == "tls" else None
        listen(self.reactor, where, factory, tls).addBoth(results.append)
        (port,) = results
        self._ports.append(port)
        return port

    def knock(self, port: Any) -> socket.socket:
        address = port.getHost()
        if isinstance(address, UNIXAddress):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(os.fsdecode(address.name))
            return sock
        return socket.create_connection((address.host, address.port))

    def peer(self, sock: socket.socket, family: str = "tcp") -> Any:
        peer = TlsPeer(sock, self._trust) if family == "tls" else Peer(sock)
        self._peers.append(peer)
        return peer

    def ended(self, peer: Any) -> None:
        """The peer has read all, and the end."""
        self.until(lambda: [peer.read(), peer.end][1])

    def talk(self, protocol: Any = None, family: str = "tcp", shaken: bool = True) -> Talk:
        """Somebody connects to `protocol`; over TLS the handshake is done, too."""
        factory = Tapes(*([protocol] if protocol else []))
        peer = self.peer(self.knock(self.listen(factory, family)), family)
        if family == "tls" and shaken:
            self.until(peer.shake)
        self.until(lambda: factory.built)
        self.turns(3)
        self.built += factory.built
        return Talk(factory.built[0], peer)

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        for port in self._ports:
            port.stopListening()
        for protocol in self.built:
            if protocol is not None and protocol.lost is None:
                protocol.transport.abortConnection()
        self.turns()
        self._machine.close()


def patterned(size: int) -> bytes:
    return b"".join(n.to_bytes(4, "big") * 256 for n in range(size // 1024))


class Producer:
    """Writes pieces while it may, and counts what it is told."""

    def __init__(self, transport: Any, pieces: int, size: int = 100_000) -> None:
        self.transport = transport
        self.left = pieces
        self.size = size
        self.told: list[str] = []

    def stopProducing(self) -> None:
        self.told.append("stop")
        self.left = 0

    def piece(self) -> None:
        self.left -= 1
        self.transport.write(bytes([self.left % 256]) * self.size)


@implementer(IPushProducer)
class Push(Producer):
    paused = False

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.paused = False
        while self.left and not self.paused:
            self.piece()


@implementer(IPullProducer)
class Pull(Producer):
    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.left:
            self.piece()
        else:
            self.transport.unregisterProducer()


def faults(logged: Any) -> list[type[BaseException]]:
    return [event["log_failure"].type for event in logged if "log_failure" in event]


def failing(error: type[Exception]) -> Callable[[object], None]:
    def fail(tape: object) -> None:
        raise error("a bug")

    return fail


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Full:
    """A server whose queue is full: the next connect is not answered."""

    def __init__(self) -> None:
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(0)
        self.port: int = self.server.getsockname()[1]
        self._clients = [socket.socket() for _ in range(3)]
        for client in self._clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        for sock in (self.server, *self._clients):
            sock.close()
