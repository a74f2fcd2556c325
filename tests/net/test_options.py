"""options: set once on a listener, they hold for what it accepts."""

from __future__ import annotations

import socket

import pytest

from twistproxy.net.options import UNSENT, tune


def options(sock):
    names = (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT)
    return [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_accepted_connection_has_them_and_so_has_a_dialled_one(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        tune(server)
        with socket.create_connection(server.getsockname()[:2]) as client:
            accepted, _ = server.accept()
            with accepted:
                assert options(accepted) == [1, UNSENT]
            tune(client)
            assert options(client) == [1, UNSENT]


def test_other_sockets_are_left_as_they_are():
    with socket.socket(socket.AF_UNIX) as sock:
        tune(sock)
    tune(None)
