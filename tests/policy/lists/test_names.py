from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listing import asked, contents, lookup
from twistproxy.http.uri import host_pattern
from twistproxy.policy.lists.formats import FORMATS

HAS = {
    # format, list, host, whether it has it
    "host_itself": ("hosts", "0.0.0.0 ads.example", "ads.example", True),
    "host_not_below": ("hosts", "0.0.0.0 ads.example", "www.ads.example", False),
    "host_not_above": ("hosts", "0.0.0.0 ads.example.org", "example.org", False),
    "host_no_part": ("hosts", "0.0.0.0 ads.example", "ads.examples", False),
    "several_names": ("hosts", "192.0.2.1 a.example b.example # both", "b.example", True),
    "any_address": ("hosts", "fe80::1%lo0 a.example", "a.example", True),
    "in_capitals": ("hosts", "127.0.0.1\tADS.Example.", "ads.example", True),
    "u_label": ("hosts", "0.0.0.0 bücher.example", "xn--bcher-kva.example", True),
    "a_label": ("hosts", "0.0.0.0 xn--bcher-kva.example", "bücher.example", True),
    "single_label": ("hosts", "192.0.2.1 router", "router", True),
    "domain_itself": ("domains", "ads.example", "ads.example", True),
    "domain_below": ("domains", "ads.example", "a.b.ads.example", True),
    "domain_no_part": ("domains", "ads.example", "bads.example", False),
    "domain_no_start": ("domains", "ads.example", "ads.example.org", False),
    "domain_beside_a_hyphen": ("domains", "ads.example\nx-ads.example", "y.ads.example", True),
    "with_a_dot": ("domains", ".ads.example", "ads.example", True),
    "with_a_star": ("domains", "*.ads.example", "www.ads.example", True),
    "top_level": ("domains", "zip", "report.zip", True),
    "an_address": ("domains", "192.0.2.1", "192.0.2.1", True),
    "an_address_otherwise": ("domains", "192.0.2.1", "0xc0.0.2.1", True),
    "no_address_below": ("domains", "2.1.example", "192.0.2.1", False),
    "mapped_address": ("domains", "192.0.2.1", "[::ffff:192.0.2.1]", True),
    "mapped_in_the_list": ("domains", "::ffff:192.0.2.1", "192.0.2.1", True),
    "ipv6": ("domains", "2001:db8:0::1", "[2001:db8::1]", True),
    "comment_behind": ("domains", "ads.example # why", "ads.example", True),
    "comment": ("domains", "#ads.example\n! ads.example", "ads.example", False),
    "windows": ("domains", "a.example\r\nads.example\r\n", "ads.example", True),
    "bom": ("domains", "\ufeffads.example", "ads.example", True),
    "adblock_itself": ("adblock", "||ads.example^", "ads.example", True),
    "adblock_below": ("adblock", "||ads.example^", "www.ads.example", True),
    "adblock_not_beside": ("adblock", "||ads.example^", "myads.example", False),
    "exception": ("adblock", "||ads.example^\n@@||ok.ads.example^", "ok.ads.example", False),
    "exception_below": (
        "adblock",
        "||ads.example^\n@@||ok.ads.example^",
        "a.ok.ads.example",
        False,
    ),
    "beside_exception": ("adblock", "||ads.example^\n@@||ok.ads.example^", "no.ads.example", True),
    "exception_wins": ("adblock", "||a.ads.example^\n@@||ads.example^", "a.ads.example", False),
    "important": ("adblock", "||ads.example^$important", "ads.example", True),
    "third_party": ("adblock", "||ads.example^$third-party", "ads.example", False),
    "with_a_path": ("adblock", "||ads.example/banner", "ads.example", False),
    "cosmetic": ("adblock", "ads.example##.banner", "ads.example", False),
    "adblock_comment": ("adblock", "! ||ads.example^", "ads.example", False),
}


