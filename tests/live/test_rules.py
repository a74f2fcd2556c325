"""Each condition and each edit, shown by curl: through both proxies, and on CONNECT."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from clients import Curl, curl
from conftest import Keep, Start
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from origins import Received, Recording
from program import Program


def day(days: int) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days)).strftime("%a")


#: Today and the days beside it, since midnight may come while this runs; and one that is far.
NOW, OTHER_DAY = ",".join(map(day, (-1, 0, 1))), day(3)

CONFIG = f"""
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8", "::1/128"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
[[reverse.route]]
pool = "all"
[pools.all]
servers = ["http://127.0.0.1:$origin"]

[policy]
countries = "$countries"

[policy.conditions.nowhere]
host = ".nowhere.example"
[policy.conditions.strange]
is = ["nowhere"]

[[policy.rule]]
name = "is"
when = {{ is = "strange" }}
action = "deny"

[[policy.rule]]
name = "scheme"
when = {{ host = "scheme.example", scheme = "http" }}
action = "deny"

[[policy.rule]]
name = "query"
when = {{ query = {{ secret = "^1$$" }} }}
action = "deny"

[[policy.rule]]
name = "header"
when = {{ header = {{ X-Blocked = "yes" }} }}
action = "deny"

[[policy.rule]]
name = "cookie"
when = {{ cookie = {{ session = "^bad" }} }}
action = "deny"

[[policy.rule]]
name = "agent"
when = {{ agent = "(?i)evilbot" }}
action = "deny"

[[policy.rule]]
name = "time"
when = {{ host = "today.example", time = "{NOW} 00:00-24:00", timezone = "UTC" }}
action = "deny"

[[policy.rule]]
name = "another-time"
when = {{ time = "{OTHER_DAY} 10:00-10:01", timezone = "UTC" }}
action = "deny"

[[policy.rule]]
name = "country"
when = {{ country = "SE" }}
action = "deny"

[[policy.rule]]
name = "resolved"
when = {{ host = "localhost", path = "/resolved/", resolved = ["127.0.0.0/8", "::1/128"] }}
action = "deny"

[[policy.rule]]
name = "resolved-tunnel"
when = {{ host = "localhost", method = "CONNECT", resolved = ["127.0.0.0/8", "::1/128"] }}
action = "deny"

[[policy.rule]]
name = "content-type"
when = {{ content_type = "video/*" }}
action = "deny"

[[policy.rule]]
name = "length"
when = {{ length = ">1KiB", path = "/long/" }}
action = "deny"
status = 451

[[policy.rule]]
name = "edits"
when = {{ path = "/edited/" }}
action = "continue"
set_request = {{ X-Team = "build" }}
add_request = {{ X-More = "1" }}
remove_request = ["Referer"]
set_response = {{ X-Frame-Options = "DENY" }}
add_response = {{ Link = "</style>; rel=preload" }}
remove_response = ["X-Secret"]

[[policy.rule]]
name = "rewritten"
when = {{ path = "/old/" }}
action = "continue"
rewrite = {{ url = '/old/(.*)', to = '/new/\\1' }}

