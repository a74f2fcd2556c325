"""Cache poisoning and cache deception: each technique of the public write-ups, by a hostile client.

What holds is always the same: somebody who asks afterwards, or meanwhile, gets what they would
have got if the hostile one had never been there. The origin shows all that it was asked in its
answer, and lets most of it be stored.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve, frozen
from clients import Client, Reply
from conftest import Keep, Start
from origins import Received, Recording
from program import Program, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
cloak = false

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[pools.shop]
servers = ["http://127.0.0.1:$origin"]

[cache.purge]
clients = ["192.0.2.0/24"]
"""

EVIL = "evil"
KEPT = "Cache-Control: max-age=60"
#: Seconds that the origin takes for what two ask at once.
SLOW = 0.4


def shown(request: Received) -> str:
    """All that an origin can see of a request, but which version of HTTP we were asked in."""
    fields = "".join(f"{name}: {value}\n" for name, value in request.fields if name != "via")
    return f"{request.method} {request.target}\n{fields}\n{request.body.decode('latin-1')}"


def answer(
    request: Received, *lines: str, text: str | None = None, status: str = "200 OK"
) -> bytes:
    body = (shown(request) if text is None else text).encode("latin-1")
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + (b"" if request.method == "HEAD" else body)


# -- origins, by the first segment of the path


def echo(request: Received) -> bytes:
    return answer(request, KEPT)


def public(request: Received) -> bytes:
    return answer(request, "Cache-Control: public, s-maxage=60")


def slow(request: Received) -> bytes:
    time.sleep(SLOW)
    return answer(request, KEPT)


def slow_and_confirmed(request: Received) -> bytes:
    """Everybody may keep it, but has to ask, each for itself."""
    time.sleep(SLOW)
    return answer(request, "Cache-Control: max-age=0", f'ETag: "{request.get("x-user")}"')


def slow_and_fragile(request: Received) -> bytes:
    time.sleep(SLOW)
    return b"what is that?\r\n\r\n" if request.get("x-crash") else answer(request, KEPT)


def slow_variants(request: Received) -> bytes:
    time.sleep(SLOW)
    return answer(request, KEPT, "Vary: Accept-Encoding, Accept-Language")


def fragile(request: Received) -> bytes:
    """Fails at whatever is odd, and lets the error be stored."""
    ordinary = {"host", "user-agent", "forwarded", "via", "connection"}
    odd = any(
        not (name in ordinary or name.startswith("x-forwarded-"))
        or len(value) > 4096
        or not value.isprintable()
        for name, value in request.fields
    )
    if odd:
        return answer(request, KEPT, text="evil error", status="400 Bad Request")
    return answer(request, KEPT)


def cors(request: Received) -> bytes:
    """For the scripts of whoever asks; it forgot Vary."""
    return answer(request, KEPT, f"Access-Control-Allow-Origin: {request.get('origin')}", text="ok")


def steered(request: Received) -> str:
    """A field that shows those which steer."""
    return "X-Shown: " + ", ".join(value for name, value in request.fields if name[:2] == "x-")


def confirming(request: Received) -> bytes:
    """Shows what it was asked in a field, which is in its 304s, too."""
    said = (KEPT, 'ETag: "a"', steered(request))
    if request.get("if-none-match"):
        lines = "".join(f"{line}\r\n" for line in said)
        return f"HTTP/1.1 304 Not Modified\r\n{lines}\r\n".encode("latin-1")
    return answer(request, *said, text="ok")


def unconfirmed(request: Received) -> bytes:
    return answer(request, KEPT, steered(request), text="ok")


def in_parts(request: Received) -> bytes:
    """One tag for two codings, parts of each."""
    packed = request.get("accept-encoding") == EVIL
    said = (KEPT, 'ETag: "a"', *(["Content-Encoding: evil"] if packed else []))
    text = "evilevil" if packed else "01234567"
    asked = re.fullmatch(r"bytes=(\d)-(\d)", request.get("range"))
    if asked is None:
        return answer(request, *said, text=text)
    first, last = map(int, asked.groups())
    where = f"Content-Range: bytes {first}-{last}/8"
    part = text[first : last + 1]
    return answer(request, *said, where, text=part, status="206 Partial Content")


def out_of_range(request: Received) -> bytes:
    if request.get("range"):
        return answer(request, KEPT, text=EVIL, status="416 Range Not Satisfiable")
    return answer(request, KEPT)


