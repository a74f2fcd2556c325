from __future__ import annotations

from types import SimpleNamespace

import pytest
from attrs import frozen

from twistproxy.http import uri
from twistproxy.policy import Means, Question
from twistproxy.policy.conditions.listed import Listed


@frozen
class Hosts:
    hosts: frozenset[str]

    def has(self, question: Question) -> bool:
        return question.target.host in self.hosts


MEANS = Means(lists={"ads": Hosts(frozenset({"ads.example"})), "empty": Hosts(frozenset())})

CASES = {
    "in_it": (["ads"], b"http://ads.example/", True),
    "not_in_it": (["ads"], b"http://www.example/", False),
    "any_of_several": (["empty", "ads"], b"http://ads.example/", True),
    "in_none_of_several": (["empty", "ads"], b"http://www.example/", False),
    "none": ([], b"http://ads.example/", False),
}


@pytest.mark.parametrize(("names", "url", "holds"), CASES.values(), ids=CASES)
def test_listed(names: list[str], url: bytes, holds: bool) -> None:
    assert Listed(names, MEANS).holds(SimpleNamespace(target=uri.absolute(url))) is holds


def test_tunnels_too() -> None:
    assert Listed(["ads"], MEANS).holds(SimpleNamespace(target=uri.tunnel(b"ads.example:443")))


def test_a_list_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r'no list of this name; did you mean "ads"\?'):
        Listed(["empty", "adds"], MEANS)


def test_seen() -> None:
    condition = Listed(["ads"], MEANS)
    target = uri.absolute(b"http://www.example/a?token=s3cret")
    assert condition.seen(SimpleNamespace(target=target)) == "http://www.example/a"
    assert condition.seen(SimpleNamespace(target=uri.tunnel(b"a:443"))) == "a:443"
