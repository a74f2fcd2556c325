"""The configurations in etc/examples: each is right, and does what its own tests say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twistproxy import cli

EXAMPLES = Path(__file__).parent.parent / "etc" / "examples"
NAMES = sorted(
    file.stem for file in EXAMPLES.glob("*.toml") if not file.name.endswith(".test.toml")
)


def twistproxy(*words: object) -> Result:
    return CliRunner().invoke(cli.cli, [str(word) for word in words])


def test_there_are_some() -> None:
    assert {"build-jobs", "company", "family", "login"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_check_finds_it_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    file = EXAMPLES / f"{name}.toml"
    done = twistproxy("check", file)
    assert (done.exit_code, done.output) == (0, f"{file}: ok\n")


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_pass(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    tests = EXAMPLES / f"{name}.test.toml"
    count = tests.read_text().count("[[test]]")
    done = twistproxy("test", "--config", EXAMPLES / f"{name}.toml", tests)
    assert (done.exit_code, done.output) == (0, f"{tests}: {count} ok\n")


@pytest.mark.parametrize("name", NAMES)
def test_it_listens_on_loopback_alone(name: str) -> None:
    listening = re.findall(
        r"^(?:tls_)?listen = (.*)$", (EXAMPLES / f"{name}.toml").read_text(), re.M
    )
    assert listening
    assert all(":interface=127.0.0.1" in each for each in listening)
