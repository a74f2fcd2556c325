"""clients: how many there may be, and what is shown of them."""

from __future__ import annotations

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistproxy.config.model import Limits, Timeouts
from twistproxy.net.sweep import Sweep
from twistproxy.wire import Terms
from twistproxy.wire.clients import SHOWN, Clients


@define(eq=False)
class Leg:
    address: str = "192.0.2.1"
    side: str = "forward"
    state: str = "idle"
    since: float = 0.0
    requests: int = 3
    told: str = ""

    def drain(self) -> None:
        self.told = "drain"

    def abort(self) -> None:
        self.told = "abort"


def clients_of(connections: int = 20000, per_client: int = 1000) -> Clients:
    limits = Limits(connections=connections, per_client=per_client)
    return Clients(Terms(limits, Timeouts()), Sweep(Clock()))


def test_one_too_many_in_all_is_refused_and_takes_no_place():
    clients = clients_of(connections=2)
    one, two, three = Leg("192.0.2.1"), Leg("192.0.2.2"), Leg("192.0.2.3")
    assert clients.enter(one) is None
    assert clients.enter(two) is None
    problem = clients.enter(three)
    assert problem is not None
    assert (problem.status, problem.name) == (503, "connection_limit_reached")
    assert "2 in all" in problem.text
    assert (len(clients), clients.accepted, clients.refused) == (2, 2, 1)
    clients.leave(three)
    assert len(clients) == 2
    clients.leave(one)
    assert clients.enter(three) is None


def test_one_too_many_of_an_address_is_refused_and_others_are_not():
    clients = clients_of(per_client=1)
    first = Leg()
    assert clients.enter(first) is None
    problem = clients.enter(Leg())
    assert problem is not None
    assert "1 from one address" in problem.text
    assert clients.enter(Leg("192.0.2.2")) is None
    clients.leave(first)
    assert clients.enter(Leg()) is None


def test_a_unix_socket_is_nobodys_address():
    clients = clients_of(per_client=1)
    assert clients.enter(Leg("")) is None
    assert clients.enter(Leg("")) is None


def test_a_reload_changes_the_limits():
    clients = clients_of()
    assert clients.enter(Leg()) is None
    clients._terms.limits = Limits(connections=1)
    assert clients.enter(Leg()) is not None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_places_are_given_back(moves):
    """However legs come and go, refused ones and those that left twice too."""
    clients = clients_of(connections=4, per_client=2)
    legs = [Leg(f"192.0.2.{number % 3}") for number in range(6)]
    inside: set[int] = set()
    for enters, number in moves:
        if enters and number not in inside:
            same = sum(other % 3 == number % 3 for other in inside)
            problem = clients.enter(legs[number])
            assert (problem is None) is (len(inside) < 4 and same < 2)
            if problem is None:
                inside.add(number)
        elif not enters:
            clients.leave(legs[number])
            inside.discard(number)
        assert len(clients) == len(inside)
    for leg in legs:
        clients.leave(leg)
    assert len(clients) == 0
    assert clients._by_address == {}


@pytest.mark.parametrize("what", ["drain", "abort"])
def test_all_are_told(what):
    clients = clients_of()
    legs = [Leg(), Leg()]
    for leg in legs:
        clients.enter(leg)
    getattr(clients, what)()
    assert [leg.told for leg in legs] == [what, what]


def test_snapshot():
    clients = clients_of()
    clients.enter(Leg(since=-7.4))
    assert clients.snapshot() == {
        "clients": 1,
        "limit": 20000,
        "accepted": 1,
        "refused": 0,
        "list": [
            {
                "client": "192.0.2.1",
                "side": "forward",
                "state": "idle",
                "seconds": 7,
                "requests": 3,
            }
        ],
    }


def test_a_snapshot_of_many_is_bounded():
    clients = clients_of()
    for number in range(SHOWN + 5):
        clients.enter(Leg(f"198.51.100.{number % 200}"))
    assert len(clients.snapshot()["list"]) == SHOWN
    assert clients.snapshot()["clients"] == SHOWN + 5


def test_a_repr_is_a_table():
    clients = clients_of()
    assert repr(clients) == "0 of 20000 connections"
    clients.enter(Leg())
    head, columns, row = repr(clients).splitlines()
    assert head == "1 of 20000 connections"
    assert columns.split() == ["client", "side", "state", "seconds", "requests"]
    assert row.split() == ["192.0.2.1", "forward", "idle", "0", "3"]
