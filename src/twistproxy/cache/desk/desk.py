"""The cache as its operator sees it: why, top, stats, purge, warm.

What the console calls `cache`. It looks and asks; all that it knows is in the `Cache`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults, succeed

from twistproxy.cache.desk.stats import Most, Stats, Top, stats
from twistproxy.cache.desk.warm import Warmed, Warmer
from twistproxy.cache.desk.why import Why, why
from twistproxy.cache.purge import WAYS, By, Purge, meant, spellings
from twistproxy.cache.refusals import Refusals
from twistproxy.cache.shares import Share
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import Answer
from twistproxy.cache.tiers import MEMORY, Tiers, together
from twistproxy.config import model


class Asked(Protocol):
    """What of the cache is looked at."""

    @property
    def tiers(self) -> Tiers: ...
    @property
    def terms(self) -> model.Cache: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def shares(self) -> Mapping[str, Share]: ...

    def purge(self, purge: Purge, now: float) -> Deferred[dict[str, int]]: ...
    def clear(self) -> Deferred[dict[str, int]]: ...
    def snapshot(self) -> dict[str, Any]: ...


class Desk:
    """wall: seconds of the epoch. ports: those we listen on. whos: who may have answered: the
    ``who`` of keys, as far as the configuration tells.
    """

    def __init__(
        self,
        cache: Asked,
        warmer: Warmer,
        wall: Callable[[], float],
        ports: Callable[[], Collection[int]],
        whos: Callable[[], Iterable[str]],
    ) -> None:
        self._cache = cache
        self._warmer = warmer
        self._wall = wall
        self._ports = ports
        self._whos = whos

    def why(self, url: str) -> Answer[Why]:
        """What is known of a URL, stored or not, and by which clause. Raises ValueError."""
        cache, now = self._cache, self._wall()
        memory = cache.tiers.memory
        urls = spellings(url, self._ports())
        refusals = list(cache.refusals.of(urls))
        keys = dict.fromkeys(
            [
                *(key for each in urls for key in memory.keys(each)),
                *(Key(who, each) for who in self._whos() for each in urls),
                *(refusal.key for refusal in refusals),
            ]
        )
        stores = {MEMORY: memory, **cache.tiers.behind}
        names = [name for name in stores for _ in keys]
        answers: list[Answer[tuple[Stored, ...]]] = [
            store.get(key) for store in stores.values() for key in keys
        ]

        def account(found: list[tuple[Stored, ...]]) -> Why:
            return why(urls[0], zip(names, found, strict=True), refusals, cache.terms, now)

        at_once = [answer for answer in answers if not isinstance(answer, Deferred)]
        if len(at_once) == len(answers):
            return account(at_once)
        return gatherResults(
            [answer if isinstance(answer, Deferred) else succeed(answer) for answer in answers]
        ).addCallback(account)

    def top(self, count: int = 10) -> Answer[Top]:
        """What in memory was hit most, of late."""
        most = Most(count)
        looked = self._cache.tiers.memory.survey(most.look)
        if looked is None:
            return most.top(self._wall())
        return looked.addCallback(lambda _: most.top(self._wall()))

    def stats(self) -> Stats:
        """Objects, bytes, hit ratios by requests, bytes and side, evictions, collapsed."""
        return stats(self._cache.shares, self.snapshot())

    def purge(self, value: str, by: By = "url", soft: bool = False) -> Deferred[dict[str, int]]:
        """Forget what is meant, or make it stale: how many objects each store had of them.

        Raises ValueError.
        """
        if by not in WAYS:
            raise ValueError(f"{by!r} is not {', '.join(WAYS)}")
        now = self._wall()
        purges = meant(by, value, soft, self._ports())
        return together([self._cache.purge(purge, now) for purge in purges])

    def clear(self) -> Deferred[dict[str, int]]:
        """Forget everything: how many objects each store had."""
        return self._cache.clear()

    def warm(self, urls: Iterable[str]) -> Deferred[Warmed]:
        """Fetch what is in the list. Raises `warm.Busy` or ValueError."""
        return self._warmer.warm(urls)

    @property
    def warmer(self) -> Warmer:
        return self._warmer

    def snapshot(self) -> dict[str, Any]:
        return {**self._cache.snapshot(), "warming": self._warmer.snapshot()}

    def __repr__(self) -> str:
        return repr(self.stats())
