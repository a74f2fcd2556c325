"""A process that stores objects on a disk, and says what it did, until somebody kills it.

    python storing.py FOLDER LIMIT ROUND

Each round stores the same objects with other bodies, which can be told from nothing but name and
round. What it says, a line each:

    put NAME        it is under way
    kept NAME       it is on the disk
    removed NAME    what earlier rounds had of it isn't there any more
    idle            that was all
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import cooperate, deferLater

from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.disk import DiskStore
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

OBJECTS = 200
WAITING = 8  # jobs
LARGE = 150_000  # bodies from here on are written bit by bit


def body(name: int, number: int) -> bytes:
    chance = random.Random(f"{name} in {number}")
    return chance.randbytes(chance.choice([0, 10, 3000, 30_000, 70_000, 200_000]))


def stored(name: int, number: int, content: bytes = b"") -> Stored:
    return Stored(
        Key("open", f"http://a.example/{name}"),
        (),
        200,
        b"OK",
        Fields([(b"Content-Type", b"application/octet-stream")]),
        Freshness(3600, 0, number),
        number,
        content,
        (f"round-{number}",),
    )


def say(word: str, name: object = "") -> None:
    print(word, name, flush=True)


def store_all(store: DiskStore, number: int, reactor: object) -> Iterator[Deferred[object] | None]:
    chance = random.Random(number)
    for name in chance.sample(range(OBJECTS), OBJECTS):
        while store.snapshot()["waiting"] > WAITING:
            yield deferLater(reactor, 0.001)  # type: ignore[arg-type]
        if not name % 5:
            removed = store.remove(stored(name, 0).key)
            if isinstance(removed, Deferred):
                removed.addCallback(lambda _, name=name: say("removed", name))
        content = body(name, number)
        if len(content) < LARGE:
            store.put(stored(name, number, content))
        else:
            draft = store.draft(stored(name, number), len(content))
            assert draft is not None
            for start, end in pairwise(range(0, len(content) + 1, 50_000)):
                draft.write(content[start:end])
            draft.finish().addCallback(
                lambda kept, name=name: say("kept" if kept else "lost", name)
            )
        say("put", name)
        yield None
    while store.snapshot()["waiting"]:
        yield deferLater(reactor, 0.001)  # type: ignore[arg-type]
    say("idle")


def main(folder: str, limit: str, number: str) -> None:
    from twisted.internet import reactor

    store = DiskStore(Path(folder), int(limit), reactor)
    store.opened = lambda *_: cooperate(store_all(store, int(number), reactor))
    store.start()
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
