"""Have we got it? What was answered once and may be answered again, for both proxies.

In:  a key (who answers, which URL), a request, now. Out: `Hit`, `Stale` or `Miss`; and for what
was fetched, a `Writer`. A hit is the stored response itself, whose `head` is prepared and whose
`body` is never copied. What HTTP allows is decided in `http.caching` and its neighbours; here it is
only kept. Knows no sockets but those of its stores, no pools, no policy, no clock.

    cache.py      the room's front: look up, store, refresh, invalidate, purge, count
    stored.py     one stored response: its size in memory, and what a hit sends of it
    slices.py     what is sent of a body in memory: all of it or parts
    writer.py     a body on its way in
    flights.py    many who miss the same make one fetch; broadcast.py: its body for all of them
    purge.py      what a purge means; outdated.py: for what was on its way meanwhile
    refusals.py   why the last answers were not stored; shares.py: hits by side
    stores/       where the bytes lie, and which of them leave when room is needed
    tiers.py      one store behind the other; behind.py: those that the configuration asks for
    record.py     a stored response as bytes, for stores that outlive the process
    disk/ redis/  what those two stores stand on
    desk/         where people ask: why, top, stats, purge, warm

To add a store: one file in `stores/`, which says what a store promises.
"""

from twistproxy.cache.cache import Cache, Hit, Miss, Stale
from twistproxy.cache.stored import Key
from twistproxy.cache.writer import Writer

__all__ = ["Cache", "Hit", "Key", "Miss", "Stale", "Writer"]
