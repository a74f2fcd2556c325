"""Cache-Status as RFC 9211 writes it."""

from __future__ import annotations

import pytest

from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.fields import Fields

WRITTEN = {
    "hit": (CacheStatus(hit=True, ttl=30), b"twistproxy; hit; ttl=30"),  # §2.1
    "hit_stale_by_max_stale": (CacheStatus(hit=True, ttl=-5), b"twistproxy; hit; ttl=-5"),  # §2.4
    "miss_stored": (
        CacheStatus(fwd="uri-miss", fwd_status=200, stored=True),
        b"twistproxy; fwd=uri-miss; fwd-status=200; stored",
    ),  # §2.5
    "stale_confirmed": (
        CacheStatus(fwd="stale", fwd_status=304, ttl=60),
        b"twistproxy; fwd=stale; fwd-status=304; ttl=60",
    ),  # §2.3
    "vary_miss": (CacheStatus(fwd="vary-miss"), b"twistproxy; fwd=vary-miss"),  # §2.2
    "collapsed": (
        CacheStatus(fwd="uri-miss", collapsed=True),
        b"twistproxy; fwd=uri-miss; collapsed",
    ),  # §2.6
    "detail_token": (
        CacheStatus(fwd="bypass", detail="range"),
        b"twistproxy; fwd=bypass; detail=range",
    ),  # §2.8
    "detail_string": (
        CacheStatus(fwd="bypass", detail='no "x" \\ å'),
        b'twistproxy; fwd=bypass; detail="no \\"x\\" \\\\ ?"',
    ),
    "detail_not_a_token": (
        CacheStatus(fwd="bypass", detail="1a"),
        b'twistproxy; fwd=bypass; detail="1a"',
    ),
    "hit_never_says_fwd": (CacheStatus(hit=True, fwd="stale", fwd_status=304), b"twistproxy; hit"),
}


@pytest.mark.parametrize(("status", "value"), WRITTEN.values(), ids=WRITTEN)
def test_written(status: CacheStatus, value: bytes) -> None:
    assert status.encode() == value


def test_we_come_after_the_caches_nearer_to_the_origin() -> None:
    fields = Fields([(b"Cache-Status", b"Origin; hit; ttl=1100"), (b"Server", b"x")])
    CacheStatus(hit=True, ttl=545).append_to(fields, b"edge")
    assert fields.get(b"cache-status") == b"Origin; hit; ttl=1100, edge; hit; ttl=545"
