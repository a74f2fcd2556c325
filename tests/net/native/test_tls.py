"""What is TLS's own; what it shares with plain transports is in test_transport."""

from __future__ import annotations

import gc
import hashlib
import os
import socket
import ssl
import weakref
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs

from sockets import open_files
from talks import (
    MUCH,
    HalfTape,
    Net,
    Pull,
    Push,
    Talk,
    Tape,
    Tapes,
    TlsPeer,
    patterned,
)
from twistproxy.net.native import (
    HIGH_WATER,
)
from twistproxy.net.native.tls import NativeTlsTransport


def hello(trust: ssl.SSLContext) -> tuple[bytes, Any, Any, Any]:
    """A client's first flight, and the client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(incoming, outgoing, server_hostname="tls.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(), client, incoming, outgoing


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_hello_in_pieces(net: Net, trust: ssl.SSLContext, size: int) -> None:
    factory = Tapes(HalfTape(data=lambda tape: tape.transport.write(tape.received)))
    peer = net.peer(net.knock(net.listen(factory, "tls")))
    net.built = factory.built
    flight, client, incoming, outgoing = hello(trust)
    for at in range(0, len(flight), size):
        peer.send(flight[at : at + size])
        net.turns(2)

    def shaken() -> bool:
        peer.read()
        incoming.write(bytes(peer.got))
        peer.got.clear()
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    net.until(shaken)
    client.write(b"ping")
    # The end of the handshake and the first request in one segment.
    peer.send(outgoing.read())

    def answered() -> bool:
        peer.read()
        incoming.write(bytes(peer.got))
        peer.got.clear()
        with suppress(ssl.SSLWantReadError):
            return bool(client.read(100) == b"ping")
        return False

    net.until(answered)
    assert factory.built[0].events == ["made", "shaken", "data"]


def test_what_is_known_of_a_handshake(native: Net) -> None:
    talk = native.talk(HalfTape(), "tls")
    native.until(lambda: "shaken" in talk.protocol.events)
    assert talk.protocol.events == ["made", "shaken"]
    assert talk.transport.negotiatedProtocol == b"http/1.1"
    assert talk.transport.getPeerCertificate() is None
    assert talk.transport.ssl_object.version() == "TLSv1.3"


def test_before_the_handshake_nothing_is_known(native: Net) -> None:
    talk = native.talk(family="tls", shaken=False)
    assert talk.transport.ssl_object is None
    assert talk.transport.negotiatedProtocol is None
    assert talk.transport.getPeerCertificate() is None
    assert talk.transport.getPeer().host == "127.0.0.1"


def test_what_is_written_before_the_handshake_waits(net: Net) -> None:
    def write(tape: Tape) -> None:
        tape.transport.write(b"banner")
        tape.transport.writeSequence([b" and", b" more"])

    talk = net.talk(HalfTape(made=write), "tls")
    net.until(lambda: talk.peer.read() == b"banner and more")


def test_much_is_written_before_the_handshake(native: Net) -> None:
    producers: list[Push] = []

    def produce(tape: Tape) -> None:
        producers.append(Push(tape.transport, 500, 10_000))
        tape.transport.registerProducer(producers[0], True)
        producers[0].resumeProducing()

    talk = native.talk(Tape(made=produce), "tls", shaken=False)
    assert producers[0].paused
    assert 500 - producers[0].left == HIGH_WATER // 10_000 + 1
    native.until(talk.peer.shake)
    native.until(lambda: len(talk.peer.read()) == 5_000_000)


def test_a_close_before_the_handshake_waits_for_what_was_written(net: Net) -> None:
    def refuse(tape: Tape) -> None:
        tape.transport.write(b"go away")
        tape.transport.loseConnection()

    talk = net.talk(Tape(made=refuse), "tls")
    net.ended(talk.peer)
    assert (talk.peer.got, talk.peer.end) == (b"go away", "eof")


def not_tls(net: Net, talk: Talk) -> None:
    os.write(talk.peer.socket.fileno(), b"GET / HTTP/1.1\r\n\r\n")


def closed(net: Net, talk: Talk) -> None:
    socket.socket(fileno=talk.peer.socket.detach()).close()


def half_a_hello(net: Net, talk: Talk) -> None:
    os.write(talk.peer.socket.fileno(), b"\x16\x03\x01\x02\x00\x01")
    net.turns()
    closed(net, talk)


def reset(net: Net, talk: Talk) -> None:
    talk.peer.reset()


def aborted(net: Net, talk: Talk) -> None:
    talk.transport.abortConnection()


def lost(net: Net, talk: Talk) -> None:
    talk.transport.loseConnection()


FAILING = {
    "not TLS": (not_tls, ssl.SSLError),
    "closed": (closed, ConnectionLost),
    "closed in the middle": (half_a_hello, ConnectionLost),
    "reset": (reset, ConnectionLost),
    "aborted by us": (aborted, ConnectionAborted),
    "closed by us": (lost, ConnectionAborted),
}


@pytest.mark.parametrize(("how", "why"), FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("soon", [True, False], ids=["at once", "later"])
def test_handshakes_that_fail(native: Net, how: Any, why: type[Exception], soon: bool) -> None:
    factory = Tapes(HalfTape())
    peer = native.peer(native.knock(native.listen(factory, "tls")), "tls")
    with capturedLogs() as logged:
        if soon and how not in (aborted, lost):
            how(native, Talk(None, peer))
            native.until(lambda: factory.built)
        else:
            native.until(lambda: factory.built)
            native.turns()
            how(native, Talk(factory.built[0], peer))
        native.until(lambda: factory.built[0].lost)
        native.turns()
    native.built += factory.built
    assert factory.built[0].events == ["made", "lost"]
    assert issubclass(factory.built[0].why, why) or (
        how is closed and factory.built[0].why is ConnectionDone
    )
    assert not logged


def test_a_client_that_knows_no_tls_we_speak(native: Net, trust: ssl.SSLContext) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA256")
    factory = Tapes(HalfTape())
    peer = TlsPeer(native.knock(native.listen(factory, "tls")), old)
    native.until(lambda: peer.shake() and factory.built and factory.built[0].lost)
    assert factory.built[0].why is ssl.SSLError
    peer.close()


def bad_name(net: Net, talk: Talk) -> None:
    flight = hello(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))[0].replace(b"tls.example", b"\xff" * 11)
    os.write(talk.peer.socket.fileno(), flight)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see logs.py
def test_handshakes_that_fail_leave_nothing_behind(native: Net, trust: ssl.SSLContext) -> None:
    ways = [how for how, _ in FAILING.values()] + [bad_name]
    built: list[weakref.ref[Tape]] = []

    class Failing(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Tape:
            built.append(weakref.ref(tape := HalfTape()))
            return tape

    def left() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, NativeTlsTransport)]

    def fail(how: Any) -> None:
        before = len(built)
        peer = TlsPeer(native.knock(port), trust)
        native.until(lambda: len(built) > before)
        how(native, Talk(built[-1](), peer))
        tape = built[-1]
        native.until(lambda: tape() is None)
        peer.close()

    port = native.listen(Failing(), "tls")
    for how in ways:
        fail(how)
    native.turns()
    gc.collect()
    gc.disable()
    files, known = len(open_files()), len(left())  # the log remembers those of other tests
    try:
        with capturedLogs() as logged:
            for number in range(500):
                fail(ways[number % len(ways)])
            native.until(lambda: len(open_files()) == files)
            native.turns()
        assert len(left()) <= known
        assert not logged
    finally:
        gc.enable()


def test_tls_cut_off_is_no_end(net: Net) -> None:
    talk = net.talk(family="tls")
    socket.socket(fileno=talk.peer.socket.detach()).close()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionLost


def test_tls_has_no_half_close(native: Net) -> None:
    talk = native.talk(family="tls")
    talk.transport.write(b"all")
    talk.transport.loseWriteConnection()
    native.ended(talk.peer)
    assert (talk.peer.got, talk.peer.end) == (b"all", "eof")


def test_a_pull_producer_over_tls(native: Net) -> None:
    talk = native.talk(family="tls")
    producer = Pull(talk.transport, 30)
    talk.transport.registerProducer(producer, False)
    native.until(lambda: len(talk.peer.read()) == 3_000_000)


# Pauses


READ = 256 << 10  # bytes that TLS takes from the kernel at once


def pouring(peer: TlsPeer, data: bytes, end: str) -> Any:
    """What to call again and again: sends `data` as far as it goes, then ends in its way."""
    left = memoryview(data)

    def pour() -> None:
        nonlocal left
        while left and (sent := peer.send(left[:100_000])):
            left = left[sent:]
        if not left and not peer.end:
            peer.read()  # or its close would be a reset
            if end == "notified":
                with suppress(ssl.SSLWantReadError):
                    peer.socket.unwrap()  # type: ignore[attr-defined]
            socket.socket.shutdown(peer.socket, socket.SHUT_WR)
            peer.end = end

    return pour


ENDS = {"notified": ConnectionDone, "cut off": ConnectionLost}
SIZES = pytest.mark.parametrize("size", [1 << 10, 100 << 10, 2 << 20])
ENDINGS = pytest.mark.parametrize(("end", "why"), ENDS.items(), ids=ENDS)


def resumed(net: Net, talk: Talk, pour: Any) -> None:
    """All is read from here on, and the end."""
    talk.transport.resumeProducing()
    net.until(lambda: [pour(), talk.protocol.lost][1])


@SIZES
@ENDINGS
def test_an_end_while_paused_takes_nothing_away(
    net: Net, size: int, end: str, why: type[Exception]
) -> None:
    talk = net.talk(family="tls")
    talk.transport.pauseProducing()
    pour = pouring(talk.peer, data := patterned(size), end)
    for _ in range(50):
        pour()
        net.turns(1)
    assert (talk.protocol.received, talk.protocol.lost) == (b"", None)
    resumed(net, talk, pour)
    assert talk.protocol.received == data
    assert talk.protocol.why is why


@SIZES
@ENDINGS
def test_paused_by_what_was_read(net: Net, size: int, end: str, why: type[Exception]) -> None:
    talk = net.talk(Tape(data=lambda tape: tape.transport.pauseProducing()), "tls")
    pour = pouring(talk.peer, data := patterned(size), end)
    while len(talk.protocol.received) < size:
        told = len(talk.protocol.events)
        net.until(lambda told=told: [pour(), len(talk.protocol.events) > told][1])
        read = len(talk.protocol.received)
        for _ in range(10):
            pour()
            net.turns(1)
        assert len(talk.protocol.received) == read
        talk.transport.resumeProducing()
    net.until(lambda: [pour(), talk.protocol.lost][1])
    assert talk.protocol.received == data
    assert talk.protocol.why is why


def test_paused_again_and_again(net: Net) -> None:
    digest, paused = hashlib.sha256(), 0

    def read(tape: Tape) -> None:
        nonlocal paused
        digest.update(tape.received)
        tape.received = b""
        paused += 1
        tape.transport.pauseProducing()
        if paused % 3:  # in the same call
            tape.transport.resumeProducing()

    talk = net.talk(Tape(data=read), "tls")
    pour = pouring(talk.peer, data := patterned(20 << 20), "notified")

    def turned() -> bool:
        pour()
        if talk.protocol.lost is None:
            talk.transport.pauseProducing()
            talk.transport.resumeProducing()
        return talk.protocol.lost is not None

    net.until(turned)
    assert digest.digest() == hashlib.sha256(data).digest()
    assert paused > 50
    assert talk.protocol.why is ConnectionDone


@ENDINGS
def test_paused_during_the_handshake(native: Net, end: str, why: type[Exception]) -> None:
    talk = native.talk(
        HalfTape(made=lambda tape: tape.transport.pauseProducing()), "tls", shaken=False
    )
    native.until(talk.peer.shake)  # for the client it is done one flight earlier than for us
    pour = pouring(talk.peer, data := patterned(2 << 20), end)
    for _ in range(50):
        pour()
        native.turns(1)
    # What came with the last of the handshake had been read already.
    assert 0 < len(talk.protocol.received) <= READ
    assert talk.protocol.lost is None
    resumed(native, talk, pour)
    assert talk.protocol.received == data
    assert talk.protocol.why is why


@pytest.mark.parametrize("again", [False, True], ids=["once", "and after it"])
def test_a_close_while_paused(native: Net, again: bool) -> None:
    """It waits for the peer's close_notify, so that it has to be read."""
    talk = native.talk(Tape(data=lambda tape: tape.transport.pauseProducing()), "tls")
    talk.peer.send(b"one")
    native.until(lambda: talk.protocol.received)
    talk.transport.write(bytes(MUCH))
    talk.transport.loseConnection()
    if again:
        talk.transport.pauseProducing()
    talk.peer.send(b"unheard")
    native.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (MUCH, "eof")
    with suppress(OSError):
        talk.peer.socket.unwrap()
    native.until(lambda: talk.protocol.lost)
    assert talk.protocol.received == b"one"
    assert talk.protocol.why is ConnectionDone
