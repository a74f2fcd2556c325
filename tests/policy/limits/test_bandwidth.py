"""bandwidth: a key has its two buckets, the same for all its exchanges."""

from __future__ import annotations

import pytest
from attrs import frozen
from twisted.internet.task import Clock

from questions import ask
from twistproxy.net.throttle import Shaper, Throttle
from twistproxy.policy.limits.bandwidth import Bandwidth, Bandwidths

MIB = 1 << 20


@frozen
class Settings:
    limit: float = MIB
    by: str = "client"


@frozen
class Ruled:
    name: str = "slow"
    bandwidth: Settings | None = Settings()


def limit(most: int = 100, **others: object) -> Bandwidth:
    settings = Settings(**others)  # type: ignore[arg-type]
    return Bandwidth("slow", settings.limit, settings.by, Shaper(Clock()), most)


def test_exchanges_of_a_key_share() -> None:
    one = limit()
    ours = one.buckets(ask("http://a.test/", client="192.0.2.1"))
    assert one.buckets(ask("http://b.test/", client="192.0.2.1")) is ours
    theirs = one.buckets(ask("http://a.test/", client="192.0.2.2"))
    assert len({*ours, *theirs}) == 4
    assert {bucket.rate for bucket in (*ours, *theirs)} == {MIB}


@pytest.mark.parametrize("by", ["client", "user", "host", "header:X-Key"])
def test_by(by: str) -> None:
    one = limit(by=by)
    assert one.buckets(ask("http://a.test/")) is one.buckets(ask("http://a.test/"))


def test_by_what_is_none() -> None:
    with pytest.raises(ValueError, match="header:NAME"):
        limit(by="moon")


def test_keys_are_bounded_and_those_in_debt_stay() -> None:
    one = limit(most=4)
    busy = one.buckets(ask("http://a.test/", client="10.0.0.1"))
    Throttle((busy.down,)).took(10 * MIB)
    for number in range(2, 100):
        one.buckets(ask("http://a.test/", client=f"10.0.0.{number}"))
    assert one.snapshot()["keys"] == 4
    assert one.buckets(ask("http://a.test/", client="10.0.0.1")) is busy


def test_snapshot() -> None:
    one = limit()
    up, down = one.buckets(ask("http://a.test/"))
    Throttle((up,)).took(10)
    throttle = Throttle((down,))
    throttle.took(MIB)
    throttle.wait(lambda: None)
    assert one.snapshot() == {
        "rule": "slow",
        "kind": "bandwidth",
        "limit": "1 MiB/s",
        "by": "client",
        "keys": 1,
        "waiting": 1,
        "bytes_in": 10,
        "bytes_out": MIB,
    }
    assert one.standing("192.0.2.1") == "1 MiB/s each way, 1 wait"
    assert one.standing("192.0.2.9") == "1 MiB/s each way, 0 wait"


TEXTS = {
    "bytes": (100, "100 B/s"),
    "kib": (64 << 10, "64 KiB/s"),
    "a_half": (1.5 * MIB, "1.5 MiB/s"),
    "gib": (2 << 30, "2 GiB/s"),
    "decimal": (10**9, "953.7 MiB/s"),
}


@pytest.mark.parametrize(("rate", "text"), TEXTS.values(), ids=TEXTS)
def test_for_a_person(rate: float, text: str) -> None:
    assert limit(limit=rate).text == text


def test_through_reloads() -> None:
    limits = Bandwidths(Shaper(Clock()))
    assert limits.of(Ruled(bandwidth=None)) is None
    first = limits.of(Ruled())
    assert first is not None
    assert limits.of(Ruled()) is first, "the settings are what they were"
    buckets = first.buckets(ask("http://a.test/"))

    changed = limits.of(Ruled(bandwidth=Settings(2 * MIB)))
    assert changed is not None
    assert changed is not first
    limits.forget_unused([Ruled(bandwidth=Settings(2 * MIB)), Ruled("free", None)])
    assert [each["limit"] for each in limits.snapshot()] == ["2 MiB/s"]
    again = limits.of(Ruled())
    assert again is not None
    assert again is not first
    assert again.buckets(ask("http://a.test/")) is not buckets
    assert Throttle((buckets.down,)).may(10) == 10, "old exchanges go on under the old ones"
