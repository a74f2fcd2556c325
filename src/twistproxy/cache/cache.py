"""The cache as the road sees it: look up, store, refresh, invalidate.

    lookup ─┬─▶ Hit    answer from it
            ├─▶ Stale  ask the origin with its conditions: 304 ─▶ refresh ─▶ Hit, else as a Miss
            └─▶ Miss   ask the origin; store ─▶ Writer, or None and a `refusal`

All in the calling stack: no Deferred, no clock. Counted is what was decided here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from attrs import define

from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.http import caching, conditional
from twistproxy.http.dates import parse_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.tables import figures

# What a chunk of an unfinished body costs beside its bytes: a bytes object, a place in a list.
_CHUNK = 64
# Keys whose last invalidation is remembered, for what was on its way then.
_REMEMBERED = 1024
_ANYBODY = Request(b"GET", b"", Fields())
# What a request can have that matters here; its other conditions are judged with the answer.
_SPECIAL = frozenset(
    {
        b"cache-control",
        b"content-length",
        b"if-match",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"transfer-encoding",
    }
)
# Without one of these a response is neither fresh nor can it be confirmed.
_REUSED_BY = frozenset({b"cache-control", b"etag", b"expires", b"last-modified"})

#: What answers the request: the stored response itself.
Hit = Stored


@define(eq=False)
class Stale:
    """A stored response that its origin has to confirm, and can.

    reason: for Cache-Status' fwd, "stale", or "request" where the client wants it confirmed.
    conditions: fields that ask for that, never none; `conditional.ask` puts them into a request.
    """

    request: Request
    stored: Stored
    reason: str
    conditions: list[tuple[bytes, bytes]]


class Miss(NamedTuple):
    """Nothing stored can be used.

    reason: for Cache-Status' fwd: "uri-miss", "vary-miss", "method" or "bypass", and as for
    `Stale` where what is stored has no validator. A 304 answers the client's own conditions.
    detail: more about it, a token. only_if_cached: the client wants 504 rather than the origin.
    """

    reason: str
    detail: str | None = None
    only_if_cached: bool = False


_UNKNOWN = Miss("uri-miss")


class Cache:
    """One cache for everything that this process fetches."""

    __slots__ = (
        "_bypassed",
        "_hits",
        "_invalidated",
        "_invalidations",
        "_misses",
        "_revalidated",
        "_stale",
        "_store",
        "_stored",
        "_writers",
        "enabled",
        "max_object",
        "refusal",
    )

    def __init__(self, store: MemoryStore, max_object: int, enabled: bool = True) -> None:
        self.max_object = max_object  #: bytes of a body
        self.enabled = enabled
        #: Why the last `store` gave None, a token for Cache-Status' detail; read it at once.
        self.refusal: str | None = None
        self._store = store
        self._writers: dict[Writer, None] = {}
        self._invalidations: OrderedDict[Key, float] = OrderedDict()
        self._hits = self._misses = self._stale = self._bypassed = 0
        self._stored = self._revalidated = self._invalidated = 0

    def lookup(self, key: Key, request: Request, now: float) -> Hit | Stale | Miss:
        """What is stored under `key` for this request (RFC 9111 §4)."""
        # Nearly every request is a GET that asks for nothing special: what is fresh will do.
        if (
            request.method == b"GET"
            and self.enabled
            and _SPECIAL.isdisjoint(request.fields.combined)
        ):
            variants = self._store.get(key)
            if not variants:
                self._misses += 1
                return _UNKNOWN
            stored: Stored | None = variants[0]
            if len(variants) > 1 or variants[0].variant:
                stored = _chosen(variants, request.fields)
            if stored is not None and now < stored.fresh_until:
                self._hits += 1
                stored.uses += 1
                return stored
        return self._lookup(key, request, now)

    def _lookup(self, key: Key, request: Request, now: float) -> Hit | Stale | Miss:
        """As the RFC has it."""
        fields = request.fields
        asked = caching.request_directives(fields)
        bypass = self._bypass(request)
        if bypass is not None:
            self._bypassed += 1
            return bypass._replace(only_if_cached=asked.only_if_cached)
        variants = self._store.get(key)
        stored = _chosen(variants, fields)
        if stored is None:
            self._misses += 1
            return Miss(
                "vary-miss" if variants else "uri-miss", only_if_cached=asked.only_if_cached
            )
        reason = caching.must_forward(stored.freshness, asked, now)
        if reason is None:
            self._hits += 1
            stored.uses += 1
            return stored
        if asked.only_if_cached:
            self._misses += 1
            return Miss(reason, only_if_cached=True)
        self._stale += 1
        conditions = conditional.conditions(stored.fields)
        return Stale(request, stored, reason, conditions) if conditions else Miss(reason)

    def _bypass(self, request: Request) -> Miss | None:
        """Requests that are not for a cache, or not for this one."""
        if request.method != b"GET" and request.method != b"HEAD":
            return Miss("method")
        if not self.enabled:
            return Miss("bypass", "disabled")
        fields = request.fields
        if b"range" in fields:
            return Miss("bypass", "range")
        if caching.has_content(fields):
            return Miss("bypass", "body")
        if b"if-match" in fields or b"if-unmodified-since" in fields:
            # Only the origin can judge these (RFC 9111 §4.3.2).
            return Miss("bypass", "condition")
        return None

    def store(
        self,
        key: Key,
        request: Request,
        response: Response,
        requested: float,
        received: float,
        length: int | None,
    ) -> Writer | None:
        """Begin to store a response whose head has come; None if it isn't to be: see `refusal`.

        requested, received: when the request went out and the head came in. length: of the body
        in bytes, None where it isn't known.
        """
        if request.method == b"HEAD":
            self._compare(key, request, response)
        self.refusal = refusal = self._refusal(request, response, length)
        if refusal is not None:
            return None
        stored = self._prepare(key, request, response, requested, received)
        if not stored.freshness.usable(received) and not conditional.conditions(stored.fields):
            self.refusal = "no-freshness"
            return None
        writer = Writer(self, request, stored, requested, length)
        if stored.head_size + (length or 0) > self._store.limit or not self._reserve(
            writer, stored.head_size
        ):
            self.refusal = "no-room"
            return None
        self._writers[writer] = None
        return writer

    def _refusal(self, request: Request, response: Response, length: int | None) -> str | None:
        if not self.enabled:
            return "disabled"
        if request.method == b"HEAD":
            return "method"
        if length is not None and length > self.max_object:
            return "too-large"
        refusal = caching.may_store(request, response)
        if refusal is None and _REUSED_BY.isdisjoint(response.fields.combined):
            return "no-freshness"
        return refusal

    def refresh(
        self, stale: Stale, response: Response, requested: float, received: float
    ) -> Hit | None:
        """The stored response as a 304 to its conditions confirms it (RFC 9111 §4.3.4).

        None if the 304 means another one: that is forgotten, ask again without conditions.
        """
        old = stale.stored
        if not conditional.confirms(old.fields, response.fields):
            self._store.remove(old.key)
            return None
        self._revalidated += 1
        # With a Date in any case: the stored one would make it old again.
        news = caching.stored_fields(response.fields, received)
        head = Response(old.status, conditional.updated(old.fields, news), old.reason)
        age = response.fields.get(b"age")
        if age is not None:
            head.fields.add(b"Age", age)
        new = self._prepare(old.key, stale.request, head, requested, received)
        new.body, new.uses = old.body, old.uses + 1
        if old not in self._store.get(old.key):
            return new  # it has left meanwhile, perhaps was invalidated: not back in by this
        if caching.may_store(stale.request, head) is None:
            self._keep(new, stale.request, requested)
        elif caching.may_store(_ANYBODY, head) is not None:
            self._store.remove(old.key)  # no longer for anybody, not just not by this request
        return new

    def invalidate(self, keys: Iterable[Key], now: float) -> int:
        """Forget what an unsafe request has outdated: how many objects.

        What was asked for before `now` and is still on its way isn't stored either.
        """
        gone = 0
        for key in keys:
            gone += self._store.remove(key)
            self._invalidations[key] = now
            self._invalidations.move_to_end(key)
            if len(self._invalidations) > _REMEMBERED:
                self._invalidations.popitem(last=False)
        self._invalidated += gone
        return gone

    def clear(self) -> int:
        """Forget everything, what is on its way too: how many objects."""
        self._abandon_all()
        return self._store.clear()

    def configure(self, memory: int, max_object: int, enabled: bool) -> None:
        """New bounds; what fits them stays."""
        self.max_object = max_object
        self.enabled = enabled
        if self._store.reserved > memory:
            self._abandon_all()
        self._store.resize(memory)

    def snapshot(self) -> dict[str, int]:
        """Figures for the console, metrics and API; sizes in bytes."""
        store = self._store
        return {
            "hits": self._hits,
            "misses": self._misses,
            "stale": self._stale,
            "bypassed": self._bypassed,
            "revalidated": self._revalidated,
            "stored": self._stored,
            "invalidated": self._invalidated,
            "evicted": store.evicted,
            "objects": store.objects,
            "bytes": store.size,
            "limit": store.limit,
            "writing": store.reserved,
        }

    def __repr__(self) -> str:
        return figures(self.snapshot())

    def _prepare(
        self, key: Key, request: Request, response: Response, requested: float, received: float
    ) -> Stored:
        fields = caching.stored_fields(response.fields, received)
        return Stored(
            key,
            caching.variant(request.fields, response.fields),
            response.status,
            response.reason,
            fields,
            caching.freshness(response, requested, received),
            parse_date(fields.get(b"date") or b"", received) or 0,
        )

    def _keep(self, stored: Stored, request: Request, requested: float) -> bool:
        if requested <= self._invalidations.get(stored.key, float("-inf")):
            return False
        # What this request would have been answered with until now, under any Vary.
        superseded = [
            old
            for old in self._store.get(stored.key)
            if caching.selects(request.fields, old.variant)
        ]
        kept = self._store.put(stored, superseded)
        self._stored += kept
        return kept

    def _compare(self, key: Key, request: Request, response: Response) -> None:
        """A HEAD's answer shows whether what we store is outdated (RFC 9111 §4.3.5)."""
        old = _chosen(self._store.get(key), request.fields)
        if old is None or response.status != 200:
            return
        if old.status != 200 or not conditional.same_head(
            old.fields, len(old.body), response.fields
        ):
            self._invalidated += self._store.remove(key)

    def _reserve(self, writer: Writer, size: int) -> bool:
        # Bodies on their way take a half of the room at most, so that a stampede of large ones
        # can't flush what is asked for again; one alone may take all.
        store = self._store
        others = store.reserved - writer.held
        if others and store.reserved + size > store.limit // 2:
            return False
        if not store.reserve(size):
            return False
        writer.held += size
        return True

    def _close(self, writer: Writer) -> None:
        self._writers.pop(writer, None)
        self._store.release(writer.held)
        writer.held = 0

    def _abandon_all(self) -> None:
        for writer in list(self._writers):
            writer.abandon()


