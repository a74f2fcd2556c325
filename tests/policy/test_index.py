"""index: it finds what the rules themselves would say, and looks at few of them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from attrs import evolve

from questions import ask, plan, rule
from twistproxy.config.model import Rule, When
from twistproxy.policy.rules import Compiled, Hits

MANY = 2000
FAMILIES = {
    "hosts": lambda n: When(host=(f".h{n}.example",), method=("PUT",)),
    "paths": lambda n: When(path=(f"/p{n}/",), method=("PUT",)),
    "networks": lambda n: When(
        client=(ip_network(f"10.{n >> 8}.{n & 255}.0/24"),), method=("PUT",)
    ),
    "networks of IPv6": lambda n: When(client=(ip_network(f"2001:db8:{n:x}::/48"),)),
}


@pytest.mark.parametrize("action", ["deny", "continue"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_only_those_that_can_match_are_looked_at(
    family: Any, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"set_request": {"X-A": "1"}} if action == "continue" else {}
    rules = plan(*(rule(f"r{n}", action, when=family(n), **more) for n in range(MANY)))
    looked: list[str] = []
    judged = Compiled.judged

    def counted(self: Compiled, question: Any, when: Any) -> int:
        looked.append(self.name)
        return judged(self, question, when)

    monkeypatch.setattr(Compiled, "judged", counted)
    for client in ("10.1.2.3", "2001:db8:102::1"):
        rules.decide(ask("http://a.h258.example/p258/x", client=client), "forward")
    assert set(looked) <= {"r258"}
    assert looked


ASKED = {
    "a host": ("http://a.example/", {}),
    "a path": ("http://b.example/x/y", {}),
    "a shorter path": ("http://b.example/x", {}),
    "a network": ("http://b.example/", {"client": "10.2.3.4"}),
    "a mapped address": ("http://b.example/", {"client": "::ffff:10.2.3.4"}),
    "nothing of it": ("http://b.example/", {}),
}
RULES = (
    rule("host", when=When(host=("a.example", ".a.example"))),
    rule("path", when=When(path=("/x/", "/x"))),
    rule("network", when=When(client=(ip_network("10.2.0.0/16"), ip_network("10.0.0.0/8")))),
    rule("all", "allow"),
)
DECIDES = ["host", "path", "path", "network", "network", "all"]


@pytest.mark.parametrize(
    ("url", "others", "decides"),
    [(*asked, name) for asked, name in zip(ASKED.values(), DECIDES, strict=True)],
    ids=ASKED,
)
@pytest.mark.parametrize("order", [RULES, RULES[:3][::-1] + RULES[3:]], ids=["one", "other"])
def test_each_family_is_found(
    url: str, others: dict[str, Any], decides: str, order: tuple[Rule, ...]
) -> None:
    assert plan(*order).decide(ask(url, **others), "forward").rule == decides


def test_a_rule_that_is_found_in_two_ways_counts_once() -> None:
    step = rule("step", "continue", when=When(host=("a", ".a")), set_request={"X": "1"})
    verdict = plan(step).decide(ask("http://a/"), "forward")
    assert [each.name for each in verdict.steps] == ["step"]
    assert verdict.steps[0].hits == Hits(1)


def test_order_counts_not_the_way_it_is_found() -> None:
    rules = [evolve(each, name=f"{each.name}{n}") for n in range(2) for each in RULES[:3]]
    asked = ask("http://a.example/x", client="10.2.3.4")
    for first in range(len(rules)):
        assert plan(*rules[first:], *rules[:first]).decide(asked, "forward").rule == (
            rules[first].name
        )
