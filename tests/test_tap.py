"""What twistd is given: options, a reactor, a log, a service with its listeners open."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError

from twistproxy import app, logs, process, tap
from twistproxy.net import reactor as reactors


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No reactor is installed, no log chosen."""
    monkeypatch.setattr(reactors, "install", lambda: None)
    monkeypatch.setattr(logs, "_choice", logs._Choice())
    monkeypatch.chdir(tmp_path)


def options(*words: str, **twistd: Any) -> tap.Options:
    parsed = tap.Options()
    parsed.parent = {"nodaemon": 1, **twistd}  # type: ignore[assignment]
    parsed.parseOptions(list(words))
    return parsed


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('[forward]\nlisten = ["tcp:4000:interface=127.0.0.1"]\n')
    for words in (["--config", "my.toml"], ["-c", "my.toml"], ["--config=my.toml"]):
        parsed = options(*words)
        assert parsed.file == Path("my.toml")
        assert parsed.config.forward is not None
        assert parsed.config.forward.listen == ("tcp:4000:interface=127.0.0.1",)


def test_the_log_is_chosen_by_the_file_and_by_twistd(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('[log]\nlevel = "warn"\n')
    assert options("-c", "my.toml").parent["logger"] == "twistproxy.logs.observer"
    assert options("-c", "my.toml", logger="my.own").parent["logger"] == "my.own"


def test_errors_are_all_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> None:
        raise AssertionError("a reactor was installed")

    monkeypatch.setattr(reactors, "install", never)
    (tmp_path / "my.toml").write_text('[cache]\nmemory = "1 pound"\n[log]\nlevle = "info"\n')
    with pytest.raises(SystemExit) as ended:
        options("-c", "my.toml")
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert out == ""
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["my.toml:2", "cache.memory"],
        ["my.toml:4", "log.levle"],
    ]


def test_a_file_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("-c", "no-such.toml")
    assert capsys.readouterr().err.startswith("no-such.toml: can't be read: ")


def test_a_balancer_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text('[pools.a]\nservers = ["http://a"]\nbalance = "magic"\n')
    with pytest.raises(SystemExit):
        options("-c", "my.toml")
    assert 'pools.a.balance: "magic" is not "round_robin"' in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        options("--no-such-option")


def test_the_help_names_the_option() -> None:
    assert "--config=" in tap.Options().getUsage()


# -- the service ----------------------------------------------------------------------


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> MemoryReactorClock:
    reactor = MemoryReactorClock()
    monkeypatch.setitem(sys.modules, "twisted.internet.reactor", reactor)
    monkeypatch.setattr("twisted.internet.reactor", reactor, raising=False)
    return reactor


def test_the_service_has_the_file_for_good(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text("")
    opened: list[Any] = []
    monkeypatch.setattr(process, "Process", lambda reactor, proxy: (reactor, proxy))
    monkeypatch.setattr(process, "open_proxy", lambda *given: opened.append(given) or "proxy")
    parsed = options("-c", "my.toml")
    assert tap.makeService(parsed) == (reactor, "proxy")
    # twistd goes to another folder; a reload still reads this.
    assert opened == [(reactor, parsed.config, tmp_path / "my.toml")]


def test_what_cannot_run_prints_its_lines_only(
    reactor: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "my.toml").write_text("")

    def cannot(*_: object) -> None:
        raise app.CannotRun(("tcp:1: address already in use", "tcp:2: permission denied"))

    monkeypatch.setattr(process, "open_proxy", cannot)
    with pytest.raises(SystemExit) as ended:
        tap.makeService(options("-c", "my.toml"))
    assert ended.value.code == 1
    assert tuple(capsys.readouterr()) == (
        "",
        "tcp:1: address already in use\ntcp:2: permission denied\n",
    )


def test_the_plugin_leads_here() -> None:
    data = runpy.run_path(str(Path(__file__).parents[1] / "twisted/plugins/twistproxy_plugin.py"))
    twistproxy = data["twistproxy"]
    assert IServiceMaker.providedBy(twistproxy)
    assert (twistproxy.tapname, twistproxy.options) == ("twistproxy", tap.Options)
    assert twistproxy.makeService is tap.makeService
