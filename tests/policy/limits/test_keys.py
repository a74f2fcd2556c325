from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import uri
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.policy.limits.keys import LONGEST, NOBODY, key_by


def question(
    client: str = "10.0.0.1",
    user: str | None = None,
    target: Any = None,
    fields: list[tuple[bytes, bytes]] | None = None,
) -> Any:
    request = None if fields is None else Request(b"GET", b"/", Fields(fields))
    return SimpleNamespace(client=client, user=user, target=target, request=request)


CLIENTS = {
    "ipv4": ("10.0.0.1", "10.0.0.1"),
    "ipv6_by_its_64": ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    "zone": ("fe80::1%eth0", "fe80::/64"),
    "mapped": ("::ffff:10.0.0.1", "10.0.0.1"),
    "unix": ("", "unix"),
    "none_at_all": ("a:b", "a:b"),
}


@pytest.mark.parametrize(("client", "key"), CLIENTS.values(), ids=CLIENTS)
def test_client(client: str, key: str) -> None:
    assert key_by("client")(question(client)) == key


def test_who_has_no_name_counts_by_the_address_and_as_no_user() -> None:
    by = key_by("user")
    assert by(question(user="alice")) == "alice"
    assert by(question("10.0.0.1")) == "client:10.0.0.1"
    assert by(question(user="10.0.0.1")) != by(question("10.0.0.1"))


HOSTS = {
    "name": (b"http://Example.org/a", "example.org"),
    "mapped": (b"http://[::ffff:192.0.2.1]/", "192.0.2.1"),
    "ipv6_whole": (b"http://[2001:db8::1]/", "2001:db8::1"),
}


@pytest.mark.parametrize(("url", "key"), HOSTS.values(), ids=HOSTS)
def test_host(url: bytes, key: str) -> None:
    assert key_by("host")(question(target=uri.absolute(url))) == key


def test_header_values_are_told_apart_and_not_told() -> None:
    by = key_by("header:X-API-Key")
    one = by(question(fields=[(b"x-api-key", b"secret-1")]))
    assert one == by(question(fields=[(b"X-Api-Key", b"secret-1")]))
    assert one != by(question(fields=[(b"X-Api-Key", b"secret-2")]))
    assert "secret" not in one


def test_all_without_the_header_together() -> None:
    by = key_by("header:X-Team")
    assert by(question(fields=[])) == by(question(fields=None)) == NOBODY
    assert by(question(fields=[(b"X-Team", b"")])) != NOBODY
    assert by(question(fields=[(b"X-Team", NOBODY.encode())])) != NOBODY


@given(st.ip_addresses(), st.text() | st.text(min_size=LONGEST), st.binary())
def test_a_key_is_short_and_can_be_printed(client: object, user: str, value: bytes) -> None:
    asked = question(str(client), user, fields=[(b"X", value)])
    for by in ("client", "user", "header:x"):
        key = key_by(by)(asked)
        assert len(key) <= LONGEST
        assert key.isprintable()


@pytest.mark.parametrize("by", ["", "clients", "header:", "header", "Client"])
def test_what_it_can_not_go_by(by: str) -> None:
    with pytest.raises(ValueError, match="client, user, host or header:NAME"):
        key_by(by)
