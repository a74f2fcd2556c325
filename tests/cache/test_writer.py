"""writer: a body is stored whole or not at all."""

from __future__ import annotations

from typing import Any

from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.writer import Writer
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import Freshness
from twistproxy.http.message import Request

REQUEST = Request(b"GET", b"/", Fields())


class Draft:
    open = True

    def __init__(self) -> None:
        self.done: list[object] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def finish(self, instead_of: object = ()) -> Any: ...

    def abandon(self) -> None:
        self.done.append("abandon")


class Keeper:
    """With room for so many bytes."""

    def __init__(self, room: int = 10_000, max_object: int = 10_000) -> None:
        self.room = room
        self.max_object = max_object
        self.kept: list[Stored] = []
        self.files = False
        self.drafts: list[Draft] = []
        self.closings = 0

    def reserve(self, writer: Writer, size: int) -> bool:
        if size > self.room:
            return False
        self.room -= size
        writer.held += size
        return True

    def keep(self, stored: Stored, request: Request, requested: float) -> bool:
        self.kept.append(stored)
        return True

    def release(self, writer: Writer) -> None:
        self.room += writer.held
        writer.held = 0

    def draft(self, writer: Writer) -> Draft | None:
        if self.files:
            self.drafts.append(Draft())
            return self.drafts[-1]
        return None

    def keep_draft(self, draft: Any, stored: Stored, request: Request, requested: float) -> bool:
        draft.done.append("finish")
        return True

    def closed(self, writer: Writer) -> None:
        self.closings += 1


def writer(keeper: Keeper, length: int | None = None) -> Writer:
    stored = Stored(Key("open", "x"), (), 200, b"", Fields(), Freshness(60, 0, 0), 0)
    return Writer(keeper, REQUEST, stored, 0, length)


def test_what_is_whole_is_kept() -> None:
    keeper = Keeper()
    one = writer(keeper, 10)
    one.write(b"hello")
    assert one.pieces == [b"hello"]
    one.write(b"world")
    assert one.finish()
    assert [each.body for each in keeper.kept] == [b"helloworld"]
    assert keeper.room == 10_000
    assert not one.open
    assert not one.finish()


def test_what_is_cut_off_too_long_or_too_large_is_not() -> None:
    short, long, large, roomless = Keeper(), Keeper(), Keeper(max_object=9), Keeper(room=50)
    one = writer(short, 10)
    one.write(b"hello")
    assert not one.finish()
    one = writer(long, 5)
    one.write(b"helloworld")
    assert not one.open
    one = writer(large)
    one.write(b"helloworld")
    assert not one.open
    one = writer(roomless)
    one.write(b"helloworld")
    one.write(b"more")
    assert not one.open
    assert not one.pieces
    assert not [keeper.kept for keeper in (short, long, large, roomless) if keeper.kept]
    assert roomless.room == 50


def test_what_memory_has_no_room_for_goes_on_in_a_file() -> None:
    keeper = Keeper(room=200)
    keeper.files = True
    one = writer(keeper, 300)
    one.write(bytes(100))
    assert one.holds_all
    assert keeper.room < 200
    pieces = one.pieces
    one.write(bytes(150))
    assert not one.holds_all
    assert keeper.room == 200
    assert pieces == [bytes(100)], "others may still read those"
    one.write(bytes(50))
    assert one.finish()
    (draft,) = keeper.drafts
    assert draft.done == [bytes(100), bytes(150), bytes(50), "finish"]
    assert keeper.closings == 1


def test_what_is_cut_off_leaves_no_file() -> None:
    keeper = Keeper(room=0)
    keeper.files = True
    for end in ("finish", "abandon"):
        one = writer(keeper, 10)
        one.write(b"hello")
        getattr(one, end)()
        one.abandon()
    assert [draft.done for draft in keeper.drafts] == [[b"hello", "abandon"]] * 2
    assert keeper.closings == 2
