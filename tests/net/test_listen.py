from __future__ import annotations

import errno
import os
import select
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, RaisingMemoryReactor
from twisted.logger import capturedLogs, formatEvent

from sockets import open_files
from talks import Net
from twistproxy.net.listen import BACKLOG, ListenFailed, addresses, listen


def listening(reactor: object, description: str) -> list[object]:
    results: list[object] = []
    listen(reactor, description, Factory.forProtocol(Protocol)).addBoth(results.append)
    return results


LISTENERS = {
    "interface": ("tcp:3128:interface=127.0.0.1", (3128, BACKLOG, "127.0.0.1")),
    "no interface": ("tcp:3128", (3128, BACKLOG, "")),
    "its own backlog": ("tcp:3128:backlog=7", (3128, 7, "")),
    "IPv6": (r"tcp:3128:interface=\:\:1", (3128, BACKLOG, "::1")),
}


@pytest.mark.parametrize(("description", "asked"), LISTENERS.values(), ids=LISTENERS)
def test_the_endpoint_is_asked_for_what_was_described(
    description: str, asked: tuple[int, int, str]
) -> None:
    reactor = MemoryReactorClock()
    (port,) = listening(reactor, description)
    assert IListeningPort.providedBy(port)
    ((number, _, backlog, interface),) = reactor.tcpServers
    assert (number, backlog, interface) == asked


def test_unix_sockets_have_our_backlog_too() -> None:
    reactor = MemoryReactorClock()
    listening(reactor, "unix:/run/proxy.sock")
    assert reactor.unixServers[0][2] == BACKLOG


def test_the_log_says_it_once() -> None:
    with capturedLogs() as logged:
        listening(MemoryReactorClock(), "tcp:3128")
        listening(MemoryReactorClock(), "nonsense")
    assert [formatEvent(event) for event in logged] == ["Listening on tcp:3128"]


def refused(number: int) -> CannotListenError:
    return CannotListenError("127.0.0.1", 3128, OSError(number, os.strerror(number)))


TAKEN = "tcp:3128:interface=127.0.0.1"
FAILURES = {
    "taken": (refused(errno.EADDRINUSE), f"{TAKEN}: address already in use"),
    "not ours": (
        refused(errno.EADDRNOTAVAIL),
        f"{TAKEN}: cannot assign requested address",
    ),
    "privileged": (refused(errno.EACCES), f"{TAKEN}: permission denied"),
    "no such interface": (
        CannotListenError("eth9", 3128, socket.gaierror(-2, "Name or service not known")),
        f"{TAKEN}: name or service not known",
    ),
    "out of range": (
        OverflowError("bind(): port must be 0-65535."),
        f"{TAKEN}: bind(): port must be 0-65535.",
    ),
    "silent": (ZeroDivisionError(), f"{TAKEN}: ZeroDivisionError"),
}


@pytest.mark.parametrize(("error", "line"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_one_line(error: Exception, line: str) -> None:
    (failure,) = listening(RaisingMemoryReactor(listenException=error), TAKEN)
    assert isinstance(failure.value, ListenFailed)
    assert str(failure.value) == line


@pytest.mark.parametrize("description", ["", "nonsense", "tcp", "tcp:http-or-so", "carrier:1"])
def test_a_bad_description_is_one_line(description: str) -> None:
    (failure,) = listening(MemoryReactorClock(), description)
    line = str(failure.value)
    assert line.startswith(f"{description}: ")
    assert len(line) > len(description) + 2
    assert "\n" not in line


@frozen
class Port:
    host: object

    def getHost(self) -> object:
        return self.host


ADDRESSES = {
    "IPv4": (IPv4Address("TCP", "127.0.0.1", 3128), ("127.0.0.1", 3128)),
    "any IPv4": (IPv4Address("TCP", "0.0.0.0", 80), ("0.0.0.0", 80)),
    "IPv6": (IPv6Address("TCP", "::", 80), ("::", 80)),
    "unix": (UNIXAddress("/run/proxy.sock"), ("/run/proxy.sock", 0)),
    "unix without a name": (UNIXAddress(None), ("", 0)),
}


@pytest.mark.parametrize(("host", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses(host: object, expected: tuple[str, int]) -> None:
    assert addresses(Port(host)) == expected


# On real sockets, of both kinds


def test_a_unix_socket_with_its_mode_and_lock(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    results = listening(net.reactor, f"unix:{path}:mode=600")
    port: Any = results[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.with_suffix(".lock").is_symlink()
    assert addresses(port) == (str(path), 0)
    (taken,) = listening(net.reactor, f"unix:{path}")
    assert str(taken.value) == f"unix:{path}: cannot acquire lock"  # type: ignore[attr-defined]
    stopped: list[object] = []
    port.stopListening().addBoth(stopped.append)
    net.until(lambda: stopped)
    assert not path.exists()
    assert not path.with_suffix(".lock").is_symlink()


def test_the_queue_is_as_long_as_was_asked_for(net: Net) -> None:
    """Two may wait, and one more; what else comes is not answered."""
    before = open_files()
    port: Any = listening(net.reactor, "tcp:0:interface=127.0.0.1:backlog=1")[0]
    clients = [socket.socket() for _ in range(6)]
    where = (port.getHost().host, port.getHost().port)
    for client in clients:
        client.setblocking(False)
        client.connect_ex(where)
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLOUT)
    connected = [event for _, event in poll.poll(0) if event & select.POLLOUT]
    assert len(connected) == 2
    for client in clients:
        client.close()
    net.turns()
    port.stopListening()
    net.until(lambda: open_files() == before)


def test_it_listens_before_the_reactor_runs(net: Net) -> None:
    port: Any = listening(net.reactor, "tcp:0:interface=127.0.0.1")[0]
    socket.create_connection(addresses(port)).close()
    port.stopListening()
    net.turns()


def test_a_taken_port_is_the_same_line_on_both(net: Net) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"tcp:{server.getsockname()[1]}:interface=127.0.0.1"
        (failure,) = listening(net.reactor, where)
    assert str(failure.value) == f"{where}: address already in use"  # type: ignore[attr-defined]
