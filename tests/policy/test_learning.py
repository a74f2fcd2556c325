"""What was seen, and the rules that allow it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from questions import ask, connect
from twistproxy.config.model import Config, Policy
from twistproxy.config.structure import structure
from twistproxy.policy import Verdict, learning
from twistproxy.policy.learning import Learned, Notebook, Seen, allow_list
from twistproxy.policy.plan import compile_policy

HOSTS = [
    "a.example.org",
    "b.example.org",
    "c.d.example.org",
    "example.org",
    "example.com",
    "a.co.uk",
    "b.co.uk",
    "c.co.uk",
    "co.uk",
    "x.github.io",
    "y.github.io",
    "z.github.io",
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "2001:db8::1",
    "intranet",
    "_dmarc.example.net",
]
PORTS = [80, 443, 8080]
METHODS = ["GET", "HEAD", "POST", "CONNECT"]
SIDES = ["forward", "reverse"]

SEEN = st.builds(
    Seen,
    st.sampled_from(SIDES),
    st.sampled_from(HOSTS),
    st.sampled_from(PORTS),
    st.sampled_from(METHODS),
)


def pasted(rules: str) -> Policy:
    """The policy of a file with these rules and default = "deny"."""
    text = f'state_dir = "var"\n[policy]\ndefault = "deny"\n{rules}'
    config = structure(tomllib.loads(text), Path("/here"))
    assert isinstance(config, Config), config
    return config.policy


def question(one: Seen) -> Any:
    host = f"[{one.host}]" if ":" in one.host else one.host
    if one.method == "CONNECT":
        return connect(f"{host}:{one.port}")
    return ask(f"http://{host}:{one.port}/x", method=one.method)


@given(st.sets(SEEN, max_size=40))
def test_the_list_allows_what_was_seen_and_nothing_else(seen: set[Seen]) -> None:
    plan = compile_policy(pasted(allow_list(seen)))
    registrable = PSL.privatesuffix
    for host in [*HOSTS, "new.example.org", "new.example.com", "new.co.uk", "new.github.io"]:
        for port in PORTS:
            for method in METHODS:
                for side in SIDES:
                    one = Seen(side, host, port, method)
                    if plan.decide(question(one), side).action != "allow":
                        assert one not in seen
                        continue
                    alike = {
                        other.host
                        for other in seen
                        if (other.side, other.port) == (side, port)
                        and (other.method == method or (other.method, method) == ("GET", "HEAD"))
                    }
                    if host not in alike:  # then several were seen beside it
                        beside = [h for h in alike if registrable(h) == registrable(host)]
                        assert registrable(host) is not None
                        assert len(beside) >= learning.SEVERAL


PSL = PublicSuffixList()


@given(st.lists(SEEN, max_size=20), st.randoms())
def test_the_order_in_which_things_were_seen_is_nowhere(seen: list[Seen], random: Any) -> None:
    shuffled = [*seen, *seen]
    random.shuffle(shuffled)
    assert allow_list(shuffled) == allow_list(seen)


def gets(*hosts: str, port: int = 80) -> list[Seen]:
    return [Seen("forward", host, port, "GET") for host in hosts]


PATTERNS = {
    "each alone": (gets("b.example", "a.example"), [("a.example", "b.example")]),
    "two below one name": (gets("b.a.org", "c.a.org"), [("b.a.org", "c.a.org")]),
    "several below one name": (gets("b.a.org", "c.a.org", "x.y.a.org"), [(".a.org",)]),
    "never below a public suffix": (
        gets("a.co.uk", "b.co.uk", "c.co.uk"),
        [("a.co.uk", "b.co.uk", "c.co.uk")],
    ),
    "nor below a provider's": (
        gets("a.github.io", "b.github.io", "c.github.io"),
        [("a.github.io", "b.github.io", "c.github.io")],
    ),
    "addresses": (
        gets("192.0.2.1", "192.1.2.1", "192.2.2.1"),
        [("192.0.2.1", "192.1.2.1", "192.2.2.1")],
    ),
    "of another port each for itself": (
        [*gets("a.x.org", "b.x.org"), *gets("c.x.org", port=81)],
        [("a.x.org", "b.x.org"), ("c.x.org",)],
    ),
    "what no rule can name": (gets("", "-a.example"), []),
}


@pytest.mark.parametrize(("seen", "hosts"), PATTERNS.values(), ids=PATTERNS)
def test_hosts(seen: list[Seen], hosts: list[tuple[str, ...]]) -> None:
    assert [rule.when.host for rule in pasted(allow_list(seen)).rule] == hosts


def test_what_is_to_be_pasted() -> None:
    seen = [
        Seen("forward", "packages.org", 443, "CONNECT"),
        Seen("forward", "files.example.org", 443, "CONNECT"),
        Seen("forward", "deb.example.org", 80, "GET"),
        Seen("reverse", "shop.example", 80, "POST"),
        Seen("reverse", "shop.example", 80, "GET"),
    ]
    assert allow_list(seen, taken={"learned-2"}) == (
        """
