"""The API, asked in memory."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, capturedLogs

from twistproxy.admin import ReloadFailed, WindowError, api
from twistproxy.admin.api import Api, Token, Window, site
from twistproxy.admin.commands import COMMANDS
from twistproxy.config import model
from twistproxy.net.listen import ListenFailed


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


class FakeProxy:
    cache, policy, pools, connections = "a table", Broken(), "\x1b[2J", None
    parents = None

    def __init__(self) -> None:
        self.state = "ready"
        self.reloads: list[Deferred[list[str]]] = []

    def snapshot(self) -> dict[str, Any]:
        return {"version": "1.2", "state": self.state, "cache": {"hits": 3}}

    def reload(self) -> Deferred[list[str]]:
        self.reloads.append(Deferred())
        return self.reloads[-1]


@define
class Response:
    status: int
    reason: str
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """Talks to a window over a transport in memory; each request on a connection of its own."""

    def __init__(self, token: Token | None = None) -> None:
        self.proxy = FakeProxy()
        self.reactor = MemoryReactorClock()
        self.factory = site(self.reactor, Window(self.proxy, token))
        self.factory.doStart()
        self.transport = StringTransport()

    def sends(self, wire: bytes) -> None:
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "192.0.2.1", 9090),
            peerAddress=IPv4Address("TCP", "192.0.2.2", 50000),
        )
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(wire)

    def asks(self, path: str, method: str = "GET", **fields: str) -> Response:
        head = {"Host": "localhost:9090", "Connection": "close", **fields}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items() if v), "", ""]
        self.sends("\r\n".join(lines).encode())
        return self.hears()

    def hears(self) -> Response:
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        assert "Server" not in fields
        _, status, reason = first.split(" ", 2)
        return Response(int(status), reason, fields, body)


@pytest.fixture
def owner() -> Visitor:
    """On the unix socket."""
    return Visitor()


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    """On the TCP listener, which has a token."""
    path = tmp_path / "token"
    path.write_text("secret\n")
    return Visitor(Token(path))


class TestAnswers:
    def test_livez(self, owner: Visitor) -> None:
        response = owner.asks("/livez")
        assert (response.status, response.body) == (200, b"ok\n")
        assert response.fields["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        ("state", "status"), [("starting", 503), ("ready", 200), ("draining", 503)]
    )
    def test_readyz(self, owner: Visitor, state: str, status: int) -> None:
        owner.proxy.state = state
        response = owner.asks("/readyz")
        assert response.status == status
        assert state.encode() in response.body
        assert owner.asks("/livez").status == 200

    def test_snapshot(self, owner: Visitor) -> None:
        response = owner.asks("/snapshot")
        assert response.fields["Content-Type"] == "application/json"
        assert response.json == owner.proxy.snapshot()

    def test_head(self, owner: Visitor) -> None:
        response = owner.asks("/snapshot", "HEAD")
        assert (response.status, response.body) == (200, b"")
        assert int(response.fields["Content-Length"]) > 0

    def test_commands_are_listed(self, owner: Visitor) -> None:
        listed = owner.asks("/commands").json
        assert [entry["usage"].split()[0] for entry in listed] == list(COMMANDS)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_command(self, owner: Visitor, method: str) -> None:
        response = owner.asks("/commands/stats", method)
        assert response.fields["Content-Type"] == "text/plain; charset=utf-8"
        assert response.body == b"version 1.2\nstate ready\nhits 3\n"

    def test_a_command_with_an_argument(self, owner: Visitor) -> None:
        assert owner.asks("/commands/help/%73tats").body.startswith(b"stats: ")

    def test_a_command_that_changes_something(self, owner: Visitor) -> None:
        owner.sends(b"POST /commands/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert owner.transport.value() == b""
        owner.proxy.reloads[0].callback(["generation 2", "changed: policy"])
        assert owner.hears().body == b"generation 2\nchanged: policy\n"

    def test_whose_asker_has_gone(self, owner: Visitor) -> None:
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        owner.sends(b"POST /commands/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        owner.protocol.connectionLost(Failure(ConnectionLost()))
        with capturedLogs() as logged:
            owner.proxy.reloads[0].callback(["generation 2"])
        assert (owner.transport.value(), logged) == (b"", [])

    def test_a_command_that_fails(self, owner: Visitor) -> None:
        owner.sends(b"POST /commands/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        owner.proxy.reloads[0].errback(ReloadFailed("FILE:1: no\nFILE:2: no"))
        response = owner.hears()
        assert response.status == 422
        assert response.fields["Content-Type"] == "application/problem+json"
        assert response.json == {
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "FILE:1: no\nFILE:2: no",
        }

    def test_a_command_that_is_broken_says_so_in_the_log(self, owner: Visitor) -> None:
        with capturedLogs() as logged:
            response = owner.asks("/commands/policy")
        assert response.status == 500
        assert b"broken" not in response.body
        assert [event["log_level"] for event in logged] == [LogLevel.critical]

    def test_names_can_not_command_a_terminal(self, owner: Visitor) -> None:
        assert b"\x1b" not in owner.asks("/commands/pools").body


REFUSED = {
    "nothing": ("GET", "/", 404),
    "another path": ("GET", "/livez/x", 404),
    "a slash more": ("GET", "//livez", 404),
    "no path": ("GET", "livez", 404),
    "an unknown command": ("GET", "/commands/nosuch", 404),
    "no command": ("GET", "/commands/", 404),
    "a usage error": ("GET", "/commands/stats/now", 422),
    "a change by GET": ("GET", "/commands/reload", 405),
    "a change by HEAD": ("HEAD", "/commands/reload", 405),
    "posting a snapshot": ("POST", "/snapshot", 405),
    "putting": ("PUT", "/commands/reload", 405),
    "deleting": ("DELETE", "/livez", 405),
    "an odd path": ("GET", "/commands/%ff%00", 404),
}


@pytest.mark.parametrize(("method", "path", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_served(owner: Visitor, method: str, path: str, status: int) -> None:
    response = owner.asks(path, method)
    assert response.status == status
    assert response.fields["Content-Type"] == "application/problem+json"
    assert not owner.proxy.reloads
    if status == 405:
        assert "Allow" in response.fields


PATHS = ["/snapshot", "/commands", "/commands/stats", "/commands/nosuch", "/", "/livez/"]


class TestTcp:
    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_probes_need_no_token(self, visitor: Visitor, path: str) -> None:
        assert visitor.asks(path).status == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_all_else_does(self, visitor: Visitor, path: str) -> None:
        response = visitor.asks(path)
        assert response.status == 401
        assert response.fields["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("given", ["Bearer secret", "bearer  secret"])
    def test_the_token(self, visitor: Visitor, given: str) -> None:
        assert visitor.asks("/snapshot", Authorization=given).json["version"] == "1.2"

    @pytest.mark.parametrize(
        "given", ["Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret"]
    )
    def test_another(self, visitor: Visitor, given: str) -> None:
        assert visitor.asks("/snapshot", Authorization=given).status == 401

    def test_the_token_can_be_changed(self, visitor: Visitor, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("another")
        assert visitor.asks("/snapshot", Authorization="Bearer secret").status == 401
        assert visitor.asks("/snapshot", Authorization="Bearer another").status == 200

    @pytest.mark.parametrize("content", [None, "", " \n"], ids=["no file", "empty", "blank"])
    def test_no_token_opens_nothing(
        self, visitor: Visitor, tmp_path: Path, content: str | None
    ) -> None:
        (tmp_path / "token").unlink()
        if content is not None:
            (tmp_path / "token").write_text(content)
        with capturedLogs() as logged:
            for given in ("Bearer ", "Bearer", "Bearer secret"):
                assert visitor.asks("/snapshot", Authorization=given).status == 403
        assert [event["log_level"] for event in logged] == [LogLevel.warn]

    def test_without_a_token_file_only_the_probes(self) -> None:
        visitor = Visitor(Token(None))
        assert visitor.asks("/livez").status == 200
        assert visitor.asks("/snapshot", Authorization="Bearer ").status == 403

    @pytest.mark.parametrize(
        "host",
        ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "127.8.8.8", "[::1]:9090", "192.0.2.1"],
    )
    def test_may_be_called(self, visitor: Visitor, host: str) -> None:
        assert visitor.asks("/livez", Host=host).status == 200

    @pytest.mark.parametrize(
        "host", ["evil.example:9090", "192.0.2.3", "localhost.evil.example", "127.0.0.1.evil", ""]
    )
    @pytest.mark.parametrize("path", ["/livez", "/snapshot"])
    def test_may_not_be_called(self, visitor: Visitor, path: str, host: str) -> None:
        response = visitor.asks(path, Host=host, Authorization="Bearer secret")
        assert (response.status, response.reason) == (421, "Misdirected Request")

    def test_may_not_be_called_two_names(self, visitor: Visitor) -> None:
        visitor.sends(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")
        assert visitor.hears().status in (400, 421)


class TestBounds:
    def test_connections(self, owner: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "CONNECTIONS", 2)
        owner.sends(b"")
        owner.sends(b"")
        assert owner.factory.buildProtocol(None) is None

    def test_an_idle_connection_is_closed(self, owner: Visitor) -> None:
        owner.sends(b"GET /liv")
        owner.reactor.advance(api.IDLE)
        assert owner.transport.disconnecting

    def test_a_body_is_dropped(self, owner: Visitor) -> None:
        owner.sends(b"POST /commands/stats HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(3):
            owner.protocol.dataReceived(b"x" * 100000)
        assert owner.hears().status == 200


class Listeners:
    """An Api on a reactor in memory."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.state = folder / "state"
        self.api = Api(self.reactor, FakeProxy(), model.Admin(**settings), self.state)

    def start(self) -> Any:
        return self.result(self.api.start())

    def open_socket(self) -> Any:
        return self.result(self.api.open_socket())

    def result(self, doing: Any) -> Any:
        results: list[Any] = []
        ensureDeferred(doing).addBoth(results.append)
        return results[0]