def split(request: Received) -> bytes:
    """Lets what it is asked into its head unchecked."""
    broken = request.get("x-split").replace("CR", "\r").replace("NUL", "\0")
    return answer(request, KEPT, f"X-Split: {broken}", text="ok")


def varying(request: Received) -> bytes:
    return answer(request, KEPT, "Vary: X-Variant")


def moved(request: Received) -> bytes:
    where = request.get("x-forwarded-host") or request.get("host")
    there = f"Location: http://{where}/there"
    return answer(request, KEPT, there, text="", status="301 Moved Permanently")


def heuristic(request: Received) -> bytes:
    return answer(request, "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT")


ORIGINS: dict[str, Callable[[Received], bytes]] = {
    each.__name__: each
    for each in (
        echo, public, slow, slow_and_confirmed, slow_and_fragile, slow_variants, fragile, cors,
        confirming, unconfirmed, in_parts, out_of_range, split, varying, moved, heuristic,
    )
}  # fmt: skip


# -- requests


@frozen
class Ask:
    """A request. path: "{w}" in it is the world's, in which nobody else asks."""

    path: str = "/echo/{w}"
    lines: tuple[str, ...] = ()
    method: str = "GET"
    content: str = ""
    version: str = "HTTP/1.1"
    host: str | None = None  # in the target, if it is not what the side has
    absolute: bool | None = None  # the form of the target, if it is not what the side has
    named: bool = True  # whether there is a Host field


def ask(*lines: str, **more: object) -> Ask:
    return Ask(lines=lines, **more)  # type: ignore[arg-type]


@frozen
class Side:
    """One of the two proxies."""

    name: str
    port: int
    host: str

    def ask(self, asked: Ask, world: str) -> Reply:
        path = asked.path.format(w=world)
        absolute = self.name == "forward" if asked.absolute is None else asked.absolute
        target = f"http://{asked.host or self.host}{path}" if absolute else path
        lines = [f"{asked.method} {target} {asked.version}"]
        if asked.named and not any(line.lower().startswith("host:") for line in asked.lines):
            lines.append(f"Host: {self.host if absolute else asked.host or self.host}")
        lines += [line.format(w=world) for line in asked.lines]
        content = asked.content.format(w=world)
        if content and not any("-encoding:" in line.lower() for line in lines):
            lines.append(f"Content-Length: {len(content)}")
        with Client(self.port) as client:
            return client.ask("\r\n".join([*lines, "", content]).encode("latin-1"))


#: Fields that tell when, and where from, an answer came.
OF_THE_MOMENT = {"date", "age", "cache-status", "proxy-status"}


def seen(reply: Reply, world: str) -> tuple[int, list[tuple[str, str]], str]:
    """What matters of a reply, the world's name left out."""
    fields = [
        (name, value.replace(world, "{w}"))
        for name, value in reply.fields
        if name not in OF_THE_MOMENT
    ]
    return reply.status, sorted(fields), reply.body.decode("latin-1").replace(world, "{w}")


@pytest.fixture(scope="module")
def reactor() -> str:
    return "uvloop"  # all of this is above it


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    def respond(request: Received) -> bytes:
        name = next((part for part in re.split("[/?%]", request.target) if part in ORIGINS), "echo")
        return ORIGINS[name](request)

    return keep(Recording(respond))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording) -> Program:
    return start_shared(CONFIG, origin=origin.port)


@pytest.fixture(params=["forward", "reverse"])
def side(request: pytest.FixtureRequest, proxy: Program, origin: Recording) -> Side:
    if request.param == "forward":
        return Side("forward", proxy.forward, f"127.0.0.1:{origin.port}")
    return Side("reverse", proxy.reverse, "shop.example")


def check(side: Side, unique: str, victim: Ask, *attacks: Ask) -> list[Reply]:
    """The victim gets what it would have got without the attacks: those who made them got this."""
    alone, world = f"{unique}a", f"{unique}b"
    wanted = seen(side.ask(victim, alone), alone)
    replies = [side.ask(attack, world) for attack in attacks]
    for _ in range(2):
        assert seen(side.ask(victim, world), world) == wanted
    assert wanted[0] < 400 or victim.path.startswith("/moved")
    assert EVIL not in str(wanted)
    return replies


# -- fields that are in no key

