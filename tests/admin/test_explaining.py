"""explain, with what the running process knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from questions import plan, rule
from twistproxy.admin import CommandFailed
from twistproxy.admin.explaining import asked, explain
from twistproxy.config.model import Config, Forward, Reverse, Route, When
from twistproxy.policy.desk import Desk
from twistproxy.upstream.parents import Ways
from twistproxy.upstream.routing.table import RouteTable

CONFIG = Config(state_dir=Path("/nowhere"), forward=Forward(), reverse=Reverse())


class Text:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@frozen
class Server:
    url: str
    up: bool


@define
class Parents:
    found: Ways

    def ways(self, host: str) -> Ways:
        return self.found


class Generation:
    def __init__(self) -> None:
        self.policy = plan(rule("no-ads", when=When(host=(".ads.example",))))
        self.config = CONFIG
        self.routes = RouteTable([Route(hosts=("shop.example",), pool="shop")])
        self.pools = {"shop": Text("the shop's servers")}
        self.parents = Parents(Ways((), True))


class Cache:
    later = False
    asked: tuple[str, ...] = ()

    def why(self, url: str) -> Any:
        self.asked = (*self.asked, url)
        found = Text("\n".join([f"{url}: stored", *(f"line {n}" for n in range(2, 10))]))
        return succeed(found) if self.later else found


class Proxy:
    def __init__(self) -> None:
        self.generation: Any = Generation()
        self.cache: Any = Cache()
        self.policy = Desk(lambda: self.generation, Clock(), float, tuple, succeed)  # type: ignore[arg-type]


def told(proxy: Proxy, *words: str) -> list[str]:
    answer = explain(proxy, words)  # type: ignore[arg-type]
    text = answer.result if isinstance(answer, Deferred) else answer
    return str(text).splitlines()


@pytest.mark.parametrize("later", [False, True])
def test_the_rules_the_way_and_the_cache(later: bool) -> None:
    proxy = Proxy()
    proxy.cache.later = later
    lines = told(proxy, "http://x.ads.example/#there", "user=alice")
    assert lines[0].startswith("GET http://x.ads.example/ from 127.0.0.1, user alice, at ")
    assert lines[-13:] == [
        "deny by no-ads (forward), status 403",
        "",
        "It leaves directly.",
        "",
        "http://x.ads.example/: stored",
        *(f"line {n}" for n in range(2, 9)),
        "… `why` tells the rest.",
    ]
    assert proxy.cache.asked == ("http://x.ads.example/",)


@pytest.mark.parametrize("words", [["https://a.example/"], ["http://a.example/", "method=POST"]])
def test_what_no_cache_has(words: list[str]) -> None:
    proxy = Proxy()
    assert told(proxy, *words)[-2:] == ["", "It leaves directly."]
    assert proxy.cache.asked == ()


def test_a_pool_of_the_reverse_side() -> None:
    lines = told(Proxy(), "http://shop.example/", "side=reverse", "method=PUT")
    assert lines[-3:] == ["allow by default (reverse)", "", "the shop's servers"]
    assert told(Proxy(), "http://a/", "side=reverse", "method=PUT")[-1] == "No route leads there."


def test_a_host_of_ours_asked_for_inside() -> None:
    said = "A route names this host, so the rules of the reverse side are asked, too."
    assert told(Proxy(), "http://shop.example/", "method=PUT")[-1] == said
    assert told(Proxy(), "https://shop.example/")[-1] == "It leaves directly."


def test_parents() -> None:
    proxy = Proxy()
    servers: Any = (Server("http://one:3128", True), Server("http://two:3128", False))
    proxy.generation.parents = Parents(Ways(servers, True))
    assert told(proxy, "https://a.example/")[-3:] == [
        "It leaves through http://one:3128, which is up.",
        "It leaves through http://two:3128, which is down.",
        "Else it leaves directly.",
    ]
    proxy.generation.parents = Parents(Ways(servers[:1], False))
    assert told(proxy, "https://a.example/")[-1].endswith("which is up.")


def test_words() -> None:
    assert asked(
        [
            *("method=PUT", "client=10.1.2.3", "user=a=b", "time=2026-03-01", "side=forward"),
            *("group=x", "group=y", "header=Accept: text/html", "header=A:b:c", "address=::1"),
        ]
    ) == {
        "method": "PUT",
        "client": "10.1.2.3",
        "user": "a=b",
        "time": "2026-03-01",
        "side": "forward",
        "groups": ["x", "y"],
        "header": [("Accept", " text/html"), ("A", "b:c")],
        "addresses": ["::1"],
    }


REFUSED = {
    "no word": (["http://a/", "alice"], "'alice' is not one of NAME=VALUE; there are method, "),
    "nearly": (["http://a/", "usr=alice"], "'usr=alice' is not one of NAME=VALUE; did you mean"),
    "no field": (["http://a/", "header=A"], "header: 'A' is not NAME:VALUE"),
    "no URL": (["a"], 'url: "a" is not a URL'),
    "no client": (["http://a/", "client=x"], 'client: "x" is not an address'),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked(words: list[str], why: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        told(Proxy(), *words)
    assert str(caught.value).startswith(why)
