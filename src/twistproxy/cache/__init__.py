"""Have we got it? What was answered once and may be answered again, for both proxies.

In:  a key (who answers, which URL), a request, now. Out: `Hit`, `Stale` or `Miss`; and for what
was fetched, a `Writer`. A hit is the stored response itself, whose `head` is prepared and whose
`body` is never copied. What HTTP allows is decided in `http.caching` and `http.conditional`; here
it is only kept. Knows no sockets, no pools, no policy, no clock.

    cache.py    the room's front: look up, store, refresh, invalidate, count
    stored.py   one stored response: its size in memory, and what a hit sends of it
    stores/     where the bytes lie, and which of them leave when room is needed

To add a store: one file in `stores/`, which says what a store promises.
"""

from twistproxy.cache.cache import Cache, Hit, Miss, Stale
from twistproxy.cache.stored import Key
from twistproxy.cache.writer import Writer

__all__ = ["Cache", "Hit", "Key", "Miss", "Stale", "Writer"]
