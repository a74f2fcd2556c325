"""Bytes ⇄ exchange: one file or folder a protocol, each a pair of legs.

A *client leg* is a connection that a client opened to us, a *server leg* one that we opened to
a server or parent. A leg owns its transport and its parser, and knows nothing of policy, cache
or pools: it hands heads and bodies to the road through the seams below, and takes heads and
bodies from it.

In:  bytes of a peer. Out: `Request` / `Response` values, body bytes, or a `Problem`.
To add a protocol for clients: a leg that offers `ClientStream` and calls a `ClientSide`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, frozen
from twisted.internet.interfaces import IProtocol

from twistproxy.config.model import Limits, Timeouts
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.net.sendfile import File, Sender
from twistproxy.net.splice import Splicer


@define
class Terms:
    """What every leg is bound by: one object for the process, whose values a reload swaps."""

    limits: Limits
    timeouts: Timeouts
    draining: bool = False


@frozen
class Peer:
    """Who is at the other end of a client leg.

    address: text of the IP address, IPv4 where it is mapped; "" for a unix socket.
    port: theirs. local_port: the one they came to. sni: the host name of their TLS hello.
    """

    address: str
    port: int
    local_port: int
    tls: bool = False
    sni: str | None = None


class ClientStream(Protocol):
    """One request's place on a client leg: what an exchange answers through."""

    @property
    def peer(self) -> Peer: ...
    @property
    def stalled(self) -> bool:
        """The client does not read as fast as it is sent to: wait for `resume_response`."""

    def interim(self, response: Response) -> None:
        """Send a 1xx head; nothing where the client speaks HTTP/1.0 (RFC 9110 §15.2)."""

    def start(self, response: Response, length: int | None, body: bytes = b"") -> None:
        """Send the final head, in one write with the first bytes of the body.

        length: of the body to come; None where it is not known. Framing fields are the leg's,
        but for a Content-Length that is in the response already. Of a response that has no body
        (to HEAD, 204, 304) no byte is sent, whatever is given here or to `write`.
        """

    def reply(self, lines: bytes, content: bytes) -> None:
        """Answer and finish in one write. lines: the status line and all fields but those of the
        connection, with the content's length among them; content: b"" to HEAD.
        """

    def write(self, data: bytes) -> None:
        """Send some of the body."""

    def send_file(
        self,
        sender: Sender,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
    ) -> None:
        """Send bytes of a file as the next of a body whose length was said. Until it has ended
        nothing else may be written; `finish` or `break_off` comes after it.

        moved: called with the number of bytes that are gone, often. ended: called once, perhaps
        in this call: "", or in words what is wrong with the file. Not after `client_lost`.
        """

    def finish(self, trailers: Fields | None = None) -> None:
        """The response is complete; the leg may go on to the next request."""

    def break_off(self) -> None:
        """The answer can't be completed: end the connection so that the client can tell."""

    def abort(self) -> None:
        """End the connection now, whatever was written and is not yet sent."""

    def hand_over(self, response: Response, protocol: IProtocol) -> None:
        """Send the head; from here on the connection's bytes are the protocol's."""

    def pause_request(self) -> None:
        """Send no more of the request's body until `resume_request`."""

    def resume_request(self) -> None: ...

    def sink(self) -> Any:
        """What a server leg's `pass_on` needs; None where bytes can't go past this leg."""

    def pass_on(self, splicer: Splicer, leg: Any) -> bool:
        """Have the rest of the request's body go to the server leg in the kernel; whether that
        is worth it and can be done.
        """


class ClientSide(Protocol):
    """What a client leg tells the exchange it began."""

    def body_received(self, data: bytes) -> None: ...

    def request_passed(self, count: int) -> None:
        """So many bytes of the body went to the server without passing here."""

    def body_ended(self, trailers: Fields | None) -> None: ...

    def body_broken(self, problem: Problem) -> None:
        """The rest of the request will not come; an answer still may go out."""

    def client_lost(self) -> None: ...

    def client_ended(self) -> None:
        """The client sends no more. It may still read; or it is gone, and nothing else says so."""

    def pause_response(self) -> None:
        """The client does not read as fast as it is sent to."""

    def resume_response(self) -> None: ...


class Door(Protocol):
    """Where a client leg's requests go in: a service."""

    def begin(self, stream: ClientStream, request: Request | Problem, framing: int) -> ClientSide:
        """A head has arrived, or something that isn't one.

        framing: of the request's body; `body_ended` is told unless it is 0.
        """


class ServerStream(Protocol):
    """One exchange's place on a server leg."""

    def write(self, data: bytes) -> None: ...
    def finish(self, trailers: Fields | None = None) -> None: ...

    def abort(self) -> None:
        """Nobody waits for the answer any more."""

    def hand_over(self, protocol: IProtocol) -> None:
        """After `switched`: the connection's bytes are the protocol's."""

    def pause_response(self) -> None: ...
    def resume_response(self) -> None: ...


class ServerSide(Protocol):
    """What a server leg tells the exchange it works for."""

    def interim_received(self, response: Response) -> None: ...

    def response_received(self, response: Response, length: int | None, data: bytes) -> None:
        """The final head, with what came of the body in the same read."""

    def data_received(self, data: bytes) -> None: ...

    def answer_passed(self, count: int) -> None:
        """So many bytes of the body went to the client without passing here."""

    def response_ended(self, trailers: Fields | None) -> None: ...

    def switched(self, response: Response) -> None:
        """The server took the upgrade (101), or the parent the CONNECT (2xx)."""

    def server_failed(self, problem: Problem) -> None:
        """No more will come. The leg is gone."""

    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...