STEERING = [
    "Base-Url",
    "Client-IP",
    "Destination",
    "Forwarded",
    "Front-End-Https",
    "Host-Override",
    "Origin",
    "Proxy-Host",
    "Request-URI",
    "Translate",
    "True-Client-IP",
    "URL",
    "X-Backend-Host",
    "X-Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-HTTP-DestinationURL",
    "X-HTTP-Host-Override",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Host",
    "X-Invoke-Status",
    "X-Method-Override",
    "X-Middleware-Subrequest",
    "X-Now-Route-Matches",
    "X-Original-Host",
    "X-Original-URL",
    "X-Proxy-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-URL-Scheme",
    "X.Forwarded.Host",
    "X_Forwarded_Host",
    "x_http-method_override",
]


@pytest.mark.parametrize("name", STEERING)
def test_unkeyed_field(side: Side, unique: str, name: str) -> None:
    check(side, unique, Ask(), ask(f"{name}: evil.example"))


@pytest.mark.parametrize("path", ["/public/{w}", "/heuristic/{w}", "/moved/{w}"])
def test_unkeyed_field_whatever_allows_to_store(side: Side, unique: str, path: str) -> None:
    check(side, unique, Ask(path), ask("X-Forwarded-Host: evil.example", path=path))


def test_unkeyed_origin_of_a_script(side: Side, unique: str) -> None:
    script = ask("Origin: https://honest.example", path="/cors/{w}")
    check(side, unique, script, ask("Origin: https://evil.example", path="/cors/{w}"))


def test_two_unkeyed_fields_at_once(side: Side, unique: str) -> None:
    both = ask("X-Forwarded-Scheme: http", "X-Forwarded-Host: evil.example", path="/moved/{w}")
    check(side, unique, Ask("/moved/{w}"), both)


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Original-URL", "X-HTTP-Method-Override"])
def test_unkeyed_field_in_a_304(side: Side, unique: str, name: str) -> None:
    again = ask(f"{name}: evil", "Cache-Control: no-cache", path="/confirming/{w}")
    check(side, unique, Ask("/confirming/{w}"), Ask("/confirming/{w}"), again)


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Original-URL", "X-HTTP-Method-Override"])
def test_unkeyed_field_in_the_answer_to_head(side: Side, unique: str, name: str) -> None:
    again = ask(f"{name}: evil", "Cache-Control: no-cache", path="/unconfirmed/{w}", method="HEAD")
    check(side, unique, Ask("/unconfirmed/{w}"), Ask("/unconfirmed/{w}"), again)


# -- methods and bodies

