"""The open internet: servers that come with a request and go with their last connection."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Protocol

from twistproxy.net.dial import Reason
from twistproxy.upstream.destinations import Destinations


@pytest.fixture
def destinations(outside: Any) -> Destinations:
    return Destinations(outside.means)


def anybody(address: str, port: int) -> Reason | None:
    return None


def nobody(address: str, port: int) -> Reason | None:
    return Reason.PROHIBITED


def figures(destinations: Destinations) -> tuple[int, int]:
    found = destinations.snapshot()
    return found["servers"], found["connections"]


def test_one_place_is_one_destination(destinations: Destinations) -> None:
    server = destinations.at("http", "a.example", 80, anybody)
    assert destinations.at("http", "a.example", 80, anybody) is server
    assert destinations.servers() == {server}


OTHERS = {
    "scheme": ("https", "a.example", 80, anybody),
    "host": ("http", "b.example", 80, anybody),
    "port": ("http", "a.example", 81, anybody),
    # A connection that the rules of before allowed is not used under those of now.
    "judgement": ("http", "a.example", 80, nobody),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_place_is_another_destination(destinations: Destinations, other: Any) -> None:
    server = destinations.at("http", "a.example", 80, anybody)
    assert destinations.at(*other) is not server


def test_its_addresses_are_judged(outside: Any, destinations: Destinations) -> None:
    destinations.at("http", "a.example", 80, nobody).connect()
    assert outside.dialled[0][2]["judge"] is nobody


def test_https_is_verified_by_the_host(outside: Any, destinations: Destinations) -> None:
    destinations.at("http", "a.example", 80, anybody).connect()
    assert outside.hello() is None
    destinations.at("https", "a.example", 443, anybody).connect()
    assert b"a.example" in outside.hello()


def test_it_goes_with_its_last_connection(outside: Any, destinations: Destinations) -> None:
    server = destinations.at("http", "a.example", 80, anybody)
    first, second = outside.idle(server, 2)
    assert figures(destinations) == (1, 2)
    outside.lose(first)
    assert figures(destinations) == (1, 1)
    outside.lose(second)
    assert figures(destinations) == (0, 0)


def test_it_goes_when_no_connection_can_be_made(outside: Any, destinations: Destinations) -> None:
    server = destinations.at("http", "a.example", 80, anybody)
    for _ in range(2):
        server.connect().addErrback(lambda _: None)
    outside.refuse()
    assert figures(destinations) == (1, 1)
    outside.refuse()
    assert figures(destinations) == (0, 0)


def test_it_goes_when_its_only_dial_is_given_up(destinations: Destinations) -> None:
    server = destinations.at("http", "a.example", 80, anybody)
    server.connect().addErrback(lambda _: None).cancel()
    assert figures(destinations) == (0, 0)


def test_one_that_comes_back_does_not_take_its_successor_along(
    outside: Any, destinations: Destinations
) -> None:
    first = destinations.at("http", "a.example", 80, anybody)
    outside.lose(outside.idle(first)[0])
    second = destinations.at("http", "a.example", 80, anybody)
    outside.idle(second)
    outside.lose(outside.idle(first)[0])  # a retry of an exchange that still had it
    assert destinations.servers() == {second}


def test_a_tunnels_destination_is_not_kept(outside: Any, destinations: Destinations) -> None:
    server = destinations.at("", "a.example", 443, anybody)
    server.dial(Protocol())
    assert outside.dialled[0][:2] == ("a.example", 443)
    assert figures(destinations) == (0, 0)


def test_what_is_shown(outside: Any, destinations: Destinations) -> None:
    outside.idle(destinations.at("http", "a.example", 80, anybody))
    assert repr(destinations) == "servers 1\nconnections 1"
