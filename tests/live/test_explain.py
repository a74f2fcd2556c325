"""The policy is asked: explain, test, the last decisions, and what it learns."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from clients import curl, get, make_ssh_key, ssh
from conftest import Keep, Start
from origins import Received, Recording
from program import Program, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

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

[policy]
default = "allow"

[[policy.rule]]
name = "team"
when = { path = "/" }
action = "continue"
set_request = { X-Team = "1" }

[[policy.rule]]
name = "no-ads"
when = { host = [".ads.example"] }
action = "deny"

[[policy.rule]]
name = "no-uploads"
side = "reverse"
when = { method = ["PUT"], header = { Content-Type = "image/" } }
action = "deny"
status = 415
"""

TESTS = """
[[test]]
url = "http://x.ads.example/"
verdict = "deny"
rule = "no-ads"

[[test]]
url = "http://shop.example/"
side = "reverse"
method = "PUT"
header = { Content-Type = "image/png" }
status = 415
"""


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    def respond(request: Received) -> bytes:
        return b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nhi"

    return keep(Recording(respond))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ssh_key(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording, key: Path) -> Program:
    return start_shared(CONFIG, origin=origin.port, keys=key.with_suffix(".pub"))


def by_hand(proxy: Program, *words: str, status: int = 0) -> str:
    run = "import sys; from twistproxy import cli; sys.exit(cli.cli())"
    done = subprocess.run(
        [sys.executable, "-c", run, *words, "--config", str(proxy.config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def at_once(proxy: Program, *words: str) -> str:
    """As `by_hand`, without a process for it."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(proxy.folder / "var/admin.sock"))
        asking.sendall(f"POST /commands/{'/'.join(words)} HTTP/1.0\r\n\r\n".encode())
        with asking.makefile("rb") as answer:
            return answer.read().partition(b"\r\n\r\n")[2].decode()


def test_what_explain_says_is_what_happens(proxy: Program, tmp_path: Path) -> None:
    said = by_hand(proxy, "explain", "http://x.ads.example/")
    assert said.endswith("deny by no-ads (forward), status 403, after team\n")
    reply = get(proxy.forward, "http://x.ads.example/")
    assert reply.status == 403
    assert b"no-ads" in reply.body
    image = ["--side", "reverse", "--method", "PUT", "--header", "Content-Type: image/png"]
    assert "deny by no-uploads (reverse), status 415" in by_hand(
        proxy, "explain", "http://shop.example/", *image
    )
    done = curl(
        f"http://127.0.0.1:{proxy.reverse}/",
        *("-X", "PUT", "-H", "Host: shop.example", "-H", "Content-Type: image/png"),
        folder=tmp_path,
    )
    assert done.status == 415


def test_live_it_tells_what_the_process_knows(proxy: Program, unique: str) -> None:
    path = f"/{unique}"
    assert get(proxy.reverse, path, "shop.example").status == 200
    url = f"http://shop.example:{proxy.reverse}{path}"
    said = by_hand(proxy, "explain", "--live", url, "--side", "reverse", "--user", "alice")
    assert f"GET http://shop.example{path} from 127.0.0.1, user alice, at " in said
    assert "allow by default (reverse), after team" in said
    assert "shop  http://127.0.0.1:" in said
    assert f"http://shop.example{path}: stored" in said


def test_tests_are_run_on_the_same_policy(proxy: Program, tmp_path: Path) -> None:
    file = tmp_path / "tests.toml"
    file.write_text(TESTS)
    assert by_hand(proxy, "test", str(file)) == f"{file}: 2 ok\n"
    file.write_text(TESTS.replace("415", "403"))
    said = by_hand(proxy, "test", str(file), status=1)
    assert f"{file}:7: test[1]: PUT http://shop.example/ from 127.0.0.1\n" in said
    assert "  status: expected 403, got 415\n" in said


def test_on_the_console(proxy: Program, key: Path) -> None:
    assert get(proxy.forward, "http://y.ads.example/").status == 403
    typed = [
        "explain http://x.ads.example/ client=10.1.2.3",
        "policy.explain('http://x.ads.example/', user='alice').explanation.verdict.rule",
        "recent no-ads",
        "policy.top()",
        "policy",
    ]
    told = ssh(proxy.manhole, key, typed="\n".join([*typed, ""])).stdout
    assert "But: 10.1.2.3 is not in forward.clients, and is denied before any rule." in told
    assert "\n'no-ads'\n" in told
    assert "GET     http://y.ads.example/" in told
    assert "\nno-ads      deny " in told
    assert "rule        side     action    hits  when" in told


def test_what_it_learns_can_be_pasted(
    start: Start, origin: Recording, key: Path, unique: str
) -> None:
    proxy = start(CONFIG, origin=origin.port, keys=key.with_suffix(".pub"))
    run = "import sys; from twistproxy import cli; sys.exit(cli.cli())"
    words = [sys.executable, "-c", run, "learn", "1h", "--config", str(proxy.config)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as learning:

        def seen() -> bool:
            get(proxy.forward, f"http://127.0.0.1:{origin.port}/{unique}")
            return "in 0 requests" not in at_once(proxy, "learn")

        until(seen)
        proxy.reload(CONFIG + '\n[[policy.rule]]\nname = "one-more"\naction = "allow"\n')
        until(lambda: "one-more" in at_once(proxy, "policy"))
        get(proxy.reverse, f"/{unique}", "shop.example")
        get(proxy.forward, "http://x.ads.example/")
        at_once(proxy, "learn", "stop")
        rules = learning.communicate(timeout=20)[0]
    assert 'when.host = ["127.0.0.1"]' in rules
    assert 'when.host = ["shop.example"]' in rules
    assert "ads.example" not in rules
    proxy.reload(CONFIG.replace('default = "allow"', 'default = "deny"') + rules)
    until(lambda: "learned-2" in at_once(proxy, "policy"))
    assert get(proxy.forward, f"http://127.0.0.1:{origin.port}/{unique}").status == 200
    assert get(proxy.reverse, f"/{unique}", "shop.example").status == 200
    assert get(proxy.forward, "http://127.0.0.2/").status == 403
