"""The program's own log: from which level on, and where."""

from __future__ import annotations

import io
import signal
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log
from twisted.python.reflect import namedAny

from twistproxy import logs

Tell = Callable[[str], None]


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own choice, and leaves SIGUSR1 and hooks as they were."""
    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr("sys.unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(logs, "_choice", logs._Choice())
    yield
    signal.signal(signal.SIGUSR1, before)
    if logs._choice.file is not None:
        logs._choice.file.close()


def begin(twistd: dict[str, Any], level: str) -> Tell:
    """Choose, and log as twistd would from then on: a line at the level that is its text."""
    logs.choose(twistd, level)
    observer = namedAny(twistd["logger"])()
    assert ILogObserver.providedBy(observer)
    logger = Logger(namespace="test", observer=observer)
    return lambda level: logger.emit(LogLevel.levelWithName(level), f"a line of {level}")


LEVELS = ["debug", "info", "warn", "error", "critical"]


@pytest.mark.parametrize("level", LEVELS)
def test_from_the_level_on(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    tell = begin({"nodaemon": 1}, level)
    for each in LEVELS:
        tell(each)
    told = [line.rpartition(" ")[2] for line in out.getvalue().splitlines()]
    assert told == LEVELS[LEVELS.index(level) :]


@pytest.mark.parametrize("level", LEVELS)
def test_of_what_twisted_tells_only_complaints(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    logs.choose({"nodaemon": 1}, level)
    twisted = log.LogPublisher(publishPublisher=LogPublisher(logs.observer()))
    twisted.msg("ClientLegs starting on 3128")
    twisted.msg("a bug", isError=True)
    assert "starting" not in out.getvalue()
    assert "a bug" in out.getvalue()


def test_a_reload_changes_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    tell = begin({"nodaemon": 1}, "error")
    tell("info")
    logs.again("info")
    tell("info")
    assert out.getvalue().count("a line of info") == 1


PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "background": ({"nodaemon": 0}, "twistd.log"),
    "background_file": ({"nodaemon": 0, "logfile": "own.log"}, "own.log"),
    "foreground_file": ({"nodaemon": 1, "logfile": "own.log"}, "own.log"),
}


@pytest.mark.parametrize(("twistd", "file"), PLACES.values(), ids=PLACES)
def test_where_twistd_would_have_put_it(
    twistd: dict[str, Any], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begin(dict(twistd), "info")("info")
    assert (tmp_path / file).read_text().endswith("a line of info\n")


OWN: dict[str, dict[str, Any]] = {
    "logger": {"nodaemon": 1, "logger": "my.own.observer"},
    "syslog": {"nodaemon": 0, "syslog": True},
    "stdout_in_the_background": {"nodaemon": 0, "logfile": "-"},
}


@pytest.mark.parametrize("twistd", OWN.values(), ids=OWN)
def test_what_twistd_does_itself_is_left_to_it(twistd: dict[str, Any]) -> None:
    before = dict(twistd)
    logs.choose(twistd, "info")
    assert twistd == before


def test_after_the_file_was_moved_away_a_reload_begins_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.log"
    tell = begin({"logfile": str(file)}, "info")
    monkeypatch.chdir("/")  # as twistd may
    tell("info")
    file.rename(tmp_path / "own.log.old")
    logs.again("info")
    tell("error")
    assert "a line of error" in file.read_text()
    assert "a line of error" not in (tmp_path / "own.log.old").read_text()


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["free", "taken"])
def test_sigusr1_rotates_unless_somebody_has_it(before: Any, tmp_path: Path) -> None:
    signal.signal(signal.SIGUSR1, before)
    begin({"logfile": str(tmp_path / "own.log")}, "info")
    taken = signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert taken is (before is signal.SIG_IGN)
    assert taken or callable(signal.getsignal(signal.SIGUSR1))


def greet(name: bytes) -> ssl.SSLError:
    """Why a server refuses a hello with this name, of 9 bytes."""
    hello, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a.example").do_handshake()
    incoming.write(hello.read().replace(b"a.example", name))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.sni_callback = lambda *_: None
    with pytest.raises(ssl.SSLError) as refused:
        server.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    return refused.value


NAMES = {"utf-8": "ä.exampl".encode(), "latin-1": b"\xe4.example", "bytes": bytes(range(247, 256))}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_is_not_ascii_is_not_told(name: bytes, capsys: Any) -> None:
    assert greet(name).reason == "CALLBACK_FAILED"
    assert "UnicodeDecodeError" in capsys.readouterr().err
    logs.choose({"nodaemon": 1}, "debug")
    assert greet(name).reason == "CALLBACK_FAILED"
    assert capsys.readouterr().err == ""


class Failing:
    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail

    def __del__(self) -> None:
        self.fail()


BUGS: dict[str, Callable[[], object]] = {
    "another_error": lambda: 1 / 0,
    "bytes_of_another": lambda: b"\xe4".decode("ascii"),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_what_else_can_not_be_raised_is_told(bug: Callable[[], object], capsys: Any) -> None:
    logs.choose({"nodaemon": 1}, "info")
    Failing(bug)
    assert "Exception ignored in" in capsys.readouterr().err
