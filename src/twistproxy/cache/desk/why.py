"""What the cache knows of one URL, and by which clause it did what it did: for people.

Plain values, whose repr is a text to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from twistproxy.cache.refusals import Refusal
from twistproxy.cache.stored import Key, Stored
from twistproxy.config import model
from twistproxy.http.caching import CLAUSES, Clause, lifetime_of, stale_forbidden
from twistproxy.http.directives import response_directives
from twistproxy.http.message import Response
from twistproxy.http.ranges import Parts

#: What the cache says of itself, beside `CLAUSES`.
OURS: Final = {
    "disabled": Clause("", "cache.enabled is false."),
    "too-large": Clause("", "Its body is larger than cache.max_object."),
    "no-room": Clause("", "What is on its way into the cache takes all of cache.memory."),
}

# Request fields whose values are secrets.
_SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


@frozen
class Copy:
    """One stored response.

    where: the stores that have it. chosen_by: the request fields of its Vary and their values,
    None for an absent one, "…" for a secret. size: bytes of content that are there, of so many in
    all (length). hits: of late, since what makes room forgets old ones. basis: what its lifetime
    is from, a token of `CLAUSES`. soft_purged: whether it was made stale before that was over.
    ttl, age: seconds now; a negative ttl: stale for so long. validate: never reused without the
    origin's word. stale_for: seconds of staleness for which it may be served, by the token of what
    allows that; none where `never_stale` names the directive that forbids it.
    """

    key: Key
    where: tuple[str, ...]
    status: int
    chosen_by: dict[str, str | None]
    size: int
    length: int
    hits: int
    basis: str
    soft_purged: bool
    lifetime: float
    ttl: int
    age: int
    validate: bool
    never_stale: str | None
    stale_for: dict[str, float]
    tags: tuple[str, ...]


@frozen(repr=False)
class Why:
    """All that is known of a URL. refusals: answers that were not stored, the last first.
    now: when it was asked, seconds since 1970.
    """

    url: str
    copies: tuple[Copy, ...]
    refusals: tuple[Refusal, ...]
    now: float

    def __repr__(self) -> str:
        lines = [f"{self.url}: {'stored' if self.copies else 'not stored'}"]
        for copy in self.copies:
            lines += ["", *_told(copy)]
        if self.refusals:
            lines.append("")
        for key, token, when in self.refusals:
            lines.append(f"not stored {_span(self.now - when)} ago, from {_who(key)}:")
            lines.append(f"  {_clause(token)}")
        if not self.copies and not self.refusals:
            lines.append("Nobody asked for it lately, or it has left to make room.")
        return "\n".join(lines)


def why(
    url: str,
    found: Iterable[tuple[str, Iterable[Stored]]],
    refusals: Iterable[Refusal],
    terms: model.Cache,
    now: float,
) -> Why:
    """An account of a URL. found: what is stored for it, by the name of the store."""
    where: dict[tuple[object, ...], list[str]] = {}
    first: dict[tuple[object, ...], Stored] = {}
    for name, objects in found:
        for stored in objects:
            same = (stored.key, stored.variant)
            first.setdefault(same, stored)
            names = where.setdefault(same, [])
            if name not in names:
                names.append(name)
    copies = tuple(_copy(stored, tuple(where[same]), terms, now) for same, stored in first.items())
    last = sorted(refusals, key=lambda refusal: refusal.when, reverse=True)
    return Why(url, copies, tuple(last), now)


def _copy(stored: Stored, where: tuple[str, ...], terms: model.Cache, now: float) -> Copy:
    fields, fresh = stored.fields, stored.freshness
    basis, lifetime = lifetime_of(
        Response(stored.status, fields),
        fresh.received,
        terms.heuristic_max,
        terms.negative_ttl,
    )
    never = stale_forbidden(response_directives(fields))
    allowed: dict[str, float] = {}
    if never is None:
        if fresh.stale_while_revalidate:
            allowed["stale-while-revalidate"] = fresh.stale_while_revalidate
        if fresh.stale_if_error is not None:
            allowed["stale-if-error"] = fresh.stale_if_error
        elif terms.grace:
            allowed["grace"] = terms.grace
    return Copy(
        key=stored.key,
        where=where,
        status=stored.status,
        chosen_by={name.decode("latin-1"): _shown(name, value) for name, value in stored.variant},
        size=held(stored),
        length=body.length if isinstance(body := stored.body, Parts) else len(body),
        hits=stored.uses,
        basis=basis,
        soft_purged=fresh.lifetime < lifetime,
        lifetime=fresh.lifetime,
        ttl=fresh.ttl(now),
        age=int(fresh.age(now)),
        validate=fresh.validate,
        never_stale=never,
        stale_for=allowed,
        tags=stored.tags,
    )


def held(stored: Stored) -> int:
    """Bytes of content that are there."""
    body = stored.body
    return body.size if isinstance(body, Parts) else len(body)


def _shown(name: bytes, value: bytes | None) -> str | None:
    if value is not None and name in _SECRET:
        return "…"
    return None if value is None else value.decode("latin-1")


def _told(copy: Copy) -> list[str]:
    size = f"{copy.size}" if copy.size == copy.length else f"{copy.size} of {copy.length}"
    lines = [
        f"from {_who(copy.key)}",
        f"  stored      {copy.status}, {size} bytes, in {', '.join(copy.where)}",
    ]
    for name, value in copy.chosen_by.items():
        shown = "absent" if value is None else value
        lines.append(f"  chosen by   {name}: {shown} (RFC 9111 §4.1)")
    lines.append(f"  lifetime    {copy.lifetime:.0f} s: {_clause(copy.basis)}")
    if copy.soft_purged:
        lines.append("              A soft purge has ended that.")
    lines.append(f"  age         {copy.age} s")
    if copy.validate:
        lines.append(f"  fresh       no: {_clause('no-cache')}")
    elif copy.ttl > 0:
        lines.append(f"  fresh       for {copy.ttl} s more")
    else:
        lines.append(f"  fresh       no, stale for {-copy.ttl} s (RFC 9111 §4.2)")
    if copy.never_stale is not None:
        lines.append(f"  stale       never served: {_clause(copy.never_stale)}")
    for token, seconds in copy.stale_for.items():
        lines.append(f"  stale       up to {seconds:.0f} s: {_clause(token)}")
    if copy.tags:
        lines.append(f"  tags        {' '.join(copy.tags)}")
    lines.append(f"  hits        {copy.hits} of late")
    return lines


def _who(key: Key) -> str:
    asked = f" (QUERY {key.query[:16]})" if key.query else ""
    return f"{key.who}, {key.url}{asked}"


def _clause(token: str) -> str:
    section, text = CLAUSES.get(token) or OURS.get(token) or Clause("", token)
    return f"{text} ({section})" if section else text


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
