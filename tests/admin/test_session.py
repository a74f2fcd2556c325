"""A session channel, seen from the other end of its connection."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.session import packRequest_pty_req, packRequest_window_change
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twistproxy.admin import ReloadFailed, session
from twistproxy.admin.session import Session

PACKET = 1 << 15


class FakeProxy:
    cache = policy = lists = limits = asks = pools = parents = connections = None

    def __init__(self) -> None:
        self.reloads: list[Deferred[list[str]]] = []

    def snapshot(self) -> dict[str, Any]:
        return {"version": "1.2", "pid": 7, "state": "ready", "cache": {"hits": 3}}

    def reload(self) -> Deferred[list[str]]:
        self.reloads.append(Deferred())
        return self.reloads[-1]


class Client:
    """The other end: what conch's SSHConnection would send is kept."""

    def __init__(self, window: int = 1 << 21) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy()
        self.output = b""
        self.errors = b""
        self.status: int | None = None
        self.closed = False
        self.granted = 0  # bytes that the window was opened by
        self.session = Session(self.proxy, self.clock, window, PACKET)
        self.session.conn = self

    # As the session's connection

    def sendData(self, channel: object, data: bytes) -> None:
        self.output += data

    def sendExtendedData(self, channel: object, kind: int, data: bytes) -> None:
        self.errors += data

    def sendRequest(self, channel: object, kind: bytes, data: bytes) -> None:
        assert kind == b"exit-status"
        (self.status,) = struct.unpack(">L", data)

    def sendClose(self, channel: object) -> None:
        self.closed = True

    def adjustWindow(self, channel: Session, more: int) -> None:
        channel.localWindowLeft += more
        self.granted += more

    # As the person

    def asks(self, kind: bytes, data: bytes = b"") -> bool:
        taken = self.session.requestReceived(kind, data)
        self.clock.advance(0)
        return taken

    def shell(self, terminal: bool = False) -> Client:
        if terminal:
            assert self.asks(b"pty-req", packRequest_pty_req(b"xterm", (24, 80, 0, 0), b""))
        assert self.asks(b"shell")
        return self

    def types(self, data: bytes) -> Client:
        self.session.localWindowLeft -= len(data)
        self.session.dataReceived(data)
        self.settles()
        return self

    def settles(self) -> None:
        for _ in range(100):
            self.clock.advance(0)

    def ends(self) -> Client:
        self.session.eofReceived()
        self.settles()
        return self


@pytest.fixture
def client() -> Client:
    return Client()


class TestOneCommand:
    @pytest.mark.parametrize("line", [b"stats", b" stats ", b"'stats'"])
    def test_runs(self, client: Client, line: bytes) -> None:
        assert client.asks(b"exec", NS(line))
        assert client.output == b"version 1.2\npid 7\nstate ready\nhits 3\n"
        assert (client.errors, client.status, client.closed) == (b"", 0, True)

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (b"nosuch", b"no command 'nosuch'; there are: help, stats"),
            (b"", b"no command ''"),
            (b"stats now", b"usage: stats\n"),
            (b"'stats", b"No closing quotation"),
            (b"\xff\x1b[2J", b"no command '\xef\xbf\xbd\\x1b[2J'"),
        ],
        ids=["unknown", "none", "usage", "quotes", "no text"],
    )
    def test_that_fails(self, client: Client, line: bytes, why: bytes) -> None:
        assert client.asks(b"exec", NS(line))
        assert (client.output, client.status, client.closed) == (b"", 1, True)
        assert why in client.errors

    def test_is_not_begun_before_the_request_is_answered(self, client: Client) -> None:
        client.session.requestReceived(b"exec", NS(b"stats"))
        assert (client.output, client.closed) == (b"", False)

    def test_waits_for_its_answer(self, client: Client) -> None:
        client.asks(b"exec", NS(b"reload"))
        client.ends()
        assert not client.closed
        client.proxy.reloads[0].callback(["generation 2"])
        assert (client.output, client.status, client.closed) == (b"generation 2\n", 0, True)

    def test_says_how_a_reload_failed(self, client: Client) -> None:
        client.asks(b"exec", NS(b"reload"))
        client.proxy.reloads[0].errback(ReloadFailed("FILE:1: no"))
        assert (client.errors, client.status) == (b"FILE:1: no\n", 1)

    def test_whose_client_has_gone(self, client: Client) -> None:
        client.asks(b"exec", NS(b"reload"))
        client.session.closeReceived()
        client.session.closed()
        client.proxy.reloads[0].callback(["generation 2"])
        assert (client.output, client.status) == (b"", None)


