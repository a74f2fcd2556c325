"""A URL into a file: bounded in bytes, time and redirects, and only if it has changed.

What is packed (gzip) stays so: whoever reads the list unpacks it, outside this process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, DNSLookupError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError  # has no public name
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from twistproxy import __version__
from twistproxy.lists.compiler import SIZE_MAX

#: Seconds: to connect, for the head of an answer, between two bytes of its body, for all of it.
CONNECT: Final = 15.0
HEAD: Final = 30.0
IDLE: Final = 30.0
TOTAL: Final = 600.0
REDIRECTS: Final = 5


class NotFetched(Exception):
    """There is no new list; the text says why."""


@frozen
class Fetched:
    """What to ask with the next time: the values of ETag and Last-Modified, "" for none."""

    etag: str = ""
    modified: str = ""


def agent(reactor: Any) -> IAgent:
    pool = HTTPConnectionPool(reactor, persistent=False)
    found: IAgent = Agent(reactor, connectTimeout=CONNECT, pool=pool)
    return found


def fetch(
    reactor: Any, agent: IAgent, url: str, path: Path, before: Fetched, most: int = SIZE_MAX
) -> Deferred[Fetched | None]:
    """Write what a URL has to a file. Fires with None if that is what it had `before`.

    Fails with NotFetched. Can be cancelled, and then fails with that, too.
    """
    over: Deferred[Fetched | None] = Deferred.fromCoroutine(
        _fetch(reactor, agent, url, path, before, most)
    )
    over.addTimeout(TOTAL, reactor)
    return over.addErrback(_told)


async def _fetch(
    reactor: Any, agent: IAgent, url: str, path: Path, before: Fetched, most: int
) -> Fetched | None:
    client = HTTPClient(_AsItComes(agent))
    fields: dict[bytes | str, bytes | str] = {"User-Agent": f"twistproxy/{__version__}"}
    if before.etag:
        fields["If-None-Match"] = before.etag
    if before.modified:
        fields["If-Modified-Since"] = before.modified
    for _ in range(REDIRECTS + 1):
        response = await client.get(
            url,
            headers=fields,
            allow_redirects=False,
            unbuffered=True,
            reactor=reactor,
            timeout=HEAD,
        )
        code, location = response.code, response.headers.getRawHeaders("location")
        if code == 200:
            await _save(reactor, response, path, most)
            return Fetched(_field(response, "etag"), _field(response, "last-modified"))
        await _drop(response)
        if code == 304 and (before.etag or before.modified):
            return None
        if code not in (301, 302, 303, 307, 308) or not location:
            raise NotFetched(f"the answer was {code}")
        url = _redirected(url, location[0])
    raise NotFetched(f"it is redirected more than {REDIRECTS} times")


def _redirected(url: str, location: str) -> str:
    there = urljoin(url, location)
    schemes = urlsplit(url).scheme.lower(), urlsplit(there).scheme.lower()
    if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
        raise NotFetched(f"it is redirected from {schemes[0]}:// to {schemes[1]}://")
    return there


def _field(response: IResponse, name: str) -> str:
    values = response.headers.getRawHeaders(name) or [""]
    return values[0] if len(values[0]) < 1024 else ""


def _told(failure: Failure) -> None:
    error = failure.value
    if isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[0].value
    if isinstance(error, NotFetched):
        raise error
    if isinstance(error, (CancelledError, TimeoutError)):
        raise NotFetched("there was no answer in time") from None
    if isinstance(error, DNSLookupError):
        raise NotFetched("there is no host of that name") from None
    if isinstance(error, ConnectError):
        raise NotFetched("the server doesn't answer") from None
    if isinstance(error, (ConnectionDone, ConnectionLost)):
        raise NotFetched("the connection was closed without an answer") from None
    if isinstance(error, ParseError):
        raise NotFetched("the answer is not HTTP") from None
    raise NotFetched(f"{type(error).__name__}: {error}"[:200]) from None


async def _save(reactor: Any, response: IResponse, path: Path, most: int) -> None:
    try:
        with open(path, "wb", opener=_private) as file:
            body = _Body(reactor, file, most)
            response.deliverBody(body)
            await body.over
    except OSError as error:
        raise NotFetched(f"it can't be kept: {error.strerror}") from None


async def _drop(response: IResponse) -> None:
    """Close the connection: no body is wanted."""
    body = _Body(None, None, 0)
    response.deliverBody(body)
    body.end(None)
    await body.over


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Body(Protocol):
    """Takes a body until it ends, or one of the bounds is met."""

    def __init__(self, reactor: Any, file: BinaryIO | None, most: int) -> None:
        self.over: Deferred[None] = Deferred(self._given_up)
        self._file = file
        self._left = most
        self._idle = reactor.callLater(IDLE, self._too_slow) if reactor else None

    def dataReceived(self, data: bytes) -> None:
        if self._file is None or self.over.called:
            return
        self._left -= len(data)
        if self._left < 0:
            self.end(NotFetched("it is too large"))
            return
        try:
            self._file.write(data)
        except OSError as error:
            self.end(error)
            return
        if self._idle is not None:
            self._idle.reset(IDLE)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # PotentialDataLoss: its end is that of the connection, as the server chose.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.end(None)
        else:
            self.end(NotFetched("it is cut off"))

    def _given_up(self, _: object) -> None:
        self.end(NotFetched("there was no end of it in time"))

    def _too_slow(self) -> None:
        self._idle = None
        self.end(NotFetched(f"no more of it came for {IDLE:g} s"))

    def end(self, error: Exception | None) -> None:
        if self.over.called:
            return
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self.transport is not None:
            self.transport.loseConnection()
        if error is None:
            self.over.callback(None)
        else:
            self.over.errback(error)


@implementer(IAgent)
@frozen
class _AsItComes:
    """treq asks for gzip and unpacks it, however large that gets: here it isn't told of it."""

    agent: IAgent

    def request(self, *arguments: Any, **more: Any) -> Deferred[IResponse]:
        def packed(response: IResponse) -> IResponse:
            response.headers.removeHeader(b"content-encoding")
            return response

        asked: Deferred[IResponse] = self.agent.request(*arguments, **more)
        return asked.addCallback(packed)
