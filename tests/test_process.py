"""The proxy as a process: opened before twistd forks, told what to do by signals."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher

from twistproxy import admin, process
from twistproxy.app import CannotRun
from twistproxy.config import load
from twistproxy.process import Process, open_proxy


class Reactor(MemoryReactorClock):
    """Remembers how often it was asked to stop; it stops once."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning

    def callFromThread(self, action: Callable[..., Any], *args: Any, **named: Any) -> None:
        action(*args, **named)


class Proxy:
    """What a process asks of a proxy. told: the questions."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.outcome: Callable[[], Deferred[Any]] = lambda: succeed(["generation 2"])
        self.drained: Deferred[None] = Deferred()
        self.road = SimpleNamespace(counts=SimpleNamespace(total=0))

    def reload(self) -> Deferred[Any]:
        self.told.append("reload")
        return self.outcome()

    def drain(self) -> Deferred[None]:
        self.told.append("drain")
        return self.drained

    def hurry(self) -> None:
        self.told.append("hurry")


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def running(
    reactor: Reactor, proxy: Proxy, handlers: dict[int, Callable[..., None]]
) -> Iterator[Process]:
    """A process whose reactor runs."""
    service = Process(reactor, proxy)  # type: ignore[arg-type]
    service.startService()
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}  # from the first moment
    handlers.clear()  # as a reactor that starts puts its own there
    for hook, *_ in reactor.whenRunningHooks:
        hook()
    yield service
    service.stopService()


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[..., None]]:
    """Those of signals, which are not installed: pytest's own reactor has some."""
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(
        process, "signal", SimpleNamespace(**{**vars(signal), "signal": handlers.__setitem__})
    )
    return handlers


@pytest.fixture
def send(handlers: dict[int, Callable[..., None]]) -> Callable[[int], None]:
    return lambda number: handlers[number](number, None)


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    yield events
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]


# -- signals --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_the_first_stops_and_the_next_hurries(
    number: signal.Signals,
    running: Process,
    reactor: Reactor,
    proxy: Proxy,
    send: Callable[[int], None],
    logged: list[dict[str, Any]],
) -> None:
    send(number)
    assert (reactor.stops, proxy.told) == (1, [])
    assert formatEvent(logged[-1]) == f"{number.name} received"
    stopped = running.stopService()  # as the reactor's shutdown does
    assert proxy.told == ["drain"]
    assert not stopped.called  # the reactor waits
    send(number)
    assert proxy.told == ["drain", "hurry"]
    assert formatEvent(logged[-1]) == f"{number.name} received: the drain ends now"
    proxy.drained.callback(None)
    assert stopped.called


def test_sighup_reloads(
    running: Process, reactor: Reactor, proxy: Proxy, send: Callable[[int], None]
) -> None:
    send(signal.SIGHUP)
    assert (reactor.stops, proxy.told) == (0, ["reload"])


def test_a_reload_that_fails_says_why_and_no_more(
    running: Process, proxy: Proxy, logged: list[dict[str, Any]], send: Callable[[int], None]
) -> None:
    proxy.outcome = lambda: fail(admin.ReloadFailed("my.toml:3: cache.memory: what?"))
    send(signal.SIGHUP)
    (event,) = [event for event in logged if event["log_level"].name == "error"]
    assert event["errors"] == "my.toml:3: cache.memory: what?"
    assert "log_failure" not in event


def test_a_reload_that_meets_a_bug_leaves_its_trace(
    running: Process, proxy: Proxy, logged: list[dict[str, Any]], send: Callable[[int], None]
) -> None:
    proxy.outcome = lambda: fail(RuntimeError("a bug"))
    send(signal.SIGHUP)
    (event,) = [event for event in logged if "log_failure" in event]
    assert event["log_failure"].check(RuntimeError)


def test_collections_are_scheduled_while_it_runs(
    reactor: Reactor, proxy: Proxy, running: Process
) -> None:
    assert not gc.isenabled()
    running.stopService()
    assert gc.isenabled()


# -- the start ------------------------------------------------------------------------


def test_the_listeners_are_open_at_once(tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    reactor = MemoryReactorClock()
    config = load.load(configured(tmp_path, ""), {})
    proxy = open_proxy(reactor, config, None)
    assert proxy.snapshot()["state"] == "ready"
    assert [port for port, *_ in reactor.tcpServers] == [3128]
    expected = "twistproxy {version}{compiled} on the reactor: {reactor}"
    assert logged[0]["log_format"].startswith(expected)
    assert logged[0]["reactor"] == "memoryreactorclock"
    proxy.drain()


def test_why_it_cannot_run_is_raised_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def __init__(self, *_: object) -> None: ...

        def start(self) -> Deferred[None]:
            return fail(CannotRun(("tcp:1: taken",)))

    monkeypatch.setattr(process, "Proxy", Failing)
    config = load.load(configured(tmp_path, ""), {})
    with pytest.raises(CannotRun, match="tcp:1: taken"):
        open_proxy(MemoryReactorClock(), config, None)


def configured(folder: Path, text: str) -> Path:
    file = folder / "twistproxy.toml"
    file.write_text(text)
    return file


# -- twistd itself --------------------------------------------------------------------

TWISTD = str(Path(sys.executable).with_name("twistd"))
CHECKOUT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}
UNUSABLE = """
[forward]
listen = ["unix:no-such-folder/one", "unix:no-such-folder/two"]
[log]
access = { file = "access.log" }
"""


@pytest.mark.parametrize("options", [["--nodaemon"], []], ids=["foreground", "background"])
@pytest.mark.parametrize("reactor", [[], ["--reactor=epoll"]], ids=["own", "epoll"])
def test_what_cannot_be_opened_is_all_that_is_printed(
    tmp_path: Path, options: list[str], reactor: list[str]
) -> None:
    file = configured(tmp_path, UNUSABLE)
    done = subprocess.run(
        [TWISTD, *options, *reactor, "--pidfile=twistd.pid", "twistproxy", "--config", file],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"unix:{tmp_path}/no-such-folder/{name}: no such file or directory"
        for name in ("one", "two")
    ]
    assert not (tmp_path / "twistd.pid").exists()
    assert not (tmp_path / "twistd.log").exists()
