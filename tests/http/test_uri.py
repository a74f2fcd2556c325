from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import uri
from twistproxy.http.errors import Problem
from twistproxy.http.uri import Target


def known(target: Target | Problem) -> Target:
    assert isinstance(target, Target), target
    return target


# -- forms --------------------------------------------------------------------------------

ABSOLUTE = {  # target → (scheme, host, port, path, query, received, whole)
    "plain": (b"http://a.example/x?y", ("http", "a.example", 80, "/x", "y", b"/x?y", False)),
    "https": (b"https://a.example/", ("https", "a.example", 443, "/", None, b"/", False)),
    "scheme_in_capitals": (b"HTTP://a/", ("http", "a", 80, "/", None, b"/", False)),
    "no_path": (b"http://a.example", ("http", "a.example", 80, "/", None, b"/", True)),
    "no_path_but_query": (b"http://a?b", ("http", "a", 80, "/", "b", b"/?b", False)),
    "empty_query": (b"http://a/?", ("http", "a", 80, "/", "", b"/?", False)),
    "port": (b"http://a:8080/", ("http", "a", 8080, "/", None, b"/", False)),
    "empty_port": (b"http://a:/", ("http", "a", 80, "/", None, b"/", False)),
    "zeros_before_port": (b"https://a:00080/", ("https", "a", 80, "/", None, b"/", False)),
    "ipv6": (b"http://[2001:DB8::0:1]:81/", ("http", "2001:db8::1", 81, "/", None, b"/", False)),
    "received_is_kept": (
        b"http://a/%66/../b//?%7e",
        ("http", "a", 80, "/b/", "~", b"/%66/../b//?%7e", False),
    ),
    "url_in_the_path": (
        b"http://a/http://b/",
        ("http", "a", 80, "/http:/b/", None, b"/http://b/", False),
    ),
    "url_in_the_query": (
        b"http://a/?u=http://b/../c",
        ("http", "a", 80, "/", "u=http://b/../c", b"/?u=http://b/../c", False),
    ),
}


@pytest.mark.parametrize(("received", "expected"), ABSOLUTE.values(), ids=ABSOLUTE)
def test_absolute(received: bytes, expected: tuple[object, ...]) -> None:
    assert uri.absolute(received) == Target(*expected)  # type: ignore[arg-type]


def test_origin_takes_the_host_field() -> None:
    assert uri.origin(b"/x?y", b"A.example:8443", "https") == Target(
        "https", "a.example", 8443, "/x", "y", b"/x?y"
    )


def test_origin_does_not_take_two_slashes_for_a_host() -> None:
    target = known(uri.origin(b"//evil.example/x", b"a.example", "http"))
    assert (target.host, target.path) == ("a.example", "/evil.example/x")


def test_asterisk_is_the_server_as_a_whole() -> None:
    assert uri.asterisk(b"a.example", "http") == uri.absolute(b"http://a.example")
    assert known(uri.asterisk(b"a.example", "http")).whole


def test_tunnel_has_host_and_port_only() -> None:
    target = known(uri.tunnel(b"A.example.:443"))
    assert target == Target("", "a.example", 443, "", None, b"")
    assert target.authority == target.url == target.received_url == "a.example:443"


AUTHORITIES = {
    "default_port": (b"http://a:80/", "a", "http://a/"),
    "default_of_the_other_scheme": (b"https://a:80/", "a:80", "https://a:80/"),
    "ipv6": (b"http://[::1]/", "[::1]", "http://[::1]/"),
    "ipv6_and_port": (b"http://[::1]:81/", "[::1]:81", "http://[::1]:81/"),
    "with_query": (b"http://a/b?", "a", "http://a/b?"),
}


@pytest.mark.parametrize(("received", "authority", "url"), AUTHORITIES.values(), ids=AUTHORITIES)
def test_authority_and_url(received: bytes, authority: str, url: str) -> None:
    target = known(uri.absolute(received))
    assert (target.authority, target.url) == (authority, url)


