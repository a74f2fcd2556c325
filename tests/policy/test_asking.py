"""Questions made of words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from questions import plan, rule
from twistproxy.config.model import Config, Forward, Network, Reverse, When
from twistproxy.config.values import network
from twistproxy.policy.asking import CannotBeAsked, Supposed, explained, ports_of, supposed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def asked(url: str = "http://a.example/", **words: Any) -> Supposed:
    return supposed(url, **{"now": NOON} | words)


TARGETS = {
    "a URL": ("http://A.example:80/%61", {}, "GET", "http://a.example/a"),
    "its fragment stays with the client": ("http://a.example/#x", {}, "GET", "http://a.example/"),
    "https, through a tunnel": ("https://a.example/x", {}, "CONNECT", "a.example:443"),
    "https, as it is": ("https://a.example/x", {"method": "GET"}, "GET", "https://a.example/x"),
    "https, from behind": (
        "https://a.example/x",
        {"side": "reverse"},
        "GET",
        "https://a.example/x",
    ),
    "a place": ("a.example:444", {"method": "CONNECT"}, "CONNECT", "a.example:444"),
    "a URL's place": ("http://a.example/", {"method": "CONNECT"}, "CONNECT", "a.example:80"),
    "our own port": (
        "http://a.example:8080/",
        {"side": "reverse", "ports": {8080}},
        "GET",
        "http://a.example/",
    ),
    "not in ASCII": ("http://bücher.example/ä", {}, "GET", "http://xn--bcher-kva.example/%C3%A4"),
}


@pytest.mark.parametrize(("url", "words", "method", "told"), TARGETS.values(), ids=TARGETS)
def test_target(url: str, words: dict[str, Any], method: str, told: str) -> None:
    question = asked(url, **words)
    assert (question.method, question.target.url) == (method, told)
    assert question.request.method == method.encode()


def test_who_asks() -> None:
    question = asked(client="2001:DB8::0", user="alice", groups=["staff", "build"])
    assert (question.client, question.user) == ("2001:db8::", "alice")
    assert question.groups == {"build", "staff"}
    assert str(question) == "GET http://a.example/ from 2001:db8::, user alice, in build, staff"
    assert str(asked(client="")) == "GET http://a.example/ from a unix socket"
    assert asked(groups="staff").groups == {"staff"}


def test_fields_as_a_client_sends_them() -> None:
    for header in ({"Accept": " text/html"}, [("Accept", "text/html")]):
        fields = asked(header=header).request.fields
        assert (fields.get(b"accept"), fields.get(b"host")) == (b"text/html", b"a.example")
    assert asked(header={"Host": "b"}).request.fields.all(b"host") == [b"b"]


TIMES = {
    "none": (None, NOON),
    "with offset": ("2026-03-01T13:00+01:00", NOON),
    "TOML's own": (datetime(2026, 3, 1, 12, tzinfo=UTC), NOON),
    "local": ("2026-03-01 12:00", datetime(2026, 3, 1, 12).timestamp()),
    "a day": ("2026-03-01", datetime(2026, 3, 1).timestamp()),
}


@pytest.mark.parametrize(("time", "at"), TIMES.values(), ids=TIMES)
def test_time(time: object, at: float) -> None:
    assert asked(time=time).at == at


def test_addresses() -> None:
    assert asked().addresses is None
    assert asked(addresses=["192.0.2.1", "2001:DB8::1"]).addresses == ("192.0.2.1", "2001:db8::1")
    assert asked("http://[::1]/").addresses == ("::1",)


WRONG = {
    "no URL": ({"url": "a.example"}, 'url: "a.example" is not a URL such as "http://example.org/"'),
    "no place": (
        {"url": "a.example", "method": "CONNECT"},
        'url: "a.example" is not "example.org:443": the target of CONNECT has no port',
    ),
    "no host": ({"url": "http://a..b/"}, "its host is not a valid name"),
    "no method": ({"method": "A B"}, 'method: "A B" is not a method such as "GET"'),
    "CONNECT from behind": (
        {"method": "CONNECT", "side": "reverse"},
        "method: the reverse proxy knows no CONNECT",
    ),
    "no side": ({"side": "left"}, 'side: "left" is not "forward" or "reverse"'),
    "no client": ({"client": "alice"}, 'client: "alice" is not an address such as "192.0.2.1"'),
    "no address": ({"addresses": ["x"]}, 'addresses: "x" is not an address such as "192.0.2.1"'),
    "no field": ({"header": {"a b": "c"}}, 'header: "a b" is not a field\'s name'),
    "no value": ({"header": {"a": "b\r\nc: d"}}, "header: the value of a has a control character"),
    "no time": ({"time": "noon"}, 'time: "noon" is not a time such as "2026-03-01T09:30"'),
    "hours alone": ({"time": "09:30"}, 'time: "09:30" is not a time'),
    "a time before all": ({"time": "0001-01-01"}, 'time: "0001-01-01" is not a time'),
}


@pytest.mark.parametrize(("words", "why"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked(words: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotBeAsked) as caught:
        asked(**words)
    assert why in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(CannotBeAsked) as caught:
        asked("x", client="y", time="z", addresses=["p", "q"])
    assert set(caught.value.faults) == {"url", "client", "time", "addresses"}


def config(clients: tuple[Network, ...] = (network("192.0.2.0/24"),), **tables: Any) -> Config:
    return Config(state_dir=Path("/nowhere"), **{"forward": Forward(clients=clients)} | tables)


NOTES = {
    "nothing": ({}, config(), ""),
    "a unix socket": ({"client": ""}, config(), ""),
    "another client": (
        {"client": "10.0.0.1"},
        config(),
        "But: 10.0.0.1 is not in forward.clients, and is denied before any rule.",
    ),
    "another port": (
        {"method": "CONNECT", "url": "a:22"},
        config(),
        "But: 22 is not in forward.connect_ports, and is denied before any rule.",
    ),
    "any port": (
        {"method": "CONNECT", "url": "a:22"},
        config(forward=Forward(connect_ports="any", clients=(network("0.0.0.0/0"),))),
        "",
    ),
    "no forward": (
        {},
        config(forward=None, reverse=Reverse()),
        "But: there is no [forward], so nobody can ask this.",
    ),
    "no reverse": (
        {"side": "reverse"},
        config(),
        "But: there is no [reverse], so nobody can ask this.",
    ),
    "reverse": ({"side": "reverse", "client": "10.0.0.1"}, config(reverse=Reverse()), ""),
}


@pytest.mark.parametrize(("words", "settings", "note"), NOTES.values(), ids=NOTES)
def test_what_refuses_it_before_the_rules(
    words: dict[str, Any], settings: Config, note: str
) -> None:
    asked = {"url": "http://a/", "client": "192.0.2.1", "now": NOON} | words
    told = explained(plan(), settings, **asked)
    assert "\n".join(f"But: {note}" for note in told.notes) == note
    assert repr(told).endswith(note or "allow by default (" + asked.get("side", "forward") + ")")


def test_what_is_told() -> None:
    rules = plan(
        rule("office", when=When(host=(".video.example",))),
        rule("no-ads", when=When(host=(".ads.example",)), unless=When(method=("PUT",))),
    )
    told = explained(rules, config(), "http://x.ads.example/?q", client="192.0.2.1", now=NOON)
    assert repr(told) == (
        "GET http://x.ads.example/?q from 192.0.2.1, at 2026-03-01 12:00:00+00:00\n"
        "\n"
        "rule    action  holds  because\n"
        "office  deny    no     host .video.example; it is x.ads.example\n"
        "no-ads  deny    yes    host .ads.example unless method PUT\n"
        "deny by no-ads (forward), status 403"
    )


def test_ports_of_the_reverse_side() -> None:
    reverse = Reverse(
        listen=("tcp:8080:interface=127.0.0.1", "unix:/run/x", "tcp:0"), tls_listen=("tcp:8443",)
    )
    assert ports_of(config(reverse=reverse)) == {8080, 8443}
    assert ports_of(config()) == set()
