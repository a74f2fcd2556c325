from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from handshakes import KINDS, Client, Talk, Transport, client_end, server_end
from twistproxy.net.tls import ClientTls, ServerTls, is_tls, load, server_name


@pytest.mark.parametrize("kind", KINDS)
def test_transports_of_tls(authority: Any, kind: str) -> None:
    server = ServerTls(load([authority.pair("a.example")], 0))
    talk = Talk(server_end(kind, server), Client("a.example"))
    assert is_tls(talk.server.transport)
    assert server_name(talk.server.transport) == "a.example"
    talk = Talk(server_end(kind, server), client_end(kind, ClientTls("a.example", authority.ca)))
    assert is_tls(talk.client.transport)


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_hello(authority: Any, kind: str) -> None:
    end = server_end(kind, ServerTls(load([authority.pair("a.example")], 0)))
    end.begin()
    assert is_tls(end.transport)
    assert server_name(end.transport) is None


def test_a_clients_end_was_asked_for_nothing(authority: Any) -> None:
    transport = Transport()
    transport.ssl_object = Client("a.example").ssl
    assert server_name(transport) is None


def test_plain_transports_are_not_tls() -> None:
    assert not is_tls(StringTransport())
    assert server_name(StringTransport()) is None