class TestWithoutATerminal:
    def test_lines_are_answered_without_echo_or_prompt(self, client: Client) -> None:
        client.shell().types(b"help stats\n1 + 1\r\n").ends()
        assert client.output == b"stats: one figure a line: NAME VALUE\n2\n"
        assert (client.status, client.closed) == (0, True)

    def test_what_comes_before_the_shell_is_not_lost(self, client: Client) -> None:
        client.types(b"1 + 1\n").shell().ends()
        assert client.output == b"2\n"

    def test_a_line_in_pieces_and_the_last_without_its_end(self, client: Client) -> None:
        client.shell().types(b"'\xe2").types(b"\x9c\x93'\n3").ends()
        assert client.output == "'✓'\n3\n".encode()

    def test_an_unfinished_block_at_the_end_is_run(self, client: Client) -> None:
        client.shell().types(b"for i in range(2):\n  print(i)").ends()
        assert (client.output, client.status) == (b"0\n1\n", 0)

    def test_what_follows_waits_for_an_answer(self, client: Client) -> None:
        client.shell().types(b"reload\n1 + 1\n").ends()
        assert (client.output, client.closed) == (b"", False)
        client.proxy.reloads[0].callback(["generation 2"])
        client.settles()
        assert (client.output, client.closed) == (b"generation 2\n2\n", True)

    def test_exit_ends_it(self, client: Client) -> None:
        client.shell().types(b"exit\n1 + 1\n")
        assert (client.output, client.status, client.closed) == (b"", 0, True)

    def test_a_line_is_bounded(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "LINE", 10)
        client.shell().types(b"x" * 11)
        assert (client.errors, client.status) == (b"the line is too long\n", 1)


class TestWithATerminal:
    def test_says_who_it_is(self, client: Client) -> None:
        client.shell(terminal=True)
        assert client.output.startswith(b"twistproxy 1.2, pid 7, ready\r\n")
        assert client.output.endswith(b"\r\n\r>>> \x1b[K")

    def test_answers_and_asks_again(self, client: Client) -> None:
        client.shell(terminal=True).types(b"1 + 1\r")
        assert client.output.endswith(b"1 + 1\r\n2\r\n\r>>> \x1b[K")

    def test_a_block_has_its_own_prompt(self, client: Client) -> None:
        client.shell(terminal=True).types(b"if 1:\r")
        assert client.output.endswith(b"\r... \x1b[K")

    @pytest.mark.parametrize("end", [b"\x04", b"exit\r", b"quit()\r"])
    def test_leaving(self, client: Client, end: bytes) -> None:
        client.shell(terminal=True).types(end)
        assert (client.status, client.closed) == (0, True)

    def test_what_is_typed_ahead_waits(self, client: Client) -> None:
        client.shell(terminal=True).types(b"reload\r1 + 1\r\x04")
        assert client.output.endswith(b"reload\r\n")
        assert not client.closed
        client.proxy.reloads[0].callback(["generation 2"])
        client.settles()
        assert client.output.endswith(
            b"reload\r\ngeneration 2\r\n\r>>> \x1b[K1 + 1\r\n2\r\n\r>>> \x1b[K\r\n"
        )
        assert (client.status, client.closed) == (0, True)

    def test_an_interrupt_ends_the_waiting_and_forgets_what_was_typed(self, client: Client) -> None:
        client.shell(terminal=True).types(b"reload\rnobody\r").types(b"no\x031 + 1\r")
        assert client.output.endswith(b"reload\r\n^C\r\n\r>>> \x1b[K1 + 1\r\n2\r\n\r>>> \x1b[K")
        client.proxy.reloads[0].callback(["generation 2"])
        assert client.output.endswith(b"\r\x1b[Kgeneration 2\r\n\r>>> \x1b[K")

    def test_an_interrupt_at_the_prompt(self, client: Client) -> None:
        client.shell(terminal=True).types(b"if 1:\rabc\x03")
        assert client.output.endswith(b"abc^C\r\nKeyboardInterrupt\r\n\r>>> \x1b[K")

    def test_tab(self, client: Client) -> None:
        client.shell(terminal=True).types(b"he\t st\t\r")
        assert b"stats: one figure a line" in client.output

    def test_its_size_changes(self, client: Client) -> None:
        client.shell(terminal=True).types(b"0123456789")
        assert client.asks(b"window-change", packRequest_window_change((24, 10, 0, 0)))
        assert client.output.endswith(b"\r>>> 56789\x1b[K")

    def test_whose_input_ends(self, client: Client) -> None:
        client.shell(terminal=True).types(b"1 + 1\r").ends()
        assert (client.status, client.closed) == (0, True)

    def test_a_notice_comes_above_the_line(self, client: Client) -> None:
        client.shell(terminal=True).types(b"1 +")
        client.session.notice("ask 1: \x1bann")
        assert client.output.endswith(b"1 +\r\x1b[Kask 1: \\x1bann\r\n\r>>> 1 +\x1b[K")

    def test_a_notice_while_an_answer_is_waited_for(self, client: Client) -> None:
        client.shell(terminal=True).types(b"reload\r")
        client.session.notice("ask 1: ann")
        assert client.output.endswith(b"reload\r\nask 1: ann\r\n")

    def test_names_can_not_command_it(self, client: Client) -> None:
        client.shell(terminal=True).types(b"print(chr(27) + chr(0x9b) + chr(0xdc80))\r")
        assert b"\\x1b\\x9b\\udc80\r\n" in client.output


