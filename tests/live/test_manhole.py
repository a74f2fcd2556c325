"""The SSH console, by OpenSSH's client."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from clients import get, make_ssh_key, ssh
from conftest import Start
from origins import Nginx
from program import Program, until

CONFIG = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$nginx"]

[manhole]
listen = "tcp:$manhole:interface=127.0.0.1"
authorized_keys = "$keys"
"""
COMMANDS = ["help", "stats", "connections", "cache", "policy", "pools", "reload"]
OBJECTS = ["proxy", "cache", "policy", "pools", "connections"]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ssh_key(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def proxy(start_shared: Start, nginx: Nginx, key: Path) -> Program:
    nginx.put("/kept/manhole", b"a page")
    return start_shared(CONFIG, nginx=nginx.port, keys=key.with_suffix(".pub"))


def figures(text: str) -> dict[str, str]:
    """``NAME VALUE`` lines."""
    return dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line.strip())


def test_one_command_shows_the_hit(proxy: Program, key: Path) -> None:
    get(proxy.reverse, "/kept/manhole", "shop.example")
    before = ssh(proxy.manhole, key, "stats")
    assert before.returncode == 0, before.stderr
    assert get(proxy.reverse, "/kept/manhole", "shop.example").hit
    after = ssh(proxy.manhole, key, "stats", user="someone-else")
    assert int(figures(after.stdout)["hits"]) == int(figures(before.stdout)["hits"]) + 1


def test_a_strangers_key_is_refused(proxy: Program, tmp_path: Path) -> None:
    stranger = make_ssh_key(tmp_path / "stranger")
    refused = ssh(proxy.manhole, stranger, "stats")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs_and_says_something(proxy: Program, key: Path, command: str) -> None:
    done = ssh(proxy.manhole, key, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stdout


def test_an_unknown_command_fails(proxy: Program, key: Path) -> None:
    done = ssh(proxy.manhole, key, "no-such-command")
    assert done.returncode != 0
    assert "no-such-command" in done.stdout + done.stderr


def test_a_console_types_ahead_and_ends(proxy: Program, key: Path) -> None:
    """All is on standard input before the first prompt, ^D too: each waits for its answer."""
    typed = "stats\r'forty-' + 'two'\rpools\r\x04"
    done = ssh(proxy.manhole, key, typed=typed, terminal=True)
    assert done.returncode == 0
    places = [done.stdout.find(text) for text in ("hits ", "forty-two", "shop")]
    assert -1 not in places
    assert places == sorted(places)


def test_a_welcome_and_bare_words(proxy: Program, key: Path) -> None:
    done = ssh(proxy.manhole, key, typed="help\r\x04", terminal=True)
    assert "help" in done.stdout
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_readable(proxy: Program, key: Path, name: str) -> None:
    done = ssh(proxy.manhole, key, typed=f"print(repr({name}))\r\x04", terminal=True)
    assert "Traceback" not in done.stdout
    assert " object at 0x" not in done.stdout


def test_tab_completes(proxy: Program, key: Path) -> None:
    done = ssh(proxy.manhole, key, typed="connec\t\r\x04", terminal=True)
    assert "connections" in done.stdout


def test_a_fault_in_the_console_stays_there(proxy: Program, key: Path) -> None:
    done = ssh(proxy.manhole, key, typed="1 / 0\r6 * 7\r\x04", terminal=True)
    assert "ZeroDivisionError" in done.stdout
    assert "42" in done.stdout
    assert get(proxy.reverse, "/kept/manhole", "shop.example").status == 200


def test_an_endless_loop_in_the_console_is_ended(proxy: Program, key: Path) -> None:
    done = ssh(proxy.manhole, key, typed="while True: pass\r\r6 * 7\r\x04", terminal=True)
    assert "42" in done.stdout
    assert get(proxy.reverse, "/kept/manhole", "shop.example").status == 200


def test_the_host_key_is_made_once_and_private(start: Start, key: Path, nginx: Nginx) -> None:
    names = {"nginx": nginx.port, "keys": key.with_suffix(".pub")}
    proxy = start(CONFIG, **names)
    host_key = proxy.folder / "var/ssh_host_key"
    assert stat.S_IMODE(host_key.stat().st_mode) == 0o600
    made = host_key.read_bytes()
    assert ssh(proxy.manhole, key, "stats").returncode == 0
    again = start(CONFIG.replace("[manhole]", f'[manhole]\nhost_key = "{host_key}"'), **names)
    assert ssh(again.manhole, key, "stats").returncode == 0
    assert host_key.read_bytes() == made


def test_no_table_no_manhole(start: Start, nginx: Nginx) -> None:
    proxy = start(CONFIG.split("[manhole]")[0], nginx=nginx.port)
    assert not (proxy.folder / "var/ssh_host_key").exists()


def test_reload_by_console(start: Start, nginx: Nginx, key: Path) -> None:
    names = {"nginx": nginx.port, "keys": key.with_suffix(".pub")}
    proxy = start(CONFIG, **names)
    assert get(proxy.reverse, "/kept/manhole", "shop.example").status == 200
    rule = '[[policy.rule]]\nname = "none"\nwhen = { path = "/" }\naction = "deny"\n'
    proxy.configure(CONFIG + rule)
    assert ssh(proxy.manhole, key, "reload").returncode == 0
    until(lambda: get(proxy.reverse, "/kept/manhole", "shop.example").status == 403)


def test_a_bad_reload_changes_nothing_and_says_why(start: Start, nginx: Nginx, key: Path) -> None:
    names = {"nginx": nginx.port, "keys": key.with_suffix(".pub")}
    proxy = start(CONFIG, **names)
    proxy.configure(CONFIG.replace('pool = "shop"', 'pool = "shpo"'))
    done = ssh(proxy.manhole, key, "reload")
    assert 'no pool named "shpo"; did you mean "shop"?' in done.stdout + done.stderr
    assert get(proxy.reverse, "/kept/manhole", "shop.example").status == 200
