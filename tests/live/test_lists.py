"""Lists of rules: files that change, a server that fails, and a reload under load."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from clients import Client, Reply
from conftest import Keep, Start
from origins import Received, Recording
from program import Program, until

CONFIG = """
state_dir = "$state"

[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[policy.lists.file]
file = "$list"
format = "domains"

[policy.lists.url]
url = "http://127.0.0.1:$server/list"
format = "hosts"
refresh = "1h"

[[policy.rule]]
name = "listed"
when = { list = ["file", "url"] }
action = "deny"
status = 451
"""


class ListServer(Recording):
    """Says what it is told to."""

    def __init__(self) -> None:
        self.says = (200, b"0.0.0.0 listed-by-url.example\n0.0.0.0 b.example\n")
        super().__init__(self._answer)

    def _answer(self, request: Received) -> bytes:
        status, body = self.says
        return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.fixture
def server(keep: Keep[ListServer]) -> ListServer:
    return keep(ListServer())


@pytest.fixture
def proxy(start: Start, server: ListServer, tmp_path: Path) -> Program:
    (tmp_path / "list").write_text("listed-by-file.example\n")
    names = {"list": tmp_path / "list", "state": tmp_path / "state", "server": server.port}
    return start(CONFIG, **names)


def ask(proxy: Program, host: str) -> Reply:
    with Client(proxy.forward) as client:
        head = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        return client.ask(head.encode())


def is_listed(proxy: Program, host: str) -> bool:
    return ask(proxy, host).status == 451


def test_lists_decide_and_follow_their_files(
    proxy: Program, server: ListServer, tmp_path: Path
) -> None:
    assert is_listed(proxy, "www.listed-by-file.example"), "in force before it listens"
    until(lambda: is_listed(proxy, "listed-by-url.example"), why="the URL is not fetched")
    assert not is_listed(proxy, "www.listed-by-url.example"), "each name alone"
    (tmp_path / "list").write_text("another.example\nlisted-by-file.example\n")
    until(lambda: is_listed(proxy, "another.example"), 20, "the file is not read again")


GARBAGE = {
    "empty": (200, b""),
    "an error": (500, b"0.0.0.0 other.example\n"),
    "a page": (200, b"<!doctype html><html><body>other.example</body></html>\n" * 50),
    "garbage": (200, bytes(range(256)) * 40),
}


@pytest.mark.parametrize("says", GARBAGE.values(), ids=GARBAGE)
def test_a_failing_list_server_changes_nothing_but_a_warning(
    proxy: Program, server: ListServer, start: Start, tmp_path: Path, says: tuple[int, bytes]
) -> None:
    until(lambda: is_listed(proxy, "listed-by-url.example"), why="the URL is not fetched")
    proxy.stop()
    server.says = says
    asked = len(server.requests)
    names = {"list": tmp_path / "list", "state": tmp_path / "state", "server": server.port}
    again = start(CONFIG.replace('refresh = "1h"', 'refresh = "1s"'), **names)
    assert is_listed(again, "listed-by-url.example"), "the last good copy is in force at once"
    until(lambda: len(server.requests) > asked, why="the URL is not asked for again")
    until(lambda: "List url: " in again.log, why="there is no warning")
    assert is_listed(again, "listed-by-url.example")
    assert not is_listed(again, "other.example")


def test_large_lists_and_many_rules_reload_under_load(
    start: Start, keep: Keep[Recording], tmp_path: Path
) -> None:
    origin = keep(Recording())
    lists = ""
    for number in range(3):
        names = "".join(f"0.0.0.0 name-{n}.list-{number}.example\n" for n in range(100_000))
        (tmp_path / f"list-{number}").write_text(names)
        lists += f'[policy.lists.l{number}]\nfile = "{tmp_path}/list-{number}"\nformat = "hosts"\n'
    rules = '[[policy.rule]]\nname = "lists"\nwhen.list = ["l0", "l1", "l2"]\naction = "deny"\n'
    rules += "".join(
        f'[[policy.rule]]\nname = "r{n}"\nwhen.host = "h{n}.example"\naction = "deny"\n'
        for n in range(10_000)
    )
    small = CONFIG.partition("[policy.lists.file]")[0]
    proxy = start(small, state=tmp_path / "state")
    statuses: list[int] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            statuses.append(ask(proxy, f"127.0.0.1:{origin.port}").status)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for text in (small + lists + rules, small, small + lists + rules):
            generations = proxy.log.count("Reloaded: ")
            proxy.reload(text)
            until(lambda n=generations: proxy.log.count("Reloaded: ") > n, 120, "no reload")
    finally:
        over.set()
        asking.join()
    assert ask(proxy, "name-99999.list-2.example").status == 403
    assert ask(proxy, "h9999.example").status == 403
    assert set(statuses) == {200}
    assert len(statuses) > 10
