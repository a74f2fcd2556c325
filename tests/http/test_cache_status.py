"""Cache-Status as RFC 9211 writes it."""

from __future__ import annotations

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.cache_status import FORWARDED, CacheStatus
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
    "partial": (
        CacheStatus(fwd="partial", fwd_status=206),
        b"twistproxy; fwd=partial; fwd-status=206",
    ),
    "miss_of_any_kind": (CacheStatus(fwd="miss"), b"twistproxy; fwd=miss"),
    "key": (
        CacheStatus(hit=True, key='pool:"a" http://a.example/å'),
        b'twistproxy; hit; key="pool:\\"a\\" http://a.example/?"',
    ),  # §2.7
    "collapsed_where_it_went_on": (CacheStatus(hit=True, collapsed=True), b"twistproxy; hit"),
    "hit_never_says_fwd": (CacheStatus(hit=True, fwd="stale", fwd_status=304), b"twistproxy; hit"),
}


@pytest.mark.parametrize(("status", "value"), WRITTEN.values(), ids=WRITTEN)
def test_written(status: CacheStatus, value: bytes) -> None:
    assert status.encode() == value


@given(
    st.builds(
        CacheStatus,
        hit=st.booleans(),
        fwd=st.none() | st.sampled_from(sorted(FORWARDED)),
        fwd_status=st.none() | st.integers(100, 599),
        ttl=st.none() | st.integers(-(10**9), 10**9),
        stored=st.booleans(),
        collapsed=st.booleans(),
        detail=st.none() | st.text(),
        key=st.none() | st.text(),
    )
)
def test_others_can_read_it(status: CacheStatus) -> None:
    """As a list of structured fields (RFC 9651), each parameter of the type that it has to be."""
    ((name, told),) = http_sf.parse(status.encode(), tltype="list")
    assert name == http_sf.Token("twistproxy")
    assert not {"hit", "fwd"} <= told.keys()
    assert told.get("ttl") == status.ttl
    assert ("hit" in told) is status.hit
    assert ("stored" in told) is status.stored
    if "fwd" in told:
        assert told["fwd"] == http_sf.Token(status.fwd)
        assert told.get("fwd-status") == status.fwd_status
    if status.key is not None:
        assert isinstance(told["key"], str)
    assert ("detail" in told) is (status.detail is not None)


def test_we_come_after_the_caches_nearer_to_the_origin() -> None:
    fields = Fields([(b"Cache-Status", b"Origin; hit; ttl=1100"), (b"Server", b"x")])
    CacheStatus(hit=True, ttl=545).append_to(fields, b"edge")
    assert fields.get(b"cache-status") == b"Origin; hit; ttl=1100, edge; hit; ttl=545"
