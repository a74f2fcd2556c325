"""A list of URLs is fetched, some at a time."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twistproxy.cache.desk import warm
from twistproxy.cache.desk.warm import AT_ONCE, Busy, Warmed, Warmer, urls_in


class Origin:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.waiting: list[Deferred[int]] = []
        self.warmer = Warmer(self.fetch, lambda call: self.clock.callLater(1, call))

    def fetch(self, url: str) -> Deferred[int]:
        self.asked.append(url)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def turns(self, count: int = 2 * AT_ONCE) -> None:
        for _ in range(count):
            self.clock.advance(1)


URLS = [f"http://a.example/{n}" for n in range(20)]


def test_some_at_a_time_in_their_order() -> None:
    origin = Origin()
    done = origin.warmer.warm(URLS)
    origin.turns()
    assert origin.asked == URLS[:AT_ONCE]
    assert origin.warmer.snapshot() == {"running": True, "urls": 20, "done": 0, "failed": 0}
    origin.waiting[3].callback(200)
    origin.turns()
    assert origin.asked == URLS[: AT_ONCE + 1]
    assert origin.warmer.progress().done == 1
    answered = 0
    while not done.called:
        for each in origin.waiting[answered:]:
            if not each.called:
                each.callback(404)
        answered = len(origin.waiting)
        origin.turns()
    assert origin.asked == URLS
    assert done.result == Warmed(20, 20, {200: 1, 404: 19}, 0, ())
    assert not origin.warmer.running


def test_what_is_at_hand_waits_for_nobody_and_holds_up_nobody() -> None:
    clock = Clock()
    warmer = Warmer(lambda url: succeed(200), lambda call: clock.callLater(1, call))
    done = warmer.warm(URLS)
    turns = 0
    while not done.called:
        clock.advance(1)
        turns += 1
        assert warmer.progress().done <= turns  # one a turn
    assert done.result.statuses == {200: 20}


def test_what_fails_is_told() -> None:
    clock = Clock()

    def fetch(url: str) -> Deferred[int]:
        if url == "raises":
            raise ValueError("not a URL")
        return fail(RuntimeError("no server is up"))

    warmer = Warmer(fetch, lambda call: clock.callLater(1, call))
    done = warmer.warm(["raises", "fails"])
    clock.pump([1] * 30)
    assert done.result == Warmed(
        2, 2, {}, 2, (("raises", "not a URL"), ("fails", "no server is up"))
    )
    assert repr(done.result) == (
        "2 of 2 fetched, 2 without an answer\nraises: not a URL\nfails: no server is up"
    )


def test_only_the_first_failures_are_kept() -> None:
    clock = Clock()
    warmer = Warmer(lambda url: fail(OSError("no")), lambda call: clock.callLater(1, call))
    done = warmer.warm(URLS * 5)
    clock.pump([1] * 300)
    assert done.result.failed == 100
    assert len(done.result.failures) == 20
    assert repr(done.result).endswith("\n…")


def test_one_list_at_a_time() -> None:
    origin = Origin()
    origin.warmer.warm(URLS)
    with pytest.raises(Busy, match="0 of 20 fetched"):
        origin.warmer.warm(URLS)


def test_it_can_be_stopped_and_begun_again() -> None:
    origin = Origin()
    done = origin.warmer.warm(URLS)
    origin.turns()
    origin.warmer.stop()
    for each in origin.waiting:
        each.callback(200)
    origin.turns()
    assert done.result == Warmed(20, AT_ONCE, {200: AT_ONCE}, 0, ())
    origin.warmer.warm(URLS[:1])
    origin.turns()
    assert origin.asked[AT_ONCE:] == URLS[:1]
    assert origin.warmer.snapshot() == {"running": True, "urls": 1, "done": 0, "failed": 0}


def test_a_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "URLS", 3)
    with pytest.raises(ValueError, match="4 URLs are too many; 3 may be in a list"):
        Origin().warmer.warm(URLS[:4])


def test_an_empty_list_is_done_soon() -> None:
    origin = Origin()
    done = origin.warmer.warm([])
    origin.turns()
    assert done.result == Warmed(0, 0, {}, 0, ())
    assert repr(done.result) == "0 of 0 fetched"


def test_statuses_are_told() -> None:
    assert repr(Warmed(9, 7, {200: 5, 404: 2}, 0, ())) == "7 of 9 fetched, 5 × 200, 2 × 404"


def test_urls_in_a_text() -> None:
    text = "# list\nhttp://a.example/\n\n  http://a.example/x \r\n#http://a.example/y\n"
    assert urls_in(text) == ["http://a.example/", "http://a.example/x"]
