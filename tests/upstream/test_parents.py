"""Proxies that requests leave through: which hosts take them, and what when they are down."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.logger import capturedLogs

from twistproxy.config.model import Parent
from twistproxy.upstream.parents import Parents, faults


def parents_of(outside: Any, *config: Parent, before: Parents | None = None) -> Parents:
    return Parents(config, outside.means, before)


def parent(name: str, *hosts: str, fail: Any = "closed", login: str = "") -> Parent:
    url = f"http://{login}{name}.example:3128"
    return Parent(name=name, url=url, hosts=hosts, fail=fail)


SE = parent("sweden", ".se.example")
SE_OPEN = parent("sweden", ".se.example", fail="open")
ANY = parent("any")
ANY_OPEN = parent("any", fail="open")

WAYS = {
    "no_parents": ((), "a.se.example", [], True),
    "another_host": ((SE,), "a.example", [], True),
    "its_host": ((SE,), "a.se.example", ["sweden"], False),
    "the_domain_itself": ((SE,), "se.example", ["sweden"], False),
    "closed_hides_the_next": ((SE, ANY), "a.se.example", ["sweden"], False),
    "open_then_direct": ((SE_OPEN,), "a.se.example", ["sweden"], True),
    "open_then_the_next": ((SE_OPEN, ANY), "a.se.example", ["sweden", "any"], False),
    "all_open": ((SE_OPEN, ANY_OPEN), "a.se.example", ["sweden", "any"], True),
    "the_first_that_matches": ((SE, ANY), "a.example", ["any"], False),
    "in_the_order_of_the_file": ((ANY, SE), "a.se.example", ["any"], False),
}


@pytest.mark.parametrize(("config", "host", "through", "direct"), WAYS.values(), ids=WAYS)
def test_the_ways_of_a_host(
    outside: Any, config: tuple[Parent, ...], host: str, through: list[str], direct: bool
) -> None:
    ways = parents_of(outside, *config).ways(host)
    assert [server.place.host for server in ways.parents] == [f"{name}.example" for name in through]
    assert ways.direct is direct


def test_a_parent_that_is_down_stays_the_way(outside: Any) -> None:
    parents = parents_of(outside, SE)
    (server,) = parents.ways("a.se.example").parents
    server.failed()
    assert parents.ways("a.se.example").parents == (server,)


def test_it_is_asked_as_a_proxy_and_judged_as_the_operators_choice(outside: Any) -> None:
    (server,) = parents_of(outside, ANY).ways("a.example").parents
    assert server.absolute
    server.connect()
    host, port, options = outside.dialled[0]
    assert (host, port, options["judge"], options["tls"]) == (
        "any.example",
        3128,
        outside.judge,
        None,
    )


CREDENTIALS = {
    "none": ("", None),
    "user_and_password": ("me:secret@", b"me:secret"),
    "user_only": ("me@", b"me:"),
    "percent_encoded": ("m%40e:s%3Acret%20@", b"m@e:s:cret "),
    "not_ascii": ("me:s%C3%A9cret@", "me:sécret".encode()),
}


@pytest.mark.parametrize(("login", "sent"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials(outside: Any, login: str, sent: bytes | None) -> None:
    (server,) = parents_of(outside, parent("any", login=login)).ways("a.example").parents
    expected = None if sent is None else b"Basic " + b64encode(sent)
    assert server.authorization == expected


def test_credentials_are_shown_nowhere(outside: Any) -> None:
    config = parent("any", login="me:secret@")
    parents = parents_of(outside, config)
    (server,) = parents.ways("a.example").parents
    shown = [config, parents, parents.snapshot(), server, server.url, server.name, server.place]
    text = " ".join(map(repr, [*shown, *parents._parents]))
    assert "any.example:3128" in text
    for secret in ("secret", b64encode(b"me:secret").decode()):
        assert secret not in text


def test_a_parent_that_did_not_change_keeps_its_server(outside: Any) -> None:
    before = parents_of(outside, SE, ANY)
    after = parents_of(outside, ANY, SE_OPEN, before=before)
    assert len(before.servers() & after.servers()) == 1
    assert before.ways("a.example").parents == after.ways("a.example").parents


def test_the_figures(outside: Any) -> None:
    parents = parents_of(outside, SE)
    (server,) = parents.servers()
    assert parents.snapshot() == {"sweden": server.snapshot()}
    assert server.snapshot()["url"] == "http://sweden.example:3128"


def test_hosts_that_are_none_are_told_where() -> None:
    (fault,) = faults([SE, parent("any", "a.example", "xn--a")])
    assert fault.where == ("forward", "parent", 1, "hosts", 1)


def test_the_table(outside: Any) -> None:
    parents = parents_of(outside, SE)
    (server,) = parents.servers()
    with capturedLogs() as logged:
        server.failed("http://sweden.example:3128 refused the connection")
    assert logged[0]["whose"] == "parent sweden"
    head, row = repr(parents).splitlines()
    assert head.startswith("parent  server ")
    assert row.startswith("sweden  http://sweden.example:3128  no ")
    assert row.endswith(" refused the connection")
    assert repr(parents_of(outside)) == "no parents"
