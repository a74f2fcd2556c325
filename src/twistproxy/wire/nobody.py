"""A client that isn't there: for what the proxy fetches by itself, or goes on fetching for others
when the one who asked first has left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IProtocol

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.net.sendfile import File, Sender
from twistproxy.net.splice import Splicer
from twistproxy.wire import Peer


class Nobody:
    """A `ClientStream` that takes everything, at once. peer: in whose name.

    done: called when the answer is whole, or it is clear that it never will be.
    """

    stalled = False

    def __init__(self, peer: Peer, done: Callable[[], object] = lambda: None) -> None:
        self.peer = peer
        self._done = done

    def interim(self, response: Response) -> None: ...
    def start(self, response: Response, length: int | None, body: bytes = b"") -> None: ...

    def reply(self, lines: bytes, content: bytes) -> None:
        self._done()

    def write(self, data: bytes) -> None: ...

    def send_file(
        self,
        sender: Sender,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
    ) -> None:
        ended("")

    def finish(self, trailers: Fields | None = None) -> None:
        self._done()

    def break_off(self) -> None:
        self._done()

    def abort(self) -> None:
        self._done()

    def hand_over(self, response: Response, protocol: IProtocol) -> None: ...
    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...

    def sink(self) -> Any:
        return None

    def pass_on(self, splicer: Splicer, leg: Any) -> bool:
        return False
