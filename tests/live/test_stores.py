"""The cache on disk, of the running program: restarts, kills, full and lost disks, reloads."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority
from clients import Client, Reply
from conftest import Keep, Start
from pages import HOST, Pages, page, snapshot, store
from program import PATIENCE, Program, free_port, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]

[[reverse.tls]]
hosts = ["shop.example"]
cert = "$cert"
key = "$key"

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$origin"]

[cache]
memory = "$memory"
"""
DISK = """
[cache.disk]
path = "$disk"
"""
#: With a memory of a mebibyte: in one piece, as a file, in a file from the first byte on.
SIZES = (1000, 100_000, 5_000_000)


@pytest.fixture(scope="module")
def origin(keep: Keep[Pages]) -> Pages:
    return keep(Pages())


Run = Callable[..., Program]


@pytest.fixture
def run(start: Start, authority: Authority, origin: Pages, tmp_path: Path) -> Run:
    """run(configuration after CONFIG, **names): a program whose $disk is a folder of the test, and
    open."""
    cert, key = authority.issue(HOST)
    usual = {"origin": origin.port, "disk": tmp_path / "cache", "memory": "1MiB"}

    def run(more: str = DISK, **names: object) -> Program:
        proxy = start(CONFIG + more, **{"cert": cert, "key": key, **usual, **names})
        until(lambda: store(proxy, "disk").get("state", "") != "opening")
        return proxy

    return run


def written(proxy: Program, count: int) -> None:
    """Wait until so many objects were written, ever."""
    until(lambda: store(proxy, "disk")["written"] >= count)


def together(work: Callable[[str], Reply], paths: list[str], many: int = 8) -> list[Reply]:
    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(work, paths))


def test_right_after_its_last_byte_it_is_a_hit(run: Run, origin: Pages, unique: str) -> None:
    proxy = run()
    for size in (*SIZES, 70_000, 200_000, 10_000_000):
        path = f"/{unique}/{size}"
        assert page(proxy, path).body == origin.body(path)
        again = page(proxy, path)
        assert (again.hit, again.body) == (True, origin.body(path))
        assert origin.asked[path] == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_what_lies_on_disk_is_served_after_a_restart(
    run: Run, origin: Pages, authority: Authority, unique: str, how: signal.Signals
) -> None:
    def clients(proxy: Program) -> Iterator[Client]:
        with Client(proxy.reverse) as client:
            yield client
        # What is asked for by another scheme is another object.
        tls = authority.client_context()
        with Client(proxy.tls, tls=tls, server_name=HOST) as client:
            yield client

    proxy = run()
    paths = [f"/{unique}/{size}" for size in SIZES]
    for client in clients(proxy):
        for path in paths:
            reply = client.ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert reply.body == origin.body(path)
    written(proxy, 2 * len(paths))
    proxy.kill() if how is signal.SIGKILL else proxy.stop()
    # Nobody is there who could be asked.
    proxy = run(origin=free_port())
    for client in clients(proxy):
        for path in paths:
            check_parts(client, path, origin.body(path))
    with Client(proxy.forward) as client:
        for path in paths:
            check_parts(client, f"http://{HOST}{path}", origin.body(path))
    assert store(proxy, "disk")["damaged"] == 0