ATTACKS: dict[str, list[Ask]] = {
    "fat_get": [ask(content="q=evil")],
    "fat_get_in_chunks": [ask("Transfer-Encoding: chunked", content="4\r\nevil\r\n0\r\n\r\n")],
    "fat_get_of_a_form": [
        ask("Content-Type: application/x-www-form-urlencoded", content="path=/evil")
    ],
    "fat_head": [ask(method="HEAD", content="evil"), ask()],
    "get_with_an_odd_length": [ask("Content-Length: 000", "X-HTTP-Method-Override: evil")],
    "head_first": [ask(method="HEAD")],
    "post_that_says_what_it_brings": [ask(method="POST", content="evil")],
    "query_with_content": [ask("Content-Type: text/plain", method="QUERY", content="evil")],
    "query_without_content": [ask("X-Q: evil", method="QUERY")],
    "query_of_no_length": [ask("X-Q: evil", "Content-Length: 0", method="QUERY")],
    "query_of_00_length": [ask("X-Q: evil", "Content-Length: 00", method="QUERY")],
    "query_of_no_chunks": [
        ask("X-Q: evil", "Transfer-Encoding: chunked", method="QUERY", content="0\r\n\r\n")
    ],
    "query_with_very_much_content": [
        ask("Content-Type: a/b", method="QUERY", content="evil" * 20000)
    ],
    "unknown_method": [ask("X-Q: evil", method="FOO")],
    "get_in_lower_case": [ask("X-Q: evil", method="get")],
    "trace": [ask("X-Q: evil", method="TRACE")],
    "options": [ask("X-Q: evil", method="OPTIONS")],
    "http_1.0": [ask(version="HTTP/1.0")],
    "upgrade": [ask("X-Q: evil", "Connection: upgrade", "Upgrade: evil")],
    "expectation": [ask("X-Q: evil", "Expect: evil")],
    # parameters: each spelling is a key of its own
    "parameter_of_a_campaign": [ask(path="/echo/{w}?utm_source=evil")],
    "parameter_behind_a_semicolon": [
        ask(path="/echo/{w}?a=1;b=evil"), ask(path="/echo/{w};b=evil"),
    ],
    "parameter_twice": [ask(path="/echo/{w}?a=1&a=evil")],
    "parameter_escaped": [ask(path="/echo/{w}%3Fa=evil"), ask(path="/echo/{w}%3fa=evil")],
    "parameter_behind_an_escaped_ampersand": [ask(path="/echo/{w}?a=1%26b=evil")],
    "parameter_in_brackets": [ask(path="/echo/{w}?a[]=evil")],
    "parameter_behind_another_question_mark": [ask(path="/echo/{w}??a=evil")],
    "parameter_without_a_name": [ask(path="/echo/{w}?=evil")],
    "an_empty_query": [ask(path="/echo/{w}?"), ask(path="/echo/{w}?&")],
    # paths
    "path_behind_the_file": [ask(path="/echo/{w}/evil.css")],
    "path_in_a_matrix": [ask(path="/echo/{w};evil.css"), ask(path="/echo/..;/echo/{w}/evil")],
    "path_with_an_escaped_slash": [ask(path="/echo/{w}%2Fevil"), ask(path="/evil%2F..%2Fecho/{w}")],
    "path_with_an_escaped_dot": [ask(path="/echo/{w}%2Ecss"), ask(path="/echo/{w}/evil/%2e%2e/e")],
    "path_with_escaped_dots_twice": [ask(path="/evil/%252e%252e/echo/{w}")],
    "path_with_a_backslash": [ask(path="/echo/{w}\\evil"), ask(path="/evil\\..\\echo/{w}")],
    "path_with_an_escaped_backslash": [
        ask(path="/echo/{w}%5Cevil"), ask(path="/evil%5c..%5cecho/{w}"),
    ],
    "path_with_two_slashes": [ask(path="//echo/{w}/evil"), ask(path="/echo//{w}//evil")],
    "path_with_nul": [ask(path="/echo/{w}%00evil"), ask(path="/echo/{w}%00")],
    "path_with_an_escaped_fragment": [ask(path="/echo/{w}%23evil")],
    "path_with_a_fragment": [ask(path="/echo/{w}#evil")],
    "path_with_an_escaped_newline": [ask(path="/echo/{w}%0d%0aX-Evil:%20evil")],
    "path_with_a_dot_at_its_end": [ask(path="/echo/{w}."), ask(path="/echo/{w}%20")],
    "path_in_another_case": [ask(path="/ECHO/{w}?evil"), ask(path="/Echo/{w}")],
    # one hop's fields
    "connection_names_the_cookie": [
        ask("Connection: Cookie", "Cookie: evil", path="/heuristic/{w}"),
    ],
    "connection_names_credentials": [ask("Connection: Authorization", "Authorization: evil")],
    "connection_names_what_we_write": [ask("Connection: X-Forwarded-Host, X-Forwarded-For, Via")],
    "connection_names_host": [ask("Connection: Host")],
    "connection_names_cache_control": [
        ask("Connection: Cache-Control", "Cache-Control: no-store", "X-Q: evil")
    ],
    "connection_names_a_field": [ask("Connection: close, X-Q", "X-Q: evil")],
    "keep_alive": [ask("Keep-Alive: evil"), ask("Proxy-Connection: evil")],
    "transfer_codings_wanted": [ask("TE: evil", "Connection: TE")],
    "credentials_for_the_proxy": [ask("Proxy-Authorization: Basic evil")],
    "credentials": [ask("Authorization: Basic evil")],
    # conditions and ranges
    "no_store": [ask("Cache-Control: no-store", "X-Q: evil")],
    "condition": [ask('If-None-Match: *', path="/confirming/{w}")],
    "condition_of_its_own": [ask('If-None-Match: "evil"', path="/confirming/{w}")],
    # smuggling
    "two_lengths": [
        ask("Content-Length: 5", "Transfer-Encoding: chunked", method="POST",
            content="0\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"),
    ],
    "chunked_in_disguise": [
        ask("Transfer-Encoding: xchunked", method="POST", content="0\r\n\r\nevil"),
        ask("Transfer-Encoding : chunked", method="POST", content="0\r\n\r\nevil"),
    ],
    # purging
    "purge_by_a_stranger": [ask(method="PURGE"), ask("X-Forwarded-For: 192.0.2.1", method="PURGE")],
}  # fmt: skip


