"""A Redis that several nodes share: objects, purges, and what happens when it is not there.

It is real; but time is the test's, and nothing comes in but when the test lets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cycles import no_cycles
from redis_nodes import Fleet, Node
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS
from twistproxy.cache.stores import redis as redis_store
from twistproxy.cache.stores.redis import EVERYTHING, LONGEST
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

A = "http://example.org/a"
KEY = Key("open", A)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    yield fleet
    fleet.close()


@pytest.fixture
def node(fleet: Fleet) -> Node:
    return fleet.node()


def make(
    node: Node,
    url: str = A,
    body: bytes = b"body",
    vary: bytes | None = None,
    tags: tuple[str, ...] = (),
    who: str = "open",
    lifetime: float = 60.0,
    fields: tuple[tuple[bytes, bytes], ...] = (),
    **fresh: float,
) -> Stored:
    now = node.fleet.clock.seconds()
    variant = () if vary is None else ((b"accept", vary),)
    freshness = Freshness(lifetime, 0.0, now, **fresh)  # type: ignore[arg-type]
    return Stored(Key(who, url), variant, 200, b"OK", Fields(fields), freshness, now, body, tags)


def bodies(found: tuple[Stored, ...]) -> list[object]:
    return [each.body for each in found]


def figure(node: Node, name: str) -> object:
    return node.store.snapshot()[name]


# -- objects -------------------------------------------------------------------------------------


def test_what_one_node_puts_the_other_gets(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    original = make(one, body=bytes(range(256)), tags=("t",), fields=((b"ETag", b'"1"'),))
    assert other.get(A) == ()
    assert one.put(original)
    (found,) = other.get(A)
    for name in ("key", "status", "reason", "lines", "freshness", "made", "body", "tags"):
        assert getattr(found, name) == getattr(original, name)
    assert other.get(A, who="pool:x") == ()
    assert (figure(other, "hits"), figure(other, "misses")) == (1, 2)
    assert figure(other, "bytes_read") == 256


def test_of_three_variants_two_are_replaced(node: Node) -> None:
    one, two, three = (make(node, vary=b"%d" % i, body=b"%d" % i) for i in range(3))
    for each in (one, two, three):
        node.put(each)
    assert bodies(node.get(A)) == [b"2", b"1", b"0"]
    node.put(make(node, vary=b"0", body=b"new"), [one, three])
    assert bodies(node.get(A)) == [b"new", b"1"]


def test_what_is_replaced_goes_even_if_the_new_is_not_for_redis(node: Node) -> None:
    old = make(node)
    node.put(old)
    node.put(make(node, vary=b"1"))
    assert not node.put(make(node, body=bytes((1 << 20) + 1), vary=b"2"), [old])
    assert bodies(node.get(A)) == [b"body"]
    assert not node.put(make(node, body=bytes((1 << 20) + 1), vary=b"1"))
    assert node.get(A) == ()


def test_variants_are_bounded_in_number(node: Node) -> None:
    for i in range(VARIANTS + 3):
        node.put(make(node, vary=b"%d" % i, body=b"%d" % i))
    assert bodies(node.get(A)) == [b"%d" % i for i in reversed(range(3, VARIANTS + 3))]


def test_variants_are_bounded_in_bytes(node: Node) -> None:
    for i in range(7):
        node.put(make(node, vary=b"%d" % i, body=b"%d" % i * 1_000_000))
    assert [each.body[:1] for each in node.get(A)] == [b"6", b"5", b"4", b"3"]


KEPT = {
    "fresh": ({}, 60 + 3600),
    "to_be_confirmed": ({"fields": ((b"ETag", b'"1"'),)}, 60 + 86400),
    "stale_while_revalidate": ({"stale_while_revalidate": 7200.0}, 60 + 7200),
    "stale_if_error": ({"stale_if_error": 9000.0}, 60 + 9000),
    "for_ever": ({"lifetime": 1e12}, LONGEST),
}


@pytest.mark.parametrize(("what", "seconds"), KEPT.values(), ids=KEPT)
def test_objects_expire_when_nobody_could_use_them(
    node: Node, what: dict[str, object], seconds: float
) -> None:
    node.put(make(node, **what))  # type: ignore[arg-type]
    (name,) = keys(node)
    left = int(node.fleet.redis.ask("PTTL", name)[1:]) / 1000
    assert seconds - 20 < left <= seconds


def test_a_variant_that_expires_later_keeps_the_others_company(node: Node) -> None:
    node.put(make(node, vary=b"1", lifetime=600))
    node.put(make(node, vary=b"2"))
    (name,) = keys(node)
    assert int(node.fleet.redis.ask("TTL", name)[1:]) > 4000


def test_what_is_of_no_use_any_more_is_not_put(fleet: Fleet) -> None:
    node = fleet.node(grace=0.0)
    assert not node.put(make(node, lifetime=0.0))
    assert keys(node) == []


def keys(node: Node) -> list[bytes]:
    """The names of all objects."""
    answer = node.fleet.redis.ask("KEYS", "twistproxy:o:*")
    return [line for line in answer.split(b"\r\n") if line.startswith(b"twistproxy:")]


def test_damaged_and_foreign_things_are_nothing(node: Node) -> None:
    node.put(make(node))
    (name,) = keys(node)
    node.fleet.redis.ask("HSET", name, "b0", "other")
    assert node.get(A) == ()
    assert figure(node, "damaged") == 1
    node.fleet.redis.ask("DEL", name)
    node.fleet.redis.ask("SET", name, "text")
    assert node.get(A) == ()
    assert figure(node, "errors") == 1
    assert not node.put(make(node)) or node.get(A) == ()
    assert node.fleet.result(node.store.clear()) == 0
    assert node.put(make(node))
    assert bodies(node.get(A)) == [b"body"]


def test_figures_of_redis_itself(fleet: Fleet) -> None:
    fleet.redis.ask("CONFIG", "SET", "maxmemory", "100mb")
    node = fleet.node()
    fleet.until(lambda: figure(node, "bytes"))
    assert figure(node, "limit") == 100 << 20
    fleet.redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert repr(node.store) == "<RedisStore the test: ok>"


def test_nothing_is_kept_alive_by_a_cycle(node: Node) -> None:
    with no_cycles():
        node.put(make(node))
        node.get(A)
        node.fleet.result(node.store.remove(KEY))


# -- invalidation and purges ---------------------------------------------------------------------


def test_an_invalidation_reaches_the_others_once(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one, vary=b"1"))
    one.put(make(one, vary=b"2"))
    assert fleet.result(one.store.remove(KEY)) == 2
    fleet.until(lambda: other.heard)
    assert (one.heard, other.heard) == ([], [KEY])
    assert other.get(A) == ()
    assert fleet.result(one.store.remove(KEY)) == 0


PURGES = {
    "url": (Purge("url", A), {A}),
    "prefix": (Purge("prefix", "http://example.org/"), {A, "http://example.org/b"}),
    "host": (Purge("host", "example.net"), {"http://example.net/a"}),
    "tag": (Purge("tag", "even"), {A, "http://example.net/a"}),
    "pattern": (Purge("pattern", "/b$"), {"http://example.org/b"}),
    "all": (EVERYTHING, {A, "http://example.org/b", "http://example.net/a"}),
    "none": (Purge("tag", "odd"), set()),
}
URLS = {A: ("even",), "http://example.org/b": (), "http://example.net/a": ("x", "even")}


@pytest.mark.parametrize(("purge", "gone"), PURGES.values(), ids=PURGES)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_purges(fleet: Fleet, purge: Purge, gone: set[str], soft: bool) -> None:
    one, other = fleet.node(), fleet.node()
    for url, tags in URLS.items():
        for who in ("open", "pool:x"):
            one.put(make(one, url, tags=tags, who=who))
    purge = Purge(purge.by, purge.value, soft)
    now = fleet.clock.seconds()
    assert fleet.result(one.store.purge(purge, now)) == 2 * len(gone)
    fleet.until(lambda: other.heard)
    assert (one.heard, other.heard) == ([], [purge])
    for url in URLS:
        found = other.get(url)
        if soft:
            assert [each.freshness.usable(now) for each in found] == [url not in gone]
        else:
            assert len(found) == (url not in gone)


def test_several_purges_at_once_are_counted_apart(node: Node) -> None:
    for i in range(600):
        node.store.put(make(node, f"http://example.org/{i}", tags=(f"t{i % 3}",)))
    purges = [node.store.purge(Purge("tag", f"t{i}", soft=i == 2), 0) for i in range(3)]
    assert [node.fleet.result(each) for each in purges] == [200, 200, 200]
    assert len(keys(node)) == 200
    assert node.fleet.result(node.store.clear()) == 200
    assert figure(node, "owed") == 0


def test_what_a_soft_and_a_hard_purge_mean_goes(node: Node) -> None:
    node.put(make(node, tags=("t",)))
    node.store.purge(Purge("tag", "other"), 0)  # those that come while it goes on wait together
    soft, hard = (node.store.purge(Purge("tag", "t", soft), 0) for soft in (True, False))
    assert (node.fleet.result(soft), node.fleet.result(hard)) == (0, 1)
    assert keys(node) == []


def test_while_a_purge_goes_on_nothing_that_it_means_comes_out(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one, tags=("t",)))
    # As if the first node had died after the word.
    fleet.result(one.store._say(one.store._circuit.line, Purge("tag", "t")))  # type: ignore[arg-type]
    fleet.until(lambda: other.heard)
    assert other.get(A) == ()
    other.put(make(other, tags=("t",), body=b"new"))
    assert bodies(other.get(A)) == [b"new"]


def test_what_a_purge_means_does_not_come_out_to_who_purges(node: Node) -> None:
    node.put(make(node))
    purged = node.store.purge(EVERYTHING, 0)
    asked = node.store.get(KEY)
    assert node.fleet.result(asked) == ()
    assert node.fleet.result(purged) == 1


def test_a_soft_purge_that_goes_on_makes_stale_what_comes_out(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    fleet.result(one.store._say(one.store._circuit.line, Purge("url", A, soft=True)))  # type: ignore[arg-type]
    fleet.until(lambda: other.heard)
    (found,) = other.get(A)
    assert not found.freshness.usable(fleet.clock.seconds())


UNHEARD = {
    "purge": (lambda node: node.store.purge(Purge("tag", "any"), 0), 0),
    "invalidation": (lambda node: node.store.remove(KEY), 0),
    "invalidation_of_another": (lambda node: node.store.remove(Key("pool:x", A)), 1),
}


@pytest.mark.parametrize(("act", "kept"), UNHEARD.values(), ids=UNHEARD)
def test_who_has_not_heard_of_a_purge_yet_puts_nothing_in(
    fleet: Fleet, act: Callable[[Node], object], kept: int
) -> None:
    one, other = fleet.node(), fleet.node()
    act(one)
    # Its word is in Redis by the time one's next answer comes, and the other reads nothing.
    deaf = [wire for wire in fleet.wires if wire.client is other.line.listening]
    fleet.wires = [wire for wire in fleet.wires if wire not in deaf]
    fleet.until(lambda: not figure(one, "waiting"))
    other.store.put(make(other))
    fleet.until(lambda: not figure(other, "waiting"))
    assert len(one.get(A)) == kept
    assert figure(other, "outdated") == 1 - kept
    fleet.wires += deaf
    fleet.until(lambda: other.heard)
    other.put(make(other))
    assert len(one.get(A)) == 1


def test_words_of_another_version_may_mean_anything(node: Node) -> None:
    node.fleet.redis.ask("XADD", "twistproxy:log", "*", "n", "x", "k", "", "w", "?")
    node.fleet.until(lambda: node.heard)
    assert node.heard == [EVERYTHING]


# -- cut off -------------------------------------------------------------------------------------


def test_a_node_that_was_cut_off_catches_up(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    other.cut_off()
    assert other.get(A) == ()
    purge = Purge("tag", "t")
    fleet.result(one.store.purge(purge, 0))
    fleet.result(one.store.remove(KEY))
    assert other.heard == []
    other.back()
    assert other.heard == [purge, KEY]
    assert one.heard == []


def test_what_is_said_while_cut_off_is_said_later(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one, tags=("t",)))
    one.put(make(one, "http://example.org/b"))
    other.cut_off()
    assert fleet.result(other.store.purge(Purge("tag", "t"), 0)) == 0
    assert fleet.result(other.store.remove(Key("open", "http://example.org/b"))) == 0
    assert figure(other, "owed") == 2
    other.back()
    fleet.until(lambda: not figure(other, "owed") and len(one.heard) == 2)
    assert set(one.heard) == {Purge("tag", "t"), Key("open", "http://example.org/b")}
    assert keys(one) == []


def test_a_purge_that_is_cut_off_goes_on_later(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    for i in range(2000):
        one.store.put(make(one, f"http://example.org/{i}"))
    fleet.until(lambda: not figure(one, "waiting"))
    purged = one.store.clear()
    fleet.until(lambda: other.heard)
    one.cut_off()
    assert fleet.result(purged) < 2000
    assert figure(one, "owed") == 1
    one.back()
    fleet.until(lambda: not figure(one, "owed"))
    assert keys(one) == []
    assert other.heard == [EVERYTHING]  # it was said before


def test_too_much_to_be_said_later_means_everything(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "OWED", 10)
    monkeypatch.setattr(redis_store, "OWED_PURGES", 3)
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    for act in (
        lambda i: other.store.remove(Key("open", f"{i}")),
        lambda i: other.store.purge(Purge("tag", f"t{i}"), 0),
    ):
        other.cut_off()
        for i in range(15):
            act(i)
            assert figure(other, "owed") <= 11  # type: ignore[operator]
        other.back()
        fleet.until(lambda: EVERYTHING in one.heard and not figure(other, "owed"))
        assert keys(one) == []
        one.heard.clear()
        one.put(make(one))


def test_a_log_that_does_not_reach_back_far_enough(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "LOG", 100)
    one, other = fleet.node(), fleet.node()
    kept = make(one)
    one.put(kept)
    other.cut_off()
    for i in range(500):
        one.store.remove(Key("open", f"{i}"))
    fleet.until(lambda: not figure(one, "waiting"))
    other.back()
    assert other.heard == [EVERYTHING]
    assert bodies(other.get(A)) == [b"body"]  # Redis itself missed nothing
    assert fleet.result(one.store.remove(KEY)) == 1
    fleet.until(lambda: len(other.heard) > 1)


def test_a_redis_that_began_anew_while_nobody_could_reach_it(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    fleet.redis.kill()
    for node in (one, other):
        fleet.until(lambda node=node: not node.is_up())
        assert node.get(A) == ()
    fleet.advance(5)
    fleet.result(one.store.purge(Purge("tag", "t"), 0))
    fleet.redis.start()
    one.back()
    other.back()
    fleet.until(lambda: other.heard)
    # What could be missed was not: nobody need forget anything.
    assert (one.heard, other.heard) == ([], [Purge("tag", "t")])
    fleet.until(lambda: not figure(one, "owed") and not figure(other, "owed"))


def test_a_redis_that_began_anew_while_others_may_have_reached_it(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    other.cut_off()
    fleet.result(one.store.purge(Purge("tag", "t"), 0))
    fleet.advance(1)
    fleet.redis.kill()
    fleet.until(lambda: not one.is_up())
    fleet.redis.start()
    one.back()
    other.back()
    assert other.heard == [EVERYTHING]
    assert one.heard == []


def test_a_redis_with_an_older_copy_gives_out_nothing_of_it(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    fleet.redis.ask("SAVE")
    fleet.result(one.store.clear())
    fleet.until(lambda: other.heard)
    fleet.redis.kill()
    fleet.until(lambda: not one.is_up() and not other.is_up())
    fleet.redis.start()
    assert len(keys(one)) == 1
    other.back()
    assert other.get(A) == ()
    fleet.until(lambda: not figure(other, "owed"))
    assert keys(one) == []
    one.back()
    assert one.get(A) == ()


def test_a_redis_that_is_stopped_and_started_keeps_everything(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.put(make(one))
    fleet.redis.stop()
    fleet.until(lambda: not one.is_up() and not other.is_up())
    fleet.redis.start()
    one.back()
    other.back()
    assert bodies(other.get(A)) == [b"body"]
    assert (one.heard, other.heard) == ([], [])


def test_a_process_goes_on_where_the_last_one_was(fleet: Fleet) -> None:
    one, first = fleet.node(), fleet.node()
    position = first.store.position
    first.cut_off()
    first.store._closed(None)
    fleet.result(one.store.remove(KEY))
    assert fleet.node(position=position).heard == [KEY]
    assert fleet.node().heard == []
    assert fleet.node(position="5-0").heard == [EVERYTHING]
    assert fleet.node(position="nonsense").heard == [EVERYTHING]


def test_who_does_not_know_what_it_has_heard_forgets_that_and_the_others_do_not(
    fleet: Fleet,
) -> None:
    one = fleet.node()
    one.put(make(one))
    assert fleet.node(position="0-0").heard == [EVERYTHING]
    fleet.settle()
    assert bodies(one.get(A)) == [b"body"]
    assert one.heard == []


def test_it_says_when_it_is_settled(fleet: Fleet) -> None:
    said: list[str] = []
    node = fleet.node(on_settled=lambda: said.append("told"))
    node.cut_off()
    node.back()
    alone = Node(fleet, on_settled=lambda: said.append("alone"))
    alone.reachable = False
    fleet.nodes.append(alone)
    assert not alone.store.settled
    alone.store.start()
    assert alone.store.settled
    assert node.store.settled
    assert said == ["told", "alone"]


# -- slow, frozen, gone --------------------------------------------------------------------------


def test_a_request_waits_no_longer_than_the_timeout(node: Node) -> None:
    node.put(make(node))
    found: list[tuple[Stored, ...]] = []
    node.store.get(KEY).addCallback(found.append)  # type: ignore[union-attr]
    node.fleet.clock.advance(0.04)
    assert found == []
    node.fleet.clock.advance(0.011)
    assert found == [()]
    assert (figure(node, "timeouts"), figure(node, "state")) == (1, "ok")
    # Its answer comes later, and is not taken for another's.
    assert node.get("http://example.org/other") == ()
    assert bodies(node.get(A)) == [b"body"]


def test_after_timeouts_in_a_row_nobody_waits(node: Node) -> None:
    for _ in range(3):
        node.store.get(KEY)
    node.fleet.clock.advance(0.06)
    assert figure(node, "state") == "open"
    assert node.store.get(KEY) == ()
    assert not node.store.put(make(node))
    assert (figure(node, "dropped"), figure(node, "timeouts")) == (1, 3)
    node.back()
    assert node.put(make(node))
    assert bodies(node.get(A)) == [b"body"]


def test_a_frozen_redis_is_tried_again_by_itself(node: Node) -> None:
    node.put(make(node))
    node.fleet.redis.freeze()
    try:
        for _ in range(3):
            node.store.get(KEY)
        node.fleet.advance(30)
        assert figure(node, "state") in ("open", "connecting")
        assert node.store.get(KEY) == ()
        assert len([wire for wire in node.wires if wire.open]) <= 2
    finally:
        node.fleet.redis.thaw()
    node.back()
    assert bodies(node.get(A)) == [b"body"]


def test_a_redis_that_gives_no_sign_of_life_is_left(node: Node) -> None:
    """Though nobody asks it for anything."""
    node.fleet.advance(redis_store.BEAT + redis_store.PATIENCE + 0.1)
    assert figure(node, "state") in ("open", "connecting")
    node.back()


def test_what_is_under_way_is_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "WAITING", 10)
    monkeypatch.setattr(redis_store, "SENDING", 10_000)
    large = make(node, body=bytes(6000))
    assert node.store.put(large)
    assert not node.store.put(large)  # not another one
    assert node.store.put(make(node))
    asked = [node.store.get(KEY) for _ in range(12)]
    assert asked[8:] == [(), (), (), ()]
    assert figure(node, "dropped") == 5
    assert all(len(node.fleet.result(each)) == 1 for each in asked[:8])  # type: ignore[arg-type]
    assert (figure(node, "sending"), figure(node, "waiting")) == (0, 0)
    assert node.store.put(large)


def test_a_lost_connection_answers_at_once(node: Node) -> None:
    asked = node.store.get(KEY)
    removed = node.store.remove(KEY)
    node.cut_off()
    assert (node.fleet.result(asked), node.fleet.result(removed)) == ((), 0)
    assert node.store.get(KEY) == ()
    assert figure(node, "sending") == 0


def test_an_invalidation_that_comes_late_is_done_once(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    removed = one.store.remove(KEY)
    fleet.clock.advance(0.06)
    assert fleet.result(removed) == 0
    assert figure(one, "owed") == 1
    fleet.until(lambda: other.heard and not figure(one, "owed"))
    one.cut_off()
    one.back()
    assert other.heard == [KEY]


def test_a_full_redis_that_evicts_nothing_takes_no_purge_and_is_left(node: Node) -> None:
    node.put(make(node))
    node.fleet.redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        assert not figure(node, "errors")
        node.put(make(node, vary=b"1"))
        assert figure(node, "errors")
        assert node.fleet.result(node.store.purge(EVERYTHING, 0)) == 0
        assert figure(node, "state") == "open"
        assert "OOM" in str(figure(node, "error"))
        assert figure(node, "owed") == 1
    finally:
        node.fleet.redis.ask("CONFIG", "SET", "maxmemory", "0")
    node.back()
    node.fleet.until(lambda: not figure(node, "owed"))
    assert keys(node) == []


def test_closing_waits_for_what_was_sent(fleet: Fleet) -> None:
    one, other = fleet.node(), fleet.node()
    one.store.put(make(one))
    fleet.result(one.store.close())
    assert bodies(other.get(A)) == [b"body"]
    assert figure(one, "state") == "open"
    assert one.store.get(KEY) == ()


@pytest.mark.parametrize("cut", [False, True], ids=["frozen", "cut_off"])
def test_closing_does_not_wait_for_ever(node: Node, cut: bool) -> None:
    if cut:
        node.cut_off()
    closed: list[None] = []
    purged: list[int] = []
    node.store.purge(EVERYTHING, 0).addCallback(purged.append)
    node.store.close().addCallback(closed.append)
    node.fleet.clock.advance(1.1)
    assert (closed, purged) == ([None], [0])
    assert node.fleet.clock.getDelayedCalls() == []
