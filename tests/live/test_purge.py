"""Purge: by the PURGE method on both sides, by the command line, and from the console."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clients import Client, Reply, get, make_ssh_key, ssh
from conftest import Keep, Start
from origins import Received, Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
trusted_proxies = ["127.0.0.1"]

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$origin"]

[[policy.rule]]
name = "no-secrets"
when = { path = "/secret" }
action = "deny"

[manhole]
listen = "tcp:$manhole:interface=127.0.0.1"
authorized_keys = "$keys"
"""
ALLOWED = """
[cache.purge]
clients = ["127.0.0.0/8", "198.51.100.0/24"]
"""


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    def respond(request: Received) -> bytes:
        """A page that is fresh for long; tagged by the words of its path."""
        tags = " ".join(request.target.strip("/").split("/"))
        body = request.target.encode()
        return (
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: max-age=3600\r\n"
            b'ETag: "a"\r\nVary: Accept-Language\r\nSurrogate-Key: %b\r\n\r\n%b'
            % (len(body), tags.encode(), body)
        )

    return keep(Recording(respond))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ssh_key(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording, key: Path) -> Program:
    return start_shared(CONFIG + ALLOWED, origin=origin.port, keys=key.with_suffix(".pub"))


def purge(port: int, target: str, host: str = "shop.example", **fields: str) -> Reply:
    lines = [f"PURGE {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    with Client(port) as client:
        return client.ask("\r\n".join([*lines, "", ""]).encode())


def shop(proxy: Program, path: str, **fields: str) -> Reply:
    return get(proxy.reverse, path, "shop.example", **fields)


def keep_pages(proxy: Program, *paths: str) -> None:
    for path in paths:
        assert shop(proxy, path).status == 200
        assert shop(proxy, path).hit


def hits(proxy: Program, *paths: str) -> list[bool]:
    return [shop(proxy, path).hit for path in paths]


def test_a_url_goes_in_all_its_variants(proxy: Program, unique: str) -> None:
    path, other = f"/{unique}", f"/{unique}/other"
    keep_pages(proxy, path, other)
    shop(proxy, path, Accept_Language="sv")
    gone = purge(proxy.reverse, path)
    assert (gone.status, json.loads(gone.body)) == (200, {"memory": 2})
    assert ("content-type", "application/json") in gone.fields
    assert hits(proxy, path, other) == [False, True]
    assert json.loads(purge(proxy.reverse, f"/{unique}/nothing").body) == {"memory": 0}


def test_the_method_is_understood_by_the_forward_proxy_too(
    proxy: Program, origin: Recording, unique: str
) -> None:
    url = f"http://127.0.0.1:{origin.port}/{unique}"
    assert not get(proxy.forward, url).hit
    assert get(proxy.forward, url).hit
    assert json.loads(purge(proxy.forward, url).body) == {"memory": 1}
    assert not get(proxy.forward, url).hit


def test_what_one_side_purges_the_other_lacks(proxy: Program, unique: str) -> None:
    keep_pages(proxy, f"/{unique}")
    gone = purge(proxy.forward, f"http://shop.example/{unique}")
    assert json.loads(gone.body) == {"memory": 1}
    assert hits(proxy, f"/{unique}") == [False]


def test_tags_go_with_all_that_have_them(proxy: Program, unique: str) -> None:
    paths = [f"/{unique}/{page}" for page in "abc"]
    keep_pages(proxy, *paths, f"/{unique}x")
    gone = purge(proxy.reverse, "/", Surrogate_Key=f"{unique}")
    assert json.loads(gone.body) == {"memory": 3}
    assert hits(proxy, *paths, f"/{unique}x") == [False, False, False, True]


def test_what_is_purged_softly_is_confirmed(proxy: Program, origin: Recording, unique: str) -> None:
    keep_pages(proxy, f"/{unique}")
    gone = purge(proxy.reverse, f"/{unique}", Fastly_Soft_Purge="1")
    assert json.loads(gone.body) == {"memory": 1}
    assert not shop(proxy, f"/{unique}").hit
    conditions = [request.get("if-none-match") for request in origin.asked(f"/{unique}")]
    assert conditions == ["", '"a"']


def test_nobody_else_may(proxy: Program, origin: Recording, unique: str) -> None:
    keep_pages(proxy, f"/{unique}")
    refused = purge(proxy.reverse, f"/{unique}", X_Forwarded_For="192.0.2.1")
    assert refused.status == 403
    assert hits(proxy, f"/{unique}") == [True]
    assert purge(proxy.reverse, f"/{unique}", X_Forwarded_For="198.51.100.7").status == 200
    assert hits(proxy, f"/{unique}") == [False]
    assert {request.method for request in origin.asked(f"/{unique}")} == {"GET"}
    lines = proxy.access(2, containing=f"/{unique}", method="PURGE")
    assert [(line["status"], line["rule"]) for line in lines] == [
        (403, "cache.purge.clients"),
        (200, "default"),
    ]


def test_the_policy_counts_for_it_as_for_others(proxy: Program, unique: str) -> None:
    assert purge(proxy.reverse, f"/secret/{unique}").status == 403


def test_by_default_nobody_may_and_it_is_never_passed_on(
    start: Start, origin: Recording, key: Path, unique: str
) -> None:
    proxy = start(CONFIG, origin=origin.port, keys=key.with_suffix(".pub"))
    for refused in (
        purge(proxy.reverse, f"/{unique}"),
        purge(proxy.forward, f"http://127.0.0.1:{origin.port}/{unique}"),
    ):
        assert refused.status == 405
        assert "PURGE" not in dict(refused.fields)["allow"]
    assert origin.asked(f"/{unique}") == []


# -- by people --


def by_hand(proxy: Program, *words: str) -> str:
    run = "import sys; from twistproxy import cli; sys.exit(cli.cli())"
    done = subprocess.run(
        [sys.executable, "-c", run, *words, "--config", str(proxy.config)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout + done.stderr


WAYS = {
    "a url, by the port it was asked on": ["http://shop.example:{port}/{unique}/a"],
    "a prefix": ["--prefix", "http://shop.example/{unique}/a"],
    "a pattern": ["--pattern", "/{unique}/a$"],
    "softly": ["--soft", "http://shop.example/{unique}/a"],
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_from_the_command_line(proxy: Program, unique: str, words: list[str]) -> None:
    paths = [f"/{unique}/{page}" for page in "ab"]
    keep_pages(proxy, *paths)
    filled = [word.format(port=proxy.reverse, unique=unique) for word in words]
    assert by_hand(proxy, "purge", *filled) == "memory 1\n"
    assert hits(proxy, *paths) == [False, True]


def test_a_whole_host_from_the_command_line(proxy: Program, unique: str) -> None:
    keep_pages(proxy, f"/{unique}")
    assert by_hand(proxy, "purge", "--host", "*.shop.example") == "memory 0\n"
    assert hits(proxy, f"/{unique}") == [True]
    assert by_hand(proxy, "purge", "--host", "shop.example") != "memory 0\n"
    assert hits(proxy, f"/{unique}") == [False]


def test_from_the_console(proxy: Program, key: Path, unique: str) -> None:
    keep_pages(proxy, f"/{unique}/a", f"/{unique}/b")
    typed = (
        f"purge http://shop.example/{unique}/a\n"
        f"cache.purge('{unique}', by='tag', soft=True)\n"
        "cache.purge('(', 'pattern')\n"
    )
    told = ssh(proxy.manhole, key, typed=typed).stdout
    assert "memory 1\n" in told
    assert "{'memory': 1}" in told
    assert "ValueError: no RE2 pattern" in told
    assert hits(proxy, f"/{unique}/a", f"/{unique}/b") == [False, False]


@pytest.mark.parametrize(
    ("words", "why"),
    [(["shop.example"], "is not a URL"), (["--pattern", "("], "no RE2 pattern")],
    ids=["url", "pattern"],
)
def test_what_is_no_purge_is_explained(proxy: Program, words: list[str], why: str) -> None:
    assert why in by_hand(proxy, "purge", *words)
