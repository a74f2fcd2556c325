"""The manhole's door: Conch's own client against it, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.error import ConchError
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import packRequest_pty_req
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.test.iosim import FakeTransport, IOPump, connect

from twistproxy.admin import WindowError, manhole
from twistproxy.admin.keys import host_key
from twistproxy.admin.manhole import Manhole
from twistproxy.config import model
from twistproxy.net.listen import ListenFailed

KEY = Key(Ed25519PrivateKey.generate())
STRANGER = Key(Ed25519PrivateKey.generate())


class FakeProxy:
    cache = policy = lists = limits = asks = pools = parents = connections = None

    def snapshot(self) -> dict[str, Any]:
        return {"version": "1.2", "cache": {"hits": 3}}

    def reload(self) -> Deferred[list[str]]:
        return succeed(["generation 2"])


class Login(SSHUserAuthClient):
    preferredOrder = [b"publickey"]  # noqa: RUF012

    def __init__(self, key: Key, connection: SSHConnection, clock: object) -> None:
        super().__init__(b"whoever", connection)
        self.key = key

    def getPublicKey(self) -> Key | None:
        return None if self.lastPublicKey else self.key.public()

    def getPrivateKey(self) -> Deferred[Key]:
        return succeed(self.key)


class Client(SSHClientTransport):
    """Logs in with a key and keeps what comes of it."""

    def __init__(self, key: Key, house: House) -> None:
        self.house = house
        self.connection = SSHConnection()
        self.key = key
        self.host_keys: list[bytes] = []
        self.disconnected = b""

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[int]:
        self.host_keys.append(hostKey)
        return succeed(1)

    def connectionSecure(self) -> None:
        self.requestService(Login(self.key, self.connection, self.house.reactor))

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        self.disconnected = description

    @property
    def logged_in(self) -> bool:
        return self.service is self.connection


class Channel(SSHChannel):
    name = b"session"

    def __init__(self, name: bytes = b"session") -> None:
        super().__init__()
        self.name = name
        self.output = b""
        self.status: bytes | None = None
        self.refused: ConchError | None = None
        self.opened = False

    def channelOpen(self, specificData: bytes) -> None:
        self.opened = True

    def openFailed(self, reason: ConchError) -> None:
        self.refused = reason

    def dataReceived(self, data: bytes) -> None:
        self.output += data

    def request_exit_status(self, data: bytes) -> None:
        self.status = data


class House:
    """A manhole on a reactor in memory, and the clients that come to it."""

    def __init__(self, folder: Path) -> None:
        self.reactor = MemoryReactorClock()
        self.authorized_keys = folder / "authorized_keys"
        self.state = folder / "state"
        self.authorize(KEY)
        self.manhole = Manhole(
            self.reactor,
            FakeProxy(),
            model.Manhole(authorized_keys=self.authorized_keys),
            self.state,
        )
        self.pumps: list[IOPump] = []

    def authorize(self, key: Key) -> None:
        self.authorized_keys.write_bytes(key.public().toString("openssh") + b" anna\n")

    def open(self) -> None:
        result(self.manhole.start())

    def connects(self, protocol: Any) -> IOPump:
        factory = self.reactor.tcpServers[0][1]
        factory.doStart()
        server = factory.buildProtocol(None)
        assert server is not None
        pump = connect(
            server,
            FakeTransport(server, isServer=True),
            protocol,
            FakeTransport(protocol, isServer=False),
        )
        self.pumps.append(pump)
        self.settles()
        return pump

    def client(self, key: Key = KEY) -> Client:
        client = Client(key, self)
        self.connects(client)
        return client

    def opens(self, client: Client, name: bytes = b"session") -> Channel:
        channel = Channel(name)
        client.connection.openChannel(channel)
        self.settles()
        return channel

    def settles(self) -> None:
        for _ in range(5):
            for pump in self.pumps:
                pump.flush()
            self.reactor.advance(0)


def result(awaitable: Any) -> Any:
    """Of what is done at once."""
    results: list[Any] = []
    ensureDeferred(awaitable).addBoth(results.append)
    (outcome,) = results
    return outcome


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.open()
    with capturedLogs():
        yield house
        result(house.manhole.stop())
        house.settles()
    assert [call for call in house.reactor.getDelayedCalls() if call.active()] == []


def test_who_has_a_key_comes_in_and_runs_a_command(house: House) -> None:
    client = house.client()
    assert client.logged_in
    assert house.manhole.sessions == 1
    channel = house.opens(client)
    client.connection.sendRequest(channel, b"exec", NS(b"stats"))
    house.settles()
    assert channel.output == b"version 1.2\nhits 3\n"
    assert channel.status == b"\0\0\0\0"


def test_a_shell(house: House) -> None:
    client = house.client()
    channel = house.opens(client)
    client.connection.sendRequest(channel, b"shell", b"")
    channel.write(b"stats\n1 + 1\n")
    client.connection.sendEOF(channel)
    house.settles()
    assert channel.output == b"version 1.2\nhits 3\n2\n"
    assert channel.status == b"\0\0\0\0"


def test_a_notice_for_who_sits_at_a_terminal(house: House) -> None:
    house.manhole.notice("nobody is there")
    client = house.client()
    terminal, other, idle = house.opens(client), house.opens(client), house.opens(client)
    pty = packRequest_pty_req(b"xterm", (24, 80, 0, 0), b"")
    client.connection.sendRequest(terminal, b"pty-req", pty)
    for channel in (terminal, other):
        client.connection.sendRequest(channel, b"shell", b"")
    house.settles()
    house.manhole.notice("ask 1: ann\nask 2: bob")
    house.settles()
    assert b"ask 1: ann\r\nask 2: bob\r\n" in terminal.output
    assert (other.output, idle.output) == (b"", b"")


def test_a_long_answer_comes_whole(house: House) -> None:
    """As long as an answer may be: longer than the client's window."""
    client = house.client()
    channel = house.opens(client)
    client.connection.sendRequest(channel, b"shell", b"")
    channel.write(b"print('x' * (1 << 20), end='')\n" + b"#" * 1000 + b"\n" + b"print('end')\n")
    client.connection.sendEOF(channel)
    house.settles()
    assert channel.output == b"x" * (1 << 20) + b"\nend\n"