class TestNoNotice:
    """Who gets none."""

    def test_before_there_is_a_shell(self, client: Client) -> None:
        client.session.notice("ask 1: ann")
        assert client.output == b""

    def test_without_a_terminal(self, client: Client) -> None:
        client.shell().session.notice("ask 1: ann")
        assert client.output == b""

    def test_when_it_is_over(self, client: Client) -> None:
        client.shell(terminal=True).types(b"exit\r")
        before = client.output
        client.session.notice("ask 1: ann")
        assert client.output == before

    def test_who_reads_nothing(self) -> None:
        client = Client(window=100).shell(terminal=True)
        assert len(client.output) == 100
        waiting = client.session.buf
        client.session.notice("ask 1: ann")
        assert client.session.buf == waiting


class TestPressure:
    def test_each_line_gives_the_traffic_its_turn(self, client: Client) -> None:
        client.shell()
        client.session.dataReceived(b"1\n2\n3\n")
        assert client.output == b"1\n"  # the rest is left to the reactor
        client.clock.advance(0)
        assert client.output == b"1\n2\n3\n"

    def test_the_traffic_has_as_long_a_turn_as_the_line_took(self, client: Client) -> None:
        client.shell()
        client.session._console.namespace["slow"] = client.clock  # type: ignore[union-attr]
        client.session.dataReceived(b"slow.rightNow += 0.2\n2\n")
        client.clock.advance(0.1)
        assert client.output == b""
        client.clock.advance(0.11)
        assert client.output == b"2\n"

    def test_an_answer_that_is_not_read_holds_up_the_next_line(self) -> None:
        client = Client(window=10).shell()
        client.types(b"print('x' * 30)\nprint('y')\n")
        assert client.output == b"x" * 10
        client.session.addWindowBytes(10)
        client.settles()
        assert client.output == b"x" * 20
        client.session.addWindowBytes(100)
        client.settles()
        assert client.output == b"x" * 30 + b"\ny\n"

    def test_the_end_waits_until_all_is_read(self) -> None:
        client = Client(window=10).shell().types(b"print('x' * 30)\n").ends()
        assert not client.closed
        client.session.addWindowBytes(100)
        client.settles()
        assert (client.output, client.closed) == (b"x" * 30 + b"\n", True)

    def test_a_client_that_goes_does_not_have_to_read(self) -> None:
        client = Client(window=10).shell().types(b"print('x' * 30)\n")
        client.session.closeReceived()
        assert client.closed

    def test_input_waits_in_the_client(self, client: Client) -> None:
        client.shell().types(b"reload\n" + b"#" * client.session.localWindowLeft)
        assert client.session.waiting
        assert client.granted == 0
        client.session._input[-1:] = b"\n"
        client.proxy.reloads[0].callback([])
        client.settles()
        assert client.session.localWindowLeft == client.session.localWindowSize


class TestRequests:
    def test_one_shell_or_command_a_session(self, client: Client) -> None:
        assert client.asks(b"shell")
        assert not client.asks(b"exec", NS(b"stats"))
        assert not client.asks(b"shell")

    @pytest.mark.parametrize(
        "kind",
        [b"subsystem", b"env", b"x11-req", b"auth-agent-req@openssh.com", b"signal", b"\xff"],
    )
    def test_nothing_else(self, client: Client, kind: bytes) -> None:
        assert not client.asks(kind, NS(b"sftp"))

    @pytest.mark.parametrize("kind", [b"pty-req", b"window-change", b"exec"])
    @pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\xffx", b"\0\0\0\1x\0\0\0"])
    def test_that_can_not_be_parsed(self, client: Client, kind: bytes, data: bytes) -> None:
        client.asks(kind, data)
        assert client.status in (None, 1)

    def test_a_terminal_that_says_no_width(self, client: Client) -> None:
        assert client.asks(b"pty-req", packRequest_pty_req(b"dumb", (0, 0, 0, 0), b""))
        assert client.asks(b"shell")
        assert client.types(b"1 + 1\r").output.endswith(b"2\r\n\r>>> \x1b[K")

    def test_a_session_closed_before_it_began(self, client: Client) -> None:
        client.session.requestReceived(b"shell", b"")
        client.session.closed()
        client.settles()
        assert client.output == b""
