"""behind: what the configuration asks for lies behind memory, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from disk_worker import Turns
from twistproxy.cache import behind as room
from twistproxy.cache.behind import Behind
from twistproxy.cache.cache import Cache
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import redis as redis_room
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.config import model
from twistproxy.config.model import Duration, Size
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import Freshness

KEY = Key("open", "http://a.test/")


class Disk:
    """Stands for a `DiskStore`, and notes what is asked of it."""

    small = 1000

    def __init__(self, path: Path, size: int, reactor: Any) -> None:
        self.path, self.limit = path, size
        self.opened: Any = None
        self.crowded: Any = None
        self.objects = 0
        self.asked = 0
        self.done: list[object] = []

    def get(self, key: Key) -> tuple[()]:
        self.asked += 1
        return ()

    def snapshot(self) -> dict[str, Any]:
        return {"objects": self.objects}

    def start(self) -> None:
        self.done.append("start")

    def resize(self, limit: int) -> None:
        self.limit = limit

    def note(self, text: str) -> None:
        self.done.append(f"note {text}")

    def close(self) -> Deferred[None]:
        self.done.append("close")
        return succeed(None)


class Redis:
    """Stands for a `RedisStore`."""

    def __init__(self, clock: Any, server: Any, timeout: float, **choices: Any) -> None:
        self.timeout = timeout
        self.grace = choices["grace"]
        self.position = choices["position"]
        self.heard = choices["on_purge"]
        self.told = choices["on_settled"]
        self.settled = False
        self.done: list[object] = []

    def get(self, key: Key) -> tuple[()]:
        return ()

    def start(self) -> None:
        self.done.append("start")

    def settle(self, position: str) -> None:
        self.position, self.settled = position, True
        self.told()

    def close(self) -> Deferred[None]:
        self.done.append("close")
        return succeed(None)


class House:
    def __init__(self) -> None:
        self.clock = Turns()
        self.cache = Cache(MemoryStore(1 << 20), model.Cache())
        self.behind = Behind(self.cache, self.clock, lambda: 1000.0)

    def has(self, disk: str = "", redis: str = "", **more: Any) -> list[Any]:
        self.behind.configure(
            model.Cache(
                disk=model.DiskCache(path=Path(disk), size=Size(10)) if disk else None,
                redis=model.RedisCache(url=redis, timeout=Duration(0.1)) if redis else None,
                **more,
            )
        )
        return self.stores()

    def stores(self) -> list[Any]:
        return list(self.cache.tiers.behind.values())


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(room, "DiskStore", Disk)
    monkeypatch.setattr(redis_room, "RedisStore", Redis)
    return House()


SERVER = "redis://127.0.0.1/0"


def test_nothing_is_asked_for(house: House) -> None:
    assert house.has() == []
    assert house.cache.tiers.files is None


def test_a_disk(house: House) -> None:
    (disk,) = house.has(disk="/a")
    assert house.cache.tiers.files is disk
    assert disk.done == ["start"]
    assert house.has(disk="/a") == [disk]
    (other,) = house.has(disk="/b")
    assert disk.done == ["start", "close"]
    assert other.path == Path("/b")
    assert house.has() == []
    assert other.done == ["start", "close"]


def test_a_size_is_changed_in_place(house: House) -> None:
    (disk,) = house.has(disk="/a")
    house.behind.configure(model.Cache(disk=model.DiskCache(path=Path("/a"), size=Size(99))))
    assert disk.limit == 99
    assert disk.done == ["start"]


def test_redis_alone_begins_at_once(house: House) -> None:
    (redis,) = house.has(redis=SERVER)
    assert (redis.done, redis.position) == (["start"], "")
    house.has(redis=SERVER, grace=Duration(7))
    assert redis.grace == 7
    assert house.has(redis="redis://127.0.0.1/1") != [redis]
    assert redis.done == ["start", "close"]


def test_redis_waits_for_what_the_disk_has_noted(house: House) -> None:
    (disk,) = house.has(disk="/a", redis=SERVER)
    disk.opened(disk, "17-0")
    assert house.stores()[0] is disk, "it is asked first"
    redis = house.stores()[1]
    assert redis.position == "17-0"
    redis.settle("18-0")
    assert disk.done == ["start", "note 18-0"], "at once"
    redis.position = "19-0"
    house.clock.advance(5)
    house.behind.close()
    assert disk.done == ["start", "note 18-0", "note 19-0", "note 19-0", "close"]
    assert redis.done == ["start", "close"]
    assert house.stores() == []
    assert not house.clock.getDelayedCalls()


def test_the_disk_is_not_asked_before_redis_has_told_what_was_purged(house: House) -> None:
    def asked() -> bool:
        before = disk.asked
        house.cache.bring(KEY, 1000.0)
        return bool(disk.asked > before)

    (disk,) = house.has(disk="/a", redis=SERVER)
    assert not asked()
    disk.opened(disk, "17-0")
    assert not asked()
    house.stores()[1].settle("18-0")
    assert asked()
    house.has(disk="/a")
    assert asked()
    house.has(disk="/a", redis=SERVER)
    assert not asked()


def test_of_a_disk_without_a_note_nobody_knows_how_old_it_is(house: House) -> None:
    (disk,) = house.has(disk="/a", redis=SERVER)
    disk.objects = 1
    disk.opened(disk, "")
    redis = house.stores()[1]
    assert redis.position == "0-0"
    redis.position = ""  # it has not answered yet
    house.clock.advance(5)
    assert disk.done == ["start"]
    disk.opened(disk, "17-0")
    assert redis.done == ["start", "close"]
    assert house.stores()[1].position == "17-0"


def test_an_empty_disk_knows_as_much_as_memory(house: House) -> None:
    (disk,) = house.has(disk="/a", redis=SERVER)
    disk.opened(disk, "")
    assert house.stores()[1].position == ""
    house.stores()[1].settle("18-0")
    (other,) = house.has(disk="/b", redis=SERVER)
    other.opened(other, "")
    assert house.stores()[1].position == "18-0"


def test_redis_comes_and_goes_beside_a_disk(house: House) -> None:
    (disk,) = house.has(disk="/a")
    disk.opened(disk, "17-0")
    _, redis = house.has(disk="/a", redis=SERVER)
    assert redis.position == "17-0"
    redis.settle("18-0")
    assert house.has(disk="/a") == [disk]
    assert house.has(disk="/a", redis=SERVER)[1].position == "18-0"
    # Another one has another log.
    assert house.has(disk="/a", redis="redis://127.0.0.1/1")[1].position == ""


def test_a_disk_that_was_taken_away_opens_nothing(house: House) -> None:
    (disk,) = house.has(disk="/a", redis=SERVER)
    house.behind.close()
    disk.opened(disk, "17-0")
    assert house.stores() == []


@pytest.mark.parametrize("what", [Purge("url", KEY.url), KEY])
def test_what_others_tell_is_done_here(house: House, what: Any) -> None:
    (redis,) = house.has(redis=SERVER)
    stored = Stored(KEY, (), 200, b"", Fields(), Freshness(60, 0, 0), 0)
    house.cache.tiers.memory.put(stored)
    redis.heard(what)
    assert house.cache.tiers.memory.objects == 0
    assert house.cache._outdated(stored, 1000.0), "what was on its way then, too"
    assert redis.done == ["start"], "who told it isn't told again"


def test_memory_lets_go_of_files_when_there_are_too_many(house: House) -> None:
    (disk,) = house.has(disk="/a")
    house.cache.tiers.memory.put(Stored(KEY, (), 200, b"", Fields(), Freshness(60, 0, 0), 0))
    disk.crowded(KEY)
    assert house.cache.tiers.memory.objects == 0