def test_a_stranger_stays_outside_and_the_log_says_so(house: House) -> None:
    with capturedLogs() as logged:
        client = house.client(STRANGER)
    assert not client.logged_in
    assert house.manhole.sessions == 0
    (refusal,) = [event for event in logged if event["log_level"] is LogLevel.warn]
    assert refusal["user"] == "whoever"
    assert refusal["why"].endswith("is not authorized")
    assert not [event for event in logged if "log_failure" in event]


def test_a_signature_is_checked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Login, "getPrivateKey", lambda self: succeed(STRANGER))
    with capturedLogs() as logged:
        assert not house.client().logged_in
    assert any("wrong signature" in event.get("why", "") for event in logged)


def test_edits_of_the_keys_count(house: House) -> None:
    house.authorize(STRANGER)
    assert not house.client(KEY).logged_in
    assert house.client(STRANGER).logged_in


def test_that_nobody_can_log_in_is_said_at_the_start(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.authorized_keys.unlink()
    with capturedLogs() as logged:
        house.open()
    assert any("nobody can log in" in event.get("complaint", "") for event in logged)
    house.authorize(KEY)
    assert house.client().logged_in


def test_the_host_key_is_the_one_in_the_state_folder(house: House) -> None:
    client = house.client()
    assert client.host_keys == [host_key(house.state / "ssh_host_key").public().blob()]


def test_sessions_end_with_their_connection(house: House) -> None:
    client = house.client()
    assert client.transport is not None
    client.transport.loseConnection()
    house.settles()
    assert house.manhole.sessions == 0


@pytest.mark.parametrize("name", [b"direct-tcpip", b"direct-streamlocal@openssh.com", b"x11"])
def test_no_forwarding(house: House, name: bytes) -> None:
    with capturedLogs() as logged:
        channel = house.opens(house.client(), name)
    assert channel.refused is not None
    assert not [event for event in logged if "log_failure" in event]


def test_no_forwarding_to_the_client(house: House) -> None:
    refused: list[object] = []
    client = house.client()
    asked = client.connection.sendGlobalRequest(
        b"tcpip-forward", NS(b"") + b"\0\0\1\0", wantReply=True
    )
    asked.addErrback(refused.append)
    house.settles()
    assert len(refused) == 1


def test_channels_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manhole, "CHANNELS", 2)
    client = house.client()
    assert [house.opens(client).opened for _ in range(3)] == [True, True, False]


def test_sessions_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manhole, "SESSIONS", 2)
    clients = [house.client() for _ in range(3)]
    assert [client.disconnected for client in clients] == [b"", b"", b"too many are logged in"]
    assert house.manhole.sessions == 2


class Silent(SSHClientTransport):
    """Connects and says nothing of use."""

    def connectionMade(self) -> None:
        self.transport.write(b"SSH-2.0-silent\r\n")

    def dataReceived(self, data: bytes) -> None: ...

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


def test_strangers_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manhole, "SESSIONS", 1)
    house.connects(Silent())
    assert house.reactor.tcpServers[0][1].buildProtocol(None) is None


def test_a_stranger_must_log_in_in_time(house: House) -> None:
    silent = Silent()
    house.connects(silent)
    house.reactor.advance(manhole.LOGIN)
    house.settles()
    assert silent.lost
    assert not house.reactor.tcpServers[0][1].strangers


def test_who_is_logged_in_may_stay(house: House) -> None:
    client = house.client()
    house.reactor.advance(manhole.LOGIN)
    assert house.opens(client).opened


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 300,
        b"\0\0\0\x0c\x04garbagegarbage!",
        b"\xff" * 100,
        b"\0\0\0\x0c\x0a\x14\0\0\0\0\0\0\0\0\0\0",
    ],
    ids=["http", "packet", "length", "kexinit"],
)
def test_what_can_not_be_understood_ends_without_a_traceback(house: House, garbage: bytes) -> None:
    silent = Silent()
    house.connects(silent)
    with capturedLogs() as logged:
        silent.transport.write(garbage)
        house.settles()
        house.reactor.advance(manhole.LOGIN)
        house.settles()
    assert silent.lost
    assert not [event for event in logged if "log_failure" in event]


def test_stopping_sends_everybody_away(house: House) -> None:
    client = house.client()
    result(house.manhole.stop())
    house.settles()
    assert client.disconnected == b"twistproxy stops"
    assert house.manhole.sessions == 0


def test_a_host_key_that_can_not_be_used(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.state.mkdir()
    (house.state / "ssh_host_key").write_text("nonsense")
    assert isinstance(result(house.manhole.start()).value, WindowError)
    assert house.reactor.tcpServers == []


def test_a_listener_that_can_not_be(tmp_path: Path) -> None:
    house = House(tmp_path)
    settings = model.Manhole(
        listen=model.Endpoint("tcp:no-port"), authorized_keys=house.authorized_keys
    )
    failed = result(Manhole(house.reactor, FakeProxy(), settings, tmp_path).start())
    assert isinstance(failed.value, ListenFailed)
