"""The last refusals, by key."""

from __future__ import annotations

from twistproxy.cache.refusals import KEPT, Refusal, Refusals
from twistproxy.cache.stored import Key


def test_the_last_of_a_key_is_told() -> None:
    refusals = Refusals()
    key = Key("open", "a")
    refusals.note(key, "private", 1.0)
    refusals.note(key, "no-store", 2.0)
    assert list(refusals.of(["a", "b"])) == [Refusal(key, "no-store", 2.0)]
    assert list(refusals.of(["b"])) == []


def test_whoever_answered_and_whatever_was_asked() -> None:
    refusals = Refusals()
    keys = [Key("open", "a"), Key("pool:x", "a"), Key("pool:x", "a", "query")]
    for key in keys:
        refusals.note(key, "status", 0.0)
    assert [refusal.key for refusal in refusals.of({"a"})] == keys


def test_the_last_ones_are_remembered_and_no_more_than_twice_as_many() -> None:
    refusals = Refusals()
    for n in range(5 * KEPT + 7):
        refusals.note(Key("open", f"{n}"), "status", float(n))
        assert len(refusals) <= 2 * KEPT
    last = [f"{n}" for n in range(4 * KEPT + 7, 5 * KEPT + 7)]
    assert [refusal.key.url for refusal in refusals.of(last)] == last


def test_the_newest_counts_where_an_older_one_is_remembered_too() -> None:
    refusals = Refusals()
    refusals.note(Key("open", "a"), "private", 0.0)
    for n in range(KEPT):
        refusals.note(Key("open", f"other {n}"), "status", 1.0)
    refusals.note(Key("open", "a"), "no-store", 2.0)
    assert [refusal.token for refusal in refusals.of(["a"])] == ["no-store"]
    assert len(refusals) == KEPT + 1
