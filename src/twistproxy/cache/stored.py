"""One stored response: prepared once, when it comes, so that a hit has little to do."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, field

from twistproxy.http.caching import Freshness, Variant
from twistproxy.http.fields import Fields

# Bytes that CPython 3.11 takes, measured (tests/cache/test_stored.py holds them to it): the object
# with its place in a store, and a field line beside its name, written twice, and its value.
_OBJECT = 1200
_LINE = 225


class Key(NamedTuple):
    """Whose answer to which target; a HEAD is looked up as its GET.

    who: "pool:NAME", or "open" for the internet, so that neither side can poison the other.
    url: the target URI in normal form, without default port.
    """

    who: str
    url: str


@define(eq=False, repr=False)
class Stored:
    """A response in a store. Nothing changes but ``uses``, and ``body`` once, when it is whole.

    fields: without Age, Content-Length and what belongs to one hop; with a Date.
    made: the Date in seconds since 1970. uses: hits, of which the store takes some off when it
    makes room; it is all that eviction knows of an object.
    """

    key: Key
    variant: Variant
    status: int
    reason: bytes
    fields: Fields
    freshness: Freshness
    made: float
    body: bytes = b""
    uses: int = 0
    head_size: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The variant's values are usually held by nothing else.
        self.head_size = (
            _OBJECT
            + 2 * len(self.key.url)
            + sum(_LINE + 2 * len(name) + len(value) for name, value in self.fields)
            + sum(_LINE + len(name) + len(value or b"") for name, value in self.variant)
        )

    @property
    def size(self) -> int:
        """Bytes of memory, not of content: what a store counts."""
        return self.head_size + len(self.body)

    def __repr__(self) -> str:
        return f"<Stored {self.status} {self.key.who} {self.key.url} {len(self.body)} bytes>"