class Writer:
    """Takes a body that is being stored. What it holds counts against the store's limit.

    open: whether it still takes bytes. It closes itself without a word when the object grows too
    large, differs from the length it was to have, or finds no room; the reply is not concerned.
    Whoever has one calls `finish` or `abandon` in the end.
    """

    __slots__ = (
        "_cache",
        "_chunks",
        "_length",
        "_request",
        "_requested",
        "_size",
        "_stored",
        "held",
        "open",
    )

    def __init__(
        self, cache: Cache, request: Request, stored: Stored, requested: float, length: int | None
    ) -> None:
        self.open = True
        self.held = 0  # bytes reserved in the store
        self._cache = cache
        self._request = request
        self._stored = stored
        self._requested = requested
        self._length = length
        self._size = 0
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Some more of the body; nothing if closed."""
        if not self.open:
            return
        self._size += len(data)
        most = self._cache.max_object if self._length is None else self._length
        if self._size > most or not self._cache._reserve(self, len(data) + _CHUNK):
            self.abandon()
        else:
            self._chunks.append(data)

    def finish(self) -> bool:
        """The body is whole: whether it is stored now."""
        if not self.open:
            return False
        whole = self._length is None or self._size == self._length
        if whole:
            self._stored.body = b"".join(self._chunks)
        self.abandon()
        return whole and self._cache._keep(self._stored, self._request, self._requested)

    def abandon(self) -> None:
        """Forget it: the body was cut off, or isn't wanted any more."""
        if self.open:
            self.open = False
            self._chunks.clear()
            self._cache._close(self)


def _chosen(variants: tuple[Stored, ...], request: Fields) -> Stored | None:
    """The variant for a request: with a Vary rather than without, then the youngest (§4.1)."""
    best = None
    for each in variants:
        if not each.variant:
            if best is None or (not best.variant and each.made > best.made):
                best = each
        elif caching.selects(request, each.variant) and (
            best is None or not best.variant or each.made > best.made
        ):
            best = each
    return best
