"""How the cache does: hit ratios by side, and what is asked for most."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapreplace
from typing import Any

from attrs import frozen

from twistproxy.cache.desk.why import held
from twistproxy.cache.shares import Share, both
from twistproxy.cache.stored import Key, Stored
from twistproxy.tables import figures, table


@frozen(repr=False)
class Stats:
    """sides: a `Share.snapshot` each, and "both". figures: the cache's snapshot; what is a table
    in it is a store.
    """

    sides: dict[str, dict[str, Any]]
    figures: Mapping[str, Any]

    def __repr__(self) -> str:
        columns = list(Share().snapshot())
        sides = table(
            ["side", *columns],
            [[side, *(share[name] for name in columns)] for side, share in self.sides.items()],
        )
        parts = [sides, figures(self.figures)]
        for name, values in self.figures.items():
            if isinstance(values, Mapping):
                parts.append(f"{name}\n{figures(values)}")
        return "\n\n".join(parts)


def stats(shares: Mapping[str, Share], snapshot: Mapping[str, Any]) -> Stats:
    sides = {side: share.snapshot() for side, share in shares.items()}
    return Stats({**sides, "both": both(shares).snapshot()}, snapshot)


# -- what is asked for most ----------------------------------------------------------------------


@frozen
class Popular:
    """hits: of late. size: bytes of content that are there. ttl: seconds, negative when stale."""

    hits: int
    size: int
    ttl: int
    status: int
    key: Key


@frozen(repr=False)
class Top:
    """The most hit first."""

    objects: tuple[Popular, ...]

    def __repr__(self) -> str:
        if not self.objects:
            return "Nothing is stored."
        rows = [
            (each.hits, each.size, each.ttl, each.status, each.key.who, each.key.url)
            for each in self.objects
        ]
        return table(["hits", "bytes", "ttl", "status", "from", "url"], rows)


class Most:
    """Those with most hits of all that it is shown. count: how many."""

    def __init__(self, count: int) -> None:
        # Nobody's hits are less than those of what stands here at first.
        self._heap: list[tuple[int, int, Stored | None]] = [(-1, n, None) for n in range(count)]
        self._seen = count

    def look(self, stored: Stored) -> None:
        if self._heap and stored.uses > self._heap[0][0]:
            self._seen += 1  # so that objects are never compared
            heapreplace(self._heap, (stored.uses, self._seen, stored))

    def top(self, now: float) -> Top:
        found = sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))
        return Top(
            tuple(
                Popular(hits, held(each), each.ttl(now), each.status, each.key)
                for hits, _, each in found
                if each is not None
            )
        )
