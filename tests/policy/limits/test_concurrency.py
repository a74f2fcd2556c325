from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.limits.concurrency import AGAIN, Concurrency


def test_so_many_at_once_of_each_key() -> None:
    limit = Concurrency("slow", 2, "client")
    for _ in range(2):
        assert limit.refuses("a", 0, 0) is None
        limit.enter("a", 0, 0)
    refusal = limit.refuses("a", 0, 0)
    assert refusal is not None
    assert (refusal.rule, refusal.kind, refusal.retry_after) == ("slow", "concurrency", AGAIN)
    assert refusal.text == (
        "Requests are limited to 2 at once; try again when one of them is over."
    )
    assert limit.refuses("b", 0, 0) is None
    limit.leave("a", 0)
    assert limit.refuses("a", 0, 0) is None


def test_what_it_counts_is_bounded_and_nobody_in_there_is_forgotten() -> None:
    limit = Concurrency("slow", 2, "client", most=3)
    for key in "abc":
        limit.enter(key, 0, 0)
    assert limit.refuses("d", 0, 0) is not None
    assert limit.refuses("a", 0, 0) is None
    limit.leave("b", 0)
    assert limit.refuses("d", 0, 0) is None


@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_it_never_lets_in_too_many_and_never_leaks(
    data: st.DataObject, most: int, keys: int
) -> None:
    limit, inside = Concurrency("slow", most, "client", keys), Counter[str]()
    for step in data.draw(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")))):
        comes, key = step
        if comes:
            free = inside[key] < most and (inside[key] > 0 or len(+inside) < keys)
            assert (limit.refuses(key, 0, 0) is None) is free
            if free:
                limit.enter(key, 0, 0)
                inside[key] += 1
        elif inside[key]:
            limit.leave(key, 0)
            inside[key] -= 1
        assert limit.snapshot()["keys"] == len(+inside)
        assert limit.standing(key, 0, 0) == f"{inside[key]} of {most} at once"
    for key in inside.elements():
        limit.leave(key, 0)
    assert limit.snapshot()["keys"] == 0
