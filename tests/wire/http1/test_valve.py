"""valve: a peer that takes some is not one that takes none."""

from __future__ import annotations

import pytest

from twistproxy.wire.http1.valve import Progress, bytes_acked


@pytest.fixture
def transport(wire):
    transport = wire(None)
    transport.taking = False
    return transport


def test_progress_is_what_was_taken_since_it_was_asked_last(transport):
    transport.write(b"a" * 10)
    transport.take(4)
    progress = Progress(transport)
    assert not progress.made()
    transport.take(1)
    assert progress.made()
    assert not progress.made()


def test_under_tls_the_socket_is_the_inner_transports(transport):
    class Tls:
        pass

    tls = Tls()
    tls.transport = transport
    transport.acked = 7
    assert bytes_acked(tls) == 7


class Unix:
    def getHandle(self):
        return self

    def getsockopt(self, *_):
        raise OSError("not a TCP socket")


class Lost:
    """Twisted deletes the socket of a transport that is lost."""

    def getHandle(self):
        return self.socket


class Old:
    """A kernel whose tcp_info ends before."""

    def getHandle(self):
        return self

    def getsockopt(self, *_):
        return b"\1" * 104


@pytest.mark.parametrize("transport", [Unix(), Lost(), Old(), object()])
def test_where_nobody_knows_there_is_no_progress(transport):
    assert bytes_acked(transport) == 0
    assert not Progress(transport).made()


class Handle:
    """A transport of which only the socket is asked."""

    def __init__(self, sock):
        self.sock = sock

    def getHandle(self):
        return self.sock
