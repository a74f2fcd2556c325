"""round_robin: in proportion, and smooth."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.upstream.balance.round_robin import RoundRobin

WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def balancer(*weights: int) -> RoundRobin:
    return RoundRobin(
        [SimpleNamespace(name=b"%c" % (97 + i), weight=weight) for i, weight in enumerate(weights)]
    )


def firsts(robin: RoundRobin, count: int) -> str:
    return b"".join(next(robin.order(b"")).name for _ in range(count)).decode()


SEQUENCES = {
    "nginx_5_1_1": ((5, 1, 1), "aabacaa"),  # as in the message of nginx's commit 52327e0627f4
    "equal": ((1, 1, 1), "abc"),
    "scaled": ((10, 2, 2), "aabacaa"),
    "two": ((2, 1), "aba"),
    "reverse": ((1, 1, 5), "ccacbcc"),
    "single": ((7,), "a"),
}


@pytest.mark.parametrize(("weights", "period"), SEQUENCES.values(), ids=SEQUENCES)
def test_the_smooth_sequence(weights, period):
    assert firsts(balancer(*weights), 3 * len(period)) == 3 * period


def test_no_servers_no_items():
    assert list(balancer().order(b"")) == []


def test_the_best_comes_first_then_the_others():
    assert [server.name for server in balancer(1, 3, 2).order(b"")] == [b"b", b"c", b"a"]


def test_an_order_that_nobody_takes_from_changes_nothing():
    robin = balancer(2, 1)
    robin.order(b"")
    assert firsts(robin, 3) == "aba"


@given(WEIGHTS)
def test_a_period_has_each_server_as_often_as_its_weight(weights):
    robin = balancer(*weights)
    for _ in range(2):
        taken = Counter(firsts(robin, sum(weights)))
        assert [taken[chr(97 + i)] for i in range(len(weights))] == weights


@given(WEIGHTS, st.integers(1, 100))
def test_nobody_is_ever_far_from_its_share(weights, count):
    taken = Counter(firsts(balancer(*weights), count))
    for i, weight in enumerate(weights):
        assert abs(taken[chr(97 + i)] - count * weight / sum(weights)) < len(weights)


@given(WEIGHTS.filter(lambda weights: len(weights) > 1), st.data())
def test_the_share_of_one_that_refuses_falls_to_all_others(weights, data):
    robin = balancer(*weights)
    down = b"%c" % (97 + data.draw(st.integers(0, len(weights) - 1)))
    left = {b"%c" % (97 + i): weight for i, weight in enumerate(weights)}
    del left[down]
    count = 30 * sum(weights)
    taken = Counter(
        next(server.name for server in robin.order(b"") if server.name != down)
        for _ in range(count)
    )
    for name, weight in left.items():
        assert abs(taken[name] - count * weight / sum(left.values())) < 2 * len(weights)
    # It is back, and is neither spared nor flooded.
    again = Counter(firsts(robin, count))
    for i, weight in enumerate(weights):
        assert abs(again[chr(97 + i)] - 30 * weight) < 2 * len(weights)


@given(WEIGHTS)
def test_where_all_refuse_nothing_has_changed(weights):
    robin, other = balancer(*weights), balancer(*weights)
    assert len(list(robin.order(b""))) == len(weights)
    assert firsts(robin, 20) == firsts(other, 20)


@given(WEIGHTS, st.lists(st.integers(0, 6), max_size=300))
def test_what_is_due_stays_bounded(weights, taken):
    robin = balancer(*weights)
    for count in taken:
        list(zip(range(count), robin.order(b""), strict=False))
    assert sum(turn.due for turn in robin._turns) == 0
    assert all(abs(turn.due) <= len(weights) * sum(weights) for turn in robin._turns)
