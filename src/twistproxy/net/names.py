"""Names looked up, so many at a time; who stops waiting leaves the line.

Twisted asks the system in threads, ten of them, behind a queue that nothing leaves: a few names
whose servers are slow would hold up all others, long after those who asked for them are gone.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IReactorThreads,
    IResolutionReceiver,
)
from zope.interface import implementer

#: Lookups under way at a time, each in a thread; the others wait for their turn.
MOST: Final = 100
#: Threads besides, for whoever else defers to one.
OTHERS: Final = 10
#: Seconds after which a lookup that did not end makes room: Twisted tells of some errors to
#: nobody.
LOST: Final = 60.0


class Names:
    """An `IHostnameResolver` in front of the reactor's.

    reactor: IReactorTime, IReactorPluggableNameResolver; IReactorThreads where the system is asked.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # In order; of those under way, when they began.
        self._waiting: dict[_Lookup, None] = {}
        self._running: dict[_Lookup, float] = {}
        if IReactorThreads.providedBy(reactor):
            reactor.suggestThreadPoolSize(MOST + OTHERS)

    def resolveHostName(
        self, receiver: IResolutionReceiver, host: str, port: int
    ) -> IHostResolution:
        """As of `IHostnameResolver`; what comes back can always be cancelled."""
        lookup = _Lookup(self, receiver, host, port)
        self._waiting[lookup] = None
        receiver.resolutionBegan(lookup)
        self._begin()
        return lookup

    def addresses(self, name: str, timeout: float) -> Deferred[tuple[str, ...]]:
        """All addresses of a name; an address is its own.

        timeout: seconds. Fails with `defer.TimeoutError`, or with `DNSLookupError` where there is
        none.
        """
        bare = name.removeprefix("[").removesuffix("]")
        if isIPAddress(bare) or isIPv6Address(bare):
            return succeed((bare,))
        question = _Question(name)
        question.resolution = self.resolveHostName(question, bare, 0)
        return question.result.addTimeout(timeout, self._reactor)

    def _begin(self) -> None:
        """As many of those who wait as there is room for."""
        now = self._reactor.seconds()
        while self._waiting:
            if len(self._running) >= MOST:
                longest = next(iter(self._running))
                if self._running[longest] + LOST > now:
                    return
                del self._running[longest]
            lookup = next(iter(self._waiting))
            del self._waiting[lookup]
            self._running[lookup] = now
            self._reactor.nameResolver.resolveHostName(lookup, lookup.name, lookup.port)

    def ended(self, lookup: _Lookup) -> None:
        """It waits no longer, and nothing of it runs."""
        self._waiting.pop(lookup, None)
        self._running.pop(lookup, None)
        self._begin()


@implementer(IResolutionReceiver)
class _Question:
    """Somebody who wants to know the addresses of a name, and no more."""

    def __init__(self, name: str) -> None:
        self.result: Deferred[tuple[str, ...]] = Deferred(lambda _: self._leave())
        self.resolution: IHostResolution | None = None
        self._name = name
        self._found: list[str] = []
        self._over = False

    def _leave(self) -> None:
        self._over = True
        if self.resolution is not None:
            self.resolution.cancel()

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """What can be cancelled comes back from `resolveHostName`, too."""

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        self.resolution = None
        if self._over:
            return
        self._over = True
        if self._found:
            self.result.callback(tuple(dict.fromkeys(self._found)))
        else:
            self.result.errback(DNSLookupError(self._name))


@implementer(IResolutionReceiver, IHostResolution)
class _Lookup:
    """One name: for who asked a resolution, for the reactor's resolver a receiver."""

    def __init__(self, names: Names, receiver: IResolutionReceiver, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._names = names
        self._receiver: IResolutionReceiver | None = receiver
        self._resolution: IHostResolution | None = None

    def cancel(self) -> None:
        self._receiver = None
        if self._resolution is not None:
            try:
                self._resolution.cancel()
            except NotImplementedError:  # a thread in getaddrinfo can't be stopped: it has its end
                return
        self._names.ended(self)

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._resolution = resolution

    def addressResolved(self, address: IAddress) -> None:
        if self._receiver is not None:
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        receiver, self._receiver = self._receiver, None
        self._names.ended(self)
        if receiver is not None:
            receiver.resolutionComplete()
