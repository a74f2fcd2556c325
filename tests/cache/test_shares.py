"""Hit ratios by side."""

from __future__ import annotations

import pytest

from twistproxy.cache.shares import Share, both
from twistproxy.http.cache_status import CacheStatus

HIT = CacheStatus(hit=True)
MISS = CacheStatus(fwd="uri-miss")
STALE = CacheStatus(fwd="stale")
COLLAPSED = CacheStatus(fwd="uri-miss", collapsed=True)

OUTCOMES = {
    "hit": (HIT, {"requests": 1, "hits": 1, "hit_ratio": 1.0, "hit_bytes": 10}),
    "collapsed": (COLLAPSED, {"requests": 1, "collapsed": 1, "hit_ratio": 0.0, "bytes": 10}),
    "miss": (MISS, {"requests": 1, "hits": 0, "bytes": 10, "byte_hit_ratio": 0.0}),
    "stale": (STALE, {"requests": 1, "hits": 0, "bytes": 10}),
    "not for the cache": (
        CacheStatus(fwd="bypass"),
        {"requests": 0, "bytes": 0, "hit_ratio": None},
    ),
    "not asked": (CacheStatus(), {"requests": 0, "bytes": 0, "byte_hit_ratio": None}),
}


@pytest.mark.parametrize(("outcome", "counted"), OUTCOMES.values(), ids=OUTCOMES)
def test_what_is_counted(outcome: CacheStatus, counted: dict[str, object]) -> None:
    share = Share()
    share.count(outcome, 10)
    assert share.snapshot().items() >= counted.items()


def shares() -> dict[str, Share]:
    forward, reverse = Share(), Share()
    for _ in range(3):
        forward.count(HIT, 100)
    forward.count(MISS, 700)
    reverse.count(STALE, 0)
    reverse.count(COLLAPSED, 1000)
    return {"forward": forward, "reverse": reverse}


def test_ratios_are_by_requests_and_by_bytes() -> None:
    forward = shares()["forward"].snapshot()
    assert (forward["hit_ratio"], forward["byte_hit_ratio"]) == (0.75, 0.3)


def test_both_sides_together() -> None:
    assert both(shares()).snapshot() == {
        "requests": 6,
        "hits": 3,
        "collapsed": 1,
        "hit_ratio": 0.5,
        "bytes": 2000,
        "hit_bytes": 300,
        "byte_hit_ratio": 0.15,
    }