def check_parts(client: Client, target: str, body: bytes) -> None:
    """What a client gets of a page in several ways, each out of the cache."""

    def ask(method: str = "GET", more: str = "") -> Reply:
        reply = client.ask(f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n".encode())
        assert reply.hit
        assert reply.complete
        return reply

    size = len(body)
    assert (ask().status, ask().body == body) == (200, True)
    head = ask("HEAD")
    assert (head.status, head.get("content-length"), head.body) == (200, str(size), b"")
    for spec, part in {
        "0-0": body[:1],
        "100-899": body[100:900],
        f"{size // 3}-{size // 2}": body[size // 3 : size // 2 + 1],
        f"{size - 900}-": body[-900:],
        "-700": body[-700:],
    }.items():
        got = ask(more=f"Range: bytes={spec}\r\n")
        assert (got.status, got.body == part) == (206, True)
    several = ask(more="Range: bytes=0-9,500-599\r\n")
    assert several.status == 206
    assert body[:10] in several.body
    assert body[500:600] in several.body
    assert ask(more='If-None-Match: "0"\r\n').status == 304
    assert ask(more=f"Range: bytes={size}-\r\n").status == 416


def test_killed_while_objects_are_stored(run: Run, origin: Pages, unique: str) -> None:
    sizes = (1, 1000, 20_000, 70_000, 200_000)
    proxy = run()
    for number, enough in enumerate((5, 40, 90)):
        paths = [f"/{unique}/{number}/{n}/{sizes[n % 5]}" for n in range(100)]
        killing = threading.Thread(target=kill_when, args=(proxy, origin, paths, enough))
        killing.start()
        together(partial(attempt, proxy), paths)
        killing.join()
        proxy = run()
        for round in "after", "again":
            replies = together(partial(page, proxy), paths)
            for path, reply in zip(paths, replies, strict=True):
                assert reply.body == origin.body(path)
                assert reply.hit or round == "after"
    # One fetch from each end of a kill at most; and some were there already.
    asked = [origin.asked[path] for path in origin.asked if path.startswith(f"/{unique}/")]
    assert set(asked) == {1, 2}


def kill_when(proxy: Program, origin: Pages, paths: list[str], enough: int) -> None:
    until(lambda: sum(origin.asked[path] for path in paths) >= enough)
    proxy.kill()


def attempt(proxy: Program, path: str) -> Reply:
    """What somebody gets while it is killed."""
    try:
        return page(proxy, path)
    except OSError:
        return Reply()


def test_what_is_large_needs_no_memory(run: Run, origin: Pages, unique: str) -> None:
    proxy = run(memory="8MiB")
    first, *others = (f"/{unique}/{n}/{50_000_000}" for n in range(6))
    for hit in False, True:
        assert download(proxy, first, origin.body(first)) == hit
    proxy.forget_peak()
    before = proxy.memory()
    for path in others:
        for hit in False, True:
            assert download(proxy, path, origin.body(path)) == hit
    # What memory may hold, what may wait for the disk, and some more.
    assert proxy.memory("VmHWM") - before < (8 << 20) + (32 << 20) + (8 << 20)


def download(proxy: Program, path: str, body: bytes) -> bool:
    """Read a page no faster than the disk is written, which would not be waited for: whether it was
    a hit."""
    with Client(proxy.reverse) as client, client.socket.makefile("rb") as stream:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = b"".join(iter(stream.readline, b"\r\n"))
        for start in range(0, len(body), 4 << 20):
            piece = body[start : start + (4 << 20)]
            assert stream.read(len(piece)) == piece
            until(lambda: store(proxy, "disk")["unwritten"] < 4 << 20)
    return b"twistproxy; hit" in head


# -- disks that are full, lost, or somebody else's --


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only who may mount can have a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_hits_alone(
    small_disk: Path, run: Run, origin: Pages, unique: str
) -> None:
    proxy = run(disk=small_disk / "cache")
    paths = [f"/{unique}/{n}/{size}" for n in range(30) for size in (1000, 100_000, 500_000)]
    for path, reply in zip(paths, together(partial(page, proxy), paths), strict=True):
        assert reply.body == origin.body(path)
    figures = store(proxy, "disk")
    assert figures["state"] in ("full", "ok")  # it goes on with what room it has
    # In the words of sqlite or of the system.
    assert re.search("No space left on device|disk is full", figures["error"])
    assert figures["error"] in proxy.log
    replies = together(partial(page, proxy), paths)
    for path, reply in zip(paths, replies, strict=True):
        assert reply.body == origin.body(path)
    assert 0 < sum(reply.hit for reply in replies) < len(paths)
    figures = store(proxy, "disk")
    assert 0 < figures["bytes"] <= 8 << 20
    assert figures["objects"] > 10


def test_a_folder_that_goes_costs_hits_alone(
    run: Run, origin: Pages, unique: str, tmp_path: Path
) -> None:
    proxy = run()
    paths = [f"/{unique}/{n}/{size}" for n in range(10) for size in (1000, 100_000, 2_000_000)]
    together(partial(page, proxy), paths)
    shutil.rmtree(tmp_path / "cache")
    more = [f"/{unique}/more{path.removeprefix(f'/{unique}')}" for path in paths]
    for path, reply in zip(paths + more, together(partial(page, proxy), paths + more), strict=True):
        assert reply.body == origin.body(path)
    assert store(proxy, "disk")["state"] == "failing"


def test_what_can_not_be_a_folder_costs_hits_alone(
    run: Run, origin: Pages, unique: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    proxy = run(disk=tmp_path / "file" / "cache")
    check_without_disk(proxy, origin, unique, "Not a directory")


def test_a_folder_is_of_one_program(run: Run, origin: Pages, unique: str, tmp_path: Path) -> None:
    first = run()
    kept = f"/{unique}/1000"
    page(first, kept)
    other = run()
    check_without_disk(other, origin, unique, "another process uses")
    assert page(first, kept).hit
    assert store(first, "disk")["state"] == "ok"


def check_without_disk(proxy: Program, origin: Pages, unique: str, why: str) -> None:
    figures = store(proxy, "disk")
    assert (figures["state"], why in figures["error"]) == ("failing", True)
    assert why in proxy.log
    for size in SIZES:
        path = f"/{unique}/without/{size}"
        assert page(proxy, path).body == origin.body(path)
    # Memory goes on.
    assert page(proxy, f"/{unique}/without/{SIZES[0]}").hit


# -- reloads --


def test_reloads_cut_nothing(run: Run, origin: Pages, unique: str, tmp_path: Path) -> None:
    proxy = run("")
    paths = [f"/{unique}/{size}" for size in SIZES]
    folder = tmp_path / "cache"
    other = DISK.replace("$disk", str(tmp_path / "other"))

    def load(more: str, **figures: object) -> None:
        proxy.reload(CONFIG + more)
        wanted = {"state": "ok", **figures} if more else {}
        until(lambda: {k: store(proxy, "disk").get(k) for k in wanted} == wanted)
        until(lambda: bool(store(proxy, "disk")) == bool(more))

    def hits(client: Client) -> list[bool]:
        found = []
        for path in paths:
            reply = client.ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert reply.body == origin.body(path)
            found.append(reply.hit)
        return found

    with Client(proxy.reverse) as client:
        assert hits(client) == [False, False, False]
        assert hits(client) == [True, True, False]  # the largest has no place in memory
        load(DISK)
        assert hits(client) == [True, True, False]
        assert hits(client) == [True, True, True]
        assert folder.is_dir()
        load(DISK + 'size = "1GiB"\n', limit=1 << 30)
        assert hits(client) == [True, True, True]
        load(other, objects=0)
        hits(client)
        assert hits(client) == [True, True, True]
        load("")
        hits(client)
        load(DISK)
        assert hits(client) == [True, True, True]
        assert store(proxy, "disk")["objects"] > 0


# -- many at once --


@pytest.mark.parametrize("memory", ["64MiB", "1MiB"])
def test_fifty_at_once_are_one_request(run: Run, origin: Pages, unique: str, memory: str) -> None:
    """They read along where memory holds it, else they get it from the disk once it is whole."""
    proxy = run(memory=memory)
    for size in (1000, 5_000_000):
        path = f"/slow/{unique}/{size}"
        origin.gate.clear()
        with ThreadPoolExecutor(50) as pool:
            waiting = [pool.submit(page, proxy, path) for _ in range(50)]
            assert origin.halfway.acquire(timeout=PATIENCE)
            until(lambda: snapshot(proxy)["exchanges"]["active"] == 50)
            origin.gate.set()
            replies = [each.result() for each in waiting]
        assert [reply.body == origin.body(path) for reply in replies] == [True] * 50
        assert origin.asked[path] == 1
        assert page(proxy, path).hit