class TestListeners:
    def test_a_unix_socket_of_the_owners_only(self, tmp_path: Path) -> None:
        listeners = Listeners(tmp_path)
        assert listeners.start() is None
        assert not listeners.reactor.unixServers
        assert listeners.open_socket() is None
        ((path, _, _, mode, lock),) = listeners.reactor.unixServers
        assert path == str(listeners.state / "admin.sock")
        assert (mode, lock) == (0o600, False)
        assert listeners.state.stat().st_mode & 0o777 == 0o700
        assert not listeners.reactor.tcpServers

    def test_a_folder_with_a_colon(self, tmp_path: Path) -> None:
        (tmp_path / "a:b=c").mkdir()
        listeners = Listeners(tmp_path / "a:b=c")
        listeners.start()
        listeners.open_socket()
        assert listeners.reactor.unixServers[0][0] == str(listeners.state / "admin.sock")

    def test_a_tcp_listener(self, tmp_path: Path) -> None:
        listeners = Listeners(tmp_path, listen="tcp:9090:interface=127.0.0.1")
        assert listeners.start().getHost().port == 9090
        assert listeners.reactor.tcpServers[0][3] == "127.0.0.1"

    def test_one_that_can_not_be(self, tmp_path: Path) -> None:
        assert isinstance(Listeners(tmp_path, listen="tcp:x").start().value, ListenFailed)

    def test_the_socket_of_a_dead_process_is_removed(self, tmp_path: Path) -> None:
        listeners = Listeners(tmp_path)
        listeners.state.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(listeners.state / "admin.sock"))
        assert listeners.start() is None
        assert not (listeners.state / "admin.sock").exists()

    def test_the_socket_of_a_live_one_is_left(self, tmp_path: Path) -> None:
        listeners = Listeners(tmp_path)
        listeners.state.mkdir()
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(str(listeners.state / "admin.sock"))
            alive.listen()
            failed = listeners.start().value
        assert isinstance(failed, WindowError)
        assert str(failed).endswith("admin.sock: another twistproxy runs with this state_dir")
        assert (listeners.state / "admin.sock").exists()

    def test_where_no_folder_can_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert isinstance(Listeners(tmp_path / "file").start().value, WindowError)

    def test_another_file_is_left(self, tmp_path: Path) -> None:
        listeners = Listeners(tmp_path)
        listeners.state.mkdir()
        (listeners.state / "admin.sock").write_text("mine")
        assert isinstance(listeners.start().value, WindowError)
        assert (listeners.state / "admin.sock").read_text() == "mine"
