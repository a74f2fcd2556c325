"""outdated: what was asked for before a purge is not stored after it."""

from __future__ import annotations

import pytest

from twistproxy.cache.outdated import Outdated
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import Freshness

URL = "http://a.test/shop/1"


def stored(url: str = URL, tags: tuple[str, ...] = ()) -> Stored:
    return Stored(Key("open", url), (), 200, b"", Fields(), Freshness(60, 0, 0), 0, tags=tags)


@pytest.mark.parametrize(("asked", "outdated"), [(9, True), (10, True), (11, False)])
def test_by_key(asked: float, outdated: bool) -> None:
    known = Outdated()
    known.key(stored().key, 10)
    assert known(stored(), asked) is outdated
    assert not known(stored("http://a.test/other"), asked)


@pytest.mark.parametrize(("asked", "outdated"), [(9, True), (10, True), (11, False)])
@pytest.mark.parametrize(
    "purge", [Purge("url", URL), Purge("prefix", "http://a.test/shop"), Purge("tag", "blue")]
)
def test_by_purge(purge: Purge, asked: float, outdated: bool) -> None:
    known = Outdated()
    known.purge(Purge("url", "http://a.test/"), 9.5)
    known.purge(purge, 10)
    assert known(stored(tags=("blue",)), asked) is outdated
    assert not known(stored("http://b.test/"), asked)


def test_what_came_before_all_that_is_remembered_counts_as_outdated() -> None:
    known = Outdated()
    for n in range(2000):
        known.key(Key("open", str(n)), n)
    assert known(stored(), 900)
    assert not known(stored(), 1000)
    for n in range(2000, 4000):
        known.purge(Purge("tag", str(n)), n)
    assert known(stored(), 2900)
    assert not known(stored(), 3000)
    assert len(known._keys) == len(known._purges) == 1024
