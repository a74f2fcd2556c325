"""Running programs that share a Redis: objects and purges, while it is there and while it isn't."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
from attrs import Factory, define
from clients import Client, Reply
from conftest import Keep, Start
from pages import HOST, Pages, admin, page, store
from program import Program, until
from redis_server import Redis

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$origin"]
"""
# A timeout that even a busy machine keeps.
REDIS = """
[cache.redis]
url = "redis://127.0.0.1:$redis/$number"
timeout = "5s"
"""
IMPATIENT = REDIS.replace("5s", "50ms")
DISK = """
[cache.disk]
path = "$disk"
"""


@pytest.fixture(scope="module")
def origin(keep: Keep[Pages]) -> Pages:
    return keep(Pages())


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    redis = Redis()
    yield redis
    redis.close()


Node = Callable[..., Program]


@pytest.fixture
def node(start: Start, origin: Pages, redis: Redis) -> Node:
    """node(configuration after CONFIG, **names): a program that has found its Redis, emptied before
    the first."""
    redis.ask("FLUSHALL")
    usual = {"origin": origin.port, "redis": redis.port, "number": 0}

    def node(more: str = REDIS, **names: object) -> Program:
        proxy = start(CONFIG + more, **{**usual, **names})
        if "redis" in more:
            reaches(proxy, "ok")
        if "disk" in more:
            until(lambda: store(proxy, "disk")["state"] == "ok")
        return proxy

    return node


def reaches(proxy: Program, *states: str) -> None:
    until(lambda: store(proxy, "redis").get("state") in states)


def settled(*proxies: Program) -> None:
    """Wait until Redis has answered all that they said to it."""
    for proxy in proxies:
        until(lambda proxy=proxy: not store(proxy, "redis")["waiting"])
        until(lambda proxy=proxy: not store(proxy, "redis")["owed"])


def share(one: Program, other: Program, origin: Pages, *paths: str) -> None:
    """Have pages in both."""
    for path in paths:
        assert page(one, path).body == origin.body(path)
    settled(one)
    for path in paths:
        reply = page(other, path)
        assert (reply.hit, reply.body == origin.body(path)) == (True, True)
        assert page(other, path).hit
        assert origin.asked[path] == 1


def purge(proxy: Program, *words: str) -> str:
    return admin(proxy, "POST /commands/purge/" + "/".join(quote(each, safe="") for each in words))


PURGES = {
    "url": lambda path: [f"http://{HOST}{path}"],
    "tag": lambda path: ["--tag", path.split("/")[2]],
    "prefix": lambda path: ["--prefix", f"http://{HOST}{path.rpartition('/')[0]}"],
}