[[policy.rule]]
name = "learned-1"
side = "forward"
when.host = ["deb.example.org"]
when.port = [80]
when.method = ["GET", "HEAD"]
action = "allow"

[[policy.rule]]
name = "learned-3"
side = "forward"
when.host = ["files.example.org", "packages.org"]
when.port = [443]
when.method = ["CONNECT"]
action = "allow"

[[policy.rule]]
name = "learned-4"
side = "reverse"
when.host = ["shop.example"]
when.port = [80]
when.method = ["GET", "HEAD", "POST"]
action = "allow\""""
    )


def test_long_lists_have_a_line_for_each() -> None:
    long = [f"{'a' * 60}.{'b' * 60}.host-{n}.example" for n in range(3)]
    assert pasted(allow_list(gets(*long))).rule[0].when.host == tuple(long)
    assert max(map(len, allow_list(gets(*long)).splitlines())) < 160


# -- the notebook ---------------------------------------------------------------------------

ALLOW, DEFAULT = Verdict("allow", "a rule"), Verdict("deny", "default", 403)
DECISIONS = {
    "allowed": (ALLOW, 1),
    "denied by the default": (DEFAULT, 1),
    "denied by a rule": (Verdict("deny", "a rule", 403), 0),
    "redirected": (Verdict("redirect", "a rule", 302, "/"), 0),
    "asked about": (Verdict("ask", "a rule"), 0),
}


@pytest.mark.parametrize(("verdict", "kept"), DECISIONS.values(), ids=DECISIONS)
def test_what_is_noted(verdict: Verdict, kept: int) -> None:
    notebook = Notebook()
    notebook.decided(ask("http://a.example/x?y"), "forward", verdict)
    assert (len(notebook.seen), notebook.requests, notebook.refused) == (kept, 1, 1 - kept)
    if kept:
        assert notebook.seen == {Seen("forward", "a.example", 80, "GET")}


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "KEPT", 2)
    notebook = Notebook()
    for n in (1, 2, 3, 1, 4):
        notebook.decided(ask(f"http://a{n}/"), "forward", ALLOW)
    assert (len(notebook.seen), notebook.requests, notebook.more) == (2, 5, 2)


def test_what_was_learned_is_told() -> None:
    told = repr(Learned(600.0, 9, 2, 1, "[[policy.rule]]"))
    assert told == (
        "# What was asked for in 600 s, in 9 requests.\n"
        "# Left out: 2 of them, which a rule refuses or asks about.\n"
        "# Left out: 1 of them, for want of room.\n"
        '# To be pasted where [policy] has default = "deny".\n'
        "[[policy.rule]]"
    )
    assert repr(Learned(0.0, 0, 0, 0, "")) == "# What was asked for in 0 s, in 0 requests."
