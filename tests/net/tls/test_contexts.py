"""The settings; what they bring about is in test_server.py and test_client.py."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from handshakes import KINDS, Client, Talk, server_end
from twistproxy.net.tls import ServerTls, contexts, load

NATIVE = {
    "server": contexts.native_server,
    "client": lambda: contexts.native_client(()),
    "unverified": lambda: contexts.native_client(None),
}


@pytest.mark.parametrize("make", NATIVE.values(), ids=NATIVE)
def test_native_settings(make: Any) -> None:
    context = make()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert ssl.OP_NO_RENEGOTIATION in context.options
    assert ssl.OP_NO_COMPRESSION in context.options
    assert ssl.OP_NO_TICKET not in context.options
    # An end without close_notify has to be seen, since a body may end with the connection.
    assert ssl.OP_IGNORE_UNEXPECTED_EOF not in context.options


def test_who_is_verified() -> None:
    server, client, unverified = (make() for make in NATIVE.values())
    assert server.verify_mode is ssl.CERT_NONE
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    assert not client.hostname_checks_common_name
    assert unverified.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("make", NATIVE.values(), ids=NATIVE)
def test_no_secrets_are_logged(make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert ssl.create_default_context().keylog_filename is not None  # it would
    (tmp_path / "keys").unlink()
    assert make().keylog_filename is None
    assert os.listdir(tmp_path) == []


def test_both_kinds_take_the_same_ciphers() -> None:
    native = {cipher["name"] for cipher in contexts.native_server().get_ciphers()}
    assert {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"} <= native
    assert not [name for name in native if "CBC" in name or name.endswith("-SHA")]
    towards = {cipher["name"] for cipher in contexts.native_client(None).get_ciphers()}
    assert native < towards
    assert not [name for name in towards if "RC4" in name or "NULL" in name or "DES" in name]


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_chooses(authority: Any, kind: str) -> None:
    others = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{others}:ECDHE-ECDSA-AES256-GCM-SHA384")
    server = ServerTls(load([authority.pair("a.example")], 0))
    talk = Talk(server_end(kind, server), Client(context=context))
    assert talk.client.ssl.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_a_native_server_gives_one_ticket() -> None:
    assert contexts.native_server().num_tickets == 1
