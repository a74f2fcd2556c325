"""The cache is asked: why, top, stats; and warmed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from clients import get, make_ssh_key, ssh
from conftest import Keep, Start
from origins import Received, Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$origin"]

[manhole]
listen = "tcp:$manhole:interface=127.0.0.1"
authorized_keys = "$keys"
"""

# What the origin says, by the last segment of the path.
SAYS = {
    "kept": "Cache-Control: max-age=60, stale-while-revalidate=30\r\nVary: Accept-Language"
    "\r\nCache-Tag: front, news",
    "private": "Cache-Control: private, max-age=60",
    "nothing": "X-Nothing: said",
}


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    def respond(request: Received) -> bytes:
        says = SAYS.get(request.target.rpartition("/")[2])
        status = "200 OK" if says else "404 Not Found"
        body = "a page of its own"
        fields = f"{says or 'Cache-Control: no-store'}\r\nContent-Length: {len(body)}"
        return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}".encode()

    return keep(Recording(respond))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ssh_key(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording, key: Path) -> Program:
    return start_shared(CONFIG, origin=origin.port, keys=key.with_suffix(".pub"))


def by_hand(proxy: Program, *words: str, folder: Path | None = None) -> str:
    run = "import sys; from twistproxy import cli; sys.exit(cli.cli())"
    done = subprocess.run(
        [sys.executable, "-c", run, *words, "--config", str(proxy.config)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
    )
    return done.stdout + done.stderr


def test_why_it_is_stored(proxy: Program, unique: str) -> None:
    path = f"/{unique}/kept"
    for _ in range(3):
        get(proxy.reverse, path, "shop.example", Accept_Language="sv")
    url = f"http://shop.example{path}"
    # By the name it has in the cache, and as it is written in a browser.
    for asked in (url, f"http://shop.example:{proxy.reverse}{path}"):
        told = by_hand(proxy, "why", asked)
        for line in (
            f"{asked}: stored",
            f"from pool:shop, {url}",
            "stored      200, 17 bytes, in memory",
            "chosen by   accept-language: sv (RFC 9111 §4.1)",
            "lifetime    60 s: max-age says how long it may be reused. (RFC 9111 §5.2.2.1)",
            "stale       up to 30 s: Served stale at once, while the origin is asked. (RFC 5861",
            "tags        front news",
            "hits        2 of late",
        ):
            assert line in told


REFUSED = {
    "private": ("private", "The response is private: for its one client only. (RFC 9111 §5.2.2.7)"),
    "no freshness": ("nothing", "(RFC 9111 §3)"),
    "no-store": ("else", "The response says no-store. (RFC 9111 §5.2.2.5)"),
}


@pytest.mark.parametrize(("says", "clause"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_why_it_is_not_stored(
    proxy: Program, origin: Recording, unique: str, side: str, says: str, clause: str
) -> None:
    path = f"/{unique}/{says}"
    url = f"http://shop.example{path}"
    if side == "forward":
        url = f"http://127.0.0.1:{origin.port}{path}"
        get(proxy.forward, url)
    else:
        get(proxy.reverse, path, "shop.example")
    told = by_hand(proxy, "why", url)
    assert told.startswith(f"{url}: not stored\n")
    who = "open" if side == "forward" else "pool:shop"
    assert f"ago, from {who}, {url}:" in told
    assert clause in told


def test_why_of_what_nobody_asked_for(proxy: Program, unique: str) -> None:
    told = by_hand(proxy, "why", f"http://shop.example/{unique}")
    assert "not stored\nNobody asked for it lately" in told
    assert "is not a URL" in by_hand(proxy, "why", "shop.example")


def test_top_and_stats_on_the_console(proxy: Program, key: Path, unique: str) -> None:
    path = f"/{unique}/kept"
    for _ in range(20):
        get(proxy.reverse, path, "shop.example")
    typed = "top 1\ncache.top(1)\ncache\ncache.stats().sides['reverse']['hits'] >= 19\n"
    told = ssh(proxy.manhole, key, typed=f"{typed}cache.why('http://shop.example{path}')\n").stdout
    assert told.count(f"200  pool:shop  http://shop.example{path}") == 2
    assert "side     requests  hits  collapsed  hit_ratio" in told
    assert "\nTrue\n" in told
    assert f"http://shop.example{path}: stored" in told


def test_warm_takes_urls_and_files(
    proxy: Program, origin: Recording, unique: str, tmp_path: Path
) -> None:
    paths = [f"/{unique}/{n}/kept" for n in range(30)]
    urls = [f"http://shop.example{path}" for path in paths]
    (tmp_path / "urls").write_text("# the shop\n" + "\n".join(urls[1:]) + f"\n{urls[0]}/gone\nx\n")
    told = by_hand(proxy, "warm", urls[0], "urls", folder=tmp_path)
    assert told.startswith("32 of 32 fetched, 30 × 200, 1 × 404, 1 without an answer\nx: ")
    assert all(get(proxy.reverse, path, "shop.example").hit for path in paths)
    assert [len(origin.asked(path)) for path in paths] == [1] * 30
    assert by_hand(proxy, "warm").startswith("32 of 32 fetched")
    assert "warming_done 32\n" in by_hand(proxy, "stats")
    assert "nofile: there is no such file" in by_hand(proxy, "warm", "nofile", folder=tmp_path)
