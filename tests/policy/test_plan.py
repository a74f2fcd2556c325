from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from questions import Asked, ask, connect, known, plan, rule
from twistproxy.config.model import Policy, Rule, When
from twistproxy.http import uri
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.policy import Verdict
from twistproxy.policy.conditions import CONDITIONS
from twistproxy.policy.plan import RECENT, PolicyError, compile_policy


def by(verdict: Verdict) -> str:
    return verdict.rule


# -- verdicts -------------------------------------------------------------------------------

VERDICTS = {
    "deny": (rule(), Verdict("deny", "rule", 403)),
    "deny_with_status": (rule(status=451), Verdict("deny", "rule", 451)),
    "allow": (rule(action="allow"), Verdict("allow", "rule")),
    "redirect": (
        rule(action="redirect", location="https://b.example/"),
        Verdict("redirect", "rule", 302, "https://b.example/"),
    ),
    "redirect_with_status": (
        rule(action="redirect", status=308, location="/x"),
        Verdict("redirect", "rule", 308, "/x"),
    ),
}


@pytest.mark.parametrize(("only", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_verdict(only: Rule, verdict: Verdict) -> None:
    assert plan(only).decide(ask("http://a/"), "forward") == verdict


def test_without_rules_the_default_decides() -> None:
    assert plan().decide(ask("http://a/"), "forward") == Verdict("allow", "default")
    assert plan(default="deny").decide(ask("http://a/"), "reverse") == Verdict(
        "deny", "default", 403
    )


def test_the_first_rule_that_matches_decides() -> None:
    rules = plan(
        rule("other", when=When(host=("b.example",))),
        rule("below", "allow", when=When(host=("*.example",), port=(80,))),
        rule("all", when=When(port=(80, 443))),
        rule("exact", "allow", when=When(host=("a.example",))),
    )
    assert by(rules.decide(ask("http://a.example/"), "forward")) == "below"
    assert by(rules.decide(ask("https://a.example/"), "forward")) == "all"
    assert by(rules.decide(ask("https://a.example:81/"), "forward")) == "exact"
    assert by(rules.decide(ask("https://c.example:81/"), "forward")) == "default"


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_a_rule_for_one_side(side: Any) -> None:
    rules = plan(rule(side=side, when=When(host=("a",))), rule("both", "allow"))
    for asked in ("forward", "reverse"):
        assert by(rules.decide(ask("http://a/"), asked)) == ("rule" if asked == side else "both")


def test_all_conditions_must_hold() -> None:
    rules = plan(rule(when=When(host=("a",), method=("GET",), path=("/x",))))
    assert by(rules.decide(ask("http://a/x"), "forward")) == "rule"
    for other in (ask("http://b/x"), ask("http://a/x", method="PUT"), ask("http://a/y")):
        assert by(rules.decide(other, "forward")) == "default"


def test_unless_vetoes_when_all_its_conditions_hold() -> None:
    rules = plan(rule(unless=When(host=(".a",), method=("GET",))))
    assert by(rules.decide(ask("http://b.a/"), "forward")) == "default"
    assert by(rules.decide(ask("http://b.a/", method="PUT"), "forward")) == "rule"
    assert by(rules.decide(ask("http://b/"), "forward")) == "rule"


TUNNELS = {
    "host": (rule(when=When(host=(".a.example",))), True),
    "port": (rule(when=When(port=(443,))), True),
    "method": (rule(when=When(method=("CONNECT",))), True),
    "always": (rule(), True),
    "path": (rule(when=When(path=("/",))), False),
    "url": (rule(when=When(url=("",))), False),
    "host_and_path": (rule(when=When(host=("a.example",), path=("/",))), False),
    "unless_path": (rule(unless=When(path=("/",))), True),
    "unless_url": (rule(unless=When(url=("a.example",))), True),
    "unless_host": (rule(unless=When(host=("a.example",))), False),
}


@pytest.mark.parametrize(("only", "matches"), TUNNELS.values(), ids=TUNNELS)
def test_a_tunnel_has_host_and_port_only(only: Rule, matches: bool) -> None:
    verdict = plan(only).decide(connect("a.example:443"), "forward")
    assert by(verdict) == ("rule" if matches else "default")


# -- spellings --------------------------------------------------------------------------------

BLOCKED = plan(
    rule(
        "host", when=When(host=("Blocked.Example.", "bücher.example", "127.0.0.1", "2001:db8::1"))
    ),
    rule("path", when=When(host=("a",), path=("/c/forbidden/",))),
    rule("url", when=When(host=("b",), url=(r"^http://b/c/forbidden/\?q=secret",))),
)

HOSTS = {
    "itself": b"blocked.example",
    "trailing_dot": b"BLOCKED.example.",
    "capitals": b"bLoCkEd.eXaMpLe",
    "default_port": b"bLoCkEd.example:80",
    "zero_before_port": b"blocked.example:080",
    "zeros_before_port": b"blocked.example:0000080",
    "empty_port": b"blocked.example:",
    "other_port": b"blocked.example:8080",
    "dot_and_port": b"blocked.example.:80",
    "percent_encoded_letter": b"bl%6fcked.example",
    "percent_encoded_capital": b"%42locked.example",
    "percent_encoded_dot": b"blocked%2Eexample",
    "percent_encoded_trailing_dot": b"blocked.example%2e",
    "percent_encoded_whole": b"%62%6c%6f%63%6b%65%64%2e%65%78%61%6d%70%6c%65",
    "full_width_letters": "ｂｌｏｃｋｅｄ.example".encode(),
    "full_width_capitals": "ＢＬＯＣＫＥＤ.ＥＸＡＭＰＬＥ".encode(),
    "full_width_percent_encoded": b"%EF%BD%82locked.example",
    "full_width_dot": "blocked．example".encode(),
    "ideographic_dot": "blocked。example".encode(),
    "ideographic_dot_percent_encoded": b"blocked%E3%80%82example",
    "half_width_ideographic_dot": "blocked｡example".encode(),
    "trailing_ideographic_dot": "blocked.example。".encode(),
    "mathematical_letters": "𝐛𝓁𝕠𝖈𝗄𝘦𝚍.example".encode(),
    "circled_letters": "ⓑⓛⓞⓒⓚⓔⓓ.example".encode(),
    "kelvin_sign": "bloc\u212aed.example".encode(),
    "superscript_letter": "blocᵏed.example".encode(),
    "soft_hyphen": "block\u00aded.example".encode(),
    "zero_width_space": "block\u200bed.example".encode(),
    "word_joiner": "block\u2060ed.example".encode(),
    "variation_selector": "blocked\ufe0f.example".encode(),
    "byte_order_mark": "\ufeffblocked.example".encode(),
    "u_label": "bücher.example".encode(),
    "u_label_capitals": "BÜCHER.EXAMPLE".encode(),
    "u_label_decomposed": "bu\u0308cher.example".encode(),
    "u_label_percent_encoded": b"b%C3%BCcher.example",
    "u_label_percent_encoded_lower": b"b%c3%bccher.example",
    "u_label_full_width": "ｂücher．example".encode(),
    "a_label": b"xn--bcher-kva.example",
    "a_label_capitals": b"XN--BCHER-KVA.example.",
    "a_label_percent_encoded": b"%78n--bcher-kva.example",
    "a_label_full_width": "ｘｎ－－bcher-kva.example".encode(),
    "ipv4": b"127.0.0.1",
    "ipv4_trailing_dot": b"127.0.0.1.",
    "ipv4_two": b"127.1",
    "ipv4_three": b"127.0.1",
    "ipv4_decimal": b"2130706433",
    "ipv4_hex": b"0x7f000001",
    "ipv4_hex_capitals": b"0X7F.0.0.1",
    "ipv4_octal": b"0177.0.0.1",
    "ipv4_octal_of_one": b"017700000001",
    "ipv4_zeros": b"127.000.000.001",
    "ipv4_mixed": b"0x7f.00.1",
    "ipv4_empty_hex": b"127.0x.0x0.1",
    "ipv4_full_width": "１２７．０．０．１".encode(),
    "ipv4_percent_encoded": b"%31%32%37.0.0.1",
    "ipv4_circled": "①②⑦.0.0.1".encode(),
    "ipv4_mapped": b"[::ffff:127.0.0.1]",
    "ipv4_mapped_hex": b"[::ffff:7f00:1]",
    "ipv4_mapped_long": b"[0:0:0:0:0:FFFF:7F00:0001]",
    "ipv6": b"[2001:db8::1]",
    "ipv6_long": b"[2001:0DB8:0:0:0:0:0:1]",
    "ipv6_dotted": b"[2001:db8::0.0.0.1]",
}

PATHS = {
    "itself": b"/c/forbidden/",
    "below": b"/c/forbidden/x",
    "with_query": b"/c/forbidden/?x",
    "escaped_letter": b"/c/%66orbidden/",
    "escaped_all": b"/%63/%66%6f%72%62%69%64%64%65%6e/",
    "slashes": b"//c/./forbidden/",
    "many_slashes": b"////c///forbidden////x",
    "dots": b"/c/x/../forbidden/",
    "dots_from_the_root": b"/../c/forbidden/",
    "dots_above_the_root": b"/c/../../../c/forbidden/",
    "dots_from_outside": b"/d/../c/forbidden/",
    "escaped_dots": b"/c/%2e%2e/c/forbidden/",
    "escaped_dots_capitals": b"/c/%2E%2E/c/forbidden/x",
    "half_escaped_dots": b"/x/.%2e/c/forbidden/",
    "other_half_escaped_dots": b"/x/%2e./c/forbidden/",
    "escaped_dot": b"/c/%2e/forbidden/",
    "dot_at_the_end": b"/c/forbidden/.",
    "dots_at_the_end": b"/c/forbidden/x/..",
    "dots_after_slashes": b"/c/x//../forbidden/",
    "dots_in_a_row": b"/c/x/y/../../forbidden/",
    "dots_then_back": b"/c/forbidden/../forbidden/",
    "all_at_once": b"//d/%2E./%63/.//x/..//%66orbidden/%2e/",
}

QUERIES = {
    "itself": b"/c/forbidden/?q=secret",
    "escaped_query": b"/c/forbidden/?q=%73ecret",
    "escaped_name": b"/c/forbidden/?%71=secret&x",
    "path_and_query": b"/c/./%66orbidden//?q=s%65cret",
}


PORT = re.compile(rb"(?<!:):[0-9]*$")


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_no_spelling_of_a_host_slips_by(host: bytes) -> None:
    for target in (
        uri.absolute(b"http://%b/" % host),
        uri.absolute(b"HTTP://%b" % host),
        uri.origin(b"/x", host, "http"),
        uri.tunnel(PORT.sub(b"", host) + b":443"),
    ):
        for side in ("forward", "reverse"):
            assert by(BLOCKED.decide(Asked(known(target)), side)) == "host"


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_no_spelling_of_a_path_slips_by(path: bytes) -> None:
    for target in (uri.absolute(b"http://a" + path), uri.origin(path, b"A.", "https")):
        assert by(BLOCKED.decide(Asked(known(target)), "reverse")) == "path"


@pytest.mark.parametrize("rest", QUERIES.values(), ids=QUERIES)
def test_no_spelling_of_a_url_slips_by(rest: bytes) -> None:
    assert by(BLOCKED.decide(ask(b"HTTP://B.:080" + rest), "forward")) == "url"


OTHERS = {
    "other_host": b"http://unblocked.example/",
    "below_the_host": b"http://a.blocked.example/",
    "other_letters": "http://bl\u043ecked.example/".encode(),  # a Cyrillic o: another name
    "other_address": b"http://127.0.0.2/",
    "path_of_another_host": b"http://c/c/forbidden/",
    "shorter_path": b"http://a/c/forbidden",
    "other_case": b"http://a/c/Forbidden/",
    "dots_lead_away": b"http://a/c/forbidden/../",
    "escaped_slash_is_data": b"http://a/c%2fforbidden/",
    "escaped_backslash_is_data": b"http://a/c%5Cforbidden/",
    "escaped_twice": b"http://a/c/%2566orbidden/",
}


@pytest.mark.parametrize("url", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_caught(url: bytes) -> None:
    assert by(BLOCKED.decide(ask(url), "forward")) == "default"


# -- against the words of the reference -------------------------------------------------------

NAMES = ["example", "a.example", "b.a.example", "xa.example", "10.0.0.1"]
HOST_VALUES = [prefix + name for name in NAMES[:4] for prefix in ("", ".", "*.")] + NAMES[4:]
NETWORKS = [ip_network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "::1/128")]


def some(*values: Any) -> st.SearchStrategy[tuple[Any, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


WHENS = st.builds(
    When,
    host=some(*HOST_VALUES),
    url=some("example/x", "^https:", r"\?q"),
    path=some("/", "/x", "/x/"),
    method=some("GET", "PUT", "CONNECT"),
    port=some(80, 443),
    client=some(*NETWORKS),
)
RULES = st.lists(
    st.builds(
        Rule,
        name=st.just(""),
        side=st.sampled_from(["forward", "reverse", None]),
        when=WHENS | st.builds(When, host=some(*HOST_VALUES)),
        unless=st.none() | WHENS,
        action=st.sampled_from(["allow", "deny", "redirect"]),
        location=st.just("/"),
    ),
    max_size=12,
).map(lambda rules: tuple(evolve(each, name=f"r{i}") for i, each in enumerate(rules)))
ASKED = st.builds(
    lambda host, scheme, path, method, client: (
        connect(f"{host}:443", client=client)
        if scheme == ""
        else ask(f"{scheme}://{host}{path}", method=method, client=client)
    ),
    st.sampled_from(NAMES),
    st.sampled_from(["http", "https", ""]),
    st.sampled_from(["/", "/x", "/x/y", "/x/?q"]),
    st.sampled_from(["GET", "PUT"]),
    st.sampled_from(["10.0.0.1", "10.1.0.1", "192.0.2.1", "::1", ""]),
)


def naive(policy: Policy, asked: Asked, side: str) -> str:
    """Rule by rule, word by word."""
    for each in policy.rule:
        if (
            each.side in (None, side)
            and naive_holds(each.when, asked)
            and not (each.unless is not None and naive_holds(each.unless, asked))
        ):
            return each.name
    return "default"


def naive_holds(when: When, asked: Asked) -> bool:
    target = asked.target

    def host(pattern: str) -> bool:
        if pattern.startswith("*."):
            return target.host.endswith(pattern[1:])
        if pattern.startswith("."):
            return target.host == pattern[1:] or target.host.endswith(pattern)
        return target.host == pattern

    def client(network: Any) -> bool:
        return asked.client != "" and ip_address(asked.client) in network

    tests: dict[str, Any] = {
        "host": host,
        "url": lambda pattern: target.scheme != "" and re2.search(pattern, target.url),
        "path": lambda prefix: target.scheme != "" and target.path.startswith(prefix),
        "method": lambda method: asked.method == method,
        "port": lambda port: target.port == port,
        "client": client,
    }
    return all(
        any(tests[name](value) for value in values)
        for name in tests
        if (values := getattr(when, name)) is not None
    )


@given(RULES, st.lists(ASKED, min_size=1, max_size=6))
def test_decides_as_the_rules_read(rules: tuple[Rule, ...], questions: list[Asked]) -> None:
    policy = Policy(rule=rules)
    compiled = compile_policy(policy)
    actions = {each.name: each.action for each in rules} | {"default": "allow"}
    for asked in questions:
        for side in ("forward", "reverse"):
            verdict = compiled.decide(asked, side)
            assert verdict.rule == naive(policy, asked, side)
            assert verdict.action == actions[verdict.rule]


# -- what does not decide at once -----------------------------------------------------------------

KNOWN = {"addresses": ("10.0.0.1",), "response": Response(200, Fields([(b"Content-Type", b"a/b")]))}
INSIDE, OUTSIDE = (ip_network("10.0.0.0/8"),), (ip_network("192.0.2.0/24"),)
LATE_WHENS = st.builds(
    When,
    host=some(*HOST_VALUES),
    path=some("/", "/x"),
    resolved=st.sampled_from([None, None, INSIDE, OUTSIDE]),
    content_type=st.sampled_from([None, None, ("a/*",), ("c/d",)]),
    is_=st.sampled_from([None, None, ("inside",), ("kind",), ("kind", "inside")]),
)
NAMED = {"inside": When(resolved=INSIDE), "kind": When(content_type=("c/d",), host=(".example",))}
LATE_RULES = st.lists(
    st.builds(
        Rule,
        name=st.just(""),
        when=LATE_WHENS,
        unless=st.none() | LATE_WHENS,
        action=st.sampled_from(["allow", "deny", "continue"]),
        shadow=st.sampled_from([False, False, True]),
    ),
    max_size=10,
).map(lambda rules: tuple(evolve(each, name=f"r{i}") for i, each in enumerate(rules)))


def naive_with_all_known(policy: Policy, asked: Asked) -> tuple[str, list[str]]:
    """Who decides, and the rules before it that continue."""

    def holds(when: When) -> bool:
        if not naive_holds(when, asked):
            return False
        if when.resolved == OUTSIDE:
            return False
        if when.content_type == ("c/d",) or (when.content_type and asked.method == "CONNECT"):
            return False
        return when.is_ is None or any(holds(NAMED[name]) for name in when.is_)

    steps = []
    for each in policy.rule:
        if holds(each.when) and not (each.unless is not None and holds(each.unless)):
            if each.shadow:
                continue
            if each.action != "continue":
                return each.name, steps
            steps.append(each.name)
    return "default", steps


@given(LATE_RULES, ASKED, st.sampled_from(["allow", "deny"]))
def test_what_waits_decides_as_if_all_were_known(
    rules: tuple[Rule, ...], asked: Asked, default: Any
) -> None:
    policy = Policy(default=default, rule=rules, conditions=NAMED)
    compiled = compile_policy(policy)
    verdict = compiled.decide(asked, "forward")
    if verdict.action == "look up":
        asked = evolve(asked, addresses=KNOWN["addresses"])
        verdict = compiled.decide(asked, "forward")
    before = verdict.steps
    if waited := verdict.pending:
        asked = evolve(asked, response=KNOWN["response"])
        verdict = compiled.decide_by_response(asked, "forward", verdict)
    decides, steps = naive_with_all_known(policy, asked)
    actions = {each.name: each.action for each in rules} | {"default": default}
    assert verdict.action in ("allow", "deny")
    if verdict.action == "deny" and not waited:
        # Who is denied whatever the response says need not wait for it.
        assert actions[decides] == "deny"
    else:
        assert (verdict.rule, verdict.action) == (decides, actions[decides])
        done = {each.name for each in (*before, *verdict.steps)}
        assert done >= set(steps)
        assert waited or done == set(steps)
    assert compiled.snapshot()["decisions"] == 1
    everything = evolve(asked, **KNOWN)
    assert compiled.explain(everything, "forward").verdict.rule == decides


def test_a_shadow_is_counted_where_it_would_have_decided() -> None:
    rules = plan(
        rule("try", shadow=True, when=When(host=("a",))),
        rule("this", "allow", when=When(host=(".a",))),
        rule("late", shadow=True),
    )
    verdict = rules.decide(ask("http://a/"), "forward")
    assert (verdict.rule, [each.name for each in verdict.shadows]) == ("this", ["try"])
    assert [each["hits"] for each in rules.snapshot()["rules"]] == [1, 1, 0]


def test_who_wants_to_know_is_told_of_each_decision() -> None:
    told: list[tuple[str, str]] = []

    class Watching:
        def decided(self, question: Any, side: str, verdict: Verdict) -> None:
            told.append((side, verdict.rule))

    rules = plan(rule(when=When(host=("a",))))
    rules.watcher = Watching()
    rules.decide(ask("http://a/"), "forward")
    rules.decide(ask("http://b/"), "reverse")
    assert told == [("forward", "rule"), ("reverse", "default")]


def test_the_last_decisions_are_remembered_and_no_more() -> None:
    rules = plan(rule(when=When(host=("a",))))
    for n in range(RECENT + 3):
        rules.decide(ask("http://b/", at=float(n)), "forward")
    recent = rules.totals.recent
    assert (len(recent), recent[0][0], recent[-1][0]) == (RECENT, 3.0, RECENT + 2.0)
    assert recent[-1][1:4] == ("default", "192.0.2.1", "GET")


def test_only_rules_for_the_host_are_looked_at() -> None:
    looks = 0

    class Counted(Asked):
        def __getattribute__(self, name: str) -> Any:
            nonlocal looks
            looks += name == "method"
            return super().__getattribute__(name)

    rules = plan(
        *(
            rule(f"r{number}", when=When(host=(f".h{number}.example",), method=("GET",)))
            for number in range(1000)
        )
    )
    target = known(uri.absolute(b"http://a.h500.example/"))
    assert by(rules.decide(Counted(target, "PUT"), "forward")) == "default"
    assert looks == 2, "by the one rule, and for those who want to know what was decided"


def test_each_key_has_its_condition() -> None:
    assert set(CONDITIONS) == {key.name for key in fields(When)} - {"is_", "timezone"}


# -- counts -------------------------------------------------------------------------------------


def test_snapshot() -> None:
    rules = plan(
        rule(
            "ads",
            side="forward",
            when=When(host=("a", "b", "c", "d", ".e"), method=("GET",)),
            unless=When(client=(ip_network("10.0.0.0/8"),)),
        ),
        rule("rest", "allow"),
    )
    for _ in range(2):
        rules.decide(ask("http://a/"), "forward")
    rules.decide(ask("http://a/"), "reverse")
    assert rules.snapshot() == {
        "default": "allow",
        "rules": [
            {
                "name": "ads",
                "side": "forward",
                "action": "deny",
                "when": "method GET and host a, b, c, … 2 more unless client 10.0.0.0/8",
                "hits": 2,
            },
            {"name": "rest", "side": "both", "action": "allow", "when": "always", "hits": 1},
        ],
        "decisions": 3,
        "denied": 2,
    }


def test_repr_is_a_table() -> None:
    rules = plan(rule("ads", when=When(host=(".ads.example",)), side="forward"), default="deny")
    rules.decide(ask("http://ads.example/"), "forward")
    assert repr(rules).splitlines() == [
        "rule     side     action  hits  when",
        "ads      forward  deny       1  host .ads.example",
        "default  both     deny       0  no rule",
    ]


def test_repr_of_many_rules_is_bounded() -> None:
    lines = repr(plan(*(rule(f"r{number}") for number in range(10_000)))).splitlines()
    assert len(lines) < 110
    assert lines[-2].startswith("… 9900 more")


def test_counts_of_unchanged_rules_outlive_a_reload() -> None:
    kept, changed, gone = (rule(name, when=When(host=(name,))) for name in ("k", "c", "g"))
    before = compile_policy(Policy(rule=(kept, changed, gone)))
    for host in ("k", "c", "g", "x"):
        before.decide(ask(f"http://{host}/"), "forward")
    after = compile_policy(Policy(rule=(evolve(changed, status=451), kept)), before)
    # An exchange that began before the reload asks the old plan, and is counted, too.
    before.decide(ask("http://k/"), "forward")
    after.decide(ask("http://k/"), "forward")
    snapshot = after.snapshot()
    assert {each["name"]: each["hits"] for each in snapshot["rules"]} == {"c": 0, "k": 3}
    assert (snapshot["decisions"], snapshot["denied"]) == (6, 5)
    assert repr(after).splitlines()[-1].split()[:4] == ["default", "both", "allow", "1"]


# -- what can't be -------------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_with_its_place() -> None:
    with pytest.raises(PolicyError) as caught:
        plan(
            rule("a", when=When(host=("a.example", "a..example", ".127.0.0.1"), path=("b",))),
            rule("default"),
            rule("c", unless=When(url=("(",), host=("256.0.0.1",))),
        )
    wrong = {".".join(map(str, fault.where)): fault.message for fault in caught.value.faults}
    assert set(wrong) == {
        "policy.rule.0.when.host.1",
        "policy.rule.0.when.host.2",
        "policy.rule.0.when.path.0",
        "policy.rule.1.name",
        "policy.rule.2.unless.url.0",
        "policy.rule.2.unless.host.0",
    }
    assert wrong["policy.rule.0.when.path.0"] == '"b": a path begins with a slash'
    assert '"a..example"' in str(caught.value)