@pytest.mark.parametrize(("form", "text", "host", "has"), HAS.values(), ids=HAS)
@pytest.mark.parametrize("target", ["http://{}/a?b", "{}:443"])
def test_has(form: str, text: str, host: str, has: bool, target: str) -> None:
    question = asked(target.format(host))
    found = lookup(form, text)
    assert found.has(question) is has
    assert found.has(question) is has  # remembered


LINES = {
    # format, line: entries, skipped, unreadable
    "empty": ("hosts", "", (0, 0, 0)),
    "own_names": ("hosts", "127.0.0.1 localhost localhost.localdomain\n::1 LOCALHOST", (0, 2, 0)),
    "address_as_name": ("hosts", "0.0.0.0 0.0.0.0", (0, 1, 0)),
    "word_alone": ("hosts", "ads", (0, 0, 1)),
    "name_alone": ("hosts", "ads.example", (1, 0, 0)),
    "no_address": ("hosts", "ads.example evil.example", (0, 0, 1)),
    "pattern_in_hosts": ("hosts", "0.0.0.0 *.example", (0, 0, 1)),
    "two_words": ("domains", "ads.example evil.example", (0, 0, 1)),
    "two_dots": ("domains", "..example", (0, 0, 1)),
    "bad_a_label": ("domains", "xn--a.example", (0, 0, 1)),
    "label_too_long": ("domains", f"{'a' * 64}.example", (0, 0, 1)),
    "name_too_long": ("domains", f"{'a.' * 130}example", (0, 0, 1)),
    "not_utf8": ("domains", b"b\xfccher.example", (0, 0, 1)),
    "nul": ("domains", "a\0.example", (0, 0, 1)),
    "adblock_head": ("adblock", "[Adblock Plus 2.0]\n! Title: x\n# x", (0, 0, 0)),
    "hides": ("adblock", "##.ad\nexample.org#@#.ad\nexample.org#?#div p > a", (0, 3, 0)),
    "patterns": ("adblock", "/banner/*\n-ad-\n|https://a.example/\n@@/ok/", (0, 4, 0)),
    "options": ("adblock", "||a.example^$script\n||a.example^$", (0, 2, 0)),
    "wildcard": ("adblock", "||a*.example^", (0, 1, 0)),
    "prose": ("adblock", "Not found on this server", (0, 0, 1)),
    "bad_name": ("adblock", "||a..example^", (0, 0, 1)),
}


@pytest.mark.parametrize(("form", "text", "counts"), LINES.values(), ids=LINES)
def test_what_is_read_of_lines(form: str, text: str | bytes, counts: tuple[int, int, int]) -> None:
    _, found = contents(form, text)
    assert (found.entries, found.skipped, found.unreadable) == counts


BEFORE = st.sampled_from(["", "0.0.0.0 ", "127.0.0.1\t", "::1  ", "||", "@@||", " "])
LABEL = st.text("aZ9-_xnü.", min_size=1, max_size=8) | st.sampled_from(
    ["xn--bcher-kva", "localhost"]
)
BEHIND = st.sampled_from(["", "^", " ", "\r", " # b", "#", ".", "^$important", ".example"])


@given(st.sampled_from(["hosts", "domains", "adblock"]), BEFORE, LABEL, BEHIND)
def test_plain_lines_are_read_the_same(form: str, before: str, label: str, behind: str) -> None:
    line = f"{before}{label}.org{behind}"
    known = FORMATS[form]
    assert known.plain
    plain = known.plain.findall(line.lower())
    if plain:
        assert [known.key(name) for name in plain] == list(known.read(line) or ())


@given(st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_domain_has_itself_and_all_below(labels: list[str]) -> None:
    host = ".".join([*labels, "example"])
    for entry in ("a.example", "ab.a.example", "b-a.example", "a-.example"):
        try:
            host_pattern(host)
        except ValueError:
            return
        below = host == entry or host.endswith(f".{entry}")
        assert lookup("domains", entry).has(asked(f"{host}:443")) is below
