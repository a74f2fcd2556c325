from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs

from sockets import open_files
from talks import (
    KINDS,
    Full,
    HalfTape,
    Net,
    Tape,
    Tapes,
    unused_port,
)
from twistproxy.net.native import (
    NativeClientEndpoint,
    NativeServerEndpoint,
)

# Clients


def endpoint(net: Net, host: str, port: int, timeout: float = 5.0) -> Any:
    if net.kind == "native":
        return NativeClientEndpoint(net.reactor, host, port, timeout)
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    return kind(net.reactor, host, port, timeout)


def connecting(
    net: Net, host: str, port: int, factory: Factory, timeout: float = 5.0
) -> tuple[Deferred[Any], list[Any]]:
    results: list[Any] = []
    deferred = endpoint(net, host, port, timeout).connect(factory)
    deferred.addBoth(results.append)
    return deferred, results


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connect(net: Net, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        factory = Tapes()
        port = server.getsockname()[1]
        _, results = connecting(net, host, port, factory)
        net.until(lambda: results)
        peer = net.peer(server.accept()[0])
    net.built += results
    assert results == factory.built
    (protocol,) = results
    assert protocol.transport.getPeer().host == host
    assert protocol.transport.getPeer().port == port
    protocol.transport.write(b"hello")
    net.until(lambda: peer.read() == b"hello")
    peer.close()
    net.until(lambda: protocol.lost)


def test_a_connect_over_tls(native: Net, trust: ssl.SSLContext) -> None:
    there = Tapes(Tape(data=lambda tape: tape.transport.write(tape.received)))
    port = native.listen(there, "tls").getHost().port
    results: list[Any] = []
    here = Tapes(HalfTape(shaken=lambda tape: tape.transport.write(b"hello")))
    NativeClientEndpoint(
        native.reactor, "127.0.0.1", port, tls=trust, server_hostname="tls.example"
    ).connect(here).addBoth(results.append)
    native.until(lambda: here.built and here.built[0].received == b"hello")
    native.built += here.built + there.built
    assert results == here.built
    assert here.built[0].events == ["made", "shaken", "data"]
    certificate = here.built[0].transport.getPeerCertificate().to_cryptography()
    assert certificate.subject.rfc4514_string() == "CN=tls.example"


def test_a_connect_to_who_is_not_believed(native: Net) -> None:
    port = native.listen(Tapes(), "tls").getHost().port
    here = Tapes()
    NativeClientEndpoint(
        native.reactor, "127.0.0.1", port, tls=ssl.create_default_context()
    ).connect(here)
    with capturedLogs() as logged:
        native.until(lambda: here.built and here.built[0].lost)
    assert here.built[0].why is ssl.SSLCertVerificationError
    assert not logged


def test_a_connect_is_refused(net: Net) -> None:
    _, results = connecting(net, "127.0.0.1", unused_port(), Tapes())
    net.until(lambda: results)
    assert results[0].type is ConnectionRefusedError
    assert str(results[0].value) == (
        "Connection was refused by other side: 111: Connection refused."
    )


def test_a_connect_without_a_way(net: Net) -> None:
    _, results = connecting(net, "255.255.255.255", 80, Tapes())
    net.until(lambda: results)
    assert isinstance(results[0].value, ConnectError)
    assert results[0].value.osError


def test_a_connect_that_is_not_answered(net: Net, full: Full) -> None:
    before = open_files()
    _, results = connecting(net, "127.0.0.1", full.port, Tapes(), timeout=0.05)
    net.until(lambda: results)
    assert results[0].type is TimeoutError
    net.until(lambda: open_files() == before)


def test_a_connect_that_is_cancelled(net: Net, full: Full) -> None:
    before = open_files()
    factory = Tapes()
    deferred, results = connecting(net, "127.0.0.1", full.port, factory)
    net.turns()
    deferred.cancel()
    net.until(lambda: results)
    assert results[0].type is ConnectingCancelledError
    net.until(lambda: open_files() == before)
    assert not factory.built
    assert not net.reactor.getDelayedCalls()


@pytest.mark.parametrize("turns", range(4))
def test_a_connect_that_is_cancelled_when_it_arrives(net: Net, turns: int) -> None:
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        deferred, results = connecting(net, *server.getsockname(), Tapes())
        net.turns(turns)
        if results:
            results[0].transport.abortConnection()
        deferred.cancel()
        net.turns()
    net.turns()
    net.until(lambda: open_files() == before)


def test_a_client_factory_that_refuses(net: Net) -> None:
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, results = connecting(net, *server.getsockname(), Tapes(None))
        net.until(lambda: results)
        server.accept()[0].close()
    assert results[0].type is NoProtocol
    net.until(lambda: open_files() == before)


@pytest.mark.parametrize(("host", "port"), [("a.example", 80), ("", 80), ("127.0.0.1", 99999)])
def test_what_can_not_be_connected_to(native: Net, host: str, port: int) -> None:
    _, results = connecting(native, host, port, Tapes())
    native.until(lambda: results)
    assert isinstance(results[0].value, (ValueError, OverflowError))


def test_only_on_uvloop() -> None:
    with pytest.raises(TypeError):
        NativeClientEndpoint(object(), "127.0.0.1", 80)


# Servers


def test_a_port_that_stops(net: Net) -> None:
    before = open_files()
    factory = Tapes()
    port = net.listen(factory)
    address = port.getHost()
    kept = net.peer(net.knock(port))
    net.until(lambda: factory.built)
    net.built += factory.built
    net._ports.clear()
    stopped: list[object] = []
    port.stopListening().addBoth(stopped.append)
    net.until(lambda: stopped)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.port))
    kept.send(b"still here")
    net.until(lambda: factory.built[0].received == b"still here")
    kept.close()
    net.until(lambda: open_files() == before)


def test_a_socket_that_was_given(native: Net) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    where = server.getsockname()
    given = AdoptedStreamServerEndpoint(native.reactor, server.detach(), socket.AF_INET)
    results: list[Any] = []
    factory = Tapes()
    NativeServerEndpoint(native.reactor, given).listen(factory).addBoth(results.append)
    peer = native.peer(socket.create_connection(where))
    native._ports += results
    peer.send(b"x")
    native.until(lambda: factory.built and factory.built[0].received == b"x")
    native.built += factory.built


OUT_OF_FILES = """
import resource, socket, sys
sys.path[:0] = {path!r}
from sockets import Machine
from twisted.internet.protocol import Factory, Protocol
from twistproxy.net.listen import listen
machine = Machine({kind!r})
made = []
class Made(Protocol):
    def connectionMade(self): made.append(self)
ports = []
listen(machine.reactor, "tcp:0:interface=127.0.0.1", Factory.forProtocol(Made)).addBoth(
    ports.append)
where = ports[0].getHost().port
clients = [socket.socket() for _ in range(60)]
open_now = max(map(int, __import__("os").listdir("/proc/self/fd")))
resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, 4096))
for client in clients:
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", where))
turns = 0
machine.turns(300)
assert 5 < len(made) < 60, len(made)
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
for protocol in made:
    protocol.transport.abortConnection()
machine.turns(10)
made.clear()
again = socket.create_connection(("127.0.0.1", where))
machine.until(lambda: made)
print("served again")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_outlives_want_of_files(kind: str) -> None:
    code = OUT_OF_FILES.format(
        kind="uvloop" if kind == "native" else "epoll", path=[p for p in sys.path if p]
    )
    # The loops of other tests have left this process without one that is read.
    signal.set_wakeup_fd(-1)
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.stdout, told.returncode) == ("served again\n", 0), told.stderr
