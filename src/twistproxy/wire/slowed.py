"""A client stream under throttles: what an exchange has in place of its own while limits hold.

Bodies pass through it, or past it in the kernel, as fast as the limits let them. Of the answer it
holds what may not pass yet, a read's worth, and the request is not read on: to each leg it looks
as if the other was slow. An exchange without a limit has none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocol

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.net.relay import Relay
from twistproxy.net.sendfile import File, Sender
from twistproxy.net.splice import Splicer
from twistproxy.net.throttle import Bucket, Throttle
from twistproxy.wire import ClientSide, ClientStream, Peer


class SlowedStream:
    """A `ClientStream` that passes on what another does.

    side: whose it is; it tells the bytes that it receives to `took`, and its end to `over`.
    asks: whether some of the request's body is still to come.
    """

    def __init__(self, stream: ClientStream, side: ClientSide, asks: bool) -> None:
        self._stream = stream
        self._side: ClientSide | None = side
        self._asks = asks
        self._up = Throttle()
        self._down = Throttle()
        self._unwanted = False  # the exchange takes no more of the request
        self._held = b""  # the next of the answer
        self._then: Callable[[], object] | None = None  # what comes after that

    def add(self, up: Bucket, down: Bucket) -> None:
        """Under these, too: the request, or what is still to come of it, and the answer. Before
        the answer begins; nothing if it is already."""
        if up in self._up.buckets:
            return
        self._up.buckets += (up,)
        self._down.buckets += (down,)
        if self._asks and not self._up.may(1):
            self._ask_later()

    def over(self) -> None:
        """The exchange has ended; what it has said is still said."""
        self._side = None
        self._up.forget()
        if self._then is None:
            self._drop()

    def lost(self) -> None:
        """The client has gone: nothing that is held is said."""
        self._side = None
        self._up.forget()
        self._drop()

    def slow_down(self, relay: Relay) -> None:
        """The same limits for a tunnel."""
        relay.slow_down(Throttle(self._up.buckets), Throttle(self._down.buckets))

    @property
    def peer(self) -> Peer:
        return self._stream.peer

    # -- the request ------------------------------------------------------------------

    def took(self, count: int) -> None:
        """So many bytes of the request's body were received."""
        if not self._up.took(count):
            self._ask_later()

    def pause_request(self) -> None:
        self._unwanted = True
        self._stream.pause_request()

    def resume_request(self) -> None:
        self._unwanted = False
        if not self._up.waits:
            self._stream.resume_request()

    def pass_on(self, splicer: Splicer, leg: Any) -> bool:
        return self._stream.pass_on(splicer.under(Throttle(self._up.buckets)), leg)

    def _ask_later(self) -> None:
        self._stream.pause_request()
        self._up.wait(self._ask_on)

    def _ask_on(self) -> None:
        if not self._unwanted:
            self._stream.resume_request()

    # -- the answer -------------------------------------------------------------------

    @property
    def stalled(self) -> bool:
        return self._down.waits or self._stream.stalled

    def interim(self, response: Response) -> None:
        self._stream.interim(response)

    def start(self, response: Response, length: int | None, body: bytes = b"") -> None:
        # The head is not waited for: it costs little, and says that the rest will come.
        most = self._down.may(len(body)) if body else 0
        self._stream.start(response, length, body[:most])
        if most:
            self._down.took(most)
        self._pass(body[most:])

    def reply(self, lines: bytes, content: bytes) -> None:
        if content and not self._down.may(len(content)):
            self._then = partial(self._reply, lines, content)
            self._wait()
        else:
            self._reply(lines, content)

    def _reply(self, lines: bytes, content: bytes) -> None:
        self._down.took(len(content))
        self._stream.reply(lines, content)

    def write(self, data: bytes) -> None:
        if self._held:
            self._held += data
        else:
            self._pass(data)

    def send_file(
        self,
        sender: Sender,
        file: File,
        offset: int,
        length: int,
        moved: Callable[[int], object],
        ended: Callable[[str], object],
    ) -> None:
        slow = sender.under(Throttle(self._down.buckets))
        self._after_held(partial(self._stream.send_file, slow, file, offset, length, moved, ended))

    def finish(self, trailers: Fields | None = None) -> None:
        self._after_held(partial(self._stream.finish, trailers))

    def break_off(self) -> None:
        self._after_held(self._stream.break_off)

    def abort(self) -> None:
        self._drop()
        self._stream.abort()

    def hand_over(self, response: Response, protocol: IProtocol) -> None:
        self._stream.hand_over(response, protocol)

    def sink(self) -> Any:
        return None if self._held else self._stream.sink()

    def under(self, splicer: Splicer) -> Splicer:
        """The splicer for a server leg's `pass_on` to this."""
        return splicer.under(Throttle(self._down.buckets))

    def _pass(self, data: bytes) -> None:
        """Write what may pass; hold the rest."""
        while data and (most := self._down.may(len(data))):
            self._down.took(most)
            self._stream.write(data[:most])
            data = data[most:]
        self._held = data
        if data:
            self._wait()

    def _wait(self) -> None:
        self._down.wait(self._go_on)
        if self._side is not None:
            self._side.pause_response()

    def _go_on(self) -> None:
        self._pass(self._held)
        if self._held:
            return
        then, self._then = self._then, None
        if then is not None:
            then()
        elif self._side is not None:
            self._side.resume_response()

    def _after_held(self, then: Callable[[], object]) -> None:
        if self._held:
            self._then = then
        else:
            then()

    def _drop(self) -> None:
        self._held = b""
        self._then = None
        self._down.forget()
