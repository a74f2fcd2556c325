from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from twistproxy.net import reactor

INSTALL = "from twistproxy.net import reactor as r; r.install(); "
SAY = "from twisted.internet import reactor; print(r.name(reactor))"


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_uvloop_is_installed_where_it_can_be_imported() -> None:
    pytest.importorskip("uvloop")
    assert run(INSTALL + SAY) == "asyncio on uvloop"


def test_a_reactor_that_is_there_stays() -> None:
    code = "from twisted.internet import selectreactor as s; s.install(); " + INSTALL + SAY
    assert run(code) == "select"


def test_without_uvloop_the_default_reactor_is_left_to_twisted() -> None:
    absent = "import sys; sys.modules['uvloop'] = None; " + INSTALL
    untouched = "print('twisted.internet.reactor' in sys.modules)"
    assert run(absent + untouched) == "False"


def test_names() -> None:
    class EPollReactor: ...

    assert reactor.name(EPollReactor()) == "epoll"
    code = "from twisted.internet import asyncioreactor as a; a.install(); "
    assert run(code + "from twistproxy.net import reactor as r; " + SAY) == "asyncio"


def test_the_loop_is_told_where_it_is_uvloops() -> None:
    say = "from twisted.internet import reactor; print(type(r.native_loop(reactor)).__module__)"
    assert reactor.native_loop(object()) is None
    assert run(INSTALL + say) == "uvloop"
    other = "from twisted.internet import asyncioreactor as a; a.install(); "
    assert run(other + "from twistproxy.net import reactor as r; " + say) == "builtins"


RESET = """
import os, socket, struct, sys
from twisted.internet import protocol, reactor
size = int(sys.argv[1])
class Reader(protocol.Protocol):
    got = 0
    def dataReceived(self, data):
        self.got += len(data)
    def connectionLost(self, reason):
        print(self.got, reason.type.__name__)
        reactor.stop()
factory = protocol.Factory.forProtocol(Reader)
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
peer = socket.create_connection(("127.0.0.1", port.getHost().port))
peer.sendall(bytes(size))
peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
peer.close()
reactor.callLater(10, os._exit, 1)
reactor.run()
"""


@pytest.mark.parametrize("size", [1, 100_000], ids=["one read", "several reads"])
def test_a_reset_right_behind_data_is_a_lost_connection(size: int) -> None:
    pytest.importorskip("uvloop")
    told = subprocess.run(
        [sys.executable, "-c", INSTALL + RESET, str(size)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == [str(size), "ConnectionLost"]
    assert not told.stderr


LIMITS = {  # (soft, hard) before; soft after
    "raised to the hard limit": ((1024, 4096), 4096),
    "already there": ((4096, 4096), 4096),
    "not beyond reason": ((1024, 1 << 30), reactor.MOST_FILES),
    "no hard limit": ((1024, resource.RLIM_INFINITY), reactor.MOST_FILES),
    "no limit at all": ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), resource.RLIM_INFINITY),
}


@pytest.mark.parametrize(("before", "after"), LIMITS.values(), ids=LIMITS)
def test_the_file_limit(
    before: tuple[int, int], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda what: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: now.append(limits))
    assert reactor.raise_file_limit() == after
    assert now[-1] == (after, before[1])


def test_a_refused_limit_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert reactor.raise_file_limit() == 1024
