"""A file of assertions about a policy: what it shall say to whom. They are put to its own plan.

The file is read as a configuration is, and what is wrong with it is told in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any, Final, Literal

from attrs import field, frozen

from twistproxy.config import load, places
from twistproxy.config.errors import Fault, did_you_mean, shown
from twistproxy.config.structure import structured
from twistproxy.policy.asking import CannotBeAsked, Supposed, supposed
from twistproxy.policy.explanation import Explanation
from twistproxy.policy.plan import DEFAULT, Plan

#: What an assertion may expect.
EXPECTED: Final = ("verdict", "rule", "status", "location")


@frozen(kw_only=True)
class Assertion:
    """Who asks for what, and what shall be said to it. Keys are as of `asking.supposed`."""

    url: str
    method: str | None = None
    client: str = "127.0.0.1"
    user: str | None = None
    groups: tuple[str, ...] = ()
    header: dict[str, str] = field(factory=dict)
    time: Any = None  # TOML's own, or a string
    addresses: tuple[str, ...] = ()
    side: Literal["forward", "reverse"] = "forward"
    verdict: Literal["allow", "deny", "redirect", "ask"] | None = None
    rule: str | None = None
    status: int | None = None
    location: str | None = None


@frozen(kw_only=True)
class _File:
    test: tuple[Assertion, ...]


@frozen
class Case:
    """An assertion with its question. place: ``FILE:LINE: test[N]``."""

    place: str
    assertion: Assertion
    question: Supposed


@frozen
class Failed:
    """wrong: each key that is not as it was expected: what was, and what there is."""

    case: Case
    wrong: dict[str, tuple[object, object]]
    explanation: Explanation

    def __str__(self) -> str:
        lines = [f"{self.case.place}: {self.case.question}"]
        lines += [
            f"  {key}: expected {_written(expected)}, got {_written(got)}"
            for key, (expected, got) in self.wrong.items()
        ]
        if self.wrong.get("verdict", ("", ""))[1] == "look up":
            lines.append('  It depends on the host\'s addresses: add addresses = ["192.0.2.1"].')
        return "\n".join([*lines, "", indent(repr(self.explanation), "    "), ""])


def read(path: Path, rules: Collection[str], now: float, ports: Collection[int] = ()) -> list[Case]:
    """The tests of a file. Raises `load.ConfigErrors` with all that is wrong in it.

    rules: the names of those that there are. now: when a test asks that says no time. ports: of
    the reverse side's listeners.
    """
    source, tree = load.read(path)
    folder = path.absolute().parent
    file = structured(_File, tree, folder)
    faults: list[Fault] = []
    if isinstance(file, list):
        faults = file
        file = structured(_File, _sound(tree, faults), folder)
        if isinstance(file, list):
            raise load.placed(path, faults)
    unsound = {fault.where[:2] for fault in faults}
    lines = places.lines(source)
    cases: list[Case] = []
    for index, assertion in enumerate(file.test):
        where = ("test", index)
        found = [
            Fault((*where, key), message)
            for key, message in _wrong_in(assertion, [DEFAULT, *rules], where not in unsound)
        ]
        try:
            question = supposed(
                assertion.url,
                method=assertion.method,
                client=assertion.client,
                user=assertion.user,
                groups=assertion.groups,
                header=assertion.header,
                time=assertion.time,
                addresses=assertion.addresses,
                side=assertion.side,
                now=now,
                ports=ports,
            )
        except CannotBeAsked as error:
            found += [Fault((*where, key), message) for key, message in error.faults.items()]
        else:
            place = f"{path}:{places.line(lines, where)}: test[{index}]"
            cases.append(Case(place, assertion, question))
        faults += found
    if faults:
        raise load.placed(path, faults)
    return cases


def _sound(tree: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """What is left without what is wrong already, so that what else may be is told, too."""
    wrong = {fault.where[:3] for fault in faults}
    tests = tree.get("test")
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        return {}
    kept = (
        {key: value for key, value in test.items() if ("test", index, key) not in wrong}
        for index, test in enumerate(tests)
    )
    return {"test": [{"url": "http://example.org/"} | test for test in kept]}


def _wrong_in(
    assertion: Assertion, rules: Collection[str], sound: bool
) -> Iterator[tuple[str, str]]:
    if sound and all(getattr(assertion, key) is None for key in EXPECTED):
        yield "url", f"it expects nothing; there are {', '.join(EXPECTED)}"
    if assertion.rule is not None and assertion.rule not in rules:
        yield "rule", f"no rule named {shown(assertion.rule)}{did_you_mean(assertion.rule, rules)}"


def failures(cases: list[Case], plan: Plan) -> Iterator[Failed]:
    """Those that don't hold."""
    for case in cases:
        verdict = plan.decide(case.question, case.assertion.side)
        told = {
            "verdict": verdict.action,
            "rule": verdict.rule,
            "status": verdict.status,
            "location": verdict.location,
        }
        wrong = {
            key: (expected, told[key])
            for key in EXPECTED
            if (expected := getattr(case.assertion, key)) not in (None, told[key])
        }
        if wrong:
            yield Failed(case, wrong, plan.explain(case.question, case.assertion.side))


def _written(value: object) -> str:
    return "none" if value is None else shown(value)
