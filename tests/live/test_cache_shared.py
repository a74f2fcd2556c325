"""One cache for both proxies: what one fetched the other has, and neither can poison it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import Client, Curl, Reply, curl, get
from conftest import Keep, Start
from origins import Nginx, Received, Recording
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"

[[reverse.route]]
path = "/any/"
strip_prefix = "/any"
pool = "shop"

[[reverse.route]]
hosts = ["scripted.example"]
pool = "scripted"

[pools.shop]
servers = ["http://127.0.0.1:$nginx"]

[pools.scripted]
servers = ["http://127.0.0.1:$scripted"]
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, list[bytes]]:
    """What the scripted server answers by path: each but the last once."""
    return {}


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording], answers: dict[str, list[bytes]]) -> Recording:
    def respond(request: Received) -> bytes:
        script = answers[request.target]
        return script.pop(0) if len(script) > 1 else script[0]

    return keep(Recording(respond))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, nginx: Nginx, origin: Recording) -> Program:
    return start_shared(CONFIG, nginx=nginx.port, scripted=origin.port)


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def by_forward(proxy: Program, url: str, folder: Path) -> Curl:
    return curl("--proxy", f"http://127.0.0.1:{proxy.forward}", url, folder=folder)


def by_reverse(proxy: Program, path: str, folder: Path, host: str = "shop.example") -> Curl:
    return curl("-H", f"Host: {host}", f"http://127.0.0.1:{proxy.reverse}{path}", folder=folder)


@pytest.mark.parametrize("first", ["forward", "reverse"])
def test_an_object_fetched_by_one_is_a_hit_for_the_other(
    proxy: Program, nginx: Nginx, unique: str, tmp_path: Path, first: str
) -> None:
    path = f"/kept/{unique}"
    body = nginx.put(path, bytes(range(256)) * 300)

    def forward() -> Curl:
        return by_forward(proxy, f"http://shop.example{path}", tmp_path)

    def reverse() -> Curl:
        return by_reverse(proxy, path, tmp_path)

    one, other = (forward, reverse) if first == "forward" else (reverse, forward)
    miss, hit = one(), other()
    assert (miss.status, miss.body, miss.hit) == (200, body, False)
    assert (hit.status, hit.body, hit.hit) == (200, body, True)
    assert "\nage:" in hit.head.lower()
    assert len(nginx.requests(path)) == 1


def test_the_default_port_written_out_is_the_same_object(
    proxy: Program, nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    path = f"/kept/{unique}"
    nginx.put(path, b"one")
    by_forward(proxy, f"http://SHOP.example:80{path}", tmp_path)
    assert by_forward(proxy, f"http://shop.example{path}", tmp_path).hit
    assert len(nginx.requests(path)) == 1


def test_a_made_up_host_is_no_hit_on_the_forward_side(
    proxy: Program, nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    path = f"/kept/{unique}"
    nginx.put(path, b"what the route for any host has")
    # The client of the reverse proxy makes up a Host: that of a site on the open internet.
    victim = f"127.0.0.1:{nginx.port}"
    poison = by_reverse(proxy, f"/any{path}", tmp_path, host=victim)
    assert poison.status == 200
    assert by_reverse(proxy, f"/any{path}", tmp_path, host=victim).hit
    nginx.put(f"/any{path}", b"what the site has")
    honest = by_forward(proxy, f"http://{victim}/any{path}", tmp_path)
    assert not honest.hit
    assert honest.body == b"what the site has"


def test_forward_objects_are_hits_by_themselves(
    proxy: Program, nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    path = f"/kept/{unique}"
    nginx.put(path, b"of the open internet")
    url = f"http://127.0.0.1:{nginx.port}{path}"
    assert not by_forward(proxy, url, tmp_path).hit
    assert by_forward(proxy, url, tmp_path).hit
    assert len(nginx.requests(path)) == 1


def test_every_response_says_what_the_cache_did(
    proxy: Program, nginx: Nginx, unique: str, tmp_path: Path
) -> None:
    nginx.put(f"/fresh/{unique}", b"never kept")
    for got in (
        by_reverse(proxy, f"/fresh/{unique}", tmp_path),
        by_forward(proxy, f"http://shop.example/fresh/{unique}", tmp_path),
        by_reverse(proxy, "/not-there", tmp_path),
    ):
        assert "cache-status:" in got.head.lower(), got.head
        assert "fwd=" in got.head.lower(), got.head


def scripted(proxy: Program, path: str, **fields: str) -> Reply:
    return get(proxy.reverse, path, "scripted.example", **fields)


KEPT = {
    "max_age": ["Cache-Control: max-age=60"],
    "s_maxage_over_max_age": ["Cache-Control: max-age=0, s-maxage=60"],
    "public": ["Cache-Control: public, max-age=60"],
    "quoted": ['Cache-Control: max-age="60"'],
}
NOT_KEPT = {
    "no_store": ["Cache-Control: no-store, max-age=60"],
    "private": ["Cache-Control: private, max-age=60"],
    "s_maxage_zero": ["Cache-Control: max-age=60, s-maxage=0"],
    "already_old": ["Cache-Control: max-age=60", "Age: 61"],
    "vary_any": ["Cache-Control: max-age=60", "Vary: *"],
    "expired": ["Expires: 0"],
    "nothing_said": [],
}
WIRES = {
    **{name: (fields, True) for name, fields in KEPT.items()},
    **{name: (fields, False) for name, fields in NOT_KEPT.items()},
}


@pytest.mark.parametrize(("fields", "kept"), WIRES.values(), ids=WIRES)
def test_what_is_kept(
    proxy: Program,
    answers: dict[str, list[bytes]],
    unique: str,
    fields: list[str],
    kept: bool,
) -> None:
    answers[f"/{unique}"] = [answer(b"first", *fields), answer(b"second", *fields)]
    assert scripted(proxy, f"/{unique}").body == b"first"
    again = scripted(proxy, f"/{unique}")
    assert again.hit is kept
    assert again.body == (b"first" if kept else b"second")


def test_vary_keeps_variants_apart(
    proxy: Program, answers: dict[str, list[bytes]], unique: str
) -> None:
    fields = ("Cache-Control: max-age=60", "Vary: Accept-Language")
    answers[f"/{unique}"] = [answer(b"svenska", *fields), answer(b"suomi", *fields)]
    assert scripted(proxy, f"/{unique}", Accept_Language="sv").body == b"svenska"
    assert scripted(proxy, f"/{unique}", Accept_Language="fi").body == b"suomi"
    assert scripted(proxy, f"/{unique}", Accept_Language="sv").body == b"svenska"
    assert scripted(proxy, f"/{unique}", Accept_Language="fi").hit


def test_a_stale_object_is_revalidated(
    proxy: Program, origin: Recording, answers: dict[str, list[bytes]], unique: str
) -> None:
    fields = ("Cache-Control: no-cache", 'ETag: "v1"')
    unchanged = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'
    answers[f"/{unique}"] = [answer(b"the body", *fields), unchanged]
    assert scripted(proxy, f"/{unique}").body == b"the body"
    again = scripted(proxy, f"/{unique}")
    assert (again.status, again.body) == (200, b"the body")
    first, second = origin.asked(f"/{unique}")
    assert first.get("if-none-match") == ""
    assert second.get("if-none-match") == '"v1"'


def test_a_client_with_the_object_gets_304(
    proxy: Program, origin: Recording, answers: dict[str, list[bytes]], unique: str
) -> None:
    answers[f"/{unique}"] = [answer(b"the body", "Cache-Control: max-age=60", 'ETag: "v1"')]
    scripted(proxy, f"/{unique}")
    got = scripted(proxy, f"/{unique}", If_None_Match='"v1"')
    assert (got.status, got.body) == (304, b"")
    assert len(origin.asked(f"/{unique}")) == 1


def test_authorization_is_not_shared(
    proxy: Program, answers: dict[str, list[bytes]], unique: str
) -> None:
    fields = ("Cache-Control: max-age=60",)
    answers[f"/{unique}"] = [answer(b"alice's", *fields), answer(b"for all", *fields)]
    assert scripted(proxy, f"/{unique}", Authorization="Basic YTpi").body == b"alice's"
    assert scripted(proxy, f"/{unique}").body == b"for all"


def test_an_unsafe_method_invalidates(
    proxy: Program, answers: dict[str, list[bytes]], unique: str
) -> None:
    kept = "Cache-Control: max-age=60"
    answers[f"/{unique}"] = [answer(b"old", kept), answer(b"done"), answer(b"new", kept)]
    assert scripted(proxy, f"/{unique}").body == b"old"
    post = f"POST /{unique} HTTP/1.1\r\nHost: scripted.example\r\nContent-Length: 0\r\n\r\n"
    with Client(proxy.reverse) as client:
        assert client.ask(post.encode()).body == b"done"
    assert scripted(proxy, f"/{unique}").body == b"new"


def test_only_if_cached(proxy: Program, answers: dict[str, list[bytes]], unique: str) -> None:
    answers[f"/{unique}"] = [answer(b"kept", "Cache-Control: max-age=60")]
    assert scripted(proxy, f"/{unique}", Cache_Control="only-if-cached").status == 504
    scripted(proxy, f"/{unique}")
    got = scripted(proxy, f"/{unique}", Cache_Control="only-if-cached")
    assert (got.status, got.body) == (200, b"kept")


def test_head_is_answered_from_the_object_of_get(
    proxy: Program, origin: Recording, answers: dict[str, list[bytes]], unique: str
) -> None:
    answers[f"/{unique}"] = [answer(b"kept", "Cache-Control: max-age=60")]
    scripted(proxy, f"/{unique}")
    with Client(proxy.reverse) as client:
        head = f"HEAD /{unique} HTTP/1.1\r\nHost: scripted.example\r\n\r\n"
        got = client.ask(head.encode())
    assert got.hit
    assert (got.get("content-length"), got.body) == ("4", b"")
    assert len(origin.asked(f"/{unique}")) == 1


def test_parts_of_a_servers_file(proxy: Program, nginx: Nginx, unique: str, tmp_path: Path) -> None:
    """nginx sends what is missing, once; together the parts are the file."""
    path = f"/kept/{unique}"
    body = nginx.put(path, bytes(range(256)) * 400)
    url = f"http://127.0.0.1:{proxy.reverse}{path}"

    def part(asked: str) -> Curl:
        return curl("-H", "Host: shop.example", "--range", asked, url, folder=tmp_path)

    for asked, first, last in (("0-9", 0, 9), ("50000-", 50000, 102399), ("10-49999", 10, 49999)):
        for hit in (False, True):
            got = part(asked)
            assert (got.status, got.hit) == (206, hit)
            assert got.body == body[first : last + 1]
            assert f"bytes {first}-{last}/102400" in got.head
    assert len(nginx.requests(path)) == 3
    whole = by_reverse(proxy, path, tmp_path)
    assert (whole.status, whole.hit, whole.body) == (200, True, body)
    assert part("-5").body == body[-5:]
    several = part("0-1,100-101")
    assert "multipart/byteranges" in several.head
    assert body[:2] in several.body
    assert part("102400-").status == 416
    assert len(nginx.requests(path)) == 3
