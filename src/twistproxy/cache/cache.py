"""The cache as the road sees it: look up, store, refresh, invalidate.

    lookup ─┬─▶ Hit    answer from it
            ├─▶ Stale  ask the origin with its conditions: 304 ─▶ refresh ─▶ Hit, else as a Miss
            └─▶ Miss   bring, and look up again; or ask the origin: store ─▶ Writer, or None and a
                       `refusal`

What memory knows is said in the calling stack: no Deferred, no clock. Counted is what was decided
here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final, NamedTuple

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.cache.flights import Flights
from twistproxy.cache.outdated import Outdated
from twistproxy.cache.purge import Purge, tags_of
from twistproxy.cache.refusals import Refusals
from twistproxy.cache.shares import SIDES, Share
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import Draft, Store
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.cache.tiers import Tiers
from twistproxy.cache.writer import Writer
from twistproxy.config import model
from twistproxy.http import caching, conditional
from twistproxy.http.dates import parse_date
from twistproxy.http.directives import TARGETED, RequestDirectives, request_directives
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import freshness, must_forward, stale_while_revalidate
from twistproxy.http.message import Request, Response
from twistproxy.http.ranges import Parts, received_part, requested, same_strongly
from twistproxy.http.variants import selects, variant
from twistproxy.tables import figures

# What would take more than such a part of memory goes straight to a file, where there are files.
_LARGE: Final = 8
_ANYBODY = Request(b"GET", b"", Fields())
# With one of these a request gets what is its own; other conditions are judged with the answer.
_SPECIAL = frozenset(
    {
        b"authorization",
        b"cache-control",
        b"content-length",
        b"expect",
        b"if-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"transfer-encoding",
    }
)
# Without one of these a response is neither fresh nor can it be confirmed.
_REUSED_BY = frozenset({b"cache-control", b"etag", b"expires", b"last-modified", *TARGETED})

# Answers that speak for everybody, and of those the refusals that aren't of one client's making.
_SUPERSEDING: Final = frozenset({200, 301, 308, 404, 410})
_SAID_BY_THE_RESPONSE: Final = frozenset(
    {"must-understand", "no-freshness", "no-store", "not-heuristic", "private", "set-cookie"}
)

_log = Logger()

#: What answers the request: the stored response itself.
Hit = Stored


@define(eq=False)
class Stale:
    """A stored response that can't answer unasked.

    reason: for Cache-Status' fwd, "stale", or "request" where the client wants it confirmed.
    conditions: fields that ask its origin for that, `conditional.ask` puts them into a request;
    none if it has no validator. asked: by the client. at_once: it may be served while that is
    under way. shared: what is fetched in its place may be for others, too.
    """

    request: Request
    stored: Stored
    reason: str
    conditions: list[tuple[bytes, bytes]]
    asked: RequestDirectives
    at_once: bool
    shared: bool


class Miss(NamedTuple):
    """Nothing stored can be used.

    reason: for Cache-Status' fwd: "uri-miss", "vary-miss", "method" or "bypass", and as for
    `Stale` where what is stored has no validator. A 304 answers the client's own conditions.
    detail: more about it, a token. only_if_cached: the client wants 504 rather than the origin.
    shared: as for `Stale`.
    """

    reason: str
    detail: str | None = None
    only_if_cached: bool = False
    shared: bool = False


_UNKNOWN = Miss("uri-miss", shared=True)
_OTHERS = Miss("vary-miss", shared=True)


class Cache:
    """One cache for everything that this process fetches."""

    __slots__ = (
        "_bypassed",
        "_hits",
        "_invalidated",
        "_memory",
        "_misses",
        "_outdated",
        "_purged",
        "_revalidated",
        "_stale",
        "_stored",
        "_tag_fields",
        "_writers",
        "collapse",
        "enabled",
        "flights",
        "grace",
        "max_object",
        "refusal",
        "refusals",
        "shares",
        "terms",
        "tiers",
    )

    def __init__(
        self, memory: MemoryStore, terms: model.Cache, behind: Mapping[str, Store] | None = None
    ) -> None:
        #: Why the last `store` gave None, a token for Cache-Status' detail; read it at once.
        self.refusal: str | None = None
        self.refusals = Refusals()
        self.flights = Flights()
        self.shares = {side: Share() for side in SIDES}
        self._memory = memory
        self._outdated = Outdated()
        self.tiers = Tiers(memory, behind or {}, self._outdated)
        self._writers: dict[Writer, None] = {}
        self._hits = self._misses = self._stale = self._bypassed = 0
        self._stored = self._revalidated = self._invalidated = self._purged = 0
        self._use(terms)

    def _use(self, terms: model.Cache) -> None:
        self.terms = terms
        self._tag_fields = tuple(name.lower().encode() for name in terms.tag_fields)
        self.enabled = terms.enabled
        self.collapse: bool = terms.collapse
        self.grace: float = terms.grace
        self.max_object: int = terms.max_object  #: bytes of a body

    def lookup(self, key: Key, request: Request, now: float) -> Hit | Stale | Miss:
        """What is stored under `key` for this request (RFC 9111 §4)."""
        # Nearly every request is a GET that asks for nothing special: what is fresh will do.
        if (
            request.method == b"GET"
            and self.enabled
            and _SPECIAL.isdisjoint(request.fields.combined)
        ):
            variants = self._memory.get(key)
            if not variants:
                self._misses += 1
                return _UNKNOWN
            stored: Stored | None = variants[0]
            if len(variants) > 1 or variants[0].variant:
                stored = _chosen(variants, request.fields)
            if stored is None:
                self._misses += 1
                return _OTHERS
            if now < stored.fresh_until:
                self._hits += 1
                stored.uses += 1
                return stored
            return self._lookup(key, request, now, True)
        return self._lookup(key, request, now, False)

    def _lookup(self, key: Key, request: Request, now: float, shared: bool) -> Hit | Stale | Miss:
        """As the RFC has it."""
        fields = request.fields
        asked = request_directives(fields)
        bypass = self._bypass(key, request)
        if bypass is not None:
            self._bypassed += 1
            return bypass._replace(only_if_cached=asked.only_if_cached)
        variants = self._memory.get(key)
        stored = _chosen(variants, fields)
        if stored is None:
            self._misses += 1
            return Miss("vary-miss" if variants else "uri-miss", None, asked.only_if_cached)
        reason, body = must_forward(stored.freshness, asked, now), stored.body
        if isinstance(body, Parts) and (reason or not _covers(stored, body, request, now)):
            self._misses += 1
            return Miss("partial", None, asked.only_if_cached, shared)
        if reason is None:
            self._hits += 1
            stored.uses += 1
            return stored
        if asked.only_if_cached:
            self._misses += 1
            return Miss(reason, None, asked.only_if_cached)
        self._stale += 1
        return Stale(
            request,
            stored,
            reason,
            conditional.conditions(stored.fields),
            asked,
            reason == "stale" and stale_while_revalidate(stored.freshness, asked, now),
            shared,
        )

    def _bypass(self, key: Key, request: Request) -> Miss | None:
        """Requests that are not for a cache, or not for this one."""
        if request.method not in (b"GET", b"HEAD") and not key.query:
            return Miss("method")
        if not self.enabled:
            return Miss("bypass", "disabled")
        fields = request.fields
        if caching.has_content(fields) and not key.query:
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
        written: Container[bytes] | None = None,
        authorized: bool = False,
    ) -> Writer | None:
        """Begin to store a response whose head has come; None if it isn't to be: see `refusal`.

        requested, received: when the request went out and the head came in. length: of the body
        in bytes, None where it isn't known. written: names of request fields that nobody writes
        but we. authorized: on its way the request was given credentials.
        """
        if request.method == b"HEAD":
            self._compare(key, request, response, requested, received, written)
        refusal = self._refusal(key, request, response, length, written, authorized)
        if refusal is None:
            stored = self._prepare(key, request, response, requested, received)
            writer = self._open(stored, request, response, requested, received, length)
            if isinstance(writer, Writer):
                self.refusal = None
                return writer
            refusal = writer
        self.refusal = refusal
        if refusal != "method":  # of which nobody wonders
            self.refusals.note(key, refusal, received)
        return None

    def _open(
        self,
        stored: Stored,
        request: Request,
        response: Response,
        requested: float,
        received: float,
        length: int | None,
    ) -> Writer | str:
        """A writer for the body; a token where there can't be one."""
        if not _reusable(stored, received):
            return "no-freshness"
        if response.status == 206:
            part = received_part(response, length)
            if part is None or part.span is None or part.length is None:
                return "partial"
            stored.fill(Parts(part.length, ((part.span.start, b""),)))
            length = part.span.size
        writer = Writer(self, request, stored, requested, length)
        size, limit = stored.head_size + (length or 0), self._memory.limit
        # What is held in memory meanwhile, others can read along; a few large ones would fill it.
        if not (
            (size > limit // _LARGE and writer.to_file())
            or (size <= limit and self.reserve(writer, stored.head_size))
            or writer.to_file()
        ):
            return "no-room"
        self._writers[writer] = None
        return writer

    def _refusal(
        self,
        key: Key,
        request: Request,
        response: Response,
        length: int | None,
        written: Container[bytes] | None,
        authorized: bool,
    ) -> str | None:
        if not self.enabled:
            return "disabled"
        if request.method == b"HEAD" or (request.method == b"QUERY" and not key.query):
            return "method"  # its key is the GET's
        if length is not None and length > self.max_object:
            return "too-large"
        negative_ttl = self.terms.negative_ttl
        refusal = caching.may_store(
            request,
            response,
            negative_ttl=negative_ttl,
            authorized=authorized,
            written=written,
            parts=True,
        )
        if (
            refusal is None
            and _REUSED_BY.isdisjoint(response.fields.combined)
            and not (negative_ttl and response.status >= 400)
        ):
            return "no-freshness"
        return refusal

    def supersede(self, stale: Stored, response: Response) -> None:
        """Forget what is stale, since the answer that was given in its place says of itself that
        it isn't for a cache; see `refusal`."""
        if response.status in _SUPERSEDING and self.refusal in _SAID_BY_THE_RESPONSE:
            self.tiers.remove(stale.key)

    def refresh(
        self,
        stale: Stale,
        response: Response,
        requested: float,
        received: float,
        written: Container[bytes] | None = None,
    ) -> Hit | None:
        """The stored response as a 304 to its conditions confirms it (RFC 9111 §4.3.4).

        None if the 304 means another one: that is forgotten, ask again without conditions.
        """
        old = stale.stored
        if not conditional.confirms(old.fields, response.fields):
            self.tiers.remove(old.key)
            return None
        self._revalidated += 1
        new = self._renew(old, stale.request, response, requested, received, written)
        new.uses += 1
        return new

    def _renew(
        self,
        old: Stored,
        request: Request,
        response: Response,
        requested: float,
        received: float,
        written: Container[bytes] | None,
    ) -> Stored:
        """The same content under a head with the news of another one (RFC 9111 §3.2)."""
        # With a Date in any case: the stored one would make it old again.
        news = caching.stored_fields(response.fields, received)
        head = Response(old.status, conditional.updated(old.fields, news), old.reason)
        age = response.fields.get(b"age")
        if age is not None:
            head.fields.add(b"Age", age)
        new = self._prepare(old.key, request, head, requested, received)
        new.fill(old.body)
        new.uses = old.uses
        if old not in self._memory.get(old.key):
            return new  # it has left meanwhile, perhaps was invalidated: not back in by this
        negative_ttl = self.terms.negative_ttl
        refusal = caching.may_store(request, head, negative_ttl=negative_ttl, written=written)
        if refusal is None:
            self.keep(new, request, requested)
        elif caching.may_store(_ANYBODY, head, negative_ttl=negative_ttl) is not None:
            self.tiers.remove(old.key)  # no longer for anybody, not just not by this request
        return new

    def invalidate(self, keys: Iterable[Key], now: float) -> int:
        """Forget what an unsafe request has outdated: how many objects.

        What was asked for before `now` and is still on its way isn't stored either.
        """
        gone = 0
        for key in keys:
            gone += self.tiers.remove(key)
            for query in self._memory.keys(key.url):
                if query.who == key.who:
                    gone += self._memory.remove(query)
            self._outdated.key(key, now)
            self.flights.close([key])
        self._invalidated += gone
        return gone

    def bring(self, key: Key, now: float) -> Deferred[None] | None:
        """Have in memory what other stores hold of a key that memory lacks; then look up again.

        None if there is nothing to wait for.
        """
        return self.tiers.bring(key, now) if self.enabled and self.tiers.behind else None

    def purge(self, purge: Purge, now: float) -> Deferred[dict[str, int]]:
        """Forget what it matches, or make it stale: how many objects each store had of them.

        What was asked for before `now` and is still on its way isn't stored either.
        """
        self._note(purge, now)
        return self.tiers.purge(purge, now).addCallback(self._count_purged)

    def heard(self, what: Purge | Key, teller: str, now: float) -> None:
        """Another node has purged or invalidated something; teller: the store that both share."""
        if isinstance(what, Purge):
            self._note(what, now)
            self.tiers.purge(what, now, but=teller)
        else:
            self._outdated.key(what, now)
            self.flights.close([what])
            self.tiers.remove(what, but=teller)

    def _note(self, purge: Purge, now: float) -> None:
        self._outdated.purge(purge, now)
        # Which tags they will have is not known yet.
        self.flights.close(
            key
            for key in self.flights.under_way()
            if purge.by == "tag" or purge.matches(key.url, ())
        )

    def has(self, stored: Stored) -> bool:
        """Whether it is still there: not outdated, purged or replaced."""
        return stored in self._memory.get(stored.key)

    def _count_purged(self, counts: dict[str, int]) -> dict[str, int]:
        self._purged += sum(counts.values())
        return counts

    def clear(self) -> Deferred[dict[str, int]]:
        """Forget everything, what is on its way too: how many objects each store had."""
        self._abandon_all()
        return self.tiers.clear()

    def lost(self, stored: Stored, why: str) -> None:
        """Its body can't be read any more: forget it."""
        _log.warn("{stored} is lost: {why}", stored=stored, why=why)
        self.tiers.remove(stored.key)

    def configure(self, terms: model.Cache) -> None:
        """New bounds; what fits them stays."""
        self._use(terms)
        if self._memory.reserved > terms.memory:
            self._abandon_all()
        self._memory.resize(terms.memory)

    def close(self) -> None:
        """Memory is told, too; who waits for a count gets what there is of it."""
        self._memory.close()

    def snapshot(self) -> dict[str, Any]:
        """Figures for the console, metrics and API; sizes in bytes."""
        memory = self._memory
        return {
            "hits": self._hits,
            "misses": self._misses,
            "stale": self._stale,
            "bypassed": self._bypassed,
            "revalidated": self._revalidated,
            "stored": self._stored,
            "invalidated": self._invalidated,
            "evicted": memory.evicted,
            "objects": memory.objects,
            "bytes": memory.size,
            "limit": memory.limit,
            "writing": memory.reserved,
            "purged": self._purged,
            "collapsed": self.flights.joined,
            "flights": len(self.flights),
            **{
                name: {**store.snapshot(), "brought": self.tiers.brought[name]}
                for name, store in self.tiers.behind.items()
            },
        }

    def __repr__(self) -> str:
        return figures(self.snapshot())

    def _prepare(
        self, key: Key, request: Request, response: Response, requested: float, received: float
    ) -> Stored:
        terms, part = self.terms, response.status == 206
        fields = caching.stored_fields(response.fields, received, part)
        return Stored(
            key,
            variant(request.fields, response.fields),
            200 if part else response.status,
            b"OK" if part else response.reason,
            fields,
            freshness(response, requested, received, terms.heuristic_max, terms.negative_ttl),
            parse_date(fields.get(b"date") or b"", received) or 0,
            tags=tags_of(response.fields, self._tag_fields),
        )

    def keep(self, stored: Stored, request: Request, requested: float) -> bool:
        if self._outdated(stored, requested):
            return False
        # What this request would have been answered with until now, under any Vary.
        superseded = [
            old for old in self._memory.get(stored.key) if selects(request.fields, old.variant)
        ]
        if isinstance(stored.body, Parts):
            kept = self._keep_part(stored, stored.body, superseded, request)
        else:
            kept = self.tiers.put(stored, superseded)
        self._stored += kept
        return kept

    def _keep_part(
        self, stored: Stored, body: Parts, superseded: list[Stored], request: Request
    ) -> bool:
        """Together with what we have of it; in memory only, until it is whole (RFC 9111 §3.4)."""
        now = stored.freshness.received
        for old in superseded:
            if not same_strongly(old.fields, stored.fields, now):
                continue
            if not isinstance(old.body, Parts):
                return False
            if old.body.length == body.length:
                stored = self._merged(old, old.body, stored, body, request) or stored
        if isinstance(stored.body, Parts) and (whole := stored.body.whole()) is not None:
            stored.fill(whole)
            return self.tiers.put(stored, superseded)
        return self._memory.put(stored, superseded)

    def _merged(
        self, old: Stored, ours: Parts, new: Stored, news: Parts, request: Request
    ) -> Stored | None:
        """Both under the fields of both, which together say what may be done with it.

        None if that is to be kept from others: then only the new part is left.
        """
        terms, was = self.terms, new.freshness
        fields = conditional.updated(old.fields, new.fields)
        head = Response(new.status, fields, new.reason)
        if caching.may_store(request, head, negative_ttl=terms.negative_ttl) is not None:
            return None
        fresh = freshness(
            head, was.received, was.received, terms.heuristic_max, terms.negative_ttl
        )._replace(initial_age=was.initial_age)
        return Stored(
            new.key,
            variant(request.fields, fields),
            new.status,
            new.reason,
            fields,
            fresh,
            new.made,
            _together(ours, news),
            tags_of(fields, self._tag_fields),
        )

    def _compare(
        self,
        key: Key,
        request: Request,
        response: Response,
        requested: float,
        received: float,
        written: Container[bytes] | None,
    ) -> None:
        """A HEAD's answer shows whether what we store is outdated, or still right (§4.3.5)."""
        old = _chosen(self._memory.get(key), request.fields)
        if old is None or response.status != 200:
            return
        if old.status != 200 or not conditional.same_head(old.fields, old.length, response.fields):
            self._invalidated += self.tiers.remove(key)
        else:
            self._renew(old, request, response, requested, received, written)

    def reserve(self, writer: Writer, size: int) -> bool:
        # Bodies on their way take a half of the room at most, so that a stampede of large ones
        # can't flush what is asked for again; one alone may take all.
        store = self._memory
        others = store.reserved - writer.held
        if others and store.reserved + size > store.limit // 2:
            return False
        if not store.reserve(size):
            return False
        writer.held += size
        return True

    def release(self, writer: Writer) -> None:
        self._memory.release(writer.held)
        writer.held = 0

    def draft(self, writer: Writer) -> Draft | None:
        files = self.tiers.files
        return None if files is None else files.draft(writer.stored, writer.length)

    def keep_draft(self, draft: Draft, stored: Stored, request: Request, requested: float) -> bool:
        if not draft.open or self._outdated(stored, requested):
            draft.abandon()
            return False
        self._stored += 1
        old = self._memory.get(stored.key)
        superseded = [each for each in old if selects(request.fields, each.variant)]
        self._memory.remove(stored.key)  # until it is asked for, and brought as a file
        draft.finish(superseded)
        for store in self.tiers.behind.values():
            if store is not self.tiers.files:
                store.remove(stored.key)  # which keeps nothing of this size
        return True

    def closed(self, writer: Writer) -> None:
        self._writers.pop(writer, None)

    def _abandon_all(self) -> None:
        for writer in list(self._writers):
            writer.abandon()


def _covers(stored: Stored, body: Parts, request: Request, now: float) -> bool:
    """Whether we have all that the request asks for of what isn't whole."""
    whole = Response(stored.status, stored.fields)
    wanted = requested(request, whole, body.length, now)
    return bool(wanted) and not any(map(body.missing, wanted or ()))


def _together(ours: Parts, news: Parts) -> Parts:
    both: Parts | None = ours
    for span in news.spans:
        if both is not None:
            both = both.with_part(span.start, news.get(span) or b"")
    return news if both is None else both


def _reusable(stored: Stored, now: float) -> bool:
    """Whether it can ever answer anybody: fresh, confirmed, or stale in a time of need."""
    fresh = stored.freshness
    return (
        fresh.usable(now)
        or bool(conditional.conditions(stored.fields))
        or bool(fresh.stale_while_revalidate or fresh.stale_if_error)
    )


def _chosen(variants: tuple[Stored, ...], request: Fields) -> Stored | None:
    """The variant for a request: with a Vary rather than without, then the youngest (§4.1)."""
    best = None
    for each in variants:
        if not each.variant:
            if best is None or (not best.variant and each.made > best.made):
                best = each
        elif selects(request, each.variant) and (
            best is None or not best.variant or each.made > best.made
        ):
            best = each
    return best
