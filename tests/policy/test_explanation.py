"""explanation: the words for why."""

from __future__ import annotations

from ipaddress import ip_network

from questions import ask, plan, rule
from twistproxy.config.model import When


def test_each_rule_up_to_the_deciding_one_with_its_reason() -> None:
    rules = plan(
        rule("other", when=When(host=("b.example",))),
        rule("far", when=When(client=(ip_network("10.0.0.0/8"),), method=("GET",))),
        rule("spared", unless=When(method=("GET",))),
        rule("team", "continue", set_request={"X-Team": "1"}),
        rule("try", shadow=True),
        rule("this", when=When(path=("/x",))),
        rule("after"),
    )
    explanation = rules.explain(ask("http://a.example/x/y"), "forward")
    assert [(each.rule, each.holds) for each in explanation.considered] == [
        ("other", False),
        ("far", False),
        ("spared", False),
        ("team", True),
        ("try", True),
        ("this", True),
    ]
    assert repr(explanation).splitlines() == [
        "rule    action    holds  because",
        "other   deny      no     host b.example; it is a.example",
        "far     deny      no     client 10.0.0.0/8; it is 192.0.2.1",
        "spared  deny      no     its unless: method GET",
        "team    continue  yes    always",
        "try     (deny)    yes    always",
        "this    deny      yes    path /x",
        "deny by this (forward), status 403, after team",
    ]
    assert rules.snapshot()["decisions"] == 0


def test_it_says_what_decide_says() -> None:
    rules = plan(rule("a", when=When(host=("a",))), default="deny")
    for url in ("http://a/", "http://b/"):
        assert rules.explain(ask(url), "reverse").verdict == rules.decide(ask(url), "reverse")


def test_of_many_rules_those_that_hold_are_shown() -> None:
    rules = plan(*(rule(f"r{n}", when=When(host=(f"h{n}",))) for n in range(1000)))
    lines = repr(rules.explain(ask("http://h700/"), "forward")).splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:3] == ["r700", "deny", "yes"]
    assert lines[2].startswith("… 700 more")


def test_without_rules_the_default_is_all_there_is_to_say() -> None:
    assert repr(plan().explain(ask("http://a/"), "forward")) == "allow by default (forward)"


def test_what_is_not_known_yet_is_no_reason_and_is_told() -> None:
    inside = When(resolved=(ip_network("10.0.0.0/8"),), host=(".a.example",))
    rules = plan(
        rule("inside", when=inside),
        rule("large", when=When(content_type=("video/*",))),
        rule("spared", when=When(resolved=inside.resolved), unless=When(method=("GET",))),
    )
    lines = repr(rules.explain(ask("http://b.example/"), "forward")).splitlines()
    assert lines[1].endswith("no             host .a.example; it is b.example")
    assert lines[2].endswith("not known yet  asks for the response, which is not there yet")
    assert lines[3].endswith("no             its unless: method GET")
    assert lines[4] == "allow by default (forward); not known yet: large"
    asked = rules.explain(ask("http://x.a.example/"), "forward")
    assert [each.holds for each in asked.considered] == [None, None, False]