def test_on_default_port() -> None:
    plain, other = known(uri.absolute(b"https://a/%7e?")), known(uri.absolute(b"https://a:81/%7e?"))
    assert (plain.has_default_port, other.has_default_port) == (True, False)
    assert other.on_default_port() == plain == plain.on_default_port()
    assert other.on_default_port().url == "https://a/~?"
    assert not known(uri.tunnel(b"a:443")).has_default_port


def test_received_url_keeps_the_spelling_of_path_and_query() -> None:
    target = known(uri.absolute(b"HTTP://A.example:80/%7e/../\xe9?%zz"))
    assert target.received_url == "http://a.example/%7e/../\xe9?%zz"
    assert target.url == "http://a.example/%E9?%25zz"


# -- hosts --------------------------------------------------------------------------------

HOSTS = {
    "capitals": (b"A.Example", "a.example"),
    "trailing_dot": (b"a.example.", "a.example"),
    "one_label": (b"localhost", "localhost"),
    "underscore": (b"_dmarc.my_host.example", "_dmarc.my_host.example"),
    "hyphens_at_the_ends": (b"-a-.example", "-a-.example"),
    "u_label": ("bücher.example".encode(), "xn--bcher-kva.example"),
    "u_label_in_capitals": ("BÜCHER.example".encode(), "xn--bcher-kva.example"),
    "u_label_decomposed": ("bu\u0308cher.example".encode(), "xn--bcher-kva.example"),
    "u_label_percent_encoded": (b"b%C3%BCcher.example", "xn--bcher-kva.example"),
    "a_label_in_capitals": (b"XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    "sharp_s_is_not_ss": ("straße.example".encode(), "xn--strae-oqa.example"),
    "emoji": ("💩.la".encode(), "xn--ls8h.la"),
    "emoji_a_label": (b"xn--ls8h.la", "xn--ls8h.la"),
    "full_width": ("ａ.ｅxample".encode(), "a.example"),
    "ideographic_full_stop": ("a。example".encode(), "a.example"),
    "half_width_ideographic_full_stop": ("a｡example".encode(), "a.example"),
    "full_width_full_stop_at_the_end": ("a．example．".encode(), "a.example"),
    "soft_hyphen": ("a\u00ad.example".encode(), "a.example"),
    "kelvin_sign": ("\u212aa.example".encode(), "ka.example"),
    "percent_encoded_ascii": (b"%61.example", "a.example"),
    "percent_encoded_dot": (b"a%2eexample", "a.example"),
    "label_of_63": (b"a" * 63 + b".example", "a" * 63 + ".example"),
    "name_of_253": (b"a." * 126 + b"b.", "a." * 126 + "b"),
    "begins_with_a_number": (b"1.2.3.example", "1.2.3.example"),
    "a_number_and_letters": (b"1.2.3.4a", "1.2.3.4a"),
    "ipv4": (b"192.0.2.1", "192.0.2.1"),
    "ipv4_trailing_dot": (b"192.0.2.1.", "192.0.2.1"),
    "ipv4_of_two": (b"127.1", "127.0.0.1"),
    "ipv4_of_three": (b"127.0.1", "127.0.0.1"),
    "ipv4_last_fills": (b"10.65535", "10.0.255.255"),
    "ipv4_decimal": (b"2130706433", "127.0.0.1"),
    "ipv4_octal": (b"0177.0.0.01", "127.0.0.1"),
    "ipv4_hex": (b"0x7f.0X0.0.1", "127.0.0.1"),
    "ipv4_hex_of_one": (b"0x7f000001", "127.0.0.1"),
    "ipv4_empty_hex": (b"127.0.0x.1", "127.0.0.1"),
    "ipv4_zero": (b"0", "0.0.0.0"),
    "ipv4_full_width": ("１２７.0.0.1".encode(), "127.0.0.1"),
    "ipv4_circled_digits": ("①②⑦.0.0.1".encode(), "127.0.0.1"),
    "ipv6": (b"[2001:db8:0:0:0:0:0:1]", "2001:db8::1"),
    "ipv6_capitals": (b"[FE80::ABCD]", "fe80::abcd"),
    "ipv6_dotted": (b"[64:ff9b::192.0.2.1]", "64:ff9b::c000:201"),
    "ipv6_mapped": (b"[::ffff:7f00:1]", "::ffff:127.0.0.1"),
    "ipv6_mapped_dotted": (b"[0:0::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
    "ipv6_not_mapped": (b"[::ffff:1]", "::ffff:1"),
}  # fmt: skip


@pytest.mark.parametrize(("received", "host"), HOSTS.values(), ids=HOSTS)
def test_host(received: bytes, host: str) -> None:
    assert uri.host_port(received) == (host, None)
    assert uri.host_port(received + b":81") == (host, 81)


@pytest.mark.parametrize("received", HOSTS)
def test_host_of_every_form_is_the_same(received: str) -> None:
    spelling, host = HOSTS[received]
    assert known(uri.absolute(b"http://%b/" % spelling)).host == host
    assert known(uri.origin(b"/", spelling, "http")).host == host
    assert known(uri.tunnel(b"%b:443" % spelling)).host == host


# -- paths and queries ---------------------------------------------------------------------

PATHS = {
    "root": ("/", "/"),
    "unreserved_escapes": ("/%41%7a%30%2D%2e%5F%7E", "/Az0-._~"),
    "reserved_escapes_stay": ("/%21%3a%40%3f%23%3B", "/%21%3A%40%3F%23%3B"),
    "escaped_slash_stays": ("/a%2fb", "/a%2Fb"),
    "escaped_backslash_stays": ("/a%5cb", "/a%5Cb"),
    "backslash": ("/a\\b", "/a%5Cb"),
    "escapes_are_decoded_once": ("/%2566", "/%2566"),
    "nul_stays_escaped": ("/a%00b", "/a%00b"),
    "what_a_uri_can_not_hold": ('/"<>[]^`{|}', "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
    "subdelims_stay": ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
    "utf8": ("/é", "/%C3%A9"),
    "utf8_escaped": ("/%c3%a9", "/%C3%A9"),
    "slashes": ("//a///b//", "/a/b/"),
    "dot": ("/./a/./b/.", "/a/b/"),
    "dots": ("/a/../b/..", "/"),
    "dots_above_the_root": ("/../../a", "/a"),
    "dots_after_slashes": ("/a//../b", "/b"),
    "escaped_dots": ("/a/%2e%2E/b/%2e", "/b/"),
    "half_escaped_dots": ("/a/.%2e/b", "/b"),
    "three_dots": ("/a/.../b", "/a/.../b"),
    "hidden_file": ("/.git/..x", "/.git/..x"),
    "dots_with_parameters": ("/a/..;x/b/;y/", "/a/..;x/b/;y/"),
    "escaped_slash_between_dots": ("/a/..%2f../b", "/a/..%2F../b"),
}  # fmt: skip


@pytest.mark.parametrize(("received", "path"), PATHS.values(), ids=PATHS)
def test_path(received: str, path: str) -> None:
    assert known(uri.origin(received.encode(), b"a", "http")).path == path


QUERIES = {
    "escapes": ("%41%2f%c3", "A%2F%C3"),
    "slashes_and_dots_stay": ("//a/../?", "//a/../?"),
    "stray_percent": ("q=100%&r=%zz", "q=100%25&r=%25zz"),
    "brackets": ("a[]=1", "a%5B%5D=1"),
    "plus_stays": ("a+b", "a+b"),
}


@pytest.mark.parametrize(("received", "query"), QUERIES.values(), ids=QUERIES)
def test_query(received: str, query: str) -> None:
    assert known(uri.origin(b"/?" + received.encode(), b"a", "http")).query == query


# -- what is refused ------------------------------------------------------------------------

BAD_ABSOLUTE = {
    "no_scheme": b"a.example/",
    "other_scheme": b"ftp://a.example/",
    "websocket_scheme": b"ws://a.example/",
    "one_slash": b"http:/a.example/",
    "no_slash": b"http:a.example",
    "backslashes": b"http:\\\\a.example/",
    "backslash_after_host": b"http://a.example\\@b.example/",
    "no_host": b"http:///x",
    "no_host_but_port": b"http://:80/",
    "user": b"http://user@a.example/",
    "user_and_password": b"http://user:pass@a.example/",
    "empty_user": b"http://@a.example/",
    "fragment": b"http://a.example/#x",
    "fragment_without_path": b"http://a.example#x",
    "fragment_after_query": b"http://a.example/?a#x",
    "space_in_host": b"http://a b/",
    "space_in_path": b"http://a/b c",
    "space_in_query": b"http://a/?b c",
    "line_feed_in_path": b"http://a/b\n",
    "line_feed_in_host": b"http://a\n/",
    "nul_in_path": b"http://a/\x00",
    "del_in_path": b"http://a/\x7f",
    "tab_in_query": b"http://a/?\t",
    "escape_of_no_hex": b"http://a/%zz",
    "escape_cut_short": b"http://a/%4",
    "percent_at_the_end": b"http://a/%",
    "escape_after_an_escape": b"http://a/%%41",
}

BAD_HOSTS = {
    "empty": b"",
    "dot": b".",
    "two_trailing_dots": b"a.example..",
    "trailing_dots_of_both_kinds": "a.example.。".encode(),
    "leading_dot": b".a.example",
    "empty_label": b"a..example",
    "label_of_64": b"a" * 64,
    "name_of_254": b"aa." + b"a." * 125 + b"b",
    "longer_than_we_read": b"%61" * 1000,
    "comma": b"a.example,b.example",
    "slash": b"a/b",
    "escaped_slash": b"a%2fb",
    "escaped_at": b"user%40a.example",
    "escaped_colon": b"a%3a80",
    "escaped_nul": b"a%00.example",
    "escaped_space": b"a%20b",
    "escaped_twice": b"%2561.example",
    "stray_percent": b"a%zz.example",
    "wildcard": b"*.example",
    "exclamation_mark": b"a!.example",
    "no_utf8": b"a\xff.example",
    "no_utf8_escaped": b"a%ff.example",
    "overlong_utf8": b"a%c0%ae.example",
    "full_width_slash": "a／b".encode(),
    "full_width_colon": "a：80".encode(),
    "account_of_sign": "a℀b.example".encode(),
    "only_ignored": "\u00ad".encode(),
    "disallowed": "a\ue000.example".encode(),
    "a_label_of_ascii": b"xn--blocked-.example",
    "a_label_of_nothing": b"xn--.example",
    "a_label_of_capitals": b"xn--" + "bÜcher".encode("punycode") + b".example",
    "a_label_of_full_width": (
        "xn--" + "ｂlocked".encode("punycode").decode() + ".example"
    ).encode(),
    "a_label_that_can_not_be_read": b"xn--99999999.example",
    "ipv4_of_five": b"1.2.3.4.5",
    "ipv4_too_large": b"256.0.0.1",
    "ipv4_last_too_large": b"1.2.3.256",
    "ipv4_of_one_too_large": b"4294967296",
    "ipv4_bad_octal": b"0189.0.0.1",
    "ipv4_bad_last_octal": b"1.2.3.09",
    "ipv4_octal_of_python": b"0o17.0.0.1",
    "ipv4_underscore": b"1_2.0.0.1",
    "ipv4_double_hex": b"0x0x1.0.0.1",
    "name_before_number": b"a.example.1",
    "name_before_hex": b"a.0x4",
    "ipv4_in_brackets": b"[127.0.0.1]",
    "ipv6_without_brackets": b"::1",
    "ipv6_unclosed": b"[::1",
    "ipv6_empty": b"[]",
    "ipv6_zone": b"[fe80::1%25eth0]",
    "ipv6_bare_zone": b"[fe80::1%eth0]",
    "ipv6_too_long": b"[1:2:3:4:5:6:7:8:9]",
    "ipvfuture": b"[v1.a]",
    "after_the_brackets": b"[::1]a",
    "port_0": b"a:0",
    "port_too_large": b"a:65536",
    "port_of_many_digits": b"a:" + b"9" * 200,
    "port_of_letters": b"a:http",
    "port_with_sign": b"a:+80",
    "port_with_underscore": b"a:8_0",
    "two_ports": b"a:80:80",
    "user": b"user@a",
}


def refused(result: object) -> None:
    assert isinstance(result, Problem), result
    assert (result.name, result.status) == ("http_request_error", 400)


@pytest.mark.parametrize("target", BAD_ABSOLUTE.values(), ids=BAD_ABSOLUTE)
def test_refused_absolute(target: bytes) -> None:
    refused(uri.absolute(target))


@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_refused_host(host: bytes) -> None:
    refused(uri.host_port(host))
    refused(uri.origin(b"/", host, "http"))
    refused(uri.asterisk(host, "http"))
    refused(uri.tunnel(host if b":" in host else host + b":443"))


BAD_TUNNELS = {
    "no_port": b"a.example",
    "empty_port": b"a.example:",
    "url": b"http://a.example:443/",
    "path": b"a.example:443/",
    "ipv6_without_port": b"[::1]",
}


@pytest.mark.parametrize("target", BAD_TUNNELS.values(), ids=BAD_TUNNELS)
def test_refused_tunnel(target: bytes) -> None:
    refused(uri.tunnel(target))


BAD_ORIGINS = {
    "empty": b"",
    "no_slash": b"x",
    "asterisk": b"*",
    "query_only": b"?x",
    "fragment": b"/#x",
}


@pytest.mark.parametrize("target", BAD_ORIGINS.values(), ids=BAD_ORIGINS)
def test_refused_origin(target: bytes) -> None:
    refused(uri.origin(target, b"a.example", "http"))


def test_a_refusal_says_why() -> None:
    problem = uri.absolute(b"http://a/{%zz}")
    assert isinstance(problem, Problem)
    assert problem.text == (
        "The request can't be understood: a % in its path is not followed by two hex digits."
    )


# -- what is written in the configuration -----------------------------------------------------

PATTERNS = {
    "exact": ("Shop.Example.", "shop.example"),
    "with_all_below": (".BÜCHER.example", ".xn--bcher-kva.example"),
    "below": ("*.Example。org", "*.example.org"),
    "top_level": (".COM", ".com"),
    "ipv4": ("127.1", "127.0.0.1"),
    "ipv6": ("::0:1", "::1"),
    "ipv6_in_brackets": ("[::1]", "::1"),
}


@pytest.mark.parametrize(("text", "pattern"), PATTERNS.values(), ids=PATTERNS)
def test_host_pattern(text: str, pattern: str) -> None:
    assert uri.host_pattern(text) == pattern


BAD_PATTERNS = [
    "",
    ".",
    "*",
    "*.",
    "..a",
    "*.*.a",
    "a.*",
    "a:80",
    ".127.0.0.1",
    "*.1",
    ".::1",
    "\ud800",
]


@pytest.mark.parametrize("text", BAD_PATTERNS, ids=ascii)
def test_no_host_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|label|address"):
        uri.host_pattern(text)


PREFIXES = {
    "file": ("/C/%66oo", "/C/foo"),
    "folder": ("//a/./b/", "/a/b/"),
    "dots": ("/a/../b/", "/b/"),
    "hidden_files": ("/.", "/."),
    "below_a_folder": ("/a//.", "/a/."),
    "no_dot_segment_yet": ("/a/..", "/a/.."),
    "utf8": ("/é", "/%C3%A9"),
    "root": ("/", "/"),
}


@pytest.mark.parametrize(("text", "prefix"), PREFIXES.values(), ids=PREFIXES)
def test_path_prefix(text: str, prefix: str) -> None:
    assert uri.path_prefix(text) == prefix


@pytest.mark.parametrize("text", ["", "a", "/a?b", "/a#b", "/a b", "/%zz", "/\n"], ids=ascii)
def test_no_path_prefix(text: str) -> None:
    with pytest.raises(ValueError, match=r"path"):
        uri.path_prefix(text)


# -- for any bytes ----------------------------------------------------------------------------

PIECES = b"/ . .. %2e %2F % %66 a B \\ ? ; xn-- : [ ] 1 0x 8 @ - _ \xe3\x80\x82 \xc3\xbc".split()
TRICKY = st.lists(st.sampled_from(PIECES)).map(b"".join)
ANY = st.binary() | TRICKY


@given(ANY)
def test_nothing_raises(raw: bytes) -> None:
    for result in (
        uri.absolute(raw),
        uri.absolute(b"http://" + raw),
        uri.origin(b"/" + raw, raw, "http"),
        uri.asterisk(raw, "https"),
        uri.tunnel(raw + b":443"),
    ):
        assert isinstance(result, (Target, Problem))


@given(ANY | st.text().map(str.encode), ANY)
def test_the_normal_form_of_a_normal_form_is_itself(host: bytes, rest: bytes) -> None:
    once = uri.absolute(b"http://" + host + b"/" + rest)
    if isinstance(once, Target):
        again = known(uri.absolute(once.url.encode("ascii")))
        assert again.url == once.url
        assert (again.host, again.path, again.query) == (once.host, once.path, once.query)


@given(ANY)
def test_a_normal_path_has_no_second_spelling(rest: bytes) -> None:
    target = uri.origin(b"/" + rest, b"a", "http")
    if isinstance(target, Target):
        segments = target.path.split("/")[1:]
        assert not {".", ".."} & set(segments)
        assert "" not in segments[:-1]
        # What it means is what was sent, but for slashes and dots.
        if b"/." not in unquote_to_bytes(b"/" + rest) and b"//" not in b"/" + rest:
            path = (b"/" + rest).partition(b"?")[0]
            assert unquote_to_bytes(target.path) == unquote_to_bytes(path)


@given(st.text(max_size=20), st.sampled_from(["", ".", "*."]))
def test_a_pattern_of_the_normal_form_is_itself(text: str, prefix: str) -> None:
    try:
        pattern = uri.host_pattern(prefix + text)
    except ValueError:
        return
    assert uri.host_pattern(pattern) == pattern


def test_the_table_of_names_is_bounded() -> None:
    for number in range(uri.NAMES_KEPT + 100):
        uri.host_port(b"n%d.example" % number)
    assert uri.names_kept() == uri.NAMES_KEPT


def test_a_target_is_read_once_for_all_who_ask_for_it() -> None:
    assert uri.origin(b"/x?y", b"a.example", "http") is uri.origin(b"/x?y", b"a.example", "http")
    assert uri.absolute(b"http://a.example/x") is uri.absolute(b"http://a.example/x")
    other = known(uri.absolute(b"https://a.example:81/x"))
    assert other.on_default_port() is other.on_default_port()
    assert uri.origin(b"/x?y", b"a.example", "https") != uri.origin(b"/x?y", b"a.example", "http")


def test_the_table_of_targets_is_bounded() -> None:
    for number in range(uri.TARGETS_KEPT + 100):
        uri.origin(b"/%d" % number, b"a.example", "http")
    assert uri.targets_kept() == uri.TARGETS_KEPT


@pytest.mark.parametrize("length", [512, 513, 5000])
def test_a_long_target_is_like_any_other(length: int) -> None:
    path = b"/" * 3 + b"x" * (length - 3)
    expected = Target("http", "a", 80, "/" + "x" * (length - 3), None, path)
    assert uri.origin(path, b"a", "http") == expected
    assert known(uri.absolute(b"http://a" + path)).received == path


WRITTEN = {  # received → (Host, path and query as a server is asked for them)
    "plain": (b"http://a/b?c", b"Host: a\r\n", b"/b?c"),
    "port": (b"http://A:81/", b"Host: a:81\r\n", b"/"),
    "ipv6": (b"http://[::1]:81", b"Host: [::1]:81\r\n", b"/"),
    "odd": (b"http://a//%7e/%2f/../\xe9?%", b"Host: a\r\n", b"/~/%E9?%25"),
    "empty_query": (b"http://a/.?", b"Host: a\r\n", b"/?"),
}


@pytest.mark.parametrize(("received", "host", "normal"), WRITTEN.values(), ids=WRITTEN)
def test_what_a_server_is_asked_for(received: bytes, host: bytes, normal: bytes) -> None:
    target = known(uri.absolute(received))
    assert (target.host_line[3], target.normal) == (host, normal)
    assert target.url.encode() == b"http://" + host[6:-2] + normal
