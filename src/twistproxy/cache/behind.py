"""The stores behind memory that a configuration asks for: opened, changed by a reload, closed.

[cache.disk]   a folder of this process alone
[cache.redis]  what several nodes share; once the disk tells up to where it has heard of purges

The disk is not asked before Redis has told what was purged since, or can't be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from twistproxy.cache.cache import Cache
from twistproxy.cache.stored import Key
from twistproxy.cache.stores import Store
from twistproxy.cache.stores.disk import DiskStore
from twistproxy.config import model

if TYPE_CHECKING:
    from twistproxy.cache.stores.redis import RedisStore

DISK: Final = "disk"
REDIS: Final = "redis"
# A position of which Redis knows nothing: what the disk holds may be what was purged since.
_UNKNOWN: Final = "0-0"
#: Seconds after which the disk knows of what Redis told.
_OFTEN: Final = 5.0


class Behind:
    """reactor: with TCP, UNIX sockets, threads and time. wall: seconds of the epoch."""

    def __init__(self, cache: Cache, reactor: Any, wall: Callable[[], float]) -> None:
        self._cache = cache
        self._reactor = reactor
        self._wall = wall
        self._terms: model.Cache | None = None
        self._disk: DiskStore | None = None
        self._redis: RedisStore | None = None
        self._ready = False  # the disk is open, or can't be for now
        # Up to where what this node holds has heard of purges, and from which Redis.
        self._position = ""
        self._told_by = ""
        self._noting = LoopingCall(self._note)
        self._noting.clock = reactor

    def configure(self, terms: model.Cache) -> None:
        """Have what it asks for, and nothing else. What didn't change goes on."""
        before, self._terms = self._terms, terms
        moved = _path(before) != _path(terms)
        if moved:
            if self._disk is not None:
                self._disk.close()
            self._ready = False
            self._disk = self._open_disk(terms.disk) if terms.disk else None
        elif self._disk is not None and terms.disk is not None:
            self._disk.resize(terms.disk.size)
        if moved or _url(before) != _url(terms):
            self._leave_redis()
            if self._disk is None or self._ready:
                self._begin_redis()
        elif self._redis is not None and terms.redis is not None:
            self._redis.timeout = terms.redis.timeout
            self._redis.grace = terms.grace
        self._lie()

    def close(self) -> Deferred[Any]:
        """They keep what they can."""
        if self._noting.running:
            self._noting.stop()
        self._note()
        stores = [store for store in (self._disk, self._redis) if store is not None]
        self._disk = self._redis = self._terms = None
        self._lie()
        return gatherResults([store.close() for store in stores])

    def _lie(self) -> None:
        stores: dict[str, Store | None] = {DISK: self._disk, REDIS: self._redis}
        there = {name: store for name, store in stores.items() if store is not None}
        told = _url(self._terms) is None or (self._redis is not None and self._redis.settled)
        self._cache.tiers.use(there, self._disk, () if told else (DISK,))

    def _open_disk(self, config: model.DiskCache) -> DiskStore:
        disk = DiskStore(config.path, config.size, self._reactor)
        disk.crowded = self._let_go
        disk.opened = self._opened
        disk.start()
        return disk

    def _opened(self, disk: DiskStore, note: str) -> None:
        """The disk is there, and so is what Redis had told when it was written last.

        Again, if the disk came late: with what it holds Redis has to begin anew.
        """
        if disk is self._disk:
            self._leave_redis()
            self._ready = True
            if note or disk.snapshot()["objects"]:
                self._position = note or _UNKNOWN
            self._begin_redis()
            self._lie()

    def _leave_redis(self) -> None:
        if self._redis is not None:
            self._position = self._redis.position
            self._redis.close()
            self._redis = None

    def _begin_redis(self) -> None:
        """Hear what was told since this node heard the last."""
        redis = None if self._terms is None else self._terms.redis
        if redis is not None:
            if self._told_by not in ("", redis.url):
                self._position = ""
            self._told_by = redis.url
            self._redis = self._open_redis(redis, self._position)
            if self._disk is not None and not self._noting.running:
                self._noting.start(_OFTEN, now=False)

    def _open_redis(self, config: model.RedisCache, position: str) -> RedisStore:
        # Not at the top: the library takes the reactor as it is when it is imported.
        from twistproxy.cache.redis.client import RedisServer
        from twistproxy.cache.stores.redis import RedisStore

        assert self._terms is not None
        redis = RedisStore(
            self._reactor,
            RedisServer(self._reactor, config.url),
            config.timeout,
            on_purge=self._heard,
            on_remove=self._heard,
            on_settled=self._settled,
            grace=self._terms.grace,
            position=position,
        )
        redis.start()
        return redis

    def _settled(self) -> None:
        """From now on the disk may be asked; and it knows from where on it is told."""
        self._lie()
        self._note()

    def _heard(self, what: Any) -> None:
        self._cache.heard(what, REDIS, self._wall())

    def _note(self) -> None:
        """After all that it has heard so far, the disk notes up to where that was."""
        if self._disk is not None and self._redis is not None and self._redis.position:
            self._disk.note(self._redis.position)

    def _let_go(self, key: Key) -> None:
        """Too many files are open: memory holds on to this one's no longer."""
        self._cache.tiers.memory.remove(key)


def _path(terms: model.Cache | None) -> object:
    return terms and terms.disk and terms.disk.path


def _url(terms: model.Cache | None) -> object:
    return terms and terms.redis and terms.redis.url