def change(proxy: Program, origin: Pages, how: str, path: str) -> None:
    """Have a page changed, of which the cache is told through one of the programs."""
    if how == "unsafe":
        with Client(proxy.reverse) as client:
            client.ask(f"DELETE {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        settled(proxy)
    else:
        origin.edition[path] += 1
        assert "redis 1" in purge(proxy, *PURGES[how](path))


def page_of(origin: Pages, proxy: Program, path: str) -> bool:
    """Whether it gives what is right now."""
    return page(proxy, path).body == origin.body(path)


CHANGES = (*PURGES, "unsafe")


def test_what_one_fetched_and_forgot_the_other_has_and_forgets(
    node: Node, origin: Pages, unique: str, tmp_path: Path
) -> None:
    one, other = (node(REDIS + DISK, disk=tmp_path / name) for name in ("one", "other"))
    # In one piece, and as a file.
    changes = [
        (how, f"/{unique}/{size}{how}/{size}") for how in CHANGES for size in (1000, 100_000)
    ]
    kept = f"/{unique}/kept/1000"
    share(one, other, origin, kept, *(path for _, path in changes))
    for how, path in changes:
        change(one, origin, how, path)
        assert page_of(origin, one, path)
        until(partial(page_of, origin, other, path))
        assert origin.asked[path] in (2, 3)
    assert page(other, kept).hit
    assert page(one, kept).hit


def test_who_was_cut_off_hears_what_was_said(
    node: Node, origin: Pages, redis: Redis, unique: str, tmp_path: Path
) -> None:
    with Relay(redis.port) as relay:
        one, other = node(), node(REDIS + DISK, redis=relay.port, disk=tmp_path / "other")
        paths = {how: f"/{unique}/{how}/100000" for how in CHANGES}
        kept = f"/{unique}/kept/1000"
        share(one, other, origin, kept, *paths.values())
        relay.cut()
        reaches(other, "open", "connecting")
        for how, path in paths.items():
            change(one, origin, how, path)
            # It goes on alone.
            assert page(other, path).hit
        relay.mend()
        reaches(other, "ok")
        for path in paths.values():
            assert page_of(origin, other, path)
        assert page(other, kept).hit


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_who_was_down_hears_what_was_said(
    node: Node, start: Start, origin: Pages, unique: str, tmp_path: Path, how: signal.Signals
) -> None:
    one, other = node(), node(REDIS + DISK, disk=tmp_path / "other")
    paths = {how: f"/{unique}/{how}/100000" for how in CHANGES}
    large, kept = f"/{unique}/large/5000000", f"/{unique}/kept/1000"
    share(one, other, origin, kept, *paths.values())
    page(other, large)  # no other has it
    until(lambda: store(other, "disk")["written"] >= 6)
    other.kill() if how is signal.SIGKILL else other.stop()
    for way, path in paths.items():
        change(one, origin, way, path)
    origin.edition[large] += 1
    purge(one, f"http://{HOST}{large}")
    again = start(other.text, **{**other.names, "redis": one.names["redis"]})
    while True:
        was = store(again, "redis").get("state")
        for path in (*paths.values(), large):
            assert page_of(origin, again, path)
        if was == "ok":
            break
    assert page(again, kept).hit


# -- Redis comes and goes --


@define
class Load:
    """Clients that ask for a new page each time, and for one that they had.

    slow: seconds of those who waited long. wrong: answers that weren't right.
    """

    origin: Pages
    unique: str
    count: int = 0
    slow: list[float] = Factory(list)
    wrong: list[object] = Factory(list)
    done: bool = False

    def ask(self, proxy: Program, name: str) -> None:
        with Client(proxy.reverse) as client:
            for number in count():
                if self.done:
                    return
                for n in (number, number // 2):
                    self._one(client, f"/{self.unique}/{name}/{n}/700")

    def _one(self, client: Client, path: str) -> None:
        began = time.monotonic()
        reply = client.ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        taken = time.monotonic() - began
        self.count += 1
        if taken > 2:
            self.slow.append(taken)
        if reply.body != self.origin.body(path):
            self.wrong.append((path, reply))


@contextmanager
def load(origin: Pages, unique: str, *proxies: Program) -> Iterator[Load]:
    """Requests go on meanwhile; none may be slow, or answered wrongly."""
    under = Load(origin, unique)
    with ThreadPoolExecutor(2 * len(proxies)) as pool:
        asking = [
            # Each page is asked for through all of them.
            pool.submit(under.ask, proxy, f"{client}")
            for proxy in proxies
            for client in range(2)
        ]
        try:
            yield under
        finally:
            under.done = True
        for each in asking:
            each.result()
    assert under.count > 0
    assert (under.slow, under.wrong) == ([], [])


def test_requests_go_on_while_redis_does_not(
    node: Node, origin: Pages, redis: Redis, unique: str
) -> None:
    one, other = node(IMPATIENT), node(IMPATIENT)
    with load(origin, unique, one, other) as under:
        for end, begin in (
            (redis.freeze, redis.thaw),
            (redis.stop, redis.start),
            (redis.kill, redis.start),
        ):
            end()
            try:
                for proxy in one, other:
                    reaches(proxy, "open", "connecting")
                so_far = under.count
                until(lambda so_far=so_far: under.count > so_far + 100)
            finally:
                begin()
            for proxy in one, other:
                reaches(proxy, "ok")
    for proxy in one, other:
        assert "is left alone" in proxy.log
    path = f"/{unique}/after/1000"
    assert page(one, path).status == 200
    settled(one)
    assert page(other, path).status == 200


@pytest.mark.parametrize("disk", ["", DISK], ids=["alone", "beside a disk"])
def test_reloads_cut_nothing(
    node: Node, origin: Pages, redis: Redis, unique: str, tmp_path: Path, disk: str
) -> None:
    one, other = node(disk, disk=tmp_path / "one"), node()
    path = f"/{unique}/1000"
    with Client(one.reverse) as client:

        def ask(path: str) -> Reply:
            reply = client.ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert reply.body == origin.body(path)
            return reply

        ask(path)
        one.reload(CONFIG + disk + REDIS)
        reaches(one, "ok")
        assert ask(path).hit
        assert not ask(f"{path}/1000").hit
        settled(one)
        assert page(other, f"{path}/1000").hit
        page(other, f"{path}/2000")
        settled(other)
        assert ask(f"{path}/2000").hit
        one.reload(CONFIG + disk)
        until(lambda: not store(one, "redis"))
        for hit in path, f"{path}/1000", f"{path}/2000":
            assert ask(hit).hit
    until(lambda: redis.ask("CLIENT", "LIST").count(b"cmd=xread") == 1)


class Relay:
    """A way to a port of this machine that can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._is_cut = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += near, far
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        self._end(source)
        self._end(sink)

    def _end(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._is_cut = True
        for each in self._ends:
            self._end(each)

    def mend(self) -> None:
        self._is_cut = False

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._end(self._listener)
        self._listener.close()
        for each in self._ends:
            each.close()
