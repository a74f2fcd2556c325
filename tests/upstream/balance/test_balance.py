"""balance: our own algorithms and those of third parties are found alike."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.plugin import pluginPackagePaths
from zope.interface.verify import verifyObject

from twistproxy.upstream import balance
from twistproxy.upstream.balance import IBalancer, IBalancing

SERVERS = st.lists(st.integers(1, 9), max_size=8).map(
    lambda weights: [
        SimpleNamespace(name=b"%d" % i, weight=weight) for i, weight in enumerate(weights)
    ]
)
ALL = balance.names()


def test_round_robin_is_found():
    assert "round_robin" in ALL
    assert sorted(ALL) == ALL


def test_an_unknown_name_is_a_lookup_error():
    with pytest.raises(LookupError):
        balance.find("no such")


@pytest.mark.parametrize("name", ALL)
def test_each_is_what_it_says(name):
    assert verifyObject(IBalancing, balance.find(name))
    assert balance.find(name).name == name
    assert verifyObject(IBalancer, balance.find(name).build([]))


@pytest.mark.parametrize("name", ALL)
@given(servers=SERVERS, keys=st.lists(st.binary(max_size=4), max_size=6))
def test_each_orders_every_server_once_whatever_is_taken(name, servers, keys):
    balancer = balance.find(name).build(servers)
    for count, key in enumerate(keys):
        for _ in zip(range(count), balancer.order(key), strict=False):
            pass
        assert sorted(map(id, balancer.order(key))) == sorted(map(id, servers))


@pytest.mark.parametrize("name", ALL)
def test_each_may_be_asked_again_before_an_order_ends(name):
    servers = [SimpleNamespace(name=b"%d" % i, weight=1) for i in range(4)]
    balancer = balance.find(name).build(servers)
    orders = [balancer.order(b"") for _ in range(5)]
    for taken in zip(*orders, strict=True):
        assert all(server in servers for server in taken)


THIRD_PARTY = """
from attrs import frozen
from zope.interface import implementer
from twistproxy.upstream.balance import Balancing, IBalancer

@implementer(IBalancer)
@frozen
class First:
    servers: tuple
    def order(self, key):
        yield from self.servers

first = Balancing("first", First)
usurper = Balancing("round_robin", First)
"""


@pytest.fixture
def _third_party(tmp_path, monkeypatch):
    folder = tmp_path / "twistproxy" / "upstream" / "balance"
    folder.mkdir(parents=True)
    (folder / "third_party.py").write_text(THIRD_PARTY)
    (folder / "third_party_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    assert str(folder) in pluginPackagePaths(balance.__name__)  # which the package adds on import
    monkeypatch.setattr(balance, "__path__", [*balance.__path__, str(folder)])
    yield
    for name in ("third_party", "third_party_broken"):
        sys.modules.pop(f"{balance.__name__}.{name}", None)


@pytest.mark.usefixtures("_third_party")
def test_a_third_partys_file_is_found_like_ours():
    assert balance.names() == sorted([*ALL, "first"])
    assert list(balance.find("first").build((1, 2)).order(b"")) == [1, 2]


@pytest.mark.usefixtures("_third_party")
def test_ours_keep_their_names():
    balancer = balance.find("round_robin").build([])
    assert type(balancer).__module__ == "twistproxy.upstream.balance.round_robin"
