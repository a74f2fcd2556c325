"""One stored response: prepared once, when it comes, so that a hit has little to do.

Its lines are one string, as they go on the wire: a tenth of the memory of `Fields`, which are
made of it again where somebody has to look at them. The head of a hit is that string too, as the
road changes it for the client, with the Age of this second.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf
from typing import NamedTuple, Protocol

from twistproxy.garbage import untracked
from twistproxy.http import conditional
from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.caching import Freshness, Variant
from twistproxy.http.fields import Fields, Line
from twistproxy.http.message import Request, Response
from twistproxy.http.ranges import Parts

# Bytes that CPython 3.11 takes, measured (tests/cache/test_stored.py holds them to it): the object
# with its place in a store, what chose a variant beside names and values, a tag beside its text, a
# body in a file, and a prepared head beside its text, for which there is room for so much more than
# the stored lines.
_OBJECT = 1000
_CHOICE = 225
_TAG = 160
_IN_FILE = 300
_HEAD = 112
_ADDED = 400
# Freshness that ends within this many seconds is looked at closely: sums of floats are rounded.
_NEARLY = 0.001


class Key(NamedTuple):
    """Whose answer to which target; a HEAD is looked up as its GET.

    who: "pool:NAME", or "open" for the internet, so that neither side can poison the other.
    url: the target URI in normal form, without default port. query: of a QUERY, what it asks
    (`caching.query_key`).
    """

    who: str
    url: str
    query: str = ""


class InFile(Protocol):
    """A body that lies in a file, from `offset` on; readable while somebody holds this.

    len() gives its bytes, ``fileno()`` the open file, whose position nobody relies on.
    """

    offset: int

    def __len__(self) -> int: ...
    def fileno(self) -> int: ...


#: Where the content is: in memory, in a file, or some of it in memory.
Body = bytes | InFile | Parts


class Stored:
    """A response in a store, and the answer of a hit.

    Nothing changes but ``uses``, ``body`` once, when it is whole, and the head that is prepared.

    lines: field lines as on the wire, without Age, Content-Length and what belongs to one hop;
    with a Date; `fields` takes them as such, too. made: the Date in seconds since 1970. uses:
    hits, of which the store takes some off when it makes room; it is all that eviction knows of an
    object. body: the content, always the same object. tags: what it can be purged by, besides its
    URL. fresh_until: before that time it answers whoever asks for nothing special. head_size:
    bytes of memory that all but the body takes, a prepared head included.
    """

    __slots__ = (
        "_cut",
        "_flavour",
        "_head",
        "_since",
        "_until",
        "body",
        "fresh_until",
        "freshness",
        "head_size",
        "key",
        "lines",
        "made",
        "reason",
        "status",
        "tags",
        "uses",
        "variant",
    )

    def __init__(
        self,
        key: Key,
        variant: Variant,
        status: int,
        reason: bytes,
        fields: Fields | bytes,
        freshness: Freshness,
        made: float,
        body: Body = b"",
        tags: tuple[str, ...] = (),
    ) -> None:
        self.key = untracked(key)
        self.variant = untracked(tuple([untracked(choice) for choice in variant]))
        self.status = status
        self.reason = reason
        self.lines = fields if isinstance(fields, bytes) else fields.encode()
        self.freshness = untracked(freshness)
        self.made = made
        self.tags = untracked(tags)
        self.uses = 0
        self.fill(body)
        self.head_size = (
            _OBJECT
            + _HEAD
            + _ADDED
            + 2 * (len(key.url) + len(self.lines))
            # The values are usually held by nothing else.
            + sum(_CHOICE + len(name) + len(value or b"") for name, value in variant)
            + sum(_TAG + len(tag) for tag in tags)
        )
        # A head for requests of one flavour: right for `_since <= now < _until`, and up to `_cut`
        # at any time; None: they get none.
        self._flavour: Hashable = None
        self._head: bytes | None = None
        self._cut = 0
        self._since = self._until = -inf
        # A full cache is a million objects, none of which leads back to another.
        untracked(self)

    def fill(self, body: Body) -> None:
        """That is its content. Of what isn't whole only parts may answer: never the short way."""
        fresh = self.freshness
        left = fresh.lifetime - fresh.initial_age
        self.body = body
        self.fresh_until = (
            -inf
            if fresh.validate or left <= _NEARLY or isinstance(body, Parts)
            else fresh.received + left - _NEARLY
        )

    @property
    def fields(self) -> Fields:
        """The lines, to read and to change."""
        lines: list[Line] = []
        for text in self.lines.split(b"\r\n")[:-1]:
            name, _, value = text.partition(b": ")
            lines.append((name.lower(), name, value, text + b"\r\n"))
        return Fields.of(lines)

    @property
    def size(self) -> int:
        """Bytes of memory, not of content: what a store counts."""
        body = self.body
        if isinstance(body, bytes):
            return self.head_size + len(body)
        return self.head_size + (body.size if isinstance(body, Parts) else _IN_FILE)

    @property
    def length(self) -> int:
        """Bytes of the whole content, whether it is all there or not."""
        return self.body.length if isinstance(self.body, Parts) else len(self.body)

    # -- as the answer of a hit --

    def head(
        self, flavour: Hashable, now: float, make: Callable[[Response], bytes | None]
    ) -> bytes | None:
        """The head of a hit on a GET, but for its Connection and the empty line.

        make: gives status line and field lines for requests of that flavour, out of a head that
        it may change, or None if they differ in more; then this is None, too, and `response` is
        the way. It is asked once while requests of one flavour come. Content-Length, Age and
        Cache-Status are added here. flavour: not None; small, of plain values.
        """
        if self._since <= now < self._until and flavour == self._flavour:
            return self._head
        return self._prepare(flavour, now, make)

    def _prepare(
        self, flavour: Hashable, now: float, make: Callable[[Response], bytes | None]
    ) -> bytes | None:
        if self._head is not None and flavour == self._flavour:
            prepared = self._head[: self._cut]
        else:
            lines = make(Response(self.status, self.fields, self.reason))
            self._flavour = flavour
            if lines is None:
                self._head, self._since, self._until = None, -inf, inf
                return None
            prepared = lines
            if self.status != 204:  # RFC 9110 §8.6
                prepared += b"Content-Length: %d\r\n" % self.length
            self._cut = len(prepared)
        age = self.freshness.age(now)
        ours = CacheStatus(hit=True, ttl=self.ttl(now)).encode()
        head = b"%bAge: %d\r\nCache-Status: %b\r\n" % (prepared, age, ours)
        if len(head) <= len(self.lines) + _ADDED:
            self._head, self._since = head, now
            # When the next second of its age begins, or the last of its freshness ends.
            self._until = now + min(1 - age % 1, (self.freshness.lifetime - age) % 1)
        else:  # longer than what is counted for it
            self._head, self._flavour = None, None
            self._until = -inf
        return head

    def response(self, now: float) -> Response:
        """A fresh head to change and send, with its Age now (RFC 9111 §5.1)."""
        fields = self.fields
        fields.add(b"Age", b"%d" % self.freshness.age(now))
        return Response(self.status, fields, self.reason)

    def not_modified(self, request: Request, now: float) -> Response | None:
        """The 304 head that answers the client's own conditions; None if the whole does."""
        asked = request.fields.combined
        if b"if-none-match" not in asked and b"if-modified-since" not in asked:
            return None
        response = self.response(now)
        if not conditional.is_unmodified(request, response, now):
            return None
        return conditional.not_modified(response)

    def ttl(self, now: float) -> int:
        """Seconds of freshness left, for Cache-Status; negative where the client takes stale."""
        return self.freshness.ttl(now)

    def __repr__(self) -> str:
        return f"<Stored {self.status} {self.key.who} {self.key.url} {self.length} bytes>"
