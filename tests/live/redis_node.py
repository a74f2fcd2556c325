"""python redis_node.py uvloop|epoll URL: a store on a real reactor, which does what its input says.

Each line of input is a list in JSON, a name and arguments; each gets its answer, a line.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.protocols.basic import LineReceiver

from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields
from twistproxy.net import reactor as reactors

TIMEOUT = 0.05


class Commands:
    def __init__(self, reactor: Any, url: str) -> None:
        from twistproxy.cache.redis.client import RedisServer
        from twistproxy.cache.stores.redis import RedisStore

        self.reactor = reactor
        self.purged: list[Purge] = []
        self.asked = self.answered = 0
        self.longest = 0.0
        self.loading = LoopingCall(self.get_some)
        self.store = RedisStore(
            reactor,
            RedisServer(reactor, url),
            TIMEOUT,
            on_purge=self.purged.append,
            on_remove=lambda key: None,
        )
        self.store.start()

    async def put(self, url: str, size: int) -> bool:
        now = self.reactor.seconds()
        freshness = Freshness(60.0, 0.0, now)
        stored = Stored(Key("open", url), (), 200, b"OK", Fields(), freshness, now, b"x" * size)
        kept = self.store.put(stored)
        await self.until_true(lambda: not self.store.snapshot()["waiting"])
        return kept

    async def get(self, url: str) -> list[int]:
        found = self.store.get(Key("open", url))
        if isinstance(found, Deferred):
            found = await found
        return [len(each.body) for each in found]  # type: ignore[arg-type]

    async def purge(self, url: str) -> int:
        return await self.store.purge(Purge("url", url), self.reactor.seconds())

    async def heard(self, url: str) -> bool:
        await self.until_true(lambda: Purge("url", url) in self.purged)
        return True

    async def until(self, state: str) -> str:
        await self.until_true(lambda: self.store.snapshot()["state"] == state)
        return state

    async def snapshot(self) -> dict[str, Any]:
        return self.store.snapshot()

    async def load(self) -> None:
        self.loading.start(0.002)

    def get_some(self) -> None:
        self.asked += 1
        began = time.monotonic()
        found = self.store.get(Key("open", "http://example.org/load"))
        if isinstance(found, Deferred):
            found.addCallback(self.got, began)
        else:
            self.got(found, began)

    def got(self, found: object, began: float) -> None:
        self.answered += 1
        self.longest = max(self.longest, time.monotonic() - began)

    async def unload(self) -> dict[str, Any]:
        self.loading.stop()
        await self.until_true(lambda: self.answered == self.asked)
        return {
            "asked": self.asked,
            "answered": self.answered,
            "longest": self.longest,
            "timeout": TIMEOUT,
        }

    async def until_true(self, what: Any) -> None:
        while not what():
            await deferLater(self.reactor, 0.01)


class Talk(LineReceiver):
    delimiter = b"\n"

    def __init__(self, commands: Commands) -> None:
        self.commands = commands

    def lineReceived(self, line: bytes) -> None:
        name, *words = json.loads(line)
        Deferred.fromCoroutine(getattr(self.commands, name)(*words)).addCallbacks(
            lambda result: self.sendLine(json.dumps(result).encode()),
            lambda failure: failure.printTraceback(sys.stderr),
        )

    def connectionLost(self, reason: Any = None) -> None:
        commands = self.commands
        closed: Any = commands.store.close()
        closed.addBoth(lambda _: commands.reactor.stop())


def main() -> None:
    name, url = sys.argv[1:]
    if name == "uvloop":
        reactors.install()
    else:
        from twisted.internet import epollreactor

        epollreactor.install()
    from twisted.internet import reactor

    globalLogPublisher.addObserver(textFileLogObserver(sys.stderr))
    StandardIO(Talk(Commands(reactor, url)))
    reactor.run()  # type: ignore[attr-defined]


main()
