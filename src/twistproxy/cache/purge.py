"""What an operator wants forgotten: by URL, prefix, host, tag or pattern, soft or hard.

A purge is plain values, so that it can be sent to other nodes, and looks at keys and tags alone,
so that a store can ask its index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Any, Final, Literal, get_args

import re2  # type: ignore[import-untyped]
from attrs import Factory, field, frozen

from twistproxy.cache.stored import Stored
from twistproxy.garbage import untracked
from twistproxy.http.caching import Freshness
from twistproxy.http.errors import BAD_REQUEST, Problem
from twistproxy.http.fields import Fields
from twistproxy.http.hosts import HostPatterns
from twistproxy.http.uri import Target, absolute, path_prefix

By = Literal["url", "prefix", "host", "tag", "pattern"]
WAYS: Final[tuple[By, ...]] = get_args(By)

#: Tags that one PURGE may name.
TAGS_AT_ONCE: Final = 256

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # it would write to stderr itself
_PORT = re.compile(r":[0-9]*$")
_BETWEEN_TAGS = re.compile(rb"[\t ,]+")


@frozen
class Purge:
    """Which objects are meant, and what happens to them.

    by, value: ``url`` as in cache keys, ``prefix`` what that begins with, ``host`` as in routes,
    ``tag`` one of an object's, ``pattern`` what RE2 finds in the URL. soft: they become stale, and
    are served while nobody has newer ones; else they go.
    Raises ValueError for a value that is none of its kind.
    """

    by: By
    value: str
    soft: bool = False
    _finds: Callable[[str], Any] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _finder(self.by, self.value), takes_self=True),
    )

    def matches(self, url: str, tags: Collection[str]) -> bool:
        """Whether it means an object of that URL and those tags."""
        return self.value in tags if self.by == "tag" else bool(self._finds(url))


def _finder(by: By, value: str) -> Callable[[str], Any]:
    if by == "url":
        return value.__eq__
    if by == "prefix":
        return lambda url: url.startswith(value)
    if by == "host":
        hosts = HostPatterns([value])
        return lambda url: _host(url) in hosts
    if by == "pattern":
        try:
            return re2.compile(value, _OPTIONS).search  # type: ignore[no-any-return]
        except re2.error as error:
            raise ValueError(f"no RE2 pattern: {error}") from None
    if tags_in(value.encode()) != (value,):
        raise ValueError("a tag is one word, without spaces and commas")
    return lambda url: False


def _host(url: str) -> str:
    """Of a URL in a cache key, whose authority is in normal form."""
    authority = url.partition("://")[2].partition("/")[0]
    return _PORT.sub("", authority).strip("[]")


# -- what people and requests mean ---------------------------------------------------------------


def spellings(url: str, ports: Collection[int] = ()) -> tuple[str, ...]:
    """What a URL may be kept under: as it was sent, in normal form, without a port of ours.

    Without its fragment. ports: those we listen on, which the reverse side takes off.
    Raises ValueError for what is no absolute URL of http or https.
    """
    target = _target(url)
    found = [target.received_url, target.url]
    if target.port in ports:
        found.append(target.on_default_port().url)
    return tuple(dict.fromkeys(found))


def _prefixes(url: str, ports: Collection[int]) -> tuple[str, ...]:
    """Likewise; what stands behind the last slash is the beginning of a segment."""
    if "?" in url:
        return spellings(url, ports)
    target = _target(url)
    normal = path_prefix(target.received.decode("utf-8", "surrogateescape"))
    found = [target.received_url, f"{target.scheme}://{target.authority}{normal}"]
    if target.port in ports:
        found.append(f"{target.scheme}://{target.on_default_port().authority}{normal}")
    return tuple(dict.fromkeys(found))


def _target(url: str) -> Target:
    target = absolute(url.strip().partition("#")[0].encode("utf-8", "surrogateescape"))
    if isinstance(target, Problem):
        raise ValueError(f"{url!r} is not a URL such as http://example.org/page")
    return target


def meant(by: By, value: str, soft: bool = False, ports: Collection[int] = ()) -> tuple[Purge, ...]:
    """What a person means: several purges where a URL may be kept in several spellings.

    ports: as for `spellings`. Raises ValueError, whose text is for that person.
    """
    values: tuple[str, ...] = (value,)
    if by == "url":
        values = spellings(value, ports)
    elif by == "prefix":
        values = _prefixes(value, ports)
    return tuple(Purge(by, each, soft) for each in values)


def requested(
    target: Target, fields: Fields, tag_fields: Iterable[bytes]
) -> tuple[Purge, ...] | Problem:
    """What a PURGE of that target means, with these fields.

    The target in all variants, or, where one of `tag_fields` (names in lower case) is there, what
    has one of those tags. ``Fastly-Soft-Purge: 1`` makes it soft.
    """
    soft = fields.get(b"fastly-soft-purge") == b"1"
    tags = tags_of(fields, tag_fields)
    if len(tags) > TAGS_AT_ONCE:
        return BAD_REQUEST.about(why=f"a PURGE names {TAGS_AT_ONCE} tags at most")
    if tags:
        return tuple(Purge("tag", tag, soft) for tag in tags)
    urls = dict.fromkeys((target.received_url, target.url))
    return tuple(Purge("url", url, soft) for url in urls)


# -- tags ----------------------------------------------------------------------------------------


def tags_of(fields: Fields, names: Iterable[bytes]) -> tuple[str, ...]:
    """What an object can be purged by, of the fields of these names (in lower case)."""
    combined = fields.combined
    found = [tag for name in names if name in combined for tag in tags_in(combined[name])]
    return tuple(dict.fromkeys(found)) if found else ()


def tags_in(value: bytes) -> tuple[str, ...]:
    """The words of a field; commas part them in Cache-Tag, spaces in Surrogate-Key and xkey."""
    text = [tag.decode("utf-8", "replace") for tag in _BETWEEN_TAGS.split(value) if tag]
    return tuple(text)


# -- soft ----------------------------------------------------------------------------------------


def outdated(freshness: Freshness, now: float) -> Freshness:
    """As stale as if its lifetime ended now; its age, and what may be done with it when stale,
    are the same."""
    age = freshness.age(now)
    return freshness if age >= freshness.lifetime else freshness._replace(lifetime=age)


def outdate(stored: Stored, now: float) -> None:
    """The same of an object in its place; hits that are under way are not concerned."""
    stored.freshness = untracked(outdated(stored.freshness, now))
    stored.fresh_until = stored._until = -inf
