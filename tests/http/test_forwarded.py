"""forwarded: who asked, when anybody on the way may lie."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import forwarded
from twistproxy.http.fields import Fields
from twistproxy.http.forwarded import Told, client_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"), ip_network("127.0.0.1/32"))
FRONT, REAL = "10.0.0.1", "203.0.113.9"  # a trusted proxy, and who came to it
FAKE = "198.51.100.66"  # whom a client would like to be


def lines(*pairs: str) -> Fields:
    return Fields(
        (name.encode(), value.strip().encode("latin-1"))
        for name, _, value in (pair.partition(":") for pair in pairs)
    )


def xff(value: str) -> list[str]:
    return [f"X-Forwarded-For: {value}"]


def fwd(value: str) -> list[str]:
    return [f"Forwarded: {value}"]


CLIENTS = {
    # Nobody vouches for these.
    "no_fields": (REAL, [], REAL),
    "stranger_x_forwarded_for": (REAL, xff(FAKE), REAL),
    "stranger_forwarded": (REAL, fwd(f"for={FAKE}"), REAL),
    "stranger_names_a_trusted_one": (REAL, xff(FRONT), REAL),
    "stranger_near_the_network": ("11.0.0.1", xff(FAKE), "11.0.0.1"),
    "unix_socket": ("", xff(FAKE), ""),
    # Told by a trusted proxy.
    "front_says_nothing": (FRONT, [], FRONT),
    "front": (FRONT, xff(REAL), REAL),
    "front_forwarded": (FRONT, fwd(f"for={REAL}"), REAL),
    "mapped_front": ("::ffff:10.0.0.1", xff(REAL), REAL),
    "front_with_zone": ("2001:db8:1::1%eth0", xff(REAL), REAL),
    "mapped_client": (FRONT, xff(f"::ffff:{REAL}"), REAL),
    "two_fronts": (FRONT, xff(f"{REAL}, 10.0.0.2"), REAL),
    "two_fronts_two_lines": (FRONT, [*xff(REAL), *xff("10.0.0.2")], REAL),
    "two_fronts_forwarded": (FRONT, fwd(f"for={REAL}, for=10.0.0.2;proto=http"), REAL),
    "all_trusted": (FRONT, xff("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
    "a_proxy_that_is_not_trusted": (FRONT, xff(f"{FAKE}, {REAL}, 10.0.0.2"), REAL),
    # A client wrote something first, and the front appended.
    "spoofed": (FRONT, xff(f"{FAKE}, {REAL}"), REAL),
    "spoofed_as_trusted": (FRONT, xff(f"10.0.0.7, {REAL}"), REAL),
    "spoofed_chain": (FRONT, xff(f"{FAKE}, 10.0.0.7, {REAL}"), REAL),
    "spoofed_two_lines": (FRONT, [*xff(FAKE), *xff(REAL)], REAL),
    "spoofed_forwarded": (FRONT, fwd(f"for={FAKE}, for={REAL}"), REAL),
    "spoofed_forwarded_as_trusted": (FRONT, fwd(f"for=10.0.0.7, for={REAL}"), REAL),
    "spoofed_open_quote": (FRONT, fwd(f'for="{FAKE}, for={REAL}'), REAL),
    "spoofed_open_quote_before_quotes": (
        FRONT,
        fwd(f'for={FAKE};x=", for="[2001:db8::9]:80";proto=https'),
        "2001:db8::9",
    ),
    "spoofed_escape": (FRONT, fwd(f'for={FAKE};x="\\, for={REAL}'), REAL),
    "spoofed_other_field": (FRONT, [*fwd(f"for={FAKE}"), *xff(REAL)], REAL),
    "spoofed_other_field_as_trusted": (FRONT, [*fwd("for=10.0.0.7"), *xff(REAL)], REAL),
    "spoofed_garbage": (FRONT, xff(f"<script>, {REAL}"), REAL),
    "spoofed_empty_elements": (FRONT, xff(f"{FAKE},, ,{REAL}, ,"), REAL),
    "spoofed_in_extension": (FRONT, fwd(f'for={REAL};ext="a for={FAKE}"'), REAL),
    "spoofed_through_two": (FRONT, xff(f"{FAKE}, {REAL}, 10.0.0.2"), REAL),
    # Nobody to be found: the last that we know of.
    "unknown": (FRONT, xff("unknown"), FRONT),
    "unknown_forwarded": (FRONT, fwd("for=unknown"), FRONT),
    "obfuscated": (FRONT, fwd("for=_hidden"), FRONT),
    "obfuscated_with_port": (FRONT, fwd('for="_hidden:_port"'), FRONT),
    "unknown_behind_one_more": (FRONT, fwd(f"for={FAKE}, for=unknown, for=10.0.0.2"), "10.0.0.2"),
    "malformed": (FRONT, xff("203.0.113"), FRONT),
    "leading_zeros": (FRONT, xff("0203.0.113.9"), FRONT),
    "out_of_range": (FRONT, xff("203.0.113.900"), FRONT),
    "zone": (FRONT, xff('fe80::1%"evil'), FRONT),
    "empty": (FRONT, xff(""), FRONT),
    "name": (FRONT, xff("localhost"), FRONT),
    "bracketed_ipv4": (FRONT, fwd('for="[203.0.113.9]"'), FRONT),
    "brackets_without_quotes": (FRONT, fwd("for=[2001:db8::9]"), FRONT),
    "twice_in_one_element": (FRONT, fwd(f"for={FAKE};for={REAL}"), FRONT),
    "no_for": (FRONT, fwd("proto=https"), FRONT),
    "space_around_equals": (FRONT, fwd(f"for = {REAL}"), FRONT),
    # Spellings.
    "port": (FRONT, xff(f"{REAL}:4711"), REAL),
    "ipv6": (FRONT, xff("2001:db8::9"), "2001:db8::9"),
    "ipv6_normal_form": (FRONT, xff("2001:DB8:0:0::9"), "2001:db8::9"),
    "ipv6_brackets": (FRONT, xff("[2001:db8::9]"), "2001:db8::9"),
    "ipv6_port": (FRONT, xff("[2001:db8::9]:4711"), "2001:db8::9"),
    "ipv6_front": ("2001:db8:1::5", xff(f"{FAKE}, {REAL}, 2001:DB8:1::6"), REAL),
    "forwarded_ipv6_port": (FRONT, fwd('for="[2001:db8::9]:4711"'), "2001:db8::9"),
    "forwarded_hidden_port": (FRONT, fwd(f'for="{REAL}:_p"'), REAL),
    "forwarded_case": (FRONT, fwd(f"FOR={REAL};Proto=HTTPS"), REAL),
    "forwarded_escapes": (FRONT, fwd('for="203\\.0.113.9"'), REAL),
    "forwarded_empty_pairs": (FRONT, fwd(f";for={REAL};;proto=http;"), REAL),
    "latin_1": (FRONT, xff("\xb2\xb3"), FRONT),
}


@pytest.mark.parametrize(("peer", "fields", "client"), CLIENTS.values(), ids=CLIENTS)
def test_the_client_is_the_first_that_nobody_vouches_for(peer, fields, client):
    assert client_of(peer, lines(*fields), TRUSTED).client == client


@pytest.mark.parametrize("fields", [xff(FAKE), fwd(f"for={FAKE};proto=https;host=evil")])
def test_without_trusted_proxies_nothing_is_believed(fields):
    assert client_of(FRONT, lines(*fields), ()) == Told(FRONT)


PROTO, HOST = "X-Forwarded-Proto: ", "X-Forwarded-Host: "
SAID = {
    "stranger": (REAL, [PROTO + "https", HOST + "evil"], None, None),
    "single": (
        FRONT,
        [*xff(REAL), PROTO + "https", HOST + "shop.example"],
        "https",
        "shop.example",
    ),
    "port": (FRONT, [*xff(REAL), HOST + "shop.example:8443"], None, "shop.example:8443"),
    "ipv6": (FRONT, [*xff(REAL), HOST + "[2001:db8::1]:80"], None, "[2001:db8::1]:80"),
    "without_x_forwarded_for": (FRONT, [PROTO + "https", HOST + "a"], "https", "a"),
    "appended": (FRONT, [*xff(f"{FAKE}, {REAL}"), PROTO + "https, http"], "http", None),
    "appended_more": (
        FRONT,
        [*xff(REAL), PROTO + "https, http", HOST + "evil, shop"],
        "http",
        "shop",
    ),
    "one_for_two_hops": (FRONT, [*xff(f"{REAL}, 10.0.0.2"), PROTO + "https"], "https", None),
    "each_of_two_hops": (FRONT, [*xff(f"{REAL}, 10.0.0.2"), PROTO + "https, http"], "https", None),
    "not_a_scheme": (FRONT, [*xff(REAL), PROTO + "gopher"], None, None),
    "not_a_host": (FRONT, [*xff(REAL), HOST + "a/b"], None, None),
    "host_with_quote": (FRONT, [*xff(REAL), HOST + 'a"b'], None, None),
    "forwarded": (FRONT, fwd(f"for={REAL};proto=https;host=shop"), "https", "shop"),
    "forwarded_quoted": (FRONT, fwd(f'for={REAL};host="shop:81"'), None, "shop:81"),
    "forwarded_first_only": (FRONT, fwd(f"for={REAL};proto=https, for=10.0.0.2"), "https", None),
    "forwarded_not_the_clients": (FRONT, fwd(f"for={FAKE};proto=https, for={REAL}"), None, None),
    "forwarded_hidden": (FRONT, fwd("for=_x;proto=https"), "https", None),
    "x_forwarded_for_wins": (FRONT, [*xff(REAL), *fwd("for=x;proto=https")], None, None),
}


@pytest.mark.parametrize(("peer", "fields", "scheme", "host"), SAID.values(), ids=SAID)
def test_scheme_and_host_as_the_client_asked(peer, fields, scheme, host):
    told = client_of(peer, lines(*fields), TRUSTED)
    assert (told.scheme, told.host) == (scheme, host)


def write(fields: Fields, told: Told, *, peer: str, scheme: str, host: str) -> None:
    fields.remove(*forwarded.WRITTEN_OVER, *forwarded.other_spellings(fields))
    fields.append(*forwarded.lines(told, peer=peer, scheme=scheme, host=host))


def written(peer: str, *fields: str, scheme: str = "http", host: str = "h") -> list[str]:
    out = lines("Accept: a", *fields)
    told = client_of(peer, out, TRUSTED)
    write(out, told, peer=peer, scheme=scheme, host=host)
    assert out.get(b"accept") == b"a"
    return [
        f"{name.decode().lower()}: {value.decode()}" for name, value in out if name != b"Accept"
    ]


def test_a_stranger_is_named_whatever_it_says():
    claims = ["X-Real-IP: 1.1.1.1", "X-Forwarded-Port: 443", "X-Forwarded-Ssl: on"]
    lies = [*xff(FAKE), *xff(FRONT), PROTO + "https", HOST + "evil", *fwd(f"for={FAKE}"), *claims]
    assert (
        sorted(written(REAL, *lies))
        == sorted(written(REAL))
        == [
            f"forwarded: for={REAL};host=h;proto=http",
            f"x-forwarded-for: {REAL}",
            "x-forwarded-host: h",
            "x-forwarded-proto: http",
        ]
    )


SPELLINGS = [
    "X_Forwarded_For",
    "X.Forwarded.Host",
    "x-forwarded_for",
    "X_FORWARDED_PROTO",
    "X_Real_IP",
    "Proxy",
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_cgi_takes_for_our_fields_is_not_passed_on(name):
    for peer in (REAL, FRONT):
        assert sorted(written(peer, f"{name}: {FAKE}")) == sorted(written(peer))


def test_a_name_with_an_underscore_is_none_of_ours():
    assert "x_mine: 1" in written(REAL, "X_Mine: 1")


def test_what_a_trusted_proxy_says_is_extended():
    fields = [*xff(f"{REAL}, 10.0.0.2"), PROTO + "https", HOST + "shop.example"]
    assert sorted(written(FRONT, *fields)) == [
        f"forwarded: for={REAL};host=shop.example;proto=https, for=10.0.0.2, for=10.0.0.1",
        f"x-forwarded-for: {REAL}, 10.0.0.2, 10.0.0.1",
        "x-forwarded-host: shop.example",
        "x-forwarded-proto: https",
    ]


def test_what_nobody_vouches_for_is_not_passed_on():
    out = written(
        FRONT, *xff(f"{FAKE}, 10.9.9.9, {REAL}"), *fwd(f"for={FAKE}"), PROTO + "https, http"
    )
    assert FAKE not in " ".join(out)
    assert f"x-forwarded-for: {REAL}, 10.0.0.1" in out
    assert "x-forwarded-proto: http" in out


def test_either_field_is_translated_to_the_other():
    out = written(FRONT, *fwd('for="[2001:db8::9]:4711";proto=https;host="shop:81"'))
    assert "x-forwarded-for: 2001:db8::9, 10.0.0.1" in out
    assert 'forwarded: for="[2001:db8::9]";host="shop:81";proto=https, for=10.0.0.1' in out


def test_an_ipv6_peer_is_quoted_in_forwarded_only():
    out = written("2001:db8::7%eth0", host="[2001:db8::1]:8080")
    assert "x-forwarded-for: 2001:db8::7" in out
    assert 'forwarded: for="[2001:db8::7]";host="[2001:db8::1]:8080";proto=http' in out


def test_a_peer_without_address_is_not_named():
    assert sorted(written("", *xff(FAKE))) == [
        "forwarded: for=unknown;host=h;proto=http",
        "x-forwarded-host: h",
        "x-forwarded-proto: http",
    ]


ELEMENT = st.sampled_from(
    [REAL, FAKE, "10.0.0.2", "unknown", "", '"', "for=", f"for={FAKE}", 'x="', "\\", "2001:db8::1"]
) | st.text('0123456789abcdef:.,;="\\[]% _', max_size=20)


@given(said=st.lists(ELEMENT, max_size=6), other=st.lists(ELEMENT, max_size=3))
def test_whatever_a_client_says_its_front_tells_the_truth(said, other):
    fields = lines(*fwd(", ".join(other)), *xff(", ".join(said)), *xff(REAL))
    assert client_of(FRONT, fields, TRUSTED) == Told(REAL, None, None, (REAL,))


@given(said=st.lists(ELEMENT, max_size=6))
def test_so_does_a_front_that_writes_forwarded(said):
    fields = lines(*fwd(", ".join(said)), *fwd(f"for={REAL};proto=https"))
    assert client_of(FRONT, fields, TRUSTED) == Told(REAL, "https", None, (REAL,))


@given(said=st.lists(ELEMENT, max_size=6))
def test_what_is_written_is_read_as_told(said):
    out = lines(*xff(", ".join(said)))
    told = client_of(FRONT, out, TRUSTED)
    write(out, told, peer=FRONT, scheme="http", host="h")
    again = client_of("10.0.0.9", out, TRUSTED)
    assert (again.client, again.chain) == (told.client, (*told.chain, FRONT))
    out.remove(b"x-forwarded-for")
    assert client_of("10.0.0.9", out, TRUSTED) == again


def test_what_is_told_again_is_not_made_again():
    told = client_of(REAL, lines(), TRUSTED)
    assert client_of(REAL, lines(*xff(FAKE)), TRUSTED) is told
    once = forwarded.lines(told, peer=REAL, scheme="http", host="h")
    assert forwarded.lines(told, peer=REAL, scheme="http", host="h") is once
    assert forwarded.lines(told, peer=REAL, scheme="https", host="h") != once


def test_a_long_host_or_chain_is_told_like_any_other():
    host, chain = "h" * 300, tuple(f"10.0.0.{n}" for n in range(9))
    out = Fields()
    out.append(*forwarded.lines(Told(REAL, "http", host, chain), peer=FRONT, scheme="", host=""))
    assert out.get(b"x-forwarded-host") == host.encode()
    assert client_of("10.0.0.9", out, TRUSTED).chain == (*chain, FRONT)


def test_what_is_believed_is_that_of_the_networks_asked_about():
    fields, others = lines(*xff(f"{REAL}, 10.0.0.2")), (ip_network("10.0.0.1/32"),)
    for _ in range(2):
        assert client_of(FRONT, fields, TRUSTED).client == REAL
        assert client_of(FRONT, fields, others).client == "10.0.0.2"
        assert client_of(FRONT, fields, ()).client == FRONT


def test_a_long_story_is_believed_like_a_short_one():
    elements = [f"10.1.0.{n}" for n in range(100)]
    told = client_of(FRONT, lines(*xff(", ".join([REAL, *elements]))), TRUSTED)
    assert (told.client, told.chain) == (REAL, (REAL, *elements))
