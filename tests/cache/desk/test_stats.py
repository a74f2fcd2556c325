"""Hit ratios, and what is asked for most."""

from __future__ import annotations

import pytest

from twistproxy.cache.desk.stats import Most, stats
from twistproxy.cache.shares import Share
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields


def shares() -> dict[str, Share]:
    forward, reverse = Share(), Share()
    for _ in range(3):
        forward.count(CacheStatus(hit=True), 100)
    forward.count(CacheStatus(fwd="uri-miss"), 700)
    reverse.count(CacheStatus(fwd="stale"), 0)
    reverse.count(CacheStatus(collapsed=True), 1000)
    return {"forward": forward, "reverse": reverse}


def test_stats_are_a_text_to_read() -> None:
    told = stats(shares(), {"objects": 2, "evicted": 1, "disk": {"objects": 5}})
    assert list(told.sides) == ["forward", "reverse", "both"]
    assert repr(told) == (
        "side     requests  hits  collapsed  hit_ratio  bytes  hit_bytes  byte_hit_ratio\n"
        "forward         4     3          0       0.75   1000        300             0.3\n"
        "reverse         2     0          1          0   1000          0               0\n"
        "both            6     3          1        0.5   2000        300            0.15\n"
        "\n"
        "objects 2\nevicted 1\n"
        "\n"
        "disk\nobjects 5"
    )


def stored(name: str, uses: int) -> Stored:
    made = Stored(
        Key("open", name), (), 200, b"OK", Fields(), Freshness(60, 0, 0), 0, bytes(len(name))
    )
    made.uses = uses
    return made


def most(count: int, uses: list[int]) -> list[int]:
    looked = Most(count)
    for n, each in enumerate(uses):
        looked.look(stored(f"{n}", each))
    return [each.hits for each in looked.top(0.0).objects]


TOPS = {
    "the most hit first": (3, [1, 5, 2, 4, 3], [5, 4, 3]),
    "equals": (2, [7, 7, 7], [7, 7]),
    "fewer than are asked for": (9, [0, 1], [1, 0]),
    "none": (0, [1], []),
    "of nothing": (3, [], []),
}


@pytest.mark.parametrize(("count", "uses", "shown"), TOPS.values(), ids=TOPS)
def test_top(count: int, uses: list[int], shown: list[int]) -> None:
    assert most(count, uses) == shown


def test_top_is_a_table() -> None:
    looked = Most(2)
    looked.look(stored("http://a.example/", 3))
    looked.look(stored("http://b.example/x", 4))
    assert repr(looked.top(70.0)) == (
        "hits  bytes  ttl  status  from  url\n"
        "   4     18  -10     200  open  http://b.example/x\n"
        "   3     17  -10     200  open  http://a.example/"
    )
    assert repr(Most(2).top(0.0)) == "Nothing is stored."
