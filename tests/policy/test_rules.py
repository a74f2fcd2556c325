"""rules: what holds, what doesn't, and what can't be said yet."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from attrs import frozen

from questions import ask
from twistproxy.config.model import Policy, Rule, When
from twistproxy.policy import Question
from twistproxy.policy.plan import PolicyError, compile_policy
from twistproxy.policy.rules import (
    AFTER_LOOKUP,
    AFTER_RESPONSE,
    NO,
    YES,
    All,
    Compiled,
    Is,
)

ANSWERS = {"no": NO, "yes": YES, "lookup": AFTER_LOOKUP, "response": AFTER_RESPONSE}


@frozen(eq=False)
class Says:
    """A condition whose answer is given; certain ones are the plain conditions of an `All`."""

    answer: int
    key: str = "x"
    needs: Any = "response"

    def holds(self, question: Question) -> int:
        return self.answer


def of(*answers: int) -> All:
    says: tuple[Any, ...] = tuple(map(Says, answers))
    return All((), says, says)


def rule_of(when: All, unless: All | None) -> Compiled:
    nothing: Any = None
    return Compiled(0, nothing, when, unless, nothing, nothing, (), None, "", nothing)


QUESTION: Any = ask("http://a/")


@pytest.mark.parametrize("answers", list(itertools.product(ANSWERS.values(), repeat=3)))
def test_all_must_hold_and_one_no_is_enough(answers: tuple[int, ...]) -> None:
    unknown = [answer for answer in answers if answer not in (YES, NO)]
    expected = NO if NO in answers else min(unknown, default=YES)
    assert of(*answers).holds(QUESTION) == expected


@pytest.mark.parametrize("answers", list(itertools.product(ANSWERS.values(), repeat=2)))
def test_any_of_the_named_will_do(answers: tuple[int, ...]) -> None:
    unknown = [answer for answer in answers if answer not in (YES, NO)]
    expected = YES if YES in answers else min(unknown, default=NO)
    assert Is(("a", "b"), tuple(map(of, answers))).holds(QUESTION) == expected


VETOES = {
    ("yes", "no"): YES,
    ("yes", "yes"): NO,
    ("yes", "lookup"): AFTER_LOOKUP,
    ("yes", "response"): AFTER_RESPONSE,
    ("no", "lookup"): NO,
    ("lookup", "no"): AFTER_LOOKUP,
    ("lookup", "yes"): NO,
    ("lookup", "response"): AFTER_LOOKUP,
    ("response", "lookup"): AFTER_LOOKUP,
}


@pytest.mark.parametrize(("answers", "expected"), VETOES.items(), ids=list(map("-".join, VETOES)))
def test_unless_vetoes(answers: tuple[str, str], expected: int) -> None:
    when, unless = (of(ANSWERS[answer]) for answer in answers)
    assert rule_of(when, unless).holds(QUESTION) == expected


# -- named conditions ----------------------------------------------------------------------------


def compiled(rules: dict[str, When], **conditions: When) -> Any:
    made = tuple(Rule(name=name, action="deny", when=when) for name, when in rules.items())
    return compile_policy(Policy(rule=made, conditions=conditions))


def test_a_named_condition_may_ask_for_others() -> None:
    plan = compiled(
        {"rule": When(is_=("a",), port=(80,))},
        a=When(is_=("b", "c")),
        b=When(host=("b.example",)),
        c=When(host=("c.example",), method=("PUT",)),
    )
    hosts = {"b": "rule", "c": "default", "a": "default"}
    for host, decides in hosts.items():
        assert plan.decide(ask(f"http://{host}.example/"), "forward").rule == decides
    assert plan.decide(ask("http://c.example/", method="PUT"), "forward").rule == "rule"
    assert plan.decide(ask("http://b.example:81/"), "forward").rule == "default"


def test_what_is_wrong_with_names_is_said() -> None:
    with pytest.raises(PolicyError) as caught:
        compiled(
            {"rule": When(is_=("stuff", "staff"))},
            staff=When(is_=("night",)),
            night=When(is_=("staff",)),
            broken=When(host=("a..b",)),
        )
    wrong = {".".join(map(str, fault.where)): fault.message for fault in caught.value.faults}
    assert wrong["policy.rule.0.when.is.0"] == ('no condition named "stuff"; did you mean "staff"?')
    assert wrong["policy.conditions.night.is.0"] == "it asks for itself: staff → night → staff"
    assert "policy.conditions.broken.host.0" in wrong
    assert len(wrong) == 3


def test_what_a_rule_asks_is_said_with_its_names() -> None:
    plan = compiled(
        {"rule": When(is_=("a", "b"), port=(80,))}, a=When(port=(1,)), b=When(port=(2,))
    )
    assert plan.snapshot()["rules"][0]["when"] == "port 80 and is a, b"