@pytest.mark.parametrize("attacks", ATTACKS.values(), ids=ATTACKS)
def test_as_if_nobody_had_been_there(side: Side, unique: str, attacks: list[Ask]) -> None:
    paths = {attack.path.split("/")[1] for attack in attacks}
    path = "/heuristic/{w}" if paths == {"heuristic"} else "/echo/{w}"
    path = "/confirming/{w}" if paths == {"confirming"} else path
    check(side, unique, Ask(path), *attacks)


def test_bytes_that_are_no_ascii_in_a_path(proxy: Program, unique: str) -> None:
    side = Side("reverse", proxy.reverse, "shop.example")
    check(
        side, unique, Ask(), Ask("/echo/{w}\xe9vil"), Ask("/echo/{w}\xff/../{w}\xc0\xaf..\xc0\xaf")
    )


def test_no_stranger_purges(side: Side, unique: str) -> None:
    side.ask(Ask(), unique)
    assert side.ask(ask(method="PURGE"), unique).status == 403
    told = ask("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", method="PURGE")
    assert side.ask(told, unique).status == 403
    assert side.ask(Ask(), unique).hit


def test_what_is_asked_with_content_does_not_get_what_was_stored_without(
    side: Side, unique: str
) -> None:
    side.ask(Ask(), unique)
    for method in ("GET", "QUERY", "POST"):
        reply = side.ask(ask(method=method, content="mine"), unique)
        assert (reply.hit, reply.body[-4:]) == (False, b"mine")


# -- errors that are stored

ODD: dict[str, Ask] = {
    "oversized_field": ask("X-Large: " + "a" * 5000),
    "oversized_by_many": ask(*(f"X-Large-{i}: {'a' * 100}" for i in range(60))),
    "byte_that_is_no_ascii": ask("X-Odd: \xff"),
    "tab": ask("X-Odd: a\x7fb"),
    "control_character": ask("X-Odd: a\x07b"),
    "nul": ask("X-Odd: a\0b"),
    "bare_cr": ask("X-Odd: a\rb"),
    "odd_name": ask("X|Odd: a"),
    "name_that_is_none": ask("X\\: a"),
    "type_of_nothing": ask("Content-Type: evil"),
    "coding_of_nothing": ask("Content-Encoding: evil"),
    "range_that_is_none": ask("Range: evil"),
    "max_forwards_that_is_none": ask("Max-Forwards: evil"),
    "method_override": ask("X-HTTP-Method-Override: POST"),
    "expectation": ask("Expect: 100-continue"),
    "credentials": ask("Authorization: evil"),
    "condition": ask('If-Match: "evil"'),
    "fat_get": ask(content="a"),
}


@pytest.mark.parametrize("attack", ODD.values(), ids=ODD)
def test_an_error_that_a_head_provoked(side: Side, unique: str, attack: Ask) -> None:
    victim = Ask("/fragile/{w}")
    [reply] = check(side, unique, victim, evolve(attack, path=victim.path))
    assert reply.status in (400, 417)


def test_an_error_for_a_range(side: Side, unique: str) -> None:
    attack = ask("Range: bytes=99-", path="/out_of_range/{w}")
    [reply] = check(side, unique, Ask("/out_of_range/{w}"), attack)
    assert reply.status == 416


def test_parts_of_another_coding(side: Side, unique: str) -> None:
    check(
        side,
        unique,
        Ask("/in_parts/{w}"),
        ask("Range: bytes=0-3", path="/in_parts/{w}"),
        ask("Range: bytes=4-7", "Accept-Encoding: evil", path="/in_parts/{w}"),
    )


def test_a_part_in_the_place_of_the_whole(side: Side, unique: str) -> None:
    attack = ask("Range: bytes=2-3", path="/in_parts/{w}")
    [reply] = check(side, unique, Ask("/in_parts/{w}"), attack)
    assert reply.status == 206


SPLIT = {"bare_cr": "aCRSet-Cookie: evil", "nul": "aNULevil", "folded": "a\tb"}


@pytest.mark.parametrize("value", SPLIT.values(), ids=SPLIT)
def test_a_split_response(side: Side, unique: str, value: str) -> None:
    attack = ask(f"X-Split: {value}", "Cache-Control: no-cache", path="/split/{w}")
    if value == SPLIT["folded"]:  # harmless, and so the origin's own business
        assert side.ask(attack, unique).get("x-split") == "a\tb"
        return
    [reply] = check(side, unique, Ask("/split/{w}"), attack)
    assert (reply.status, reply.get("set-cookie")) == (502, "")


