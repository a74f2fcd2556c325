"""Eviction on the benchmark's traces, smaller: who stays is counted, and how much there is."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from bench.traces import TRACES, Best, Lru, Ours, filled, ratios, room_of

REQUESTS, OBJECTS = 100_000, 10_000


def hits(name: str, *policies: Callable[[int], Lru | Ours]) -> list[float]:
    """Of the same trace, in percent of its requests."""
    trace = TRACES[name](REQUESTS, OBJECTS, random.Random(1))
    room = room_of(trace, OBJECTS)
    return [ratios(trace, make(room))[0] for make in policies]


@pytest.mark.parametrize("name", ["Zipf 0.8", "Zipf 1.0", "mixed", "twice"])
def test_three_points_better_than_last_recently_used(name: str) -> None:
    ours, lru = hits(name, Ours, Lru)
    assert ours >= lru + 3


def test_a_scan_of_five_times_the_memory_does_not_flush_what_is_asked_for_again() -> None:
    """What a scan costs: of the other requests, as many are hits as without it, or nearly."""
    (alone,) = hits("Zipf 1.0", Ours)
    half, lru = (2 * each for each in hits("scan", Ours, Lru))  # every other request is a scan's
    assert half >= alone - 2.5
    assert lru < alone - 9


def test_nobody_is_better_than_the_best() -> None:
    trace = TRACES["Zipf 1.0"](REQUESTS, OBJECTS, random.Random(1))
    room = room_of(trace, OBJECTS)
    best, lru = Best(room, trace.asked), Lru(room)
    assert ratios(trace, best) > ratios(trace, Ours(room)) > ratios(trace, lru)


def test_a_full_cache_counts_what_its_process_takes() -> None:
    figures = filled("mixed", 30_000, OBJECTS)
    assert 0.97 * figures["limit"] <= figures["counted"] <= figures["limit"]
    assert figures["most"] < 1.2 * figures["limit"]
