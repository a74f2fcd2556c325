"""Files of assertions: read, put to the plan, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from questions import plan, rule
from twistproxy.config.load import ConfigErrors
from twistproxy.config.model import When
from twistproxy.config.values import network
from twistproxy.policy import assertions
from twistproxy.policy.plan import Plan

POLICY = plan(
    rule("staff", "allow", when=When(client=(network("10.1.0.0/16"),))),
    rule("no-ads", status=451, when=When(host=(".ads.example",))),
    rule("moved", "redirect", location="/new", when=When(path=("/old",)), side="reverse"),
    default="deny",
)

HOLDS = {
    "verdict": 'url = "http://a/"\nverdict = "deny"',
    "rule": 'url = "http://a/"\nrule = "default"',
    "client": 'url = "http://x.ads.example/"\nclient = "10.1.2.3"\nverdict = "allow"',
    "status": 'url = "https://ads.example/"\nstatus = 451',
    "redirect": 'url = "http://a/old"\nside = "reverse"\nverdict = "redirect"\n'
    'location = "/new"\nstatus = 302\nrule = "moved"',
    "all that can be said": 'url = "http://a/"\nmethod = "PUT"\nuser = "alice"\ngroups = ["x"]\n'
    'header = { Accept = "text/html" }\ntime = 2026-03-01T09:30:00\naddresses = ["192.0.2.1"]\n'
    'verdict = "deny"',
}


def read(folder: Path, text: str) -> list[assertions.Case]:
    file = folder / "tests.toml"
    file.write_text(text)
    return assertions.read(file, [rule.name for rule in POLICY.rules], 0.0)


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_what_holds(tmp_path: Path, text: str) -> None:
    assert list(assertions.failures(read(tmp_path, f"[[test]]\n{text}\n"), POLICY)) == []


def test_what_does_not_hold_is_told_with_its_reason(tmp_path: Path) -> None:
    cases = read(
        tmp_path,
        """
[[test]]
url = "http://a/"
verdict = "deny"

[[test]]
url = "http://x.ads.example/"
client = "10.1.0.1"
verdict = "deny"
rule = "no-ads"
status = 403
location = "/x"
""",
    )
    (failed,) = assertions.failures(cases, POLICY)
    assert str(failed).splitlines() == [
        f"{tmp_path}/tests.toml:6: test[1]: GET http://x.ads.example/ from 10.1.0.1",
        '  verdict: expected "deny", got "allow"',
        '  rule: expected "no-ads", got "staff"',
        "  status: expected 403, got 0",
        '  location: expected "/x", got none',
        "",
        "    rule   action  holds  because",
        "    staff  allow   yes    client 10.1.0.0/16",
        "    allow by staff (forward)",
    ]


def test_time_is_when_it_is_asked(tmp_path: Path) -> None:
    (fixed, now) = read(
        tmp_path,
        '[[test]]\nurl = "http://a/"\ntime = 1970-01-02T00:00:00Z\nstatus = 403\n'
        '[[test]]\nurl = "http://a/"\nstatus = 403\n',
    )
    assert (fixed.question.at, now.question.at) == (86400.0, 0.0)


def test_what_depends_on_addresses(tmp_path: Path) -> None:
    policy: Plan = plan(rule("inside", when=When(resolved=(network("10.0.0.0/8"),))))
    text = '[[test]]\nurl = "http://a/"\nverdict = "deny"\n'
    (failed,) = assertions.failures(read(tmp_path, text), policy)
    assert 'expected "deny", got "look up"\n  It depends on the host\'s addresses: add' in str(
        failed
    )
    known = read(tmp_path, f'{text}addresses = ["10.0.0.1"]\n')
    assert list(assertions.failures(known, policy)) == []


WRONG = {
    "keys and values, all at once": (
        """[[test]]
url = "http://a/"
verdit = "deny"

[[test]]
url = "a"
client = "x"
verdict = "denied"
[[test]]
verdict = "deny"
""",
        [
            ':3: test[0].verdit: no such key; did you mean "verdict"?',
            ':6: test[1].url: "a" is not a URL such as "http://example.org/"',
            ':7: test[1].client: "x" is not an address such as "192.0.2.1"',
            ':8: test[1].verdict: "denied" is not "allow" or "deny" or "redirect" or "ask"',
            ":9: test[2].url: is required",
        ],
    ),
    "what can't be asked": (
        """[[test]]
url = "a"
client = "x"
time = 09:30:00
verdict = "deny"
[[test]]
url = "http://a/"
rule = "no-adds"
[[test]]
url = "http://a/"
""",
        [
            ':2: test[0].url: "a" is not a URL such as "http://example.org/"',
            ':3: test[0].client: "x" is not an address such as "192.0.2.1"',
            ":4: test[0].time: 09:30:00 is not a time such as",
            ':8: test[1].rule: no rule named "no-adds"; did you mean "no-ads"?',
            ":10: test[2].url: it expects nothing; there are verdict, rule, status, location",
        ],
    ),
    "what is no table": ("test = [1]\n", [":1: test[0]: 1 is not a table"]),
    "another table": (
        '[tests]\n[[test]]\nurl = "x"\nstatus = 403\n',
        [
            ':1: tests: no such key; did you mean "test"?',
            ':3: test[0].url: "x" is not a URL',
        ],
    ),
    "no TOML": ("[[test]\n", [":1: "]),
    "nothing": ("", [":1: test: is required"]),
    "a table": ("[test]\n", [":1: test: one table where a list belongs: [[NAME]], not [NAME]"]),
}


@pytest.mark.parametrize(("text", "errors"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_the_file(tmp_path: Path, text: str, errors: list[str]) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(tmp_path, text)
    told = str(caught.value).splitlines()
    assert len(told) == len(errors)
    for line, error in zip(told, errors, strict=True):
        assert line.startswith(f"{tmp_path}/tests.toml{error}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="can't be read: No such file"):
        assertions.read(tmp_path / "none", [], 0.0)