# -- variants


def test_many_variants_push_out_that_of_this_url_only(
    side: Side, unique: str, origin: Recording
) -> None:
    other = ask(path="/varying/{w}/other")
    side.ask(other, unique)
    for i in range(40):
        side.ask(ask(f"X-Variant: {i}", path="/varying/{w}"), unique)
    assert side.ask(other, unique).hit
    reply = side.ask(Ask("/varying/{w}"), unique)
    assert (reply.hit, b"x-variant" in reply.body.lower()) == (False, False)
    # The last ones are there yet, the others had to make room.
    hits = [
        side.ask(ask(f"X-Variant: {i}", path="/varying/{w}"), unique).hit for i in range(39, -1, -1)
    ]
    assert any(hits[:4])
    assert not all(hits)


def test_a_variant_is_for_its_value_only(side: Side, unique: str) -> None:
    path = "/varying/{w}"
    attacks = [ask("X-Variant: evil", path=path), ask("X-Variant: a, evil", path=path)]
    check(side, unique, ask("X-Variant: a", path=path), *attacks)
    check(side, f"{unique}x", Ask(path), *attacks)


# -- at once


@pytest.fixture
def together(side: Side, unique: str) -> Callable[[Ask, Ask], tuple[Reply, Reply]]:
    """together(first, then): the second asks while the origin still works on the first."""

    def ask_both(first: Ask, then: Ask) -> tuple[Reply, Reply]:
        with ThreadPoolExecutor(2) as pool:
            attack = pool.submit(side.ask, first, unique)
            time.sleep(SLOW / 4)
            reply = side.ask(then, unique)
            return attack.result(), reply

    return ask_both


LEADING: dict[str, Ask] = {
    "unkeyed_field": ask("X-Forwarded-Host: evil"),
    "unkeyed_origin": ask("Origin: https://evil"),
    "fat_get": ask(content="evil"),
    "credentials": ask("Authorization: Basic evil"),
    "range": ask("Range: bytes=0-1"),
    "no_store": ask("Cache-Control: no-store", "X-Q: evil"),
    "query": ask("X-Q: evil", method="QUERY"),
    "head": ask("X-Q: evil", method="HEAD"),
    "upgrade": ask("X-Q: evil", "Connection: upgrade", "Upgrade: evil"),
}


@pytest.mark.parametrize("first", LEADING.values(), ids=LEADING)
def test_who_waits_for_a_hostile_fetch(
    together: Callable[[Ask, Ask], tuple[Reply, Reply]], first: Ask
) -> None:
    path = "/slow/{w}"
    _, reply = together(evolve(first, path=path), Ask(path))
    assert reply.status == 200
    assert b"GET " in reply.body
    assert b"evil" not in reply.body


def test_who_waits_for_another_variant(
    together: Callable[[Ask, Ask], tuple[Reply, Reply]],
) -> None:
    path = "/slow_variants/{w}"
    _, reply = together(
        ask("Accept-Encoding: evil", path=path), ask("Accept-Encoding: gzip", path=path)
    )
    assert b"accept-encoding: gzip" in reply.body
    assert b"evil" not in reply.body


def test_who_waits_for_what_must_be_confirmed_to_each(
    together: Callable[[Ask, Ask], tuple[Reply, Reply]],
) -> None:
    path = "/slow_and_confirmed/{w}"
    _, reply = together(ask("X-User: evil", path=path), ask("X-User: me", path=path))
    assert reply.get("etag") == '"me"'
    assert b"evil" not in reply.body


def test_who_waits_for_a_fetch_that_its_client_made_fail(
    together: Callable[[Ask, Ask], tuple[Reply, Reply]],
) -> None:
    path = "/slow_and_fragile/{w}"
    attack, reply = together(ask("X-Crash: 1", path=path), Ask(path))
    assert (attack.status, reply.status) == (502, 200)


def test_a_client_that_leaves_its_fetch(side: Side, unique: str, origin: Recording) -> None:
    target = f"/slow/{unique}"
    whole = f"http://{side.host}{target}" if side.name == "forward" else target
    with Client(side.port) as client:
        client.send(f"GET {whole} HTTP/1.1\r\nHost: {side.host}\r\n\r\n".encode())
        until(lambda: origin.asked(target))
    assert side.ask(Ask("/slow/{w}"), unique).body.startswith(b"GET ")
