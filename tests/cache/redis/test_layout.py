"""What lies in Redis comes back as it was, or is nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.cache.purge import WAYS, Purge
from twistproxy.cache.redis import layout
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

KEY = Key("open", "http://example.org/a")
POSITION = (1_700_000_000_000, 7)


def stored(body: bytes = b"body", key: Key = KEY, vary: bytes | None = None) -> Stored:
    variant = () if vary is None else ((b"accept", vary),)
    fields = Fields([(b"Date", b"x"), (b"ETag", b'"1"')])
    return Stored(
        key, variant, 200, b"OK", fields, Freshness(60, 0, 100), 100, body, ("one", "two")
    )


def reply(one: Stored, order: int = 1) -> list[bytes]:
    """As HGETALL gives it."""
    sealed = layout.seal(one, order, POSITION)
    assert sealed is not None
    name = layout.variant_name(one.variant)
    return [
        part
        for mark, field in zip(b"thb", sealed, strict=True)
        for part in (b"%c" % mark + name, field)
    ]


def test_it_comes_back_as_it_was() -> None:
    one = stored()
    (found,) = layout.unseal(reply(one, 255), KEY)
    assert found is not None
    assert found.order == b"00000000000000ff"
    assert found.position == POSITION
    other = found.stored
    for name in (
        "key",
        "variant",
        "status",
        "reason",
        "lines",
        "freshness",
        "made",
        "body",
        "tags",
    ):
        assert getattr(other, name) == getattr(one, name)


def test_variants_stand_side_by_side() -> None:
    both = reply(stored(b"1", vary=b"1")) + reply(stored(b"2", vary=b"2"))
    found = [each.stored.body for each in layout.unseal(both, KEY) if each]
    assert found == [b"1", b"2"]


@given(st.data())
def test_a_damaged_bit_anywhere_makes_it_nothing(data: st.DataObject) -> None:
    fields = reply(stored())
    which = data.draw(st.sampled_from([1, 3, 5]))
    # What it is sorted by is not sealed: Redis has to read it.
    at = data.draw(st.integers(16 if which == 1 else 0, len(fields[which]) - 1))
    damaged = bytearray(fields[which])
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    fields[which] = bytes(damaged)
    assert list(layout.unseal(fields, KEY)) == [None]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_foreign_fields_are_nothing(values: list[bytes]) -> None:
    fields = [
        part for i, value in enumerate(values) for part in (b"%c%d" % (b"thbx"[i % 4], i), value)
    ]
    assert all(each is None for each in layout.unseal(fields, KEY))


NOTHING = {
    "no_hash": (b"text", [None]),
    "no_fields": ([], []),
    "head_missing": (reply(stored())[:2] + reply(stored())[4:], [None]),
    "body_missing": (reply(stored())[:4], [None]),
    "tag_missing": (reply(stored())[2:], []),
    "another_key": (reply(stored(key=Key("pool:x", KEY.url))), [None]),
    "another_variant": (
        [
            part.replace(b"t0", b"t1").replace(b"h0", b"h1").replace(b"b0", b"b1")
            for part in reply(stored())
        ],
        [None],
    ),
    "too_many": (reply(stored()) * (VARIANTS + 1), [None]),
}


@pytest.mark.parametrize(("given", "found"), NOTHING.values(), ids=NOTHING)
def test_what_is_not_ours(given: object, found: list[None]) -> None:
    assert list(layout.unseal(given, KEY)) == found


def test_what_is_too_large_or_in_parts_is_not_sealed() -> None:
    assert layout.seal(stored(bytes(layout.LARGEST)), 1, POSITION)
    assert layout.seal(stored(bytes(layout.LARGEST + 1)), 1, POSITION) is None
    long = stored()
    long.tags = ("x" * 70_000,)
    assert layout.seal(long, 1, POSITION) is None
    long = stored()
    long.lines *= 10_000
    assert layout.seal(long, 1, POSITION) is None
    assert layout.seal(stored(key=Key("open", "\udcff")), 1, POSITION) is None
    part = stored()
    part.body = object()  # type: ignore[assignment]
    assert layout.seal(part, 1, POSITION) is None


def test_names_have_the_url_first_and_differ_by_key() -> None:
    url = "http://example.org/a"
    names = {
        layout.object_name(b"p:", Key(*key))
        for key in (("open", url), ("pool:x", url), ("open", url, "q"))
    }
    assert len(names) == 3
    start = layout.objects(b"p:", url).removesuffix(b"*")
    assert all(name.startswith(start) for name in names)
    assert not layout.object_name(b"p:", Key("open", url + "b")).startswith(start)
    assert all(name.startswith(layout.objects(b"p:").removesuffix(b"*")) for name in names)


def test_tags_of_a_sealed_object() -> None:
    assert layout.tagged(reply(stored())[1]) == (POSITION, KEY.url, ("one", "two"))
    with pytest.raises(ValueError, match="damaged"):
        layout.tagged(b"x" * 40)


def test_an_object_that_is_made_stale_keeps_its_body_and_is_no_longer_fresh() -> None:
    fields = reply(stored())
    fields[3] = layout.outdated(fields[3], 110)
    (found,) = layout.unseal(fields, KEY)
    assert found is not None
    assert found.stored.body == b"body"
    assert not found.stored.freshness.usable(110)
    assert layout.outdated(b"damaged", 110) == b""
    assert layout.outdated(None, 110) == b""


SAID = {
    **{way: Purge(way, "example.org", soft=True) for way in WAYS},
    "no_url": Purge("url", "http://a.example/\udcff"),
    "invalidation_of_no_url": Key("open", "\udcff"),
    "invalidation": Key("pool:x", "http://example.org/", "q"),
    "begun": None,
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_entries_of_the_log(said: Key | Purge | None) -> None:
    fields = list(layout.entry(b"node", said, b"name"))
    assert fields[3] == b"name"  # where the scripts look
    assert layout.entry_of(fields) == (b"node", said)


UNREADABLE = {
    "deleted": None,
    "empty": [],
    "not_packed": [b"n", b"x", b"k", b"", b"w", b"text"],
    "no_pattern": [
        b"n",
        b"x",
        b"k",
        b"",
        b"w",
        layout._encode(layout._Purged("pattern", b"(", False)),
    ],
}


@pytest.mark.parametrize("fields", UNREADABLE.values(), ids=UNREADABLE)
def test_entries_that_cannot_be_read(fields: list[bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any will do
        layout.entry_of(fields)


@given(st.tuples(st.integers(0, 1 << 50), st.integers(0, 1 << 30)))
def test_positions(position: layout.Position) -> None:
    assert layout.position_of(layout.position_text(position)) == position
