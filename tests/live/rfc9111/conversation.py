"""Holding a row's conversation: a client on one end of the program, an origin on the other."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from socket import SHUT_RDWR

import h11
from clients import Client, Reply
from origins import Gone, Received, Recording, Talk
from program import until
from rfc9111.table import About, Answer, Like, Row, Step, Wanted

HOST = "rows.example"
#: Rows at a time: most of their time they wait.
AT_ONCE = 24

_PLACE = re.compile(r"\{(?:now([+-]\d+)?(?: (rfc850|asctime))?|(url|path|origin))\}")
_FORMS = {"rfc850": "%A, %d-%b-%y %H:%M:%S GMT", "asctime": "%a %b %e %H:%M:%S %Y"}


class Told(Recording):
    """An origin that answers as the conversation says to which a request belongs.

    conversations: by the first two segments of the path, the side and the row's name.
    """

    def __init__(self, conversations: dict[str, Conversation]) -> None:
        self._conversations = conversations
        super().__init__()

    def _serve(self, talk: Talk) -> None:
        unread = b""
        while True:
            judge = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            if unread:
                judge.receive_data(unread)
            request = self._one(talk, judge)
            # Asked by a reverse proxy it sees a path, else perhaps a whole URL.
            _, side, name = re.split("[/?]", request.target)[:3]
            self._conversations[f"/{side}/{name}"].respond(request, talk)
            unread = judge.trailing_data[0]

    def close(self) -> None:
        with suppress(OSError):  # it may be down already
            super().close()
        for talk in self.talks:
            with suppress(OSError):
                talk.socket.shutdown(SHUT_RDWR)


class Conversation:
    """A row between a client, one of the program's proxies and an origin."""

    def __init__(self, row: Row, side: str, proxy: int, origin: Told) -> None:
        self.row = row
        self.path = f"/{side}/{row.name}"
        self._side = side
        self._proxy = proxy
        self._server = origin
        self._authority = HOST if side == "reverse" else f"127.0.0.1:{origin.port}"
        self._now = int(time.time())
        self._current = 1
        self._asked: list[tuple[int, Received]] = []
        self._lock = threading.Lock()

    # -- the origin's part

    def respond(self, request: Received, talk: Talk) -> None:
        with self._lock:
            number = self._current
            self._asked.append((number, request))
            again = len(self._of(number))
        answer = self.row.steps[number - 1].answer
        time.sleep(answer.delay)
        if answer.status == 0:
            raise Gone
        talk.send(self._wire(answer, request, self._text(number, again)))
        if answer.cut:
            raise Gone

    def _of(self, number: int) -> list[Received]:
        return [request for asked_in, request in self._asked if asked_in == number]

    def _text(self, number: int, again: int = 1) -> str:
        answer = self.row.steps[number - 1].answer
        if answer.body is not None:
            return answer.body
        return f"{self.row.name}: step {number}" + (f", answer {again}" if again > 1 else "")

    def _wire(self, answer: Answer, request: Received, text: str) -> bytes:
        bodyless = answer.status in (204, 304)
        body = b"" if bodyless else text.encode("latin-1")
        lines = [self._filled(line) for line in answer.lines]
        said = {line.partition(":")[0].lower() for line in lines}
        if answer.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
            body += self._lines(answer.trailers) + b"\r\n"
        elif not bodyless and "content-length" not in said:
            lines.append(f"Content-Length: {len(body)}")
        if not bodyless and "content-type" not in said:
            lines.append("Content-Type: text/plain")
        interim = b"".join(b"HTTP/1.1 %b\r\n\r\n" % head.encode() for head in answer.interim)
        head = b"HTTP/1.1 %d Told\r\n%b\r\n" % (answer.status, self._lines(lines))
        if request.method == "HEAD":
            body = b""
        return interim + head + (body[: len(body) // 2] if answer.cut else body)

    # -- the client's part

    def hold(self) -> None:
        """Step by step; raises AssertionError where something else is seen."""
        for number, step in enumerate(self.row.steps, 1):
            time.sleep(step.after)
            self._current = number
            if step.answer.status == -1:
                self._server.close()
            replies = self._ask(step)
            try:
                self._check_asked(number, step)
                for reply in replies:
                    self._check_reply(number, step, reply)
                self._check_bodies(number, step, replies)
            except AssertionError as error:
                raise AssertionError(f"step {number}: {error}") from None

    def _ask(self, step: Step) -> list[Reply]:
        path = self.path + self._filled(step.path)
        target = f"http://{self._authority}{path}" if self._side == "forward" else path
        content = step.content.encode("latin-1")
        lines = [f"Host: {self._authority}", "Connection: close"]
        if step.method not in ("GET", "HEAD", "OPTIONS", "TRACE", "DELETE") or content:
            lines.append(f"Content-Length: {len(content)}")
        head = f"{step.method} {target} HTTP/1.1\r\n".encode()

        def ask(own: tuple[str, ...]) -> Reply:
            fields = self._lines([*lines, *map(self._filled, own)])
            with Client(self._proxy) as client:
                return client.ask(head + fields + b"\r\n" + content)

        crowd = step.crowd or (step.lines,) * step.together
        if len(crowd) == 1:
            return [ask(step.lines)]
        with ThreadPoolExecutor(len(crowd)) as pool:
            return list(pool.map(ask, crowd))

    # -- what is seen

    def _check_asked(self, number: int, step: Step) -> None:
        if step.asked == "later":
            until(lambda: self._of(number), timeout=5, why="the origin was not asked later")
            time.sleep(0.1)  # its answer is on its way into the cache
        asked = self._of(number)
        if step.answer.status == 0:
            assert asked, "the origin was not asked"  # perhaps again, since it doesn't answer
        else:
            times = (
                {"no": 0, "yes": 1, "later": 1}[step.asked] if step.times is None else step.times
            )
            times = 0 if step.answer.status == -1 else times
            assert len(asked) == times, f"the origin was asked {len(asked)} times, not {times}"
        if step.asked_with:
            assert asked[0].method == step.asked_with, f"it was asked with {asked[0].method}"
        for name, wanted in step.got.items():
            self._check_field(asked[0].all(name), name, wanted, "the origin got")

    def _check_reply(self, number: int, step: Step, reply: Reply) -> None:
        wanted = self._status(number, step)
        if wanted == 0 and step.status == 0:
            assert not reply.complete, f"got a whole {reply.status}"
            return
        # Where the origin didn't answer the proxy does.
        fits = reply.status == wanted or (wanted <= 0 and reply.status in (502, 504))
        assert fits, f"got {reply.status}, not {wanted or 'an error'}: {reply.body[:200]!r}"
        assert reply.complete, "the body ended early"
        assert tuple(reply.interim) == step.interim, f"got interim {reply.interim}"
        for name, value in step.shows.items():
            self._check_field(reply.all(name), name, value, "the client got")
        if step.of and "cache-status" not in step.shows:
            said, hit = reply.get("cache-status"), step.asked != "yes"
            assert reply.hit is hit, f"{'no' if hit else 'a'} hit: {said!r}"
        if step.of and step.asked != "yes":  # RFC 9111 §4
            assert reply.get("age").isdigit(), f"Age: {reply.get('age')!r}"

    def _status(self, number: int, step: Step) -> int:
        if step.status is not None:
            return step.status
        return self.row.steps[(step.of or number) - 1].answer.status

    def _check_bodies(self, number: int, step: Step, replies: list[Reply]) -> None:
        status = self._status(number, step)
        ours = not step.of and (step.asked == "no" or step.answer.status <= 0)
        if step.body is None and (ours or status == 0):  # a page of the proxy's own, or a part
            return
        bodies = {reply.body.decode("latin-1") for reply in replies}
        if isinstance(step.body, Like):
            assert all(map(step.body.fits, bodies)), f"the body was {bodies}, not {step.body}"
            return
        if step.method == "HEAD" or status in (204, 304):
            wanted = {""}
        elif step.body is not None:
            wanted = {step.body}
        elif step.of:
            wanted = {self._text(step.of)}
        else:
            wanted = {self._text(number, n + 1) for n in range(step.times or 1)}
        assert bodies == wanted, f"the body was {bodies}, not {wanted}"

    def _check_field(self, values: list[str], name: str, wanted: Wanted, who: str) -> None:
        value = ", ".join(values)
        line = f"{who} {name}: {value!r}" if values else f"{who} no {name}"
        if wanted is None:
            assert not values, line
        elif isinstance(wanted, str):
            assert values, line
            assert value == self._filled(wanted), f"{line}, not {self._filled(wanted)!r}"
        else:
            assert isinstance(wanted, Like | About)
            assert values, line
            assert wanted.fits(value), f"{line}, not {wanted}"

    # -- wires

    def _lines(self, lines: Iterable[str]) -> bytes:
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")

    def _filled(self, text: str) -> str:
        return _PLACE.sub(self._place, text) if "{" in text else text

    def _place(self, found: re.Match[str]) -> str:
        seconds, form, name = found.groups()
        if name is not None:
            origin = f"http://{self._authority}"
            return {"url": origin + self.path, "path": self.path, "origin": origin}[name]
        moment = self._now + int(seconds or 0)
        if form is None:
            return formatdate(moment, usegmt=True)
        return time.strftime(_FORMS[form], time.gmtime(moment))
