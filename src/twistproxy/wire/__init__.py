"""Bytes ⇄ exchange: one file or folder a protocol, each a pair of legs.

A *client leg* is a connection that a client opened to us, a *server leg* one that we opened to
a server or parent. A leg owns its transport and its parser, and knows nothing of policy, cache
or pools: it hands heads and bodies to the road through the seams below, and takes heads and
bodies from it.

In:  bytes of a peer. Out: `Request` / `Response` values, body bytes, or a `Problem`.
To add a protocol for clients: a leg that offers `ClientStream` and calls a `ClientSide`.
"""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response


@frozen
class Peer:
    """Who is at the other end of a client leg.

    address: text of the IP address; "" for a unix socket. port: theirs.
    local_port: the port they came to. sni: the host name of their TLS hello.
    """

    address: str
    port: int
    local_port: int
    tls: bool = False
    sni: str | None = None


class ClientStream(Protocol):
    """One request's place on a client leg: what an exchange answers through.

    Also an IConsumer of the response's body and an IPushProducer of the request's.
    """

    peer: Peer

    def interim(self, response: Response) -> None:
        """Send a 1xx head; nothing where the client speaks HTTP/1.0 (RFC 9110 §15.2)."""

    def start(self, response: Response, length: int | None, body: bytes = b"") -> None:
        """Send the final head, in one write with the first bytes of the body.

        length: of the body to come; None where it is not known. Framing fields are the leg's.
        """

    def write(self, data: bytes) -> None:
        """Send some of the body."""

    def finish(self, trailers: Fields | None = None) -> None:
        """The response is complete; the leg may go on to the next request."""

    def abort(self) -> None:
        """The response can't be completed: end the connection so that the client can tell."""

    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class ClientSide(Protocol):
    """What a client leg tells the exchange it began."""

    def body_received(self, data: bytes) -> None: ...
    def body_ended(self, trailers: Fields | None) -> None: ...
    def body_broken(self, problem: Problem) -> None: ...
    def client_lost(self) -> None: ...


class Road(Protocol):
    """Where a client leg's requests go: a service."""

    def begin(self, stream: ClientStream, request: Request | Problem) -> ClientSide:
        """A head has arrived, or something that isn't one."""
