from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.limits.rate import Rate


def passes(limit: Rate, now: float, key: str = "a") -> bool:
    if limit.refuses(key, now, 0) is not None:
        return False
    limit.enter(key, now, 0)
    return True


class Bucket:
    """The other way to see it: it leaks steadily, and what would make it run over is refused."""

    def __init__(self, times: int, seconds: int, burst: int) -> None:
        self.leak, self.burst = Fraction(times, seconds), burst
        self.level, self.last = Fraction(0), Fraction(0)

    def wait(self, now: Fraction) -> Fraction:
        self.level = max(Fraction(0), self.level - (now - self.last) * self.leak)
        self.last = now
        return max(Fraction(0), (self.level + 1 - self.burst) / self.leak)


STEPS = st.lists(st.integers(0, 3000) | st.just(0), max_size=60)  # milliseconds


@given(
    st.integers(1, 50), st.sampled_from([1, 60]), st.integers(1, 10), st.integers(0, 10**9), STEPS
)
def test_it_is_a_leaky_bucket(
    times: int, seconds: int, burst: int, start: int, steps: list[int]
) -> None:
    # Milliseconds and up to 50 times: who isn't on time misses it by 20 µs at least.
    limit, bucket = Rate("r", times, float(seconds), burst, "client"), Bucket(times, seconds, burst)
    now = Fraction(start, 1000)
    for step in steps:
        now += Fraction(step, 1000)
        wait = bucket.wait(now)
        refusal = limit.refuses("a", float(now), 0)
        if wait == 0:
            assert refusal is None
            limit.enter("a", float(now), 0)
            bucket.level += 1
        else:
            assert refusal is not None
            assert abs(refusal.retry_after - float(wait)) < 1e-4


@given(
    st.integers(1, 1000), st.sampled_from([1.0, 60.0, 3600.0]), st.integers(1, 5), st.floats(0, 1e6)
)
def test_who_waits_as_told_passes_and_a_moment_before_does_not(
    times: int, seconds: float, burst: int, now: float
) -> None:
    limit = Rate("r", times, seconds, burst, "client")
    for _ in range(burst):
        assert passes(limit, now)
    refusal = limit.refuses("a", now, 0)
    assert refusal is not None
    assert limit.refuses("a", now + refusal.retry_after - 1e-5, 0) is not None
    assert passes(limit, now + refusal.retry_after)


def test_after_a_rest_a_burst_and_no_more() -> None:
    limit = Rate("r", 5, 1.0, 3, "client")
    assert [passes(limit, 1000.0) for _ in range(4)] == [True, True, True, False]
    assert [passes(limit, 1000.2), passes(limit, 1000.2)] == [True, False]
    assert [passes(limit, 9000.0) for _ in range(4)] == [True, True, True, False]


def test_who_is_refused_pays_nothing() -> None:
    limit = Rate("r", 1, 1.0, 1, "client")
    assert passes(limit, 0)
    assert not any(passes(limit, 0.5) for _ in range(100))
    assert passes(limit, 1.0)
    assert limit.snapshot()["refused"] == 100


def test_keys_are_counted_apart() -> None:
    limit = Rate("r", 1, 60.0, 1, "client")
    assert passes(limit, 0, "a")
    assert passes(limit, 0, "b")
    assert not passes(limit, 0, "a")


def test_what_it_tells() -> None:
    limit = Rate("slow", 100, 60.0, 2, "client")
    assert limit.standing("a", 0, 0) == "2 of 2 at once left, 100 per minute"
    assert passes(limit, 0)
    assert limit.standing("a", 0, 0) == "1 of 2 at once left, 100 per minute"
    assert passes(limit, 0)
    assert limit.standing("a", 0, 0) == "0 of 2 at once left, 100 per minute"
    refusal = limit.refuses("a", 0, 0)
    assert refusal is not None
    assert refusal.text == "Requests are limited to 100 per minute; the next may come in 1 s."
    assert limit.snapshot() == {
        "rule": "slow",
        "kind": "rate",
        "limit": "100 per minute",
        "by": "client",
        "keys": 1,
        "refused": 1,
    }


def test_made_up_keys_push_out_nobody_who_is_being_limited() -> None:
    limit = Rate("r", 10, 3600.0, 10, "client", most=1000)
    for number in range(100):
        for _ in range(10):
            assert passes(limit, 0, f"used {number}")
    for number in range(10_000):
        assert passes(limit, 1, f"made up {number}")
    assert limit.snapshot()["keys"] == 1000
    assert not any(passes(limit, 2, f"used {number}") for number in range(100))