[[policy.rule]]
name = "perhaps"
when = {{ path = "/shadow/" }}
action = "deny"
shadow = true
"""


def answer(request: Received) -> bytes:
    kind = b"video/mp4" if request.target.startswith("/video/") else b"text/plain"
    size = 2000 if request.target.startswith("/long/") else 5
    fields = b"Content-Type: %b\r\nContent-Length: %d\r\nX-Secret: s\r\nX-Frame-Options: x\r\n"
    return b"HTTP/1.1 200 OK\r\n" + fields % (kind, size) + b"\r\n" + b"x" * size


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording(answer))


@pytest.fixture(scope="module")
def proxy(
    start_shared: Start, origin: Recording, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    countries = tmp_path_factory.mktemp("countries") / "countries.mmdb"
    writer = MMDBWriter(database_type="Test", languages=["en"], description={"en": "for tests"})
    writer.insert_network(IPSet(["127.0.0.77/32"]), {"country": {"iso_code": "SE"}})
    writer.to_db_file(str(countries))
    return start_shared(CONFIG, origin=origin.port, countries=str(countries))


def reply(proxy: Program, folder: Path, side: str, host: str, path: str, *options: str) -> Curl:
    if side == "reverse":
        to = ("--connect-to", f"::127.0.0.1:{proxy.reverse}")
    else:
        to = ("--proxy", f"http://127.0.0.1:{proxy.forward}")
    return curl(*to, *options, f"http://{host}{path}", folder=folder)


#: Host, path and curl's options that the rule is for, and what is like it.
CONDITIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "is": (("a.nowhere.example", "/"), ("here", "/")),
    "scheme": (("scheme.example", "/"), ("here", "/")),
    "query": (("here", "/?a=2&secret=1"), ("here", "/?a=1&secret=2")),
    "header": (("here", "/", "-H", "x-blocked: yes"), ("here", "/", "-H", "X-Blocked: no")),
    "cookie": (("here", "/", "-b", "a=1; session=bad"), ("here", "/", "-b", "a=bad; session=ok")),
    "agent": (("here", "/", "-A", "EvilBot/2"), ("here", "/", "-A", "GoodBot/2")),
    "time": (("today.example", "/"), ("here", "/")),
    "country": (("here", "/", "--interface", "127.0.0.77"), ("here", "/")),
    "resolved": (("localhost", "/resolved/"), ("here", "/resolved/")),
    "content-type": (("here", "/video/x"), ("here", "/text/x")),
    "length": (("here", "/long/x"), ("here", "/short/x")),
}


@pytest.mark.parametrize("side", ["forward", "reverse"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(
    proxy: Program, origin: Recording, tmp_path: Path, unique: str, side: str, name: str
) -> None:
    def ask(host: str, path: str, *options: str) -> Curl:
        if host == "here" or (side == "forward" and host == "localhost"):
            host = f"{'127.0.0.1' if host == 'here' else host}:{origin.port}"
        # A unique path, but for its beginning: nothing comes out of the cache.
        separator = "&" if "?" in path else "?"
        return reply(proxy, tmp_path, side, host, f"{path}{separator}{unique}", *options)

    caught, spared = CONDITIONS[name]
    refused = ask(*caught)
    assert refused.status == (451 if name == "length" else 403)
    assert ask(*spared).status == 200
    proxy.access(1, containing=unique, rule=name, side=side)
    if side == "forward":
        assert name in refused.head


TUNNELS = {
    "is": ("a.nowhere.example:443",),
    "header": ("$here", "--proxy-header", "X-Blocked: yes"),
    "agent": ("$here", "--proxy-header", "User-Agent: EvilBot/2"),
    "time": ("today.example:443",),
    "country": ("$here", "--interface", "127.0.0.77"),
    "resolved-tunnel": ("localhost:443",),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_condition_of_a_tunnel(
    proxy: Program, origin: Recording, tmp_path: Path, name: str
) -> None:
    place, *options = TUNNELS[name]
    url = f"http://{place.replace('$here', f'127.0.0.1:{origin.port}')}/"
    way = ("--proxytunnel", "--proxy", f"http://127.0.0.1:{proxy.forward}")
    refused = curl(*way, *options, url, folder=tmp_path)
    assert refused.exit == 56  # CURLE_RECV_ERROR: the proxy did not open the tunnel
    assert " 403 " in refused.head.splitlines()[0]
    assert name in refused.head


def test_a_tunnel_that_no_rule_is_for(proxy: Program, origin: Recording, tmp_path: Path) -> None:
    way = ("--proxytunnel", "--proxy", f"http://127.0.0.1:{proxy.forward}")
    assert curl(*way, f"http://127.0.0.1:{origin.port}/video/x", folder=tmp_path).status == 200


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_edits(proxy: Program, origin: Recording, tmp_path: Path, unique: str, side: str) -> None:
    host = f"127.0.0.1:{origin.port}"
    options = ("-H", "X-Team: other", "-H", "X-More: 0", "-e", "http://from.example/")
    edited = reply(proxy, tmp_path, side, host, f"/edited/{unique}", *options)
    asked: Any = next(each for each in origin.requests if unique in each.target)
    fields = [(name.lower(), value) for name, value in asked.fields]
    assert [value for name, value in fields if name == "x-team"] == ["build"]
    assert [value for name, value in fields if name == "x-more"] == ["0", "1"]
    assert "referer" not in dict(fields)
    head = edited.head.lower()
    assert "x-frame-options: deny" in head
    assert "x-frame-options: x" not in head
    assert "link: </style>; rel=preload" in head
    assert "x-secret" not in head


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_rewriting(
    proxy: Program, origin: Recording, tmp_path: Path, unique: str, side: str
) -> None:
    assert reply(proxy, tmp_path, side, f"127.0.0.1:{origin.port}", f"/old/{unique}").status == 200
    assert [each.target for each in origin.requests if unique in each.target] == [f"/new/{unique}"]


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_a_shadow_is_only_told_of(
    proxy: Program, origin: Recording, tmp_path: Path, unique: str, side: str
) -> None:
    path = f"/shadow/{unique}"
    assert reply(proxy, tmp_path, side, f"127.0.0.1:{origin.port}", path).status == 200
    proxy.access(1, containing=unique, rule="default", side=side)
    assert any(unique in line and "perhaps" in line for line in proxy.log.splitlines())
